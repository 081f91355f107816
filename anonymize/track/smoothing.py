"""Boxes and masks that do not flicker; a mask is never less than what the detector saw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anonymize.track.geometry import move_mask
from anonymize.track.moments import Box, Sighting
from anonymize.types import RegionMask, UInt8Array

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
    seconds = np.array([s.moment.seconds for s in around]) - own.moment.seconds
    weights = np.exp(-0.5 * (seconds / BOX_SECONDS) ** 2)
    boxes = np.array([s.box if s.moment.place is own.moment.place else s.box_at(own.moment) for s in around])
    total = weights.sum()
    mean_time, mean_box = weights @ seconds / total, weights @ boxes / total
    lever = weights * (seconds - mean_time)
    slope = lever @ boxes / max(lever @ seconds, 1e-9)
    steady = mean_box - slope * mean_time
    size = own.box[2:] - own.box[:2]
    most = MOST_SHIFT * np.concatenate([size, size])
    limited: Box = own.box + np.maximum(np.minimum(steady - own.box, most), -most)
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
    left, top, counts = _count([own.mask, *around])
    inside = np.zeros(counts.shape, np.bool_)
    inside[own.mask.y - top :, own.mask.x - left :][: own.mask.mask.shape[0], : own.mask.mask.shape[1]] = own.mask.mask
    area = np.count_nonzero(inside)
    some, both = np.count_nonzero(counts), np.count_nonzero(counts == len(around) + 1)
    if both >= STILL_MASK_IOU * some:
        covered = counts > 0
    elif len(around) == 2:
        covered = inside | (counts >= 2)
    else:
        return own.mask
    if np.count_nonzero(covered) == area:
        return own.mask
    return RegionMask(left, top, covered)


def _count(masks: Sequence[RegionMask]) -> tuple[int, int, UInt8Array]:
    """In how many masks each pixel lies: column and row of the first pixel, counts [h, w]."""
    left, top = min(m.x for m in masks), min(m.y for m in masks)
    right, bottom = max(m.box_xyxy[2] for m in masks), max(m.box_xyxy[3] for m in masks)
    counts = np.zeros((bottom - top, right - left), np.uint8)
    for m in masks:
        counts[m.y - top : m.y - top + m.mask.shape[0], m.x - left : m.x - left + m.mask.shape[1]] += m.mask
    return left, top, counts
