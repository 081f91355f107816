"""Pure functions that turn the masks of Mask R-CNN and of CSE into one mask a person (thesis 4.3.2 and 5.3.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from anonymize.core.types import BoolArray, FloatArray, RegionMask

IOU_THRESHOLD = 0.4


def mask_iou(a: RegionMask, b: RegionMask) -> float:
    """Intersection over union of two masks of the same frame, in [0, 1]; 0 if both are empty."""
    common = a.common(b)
    return common / max(1, a.area + b.area - common)


def match_by_iou(
    a: Sequence[RegionMask], b: Sequence[RegionMask], *, threshold: float = IOU_THRESHOLD
) -> list[tuple[int, int]]:
    """Pairs (i, j) of masks that show the same person: the assignment with the largest total IoU.

    Args:
        a: Masks of one frame, for example of Mask R-CNN.
        b: Masks of the same frame, for example of CSE.
        threshold: Pairs with a lower IoU are no pairs.
    """
    if not a or not b:
        return []
    iou = np.array([[mask_iou(x, y) for y in b] for x in a])
    iou[iou < threshold] = 0  # a hopeless pair must not take a partner away from a good one
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if iou[i, j] > 0]


def sample(region: RegionMask, box_xyxy: FloatArray, size: int) -> BoolArray:
    """A mask read at `size` x `size` points of a box, the reverse of `paste`.

    Args:
        region: The mask.
        box_xyxy: [4] float32; may reach over the frame.
        size: S, points along a side.

    Returns:
        [S, S] bool, whether the pixel at the centre of each point's cell is in the mask.
    """
    (height, width), steps = region.mask.shape, (np.arange(size) + 0.5) / size
    x = np.floor(box_xyxy[0] + steps * (box_xyxy[2] - box_xyxy[0])).astype(np.int64) - region.x
    y = np.floor(box_xyxy[1] + steps * (box_xyxy[3] - box_xyxy[1])).astype(np.int64) - region.y
    columns, rows = (np.flatnonzero((axis >= 0) & (axis < end)) for axis, end in ((x, width), (y, height)))
    read = np.zeros((size, size), np.bool_)
    read[np.ix_(rows, columns)] = region.mask[np.ix_(y[rows], x[columns])]
    return read
