"""People of whom only a part is found, and parts of people that are found once more."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable

from anonymize.track.model.frame_state import Sighting
from anonymize.track.model.track import Person, share_pixels

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
    common = sighting.mask.common(other.mask)
    return common > 0 and (common / sighting.mask.area > share or common / other.mask.area > WHOLE_OF)
