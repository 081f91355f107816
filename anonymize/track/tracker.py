"""The tracker: tracks are followed through the frames, and frames wait until it is known who is in them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from anonymize.core.types import Detections, Frame, Tracks
from anonymize.track.config import TrackerConfig
from anonymize.track.delayed.naming import name_tracks
from anonymize.track.model.appearance import PartTable
from anonymize.track.model.frame_state import FrameState, rebase
from anonymize.track.online.follow import TrackerState
from anonymize.track.output.fill import complete


class Tracker(Protocol):
    """The stage that gives people their identity."""

    def track(self, frames: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Tracks]]:
        """Follow people through a film.

        Args:
            frames: Frames in order of presentation with the people found in each.

        Returns:
            The same frames in the same order, none left out. Frames may be held back to look ahead.
        """
        ...


class PeopleTracker:
    """Two-step association with motion, appearance and look-ahead.

    Each frame goes through three phases: online it is compared with the frames before; when it leaves the look-ahead,
    IDs are decided with the frames after; then gaps are filled and boxes and masks smoothed.

    Every sure detection belongs to a track and stays covered. Detections of a low score count only where they continue
    an established track, before or after; the others are false alarms. Gaps of a track are filled where it was found
    both at most the look-ahead before and after, unless only the background is to be seen there.

    Args:
        config: Thresholds.
        parts: Tells body parts by their surface embedding; None compares appearances by a grid over the mask.
    """

    def __init__(self, config: TrackerConfig | None = None, *, parts: PartTable | None = None) -> None:
        self._config, self._parts = config or TrackerConfig(), parts

    def track(self, frames: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Tracks]]:
        """See `Tracker.track`; holds back as many frames as the look-ahead is long."""
        state = TrackerState(self._config, self._parts)
        waiting: deque[FrameState] = deque()
        past: deque[FrameState] = deque()
        last = -math.inf
        for frame, found in frames:
            if frame.pts_seconds < last:  # the clock was set back: tracks cannot be followed across that
                while waiting:
                    yield self._leave(state, waiting, past)
                past.clear()
                state = TrackerState(self._config, self._parts, state.store.count)
            last = frame.pts_seconds
            enough = found.scores >= min(self._config.min_score, self._config.min_sure_score)
            now = state.step(frame, found if enough.all() else found[enough], waiting)
            waiting.append(now)
            while waiting and self._is_due(waiting, now):
                yield self._leave(state, waiting, past)
            scale = abs(now.to_reference[:, :2]).max()
            if not 0.01 <= scale <= 100:
                rebase([*past, *waiting], now)
        while waiting:
            yield self._leave(state, waiting, past)

    def _is_due(self, waiting: deque[FrameState], now: FrameState) -> bool:
        """Whether the oldest frame has waited long enough; time stamps are compared with a tolerance."""
        waited = now.seconds - waiting[0].seconds
        return len(waiting) > self._config.max_waiting_frames or waited > self._config.lookahead_seconds - 1e-6

    def _leave(self, state: TrackerState, waiting: deque[FrameState], past: deque[FrameState]) -> tuple[Frame, Tracks]:
        """Let the oldest frame go."""
        now, config = waiting[0], self._config
        frame = now.frame
        assert frame is not None  # only frames that have left have none
        bridges = name_tracks(state.store, now)
        tracks = complete(now, state.store.tracks, bridges, config)
        waiting.popleft()
        past.append(now)
        now.frame = None
        for old in past:  # surface predictions are large
            if now.seconds - old.seconds > config.surface_seconds:
                old.found = None
                old.surfaces.clear()
        while now.seconds - past[0].seconds > config.lookahead_seconds or len(past) > config.max_waiting_frames:
            past.popleft()
        state.store.forget(past[0].seconds)
        return frame, tracks
