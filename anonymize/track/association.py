"""Who is who: people known from before are assigned to what is found in a frame.

The two steps of ByteTrack (Zhang et al. 2022): first the sure detections, then, for those who are left, the unsure
ones. After them somebody who was out of sight comes back to a sure detection that moves or looks the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from anonymize.track.geometry import box_iou, centre_distance, pair_mask_iou
from anonymize.types import BoolArray, FloatArray, IntArray

Boxes = npt.NDArray[np.float64]
Pairs = list[tuple[int, int]]

MIN_OVERLAP = 0.15
MIN_OVERLAP_UNSURE = 0.35
LOOKS_WEIGHT = 0.35  # against overlap
SAME_LOOKS = 0.1  # distance of looks at which two are as likely one person as two
OTHER_LOOKS = 0.3  # nobody changes that much from frame to frame
BACK_LOOKS = 0.09  # ... and to be known again after an absence it takes this
BACK_RATIO = 0.75  # everybody else must look this much less alike
BACK_REACH = (1.0, 2.5)  # how far somebody can have gone, in heights: at once and a second
MOTION_REACH = (0.35, 0.5)  # ... if only the motion tells that it is them
MOTION_SECONDS = 1.5
SIZE_RATIO = 1.6


@dataclass(frozen=True, eq=False)
class Group:
    """People of one side of an assignment.

    Attributes:
        boxes: [N, 4] float64 xyxy, where they are or are expected.
        grids: [N, 28, 14] bool, their masks seen through the boxes.
    """

    boxes: Boxes
    grids: BoolArray

    def __getitem__(self, rows: IntArray) -> Group:
        return Group(self.boxes[rows], self.grids[rows])


def overlap(known: Group, found: Group) -> FloatArray:
    """Mean of box and mask IoU, [N, M] float32."""
    total = box_iou(known.boxes, found.boxes)
    i, j = np.nonzero(total > 0.05)
    if len(i):
        total[i, j] += pair_mask_iou(known.boxes[i], known.grids[i], found.boxes[j], found.grids[j])
    total /= 2
    return total


def assign(score: FloatArray, allowed: BoolArray) -> Pairs:
    """Pairs (row, column) of the largest total score (Kuhn 1955), [N, M] each, among the allowed ones."""
    if not allowed.any():
        return []
    rows, columns = linear_sum_assignment(np.where(allowed, score + 1, 0), maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]


def likeness(distance: FloatArray) -> FloatArray:
    """Looks of every pair in [0, 1]; where nothing is known as for two who are as likely one person as two."""
    like: FloatArray = np.exp2(-((distance / SAME_LOOKS) ** 2)).astype(np.float32)
    return np.where(np.isnan(distance), np.float32(0.5), like)


def pair_sure(known: Group, found: Group, looks: FloatArray) -> Pairs:
    """First step: people seen lately and sure detections; `looks` is the distance of their looks [N, M]."""
    common = overlap(known, found)
    allowed = common > MIN_OVERLAP
    allowed &= ~((looks > OTHER_LOOKS) & (common < 0.5))
    return assign(common + LOOKS_WEIGHT * likeness(looks), allowed)


def pair_unsure(known: Group, found: Group) -> Pairs:
    """Second step: the rest of the people and the detections of a low score, which are often half hidden."""
    common = overlap(known, found)
    return assign(common, common > MIN_OVERLAP_UNSURE)


def pair_returned(
    known: Boxes, found: Boxes, looks: FloatArray, others: FloatArray, absent_seconds: npt.NDArray[np.float64]
) -> Pairs:
    """Third step: people who are missing, and sure detections of nobody yet.

    Args:
        known: [N, 4] where the missing are expected.
        found: [M, 4].
        looks: [N, M] distance of their looks.
        others: [N, M] distance of the looks of whoever else looks most like the detection.
        absent_seconds: [N] how long they are missing.
    """
    apart = centre_distance(known, found)
    heights = [boxes[:, 3] - boxes[:, 1] for boxes in (known, found)]
    ratio = heights[0][:, None] / np.maximum(heights[1][None], 1)
    absent = absent_seconds[:, None]
    alike = (looks < BACK_LOOKS) & (looks < BACK_RATIO * np.nan_to_num(others, nan=np.inf))
    alike &= apart < BACK_REACH[0] + BACK_REACH[1] * absent
    near = (apart < MOTION_REACH[0] + MOTION_REACH[1] * absent) & (absent < MOTION_SECONDS)
    near &= (ratio < SIZE_RATIO) & (ratio > 1 / SIZE_RATIO) & ~(looks > OTHER_LOOKS)
    return assign((likeness(looks) + 1 / (1 + apart)).astype(np.float32), alike | near)
