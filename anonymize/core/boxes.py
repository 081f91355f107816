"""Boxes, corner by corner (xyxy, pixels): areas and overlap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anonymize.core.types import FloatArray

Boxes = npt.NDArray[np.floating]


def box_areas(boxes: Boxes) -> FloatArray:
    """Areas [N] of boxes [N, 4]."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    areas: FloatArray = width * height
    return areas


def box_common(a: Boxes, b: Boxes) -> FloatArray:
    """Area that every pair of boxes has in common, [N, 4] and [M, 4] to [N, M]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    width, height = np.maximum(high - low, 0).transpose(2, 0, 1)
    common: FloatArray = width * height
    return common


def box_iou(a: Boxes, b: Boxes) -> FloatArray:
    """Intersection over union of every pair of boxes, [N, 4] and [M, 4] to [N, M] float32."""
    common = box_common(a, b)
    total = box_areas(a)[:, None] + box_areas(b)[None] - common
    iou: FloatArray = (common / np.maximum(total, 1e-9)).astype(np.float32)
    return iou


def box_share(a: Boxes, b: Boxes) -> FloatArray:
    """Share of each of the boxes `a` [N, 4] that each of the boxes `b` [M, 4] covers, [N, M] float32 in [0, 1]."""
    share: FloatArray = (box_common(a, b) / np.maximum(box_areas(a), 1)[:, None]).astype(np.float32)
    return share


def iou_of(a: Boxes, b: Boxes) -> float:
    """Intersection over union of two boxes [4]; for a single pair a tenth of the time of `box_iou`."""
    left, top, right, bottom = a.tolist()
    x1, y1, x2, y2 = b.tolist()
    common = max(0.0, min(right, x2) - max(left, x1)) * max(0.0, min(bottom, y2) - max(top, y1))
    total = (right - left) * (bottom - top) + (x2 - x1) * (y2 - y1) - common
    return float(common / max(total, 1e-9))
