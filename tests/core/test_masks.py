import numpy as np
import pytest

from anonymize.core.masks import fill_holes, grow, paste, tighten
from anonymize.core.types import RegionMask

SIZE = (60, 80)


def rectangle(x: int, y: int, w: int, h: int) -> RegionMask:
    return RegionMask(x, y, np.ones((h, w), np.bool_))


def test_tight_is_without_empty_rows_and_columns() -> None:
    loose = np.zeros((20, 30), np.bool_)
    loose[5:9, 10:12] = True
    tight = tighten(RegionMask(3, 4, loose))
    assert (tight.box_xyxy, tight.area) == ((13, 9, 15, 13), 8)
    assert tighten(RegionMask(3, 4, np.zeros((5, 5), np.bool_))).mask.size == 0


def test_grown_by_pixels_inside_the_frame() -> None:
    corner = grow(rectangle(0, 50, 10, 10), 3, SIZE)
    assert corner.box_xyxy == (0, 47, 13, 60)
    assert rectangle(0, 50, 10, 10).share_in(corner) == 1
    assert not corner.to_full(SIZE)[47, 12], "corners are round"
    assert grow(RegionMask(0, 0, np.zeros((0, 0), np.bool_)), 3, SIZE).area == 0


def test_small_holes_are_filled_and_large_ones_and_bays_are_not() -> None:
    mask = np.ones((40, 20), np.bool_)
    mask[5:8, 5:8] = False  # a hole of 9 pixels
    mask[15:30, 5:15] = False  # one of 150
    mask[33:36, :4] = False  # a bay
    filled = fill_holes(RegionMask(10, 10, mask), 0.05)
    assert filled.box_xyxy == (10, 10, 30, 50)
    assert filled.mask[5:8, 5:8].all()
    np.testing.assert_array_equal(filled.mask[12:], mask[12:])
    assert fill_holes(RegionMask(0, 0, np.zeros((3, 3), np.bool_)), 0.05).area == 0


def test_paste_places_a_head_s_output_in_its_box() -> None:
    values = np.zeros((28, 28), np.float32)
    values[:14] = 1  # the upper half of the person
    region = paste(values, np.array([10, 20, 38, 48], np.float32), SIZE)
    full = region.to_full(SIZE)
    assert full[20:34, 10:38].all()
    assert not full[35:].any()
    assert not full[:20].any()


@pytest.mark.parametrize("box", [(-50, -50, -10, -10), (90, 0, 120, 30), (5, 5, 5, 20)])
def test_paste_outside_the_frame_is_empty(box: tuple[float, ...]) -> None:
    assert paste(np.ones((28, 28), np.float32), np.array(box, np.float32), SIZE).area == 0
