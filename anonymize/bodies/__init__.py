"""Bodies with clothes and hair in a pose, drawn with exact truth."""

from anonymize.bodies.people import Person, RenderedPerson, random_person, render_person

__all__ = ["Person", "RenderedPerson", "random_person", "render_person"]
