"""From RGB to the samples of a film, for the part of a picture that was edited.

Pure functions on numpy arrays. The equations are those of Rec. ITU-T H.273 (07/2021), section 8.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from anonymize.core.types import BoolArray, UInt8Array

RED_AND_BLUE_WEIGHTS = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 BG, which is BT.601 with 625 lines
    6: (0.299, 0.114),  # BT.601 with 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
    10: (0.2627, 0.0593),
}
"""Weight of red and of blue in the luma, by H.273 matrix coefficients."""


def matrix_or_default(matrix: int, height: int) -> int:
    """A film that does not name its matrix is taken as players take it: BT.709 from 720 lines on, else BT.601."""
    if matrix in RED_AND_BLUE_WEIGHTS:
        return matrix
    return 1 if height >= 720 else 6


def rgb_to_yuv(matrix: int, full_range: bool, depth: int) -> npt.NDArray[np.float64]:
    """The affine map from 8-bit R'G'B' to Y'CbCr code values.

    Args:
        matrix: H.273 matrix coefficients, one of `RED_AND_BLUE_WEIGHTS`.
        full_range: Code values use the whole range rather than the limited ("video") one.
        depth: Bits per sample.

    Returns:
        [3, 4] float64; rows Y, Cb, Cr; the last column is the offset.
    """
    red, blue = RED_AND_BLUE_WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    signal = np.stack([luma, ([0, 0, 1] - luma) / (2 - 2 * blue), ([1, 0, 0] - luma) / (2 - 2 * red)])
    step = 1 << (depth - 8)
    if full_range:
        scale, offset = np.full(3, 256 * step - 1), np.array([0, 128, 128]) * step
    else:
        scale, offset = np.array([219, 224, 224]) * step, np.array([16, 128, 128]) * step
    return np.concatenate([signal * (scale / 255)[:, None], offset[:, None]], axis=1)


def paint(
    planes: Sequence[npt.NDArray[Any]],
    image: UInt8Array,
    mask: BoolArray | None,
    *,
    matrix: int,
    full_range: bool,
    depth: int,
) -> None:
    """Write edited pixels into the planes of a picture, in place.

    Luma changes only where the mask is True. A chroma sample that covers several pixels changes when any of them is
    edited, to the mean of all of them in `image`, so no colour of what was edited away is left at the rim. Only the
    rectangle around the mask is worked on.

    Args:
        planes: Y [H, W], Cb and Cr [ceil(H / v), ceil(W / u)], uint8 or uint16, where u and v are 1 or 2.
        image: [H, W, 3] uint8 RGB, turned as the planes are.
        mask: [H, W] bool, or None for every pixel.
        matrix: H.273 matrix coefficients.
        full_range: Whether the planes use the full range.
        depth: Bits per sample.
    """
    luma, *chroma = planes
    v, u = (-(-luma.shape[axis] // chroma[0].shape[axis]) for axis in (0, 1))
    top, bottom, left, right = (0, *luma.shape[:1], 0, *luma.shape[1:]) if mask is None else _bounds(mask)
    if top == bottom:
        return
    top, left = top - top % v, left - left % u
    bottom, right = min(bottom + -bottom % v, luma.shape[0]), min(right + -right % u, luma.shape[1])
    box = slice(top, bottom), slice(left, right)
    patch = np.ascontiguousarray(image[box])
    chosen = np.ones(patch.shape[:2], np.bool_) if mask is None else mask[box]
    coefficients = rgb_to_yuv(matrix, full_range, depth)

    luma[box][chosen] = _transform(patch, coefficients[:1], depth)[chosen]

    if u > 1 or v > 1:
        # At an odd edge the last chroma sample covers fewer pixels; repeating them keeps the mean.
        pad = -patch.shape[0] % v, -patch.shape[1] % u
        patch = cv2.copyMakeBorder(patch, 0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
        chosen = np.pad(chosen, ((0, pad[0]), (0, pad[1])))
        size_wh = patch.shape[1] // u, patch.shape[0] // v
        patch = cv2.resize(patch, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        chosen = np.logical_or.reduce([chosen[y::v, x::u] for y in range(v) for x in range(u)])
    box = slice(top // v, top // v + patch.shape[0]), slice(left // u, left // u + patch.shape[1])
    for plane, row in zip(chroma, (1, 2), strict=True):
        plane[box][chosen] = _transform(patch, coefficients[row : row + 1], depth)[chosen]


def _bounds(mask: BoolArray) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the True pixels, bottom and right exclusive; all 0 where there are none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return 0, 0, 0, 0
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    return top, bottom, int(columns[0]), int(columns[-1]) + 1


def _transform(rgb: UInt8Array, row: npt.NDArray[np.float64], depth: int) -> npt.NDArray[Any]:
    """One plane [H, W] of `rgb` [H, W, 3], rounded and kept within the depth."""
    samples: npt.NDArray[Any] = rgb if depth == 8 else rgb.astype(np.uint16)
    plane = np.asarray(cv2.transform(samples, row)).reshape(rgb.shape[:2])
    return plane if depth == 8 else np.minimum(plane, (1 << depth) - 1)
