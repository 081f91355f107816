"""Who is who: people known from before are assigned to what is found in a frame.

The two steps of ByteTrack (Zhang et al. 2022): first the sure detections, then, for those who are left, the unsure
ones. After them somebody who was out of sight for a moment comes back near to where they should be. Who was out of
sight for longer is known again by `identity`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from anonymize.core.types import BoolArray, FloatArray, IntArray
from anonymize.track.geometry import box_areas, box_common, box_iou, box_share, centre_distance, pair_mask_overlap

Boxes = npt.NDArray[np.float64]
Pairs = list[tuple[int, int]]

MIN_OVERLAP = 0.15
MIN_OVERLAP_UNSURE = 0.35
LOOKS_WEIGHT = 1.0  # against overlap
SUDDEN = 0.3  # whoever overlaps less with where they were expected may be somebody else
STEADY = 0.5  # ... more, goes on there
# distances of looks
CONFIRMED_LOOKS = 0.045  # whoever looks so much like somebody who may be there, is the one
DISTINCT_LOOKS = 0.03  # ... and that much less like another one, is not that one
SAME_LOOKS = 0.06  # two are as likely one person as two
CHANGED_LOOKS = 0.1  # nobody changes that much from frame to frame
NOT_THEM_LOOKS = 0.25  # it is somebody else, wherever they are
BACK_REACH = 0.5  # in heights, where somebody may come back who was missing for a few frames
LIKEST = 0.1  # quantile of views: others show half of somebody, or somebody else in front of them
SIZE_RATIO = 1.6
INSIDE = 0.8  # so much of somebody who enters lies where more of them is seen a moment later
CROWDED = 0.4  # who covers so much of another one, or is covered, may be taken for that one
CLEAR = 0.2  # ... so little, is by themselves


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
        total[i, j] += pair_mask_overlap(known.boxes[i], known.grids[i], found.boxes[j], found.grids[j])[0]
    total /= 2
    return total


def assign(score: FloatArray, allowed: BoolArray) -> Pairs:
    """Pairs (row, column) of the largest total score (Kuhn 1955) among the allowed ones.

    Args:
        score: [N, M] above 0. Two poor pairs are no better than a good one with somebody left over.
        allowed: [N, M].
    """
    if not allowed.any():
        return []
    rows, columns = linear_sum_assignment(np.where(allowed, score, 0), maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]


def likely(score: FloatArray) -> Pairs:
    """All pairs (row, column) of a score [N, M] above 0; more than one for a row or a column where it is open which."""
    rows, columns = np.nonzero(score > 0)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def likest(distance: FloatArray) -> FloatArray:
    """How different people and somebody look who was seen several times, [N]: the quantile `LIKEST` of all views.

    Args:
        distance: [N, V] of the looks of the people and each view; NaN where they cannot be compared.
    """
    if not distance.size:
        return np.full(len(distance), np.nan, np.float32)
    ordered = np.sort(distance, axis=1)  # NaN comes last
    last = np.maximum(np.isfinite(ordered).sum(1, keepdims=True) - 1, 0)
    at = LIKEST * last
    low, high = (np.take_along_axis(ordered, np.minimum(i, last), 1) for i in (at.astype(int), at.astype(int) + 1))
    said: FloatArray = (low + (high - low) * (at % 1))[:, 0].astype(np.float32)
    return said


def likeness(distance: FloatArray, trust: FloatArray) -> FloatArray:
    """Looks of every pair in [0, 1]; where nothing is known as for two who are as likely one person as two.

    Args:
        distance: [N, M] of the looks of people and detections; NaN where they cannot be compared.
        trust: [N] in [0, 1], how well the looks of the people are known.
    """
    like = np.exp2(-((distance / SAME_LOOKS) ** 2)).astype(np.float32)
    return np.where(np.isnan(distance), np.float32(0.5), 0.5 + (like - 0.5) * trust[:, None])


def goes_on(row: int, owners: list[int], common: FloatArray, distance: FloatArray) -> bool:
    """Whether a detection is where one of some well-known people should be and looks like them.

    Then it is no part of its owners, unless these are that person as well.

    Args:
        row, owners: The detection, and those whose part it may be.
        common: [N, M] overlap of the people and all detections.
        distance: [N, M] how different they look.
    """
    there = (common[:, row] > STEADY) & ~(distance[:, row] > SAME_LOOKS)
    return bool((there & (common[:, owners] < SUDDEN).all(1)).any())


def mistaken(common: FloatArray, distance: FloatArray, known: BoolArray) -> BoolArray:
    """Whether a detection looks unlike somebody and like somebody else, who is nowhere else, [N, M].

    Args:
        common: [N, M] overlap of people and detections.
        distance: [N, M] how different they look.
        known: [N] whose looks are to be believed.
    """
    at_home = (common > SUDDEN) & ~(distance > SAME_LOOKS)
    elsewhere = at_home.sum(1, keepdims=True) - at_home > 0
    likest = np.where(known[:, None] & ~elsewhere, distance, np.inf)
    least = np.fmin.reduce(likest, axis=0, initial=np.inf)
    another = least < np.minimum(CONFIRMED_LOOKS, distance - DISTINCT_LOOKS)
    found: BoolArray = known[:, None] & (distance > SAME_LOOKS) & another
    return found


def pair_sure(common: FloatArray, looks: FloatArray, trust: FloatArray) -> Pairs:
    """First step: people seen lately and sure detections.

    Args:
        common: [N, M] their overlap.
        looks, trust: The distance of their looks, which speak for a pair or against it, and what it is worth; see
            `likeness`.
    """
    allowed = common > MIN_OVERLAP
    allowed &= ~((looks > CHANGED_LOOKS) & (common < 0.6)) & ~(looks > NOT_THEM_LOOKS)
    score = common + LOOKS_WEIGHT * (likeness(looks, trust) - 0.5)
    return assign(np.maximum(score, 1e-3), allowed)


def pair_unsure(common: FloatArray) -> Pairs:
    """Second step: the rest of the people and the detections of a low score, which are often half hidden.

    Args:
        common: [N, M] their overlap.
    """
    return assign(common, common > MIN_OVERLAP_UNSURE)


def alike_sized(known: Boxes, found: Boxes) -> BoolArray:
    """Whether two lots of people have about the same height, [N, M]."""
    heights = [boxes[:, 3] - boxes[:, 1] for boxes in (known, found)]
    ratio = np.maximum(heights[0][:, None], 1) / np.maximum(heights[1][None], 1)
    alike: BoolArray = (ratio < SIZE_RATIO) & (ratio > 1 / SIZE_RATIO)
    return alike


def pair_returned(known: Boxes, found: Boxes, looks: FloatArray, trust: FloatArray, entering: BoolArray) -> Pairs:
    """Third step: people who have been missing for a moment, and sure detections near where they should be.

    Args:
        known, found: Boxes [N, 4] and [M, 4].
        looks, trust: The distance of their looks, and what it is worth; see `likeness`.
        entering: [N, M] whether the one has just been seen first, at the border, where the other is as well: more of
            them may be seen now, which is larger and may look different.
    """
    apart = centre_distance(known, found)
    grown = entering & (box_share(known, found) > INSIDE) & ~(looks > NOT_THEM_LOOKS)
    allowed = (apart < BACK_REACH) & (alike_sized(known, found) & ~(looks > CHANGED_LOOKS) | grown)
    return assign((likeness(looks, trust) + 1 / (1 + apart)).astype(np.float32), allowed)


def crowding(boxes: Boxes, others: Boxes) -> FloatArray:
    """How much each of some boxes [N, 4] covers of each of the others [M, 4], or is covered by it, [N, M] in [0, 1].

    A box is not its own neighbour.
    """
    least = np.minimum.outer(box_areas(boxes), box_areas(others))
    share = box_common(boxes, others) / np.maximum(least, 1)
    same = (boxes[:, None] == others[None]).all(2)
    crowded: FloatArray = np.where(same, 0, share).astype(np.float32)
    return crowded
