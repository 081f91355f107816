"""Covers filled with what is behind them: as remembered, or else guessed from around."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from anonymize.core.types import Background, BoolArray, FloatArray, RegionMask, UInt8Array

CELLS = 48
"""Size to which the longer side of a place is reduced before it is filled."""
INPAINT_RADIUS_CELLS = 3
KNOWN_SHARE = 0.5
"""A cell is known if this share of its pixels is."""
SHARP_CELLS = 6.0
"""Depth in a place at which structure carried on from its border has lost half its weight to a smooth mean."""


FRINGE = 1 / 216
"""Width of the fringe round a cover, of the frame's height."""
MIN_FRINGE_PX = 2
CONTEXT_PX = 16
"""What is looked at round a cover, at least."""


@dataclass(frozen=True, eq=False)
class Place:
    """A part of a frame with all covers that are in it.

    Attributes:
        box_xyxy: Where it lies in the frame.
        image: [h, w, 3] uint8 RGB, the frame as it is.
        distance: [h, w] float32, pixels to the nearest one that is covered; 0 where covered.
        fringe: So near to a cover nothing is believed: the person's hair and blur may reach there.
    """

    box_xyxy: tuple[int, int, int, int]
    image: UInt8Array = field(repr=False)
    distance: FloatArray = field(repr=False)
    fringe: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the place in the frame."""
        left, top, right, bottom = self.box_xyxy
        return slice(top, bottom), slice(left, right)


Recall = Callable[[Place], tuple[UInt8Array, BoolArray]]
"""Gives colours [h, w, 3] uint8 of what is behind, and [h, w] bool where they can be believed."""


def fill_places(image: UInt8Array, covers: Sequence[RegionMask], recall: Recall | None = None) -> Background:
    """A frame with its covers filled.

    Args:
        image: [H, W, 3] uint8 RGB, the frame.
        covers: What must be covered.
        recall: Remembers what is behind; None where nothing is remembered.
    """
    filled, changed = image.copy(), np.zeros(image.shape[:2], np.bool_)
    for place in places_of(image, covers):
        hole = np.asarray(place.distance <= place.fringe)
        behind, unknown = place.image, hole
        if recall:
            colours, believed = recall(place)
            behind, unknown = behind.copy(), hole & ~believed
            cv2.copyTo(colours, (hole & believed).view(np.uint8), behind)
        behind = inpaint(behind, unknown)
        fringe = hole & (place.distance > 0)
        fade = place.distance[fringe][:, None] / (place.fringe + 1)
        rim = behind[fringe] + fade * (place.image[fringe].astype(np.float32) - behind[fringe])
        cv2.copyTo(behind, hole.view(np.uint8), filled[place.slices])
        filled[place.slices][fringe] = np.rint(rim).astype(np.uint8)
        changed[place.slices] |= hole
    return Background(filled, changed)


def fringe_of(size_hw: tuple[int, ...]) -> int:
    """Width of the fringe in a frame of this size, in pixels."""
    return max(MIN_FRINGE_PX, round(size_hw[0] * FRINGE))


def places_of(image: UInt8Array, covers: Sequence[RegionMask]) -> Iterator[Place]:
    """The parts of a frame round its covers; covers near each other are in one, so no two parts share a pixel."""
    (height, width), fringe = image.shape[:2], fringe_of(image.shape)
    reach = max(CONTEXT_PX, 8 * fringe)
    boxes = [region.box_xyxy for region in covers if region.area]
    for left, top, right, bottom in merged([(x - reach, y - reach, r + reach, b + reach) for x, y, r, b in boxes]):
        left, top, right, bottom = max(0, left), max(0, top), min(width, right), min(height, bottom)
        free = np.ones((bottom - top, right - left), np.uint8)
        for region in covers:
            x, y, r, b = region.box_xyxy
            if region.area and left <= x and top <= y and r <= right and b <= bottom:
                free[y - top : b - top, x - left : r - left][region.mask] = 0
        distance = np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, 3), np.float32)
        yield Place((left, top, right, bottom), image[top:bottom, left:right], distance, fringe)


def merged(boxes: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Rectangles that share no pixel, round rectangles that may."""
    apart: list[tuple[int, int, int, int]] = []
    for box in boxes:
        while near := [other for other in apart if overlap(box, other)]:
            apart = [b for b in apart if b not in near]
            left, top, right, bottom = zip(box, *near, strict=True)
            box = min(left), min(top), max(right), max(bottom)
        apart.append(box)
    return apart


