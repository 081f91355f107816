"""Rendered people, scenes and films with exact ground truth."""

from anonymize.synthesis.surface import BodySurface, load_surface

__all__ = ["BodySurface", "load_surface"]
