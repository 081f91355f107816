"""Places where a person should be but is not to be seen, such as behind a wall."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anonymize.core.types import BoolArray, FloatArray, RegionMask, UInt8Array
from anonymize.track.config import TrackerConfig
from anonymize.track.model.camera_motion import inverse, then
from anonymize.track.model.frame_state import FrameState


def shows_background(
    region: RegionMask, frame: FrameState, elsewhere: Sequence[FrameState], config: TrackerConfig
) -> bool:
    """Whether only the background is to be seen in a region.

    So it is if every pixel looks as it does both before and after when no person is there. What only one side says is
    no evidence: a person who has stopped and is overlooked since then looks the same ever after. In doubt it is not so;
    a place that is never without people tells nothing.

    Args:
        region: Where a person should be.
        frame: The frame.
        elsewhere: Frames before and after in which the detector found the person.
        config: Thresholds.
    """
    earlier = [f for f in elsewhere if f.seconds < frame.seconds]
    later = [f for f in elsewhere if f.seconds > frame.seconds]
    return _looks_as_in(region, frame, earlier, config) and _looks_as_in(region, frame, later, config)


def _looks_as_in(region: RegionMask, frame: FrameState, others: Sequence[FrameState], config: TrackerConfig) -> bool:
    """Whether a region looks as it does in other frames where no person is in it."""
    thumbnail = frame.thumbnail
    place = thumbnail.shrunk(region)
    left = place.mask.copy()
    asked_for = RegionMask(place.x, place.y, left)  # shrinks with `left`
    total = np.count_nonzero(left)
    if not total or not others:
        return False
    now = _blur(thumbnail.picture[place.slices])
    looked = 0
    for other in sorted(others, key=lambda f: abs(f.seconds - frame.seconds)):
        shown = _shown(other, frame, now, asked_for, config)
        if shown is None:
            continue
        picture, background = shown
        asked = left & background
        same = _alike(now, picture, config) & asked
        if np.count_nonzero(asked & ~same) > config.plain_foreground_share * total:
            return False
        if asked.any() and abs(_mean(now, asked) - _mean(picture, asked)).max() < config.background_offset:
            left &= ~same
        looked += 1
        if np.count_nonzero(left) < config.max_foreground_share * total:
            return True
        if looked == config.background_frames:
            break
    return False


def _alike(now: UInt8Array, known: UInt8Array, config: TrackerConfig) -> BoolArray:
    """Where two blurred windows [h, w, 3] show the same, but for noise and a shift of a pixel; [h, w]."""
    neighbours = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(known, neighbours), cv2.dilate(known, neighbours)
    noise = np.full_like(now, config.background_noise)
    within = cv2.inRange(now, cv2.subtract(low, noise), cv2.add(high, noise))
    plain = cv2.inRange(cv2.subtract(high, low), (0,) * 3, (config.max_background_pattern,) * 3)
    alike: BoolArray = np.asarray(cv2.bitwise_and(within, plain)) > 0
    return alike


def _mean(picture: UInt8Array, where: BoolArray) -> FloatArray:
    """Mean [4] of a picture [h, w, 3], the last of which is 0, over a mask [h, w]."""
    return np.array(cv2.mean(picture, where.view(np.uint8)), np.float32)


def _blur(picture: UInt8Array) -> UInt8Array:
    """A picture [h, w, 3] with the mean of each pixel and its neighbours."""
    return np.asarray(cv2.blur(picture, (3, 3)), np.uint8)


def _shown(
    other: FrameState, frame: FrameState, now: UInt8Array, place: RegionMask, config: TrackerConfig
) -> tuple[UInt8Array, BoolArray] | None:
    """What another frame shows at a window of a frame's thumbnail.

    Args:
        other: The other frame.
        frame: The frame.
        now: [h, w, 3] uint8, what it shows there, blurred.
        place: The window [h, w], and where in it that is of interest, in pixels of the thumbnail.
        config: Thresholds.

    Returns:
        [h, w, 3] uint8, blurred, and [h, w] bool, where no person is; None if that is of no use.
    """
    if other.thumbnail.step != frame.thumbnail.step or other.thumbnail.picture.shape != frame.thumbnail.picture.shape:
        return None  # a frame of another size
    height, width = place.mask.shape
    still = other.to_reference is frame.to_reference
    reach = 0 if still else config.background_drift_px
    window = slice(reach, reach + height), slice(reach, reach + width)
    if still:
        background = other.thumbnail.background[place.slices] > 0
    else:
        matrix = then(
            frame.to_reference, inverse(other.to_reference)
        )  # from pixels of this frame to those of the other one
        offset = matrix[:, 2] + (matrix[:, :2] - np.eye(2)) @ np.array([0.5, 0.5])  # OpenCV counts from the middle
        start = matrix[:, :2] @ np.subtract((place.x, place.y), reach)
        matrix = np.column_stack([matrix[:, :2], start + offset / frame.thumbnail.step])
        size, flags = (width + 2 * reach, height + 2 * reach), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        background = cv2.warpAffine(other.thumbnail.background, matrix, size, flags=flags) == 255
    if np.count_nonzero(background[window] & place.mask) < config.min_background_share * place.area:
        return None
    if still:
        return _blur(other.thumbnail.picture[place.slices]), background
    picture = _blur(np.asarray(cv2.warpAffine(other.thumbnail.picture, matrix, size, flags=flags), np.uint8))
    # the motion of the camera is known to some pixels only: the window is laid where it fits best
    mask = background[window].astype(np.uint8)
    x, y = cv2.minMaxLoc(cv2.matchTemplate(picture[..., 1], now[..., 1].copy(), cv2.TM_SQDIFF, mask=mask))[2]
    window = slice(y, y + height), slice(x, x + width)
    return picture[window], background[window]
