from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from anonymize.track import IoUTracker
from anonymize.track.tracker import box_iou
from anonymize.types import Detections, Frame, RegionMask

SIZE = (40, 200)


def frame(index: int) -> Frame:
    return Frame(np.zeros((*SIZE, 3), np.uint8), index=index, pts=index, time_base=Fraction(1, 10))


def people(*lefts: float) -> Detections:
    boxes = np.array([[x, 5, x + 20, 35] for x in lefts], np.float32).reshape(-1, 4)
    masks = tuple(RegionMask(int(x), 5, np.ones((30, 20), np.bool_)) for x in lefts)
    return Detections(SIZE, boxes, np.ones(len(lefts), np.float32), masks, np.zeros(len(lefts), np.bool_))


def ids(*frames: Detections) -> list[list[int]]:
    tracked = IoUTracker().track((frame(i), found) for i, found in enumerate(frames))
    return [tracks.ids.tolist() for _, tracks in tracked]


def test_nobody() -> None:
    assert ids() == []
    assert ids(people(), people()) == [[], []]


def test_people_keep_their_ids_whatever_their_order() -> None:
    assert ids(people(10, 100), people(95, 14), people(18)) == [[1, 2], [2, 1], [1]]


def test_a_short_gap_keeps_the_id_and_a_long_one_does_not() -> None:
    assert ids(people(10), *[people()] * 5, people(10))[-1] == [1]
    assert ids(people(10), *[people()] * 15, people(10))[-1] == [2]


def test_the_best_total_wins_over_the_best_pair() -> None:
    # the box at 12 overlaps both, most with the first; the one at 2 overlaps only the first
    assert ids(people(10, 18), people(12, 2))[-1] == [2, 1]


def test_frames_come_out_as_they_came_in() -> None:
    frames = [(frame(i), people(10)) for i in range(5)]

    def source() -> Iterator[tuple[Frame, Detections]]:
        yield from frames

    assert [f for f, _ in IoUTracker().track(source())] == [f for f, _ in frames]


def test_box_iou() -> None:
    a = np.array([[0, 0, 2, 2], [0, 0, 0, 0]], np.float32)
    b = np.array([[1, 0, 3, 2], [5, 5, 6, 6]], np.float32)
    assert box_iou(a, b) == pytest.approx(np.array([[1 / 3, 0], [0, 0]]))
