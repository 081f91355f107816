"""People of whom only a part is found, and parts of people that are found once more."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from anonymize.track.geometry import mask_in
from anonymize.track.moments import Sighting
from anonymize.track.people import Person, share_pixels

PART_OF = 0.7
"""Somebody new, this much of whom is pixels of one other person, `OFTEN`, is a part of that person."""
PART_OF_UNSEEN = 0.5
"""... if they were never seen by themselves."""
WHOLE_OF = 0.9
"""Of whom somebody known shows this much less is that person, of whom only a part was found lately."""
OFTEN = 0.8


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
    inside: dict[Person, int] = {}
    for sighting in newcomer.sightings:
        wholes = set[Person]()
        for person in people:
            other = None if person is newcomer or person in gone else _at(person, sighting)
            if other is None:
                continue
            if mask_in(sighting.mask, other.mask) > share or mask_in(other.mask, sighting.mask) > WHOLE_OF:
                wholes.add(former.get(person, person))
        for person in wholes:
            inside[person] = inside.get(person, 0) + 1
    person, count = max(inside.items(), key=lambda item: item[1], default=(newcomer, 0))
    if person is newcomer or count < OFTEN * len(newcomer.sightings):
        return False
    both = [person, *(heir for heir, one in former.items() if one is person and heir is not newcomer)]
    for one in both:
        share_pixels(one, newcomer)
    alone = [s for s in newcomer.sightings if not any(_at(one, s) for one in both)]
    person.sightings = deque(sorted([*person.sightings, *alone], key=lambda s: s.moment.seconds))
    return True


def _at(person: Person, sighting: Sighting) -> Sighting | None:
    """Where a person was at the moment of a sighting."""
    return next((s for s in person.sightings if s.moment is sighting.moment), None)
