"""Gaps that no track shows, since people were taken for one another in between.

Whoever is overlooked while somebody else comes near may lose their ID to that one, and get it back or another one
later: their track is whole, but leads past the place where they are. So where a track jumps, it may be cut there, and
what ends is joined to what begins nearest to it, and what begins to what ends nearest, whoever's they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from anonymize.track.geometry import centre_distance
from anonymize.track.model.frame_state import Moment, Sighting
from anonymize.track.model.track import Person
from anonymize.track.online.association import alike_sized

REACH, SPEED = 0.3, 0.8
"""How far somebody may have come meanwhile, in heights: at once, and more a second."""

LONGEST_SECONDS = 0.6
"""Whoever was overlooked for longer while others came by is not looked for: it would be anybody."""


@dataclass(frozen=True, eq=False)
class _End:
    """Where a track ends or begins, or may do so.

    Attributes:
        person: Whose track.
        sighting: The last or first one.
        jump: Whether the track goes on beyond it.
    """

    person: Person
    sighting: Sighting
    jump: bool


def ways_across(moment: Moment, people: Sequence[Person], reach_seconds: float) -> list[tuple[int, list[Sighting]]]:
    """In which ways people may have come past a moment if their IDs are wrong.

    Args:
        moment: The moment.
        people: Everybody who is followed.
        reach_seconds: How far from the moment ends and beginnings may be.

    Returns:
        The ID of whoever's sighting is the last one before, and sightings up to there and from a beginning on.
    """
    if not any(s.sudden for person in people for s in person.sightings):
        return []
    ends, starts = _cut(moment, people, reach_seconds)
    if not ends or not any(end.jump for end in ends + starts):
        return []
    boxes = [np.stack([end.sighting.box_at(moment) for end in side]) for side in (ends, starts)]
    gone, come = (np.array([end.sighting.moment.seconds for end in side]) for side in (ends, starts))
    jumps = [np.array([end.jump for end in side], np.bool_) for side in (ends, starts)]
    seconds = come[None] - gone[:, None]
    apart = centre_distance(*boxes).astype(np.float64)
    possible = (seconds > 0) & (seconds <= LONGEST_SECONDS) & alike_sized(*boxes) & (apart < REACH + SPEED * seconds)
    far = np.where(possible, apart / (REACH + SPEED * seconds), np.inf)
    nearest = (far == far.min(0)) | (far == far.min(1, keepdims=True))
    across = (gone < moment.seconds)[:, None] & (come > moment.seconds)[None]
    # where a whole track ends and another one begins, they are people who may be one: see `Following.name`
    pairs = np.argwhere(possible & nearest & across & np.logical_or.outer(*jumps))
    return [(ends[i].person.number, _joined(ends[i], starts[j])) for i, j in pairs.tolist()]


def _cut(moment: Moment, people: Iterable[Person], reach_seconds: float) -> tuple[list[_End], list[_End]]:
    """Ends and beginnings of the tracks near a moment, and of the pieces into which jumps cut them."""
    ends, starts = [], []
    for person in people:
        found = _found(person.sightings, moment.seconds, reach_seconds)
        if not found:
            continue
        starts.append(_End(person, found[0], jump=False))
        for last, first in pairwise(found):
            if first.sudden:
                ends.append(_End(person, last, jump=True))
                starts.append(_End(person, first, jump=True))
        ends.append(_End(person, found[-1], jump=False))
    return [end for end in ends if end.person.number], starts


def _found(sightings: Iterable[Sighting], seconds: float, reach: float) -> list[Sighting]:
    """Those of some sightings, in order of time, in which the detector found somebody, so near to a time."""
    found = [s for s in sightings if s.row >= 0]
    first, last = 0, len(found)
    while first < last and seconds - found[first].moment.seconds > reach:
        first += 1
    while first < last and found[last - 1].moment.seconds - seconds > reach:
        last -= 1
    return found[first:last]


def _joined(end: _End, start: _End) -> list[Sighting]:
    """Sightings of a track up to where it ends, and of another one from where it begins."""
    before = [s for s in end.person.sightings if s.moment.seconds <= end.sighting.moment.seconds]
    return before + [s for s in start.person.sightings if s.moment.seconds >= start.sighting.moment.seconds]
