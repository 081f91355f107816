"""Pure functions that turn the masks of Mask R-CNN and of CSE into one mask a person (thesis 4.3.2 and 5.3.5)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from anonymize.types import BoolArray, FloatArray, RegionMask

IOU_THRESHOLD = 0.4
DILATION = 0.02  # of the person's size: covers the rim that a 28 x 28 mask cannot resolve
MIN_DILATION_PX = 2


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


def dilate(region: RegionMask, size_hw: tuple[int, int], *, share: float = DILATION) -> RegionMask:
    """Grow a mask by a share of the person's size, at least `MIN_DILATION_PX`, inside a frame of `size_hw`.

    The size is the longer side of the mask's rectangle: a standing person's height.
    """
    if not region.area:
        return region
    radius = max(MIN_DILATION_PX, round(share * max(region.mask.shape)))
    left, top = max(0, region.x - radius), max(0, region.y - radius)
    right, bottom = (
        min(size_hw[1], region.x + region.mask.shape[1] + radius),
        min(size_hw[0], region.y + region.mask.shape[0] + radius),
    )
    grown = np.zeros((bottom - top, right - left), np.uint8)
    y, x = region.y - top, region.x - left
    grown[y : y + region.mask.shape[0], x : x + region.mask.shape[1]] = region.mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return RegionMask(left, top, cv2.dilate(grown, kernel).astype(np.bool_))


def paste(values: FloatArray, box_xyxy: FloatArray, size_hw: tuple[int, int], *, threshold: float = 0.5) -> RegionMask:
    """Stretch a head's output over its box and cut it at a threshold (He et al. 2017, section 3.1).

    Args:
        values: [S, S] float32 in [0, 1] over the box.
        box_xyxy: [4] float32; may reach over the frame.
        size_hw: Size of the frame.
        threshold: A pixel belongs to the mask above it.
    """
    left, top = max(0, int(np.floor(box_xyxy[0]))), max(0, int(np.floor(box_xyxy[1])))
    right, bottom = min(size_hw[1], int(np.ceil(box_xyxy[2]))), min(size_hw[0], int(np.ceil(box_xyxy[3])))
    if right <= left or bottom <= top:
        return RegionMask(0, 0, np.zeros((0, 0), np.bool_))
    scale_y = values.shape[0] / max(1e-6, float(box_xyxy[3] - box_xyxy[1]))
    scale_x = values.shape[1] / max(1e-6, float(box_xyxy[2] - box_xyxy[0]))
    # pixel centres of the frame in the head's own pixels
    map_y = (np.arange(top, bottom, dtype=np.float32) + 0.5 - box_xyxy[1]) * scale_y - 0.5
    map_x = (np.arange(left, right, dtype=np.float32) + 0.5 - box_xyxy[0]) * scale_x - 0.5
    grid_x, grid_y = np.meshgrid(map_x.astype(np.float32), map_y.astype(np.float32))
    stretched = cv2.remap(values.astype(np.float32), grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return RegionMask(left, top, stretched > threshold)


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


def without(mask: BoolArray, regions: Sequence[RegionMask]) -> BoolArray:
    """A copy of a whole frame's mask [H, W] without the pixels of some regions."""
    rest = mask.copy()
    for region in regions:
        rest[region.slices] &= ~region.mask
    return rest
