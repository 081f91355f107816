"""Number plates followed through a film, so that a plate that is missed for a moment stays covered.

A plate has no body and no changing looks: where it is, how it moves and how large it is tell it from others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from anonymize.core.errors import OptionError
from anonymize.core.types import PLATES_AFTER, Detections, Frame, RegionMask, Tracks
from anonymize.track.config import PlateTrackerConfig, TrackerConfig

Box = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(slots=True)
class _Plate:
    """A plate that is followed.

    Attributes:
        number: Its track's ID.
        frame: Number of the frame in which it was last found.
        seconds: Time of that frame.
        box: Where it was, [4] xyxy.
        velocity: Of its sides, [4] pixels a second; None where it was found once only.
    """

    number: int
    frame: int
    seconds: float
    box: Box
    velocity: Box | None = None

    def expected(self, seconds: float) -> Box:
        """Where it should be at a time."""
        return self.box if self.velocity is None else self.box + self.velocity * (seconds - self.seconds)


@dataclass(slots=True)
class _Waiting:
    """A frame that has been looked at and not left yet: its time, and box and score of each plate by its ID."""

    seconds: float
    found: dict[int, tuple[Box, float]]
    filled: dict[int, Box]


class PlateTracker:
    """Follows number plates beside the people: one stage before their tracker, one behind it.

    The people's tracker holds frames back to look ahead. What is found meanwhile fills the gaps of the frames that
    wait.

    Args:
        sure_score: A detection of at least this score begins a track; one below only continues one.
        lookahead_seconds: Longest gap that is filled; 0 fills none.
        config: Thresholds; None for the defaults.
    """

    def __init__(
        self,
        sure_score: float,
        *,
        lookahead_seconds: float = TrackerConfig.lookahead_seconds,
        config: PlateTrackerConfig | None = None,
    ) -> None:
        self._sure, self._lookahead, self._config = sure_score, lookahead_seconds, config or PlateTrackerConfig()
        self._overhang = min(lookahead_seconds, self._config.overhang_seconds) + 1e-6
        self._plates: list[_Plate] = []
        self._waiting: deque[_Waiting] = deque()
        self._left = 0
        self._count = 0

    def watch(self, frames: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Detections]]:
        """Look at the plates of each frame, and hand all on.

        Raises:
            OptionError: The detector does not look for plates.
        """
        for frame, found in frames:
            if found.plates is None:
                raise OptionError("this detector does not look for number plates")
            self._step(frame.pts_seconds, found.plates)
            yield frame, found

    def join(self, tracked: Iterable[tuple[Frame, Tracks]]) -> Iterator[tuple[Frame, Tracks]]:
        """Give each frame its plates, after its people."""
        for frame, tracks in tracked:
            now = self._waiting.popleft()
            self._left += 1
            boxes = {number: box for number, (box, _) in now.found.items()} | now.filled
            masks = {number: _mask(box, frame.size_hw) for number, box in sorted(boxes.items())}
            filled = np.array([number in now.filled for number in masks], np.bool_)
            scores = [0.0 if number in now.filled else now.found[number][1] for number in masks]
            yield frame, tracks.with_masks(masks, np.array(scores, np.float32), filled)

    def _step(self, seconds: float, found: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        """Take in a frame's plates [P, 5]."""
        if self._waiting and seconds < self._waiting[-1].seconds:  # the clock was set back
            self._plates.clear()
        now = _Waiting(seconds, {}, {})
        self._waiting.append(now)
        number = self._left + len(self._waiting) - 1
        longest = max(self._lookahead, self._config.overhang_seconds)
        self._plates = [plate for plate in self._plates if seconds - plate.seconds <= longest + 1e-6]
        boxes, scores = found[:, :4].astype(np.float64), found[:, 4].tolist()
        of_box = self._matches(seconds, boxes)
        for row, (box, score) in enumerate(zip(boxes, scores, strict=True)):
            plate = of_box.get(row)
            if plate is None:
                if score < self._sure:
                    continue
                self._count += 1
                plate = _Plate(PLATES_AFTER + self._count, number, seconds, box)
                self._plates.append(plate)
                self._reach_back(plate)
            else:
                self._go_on(plate, number, seconds, box)
            now.found[plate.number] = box, score
        for plate in self._plates:  # until it is known whether it comes back
            if plate.frame < number and 0 < seconds - plate.seconds <= self._overhang:
                now.filled[plate.number] = plate.expected(seconds)

    def _matches(self, seconds: float, boxes: Box) -> dict[int, _Plate]:
        """Which of the boxes [P, 4] is which plate; each at most one."""
        if not self._plates or not len(boxes):
            return {}
        expected = np.stack([plate.expected(seconds) for plate in self._plates])
        ages = np.array([seconds - plate.seconds for plate in self._plates])
        middle, size = (expected[:, :2] + expected[:, 2:]) / 2, np.maximum(expected[:, 2:] - expected[:, :2], 1.0)
        centers, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
        side = np.maximum(size.max(1)[:, None], sizes.max(1)[None])  # [T, P]
        distance = np.linalg.norm(middle[:, None] - centers[None], axis=2) / side
        scale = np.abs(np.log(size.max(1)[:, None] / sizes.max(1)[None]))
        reach = np.minimum(self._config.max_distance + self._config.max_speed * ages[:, None], self._config.max_reach)
        cost = distance / reach + scale / np.log(self._config.max_scale)
        allowed = (distance <= reach) & (scale <= np.log(self._config.max_scale))
        rows, columns = linear_sum_assignment(np.where(allowed, cost, 1e6))
        return {
            column: self._plates[row]
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
            if allowed[row, column]
        }

    def _go_on(self, plate: _Plate, number: int, seconds: float, box: Box) -> None:
        """A plate is found again: its gap is filled on a straight way, as far as the frames wait still."""
        elapsed = seconds - plate.seconds
        for k in range(plate.frame + 1, number):
            if k < self._left or elapsed > self._lookahead + 1e-6:
                continue
            waiting = self._waiting[k - self._left]
            share = (waiting.seconds - plate.seconds) / max(elapsed, 1e-9)
            waiting.filled[plate.number] = plate.box + share * (box - plate.box)
        if elapsed > 0:
            newest = (box - plate.box) / elapsed
            if plate.velocity is None:
                plate.velocity = newest
                self._reach_back(plate)
            else:
                plate.velocity = plate.velocity + self._config.velocity_weight * (newest - plate.velocity)
        plate.frame, plate.seconds, plate.box = number, seconds, box

    def _reach_back(self, plate: _Plate) -> None:
        """Cover a plate where it was just before it was found."""
        for waiting in self._waiting:
            if 0 < plate.seconds - waiting.seconds <= self._overhang:
                waiting.filled[plate.number] = plate.expected(waiting.seconds)


def _mask(box: Box, size_hw: tuple[int, int]) -> RegionMask:
    """A plate's box as a mask, whole pixels of it, as far as it lies in the frame."""
    left, top = np.floor(box[:2]).astype(np.int64).clip(0, (size_hw[1], size_hw[0])).tolist()
    right, bottom = np.ceil(box[2:]).astype(np.int64).clip(0, (size_hw[1], size_hw[0])).tolist()
    if right <= left or bottom <= top:
        return RegionMask(0, 0, np.zeros((0, 0), np.bool_))
    return RegionMask(left, top, np.ones((bottom - top, right - left), np.bool_))
