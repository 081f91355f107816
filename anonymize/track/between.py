"""Frames that the detector does not look at: people are carried over from the frames on both sides.

With `--detect-every N` detector and tracker see each N-th frame. A mask of such a frame is carried through the frames
between by dense optical flow (Kroeger et al. 2016), frame by frame: forward from the frame before and backward from the
one after. What either says is covered, and what lies on the straight way between the two; the mask is wider the
further the next look is. A person who is in only one of the two frames is carried up to the other one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from anonymize.core.masks import grow
from anonymize.core.types import UNKNOWN_TRACK, Detections, FloatArray, Frame, RegionMask, Tracks, UInt8Array
from anonymize.track.config import TrackerConfig
from anonymize.track.geometry import centre_distance, hull, move_mask
from anonymize.track.model.camera_motion import CameraMotion, identity
from anonymize.track.model.frame_state import Box
from anonymize.track.model.thumbnail import Thumbnail

Tracked = tuple[Frame, Tracks]


class SkippedFrames:
    """Takes frames out before the detector, and puts them back behind the tracker with people in them.

    The last frame is always looked at, and frames that are far apart in time are, so that each one that is not has
    looks on both sides.

    Args:
        every: Of so many frames one is looked at; at least 2.
        config: Thresholds.
    """

    def __init__(self, every: int, config: TrackerConfig | None = None) -> None:
        self._every, self._config = every, config or TrackerConfig()
        self._skipped: deque[list[Frame]] = deque()  # before each frame that is looked at

    def thin(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The frames to look at."""
        last: Frame | None = None
        skipped: list[Frame] = []
        for frame in frames:
            if last is not None and skipped and self._is_far(last, frame):
                last = skipped.pop()
                self._skipped.append(skipped)
                skipped = []
                yield last
            if last is not None and len(skipped) + 1 < self._every and frame.size_hw == last.size_hw:
                skipped.append(frame)
                continue
            last = frame
            self._skipped.append(skipped)
            skipped = []
            yield frame
        if skipped:
            last = skipped.pop()
            self._skipped.append(skipped)
            yield last

    def _is_far(self, last: Frame, frame: Frame) -> bool:
        apart = abs(frame.pts_seconds - last.pts_seconds)
        return apart > self._config.max_unseen_seconds + 1e-6 or frame.size_hw != last.size_hw

    def fill(self, tracked: Iterable[Tracked]) -> Iterator[Tracked]:
        """All frames with their people.

        Args:
            tracked: The frames that `thin` gave, in the same order, and the people in them.
        """
        camera = CameraMotion(self._config)
        before: Tracked | None = None
        for now in tracked:
            skipped = self._skipped.popleft()
            if before is not None and skipped:
                for each in zip(skipped, carry(before, now, skipped, self._config), strict=True):
                    yield self._with_camera(*each, camera)
            yield self._with_camera(*now, camera)
            before = now

    def _with_camera(self, frame: Frame, tracks: Tracks, camera: CameraMotion) -> Tracked:
        """The people with the camera's motion since the frame before, which the tracker may not have seen."""
        motion = camera.update(Thumbnail.of(frame.image, tracks.detections.masks, self._config))
        return frame, replace(tracks, camera=None if np.array_equal(motion, identity()) else motion)


def carry(before: Tracked, after: Tracked, skipped: Sequence[Frame], config: TrackerConfig) -> list[Tracks]:
    """The people of the frames between two in which they are known.

    Args:
        before, after: The two frames and the people in them.
        skipped: [K] the frames between, in order.
        config: Thresholds.

    Returns:
        [K] the people of each; `filled` and not `looked_at`.
    """
    sides = (before[1], after[1])
    if not len(sides[0]) and not len(sides[1]):
        return [_tracks([], each.size_hw, sides[0]) for each in skipped]
    flow = _Flow([before[0], *skipped, after[0]], config)
    forward = _carried(sides[0], flow, range(1, len(skipped) + 1), -1)
    backward = [*reversed(_carried(sides[1], flow, range(len(skipped), 0, -1), 1))]
    times = np.array([each.pts_seconds for each in (before[0], *skipped, after[0])])
    seconds = float(times[-1] - times[0])
    if seconds > 0:
        shares = np.clip((times[1:-1] - times[0]) / seconds, 0, 1).tolist()
    else:  # the clock stands still, or was set back
        shares = np.linspace(0, 1, len(times))[1:-1].tolist()
    people = []
    for k, (share, *masks) in enumerate(zip(shares, forward, backward, strict=True)):
        steps = (k + 1, len(skipped) - k)
        between = _Between(share, steps, seconds, skipped[k].size_hw, flow.error_px, config)
        people.append(between.people(sides, (masks[0], masks[1])))
    return people


