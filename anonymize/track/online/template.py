"""Following somebody by their picture, for the frames in which the detector does not find them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anonymize.core.types import UInt8Array

Box = npt.NDArray[np.float64]

TEMPLATE_PX = 40  # height of the template
INNER = np.array([0.2, 0.1])  # left out on each side: shares of the width and of the height, which show background
SEARCH = 0.12  # of the height, round where the person is expected
MIN_SIZE_PX = (24, 12)  # height and width of a box; fewer pixels look like everything
MIN_SHAPE = 0.2  # width by height; a sliver beside a wall is mostly wall
MIN_CONTRAST = 6.0  # deviation of the grey values
MIN_AGREEMENT = 0.8  # normalised cross-correlation
MOST_DIFFERENCE = 14.0  # mean of the absolute differences of the colours, of 255


def find(image: UInt8Array, box: Box, other: UInt8Array, expected: Box) -> Box | None:
    """Look for somebody of one frame in another one, by normalised cross-correlation and colour.

    Args:
        image: [H, W, 3] uint8 RGB, where the person is known.
        box: [4] float64 xyxy in it.
        other: [H, W, 3] uint8 RGB, where to look.
        expected: [4] float64 xyxy in it, of the same size.

    Returns:
        The box there; None where the person is not seen.
    """
    width, height = (box[2:] - box[:2]).tolist()
    if height < MIN_SIZE_PX[0] or width < MIN_SIZE_PX[1] or width < MIN_SHAPE * height:
        return None
    inset = (box[2:] - box[:2]) * INNER
    inner = np.concatenate([box[:2] + inset, box[2:] - inset])
    target = np.concatenate([expected[:2] + inset, expected[2:] - inset])
    scale = min(1.0, TEMPLATE_PX / (inner[3] - inner[1]))
    rows, columns = (max(3, round((inner[i + 2] - inner[i]) * scale)) for i in (1, 0))
    reach = max(1, round(SEARCH * height * scale))
    template = _cut(image, inner, (rows, columns))
    wide = np.concatenate([target[:2] - reach / scale, target[2:] + reach / scale])
    place = _cut(other, wide, (rows + 2 * reach, columns + 2 * reach))
    if template is None or place is None or cv2.meanStdDev(template)[1][1, 0] < MIN_CONTRAST:
        return None
    agreement = cv2.matchTemplate(place, template, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(agreement)
    if not best >= MIN_AGREEMENT:
        return None
    difference = cv2.mean(cv2.absdiff(place[y : y + rows, x : x + columns], template))
    if sum(difference) / 3 > MOST_DIFFERENCE:
        return None
    found: Box = expected + (np.array([x, y, x, y]) - reach) / scale
    return found


def _cut(image: UInt8Array, box: Box, size_hw: tuple[int, int]) -> UInt8Array | None:
    """A part of a picture, resized; None where much of it lies outside."""
    height, width = image.shape[:2]
    left, top, right, bottom = np.rint(box).astype(np.int64).tolist()
    x1, y1, x2, y2 = max(0, left), max(0, top), min(width, right), min(height, bottom)
    if x2 - x1 < 0.7 * (right - left) or y2 - y1 < 0.5 * (bottom - top) or x2 - x1 < 2 or y2 - y1 < 2:
        return None
    part = image[y1:y2, x1:x2]
    if (x1, y1, x2, y2) != (left, top, right, bottom):
        part = cv2.copyMakeBorder(part, y1 - top, bottom - y2, x1 - left, right - x2, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(part, size_hw[::-1], interpolation=cv2.INTER_AREA), np.uint8)
