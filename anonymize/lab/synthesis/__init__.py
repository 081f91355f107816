"""Rendered scenes and films with exact ground truth."""

from anonymize.lab.synthesis.scene import Scene, render_scene

__all__ = ["Scene", "render_scene"]
