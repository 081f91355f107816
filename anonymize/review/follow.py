"""Follows a box that was drawn by hand through the frames after it, or before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from anonymize.core.types import UInt8Array

Box = npt.NDArray[np.float64]

WORKING_SIDE = 640
"""Longer side of the pictures in which the box is followed; all pixels below are those of these pictures."""
GRID = 12
"""Points along each side of the box whose flow is measured."""
MAX_RETURN_PX = 1.0
"""A point is trusted if its flow there and back ends so near to its beginning."""
MIN_TRUSTED_SHARE = 0.2
"""Of the points; the box is lost where fewer are trusted."""
MAX_SCALE_STEP = 1.15
"""A box grows or shrinks at most so much from one frame to the next."""
MIN_CORRELATION = 0.45
"""Below this correlation with what was drawn, and with the frame before, the box is lost."""
TEMPLATE_PX = 48
"""Side to which what is in the box is stretched before it is compared."""
SEARCH_SHARE = 0.12
"""What was drawn is looked for so far around the flow's place, over the box's side."""
MIN_SNAP_CORRELATION = 0.8
"""The box is moved to a place that looks as it was drawn from this correlation on."""
TOLERANCE_PX = 1.0
"""The way of a box is told by straight lines that are at most so far from it, in pixels of the film."""


def follow(images: Iterable[UInt8Array], box: Box, count: int) -> Iterator[Box | None]:
    """Follow a box by the median of its points' flow (Kalal et al. 2010), held to what was drawn by a template.

    Args:
        images: [H, W, 3] uint8 RGB, in the order in which the box is followed; the box was drawn in the first.
        box: [4] float64 xyxy.
        count: Frames to follow it for, the first included.

    Yields:
        The box in each frame, [4] float64; None from the frame on in which it is lost, to the end.
    """
    here: Box | None = box.astype(np.float64)
    before: UInt8Array | None = None
    drawn: UInt8Array | None = None
    for number, image in enumerate(images):
        if number >= count:
            return
        if here is None:
            yield None
            continue
        scale = min(1.0, WORKING_SIDE / max(image.shape[:2]))
        now = _small_grey(image, scale)
        if before is None or drawn is None:
            drawn = _patch(now, here * scale)
        else:
            moved = _step(before, now, here * scale)
            if moved is not None:
                moved = _snap(now, moved, drawn)
                patch, last = _patch(now, moved), _patch(before, here * scale)
                if max(_correlation(patch, drawn), _correlation(patch, last)) < MIN_CORRELATION or _outside(moved, now):
                    moved = None
            here = None if moved is None else moved / scale
        before = now
        yield None if here is None else here.copy()


def straight_parts(boxes: Box, first: int) -> list[dict[str, Any]]:
    """The way of a box as entries of a tracks file: frames, and corners at their first and last.

    Args:
        boxes: [N, 4] float64 xyxy in frames in a row.
        first: Number of the first of these.

    Returns:
        Entries with `first`, `last`, `box` and, where it moves, `box_last`.
    """
    knots = _knots(boxes, 0, len(boxes) - 1)
    parts = []
    for start, stop in zip(knots, [*knots[1:], len(boxes)], strict=True):
        end = stop - 1
        last = boxes[start] + (boxes[min(stop, len(boxes) - 1)] - boxes[start]) * (
            (end - start) / max(1, min(stop, len(boxes) - 1) - start)
        )
        part = {"first": first + start, "last": first + end, "box": _told(boxes[start])}
        if end > start and _told(last) != part["box"]:
            part["box_last"] = _told(last)
        parts.append(part)
    return parts


def _told(box: Box) -> list[float]:
    return [round(float(value), 1) for value in box]


def _knots(boxes: Box, start: int, end: int) -> list[int]:
    """Frames at which the lines begin (Douglas and Peucker 1973), without the last one."""
    knots, waiting = [start], [(start, end)]
    while waiting:
        low, high = waiting.pop()
        if high - low < 2:
            continue
        share = ((np.arange(low, high + 1) - low) / (high - low))[:, None]
        away = np.abs(boxes[low] + (boxes[high] - boxes[low]) * share - boxes[low : high + 1]).max(axis=1)
        worst = int(away.argmax())
        if away[worst] > TOLERANCE_PX:
            knots.append(low + worst)
            waiting += [(low, low + worst), (low + worst, high)]
    return sorted(knots)


def _small_grey(image: UInt8Array, scale: float) -> UInt8Array:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def _step(before: UInt8Array, now: UInt8Array, box: Box) -> Box | None:
    """The box in the next picture by the flow of points inside; None where too few can be followed."""
    height, width = before.shape
    inset = (box[2:] - box[:2]) * 0.1
    x = np.linspace(box[0] + inset[0], box[2] - inset[0], GRID)
    y = np.linspace(box[1] + inset[1], box[3] - inset[1], GRID)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    points = points[(points >= 0).all(axis=1) & (points < (width, height)).all(axis=1)]
    if len(points) < 8:
        return None
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, now, points, None, winSize=(15, 15), maxLevel=4)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(now, before, there, None, winSize=(15, 15), maxLevel=4)
    error = np.linalg.norm(back - points, axis=1)
    good = (found.ravel() == 1) & (found_back.ravel() == 1) & (error <= MAX_RETURN_PX)
    if good.sum() < max(6, MIN_TRUSTED_SHARE * len(points)):
        return None
    old, new = points[good].astype(np.float64), there[good].astype(np.float64)
    shift = np.median(new - old, axis=0)
    spread_old = np.linalg.norm(old[:, None] - old[None], axis=2)[np.triu_indices(len(old), 1)]
    spread_new = np.linalg.norm(new[:, None] - new[None], axis=2)[np.triu_indices(len(old), 1)]
    far = spread_old > 2
    scale = float(np.median(spread_new[far] / spread_old[far])) if far.any() else 1.0
    scale = min(max(scale, 1 / MAX_SCALE_STEP), MAX_SCALE_STEP)
    centre, half = (box[:2] + box[2:]) / 2 + shift, (box[2:] - box[:2]) / 2 * scale
    return np.concatenate([centre - half, centre + half])


def _snap(now: UInt8Array, box: Box, drawn: UInt8Array) -> Box:
    """The box moved to where it looks as it was drawn, if it clearly does; so that small errors do not add up."""
    side = box[2:] - box[:2]
    reach = SEARCH_SHARE * side
    around = np.concatenate([box[:2] - reach, box[2:] + reach])
    size = round(TEMPLATE_PX * (1 + 2 * SEARCH_SHARE))
    place = _patch(now, around, size)
    agreement = cv2.matchTemplate(place, drawn, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(agreement)
    if not best >= MIN_SNAP_CORRELATION:
        return box
    step = side / TEMPLATE_PX
    moved = np.array([x, y]) * step - reach
    if (np.abs(moved) <= step).all():  # as near as the template can tell
        return box
    return box + np.tile(moved, 2)


def _patch(image: UInt8Array, box: Box, size: int = TEMPLATE_PX) -> UInt8Array:
    """What is in a box, stretched to a square; beyond the frame its rim goes on."""
    scale = (box[2:] - box[:2]) / size
    matrix = np.array([[scale[0], 0, box[0] + scale[0] / 2 - 0.5], [0, scale[1], box[1] + scale[1] / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def _correlation(a: UInt8Array, b: UInt8Array) -> float:
    """Normalised cross-correlation of two patches of one size; 1 where both are flat."""
    x, y = a.astype(np.float64) - a.mean(), b.astype(np.float64) - b.mean()
    power = float(np.sqrt((x * x).sum() * (y * y).sum()))
    if power < 1e-6:
        return 1.0 if max(a.std(), b.std()) < 1 else 0.0
    return float((x * y).sum() / power)


def _outside(box: Box, image: UInt8Array) -> bool:
    """Whether less than a fifth of the box is in the picture."""
    height, width = image.shape
    inside = np.maximum(np.minimum(box[2:], (width, height)) - np.maximum(box[:2], 0), 0)
    return float(np.prod(inside)) < 0.2 * float(np.prod(box[2:] - box[:2]))
