"""Tracks that were taken for each other for a moment."""

from dataclasses import replace

import numpy as np
import pytest

from anonymize.track.delayed.id_swaps import link_cost, undo_id_swaps
from anonymize.track.model.appearance import Appearance
from anonymize.track.model.frame_state import FrameState, Observation
from anonymize.track.model.track import Track
from tests.track.scenes import CONFIG, frame_states, seen, track


def known(number: int, *observations: Observation) -> Track:
    one_track = track(*observations)
    one_track.number = number
    return one_track


def lefts(one_track: Track) -> list[tuple[int, int]]:
    """Frames and left edges of the observations."""
    return [(round(10 * s.seconds), int(s.box[0])) for s in one_track.observations]


def exchanged(tracks: list[Track], frame: FrameState, likeness: dict[tuple[Track, int], float]) -> set[Track]:
    """Undo swaps; the likeness of a track and an observation at a left edge is 0.5 if not said."""
    return undo_id_swaps(frame, tracks, lambda one, o: likeness.get((one, int(o.box[0])), 0.5), CONFIG)


def test_a_new_track_where_a_known_one_is_missing_for_a_moment_is_that_one() -> None:
    when = frame_states(6)
    missing = known(1, *(seen(when[k], 10) for k in (0, 1, 3, 4)))
    newcomer = track(seen(when[2], 12))
    assert exchanged([missing, newcomer], when[2], {}) == {newcomer}
    assert lefts(missing) == [(0, 10), (1, 10), (2, 12), (3, 10), (4, 10)]
    assert [s.swapped for s in missing.observations] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("left", "alike", "goes_on"), [(12, 0.5, False), (60, 0.5, False), (12, 0.0, False), (12, 0.5, True)]
)
def test_a_new_track_is_another_person_if_far_away_or_unlike_or_if_it_goes_on(
    left: int, alike: float, goes_on: bool
) -> None:
    when = frame_states(8)
    missing = known(1, *(seen(when[k], 10) for k in (0, 1, 4, 5)))
    newcomer = track(*(seen(m, left) for m in when[2 : 7 if goes_on else 4]))
    for observation in newcomer.observations:
        observation.appearance = Appearance.unknown(1)
    gone = exchanged([missing, newcomer], when[2], {(missing, left): alike, (newcomer, left): 1.0})
    assert bool(gone) == (len(missing.observations) == 6) == (left == 12 and alike > 0 and not goes_on)


def test_a_track_that_does_not_come_back_is_left_to_reidentification() -> None:
    when = frame_states(6)
    missing = known(1, *(seen(when[k], 10) for k in (0, 1)))
    newcomer = track(seen(when[2], 12))
    assert not exchanged([missing, newcomer], when[2], {})


def two_swapped(when: list[FrameState], swapped: range) -> tuple[Track, Track]:
    """A track at 10 and one at 34, but for some frames."""
    one = known(1, *(seen(m, 34 if k in swapped else 10) for k, m in enumerate(when)))
    other = known(2, *(seen(m, 10 if k in swapped else 34) for k, m in enumerate(when)))
    for one_track in (one, other):
        one_track.observations[swapped.start].sudden = True
    return one, other


def test_two_that_were_taken_for_each_other_for_a_moment_are_put_right() -> None:
    when = frame_states(8)
    one, other = two_swapped(when, range(2, 5))
    assert not exchanged([one, other], when[2], {})
    assert {x for _, x in lefts(one)} == {10}
    assert {x for _, x in lefts(other)} == {34}
    assert len(one.observations) == len(other.observations) == 8


@pytest.mark.parametrize("why", ["looks", "long", "smooth", "later"])
def test_two_stay_as_they_are(why: str) -> None:
    """Their appearance says so, it is so for long, none is where it was not expected, or it is not now."""
    when = frame_states(12)
    one, other = two_swapped(when, range(2, 9 if why == "long" else 5))
    looks: dict[tuple[Track, int], float] = {}
    if why == "looks":
        for observation in (*one.observations, *other.observations):
            observation.appearance = Appearance.unknown(1)
        looks = {(one, 34): 1.0, (other, 34): 0.0, (one, 10): 0.0, (other, 10): 1.0}
    elif why == "smooth":
        for observation in (*one.observations, *other.observations):
            observation.sudden = False
    before = lefts(one), lefts(other)
    assert not exchanged([one, other], when[3 if why == "later" else 2], looks)
    assert (lefts(one), lefts(other)) == before


