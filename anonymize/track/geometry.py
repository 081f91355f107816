"""Boxes and masks: overlap, moving one to where another one is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np

from anonymize.core.boxes import Boxes, box_areas
from anonymize.core.types import BoolArray, FloatArray, IntArray, RegionMask
from anonymize.track.config import GRID_HW


def mask_grids(masks: Sequence[RegionMask], boxes: Boxes, *, error: float = 0.0) -> BoolArray:
    """N masks seen through their boxes [N, 4] at [28, 14] points each, [N, 28, 14].

    Args:
        masks: The masks.
        boxes: The boxes.
        error: Of the outlines, a share of the longer side; a point that a mask misses by less is inside. Limbs and
            people cut off by the frame are hardly wider, and may otherwise not overlap with the frame before.
    """
    grids = np.zeros((len(masks), *GRID_HW), np.bool_)
    shares_y, shares_x = ((np.arange(size) + 0.5) / size for size in GRID_HW)
    starts = np.array([(mask.x, mask.y) for mask in masks], np.int64).reshape(-1, 2)
    x = boxes[:, :1] + shares_x * (boxes[:, 2:3] - boxes[:, :1])
    y = boxes[:, 1:2] + shares_y * (boxes[:, 3:] - boxes[:, 1:2])
    all_columns, all_rows = np.floor(x).astype(np.int64) - starts[:, :1], np.floor(y).astype(np.int64) - starts[:, 1:]
    for grid, mask, columns, rows in zip(grids, masks, all_columns, all_rows, strict=True):
        if mask.mask.size:
            reach = round(error * max(mask.mask.shape))
            for down, right in product({-reach, 0, reach}, repeat=2):
                grid |= _read(mask.mask, rows + down, columns + right)
    return grids


def _read(mask: BoolArray, rows: IntArray, columns: IntArray) -> BoolArray:
    """A mask [h, w] at rows and columns, which may lie outside of it."""
    height, width = mask.shape
    if rows[0] >= 0 and rows[-1] < height and columns[0] >= 0 and columns[-1] < width:
        return mask[rows[:, None], columns]
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    seen: BoolArray = mask[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)] & inside
    return seen


def pair_mask_overlap(
    boxes_a: Boxes, grids_a: BoolArray, boxes_b: Boxes, grids_b: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """How P pairs of masks overlap, from boxes [P, 4] and what is seen through them [P, 28, 14].

    Returns:
        Intersection over union [P], and share of the first that lies in the second [P].
    """
    low, high = np.maximum(boxes_a[:, :2], boxes_b[:, :2]), np.minimum(boxes_a[:, 2:], boxes_b[:, 2:])
    size = np.maximum(high - low, 0)
    inside, areas = [], []
    rows, columns = GRID_HW
    first = rows * np.arange(len(size))[:, None]  # row of each pair in all grids one below the other
    for boxes, grids in ((boxes_a, grids_a), (boxes_b, grids_b)):
        extent = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
        start, step = (low - boxes[:, :2]) / extent, size / extent
        u = (start[:, :1] + step[:, :1] * (np.arange(columns) + 0.5) / columns) * columns
        v = (start[:, 1:] + step[:, 1:] * (np.arange(rows) + 0.5) / rows) * rows
        u, v = np.minimum(u.astype(np.int64), columns - 1), np.minimum(v.astype(np.int64), rows - 1)
        inside.append(grids.take((first + v)[:, :, None] * columns + u[:, None]))
        areas.append(grids.mean((1, 2)) * box_areas(boxes))
    common = (inside[0] & inside[1]).mean((1, 2)) * size.prod(1)
    iou: FloatArray = (common / np.maximum(areas[0] + areas[1] - common, 1e-9)).astype(np.float32)
    share: FloatArray = (common / np.maximum(areas[0], 1e-9)).astype(np.float32)
    return iou, share


def share_in_any(box: Boxes, grid: BoolArray, boxes: Boxes, grids: BoolArray) -> float:
    """Share of a mask that lies in any of N others, in [0, 1].

    Args:
        box, grid: [4] and [28, 14] bool, the mask seen through its box.
        boxes, grids: [N, 4] and [N, 28, 14] bool, the others.
    """
    rows, columns = GRID_HW
    x = box[0] + (np.arange(columns) + 0.5) / columns * (box[2] - box[0])
    y = box[1] + (np.arange(rows) + 0.5) / rows * (box[3] - box[1])
    extent = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    u = np.floor((x - boxes[:, :1]) / extent[:, :1] * columns).astype(np.int64)
    v = np.floor((y - boxes[:, 1:2]) / extent[:, 1:] * rows).astype(np.int64)
    inside = ((v >= 0) & (v < rows))[:, :, None] & ((u >= 0) & (u < columns))[:, None]
    held = grids[np.arange(len(grids))[:, None, None], v.clip(0, rows - 1)[:, :, None], u.clip(0, columns - 1)[:, None]]
    return float(((held & inside).any(0) & grid).sum() / max(1, int(grid.sum())))


def empty_mask() -> RegionMask:
    """A mask without pixels."""
    return RegionMask(0, 0, np.zeros((0, 0), np.bool_))


def move_mask(mask: RegionMask, from_box: Boxes, to_box: Boxes, size_hw: tuple[int, int]) -> RegionMask:
    """A mask carried along when its box [4] becomes another one [4], cut at the frame of `size_hw`."""
    if not mask.mask.size:
        return mask
    (from_x, from_y, from_right, from_bottom), (to_x, to_y, to_right, to_bottom) = from_box.tolist(), to_box.tolist()
    scale_x = (to_right - to_x) / max(from_right - from_x, 1e-6)
    scale_y = (to_bottom - to_y) / max(from_bottom - from_y, 1e-6)
    x, y = (mask.x - from_x) * scale_x + to_x, (mask.y - from_y) * scale_y + to_y
    left, top = round(x), round(y)
    width = max(1, round(x + mask.mask.shape[1] * scale_x) - left)
    height = max(1, round(y + mask.mask.shape[0] * scale_y) - top)
    moved = mask.mask
    if (height, width) != moved.shape:
        if abs(height - moved.shape[0]) <= 1 and abs(width - moved.shape[1]) <= 1:
            height, width = moved.shape  # a pixel more or less is not worth the cost
        elif height > 2 * size_hw[0] or width > 2 * size_hw[1]:
            return empty_mask()
        else:
            moved = cv2.resize(moved.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(
                np.bool_
            )
    x1, y1, x2, y2 = max(0, left), max(0, top), min(size_hw[1], left + width), min(size_hw[0], top + height)
    if x2 <= x1 or y2 <= y1:
        return empty_mask()
    return RegionMask(x1, y1, moved[y1 - top : y2 - top, x1 - left : x2 - left])


def hull(mask: RegionMask) -> RegionMask:
    """The smallest convex region that holds a mask."""
    points = cv2.findNonZero(mask.mask.view(np.uint8))
    if points is None:
        return mask
    filled = np.zeros(mask.mask.shape, np.uint8)
    return RegionMask(mask.x, mask.y, cv2.fillConvexPoly(filled, cv2.convexHull(points), 1).astype(np.bool_))


def up_to_border(mask: RegionMask, size_hw: tuple[int, int]) -> RegionMask:
    """A mask at the left or right border of a frame, with all between it and the border."""
    pixels = mask.mask
    if mask.box_xyxy[2] == size_hw[1]:
        pixels = np.logical_or.accumulate(pixels, axis=1)
    if mask.x == 0:
        pixels = np.logical_or.accumulate(pixels[:, ::-1], axis=1)[:, ::-1]
    return RegionMask(mask.x, mask.y, pixels)


def mask_of_grid(grid: BoolArray, box: Boxes, size_hw: tuple[int, int]) -> RegionMask:
    """The mask in a box [4] of which only what `mask_grids` has read is known, [28, 14] bool."""
    rows, columns = GRID_HW
    return move_mask(RegionMask(0, 0, grid), np.array([0.0, 0.0, columns, rows]), box, size_hw)


def centre_distance(a: Boxes, b: Boxes) -> FloatArray:
    """Distance of the centres of every pair of boxes [N, 4] and [M, 4] in mean heights, [N, M]."""
    centres = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (a, b)]
    heights = [boxes[:, 3] - boxes[:, 1] for boxes in (a, b)]
    apart = np.linalg.norm(centres[0][:, None] - centres[1][None], axis=2)
    distance: FloatArray = (apart / np.maximum((heights[0][:, None] + heights[1][None]) / 2, 1)).astype(np.float32)
    return distance


def rows_of(chosen: BoolArray) -> IntArray:
    """Indices of the True."""
    return chosen.nonzero()[0].astype(np.int64, copy=False)
