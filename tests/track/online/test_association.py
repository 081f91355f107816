"""Tracks and detections of a frame."""

import numpy as np
import pytest

from anonymize.core.types import FloatArray
from anonymize.track.model.track import at_border
from anonymize.track.online.association import (
    assign,
    better_explained_elsewhere,
    continues_track,
    pair_returned,
    pair_sure,
    pair_unsure,
)
from tests.track.scenes import CONFIG

TRUSTED = np.ones(1, np.float32)


def table(*rows: list[float]) -> FloatArray:
    return np.array(rows, np.float32)


def test_the_best_total_of_the_allowed() -> None:
    score = table([0.9, 0.8], [0.8, 0.1])
    assert assign(score, np.ones((2, 2), np.bool_)) == [(0, 1), (1, 0)]
    assert assign(score, np.array([[True, False], [False, False]])) == [(0, 0)]
    assert assign(score, np.zeros((2, 2), np.bool_)) == []


def test_two_poor_pairs_are_no_better_than_a_good_one() -> None:
    assert assign(table([0.9, 0.1], [0.2, 0.0]), table([1, 1], [1, 0]) > 0) == [(0, 0)]
    assert sorted(assign(table([0.9, 0.5], [0.5, 0.0]), table([1, 1], [1, 0]) > 0)) == [(0, 1), (1, 0)]


@pytest.mark.parametrize(
    ("overlap", "distance", "pair"),
    [
        (0.12, np.nan, False),
        (0.2, np.nan, True),
        (0.5, 0.08, True),
        (0.5, 0.12, False),  # does not change so much from frame to frame
        (0.7, 0.12, True),  # unless it stays in place
        (0.9, 0.2, True),
        (0.9, 0.3, False),  # another person, wherever
    ],
)
def test_a_sure_detection_continues_a_track(overlap: float, distance: float, pair: bool) -> None:
    assert pair_sure(table([overlap]), table([distance]), TRUSTED, CONFIG) == [(0, 0)] * pair


def test_appearance_decides_between_two_that_overlap_alike() -> None:
    assert pair_sure(table([0.5, 0.6]), table([0.01, 0.07]), TRUSTED, CONFIG) == [(0, 0)]


@pytest.mark.parametrize(("overlap", "pair"), [(0.3, False), (0.4, True)])
def test_an_unsure_detection_must_overlap_more(overlap: float, pair: bool) -> None:
    assert pair_unsure(table([overlap]), CONFIG) == [(0, 0)] * pair


@pytest.mark.parametrize(("shift", "distance", "pair"), [(24, 0.08, True), (36, 0.08, False), (0, 0.12, False)])
def test_a_track_returns_near_to_where_it_was_expected(shift: float, distance: float, pair: bool) -> None:
    known = np.array([[0.0, 0, 20, 60]])
    found = known + np.array([shift, 0, shift, 0])
    outside = np.zeros((1, 1), np.bool_)
    assert pair_returned(known, found, table([distance]), TRUSTED, outside, CONFIG) == [(0, 0)] * pair


@pytest.mark.parametrize(
    ("left", "distance", "enters", "pair"),
    [
        (0, 0.15, True, True),
        (0, 0.15, False, False),
        (0, 0.3, True, False),
        (1, 0.15, True, True),
        (3, 0.15, True, False),
    ],
)
def test_more_of_a_person_who_enters_may_look_different_but_not_quite(
    left: float, distance: float, enters: bool, pair: bool
) -> None:
    """All, five sixths or half of the first sliver lie in what is found later."""
    sliver, person = np.array([[0.0, 20, 6, 40]]), np.array([[left, 5.0, 20, 60]])
    entering = np.array([[enters]])
    assert pair_returned(sliver, person, table([distance]), TRUSTED, entering, CONFIG) == [(0, 0)] * pair


@pytest.mark.parametrize(
    ("own", "other", "elsewhere"),
    [
        (0.09, 0.02, True),
        (0.055, 0.02, False),  # quite like the track itself
        (0.1, 0.04, True),
        (0.1, 0.05, False),  # not quite like the other one
        (0.065, 0.03, True),
        (0.065, 0.04, False),  # hardly more like the other one
        (np.nan, 0.02, False),
    ],
)
def test_a_detection_that_looks_like_a_missing_track(own: float, other: float, elsewhere: bool) -> None:
    overlaps, known = table([0.7], [0.0]), np.ones(2, np.bool_)
    found = better_explained_elsewhere(overlaps, table([own], [other]), known, CONFIG)
    assert found.tolist() == [[elsewhere], [False]]
    assert not better_explained_elsewhere(overlaps, table([own], [other]), ~known, CONFIG).any()


@pytest.mark.parametrize(("overlap", "elsewhere"), [(0.2, True), (0.4, False)])
def test_a_detection_is_not_of_a_track_that_is_there_itself(overlap: float, elsewhere: bool) -> None:
    overlaps, distance = table([0.7, 0.0], [0.0, overlap]), table([0.09, 0.2], [0.02, 0.02])
    assert better_explained_elsewhere(overlaps, distance, np.ones(2, np.bool_), CONFIG)[0, 0] == elsewhere


@pytest.mark.parametrize(
    ("overlap", "of_owner", "distance", "continues"),
    [
        (0.6, 0.2, 0.05, True),
        (0.4, 0.2, 0.05, False),
        (0.6, 0.4, 0.05, False),  # the owner may be that track
        (0.6, 0.2, 0.08, False),  # looks unlike it
    ],
)
def test_a_detection_where_a_track_goes_on_is_no_part_of_a_neighbour(
    overlap: float, of_owner: float, distance: float, continues: bool
) -> None:
    assert continues_track(0, [1], table([overlap, of_owner]), table([distance, 0.1]), CONFIG) == continues
    assert not continues_track(0, [1], np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), CONFIG)


@pytest.mark.parametrize(("left", "right", "at"), [(3, 20, True), (6, 20, False), (6, 197, True), (6, 194, False)])
def test_the_border(left: float, right: float, at: bool) -> None:
    assert at_border(np.array([left, 0.0, right, 30]), 200, CONFIG) == at
