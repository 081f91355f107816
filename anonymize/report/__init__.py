"""A page about what was done to a film: `FilmReport` watches the frames as they are written."""

from anonymize.report.collector import FilmReport
from anonymize.report.page import write_page

__all__ = ["FilmReport", "write_page"]
