"""Association: tracks known from before are assigned to the detections of a frame.

The two steps of ByteTrack (Zhang et al. 2022): first the sure detections, then, for the tracks that are left, the
unsure ones. Third, tracks that were missed for a moment return near to their prediction. Tracks that were out of sight
for longer are known again by `reidentification`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from anonymize.core.boxes import box_iou, box_share
from anonymize.core.types import BoolArray, FloatArray, IntArray
from anonymize.track.config import TrackerConfig
from anonymize.track.geometry import centre_distance, pair_mask_overlap
from anonymize.track.model.evidence import Boxes, alike_sized, likeness

Pairs = list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Shapes:
    """N tracks or detections, for one side of an assignment.

    Attributes:
        boxes: [N, 4] float64 xyxy.
        grids: [N, 28, 14] bool, their masks read at points of the boxes.
    """

    boxes: Boxes
    grids: BoolArray

    def __getitem__(self, rows: IntArray) -> Shapes:
        return Shapes(self.boxes[rows], self.grids[rows])


def overlap(known: Shapes, found: Shapes) -> FloatArray:
    """Mean of box and mask IoU, [N, M] float32."""
    total = box_iou(known.boxes, found.boxes)
    i, j = np.nonzero(total > 0.05)  # masks are looked at where it can matter
    if len(i):
        total[i, j] += pair_mask_overlap(known.boxes[i], known.grids[i], found.boxes[j], found.grids[j])[0]
    total /= 2
    return total


def assign(score: FloatArray, allowed: BoolArray) -> Pairs:
    """Pairs (row, column) of the largest total score (Kuhn 1955) among the allowed ones.

    Args:
        score: [N, M] above 0. Two poor pairs are no better than a good one with a row and a column left over.
        allowed: [N, M].
    """
    if not allowed.any():
        return []
    rows, columns = linear_sum_assignment(np.where(allowed, score, 0), maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]


def continues_track(
    row: int, owners: list[int], overlaps: FloatArray, distance: FloatArray, config: TrackerConfig
) -> bool:
    """Whether a detection lies where a well-known track should be and looks like it.

    Then it is no part of its owners, unless these may be the same track.

    Args:
        row, owners: The detection, and those that it may be a part of.
        overlaps: [N, M] of well-known tracks and all detections.
        distance: [N, M] of their appearances.
        config: Thresholds.
    """
    there = (overlaps[:, row] > config.steady_overlap) & ~(distance[:, row] > config.same_distance)
    return bool((there & (overlaps[:, owners] < config.sudden_overlap).all(1)).any())


def better_explained_elsewhere(
    overlaps: FloatArray, distance: FloatArray, known: BoolArray, config: TrackerConfig
) -> BoolArray:
    """Whether a detection looks unlike a track and like another one that is not found elsewhere, [N, M].

    Args:
        overlaps: [N, M] of tracks and detections.
        distance: [N, M] of their appearances.
        known: [N] tracks whose appearance is believed.
        config: Thresholds.
    """
    at_home = (overlaps > config.sudden_overlap) & ~(distance > config.same_distance)
    elsewhere = at_home.sum(1, keepdims=True) - at_home > 0
    of_others = np.where(known[:, None] & ~elsewhere, distance, np.inf)
    least = np.fmin.reduce(of_others, axis=0, initial=np.inf)
    another = least < np.minimum(config.confirmed_distance, distance - config.distinct_distance)
    better: BoolArray = known[:, None] & (distance > config.same_distance) & another
    return better


def pair_sure(overlaps: FloatArray, distance: FloatArray, trusted: FloatArray, config: TrackerConfig) -> Pairs:
    """First step: tracks found lately and sure detections.

    Args:
        overlaps, distance: [N, M] of the tracks and detections.
        trusted: [N] see `trust`.
        config: Thresholds.
    """
    allowed = overlaps > config.min_overlap
    allowed &= ~((distance > config.changed_distance) & (overlaps < config.changed_overlap))
    allowed &= ~(distance > config.different_distance)
    score = overlaps + (likeness(distance, trusted, config) - 0.5)
    return assign(np.maximum(score, 1e-3), allowed)


def pair_unsure(overlaps: FloatArray, config: TrackerConfig) -> Pairs:
    """Second step: the tracks that are left and the detections of a low score, which are often half hidden.

    Args:
        overlaps: [N, M].
        config: Thresholds.
    """
    return assign(overlaps, overlaps > config.min_unsure_overlap)


def pair_returned(
    known: Boxes,
    found: Boxes,
    distance: FloatArray,
    trusted: FloatArray,
    entering: BoolArray,
    config: TrackerConfig,
) -> Pairs:
    """Third step: tracks that have been missed for a moment, and sure detections near to their prediction.

    Args:
        known, found: Boxes [N, 4] and [M, 4].
        distance, trusted: [N, M] of their appearances, and [N] see `trust`.
        entering: [N, M] whether the track has just appeared at the border, where the detection is as well: it may show
            more of the person now, which is larger and may look different.
        config: Thresholds.
    """
    apart = centre_distance(known, found)
    grown = entering & (box_share(known, found) > config.entering_share) & ~(distance > config.different_distance)
    alike = alike_sized(known, found, config) & ~(distance > config.changed_distance)
    allowed = (apart < config.max_return_heights) & (alike | grown)
    return assign((likeness(distance, trusted, config) + 1 / (1 + apart)).astype(np.float32), allowed)