def test_a_track_that_is_elsewhere_by_its_template_or_has_a_successor_is_not_the_new_one() -> None:
    for left, succeeded in ((60, False), (10, True)):
        when = frame_states(6)
        missing = known(1, *(seen(m, left if k == 2 else 10, row=-1 if k == 2 else 0) for k, m in enumerate(when[:5])))
        newcomer = track(seen(when[2], 12))
        missing.successor = newcomer if succeeded else None
        assert not exchanged([missing, newcomer], when[2], {})


@pytest.mark.parametrize(("alike", "gone"), [(0.07, True), (0.04, False)])
def test_a_new_track_is_not_one_that_looks_quite_different(alike: float, gone: bool) -> None:
    """Its own appearance is hardly known, so the difference of the two alone says little."""
    when = frame_states(6)
    missing = known(1, *(seen(when[k], 10) for k in (0, 1, 3, 4)))
    newcomer = track(replace(seen(when[2], 12), appearance=Appearance.unknown(1)))
    assert bool(exchanged([missing, newcomer], when[2], {(missing, 12): alike, (newcomer, 12): 0.6})) == gone


def test_jumps_that_an_exchange_makes_are_marked() -> None:
    when = frame_states(8)
    one, other = two_swapped(when, range(2, 5))
    other.observations[2].sudden = False
    exchanged([one, other], when[2], {})
    assert [s.sudden for s in one.observations] == [False, False, True] + [False] * 5


def test_a_new_track_that_goes_on_elsewhere_begins_later() -> None:
    """It had the place of a known track for the first two frames, and that one its place."""
    when = frame_states(9)
    known_one = known(1, *(seen(m, 60 if 2 <= k < 4 else 10) for k, m in enumerate(when)))
    newcomer = track(*(seen(m, 10 if k < 2 else 60) for k, m in enumerate(when[2:])))
    assert not exchanged([known_one, newcomer], when[2], {})
    assert {x for _, x in lefts(known_one)} == {10}
    assert {x for _, x in lefts(newcomer)} == {60}


def test_pixels_followed_by_the_template_stay_with_the_track_that_was_missing() -> None:
    when = frame_states(6)
    missing = known(1, *(seen(when[k], 10, row=-1 if k == 2 else 0) for k in range(5)))
    newcomer = track(seen(when[2], 14), seen(when[3], 14, row=-1))
    assert exchanged([missing, newcomer], when[2], {}) == {newcomer}
    assert [(s.mask.area, s.row) for s in missing.observations] == [(600, 0)] * 2 + [(720, 0)] * 2 + [(600, 0)]


@pytest.mark.parametrize(("wait", "cost"), [(1, 0.415), (4, 0.287)])
def test_the_cost_of_a_link(wait: int, cost: float) -> None:
    """Of 5 pixels at a height of 30: the IoU, 0.6, counts with e^(-t / 0.2), then the distance by 0.3 + 0.8 t."""
    when = frame_states(5)
    assert link_cost(seen(when[0], 10), seen(when[wait], 15), CONFIG) == pytest.approx(cost, abs=1e-3)


def test_another_size_costs() -> None:
    first, last = frame_states(2)
    half = seen(last, 10)
    half.box = np.array([10.0, 12.5, 30.0, 27.5])
    without = np.exp(-0.5) * 0.5
    assert link_cost(seen(first, 10), half, CONFIG) == pytest.approx(without + (1 - np.exp(-0.5)) * 0.3)


@pytest.mark.parametrize(("left", "gone"), [(24, True), (29, False)])
def test_a_new_track_far_away_is_another_person_though_it_looks_the_same(left: int, gone: bool) -> None:
    """Links that cost 0.89, or 0.98."""
    when = frame_states(6)
    missing = known(1, *(seen(when[k], 10) for k in (0, 1, 3, 4)))
    newcomer = track(replace(seen(when[2], left), appearance=Appearance.unknown(1)))
    assert bool(exchanged([missing, newcomer], when[2], {(missing, left): 1.0, (newcomer, left): 0.0})) == gone


@pytest.mark.parametrize(("own", "gone"), [(0.86, True), (0.89, False)])
def test_an_exchange_must_gain_something(own: float, gone: bool) -> None:
    """0.14, or 0.08: two links of 0.18 each are saved two ends, at the price of two observations less alike."""
    when = frame_states(8)
    missing = known(1, *(seen(when[k], 10) for k in (0, 1, 4, 5)))
    both = [replace(seen(when[k], 12), appearance=Appearance.unknown(1)) for k in (2, 3)]
    newcomer = track(*both)
    assert bool(exchanged([missing, newcomer], when[2], {(missing, 12): 0.1, (newcomer, 12): own})) == gone
