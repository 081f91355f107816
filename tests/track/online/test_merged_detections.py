"""Detections that show no person of their own."""

import numpy as np

from anonymize.core.types import RegionMask
from anonymize.track.model.frame_state import OccludedTrack
from anonymize.track.online.association import Shapes
from anonymize.track.online.merged_detections import MergedDetection, divide, occluded_tracks, owners
from tests.track.scenes import CONFIG, standing


def group(boxes: list[list[float]]) -> Shapes:
    return Shapes(np.array(boxes, np.float64).reshape(-1, 4), np.ones((len(boxes), 28, 14), np.bool_))


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_a_part_belongs_to_the_surer_detection_that_holds_it() -> None:
    found = group([[0, 0, 20, 60], [5, 30, 15, 60], [100, 0, 120, 60]])
    assert owners(found, scores(0.9, 0.7, 0.7), CONFIG) == {1: [0]}
    assert owners(found, scores(0.7, 0.9, 0.7), CONFIG) == {}
    assert owners(group([]), scores(), CONFIG) == {}


def test_a_part_of_a_part_belongs_to_the_whole_but_a_certain_detection_to_none() -> None:
    found = group([[50, 0, 80, 60], [67, 0, 87, 60], [76, 0, 92, 60]])
    assert owners(found, scores(0.79, 0.75, 0.7), CONFIG) == {1: [0], 2: [0]}
    assert owners(found, scores(0.9, 0.85, 0.7), CONFIG) == {2: [1]}


def test_several_people_found_as_one_too_are_no_new_person() -> None:
    child, parent, both = [0.0, 30.0, 20.0, 100.0], [22.0, 0.0, 44.0, 60.0], [0.0, 0.0, 44.0, 100.0]
    assert owners(group([child, parent, both]), scores(0.9, 0.9, 0.7), CONFIG) == {2: [0, 1]}
    assert owners(group([child, parent, both]), scores(0.9, 0.9, 0.85), CONFIG) == {}
    assert owners(group([child, parent, both]), scores(0.9, 0.6, 0.7), CONFIG) == {1: [2]}  # may be but an arm
    assert (
        owners(group([child, [18.0, 40.0, 24.0, 60.0], [-100.0, 0.0, 44.0, 100.0]]), scores(0.9, 0.9, 0.7), CONFIG)
        == {}
    )


def test_people_who_overlap_are_counted_once() -> None:
    one, same = [0.0, 0.0, 30.0, 40.0], [2.0, 4.0, 32.0, 44.0]
    assert owners(group([one, same, [0.0, 0.0, 36.0, 90.0]]), scores(0.9, 0.88, 0.75), CONFIG) == {}
    assert owners(group([one, same, [0.0, 0.0, 36.0, 50.0]]), scores(0.9, 0.88, 0.75), CONFIG) == {2: [0, 1]}


def test_a_person_found_twice_is_no_part_of_the_one_in_front() -> None:
    torso, body, front = [40.0, 0.0, 60.0, 60.0], [40.0, 0.0, 60.0, 100.0], [40.0, 35.0, 90.0, 160.0]
    assert owners(group([torso, body, front]), scores(0.75, 0.7, 0.9), CONFIG) == {1: [0]}


def test_pixels_are_divided_among_the_nearest() -> None:
    left, right = RegionMask(0, 0, np.ones((4, 4), np.bool_)), RegionMask(10, 2, np.ones((4, 4), np.bool_))
    whole = RegionMask(1, 0, np.ones((6, 13), np.bool_))
    whole.mask[0, 12] = False
    a, b = divide(whole, [left, right], 256)
    assert (a.to_full((6, 14)) ^ b.to_full((6, 14)) == whole.to_full((6, 14))).all()
    assert a.box_xyxy == (1, 0, 7, 6)  # no wider than their pixels
    assert b.to_full((6, 14))[2:, 10:].all()


