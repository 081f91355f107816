"""Boxes and masks that do not flicker; a mask is never less than what the detector saw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from anonymize.core.types import RegionMask, UInt8Array
from anonymize.track.config import TrackerConfig
from anonymize.track.geometry import move_mask
from anonymize.track.model.frame_state import Box, Observation


def steady_box(observations: Sequence[Observation], at: int, config: TrackerConfig) -> Box:
    """The box [4] of an observation, by a local straight line through those around (Savitzky and Golay 1964)."""
    own = observations[at]
    around = observations[max(0, at - config.box_reach_frames) : at + config.box_reach_frames + 1]
    if len(around) < 3:
        return own.box
    seconds = [o.seconds - own.seconds for o in around]
    weights = [math.exp(-0.5 * (t / config.box_deviation_seconds) ** 2) for t in seconds]
    boxes = np.array([o.box_in(own.at) for o in around])
    total = sum(weights)
    mean = sum(w * t for w, t in zip(weights, seconds, strict=True)) / total
    levers = [w * (t - mean) for w, t in zip(weights, seconds, strict=True)]
    inertia = max(sum(lever * t for lever, t in zip(levers, seconds, strict=True)), 1e-9)
    # the line's value now is a mean of the boxes with these weights
    shares = [w / total - mean * lever / inertia for w, lever in zip(weights, levers, strict=True)]
    size = own.box[2:] - own.box[:2]
    most = config.max_box_shift_share * np.concatenate([size, size])
    limited: Box = own.box + np.maximum(np.minimum(shares @ boxes - own.box, most), -most)
    return limited


def steady_mask(observations: Sequence[Observation], at: int, config: TrackerConfig) -> RegionMask:
    """The mask of an observation with what belongs to it in the frames around.

    Pixels that are the person's both before and after are so now. Where a neighbouring mask is almost the same, what
    differs is noise, and all of it is taken.
    """
    own = observations[at]
    found = own.at.found
    if found is None or not own.mask.mask.size:
        return own.mask
    around = []
    for k in (at - 1, at + 1):
        if 0 <= k < len(observations) and abs(observations[k].seconds - own.seconds) <= config.mask_reach_seconds:
            other = observations[k]
            # a person who stands still has not moved, though the box trembles
            there = other.box_in(own.at) if own.frames_as(other, config.still_iou) else own.box
            around.append(move_mask(other.mask, other.box, there, found.size_hw))
    around = [mask for mask in around if mask.mask.size]
    if not around:
        return own.mask
    left, top, counts = _count([own.mask, own.mask, *around])  # twice, so that all of it is kept
    some, all_of_them = np.count_nonzero(counts), np.count_nonzero(counts == len(around) + 2)
    if all_of_them >= config.noise_mask_iou * some:
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
