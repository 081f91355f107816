"""Places where somebody should be, but nobody is to be seen: behind a wall, or behind somebody else."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anonymize.track.camera_motion import inverse, then
from anonymize.track.moments import Moment
from anonymize.types import BoolArray, RegionMask, UInt8Array

MOMENTS = 6
"""Other moments that a place is compared with, the nearest in time."""
NOISE = 12
"""Grey values of 255 by which one and the same thing may differ from frame to frame."""
SEEN = 0.01
"""Share of a place that looks otherwise than without people, from which on somebody is to be seen there ..."""
PLAINLY = 0.3
"""... without looking at more moments."""
WORTHWHILE = 0.2
"""Share of what is asked for that a moment must show without people, or it is not looked at."""
DRIFT_PX = 3
"""Error of the motion of the camera, in pixels of the small pictures."""
BLUR = (3, 3)


def vacant(region: RegionMask, moment: Moment, others: Sequence[RegionMask], elsewhere: Sequence[Moment]) -> bool:
    """Whether nothing is to be seen of somebody.

    So it is if every pixel is another person's, who is covered anyway, or looks as it does at some other moment at
    which it is nobody's. In doubt it is not: a place that is never without people tells nothing.

    Args:
        region: Where the person should be.
        moment: When.
        others: Masks of the people who are found then.
        elsewhere: Moments at which the detector found the person.
    """
    glance = moment.glance
    total = np.count_nonzero(glance.thin(region))
    left = glance.thin(region.without(others)).copy()
    x, y = glance.corner(region)
    now = cv2.blur(glance.picture[y : y + left.shape[0], x : x + left.shape[1]], BLUR) if left.any() else None
    for other in sorted(elsewhere, key=lambda m: abs(m.seconds - moment.seconds))[:MOMENTS]:
        if now is None or np.count_nonzero(left) < SEEN * total:
            break
        shown = _shown(other, moment, now, left, (x, y))
        if shown is None:
            continue
        picture, empty = shown
        kernel = np.ones((3, 3), np.uint8)
        low, high = cv2.erode(picture, kernel), cv2.dilate(picture, kernel)
        grey = np.full_like(now, NOISE)
        same = ((now >= cv2.subtract(low, grey)) & (now <= cv2.add(high, grey))).all(2)
        if np.count_nonzero(left & empty & ~same) > PLAINLY * total:
            return False
        left &= ~(same & empty)
    return bool(np.count_nonzero(left) < SEEN * total)


def _shown(
    other: Moment, moment: Moment, now: UInt8Array, asked: BoolArray, corner: tuple[int, int]
) -> tuple[UInt8Array, BoolArray] | None:
    """What another moment shows at a window of a moment's small picture.

    Args:
        other: The other moment.
        moment: The moment.
        now: [h, w, 3] uint8, what is there then, blurred.
        asked: [h, w] bool, where that is of interest.
        corner: Column and row of the window.

    Returns:
        [h, w, 3] uint8, blurred, and [h, w] bool, where nobody is; None if somebody is nearly everywhere.
    """
    height, width = asked.shape
    still = other.place is moment.place
    reach = 0 if still else DRIFT_PX
    window = slice(reach, reach + height), slice(reach, reach + width)
    if still:
        wide = slice(corner[1], corner[1] + height), slice(corner[0], corner[0] + width)
        empty = other.glance.empty[wide] > 0
    else:
        matrix = then(moment.place, inverse(other.place))  # from pixels of this frame to those of the other one
        offset = matrix[:, 2] + (matrix[:, :2] - np.eye(2)) @ np.array([0.5, 0.5])  # OpenCV counts from the middle
        start = matrix[:, :2] @ np.subtract(corner, reach)
        matrix = np.column_stack([matrix[:, :2], start + offset / moment.glance.step])
        size, flags = (width + 2 * reach, height + 2 * reach), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        empty = cv2.warpAffine(other.glance.empty, matrix, size, flags=flags) == 255
    if np.count_nonzero(empty[window] & asked) < WORTHWHILE * np.count_nonzero(asked):
        return None
    if still:
        return np.asarray(cv2.blur(other.glance.picture[wide], BLUR), np.uint8), empty
    picture = np.asarray(cv2.blur(cv2.warpAffine(other.glance.picture, matrix, size, flags=flags), BLUR), np.uint8)
    # the motion of the camera is known to some pixels only: the window is laid where it fits best
    mask = empty[window].astype(np.uint8)
    x, y = cv2.minMaxLoc(cv2.matchTemplate(picture[..., 1], now[..., 1].copy(), cv2.TM_SQDIFF, mask=mask))[2]
    window = slice(y, y + height), slice(x, x + width)
    return picture[window], empty[window]
