"""People of whom it turns out that they are one, or that they were taken for each other."""

from collections import deque
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from anonymize.core.types import NOBODY, Detections, Frame, RegionMask
from anonymize.track.delayed.fragments import join_whole
from anonymize.track.delayed.id_swaps import exchange
from anonymize.track.model.appearance import Looks
from anonymize.track.model.camera_motion import identity
from anonymize.track.model.frame_state import Moment, Sighting
from anonymize.track.model.thumbnail import Glance
from anonymize.track.model.track import Person, joined, share_pixels
from anonymize.track.output.fill import complete

SIZE = (40, 200)


def moments(count: int) -> list[Moment]:
    image, tenth = np.zeros((*SIZE, 3), np.uint8), Fraction(1, 10)
    frames = [Frame(image, k, k, tenth) for k in range(count)]
    nobody, glance = Detections.empty(SIZE), Glance.at(image, ())
    return [Moment(f, nobody, f.pts_seconds, identity(), np.ones(0, np.bool_), glance) for f in frames]


def seen(moment: Moment, left: int, *, width: int = 20, row: int = 0, score: float = 0.9) -> Sighting:
    mask = RegionMask(left, 5, np.ones((30, width), np.bool_))
    return Sighting(moment, np.array(mask.box_xyxy, np.float64), mask, score, row)


def person(*sightings: Sighting, views: float = 5.0) -> Person:
    times = [s.moment.seconds for s in sightings]
    return Person(min(times), max(times), deque(sightings), views=views)


def test_a_detection_wins_over_the_picture_and_nothing_is_lost() -> None:
    when = moments(4)
    former = person(seen(when[0], 10), seen(when[1], 10, row=-1), seen(when[3], 10, row=-1))
    newcomer = person(seen(when[1], 12), seen(when[2], 12))
    assert [(s.moment.seconds, s.box[0]) for s in joined(former.sightings, newcomer.sightings)] == [
        (0, 10),
        (0.1, 12),
        (0.2, 12),
        (0.3, 10),
    ]


def test_the_surer_of_two_detections_wins_but_no_picture_does() -> None:
    when = moments(3)
    former = person(seen(when[0], 10, score=0.5), seen(when[1], 10), seen(when[2], 10, score=0.5))
    newcomer = person(seen(when[0], 12), seen(when[1], 12, score=0.5), seen(when[2], 12, row=-1, score=0.9))
    assert [s.box[0] for s in joined(former.sightings, newcomer.sightings)] == [12, 10, 10]


def test_joined_sightings_cover_the_pixels_of_both_and_change_neither() -> None:
    when = moments(3)
    former = person(seen(when[0], 10, row=-1), seen(when[1], 10), seen(when[2], 10, row=-1))
    newcomer = person(seen(when[0], 20), seen(when[1], 20, row=-1), seen(when[2], 20, row=-1))
    both = joined(former.sightings, newcomer.sightings)
    assert [s.box[0] for s in both] == [20, 10, 10]
    assert [s.mask.area for s in both] == [900] * 3
    assert {s.mask.area for one in (former, newcomer) for s in one.sightings} == {600}


def test_pixels_are_shared_where_both_were_seen() -> None:
    when = moments(2)
    one, other = person(seen(when[0], 10), seen(when[1], 10)), person(seen(when[1], 20))
    share_pixels(one, other)
    assert [s.mask.area for s in one.sightings] == [600, 900]


def test_half_of_whom_is_in_another_is_a_part_only_if_never_seen_alone() -> None:
    for views, left, part in ((0.0, 16, True), (0.0, 22, False), (2.0, 16, False), (2.0, 12, True)):
        when = moments(2)
        whole, newcomer = person(*(seen(m, 10) for m in when)), person(*(seen(m, left) for m in when), views=views)
        assert join_whole(newcomer, [whole, newcomer], ()) is part


def test_in_one_moment_alone_only_whoever_is_quite_within_somebody_surer_is_a_part() -> None:
    for left, score, part in ((11, 0.9, True), (11, 0.8, False), (14, 0.9, False)):
        [when] = moments(1)
        whole, newcomer = person(replace(seen(when, 10), score=score)), person(seen(when, left), views=0.0)
        assert join_whole(newcomer, [whole, newcomer], ()) is part


def test_a_part_of_somebody_and_of_their_heir_is_a_part_of_one() -> None:
    when = moments(10)
    whole = person(*(seen(when[k], 10, width=40) for k in range(5)))
    heir = person(*(seen(when[k], 10, width=40) for k in range(5, 9)))
    part = person(*(seen(when[k], 15) for k in range(10)))
    assert not join_whole(part, [whole, heir, part], ())
    whole.heir = heir
    assert join_whole(part, [whole, heir, part], ())
    assert [s.moment for s in whole.sightings] == [*when[:5], when[9]]


