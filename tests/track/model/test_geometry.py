"""Boxes and masks: overlap, moving."""

import numpy as np
import pytest

from anonymize.core.boxes import box_iou, iou_of
from anonymize.core.types import RegionMask
from anonymize.track.geometry import empty_mask, hull, mask_grids, move_mask, pair_mask_overlap, up_to_border

SIZE = (120, 160)


def box(*values: float) -> np.ndarray:
    return np.array([values], np.float64)


def test_box_iou() -> None:
    a = np.array([[0, 0, 2, 2], [0, 0, 0, 0]], np.float32)
    b = np.array([[1, 0, 3, 2], [5, 5, 6, 6]], np.float32)
    assert box_iou(a, b) == pytest.approx(np.array([[1 / 3, 0], [0, 0]]))
    assert [[iou_of(one, other) for other in b] for one in a] == [[pytest.approx(1 / 3), 0], [0, 0]]


def test_masks_of_crossing_people_overlap_less_than_their_boxes() -> None:
    left, right = np.tri(40, 40, dtype=bool), ~np.tri(40, 40, dtype=bool)
    grids = [mask_grids([RegionMask(0, 0, m)], box(0, 0, 40, 40)) for m in (left, right)]
    same = pair_mask_overlap(box(0, 0, 40, 40), grids[0], box(0, 0, 40, 40), grids[0])[0]
    other = pair_mask_overlap(box(0, 0, 40, 40), grids[0], box(0, 0, 40, 40), grids[1])[0]
    assert (same[0], other[0]) == pytest.approx((1, 0))


def test_a_mask_moves_and_grows_with_its_box() -> None:
    mask = RegionMask(10, 10, np.ones((20, 10), np.bool_))
    moved = move_mask(mask, box(10, 10, 20, 30)[0], box(50, 20, 70, 60)[0], SIZE)
    assert moved.box_xyxy == (50, 20, 70, 60)


def test_a_mask_that_leaves_the_frame_is_cut() -> None:
    mask = RegionMask(10, 10, np.ones((20, 10), np.bool_))
    assert move_mask(mask, box(10, 10, 20, 30)[0], box(-5, 10, 5, 30)[0], SIZE).box_xyxy == (0, 10, 5, 30)
    assert move_mask(mask, box(10, 10, 20, 30)[0], box(-50, 10, -40, 30)[0], SIZE).area == 0


def test_the_hull_holds_what_is_between() -> None:
    corners = np.zeros((4, 5), np.bool_)
    corners[[0, 0, 3, 3], [0, 4, 0, 4]] = True
    assert hull(RegionMask(7, 3, corners)).mask.all()
    assert hull(RegionMask(7, 3, np.zeros((4, 5), np.bool_))).area == 0
    assert hull(empty_mask()).area == 0


def test_up_to_the_border_only_where_it_is_touched() -> None:
    dot = np.zeros((1, 9), np.bool_)
    dot[0, 4] = True
    for left, covered in ((0, slice(0, 5)), (5, slice(4, 5)), (31, slice(4, 9))):
        [row] = up_to_border(RegionMask(left, 0, dot), (20, 40)).mask
        assert row.sum() == row[covered].sum() == covered.stop - covered.start


def test_union_and_share() -> None:
    a, b = RegionMask(0, 0, np.ones((4, 4), np.bool_)), RegionMask(2, 0, np.ones((4, 4), np.bool_))
    assert RegionMask.union([a, b]).area == 24
    assert a.share_in(b) == 0.5
