"""Folders of films and pictures."""

from anonymize.batch.folder import anonymize_folder
from anonymize.batch.job import Outcome
from anonymize.batch.report import BatchProgress, BatchReport

__all__ = ["BatchProgress", "BatchReport", "Outcome", "anonymize_folder"]
