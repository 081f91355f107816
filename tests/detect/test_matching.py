import numpy as np
import pytest

from anonymize.core.masks import paste
from anonymize.core.types import RegionMask
from anonymize.detect.matching import mask_iou, match_by_iou, sample

SIZE = (60, 80)


def rectangle(x: int, y: int, w: int, h: int) -> RegionMask:
    return RegionMask(x, y, np.ones((h, w), np.bool_))


NOBODY = RegionMask(0, 0, np.zeros((0, 0), np.bool_))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (NOBODY, NOBODY, 0.0),
        (rectangle(0, 0, 4, 4), NOBODY, 0.0),
        (rectangle(0, 0, 4, 4), rectangle(0, 0, 4, 4), 1.0),
        (rectangle(0, 0, 4, 4), rectangle(2, 0, 4, 4), 8 / 24),
        (rectangle(0, 0, 4, 4), rectangle(4, 4, 4, 4), 0.0),
    ],
)
def test_iou(a: RegionMask, b: RegionMask, expected: float) -> None:
    assert mask_iou(a, b) == pytest.approx(expected)
    assert mask_iou(b, a) == pytest.approx(expected)


def test_nobody_matches_nobody() -> None:
    assert match_by_iou([], []) == []
    assert match_by_iou([rectangle(0, 0, 4, 4)], []) == []


def test_matching_is_optimal_not_greedy() -> None:
    # a0 fits b0 best, but a1 fits only b0: the greedy choice would leave a1 alone
    a = [rectangle(0, 0, 10, 10), rectangle(0, 0, 10, 7)]
    b = [rectangle(0, 0, 10, 8), rectangle(0, 2, 10, 10)]
    assert match_by_iou(a, b) == [(0, 1), (1, 0)]


def test_pairs_below_the_threshold_are_no_pairs() -> None:
    assert match_by_iou([rectangle(0, 0, 10, 10)], [rectangle(5, 0, 10, 10)]) == []
    assert match_by_iou([rectangle(0, 0, 10, 10)], [rectangle(5, 0, 10, 10)], threshold=0.3) == [(0, 0)]


def test_union_holds_both() -> None:
    both = RegionMask.union([rectangle(2, 3, 4, 5), rectangle(10, 1, 3, 3)])
    expected = rectangle(2, 3, 4, 5).to_full(SIZE) | rectangle(10, 1, 3, 3).to_full(SIZE)
    np.testing.assert_array_equal(both.to_full(SIZE), expected)
    assert RegionMask.union([NOBODY, rectangle(1, 1, 2, 2)]).box_xyxy == (1, 1, 3, 3)
    assert RegionMask.union([]).area == 0


def test_what_lies_in_a_box() -> None:
    region = rectangle(10, 10, 20, 20)
    for box, expected in (
        ([12.5, 5.0, 14.2, 60.0], (12, 10, 15, 30)),
        ([0.0, 0.0, 80.0, 60.0], (10, 10, 30, 30)),
        ([28.0, 28.0, 80.0, 29.0], (28, 28, 30, 29)),
    ):
        assert region.within(np.array(box, np.float32)).box_xyxy == expected
    assert region.within(np.array([0, 0, 9, 60], np.float32)).area == 0
    assert region.within(np.array([40, 0, 49, 60], np.float32)).area == 0


@pytest.mark.parametrize("box", [(10, 8, 50, 48), (-7, -3.5, 61, 52), (70, 50, 95, 70), (100, 100, 120, 120)])
def test_sampling_is_the_reverse_of_pasting(box: tuple[float, ...]) -> None:
    cells = np.zeros((8, 8), np.float32)
    cells[2:5, 1:7] = 1
    edges = np.array(box, np.float32)
    read = sample(paste(cells, edges, SIZE), edges, 8)
    x, y = (edges[k] + (np.arange(8) + 0.5) / 8 * (edges[k + 2] - edges[k]) for k in (0, 1))
    inside = ((y >= 0) & (y < SIZE[0]))[:, None] & ((x >= 0) & (x < SIZE[1]))
    np.testing.assert_array_equal(read, (cells > 0.5) & inside)


def test_nobody_is_sampled_as_nobody() -> None:
    assert not sample(NOBODY, np.array([0, 0, 10, 10], np.float32), 8).any()
