"""Somebody who is followed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from anonymize.core.types import RegionMask
from anonymize.track.delayed.reidentification import WELL_KNOWN, Entry
from anonymize.track.model.appearance import Looks
from anonymize.track.model.frame_state import Box, Moment, Sighting

GALLERY = 6
"""Looks of somebody that are kept, of as many appearances."""
BORDER = 0.02  # of the width of the frame
EXTENT_MARGIN = 0.03  # of the height
EXTENT_SECONDS = 0.5


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
        crowd: Who was with them in the crowd they were last seen in, where they may have been taken for one of these.
        leaving: Whether a detector last found them at the left or right border, where people leave and others enter.
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
    crowd: set[Person] = field(default_factory=set, repr=False)
    leaving: bool = False
    heir: Person | None = field(default=None, repr=False)

    @property
    def all_views(self) -> float:
        """How often they were seen clearly, in all appearances."""
        return self.views + WELL_KNOWN * len(self.gallery)

    def found_at(self, moment: Moment) -> bool:
        """Whether the detector found them at a moment; the latest sightings are looked at first."""
        return any(s.moment is moment and s.row >= 0 for s in reversed(self.sightings))


def share_pixels(person: Person, other: Person) -> None:
    """Give the pixels of somebody who turned out to be a person to that person, at the moments when both were seen."""
    own = {id(s.moment): s for s in person.sightings}
    for sighting in other.sightings:
        same = own.get(id(sighting.moment))
        if same is not None:
            same.mask = RegionMask.union([same.mask, sighting.mask])


def joined(some: Iterable[Sighting], others: Iterable[Sighting]) -> deque[Sighting]:
    """Two lots of sightings of one person, in order of time.

    Where both have one, the surer detection wins, any over what was followed by the picture; the pixels of both are
    covered.
    """
    by_moment = {id(s.moment): s for s in others}
    for sighting in some:
        other = by_moment.get(id(sighting.moment))
        if other is None:
            by_moment[id(sighting.moment)] = sighting
            continue
        first, second = (s.score if s.row >= 0 else -1 for s in (sighting, other))
        kept, dropped = (sighting, other) if first >= second else (other, sighting)
        # not in place: it may only seem that they are one
        by_moment[id(sighting.moment)] = replace(kept, mask=RegionMask.union([kept.mask, dropped.mask]))
    return deque(sorted(by_moment.values(), key=lambda s: s.moment.seconds))


def at_border(box: Box, width: int) -> bool:
    """Whether a box [4] is at the left or right border of a frame of a width."""
    left, _, right, _ = box.tolist()
    return bool(left < BORDER * width or right > (1 - BORDER) * width)


def extent(person: Person, expected: Box, moment: Moment) -> Box:
    """All that somebody took up lately, moved to where they are expected now, with a margin; box [4]."""
    lately = [s for s in person.sightings if s.moment.seconds >= person.found_seconds - EXTENT_SECONDS]
    if not lately:
        return expected
    boxes = np.stack([s.box_at(moment) for s in lately])
    moved = (expected[:2] + expected[2:] - boxes[-1, :2] - boxes[-1, 2:]) / 2
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    margin = EXTENT_MARGIN * (high[1] - low[1])
    return np.concatenate([low - margin + np.minimum(moved, 0), high + margin + np.maximum(moved, 0)])
