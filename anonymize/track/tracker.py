"""The tracker: each detection gets the ID of the person it most overlaps with in the frames before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from anonymize.types import Detections, FloatArray, Frame, IntArray, Tracks

MIN_IOU = 0.2
MEMORY_SECONDS = 1.0


class Tracker(Protocol):
    """The stage that gives people their identity."""

    def track(self, frames: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Tracks]]:
        """Follow people through a film.

        Args:
            frames: Frames in order of presentation with the people found in each.

        Returns:
            The same frames in the same order, none left out. Frames may be held back to look ahead.
        """
        ...


@dataclass
class _Person:
    number: int
    box_xyxy: FloatArray
    seen_seconds: float


class IoUTracker:
    """Frame to frame assignment of largest total box IoU (Bewley et al. 2016, without motion).

    Args:
        min_iou: Boxes that overlap less are different people.
        memory_seconds: Somebody not seen for longer gets a new ID.
    """

    def __init__(self, *, min_iou: float = MIN_IOU, memory_seconds: float = MEMORY_SECONDS) -> None:
        self._min_iou, self._memory_seconds = min_iou, memory_seconds

    def track(self, frames: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Tracks]]:
        """See `Tracker.track`; holds no frame back."""
        people: list[_Person] = []
        count = 0
        for frame, found in frames:
            now = frame.pts_seconds
            people = [p for p in people if now - p.seen_seconds <= self._memory_seconds]
            ids = self._assign(people, found.boxes_xyxy)
            by_number = {p.number: p for p in people}
            for i in range(len(found)):
                if ids[i] == 0:
                    count += 1
                    ids[i] = count
                    people.append(_Person(count, found.boxes_xyxy[i], now))
                else:
                    person = by_number[int(ids[i])]
                    person.box_xyxy, person.seen_seconds = found.boxes_xyxy[i], now
            yield frame, Tracks(found, ids, np.zeros(len(found), np.bool_))

    def _assign(self, people: list[_Person], boxes: FloatArray) -> IntArray:
        """ID of each box [N], 0 for somebody new."""
        ids = np.zeros(len(boxes), np.int64)
        if not people or not len(boxes):
            return ids
        iou = box_iou(np.stack([p.box_xyxy for p in people]), boxes)
        iou[iou < self._min_iou] = 0
        for i, j in zip(*linear_sum_assignment(iou, maximize=True), strict=True):
            if iou[i, j] > 0:
                ids[j] = people[i].number
        return ids


def box_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of every pair of boxes xyxy, [N, 4] and [M, 4] to [N, M]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    total = areas[0][:, None] + areas[1][None] - common
    iou: FloatArray = (common / np.maximum(total, 1e-9)).astype(np.float32)
    return iou
