"""People who were taken for one another for a moment, or for somebody new: seen from both sides of it.

Who is who is decided frame by frame, when nobody knows yet how people go on. By the time a frame leaves the look-ahead
it is known. Whoever turns up suddenly there and is elsewhere soon after may have been somebody else meanwhile: of all
people nearby who could have been there instead, the one is taken with whom both of them go on most smoothly and look
most like themselves. What both were found as is exchanged then, for that moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from anonymize.track.association import LOOKS_WEIGHT, alike_sized
from anonymize.track.geometry import centre_distance, iou_of
from anonymize.track.loose_ends import REACH, SPEED
from anonymize.track.moments import Moment, Sighting
from anonymize.track.people import Person
from anonymize.types import RegionMask

LONGEST_SECONDS = 0.4
"""Whoever is taken for somebody else for longer is somebody else as far as can be told."""
NEAR_SECONDS = 0.1
"""Boxes of people who go on at once overlap; after so long their centres tell more."""
OTHER_SIZE = 0.3
"""So much farther apart are two boxes of which one is much higher."""
FAR = 0.95
"""Nobody goes on from one sighting to another at a higher cost."""
ALONE = 1.0
"""Cost of somebody who appears from nowhere, and of somebody who is never found again."""
LEAST_GAIN = 0.1

Alike = Callable[[Person, Sighting], float]
Stretch = Sequence[Sighting]


@dataclass(frozen=True, eq=False)
class _Way:
    """How somebody went, as far as a detector found them.

    Attributes:
        before: Up to the frame that leaves.
        since: From that frame on.
        new: Whether they appear there first.
    """

    before: Stretch
    since: Stretch
    new: bool

    @classmethod
    def of(cls, person: Person, moment: Moment) -> _Way:
        found = [s for s in person.sightings if s.row >= 0]
        before = [s for s in found if s.moment.seconds < moment.seconds]
        return cls(before, found[len(before) :], new=not before and not person.number)

    def until(self, seconds: float) -> tuple[Stretch, Stretch]:
        """Their sightings from the frame that leaves up to a time, and after it."""
        during = [s for s in self.since if s.moment.seconds <= seconds]
        return during, self.since[len(during) :]


@dataclass(frozen=True, eq=False)
class _Exchange:
    """Two people exchange their sightings from the frame that leaves up to a time.

    Attributes:
        other: With whom.
        end_seconds: Up to when.
        gain: By how much less it costs the two to go so.
    """

    other: Person
    end_seconds: float
    gain: float


def exchange(moment: Moment, people: Sequence[Person], alike: Alike, now: float, step_seconds: float) -> set[Person]:
    """Let people who fit each other's sightings better for a moment, from the frame that leaves on, exchange these.

    Args:
        moment: The frame.
        people: Everybody who is followed.
        alike: How much somebody looks like somebody in a sighting that has looks, in [0, 1].
        now: Time of the newest frame.
        step_seconds: From one frame to the next.

    Returns:
        Who has no sightings left.
    """
    gone = set[Person]()
    for person in people:
        if not _turns_up(person, moment):
            continue
        others = [p for p in people if p is not person and p.number and p.heir is None]
        possible = _exchanges(person, others, moment, alike, now, step_seconds)
        best = max(possible, key=lambda one: one.gain, default=None)
        if best is not None and best.gain > LEAST_GAIN:
            _carry_out(person, best, moment)
            if not person.sightings:
                gone.add(person)
    return gone


def _turns_up(person: Person, moment: Moment) -> bool:
    """Whether somebody is found in a frame suddenly, or first."""
    here = next((s for s in person.sightings if s.moment is moment), None)
    if here is None or here.row < 0:
        return False
    return here.sudden or (not person.number and person.sightings[0] is here)


def _exchanges(
    person: Person, others: Iterable[Person], moment: Moment, alike: Alike, now: float, step_seconds: float
) -> Iterator[_Exchange]:
    """With whom somebody who turns up in a frame may exchange sightings, and up to when."""
    one = _Way.of(person, moment)
    for candidate in others:
        other = _Way.of(candidate, moment)
        if not other.before or _link(other.before[-1], one.since[0], step_seconds) > FAR:
            continue
        for end in sorted({s.moment.seconds for s in (*one.since, *other.since)}):
            if end - moment.seconds > LONGEST_SECONDS:
                break
            (mine, rest), (theirs, others_rest) = one.until(end), other.until(end)
            # both go on, or somebody new was the other one all the time
            if not others_rest or (not rest and (theirs or not one.new)):
                continue
            gain = sum(
                _cost(way, during, after, now, step_seconds) - _cost(way, instead, after, now, step_seconds)
                for way, during, instead, after in ((one, mine, theirs, rest), (other, theirs, mine, others_rest))
            )
            for owner, taker, given in ((person, candidate, mine), (candidate, person, theirs)):
                seen = [s for s in given if s.looks is not None]
                gain += LOOKS_WEIGHT * sum(alike(taker, s) - alike(owner, s) for s in seen)
            yield _Exchange(candidate, end, gain)


def _cost(way: _Way, during: Stretch, after: Stretch, now: float, step_seconds: float) -> float:
    """What it costs somebody to go on from how they went before through some sightings to later ones."""
    pieces = [piece for piece in (way.before, during, after) if piece]
    if not pieces:
        return 0.0
    lost = not after and pieces[-1][-1].moment.seconds < now
    links = sum(_link(a[-1], b[0], step_seconds) for a, b in pairwise(pieces))
    return links + ALONE * (way.new + lost)


def _link(last: Sighting, first: Sighting, step_seconds: float) -> float:
    """What it costs to go on from one sighting to another, in [0, 1]."""
    seconds = first.moment.seconds - last.moment.seconds
    box = last.box_at(first.moment)
    apart = float(centre_distance(box[None], first.box[None])[0, 0]) / (REACH + SPEED * seconds)
    if not alike_sized(box[None], first.box[None])[0, 0]:
        apart += OTHER_SIZE
    near = float(np.exp((step_seconds - max(seconds, step_seconds)) / NEAR_SECONDS))
    return near * (1 - iou_of(box, first.box)) + (1 - near) * min(1.0, apart)


def _carry_out(person: Person, chosen: _Exchange, moment: Moment) -> None:
    """Exchange what two people were found as."""
    other = chosen.other
    given, kept = _split(person.sightings, moment, chosen.end_seconds)
    taken, others_kept = _split(other.sightings, moment, chosen.end_seconds)
    given, taken = ([replace(s, exchanged=True) for s in some] for some in (given, taken))
    person.sightings, other.sightings = _with(kept, taken), _with(others_kept, given)
    if not any(s.row >= 0 for s in person.sightings):  # what is left was followed by its picture alone
        other.sightings = _with(other.sightings, person.sightings)
        person.sightings = deque()
    elif not person.number:
        person.began_seconds = max(person.began_seconds, person.sightings[0].moment.seconds)


def _split(sightings: Iterable[Sighting], moment: Moment, end_seconds: float) -> tuple[list[Sighting], list[Sighting]]:
    """Those of some sightings in which a detector found somebody from a frame up to a time, and the others."""
    chosen: list[Sighting] = []
    others: list[Sighting] = []
    for sighting in sightings:
        during = moment.seconds <= sighting.moment.seconds <= end_seconds
        (chosen if during and sighting.row >= 0 else others).append(sighting)
    return chosen, others


def _with(own: Iterable[Sighting], given: Iterable[Sighting]) -> deque[Sighting]:
    """Sightings in order of time; the surer of two at one moment, with the pixels of both."""
    by_moment = {id(s.moment): s for s in own}
    for sighting in given:
        other = by_moment.get(id(sighting.moment))
        if other is not None:
            surer, less = (sighting, other) if sighting.row >= 0 else (other, sighting)
            sighting = replace(surer, mask=RegionMask.union([surer.mask, less.mask]))
        by_moment[id(sighting.moment)] = sighting
    return deque(sorted(by_moment.values(), key=lambda s: s.moment.seconds))
