"""Somebody who is followed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from anonymize.track.appearance import Looks
from anonymize.track.identity import Entry
from anonymize.track.moments import Sighting

GALLERY = 6
"""Looks of somebody that are kept, of as many appearances."""


@dataclass(eq=False)
class Person:
    """Somebody who is followed.

    Whoever comes out of a crowd is followed as somebody who has just appeared, until it is decided who it is.

    Attributes:
        began_seconds: When a detector first found them surely, since they appeared.
        found_seconds: When a detector last found them.
        sightings: Where they were seen, in order of time, as far back as the look-ahead reaches.
        number: The ID, from 1; 0 until they are first shown, which is when they may be known again as somebody else.
        surely: How often a detector found them surely; `ESTABLISHED` and more once it was nearly certain.
        established: Whether that is often enough for them to be followed where it is unsure.
        views: How often they were seen clearly since they appeared; a view in a crowd counts for `GLIMPSE`.
        met: Who was seen at the same time, and so is somebody else.
        missing: Who was missing when they appeared, and how: an entry of `Absence`.
        gallery: How they looked in earlier appearances, one row each.
        crowded: Whether they were in a crowd when last seen, where they may have been taken for somebody else.
        leaving: Whether they were last found at the border, where people leave and others enter.
        heir: Who came out of the crowd where they should have; nobody looks for them meanwhile.
    """

    began_seconds: float
    found_seconds: float
    sightings: deque[Sighting]
    number: int = 0
    surely: int = 0
    established: bool = False
    views: float = 0.0
    met: set[Person] = field(default_factory=set, repr=False)
    missing: dict[Person, Entry] = field(default_factory=dict, repr=False)
    gallery: deque[Looks] = field(default_factory=lambda: deque(maxlen=GALLERY), repr=False)
    crowded: bool = False
    leaving: bool = False
    heir: Person | None = field(default=None, repr=False)


def joined(former: Person, newcomer: Person) -> deque[Sighting]:
    """Sightings of somebody who goes on as a newcomer; detections win over what was followed by the picture."""
    begin = newcomer.began_seconds
    before = [s for s in former.sightings if s.row >= 0 or s.moment.seconds < begin]
    last = before[-1].moment.seconds if before else float("-inf")
    return deque(before + [s for s in newcomer.sightings if s.moment.seconds > last])