class _Flow:
    """Dense flow between neighbours of a run of frames.

    Attributes:
        error_px: What the flow may be wrong by because it is computed in small pictures, in pixels of the frame.
    """

    def __init__(self, frames: Sequence[Frame], config: TrackerConfig) -> None:
        self._size_hw = frames[0].size_hw
        scale = min(1.0, config.carry_flow_px / max(self._size_hw))
        self._small = [_grey(frame.image, scale) for frame in frames]
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._reach = config.carry_reach_share
        self.error_px = 1 / scale

    def between(self, at: int, to: int) -> FloatArray:
        """[h, w, 2], where each pixel of the small picture `at` is in the one `to`, less where it is."""
        return np.asarray(self._flow.calc(self._small[at], self._small[to], None), np.float32)

    def warp(self, mask: RegionMask, flow: FloatArray) -> RegionMask:
        """A mask of one frame in another one, by the flow from there to here.

        Beyond the border a frame is taken to go on as it ends, so that who comes in is covered up to the border.
        """
        if not mask.area:
            return mask
        height, width = self._size_hw
        reach = round(self._reach * max(mask.mask.shape) + 4 * self.error_px)
        left, top = max(0, mask.x - reach), max(0, mask.y - reach)
        right, bottom = min(width, mask.box_xyxy[2] + reach), min(height, mask.box_xyxy[3] + reach)
        scale_x, scale_y = flow.shape[1] / width, flow.shape[0] / height
        # pixels of this part of the frame in the small picture; middles of pixels are at .5, at .0 for OpenCV
        place = np.array([[scale_x, 0, (left + 0.5) * scale_x - 0.5], [0, scale_y, (top + 0.5) * scale_y - 0.5]])
        part = cv2.warpAffine(
            flow,
            place,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        x = (np.arange(left, right, dtype=np.float32) + part[..., 0] / scale_x).clip(0, width - 1) - mask.x
        y = (np.arange(top, bottom, dtype=np.float32)[:, None] + part[..., 1] / scale_y).clip(0, height - 1) - mask.y
        there = cv2.remap(
            mask.mask.view(np.uint8) * np.uint8(255), x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR
        )
        return RegionMask(left, top, np.asarray(there) > 63)  # a quarter of a pixel is enough


def _grey(image: UInt8Array, scale: float) -> UInt8Array:
    height, width = image.shape[:2]
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    green = np.asarray(cv2.extractChannel(image, 1), np.uint8)
    return np.asarray(cv2.resize(green, size, interpolation=cv2.INTER_AREA), np.uint8)


def _carried(tracks: Tracks, flow: _Flow, frames: Iterable[int], step: int) -> list[list[RegionMask]]:
    """The masks of a frame in others, each reached from the one `step` beside it; a list of N masks a frame."""
    masks, reached = list(tracks.detections.masks), []
    for frame in frames:
        here = flow.between(frame, frame + step) if masks else None
        masks = [flow.warp(mask, here) for mask in masks] if here is not None else []
        reached.append(masks)
    return reached


@dataclass(frozen=True, eq=False)
class _Person:
    """One person between two frames.

    Attributes:
        number: The ID.
        box: [4] float64 xyxy.
        mask: All pixels where the person may be.
        score: The lower one of both sides.
        source, row: Where the surface prediction is taken from: the nearer side.
    """

    number: int
    box: Box
    mask: RegionMask
    score: float
    source: Detections
    row: int


@dataclass(frozen=True)
class _Between:
    """A frame between two in which people are known.

    Attributes:
        share: Of the time between the two that has passed, in [0, 1].
        steps: Frames since the one before, and up to the one after.
        seconds: Time between the two.
        size_hw: Of the frame.
        error_px: Of the flow.
        config: Thresholds.
    """

    share: float
    steps: tuple[int, int]
    seconds: float
    size_hw: tuple[int, int]
    error_px: float
    config: TrackerConfig

    def people(self, sides: tuple[Tracks, Tracks], masks: tuple[list[RegionMask], list[RegionMask]]) -> Tracks:
        """The people here.

        Args:
            sides: Those of the frames before and after.
            masks: Their masks, carried to here.
        """
        rows = [{number: row for row, number in enumerate(side.ids.tolist())} for side in sides]
        found: list[_Person] = []
        for number in dict.fromkeys([*rows[0], *rows[1]]):
            known = [(k, rows[k][number]) for k in (0, 1) if number in rows[k]]
            found.append(self._person(number, known, sides, [masks[k][row] for k, row in known]))
        return _tracks([one for one in found if one.mask.area], self.size_hw, sides[0])

    def _person(
        self,
        number: int,
        known: Sequence[tuple[int, int]],
        sides: tuple[Tracks, Tracks],
        carried: Sequence[RegionMask],
    ) -> _Person:
        """A person who is known in rows of one side or both, with the masks from there."""
        found = [sides[k].detections for k, _ in known]
        rows = [row for _, row in known]
        own = [each.masks[row] for each, row in zip(found, rows, strict=True)]
        boxes = [each.boxes_xyxy[row].astype(np.float64) for each, row in zip(found, rows, strict=True)]
        steps = min(self.steps[k] for k, _ in known)
        nearest = int(len(known) == 2 and self.share > 0.5)
        if len(known) == 2:
            box = boxes[0] + (boxes[1] - boxes[0]) * self.share
            mask = RegionMask.union([*carried, *self._on_the_way(number, own)])
            if carried[0].share_in(carried[1]) < self.config.min_carried_share:
                mask = hull(mask)  # the flow has lost the person on one side at least
        else:
            # where the flow has lost the person they may still be, or already be, at their place, or have another ID
            mask = RegionMask.union([*carried, *own, *self._to_others(known[0], sides)])
            box = boxes[0] + _shift(own[0], carried[0])
        side = max(own[nearest].mask.shape, default=0)
        growth = steps * self.config.carry_growth_share * side + self.error_px
        return _Person(
            number,
            box,
            grow(mask, max(1, round(growth)), self.size_hw),
            min(float(each.scores[row]) for each, row in zip(found, rows, strict=True)),
            found[nearest],
            rows[nearest],
        )

    def _to_others(self, known: tuple[int, int], sides: tuple[Tracks, Tracks]) -> list[RegionMask]:
        """A person of one side on the way to those who are on the other side only, and may be the same person."""
        side, row = known
        own, ids = sides[side], sides[1 - side].ids
        mask, others = own.detections.masks[row], sides[1 - side].detections.masks
        strangers = [k for k in range(len(others)) if ids[k] not in own.ids and others[k].area]
        if not strangers or not mask.area:
            return []
        spans = [np.array([each.box_xyxy], np.float64) for each in (mask, *(others[k] for k in strangers))]
        near = centre_distance(spans[0], np.concatenate(spans[1:]))[0] < self.config.carry_speed_heights * self.seconds
        ways = []
        for k in (k for k, is_near in zip(strangers, near.tolist(), strict=True) if is_near):
            pair = (others[k], mask) if side else (mask, others[k])
            ways += self._on_the_way(int(own.ids[row]), pair)
        return ways

    def _on_the_way(self, number: int, own: Sequence[RegionMask]) -> list[RegionMask]:
        """Both masks of a person on the straight way from one to the other. Of unknown people there may be several."""
        if number == UNKNOWN_TRACK or not all(mask.area for mask in own):
            return []
        spans = [np.array(mask.box_xyxy, np.float64) for mask in own]
        span = spans[0] + (spans[1] - spans[0]) * self.share
        return [move_mask(mask, from_, span, self.size_hw) for mask, from_ in zip(own, spans, strict=True)]


def _shift(mask: RegionMask, moved: RegionMask) -> Box:
    """[4], how far the middle of a mask has moved."""
    if not moved.area or not mask.area:
        return np.zeros(4)
    (left, top, right, bottom), (to_left, to_top, to_right, to_bottom) = (
        RegionMask.from_full(each.mask).box_xyxy for each in (mask, moved)
    )
    x = moved.x - mask.x + (to_left + to_right - left - right) / 2
    y = moved.y - mask.y + (to_top + to_bottom - top - bottom) / 2
    return np.array([x, y, x, y])


def _tracks(people: Sequence[_Person], size_hw: tuple[int, int], like: Tracks) -> Tracks:
    """People as they are handed on, with the surface predictions of their sources."""
    surface = like.detections.surface
    none = np.zeros(len(people), np.bool_)
    if not people:
        return Tracks(Detections.empty(size_hw, surface), np.zeros(0, np.int64), none, looked_at=False)
    has_cse, embeddings, segmentations = none, None, None
    if all(one.source.embeddings is not None for one in people):
        has_cse = np.array([one.source.has_cse[one.row] for one in people], np.bool_)
        embeddings = torch.stack([one.source.embeddings[one.row] for one in people])  # type: ignore[index]
        segmentations = torch.stack([one.source.segmentations[one.row] for one in people])  # type: ignore[index]
    height, width = size_hw
    found = Detections(
        size_hw=size_hw,
        boxes_xyxy=np.stack([one.box for one in people]).clip(0, (width, height, width, height)).astype(np.float32),
        scores=np.array([one.score for one in people], np.float32),
        masks=tuple(one.mask for one in people),
        has_cse=has_cse,
        embeddings=embeddings,
        segmentations=segmentations,
        surface=people[0].source.surface,
    )
    return Tracks(found, np.array([one.number for one in people], np.int64), ~none, looked_at=False)
