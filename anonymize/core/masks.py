"""What several stages do with a person's mask. This module imports no stage."""

from __future__ import annotations

import cv2
import numpy as np

from anonymize.core.types import BoolArray, FloatArray, RegionMask


def tighten(region: RegionMask) -> RegionMask:
    """The same mask without empty rows and columns around."""
    tight = RegionMask.from_full(region.mask)
    return RegionMask(tight.x + region.x, tight.y + region.y, tight.mask) if tight.mask.size else tight


def grow(mask: RegionMask, radius: int, size_hw: tuple[int, int]) -> RegionMask:
    """A mask grown by a number of pixels, inside a frame of `size_hw`."""
    if not mask.mask.size:
        return mask
    left, top = max(0, mask.x - radius), max(0, mask.y - radius)
    right, bottom = min(size_hw[1], mask.box_xyxy[2] + radius), min(size_hw[0], mask.box_xyxy[3] + radius)
    outside = np.ones((bottom - top, right - left), np.uint8)
    height, width = mask.mask.shape
    outside[mask.y - top : mask.y - top + height, mask.x - left : mask.x - left + width] -= mask.mask.view(np.uint8)
    # dilation by a disc takes twice the time
    return RegionMask(left, top, np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 3)) < radius + 0.5)


def fill_holes(mask: RegionMask, share: float) -> RegionMask:
    """A mask with those of its holes filled that have at most a share of its area.

    A hole is enclosed: it does not reach the rectangle's border.
    """
    if not mask.area:
        return mask
    empty = np.pad(~mask.mask, 1, constant_values=True).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(empty, connectivity=4)
    small = np.zeros(count, np.bool_)
    small[1:] = stats[1:, cv2.CC_STAT_AREA] <= share * mask.area
    small[[0, labels[0, 0]]] = False
    return RegionMask(mask.x, mask.y, mask.mask | small[labels][1:-1, 1:-1])


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


def add_to(canvas: BoolArray, mask: BoolArray, x: int, y: int) -> None:
    """Mark a mask, whose first pixel lies at column x and row y of the canvas, as far as it lies on it."""
    rows, columns = span(y, mask.shape[0], canvas.shape[0]), span(x, mask.shape[1], canvas.shape[1])
    canvas[rows, columns] |= mask[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]


def span(start: int, length: int, limit: int) -> slice:
    """The part of `length` places from `start` on that lies in [0, limit); empty ones begin at `start` clipped."""
    low = min(max(start, 0), limit)
    return slice(low, min(max(start + length, low), limit))
