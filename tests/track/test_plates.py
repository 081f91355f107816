from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from anonymize.core.errors import OptionError
from anonymize.core.types import PLATES_AFTER, Detections, Frame, Tracks
from anonymize.track import PlateTracker

SIZE = (100, 400)
RATE = 25
Row = Sequence[float]


def frames(plates: Iterable[Sequence[Row] | None], first_pts: int = 0) -> Iterator[tuple[Frame, Detections]]:
    """Frames with plates, each left, top, right, bottom, score; None where they were not looked for."""
    for k, rows in enumerate(plates):
        found = None if rows is None else np.array(rows, np.float32).reshape(-1, 5)
        frame = Frame(np.zeros((*SIZE, 3), np.uint8), k, first_pts + k, Fraction(1, RATE))
        yield frame, replace(Detections.empty(SIZE), plates=found)


class Holding:
    """A people's tracker that finds no person and holds frames back."""

    def __init__(self, hold: int) -> None:
        self.hold = hold

    def track(self, found: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Tracks]]:
        waiting = []
        for frame, _ in found:
            waiting.append(frame)
            if len(waiting) > self.hold:
                yield self.leave(waiting)
        while waiting:
            yield self.leave(waiting)

    def leave(self, waiting: list[Frame]) -> tuple[Frame, Tracks]:
        return waiting.pop(0), Tracks(Detections.empty(SIZE), np.zeros(0, np.int64), np.zeros(0, np.bool_))


def follow(plates: Iterable[Sequence[Row] | None], lookahead: float = 1.0) -> list[Tracks]:
    tracker = PlateTracker(0.4, lookahead_seconds=lookahead)
    people = Holding(round(lookahead * RATE))
    return [tracks for _, tracks in tracker.join(people.track(tracker.watch(frames(plates))))]


def passing(k: int, score: float = 0.8) -> Row:
    return (20 + 6 * k, 40, 80 + 6 * k, 60, score)


def test_a_plate_has_one_track_and_its_gap_is_filled_on_a_straight_way() -> None:
    missed = range(10, 18)
    tracks = follow([[] if k in missed else [passing(k)] for k in range(30)])
    assert {tuple(each.ids.tolist()) for each in tracks} == {(PLATES_AFTER + 1,)}
    assert [k for k, each in enumerate(tracks) if each.filled.any()] == list(missed)
    for k, each in enumerate(tracks):
        np.testing.assert_allclose(each.detections.boxes_xyxy[0], passing(k)[:4], atol=1.01)
        assert each.plates.all()
        assert not each.detections.has_cse.any()


def test_without_look_ahead_nothing_is_filled() -> None:
    tracks = follow([[] if 10 <= k < 14 else [passing(k)] for k in range(20)], lookahead=0.0)
    assert [len(each) for each in tracks] == [1] * 10 + [0] * 4 + [1] * 6
    assert {number for each in tracks for number in each.ids.tolist()} == {PLATES_AFTER + 1}


def test_a_gap_longer_than_the_look_ahead_is_not_filled() -> None:
    tracks = follow([[] if 6 <= k < 36 else [(20, 40, 80, 60, 0.8)] for k in range(42)])
    shown = [len(each) for each in tracks]
    assert shown[12:30] == [0] * 18


def test_a_plate_is_covered_a_little_before_and_after_it_is_found() -> None:
    tracks = follow([[passing(k)] if 20 <= k < 25 else [] for k in range(45)])
    covered = [k for k, each in enumerate(tracks) if len(each)]
    assert covered == list(range(15, 30))  # a fifth of a second on both sides
    np.testing.assert_allclose(tracks[16].detections.boxes_xyxy[0], passing(16)[:4], atol=1.01)
    np.testing.assert_allclose(tracks[28].detections.boxes_xyxy[0], passing(28)[:4], atol=1.01)


def test_unsure_detections_go_on_with_a_track_and_begin_none() -> None:
    unsure = [[passing(k, 0.2)] for k in range(10)]
    assert not any(len(each) for each in follow(unsure))
    tracks = follow([[passing(k, 0.2 if k > 2 else 0.8)] for k in range(10)])
    assert [each.filled.tolist() for each in tracks] == [[False]] * 10


def test_two_plates_keep_their_tracks() -> None:
    tracks = follow([[passing(k), (300 - 4 * k, 70, 360 - 4 * k, 90, 0.9)][:: 1 if k % 2 else -1] for k in range(20)])
    for k, each in enumerate(tracks):
        tops = dict(zip(each.ids.tolist(), each.detections.boxes_xyxy[:, 1].tolist(), strict=True))
        assert len(tops) == 2, k
        assert tops == {PLATES_AFTER + 1: 70.0, PLATES_AFTER + 2: 40.0}


def test_a_plate_elsewhere_or_of_another_size_is_another_one() -> None:
    tracks = follow([[(20, 40, 60, 50, 0.8)]] * 5 + [[(300, 40, 340, 50, 0.8)]] * 5 + [[(250, 10, 399, 60, 0.8)]] * 5)
    assert {number for each in tracks for number in each.ids.tolist()} == {PLATES_AFTER + k for k in (1, 2, 3)}


def test_what_leaves_the_frame_is_left_out() -> None:
    tracks = follow([[(340 + 15 * k, 40, 400 + 15 * k, 60, 0.8)] if k < 4 else [] for k in range(12)])
    assert all(mask.area for each in tracks for mask in each.detections.masks)
    assert not len(tracks[9])


def test_a_detector_that_does_not_look_for_plates_is_refused() -> None:
    with pytest.raises(OptionError, match="does not look for number plates"):
        follow([None])
