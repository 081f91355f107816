"""Template matching, for the frames in which the detector misses a track."""

from __future__ import annotations

import cv2
import numpy as np

from anonymize.core.types import UInt8Array
from anonymize.track.config import TrackerConfig
from anonymize.track.model.frame_state import Box


def find(image: UInt8Array, box: Box, other: UInt8Array, expected: Box, config: TrackerConfig) -> Box | None:
    """Look for a person of one frame in another one, by normalised cross-correlation and colour.

    Args:
        image: [H, W, 3] uint8 RGB, where the person is known.
        box: [4] float64 xyxy in it.
        other: [H, W, 3] uint8 RGB, where to look.
        expected: [4] float64 xyxy in it, of the same size.
        config: Thresholds.

    Returns:
        The box there; None where the person is not to be seen.
    """
    width, height = (box[2:] - box[:2]).tolist()
    least = config.min_template_size_px
    if height < least[0] or width < least[1] or width < config.min_template_aspect * height:
        return None
    inset = (box[2:] - box[:2]) * config.template_inset_shares
    inner = np.concatenate([box[:2] + inset, box[2:] - inset])
    target = np.concatenate([expected[:2] + inset, expected[2:] - inset])
    scale = min(1.0, config.template_height_px / (inner[3] - inner[1]))
    rows, columns = (max(3, round((inner[i + 2] - inner[i]) * scale)) for i in (1, 0))
    reach = max(1, round(config.template_search_heights * height * scale))
    template = _cut(image, inner, (rows, columns), config)
    wide = np.concatenate([target[:2] - reach / scale, target[2:] + reach / scale])
    place = _cut(other, wide, (rows + 2 * reach, columns + 2 * reach), config)
    if template is None or place is None or cv2.meanStdDev(template)[1][1, 0] < config.min_template_contrast:
        return None
    agreement = cv2.matchTemplate(place, template, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(agreement)
    if not best >= config.min_template_correlation:
        return None
    difference = cv2.mean(cv2.absdiff(place[y : y + rows, x : x + columns], template))
    if sum(difference) / 3 > config.max_template_difference:
        return None
    found: Box = expected + (np.array([x, y, x, y]) - reach) / scale
    return found


def _cut(image: UInt8Array, box: Box, size_hw: tuple[int, int], config: TrackerConfig) -> UInt8Array | None:
    """A part of a picture, resized; None where much of it lies outside."""
    height, width = image.shape[:2]
    left, top, right, bottom = np.rint(box).astype(np.int64).tolist()
    x1, y1, x2, y2 = max(0, left), max(0, top), min(width, right), min(height, bottom)
    wide, high = config.min_template_inside_shares
    if x2 - x1 < wide * (right - left) or y2 - y1 < high * (bottom - top) or x2 - x1 < 2 or y2 - y1 < 2:
        return None
    part = image[y1:y2, x1:x2]
    if (x1, y1, x2, y2) != (left, top, right, bottom):
        part = cv2.copyMakeBorder(part, y1 - top, bottom - y2, x1 - left, right - x2, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(part, size_hw[::-1], interpolation=cv2.INTER_AREA), np.uint8)
