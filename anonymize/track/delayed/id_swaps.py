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

from anonymize.track.geometry import centre_distance, iou_of
from anonymize.track.model.frame_state import Moment, Sighting
from anonymize.track.model.track import Person, joined
from anonymize.track.online.association import CROWDED, LOOKS_WEIGHT, alike_sized, crowding
from anonymize.track.output.gaps import REACH, SPEED

LONGEST_SECONDS = 0.4
"""Whoever is taken for somebody else for longer is somebody else as far as can be told."""
NEAR_SECONDS = 0.2
"""Boxes of people who go on at once overlap; after so long their centres tell more."""
OTHER_SIZE = 0.3
"""So much farther apart are two boxes of which one is much higher."""
FAR = 0.95
"""Nobody goes on from one sighting to another at a higher cost."""
ALONE = 1.0
"""Cost of somebody who appears from nowhere, and of somebody who is never found again."""
LEAST_GAIN = 0.1
UNLIKE = 0.05
"""Nobody is taken for somebody as whom they look less likely than this."""

Alike = Callable[[Person, Sighting], float]
Stretch = Sequence[Sighting]


@dataclass(frozen=True, eq=False)
class _Way:
    """How somebody went.

    Attributes:
        person: Who.
        before: As what a detector found them up to the frame that leaves.
        since: ... from that frame on.
        followed: Where they were followed by their picture alone, by moment.
    """

    person: Person
    before: Stretch
    since: Stretch
    followed: dict[int, Sighting]

    @classmethod
    def of(cls, person: Person, moment: Moment) -> _Way:
        found = [s for s in person.sightings if s.row >= 0]
        before = [s for s in found if s.moment.seconds < moment.seconds]
        followed = {id(s.moment): s for s in person.sightings if s.row < 0}
        return cls(person, before, found[len(before) :], followed)

    @property
    def new(self) -> bool:
        """Whether they appear in the frame that leaves, or later."""
        return not self.before and not self.person.number

    def until(self, seconds: float) -> tuple[Stretch, Stretch]:
        """Their sightings from the frame that leaves up to a time, and after it."""
        during = [s for s in self.since if s.moment.seconds <= seconds]
        return during, self.since[len(during) :]

    def cost(self, during: Stretch, after: Stretch) -> float:
        """What it costs to go on through some sightings to later ones."""
        pieces = [piece for piece in (self.before, during, after) if piece]
        links = sum(_link(a[-1], b[0]) for a, b in pairwise(pieces))
        return links + ALONE * bool(pieces) * (self.new + (not after))

    def elsewhere(self, sighting: Sighting) -> bool:
        """Whether their picture says that they are not where a sighting is."""
        followed = self.followed.get(id(sighting.moment))
        return followed is not None and bool(crowding(followed.box[None], sighting.box[None])[0, 0] < CROWDED)


@dataclass(frozen=True, eq=False)
class _Exchange:
    """Two people exchange their sightings from the frame that leaves up to a time.

    Attributes:
        other: With whom.
        given, taken: What they give each other: sightings of the one, and of the other.
        gain: By how much less it costs the two to go so.
    """

    other: Person
    given: Stretch
    taken: Stretch
    gain: float


def exchange(moment: Moment, people: Sequence[Person], alike: Alike) -> set[Person]:
    """Let people who fit each other's sightings better for a moment, from the frame that leaves on, exchange these.

    Args:
        moment: The frame.
        people: Everybody who is followed.
        alike: How much somebody looks like somebody in a sighting that has looks, in [0, 1].

    Returns:
        Who has no sightings left.
    """
    gone = set[Person]()
    for person in [p for p in people if _turns_up(p, moment)]:
        one = _Way.of(person, moment)
        others = (_Way.of(p, moment) for p in people if p is not person and p.number and p.heir is None)
        possible = (chance for other in others for chance in _exchanges(one, other, moment, alike))
        best = max(possible, key=lambda chance: chance.gain, default=None)
        if best is not None and best.gain > LEAST_GAIN:
            _carry_out(person, best)
            if not person.sightings:
                gone.add(person)
    return gone


def _turns_up(person: Person, moment: Moment) -> bool:
    """Whether somebody is found in a frame suddenly, or first."""
    here = next((s for s in person.sightings if s.moment is moment), None)
    if here is None or here.row < 0:
        return False
    return here.sudden or (not person.number and person.sightings[0] is here)


def _exchanges(one: _Way, other: _Way, moment: Moment, alike: Alike) -> Iterator[_Exchange]:
    """Up to when somebody who turns up in a frame may exchange sightings with another one."""
    if not one.since or not other.before or _link(other.before[-1], one.since[0]) > FAR:
        return
    last, looks = -np.inf, 0.0
    for end in sorted({s.moment.seconds for s in (*one.since, *other.since)}):
        if end - moment.seconds > LONGEST_SECONDS:
            return
        (mine, rest), (theirs, others_rest) = one.until(end), other.until(end)
        for owner, taker, given in ((one, other, mine), (other, one, theirs)):
            looks += _looks(owner, taker, [s for s in given if s.moment.seconds > last], alike)
        if looks == -np.inf:
            return
        last = end
        # both go on, or somebody new was the other one all the time
        if others_rest and (rest or (one.new and not theirs)):
            was, will = ((one.cost(a, rest) + other.cost(b, others_rest)) for a, b in ((mine, theirs), (theirs, mine)))
            yield _Exchange(other.person, mine, theirs, was - will + LOOKS_WEIGHT * looks)


def _looks(owner: _Way, taker: _Way, given: Stretch, alike: Alike) -> float:
    """By how much more the one looks like somebody in some sightings than the other, whose they are.

    Minus infinity if it cannot be the one in any of them.
    """
    more = 0.0
    for sighting in given:
        if taker.elsewhere(sighting):
            return -np.inf
        if sighting.looks is not None:
            like = alike(taker.person, sighting)
            more += like - alike(owner.person, sighting) if like >= UNLIKE else -np.inf
    return more


def _link(last: Sighting, first: Sighting) -> float:
    """What it costs to go on from one sighting to another, in [0, 1]."""
    seconds = first.moment.seconds - last.moment.seconds
    box = last.box_at(first.moment)
    apart = float(centre_distance(box[None], first.box[None])[0, 0]) / (REACH + SPEED * seconds)
    if not alike_sized(box[None], first.box[None])[0, 0]:
        apart += OTHER_SIZE
    near = float(np.exp(-seconds / NEAR_SECONDS))
    return near * (1 - iou_of(box, first.box)) + (1 - near) * min(1.0, apart)


def _carry_out(person: Person, chosen: _Exchange) -> None:
    """Exchange what two people were found as."""
    other = chosen.other
    kept, others_kept = (
        [s for s in sightings if s not in gone]
        for sightings, gone in ((person.sightings, chosen.given), (other.sightings, chosen.taken))
    )
    person.sightings = joined(kept, _exchanged(chosen.taken))
    other.sightings = joined(others_kept, _exchanged(chosen.given))
    found = [s.moment.seconds for s in person.sightings if s.row >= 0]
    if not found:  # what is left was followed by its picture alone
        other.sightings = joined(other.sightings, person.sightings)
        person.sightings = deque()
    elif not person.number:
        person.began_seconds = max(person.began_seconds, found[0])


def _exchanged(sightings: Iterable[Sighting]) -> list[Sighting]:
    """Sightings as those of another one, who may be somebody else there after all."""
    return [replace(s, exchanged=True, sudden=s.sudden or not k) for k, s in enumerate(sightings)]