def overlap(first_xyxy: Sequence[int], second_xyxy: Sequence[int]) -> bool:
    """Whether two rectangles share a pixel."""
    width = min(first_xyxy[2], second_xyxy[2]) - max(first_xyxy[0], second_xyxy[0])
    height = min(first_xyxy[3], second_xyxy[3]) - max(first_xyxy[1], second_xyxy[1])
    return width > 0 and height > 0


def inpaint(image: UInt8Array, hidden: BoolArray) -> UInt8Array:
    """Fill places from what is around them.

    At a reduced scale, structure is carried on from the border (Telea 2004); the deeper inside, the more of a smooth
    mean is mixed in, since fronts that meet in the middle show as seams.

    Args:
        image: [h, w, 3] uint8.
        hidden: [h, w] bool, the places; no pixel of them has a part in the result.

    Returns:
        [h, w, 3] uint8, equal to the image outside of the places; grey if all of it is hidden.
    """
    _, _, width, height = cv2.boundingRect(hidden.view(np.uint8))
    if not width:
        return image
    step = max(1.0, max(width, height) / CELLS)
    size = (max(1, round(hidden.shape[1] / step)), max(1, round(hidden.shape[0] / step)))
    seen = (~hidden).view(np.uint8) * np.uint8(255)
    known = cv2.bitwise_and(image, image, mask=seen)
    small = cv2.resize(known, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    share = cv2.resize(seen, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    weights = (share >= KNOWN_SHARE).astype(np.float32)
    colours = small / np.maximum(share, KNOWN_SHARE)[..., None]
    smooth = push_pull(np.asarray(colours, np.float32), weights, empty=127.5)
    unknown = (weights == 0).astype(np.uint8)
    sharp = cv2.inpaint(colours.clip(0, 255).astype(np.uint8), unknown, INPAINT_RADIUS_CELLS, cv2.INPAINT_TELEA)
    depth = cv2.distanceTransform(unknown, cv2.DIST_L2, 3) if weights.any() else np.full(weights.shape, np.inf)
    near = np.exp2(-depth / SHARP_CELLS)[..., None].astype(np.float32)
    mixed = np.rint(smooth + near * (sharp - smooth)).clip(0, 255).astype(np.uint8)
    filled = cv2.resize(mixed, hidden.shape[::-1], interpolation=cv2.INTER_CUBIC if step > 1 else cv2.INTER_NEAREST)
    return np.asarray(cv2.copyTo(image, seen, filled), np.uint8)


def push_pull(values: FloatArray, weights: FloatArray, *, empty: float = 0.0) -> FloatArray:
    """Smooth interpolation of scattered samples by a pyramid (Gortler et al. 1996, "The Lumigraph", section 3.4).

    Each level halves the picture, with averages of what is known; what is unknown of a level is taken from the next.

    Args:
        values: [h, w, C] float32; what has weight 0 has no part in the result.
        weights: [h, w] float32 in [0, 1]; 1 keeps a sample as it is.
        empty: The result where nothing at all is known.

    Returns:
        [h, w, C] float32.
    """
    height, width = weights.shape
    if weights.min() >= 1:
        return values
    known = np.where(weights[..., None] > 0, values, np.float32(0)) * weights[..., None]
    if max(height, width) <= 2:
        total = weights.sum()
        mean = known.sum((0, 1)) / total if total > 0 else np.full(values.shape[2], empty, np.float32)
        below = np.broadcast_to(mean.astype(np.float32), values.shape)
        return np.asarray(known + (1 - weights[..., None]) * below, np.float32)
    small = cv2.pyrDown(np.dstack([known, weights]))
    weight = small[..., -1]
    mean = small[..., :-1] / np.maximum(weight, 1e-6)[..., None]
    # an average of half known samples is as good as known: doubt must not grow from level to level
    below = push_pull(np.asarray(mean, np.float32), np.minimum(1, 2 * weight).astype(np.float32), empty=empty)
    wide = np.asarray(cv2.pyrUp(below, dstsize=(width, height)), np.float32).reshape(values.shape)
    return np.asarray(known + (1 - weights[..., None]) * wide, np.float32)