def test_whoever_was_always_found_within_somebody_is_a_part_though_that_one_is_missed_for_a_while() -> None:
    when = moments(14)
    for earlier, together, back, part in (
        (6, 2, True, True),
        (6, 1, True, False),
        (0, 2, True, False),
        (6, 3, False, False),
    ):
        whole = person(*(seen(m, 10) for m in when[6 - earlier : 6 + together] + when[13:] * back))
        newcomer = person(*(seen(m, 10) for m in when[6:]), views=5.0)
        assert join_whole(newcomer, [whole, newcomer], ()) is part
    whole, late = person(*(seen(m, 10) for m in when[1:5])), person(*(seen(m, 10) for m in when), views=5.0)
    assert not join_whole(late, [whole, late], ())  # was there before


def test_whoever_is_also_found_within_somebody_else_is_no_part() -> None:
    when = moments(8)
    whole, other = person(*(seen(m, 10) for m in when[:3])), person(*(seen(m, 10) for m in when[3:]))
    newcomer = person(*(seen(m, 10) for m in when), views=5.0)
    assert not join_whole(newcomer, [whole, other, newcomer], ())


def test_of_two_who_hold_somebody_alike_the_one_known_longer_gets_the_pixels() -> None:
    kept = []  # so that each time the people lie elsewhere in memory
    for _ in range(20):
        when = moments(2)
        first, second = (person(*(seen(m, 10) for m in when)) for _ in range(2))
        newcomer = person(*(seen(m, 12) for m in when))
        kept.append([first, second, newcomer])
        assert join_whole(newcomer, kept[-1], ())
        assert (first.sightings[0].mask.area, second.sightings[0].mask.area) == (660, 600)


def known(number: int, *sightings: Sighting) -> Person:
    someone = person(*sightings)
    someone.number = number
    return someone


def lefts(someone: Person) -> list[tuple[int, int]]:
    """At which frame somebody was seen where."""
    return [(round(10 * s.moment.seconds), int(s.box[0])) for s in someone.sightings]


def exchanged(people: list[Person], moment: Moment, looks: dict[tuple[Person, int], float]) -> set[Person]:
    """Exchange; who looks how much like the person seen at which left edge is 0.5 if not said."""
    return exchange(moment, people, lambda one, s: looks.get((one, int(s.box[0])), 0.5))


def test_somebody_new_where_somebody_known_is_missing_for_a_moment_is_that_one() -> None:
    when = moments(6)
    missing = known(1, *(seen(when[k], 10) for k in (0, 1, 3, 4)))
    newcomer = person(seen(when[2], 12))
    assert exchanged([missing, newcomer], when[2], {}) == {newcomer}
    assert lefts(missing) == [(0, 10), (1, 10), (2, 12), (3, 10), (4, 10)]
    assert [s.exchanged for s in missing.sightings] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("left", "alike", "goes_on"), [(12, 0.5, False), (60, 0.5, False), (12, 0.0, False), (12, 0.5, True)]
)
def test_somebody_new_is_themselves_if_far_away_or_unlike_or_if_they_go_on(
    left: int, alike: float, goes_on: bool
) -> None:
    when = moments(8)
    missing = known(1, *(seen(when[k], 10) for k in (0, 1, 4, 5)))
    newcomer = person(*(seen(m, left) for m in when[2 : 7 if goes_on else 4]))
    for sighting in newcomer.sightings:
        sighting.looks = Looks.unknown(1)
    gone = exchanged([missing, newcomer], when[2], {(missing, left): alike, (newcomer, left): 1.0})
    assert bool(gone) == (len(missing.sightings) == 6) == (left == 12 and alike > 0 and not goes_on)


def test_whoever_comes_back_to_nobody_is_known_again_elsewhere() -> None:
    when = moments(6)
    missing = known(1, *(seen(when[k], 10) for k in (0, 1)))
    newcomer = person(seen(when[2], 12))
    assert not exchanged([missing, newcomer], when[2], {})


def two_swapped(when: list[Moment], swapped: range) -> tuple[Person, Person]:
    """Somebody at 10 and somebody at 34, but for some frames."""
    one = known(1, *(seen(m, 34 if k in swapped else 10) for k, m in enumerate(when)))
    other = known(2, *(seen(m, 10 if k in swapped else 34) for k, m in enumerate(when)))
    for someone in (one, other):
        someone.sightings[swapped.start].sudden = True
    return one, other


