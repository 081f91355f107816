"""People of whom only a part is found, and parts of people that are found once more."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable

import numpy as np

from anonymize.track.geometry import box_share
from anonymize.track.moments import Sighting
from anonymize.track.people import Person, joined, share_pixels

PART_OF = 0.7
"""Somebody new, this much of whom is pixels of one other person, `OFTEN`, is a part of that person."""
PART_OF_UNSEEN = 0.5
"""... if they were never seen by themselves."""
WHOLE_OF = 0.9
"""Of whom somebody else shows a part, this much of that one, is that person, of whom only a part was found lately."""
OFTEN = 0.8
NEVER_APART = 3
"""Somebody new who was found so often while another person was, from the beginning on, need not have been found within
that one when nobody else was: a detector that finds somebody twice may miss them as a whole. But who was found more
often is no part of who was found less."""


IN_GAP, GAP_MARGIN = 0.6, 0.1
"""Of somebody found only while a person was missed, so much must lie where that one should be, so many heights off."""
EMERGING_SECONDS = 0.35
"""Whoever was not found before must be found so soon after."""


def join_whole(newcomer: Person, people: Iterable[Person], gone: Collection[Person]) -> bool:
    """Whether somebody was found within one and the same other person only; gives the pixels to that one then.

    Args:
        newcomer: Who may be a part.
        people: Whose part.
        gone: Who has become a part of others already, and is nobody's whole.
    """
    share = PART_OF if newcomer.views >= 1 else PART_OF_UNSEEN
    # whoever came out of a crowd where somebody should have, may be that one still: a part of both is a part of one
    former = {p.heir: p for p in people if p.heir is not None and p not in gone and p.heir not in gone}
    inside: Counter[Person] = Counter()
    seen: list[tuple[set[Person], bool]] = []  # at each sighting: the others, and whether any of them holds it
    when = {p: {id(s.moment): s for s in p.sightings} for p in people if p is not newcomer and p not in gone}
    for sighting in newcomer.sightings:
        others = {p: s for p, sightings in when.items() if (s := sightings.get(id(sighting.moment))) is not None}
        # in the order of the people, so that the same film gives the same result whenever two count the same
        holders = [p for p, other in others.items() if _holds(p, other, newcomer, sighting, share)]
        wholes = dict.fromkeys(former.get(p, p) for p in holders)
        inside.update(list(wholes))
        seen.append((set(others), bool(wholes)))
    if not inside:
        return False
    person, count = inside.most_common(1)[0]
    not_alone = sum(person in others or held for others, held in seen)
    never_apart = (
        not_alone >= NEVER_APART
        and person in seen[0][0]
        and _found(person) >= _found(newcomer)
        # who is still missed would not be followed any more with the part gone
        and person.found_seconds >= newcomer.found_seconds
    )
    if count < OFTEN * (not_alone if never_apart else len(seen)):
        return False
    both = [person, *(heir for heir, one in former.items() if one is person and heir is not newcomer)]
    for one in both:
        share_pixels(one, newcomer)
    there = {id(s.moment) for one in both for s in one.sightings}
    alone = [s for s in newcomer.sightings if id(s.moment) not in there]
    person.sightings = deque(sorted([*person.sightings, *alone], key=lambda s: s.moment.seconds))
    return True


def join_gap(newcomer: Person, people: Iterable[Person], gone: Collection[Person]) -> bool:
    """Whether somebody was found only while another person was missed, and there; gives the sightings to that one then.

    Whoever comes out from behind something is a sliver at first, which may fit nobody.
    """
    best, most = None, IN_GAP
    for person in people:
        if person is newcomer or person in gone or person in newcomer.met:
            continue
        found = [s for s in person.sightings if s.row >= 0]
        earlier = [s for s in found if s.moment.seconds < newcomer.sightings[0].moment.seconds]
        later = found[len(earlier) :]
        waited = later[0].moment.seconds - newcomer.sightings[-1].moment.seconds if later else 0.0
        if waited <= 0 or (not earlier and waited > EMERGING_SECONDS):
            continue
        before = earlier[-1] if earlier else later[0]
        share = min(_share_between(before, later[0], s) for s in newcomer.sightings)
        if share > most:
            best, most = person, share
    if best is None:
        return False
    for sighting in newcomer.sightings:
        sighting.doubtful = True
    newcomer.sightings[0].sudden = True
    if newcomer.began_seconds < best.began_seconds:
        best.began_seconds, best.missing = newcomer.began_seconds, newcomer.missing | best.missing
    best.met |= newcomer.met
    best.sightings = joined(best, newcomer)
    next(s for s in best.sightings if s.row >= 0 and s.moment.seconds > newcomer.found_seconds).sudden = True
    return True


def _share_between(before: Sighting, after: Sighting, sighting: Sighting) -> float:
    """Share of a sighting's box where somebody should be who is found before and after it, or twice after it."""
    start, end = before.moment.seconds, after.moment.seconds
    share = (sighting.moment.seconds - start) / (end - start) if end > start else 0.0
    first, last = (s.box_at(sighting.moment) for s in (before, after))
    expected = first + (last - first) * share
    margin = GAP_MARGIN * (expected[3] - expected[1]) * np.array([-1, -1, 1, 1])
    return float(box_share(sighting.box[None], (expected + margin)[None])[0, 0])


def _found(person: Person) -> int:
    """How often the detector found somebody lately."""
    return sum(s.row >= 0 for s in person.sightings)


def _holds(person: Person, other: Sighting, newcomer: Person, sighting: Sighting, share: float) -> bool:
    """Whether a newcomer's sighting is more than such a share of the other one, a person's at the same moment.

    Or nearly all of the other one, which then shows only a part of that person.
    """
    if len(person.sightings) == len(newcomer.sightings) == 1:
        # one moment tells little: who stands behind somebody may be in that one's mask as well, and several people may
        # be in the mask of a doubtful one
        return other.score >= sighting.score and sighting.mask.share_in(other.mask) > WHOLE_OF
    return sighting.mask.share_in(other.mask) > share or other.mask.share_in(sighting.mask) > WHOLE_OF
