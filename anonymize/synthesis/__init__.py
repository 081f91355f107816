"""Rendered people, scenes and films with exact ground truth."""

from anonymize.synthesis.people import Person, RenderedPerson, random_person, render_person
from anonymize.synthesis.scene import Scene, render_scene
from anonymize.synthesis.surface import BodySurface, load_surface

__all__ = [
    "BodySurface",
    "Person",
    "RenderedPerson",
    "Scene",
    "load_surface",
    "random_person",
    "render_person",
    "render_scene",
]
