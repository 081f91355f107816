"""Places where somebody should be, but nobody is to be seen, such as behind a wall."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anonymize.core.types import BoolArray, FloatArray, RegionMask, UInt8Array
from anonymize.track.model.camera_motion import inverse, then
from anonymize.track.model.frame_state import Moment

MOMENTS = 6
"""Moments before, and as many after, that a place is compared with: the nearest that show most of it without people."""
NOISE = 12
"""Grey values of 255 by which one and the same thing may differ from frame to frame ..."""
OFFSET = 2.0
"""... and by which a whole place may, on average."""
PATTERN = 100
"""Where neighbouring pixels differ by more than this, anything in between would look the same: it tells nothing."""
SEEN = 0.006
"""Share of a place that looks otherwise than without people, from which on somebody is to be seen there ..."""
PLAINLY = 0.3
"""... without looking at more moments."""
WORTHWHILE = 0.2
"""Share of what is asked for that a moment must show without people, or it is not looked at."""
DRIFT_PX = 3
"""Error of the motion of the camera, in pixels of the small pictures."""
BLUR, NEIGHBOURS = (3, 3), np.ones((3, 3), np.uint8)


def vacant(region: RegionMask, moment: Moment, elsewhere: Sequence[Moment]) -> bool:
    """Whether nothing is to be seen of somebody.

    So it is if every pixel looks as it does both before and after when it is nobody's. What only one side says is no
    evidence: somebody who has stopped and is overlooked since then looks the same ever after. In doubt the place is
    not vacant; one that is never without people tells nothing.

    Args:
        region: Where the person should be.
        moment: When.
        elsewhere: Moments before and after at which the detector found the person.
    """
    earlier = [m for m in elsewhere if m.seconds < moment.seconds]
    later = [m for m in elsewhere if m.seconds > moment.seconds]
    return _empty_as_at(region, moment, earlier) and _empty_as_at(region, moment, later)


def _empty_as_at(region: RegionMask, moment: Moment, others: Sequence[Moment]) -> bool:
    """Whether a region looks as it does at other moments where it is nobody's then."""
    glance = moment.glance
    place = glance.shrunk(region)
    left = place.mask.copy()
    asked_for = RegionMask(place.x, place.y, left)  # shrinks with `left`
    total = np.count_nonzero(left)
    if not total or not others:
        return False
    now = _blur(glance.picture[place.slices])
    looked = 0
    for other in sorted(others, key=lambda m: abs(m.seconds - moment.seconds)):
        shown = _shown(other, moment, now, asked_for)
        if shown is None:
            continue
        picture, empty = shown
        asked = left & empty
        same = _alike(now, picture) & asked
        if np.count_nonzero(asked & ~same) > PLAINLY * total:
            return False
        if asked.any() and abs(_mean(now, asked) - _mean(picture, asked)).max() < OFFSET:
            left &= ~same
        looked += 1
        if np.count_nonzero(left) < SEEN * total:
            return True
        if looked == MOMENTS:
            break
    return False


def _alike(now: UInt8Array, known: UInt8Array) -> BoolArray:
    """Where two blurred windows [h, w, 3] show the same, but for noise and a shift of a pixel; [h, w]."""
    low, high = cv2.erode(known, NEIGHBOURS), cv2.dilate(known, NEIGHBOURS)
    noise = np.full_like(now, NOISE)
    within = cv2.inRange(now, cv2.subtract(low, noise), cv2.add(high, noise))
    plain = cv2.inRange(cv2.subtract(high, low), (0,) * 3, (PATTERN,) * 3)
    alike: BoolArray = np.asarray(cv2.bitwise_and(within, plain)) > 0
    return alike


def _mean(picture: UInt8Array, where: BoolArray) -> FloatArray:
    """Mean [4] of a picture [h, w, 3], the last of which is 0, over a mask [h, w]."""
    return np.array(cv2.mean(picture, where.view(np.uint8)), np.float32)


def _blur(picture: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.blur(picture, BLUR), np.uint8)


def _shown(other: Moment, moment: Moment, now: UInt8Array, place: RegionMask) -> tuple[UInt8Array, BoolArray] | None:
    """What another moment shows at a window of a moment's small picture.

    Args:
        other: The other moment.
        moment: The moment.
        now: [h, w, 3] uint8, what is there then, blurred.
        place: The window [h, w], and where in it that is of interest, in pixels of the small picture.

    Returns:
        [h, w, 3] uint8, blurred, and [h, w] bool, where nobody is; None if that is of no use.
    """
    if other.glance.step != moment.glance.step or other.glance.picture.shape != moment.glance.picture.shape:
        return None  # a frame of another size
    height, width = place.mask.shape
    still = other.place is moment.place
    reach = 0 if still else DRIFT_PX
    window = slice(reach, reach + height), slice(reach, reach + width)
    if still:
        empty = other.glance.empty[place.slices] > 0
    else:
        matrix = then(moment.place, inverse(other.place))  # from pixels of this frame to those of the other one
        offset = matrix[:, 2] + (matrix[:, :2] - np.eye(2)) @ np.array([0.5, 0.5])  # OpenCV counts from the middle
        start = matrix[:, :2] @ np.subtract((place.x, place.y), reach)
        matrix = np.column_stack([matrix[:, :2], start + offset / moment.glance.step])
        size, flags = (width + 2 * reach, height + 2 * reach), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        empty = cv2.warpAffine(other.glance.empty, matrix, size, flags=flags) == 255
    if np.count_nonzero(empty[window] & place.mask) < WORTHWHILE * place.area:
        return None
    if still:
        return _blur(other.glance.picture[place.slices]), empty
    picture = _blur(np.asarray(cv2.warpAffine(other.glance.picture, matrix, size, flags=flags), np.uint8))
    # the motion of the camera is known to some pixels only: the window is laid where it fits best
    mask = empty[window].astype(np.uint8)
    x, y = cv2.minMaxLoc(cv2.matchTemplate(picture[..., 1], now[..., 1].copy(), cv2.TM_SQDIFF, mask=mask))[2]
    window = slice(y, y + height), slice(x, x + width)
    return picture[window], empty[window]
