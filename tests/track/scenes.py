"""People for the tests of the tracker: boxes of 20 x 30 pixels in frames of 40 x 200, ten frames a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np

from anonymize.core.types import BoolArray, Detections, Frame, RegionMask, Tracks
from anonymize.track import PeopleTracker, TrackerConfig
from anonymize.track.model.camera_motion import identity
from anonymize.track.model.frame_state import FrameState, Observation
from anonymize.track.model.thumbnail import Thumbnail
from anonymize.track.model.track import Track

CONFIG = TrackerConfig()
SIZE = (40, 200)


def frame(index: int, visible: Detections | None = None) -> Frame:
    """An empty place, or one in which people are to be seen."""
    image = np.zeros((*SIZE, 3), np.uint8)
    for mask in () if visible is None else visible.masks:
        image[mask.slices][mask.mask] = 200
    return Frame(image, index=index, pts=index, time_base=Fraction(1, 10))


def detections(masks: Sequence[RegionMask], *scores: float, size_hw: tuple[int, int] = SIZE) -> Detections:
    """Detections with the boxes of some masks; a single score is that of all."""
    boxes = np.array([mask.box_xyxy for mask in masks], np.float32).reshape(-1, 4)
    all_scores = np.resize(np.array(scores, np.float32), len(masks))
    return Detections(size_hw, boxes, all_scores, tuple(masks), np.zeros(len(masks), np.bool_))


def standing(left: int, width: int = 20) -> RegionMask:
    """The mask of a person."""
    return RegionMask(left, 5, np.ones((30, width), np.bool_))


def people(*lefts: float, score: float = 1.0) -> Detections:
    """Detections of people at left edges."""
    return detections([standing(int(left)) for left in lefts], score)


def tracked(
    found: Sequence[Detections], there: Sequence[Detections] | None = None, config: TrackerConfig = CONFIG
) -> list[Tracks]:
    """The tracks of a film, frame by frame; people are to be seen where they are there."""
    frames = ((frame(i, None if there is None else there[i]), one) for i, one in enumerate(found))
    return [tracks for _, tracks in PeopleTracker(config).track(frames)]


def lefts(found: Sequence[Detections], config: TrackerConfig = CONFIG) -> list[dict[int, int]]:
    """Left edge of each mask by ID, a frame each."""
    return [
        {int(k): mask.x for k, mask in zip(tracks.ids, tracks.detections.masks, strict=True)}
        for tracks in tracked(found, config=config)
    ]


def covered(tracks: Tracks) -> BoolArray:
    """[H, W], the pixels of all masks."""
    return pixels_of(tracks.detections.masks, tracks.detections.size_hw)


def pixels_of(masks: Iterable[RegionMask], size_hw: tuple[int, int]) -> BoolArray:
    """[H, W], the pixels of some masks."""
    pixels = np.zeros(size_hw, np.bool_)
    for mask in masks:
        pixels[mask.slices] |= mask.mask
    return pixels


def frame_states(count: int) -> list[FrameState]:
    """Frames in which nothing was found."""
    none, still = Detections.empty(SIZE), identity()
    states = []
    for k in range(count):
        one = frame(k)
        thumbnail = Thumbnail.of(one.image, (), CONFIG)
        states.append(FrameState(one, none, one.pts_seconds, still, np.ones(0, np.bool_), thumbnail))
    return states


def seen(at: FrameState, left: int, *, width: int = 20, row: int = 0, score: float = 0.9) -> Observation:
    """A person in a frame; row -1 is one followed by its template."""
    mask = standing(left, width)
    return Observation(at, np.array(mask.box_xyxy, np.float64), mask, score, row)


def track(*observations: Observation, views: float = 5.0, number: int = 0) -> Track:
    """A track of some observations."""
    times = [o.seconds for o in observations]
    return Track(min(times), max(times), deque(observations), number=number, views=views)
