"""Boxes and masks that do not flicker; a mask is never less than what the detector saw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from anonymize.core.types import RegionMask, UInt8Array
from anonymize.track.geometry import move_mask
from anonymize.track.model.frame_state import Box, Sighting

BOX_SECONDS = 0.12  # deviation of the weights over time
BOX_REACH = 3  # frames to each side
MOST_SHIFT = 0.05  # of the size of a box: more is no noise
MASK_SECONDS = 0.2  # only masks this near in time say something about this one
STILL_MASK_IOU = 0.85  # masks this alike differ by noise


def steady_box(sightings: Sequence[Sighting], at: int) -> Box:
    """The box [4] of a sighting, by a local straight line through those around (Savitzky and Golay 1964)."""
    own = sightings[at]
    around = sightings[max(0, at - BOX_REACH) : at + BOX_REACH + 1]
    if len(around) < 3:
        return own.box
    seconds = [s.moment.seconds - own.moment.seconds for s in around]
    weights = [math.exp(-0.5 * (t / BOX_SECONDS) ** 2) for t in seconds]
    boxes = np.array([s.box_at(own.moment) for s in around])
    total = sum(weights)
    mean = sum(w * t for w, t in zip(weights, seconds, strict=True)) / total
    levers = [w * (t - mean) for w, t in zip(weights, seconds, strict=True)]
    inertia = max(sum(lever * t for lever, t in zip(levers, seconds, strict=True)), 1e-9)
    # the line's value now is a mean of the boxes with these weights
    shares = [w / total - mean * lever / inertia for w, lever in zip(weights, levers, strict=True)]
    size = own.box[2:] - own.box[:2]
    most = MOST_SHIFT * np.concatenate([size, size])
    limited: Box = own.box + np.maximum(np.minimum(shares @ boxes - own.box, most), -most)
    return limited


def steady_mask(sightings: Sequence[Sighting], at: int) -> RegionMask:
    """The mask of a sighting with what belongs to it in the frames around.

    Pixels that are the person's both before and after are so now. Where a neighbouring mask is almost the same, what
    differs is noise, and all of it is taken.
    """
    own = sightings[at]
    found = own.moment.found
    if found is None or not own.mask.mask.size:
        return own.mask
    around = []
    for k in (at - 1, at + 1):
        if 0 <= k < len(sightings) and abs(sightings[k].moment.seconds - own.moment.seconds) <= MASK_SECONDS:
            other = sightings[k]
            # who stands still has not moved, though their box trembles
            there = other.box_at(own.moment) if own.frames_as(other) else own.box
            around.append(move_mask(other.mask, other.box, there, found.size_hw))
    around = [mask for mask in around if mask.mask.size]
    if not around:
        return own.mask
    left, top, counts = _count([own.mask, own.mask, *around])  # twice, so that all of it is kept
    some, all_of_them = np.count_nonzero(counts), np.count_nonzero(counts == len(around) + 2)
    if all_of_them >= STILL_MASK_IOU * some:
        covered, total = counts > 0, some
    elif len(around) < 2:
        return own.mask
    else:
        covered = counts >= 2
        total = np.count_nonzero(covered)
    return own.mask if total == own.mask.area else RegionMask(left, top, covered)


def _count(masks: Sequence[RegionMask]) -> tuple[int, int, UInt8Array]:
    """In how many masks each pixel lies: column and row of the first pixel, counts [h, w]."""
    lefts, tops, rights, bottoms = zip(*(m.box_xyxy for m in masks), strict=True)
    left, top = min(lefts), min(tops)
    counts = np.zeros((max(bottoms) - top, max(rights) - left), np.uint8)
    for mask, x1, y1, x2, y2 in zip(masks, lefts, tops, rights, bottoms, strict=True):
        window = counts[y1 - top : y2 - top, x1 - left : x2 - left]
        cv2.add(window, mask.mask.view(np.uint8), dst=window)  # half the time of NumPy's
    return left, top, counts