def test_two_who_were_taken_for_each_other_for_a_moment_are_themselves() -> None:
    when = moments(8)
    one, other = two_swapped(when, range(2, 5))
    assert not exchanged([one, other], when[2], {})
    assert {x for _, x in lefts(one)} == {10}
    assert {x for _, x in lefts(other)} == {34}
    assert len(one.sightings) == len(other.sightings) == 8


@pytest.mark.parametrize("why", ["looks", "long", "smooth", "later"])
def test_two_stay_as_they_are(why: str) -> None:
    """Since their looks say so, they stay so for long, nobody is where they were not expected, or it is not now."""
    when = moments(12)
    one, other = two_swapped(when, range(2, 9 if why == "long" else 5))
    looks: dict[tuple[Person, int], float] = {}
    if why == "looks":
        for sighting in (*one.sightings, *other.sightings):
            sighting.looks = Looks.unknown(1)
        looks = {(one, 34): 1.0, (other, 34): 0.0, (one, 10): 0.0, (other, 10): 1.0}
    elif why == "smooth":
        for sighting in (*one.sightings, *other.sightings):
            sighting.sudden = False
    before = lefts(one), lefts(other)
    assert not exchanged([one, other], when[3 if why == "later" else 2], looks)
    assert (lefts(one), lefts(other)) == before


def test_whoever_is_seen_elsewhere_by_their_picture_or_has_an_heir_is_not_taken_for_somebody_new() -> None:
    for left, heir in ((60, False), (10, True)):
        when = moments(6)
        missing = known(1, *(seen(m, left if k == 2 else 10, row=-1 if k == 2 else 0) for k, m in enumerate(when[:5])))
        newcomer = person(seen(when[2], 12))
        missing.heir = newcomer if heir else None
        assert not exchanged([missing, newcomer], when[2], {})


@pytest.mark.parametrize(("alike", "gone"), [(0.2, True), (0.01, False)])
def test_nobody_is_taken_for_whom_they_look_quite_unlike(alike: float, gone: bool) -> None:
    """A newcomer's own looks are hardly known, so the difference of the two alone says little."""
    when = moments(6)
    missing = known(1, *(seen(when[k], 10) for k in (0, 1, 3, 4)))
    newcomer = person(replace(seen(when[2], 12), looks=Looks.unknown(1)))
    assert bool(exchanged([missing, newcomer], when[2], {(missing, 12): alike, (newcomer, 12): 0.6})) == gone


def test_whoever_jumps_by_an_exchange_is_marked() -> None:
    when = moments(8)
    one, other = two_swapped(when, range(2, 5))
    other.sightings[2].sudden = False
    exchanged([one, other], when[2], {})
    assert [s.sudden for s in one.sightings] == [False, False, True] + [False] * 5


def test_somebody_new_who_goes_on_elsewhere_begins_later() -> None:
    """They had taken the place of somebody known for the first two frames, and that one theirs."""
    when = moments(9)
    known_one = known(1, *(seen(m, 60 if 2 <= k < 4 else 10) for k, m in enumerate(when)))
    newcomer = person(*(seen(m, 10 if k < 2 else 60) for k, m in enumerate(when[2:])))
    assert not exchanged([known_one, newcomer], when[2], {})
    assert {x for _, x in lefts(known_one)} == {10}
    assert {x for _, x in lefts(newcomer)} == {60}


def test_pixels_followed_by_the_picture_stay_with_whoever_was_missing() -> None:
    when = moments(6)
    missing = known(1, *(seen(when[k], 10, row=-1 if k == 2 else 0) for k in range(5)))
    newcomer = person(seen(when[2], 14), seen(when[3], 14, row=-1))
    assert exchanged([missing, newcomer], when[2], {}) == {newcomer}
    assert [(s.mask.area, s.row) for s in missing.sightings] == [(600, 0)] * 2 + [(720, 0)] * 2 + [(600, 0)]


@pytest.mark.parametrize("taken", [True, False])
def test_where_somebody_would_be_but_for_an_exchange_is_covered_as_well(taken: bool) -> None:
    when = moments(3)
    someone = known(1, seen(when[0], 10), replace(seen(when[1], 60), exchanged=taken), seen(when[2], 10))
    for sighting in someone.sightings:
        sighting.moment.glance = Glance.at(np.zeros((*SIZE, 3), np.uint8), [sighting.mask])
    tracks = complete(when[1], [someone], [], 1.0)
    assert tracks.ids.tolist() == ([1, NOBODY] if taken else [1])
    expected = [(60, 80), (10, 30)] if taken else [(60, 80)]
    assert [(mask.x, mask.box_xyxy[2]) for mask in tracks.detections.masks] == expected
