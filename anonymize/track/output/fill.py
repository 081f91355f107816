"""The output phase: gaps of a frame that leaves are filled from both sides, boxes and masks smoothed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from anonymize.core.masks import grow
from anonymize.core.types import UNKNOWN_TRACK, Detections, RegionMask, Tracks
from anonymize.track.config import TrackerConfig
from anonymize.track.geometry import hull, move_mask, up_to_border
from anonymize.track.model.evidence import alike_sized
from anonymize.track.model.frame_state import Box, FrameState, Observation, OccludedTrack
from anonymize.track.model.track import Track, joined
from anonymize.track.output.background_check import shows_background
from anonymize.track.output.gaps import gaps_from_id_swaps
from anonymize.track.output.smoothing import steady_box, steady_mask
from anonymize.track.output.surface import gather, still

Observations = Sequence[Observation]


@dataclass(frozen=True, eq=False)
class Shown:
    """A track as it is handed on in a frame.

    Attributes:
        number: The ID.
        box: [4] float64 xyxy, smoothed.
        mask: The pixels, or all pixels where the person may be.
        source: The observation, or the nearest one in time.
        filled: Whether the detector missed the track.
        before: The observations before, if the detector found it in this frame.
        gap_seconds: For how long neither detector nor template tell of it; 0 if one does in this frame.
    """

    number: int
    box: Box
    mask: RegionMask
    source: Observation
    filled: bool
    before: Sequence[Observation] = ()
    gap_seconds: float = 0.0


def complete(
    frame: FrameState, tracks: Sequence[Track], bridges: Sequence[tuple[Track, Track]], config: TrackerConfig
) -> Tracks:
    """All people of a frame.

    Args:
        frame: The frame that leaves.
        tracks: With what was observed before and after.
        bridges: Tracks, each with one that may continue it; a gap between the two is filled as if it did.
        config: Thresholds.
    """
    shown = _Filling(frame, config).everything(tracks, bridges)
    # in the order of the detections, so that nothing need be copied where none was missed
    shown.sort(key=lambda one: (one.source.at is not frame or not one.source.found, one.source.row))
    found = frame.detections
    if not shown:
        return Tracks(found[[]], np.zeros(0, np.int64), np.zeros(0, np.bool_), frame.camera)
    height, width = found.size_hw
    sources = [one.source for one in shown]
    before = [still(one.source, one.before, config) for one in shown]
    has_cse, embeddings, segmentations = gather(frame, sources, before, config)
    people = Detections(
        size_hw=found.size_hw,
        boxes_xyxy=np.stack([one.box for one in shown]).clip(0, (width, height, width, height)).astype(np.float32),
        scores=np.array([source.score for source in sources], np.float32),
        masks=tuple(one.mask for one in shown),
        has_cse=has_cse,
        embeddings=embeddings,
        segmentations=segmentations,
        surface=found.surface,
    )
    filled = np.array([one.filled for one in shown], np.bool_)
    return Tracks(people, np.array([one.number for one in shown], np.int64), filled, frame.camera)


class _Filling:
    """What is shown in a frame: each ID once, and the places where a person of unknown ID may be.

    Args:
        frame: The frame that leaves.
        config: Thresholds.
    """

    def __init__(self, frame: FrameState, config: TrackerConfig) -> None:
        self._frame, self._config = frame, config
        self._named: dict[int, Shown] = {}
        self._unidentified = [_occluded(one, frame) for one in frame.occluded]

    def everything(self, tracks: Sequence[Track], bridges: Sequence[tuple[Track, Track]]) -> list[Shown]:
        """Each ID with the pixels of all paths that it may have taken; see `complete`."""
        for number, path in self._paths(tracks, bridges):
            one = show(number, path, self._frame, self._config)
            if one is not None and not self._is_background(one, path):
                self._add(one)
        for number, path in gaps_from_id_swaps(self._frame, tracks, self._config):
            one = show(number, path, self._frame, self._config)
            if one is not None and not self._is_explained(one) and not self._is_background(one, path):
                self._unidentified.append(one)
        return [*self._named.values(), *merge_unidentified(self._unidentified)]

    def _paths(self, tracks: Sequence[Track], bridges: Sequence[tuple[Track, Track]]) -> list[tuple[int, Observations]]:
        """IDs and the paths that they may have taken past the frame."""
        paths: list[tuple[int, Observations]] = [(one.number, list(one.observations)) for one in tracks if one.number]
        for before, after in bridges:
            if not before.found_in(self._frame):
                paths.append((before.number, list(joined(before.observations, after.observations))))
        # after an ID swap was undone, the person may still be where the track would be without that
        swapped = [(k, path) for k, path in paths if any(o.at is self._frame and o.swapped for o in path)]
        return paths + [(number, [o for o in path if not o.swapped]) for number, path in swapped]

    def _is_explained(self, one: Shown) -> bool:
        """Whether enough of a place is covered anyway."""
        covered = RegionMask.union([shown.mask for shown in (*self._named.values(), *self._unidentified)])
        return one.mask.share_in(covered) >= self._config.explained_share

    def _add(self, one: Shown) -> None:
        """Show a track on one of its paths; apart from the ID where that is doubtful, or would make it too large."""
        twin = self._named.get(one.number)
        if one.gap_seconds > self._config.max_named_gap_seconds:
            self._unidentified.append(one)
        elif twin is None:
            self._named[one.number] = one
        else:
            whole = self._with(twin, one)
            if self._reach(whole.mask) < self._config.max_reach_factor * self._reach(twin.mask):
                self._named[one.number] = whole
            else:
                self._unidentified.append(one)

    def _with(self, shown: Shown, other: Shown) -> Shown:
        """A track with the pixels of another path that it may have taken.

        A cover is wider where a track was not found. This one may have been, so what is guessed is widened here.
        """
        mask = other.mask
        if other.filled and not shown.filled:
            growth = round(self._config.fill_growth_share * mask.mask.shape[0])
            mask = grow(mask, max(self._config.min_fill_growth_px, growth), self._frame.detections.size_hw)
        return replace(shown, mask=RegionMask.union([shown.mask, mask]))

    def _reach(self, mask: RegionMask) -> float:
        """Height of the rectangle that a person with a mask is generated in, about."""
        rows, columns = (np.flatnonzero(mask.mask.any(axis)) for axis in (1, 0))
        return float(max(np.ptp(rows), self._config.person_aspect * np.ptp(columns))) if len(rows) else 0.0

    def _is_background(self, one: Shown, path: Observations) -> bool:
        """Whether neither detector nor template find a track, and only the background is to be seen at its place."""
        if one.source.at is self._frame:
            return False
        return shows_background(one.mask, self._frame, [o.at for o in path if o.found], self._config)


def _occluded(track: OccludedTrack, frame: FrameState) -> Shown:
    """An occluded track as it is handed on: without an ID."""
    box = np.array(track.mask.box_xyxy, np.float64)
    return Shown(UNKNOWN_TRACK, box, track.mask, Observation(frame, box, track.mask, track.score), filled=True)


def merge_unidentified(some: Sequence[Shown]) -> list[Shown]:
    """The places where a person of unknown ID may be, as one; none if there are none."""
    if not some:
        return []
    mask = RegionMask.union([one.mask for one in some])
    source = replace(some[0].source, row=-1)  # without a surface
    return [Shown(UNKNOWN_TRACK, np.array(mask.box_xyxy, np.float64), mask, source, filled=True)]


def show(number: int, path: Observations, frame: FrameState, config: TrackerConfig) -> Shown | None:
    """Where a track on a path is in a frame; None if it is not in it."""
    at = bisect_left(path, frame.seconds, key=lambda o: o.seconds)
    here = next((k for k in range(at, len(path)) if path[k].at is frame), None)
    if here is not None:
        own = path[here]
        mask = steady_mask(path, here, config)
        mask = mask if own.found else _generous([mask], path, frame, config)
        return Shown(number, steady_box(path, here, config), mask, own, filled=not own.found, before=path[:here])
    if at == 0 or at == len(path):
        return None
    before, after = path[at - 1], path[at]
    gone, ahead = frame.seconds - before.seconds, after.seconds - frame.seconds
    if max(gone, ahead) > config.lookahead_seconds + 1e-6:
        return None
    share = gone / max(gone + ahead, 1e-9)
    first, last = (o.box_in(frame) for o in (before, after))
    # boxes are less exact than masks, so masks are carried along by their own rectangles
    spans = [_span(o, frame) for o in (before, after)]
    span = spans[0] + (spans[1] - spans[0]) * share
    size_hw = frame.detections.size_hw
    masks = [move_mask(o.mask, own, span, size_hw) for o, own in zip((before, after), spans, strict=True)]
    mask = _generous(masks, path, frame, config)
    if not mask.area:
        return None
    nearest = before if gone <= ahead else after
    return Shown(number, first + (last - first) * share, mask, nearest, filled=True, gap_seconds=gone + ahead)


def _generous(masks: Sequence[RegionMask], path: Observations, frame: FrameState, config: TrackerConfig) -> RegionMask:
    """The mask of a track that the detector misses: more than the person probably takes up.

    Args:
        masks: Where the track is thought to be.
        path: Its observations; those near in time count as well, at the place where they were.
        frame: The frame.
        config: Thresholds.
    """
    size_hw = frame.detections.size_hw
    near = [o for o in path if o.found and abs(o.seconds - frame.seconds) <= config.linger_seconds]
    before = [o for o in near if o.seconds < frame.seconds][-1:]
    after = [o for o in near if o.seconds > frame.seconds][:1]
    there = [move_mask(o.mask, _rectangle(o), _span(o, frame), size_hw) for o in before + after]
    whole = RegionMask.union([*masks, *there])
    if before and after and not alike_sized(before[0].box[None], after[0].box[None], config)[0, 0]:
        whole = hull(whole)  # half hidden before or after: how much is to be seen between is not known
    return up_to_border(whole, size_hw)


def _rectangle(observation: Observation) -> Box:
    """The rectangle [4] of an observation's mask in pixels of its own frame."""
    return np.array(observation.mask.box_xyxy, np.float64)


def _span(observation: Observation, frame: FrameState) -> Box:
    """The rectangle [4] of an observation's mask in pixels of another frame."""
    span: Box = frame.from_frame(observation.at, _rectangle(observation)[None])[0]
    return span