def test_large_masks_are_divided_wholly() -> None:
    rng = np.random.default_rng(0)
    whole = RegionMask(7, 3, rng.random((1500, 900)) > 0.2)
    among = [RegionMask(x, 11, np.ones((400, 100), np.bool_)) for x in (0, 333, 801)]
    shares = divide(whole, among, CONFIG.max_divide_cells)
    count = sum(share.to_full((1600, 1000)).astype(int) for share in shares)
    np.testing.assert_array_equal(count, whole.to_full((1600, 1000)))
    full = shares[1].to_full((1600, 1000))
    assert full[11:411, 340:420].sum() == whole.to_full((1600, 1000))[11:411, 340:420].sum()
    assert not full[:, :200].any()


def test_large_masks_are_divided_on_a_coarse_grid() -> None:
    """In cells of 3 pixels at 600 columns: the border is at the middle, 296, rounded to a cell."""
    row = RegionMask(0, 0, np.ones((1, 600), np.bool_))
    ends = [RegionMask(0, 0, np.ones((1, 2), np.bool_)), RegionMask(590, 0, np.ones((1, 10), np.bool_))]
    assert divide(row, ends, CONFIG.max_divide_cells)[0].box_xyxy == (0, 0, 297, 1)


PAIR = MergedDetection(standing(10, 50), [standing(40)], 0.7)
"""A person at 10 and the owner at 40."""


def test_a_track_expected_in_what_is_left_is_occluded() -> None:
    [one] = occluded_tracks([PAIR], [standing(12)], [], 3.0, CONFIG)
    assert (one.mask.box_xyxy, one.score, one.found_seconds, one.known_seconds) == ((10, 5, 36, 35), 0.7, 3.0, 3.0)
    for elsewhere in (
        standing(100),
        standing(38),
        standing(-1 + 25, 4 + 40),
    ):  # mostly where the owner is, or no person
        assert occluded_tracks([PAIR], [elsewhere], [], 3.0, CONFIG) == []
    assert occluded_tracks([], [standing(12)], [], 3.0, CONFIG) == []


def test_two_occluded_tracks_share_what_is_left() -> None:
    three = MergedDetection(standing(0, 80), [standing(30)], 0.7)
    found = occluded_tracks([three], [standing(5), standing(55)], [], 3.0, CONFIG)
    assert [one.mask.box_xyxy for one in found] == [(0, 5, 27, 35), (53, 5, 80, 35)]


def test_an_occluded_track_stays_through_a_dip_and_for_as_long_as_people_are_remembered() -> None:
    now, last = 1.0, [OccludedTrack(standing(10), 0.7, 1.0, 1.0)]
    assert occluded_tracks([], [], last, now + 0.3, CONFIG) == last
    assert occluded_tracks([], [], last, now + 0.4, CONFIG) == []
    [one] = occluded_tracks([PAIR], [], last, 21.0, CONFIG)
    assert (one.found_seconds, one.known_seconds) == (21.0, 1.0)
    assert occluded_tracks([PAIR], [], last, 21.1, CONFIG) == []


def test_two_detections_of_the_same_pair_have_the_same_occluded_track() -> None:
    found = occluded_tracks([PAIR, PAIR], [standing(12)], [], 3.0, CONFIG)
    assert [one.mask.box_xyxy for one in found] == [(10, 5, 36, 35)] * 2


def test_a_detection_whose_head_is_above_another_is_no_part_of_it() -> None:
    front = [40.0, 40.0, 90.0, 160.0]
    behind, arm = [42.0, 14.0, 70.0, 120.0], [42.0, 30.0, 70.0, 120.0]
    assert owners(group([front, behind]), scores(0.9, 0.7), CONFIG) == {}
    assert owners(group([front, arm]), scores(0.9, 0.7), CONFIG) == {1: [0]}
    assert owners(group([front, behind]), scores(0.5, 0.4), CONFIG) == {1: [0]}  # who is in front may be no person
