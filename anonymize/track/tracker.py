"""The tracker: people are followed through the frames, and frames wait until it is known who is in them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from anonymize.core.errors import OptionError
from anonymize.core.types import Detections, Frame, Tracks
from anonymize.track.model.appearance import PartTable
from anonymize.track.model.frame_state import Moment, rebase
from anonymize.track.online.follow import Following
from anonymize.track.output.fill import complete
from anonymize.track.output.surface import NEAR_SECONDS

SURE_SCORE = 0.6
UNSURE_SCORE = 0.25
"""The lowest score of use here; below, chance finds too much that continues a track."""
LOOKAHEAD_SECONDS = 1.0
MEMORY_SECONDS = 20.0
SOON = 1e-6
"""Time stamps are compared with this tolerance, in seconds."""
MAX_WAITING = 64
"""Frames that wait at most, and that are remembered after; bounds the memory whatever their time stamps say."""


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
    """Two-step association with motion, looks and look-ahead.

    Every sure detection is somebody's and stays covered. Detections of a low score count only where they continue a
    person who is surely there, before or after; the others are false alarms. Gaps of a track are filled where the
    person was found both at most the look-ahead before and after, unless nobody is to be seen there (`vacancy`).

    Args:
        sure: Detections of this score and above are sure, in [0, 1]; the detector should hand on lower ones as well.
        lookahead_seconds: How long frames wait. 0 fills no gaps.
        memory_seconds: Somebody not seen for longer gets a new ID.
        parts: Tells body parts by their surface embedding; None compares looks by a grid over the mask.

    Raises:
        OptionError: A time is negative.
    """

    def __init__(
        self,
        *,
        sure: float = SURE_SCORE,
        lookahead_seconds: float = LOOKAHEAD_SECONDS,
        memory_seconds: float = MEMORY_SECONDS,
        parts: PartTable | None = None,
    ) -> None:
        if lookahead_seconds < 0 or memory_seconds < 0:
            raise OptionError("look-ahead and memory must not be negative")
        self._sure, self._lookahead, self._memory, self._parts = sure, lookahead_seconds, memory_seconds, parts

    def track(self, frames: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Tracks]]:
        """See `Tracker.track`; holds back as many frames as the look-ahead is long."""
        following = self._follow()
        waiting: deque[Moment] = deque()
        past: deque[Moment] = deque()
        last = -math.inf
        for frame, found in frames:
            if frame.pts_seconds < last:  # the clock was set back: nobody can be followed across that
                while waiting:
                    yield self._leave(following, waiting, past)
                past.clear()
                following = self._follow(following.count)
            last = frame.pts_seconds
            moment = following.step(frame, found, waiting)
            waiting.append(moment)
            while len(waiting) > MAX_WAITING or moment.seconds - waiting[0].seconds > self._lookahead - SOON:
                yield self._leave(following, waiting, past)
                if not waiting:
                    break
            if abs(moment.place[:, :2]).max() > 100 or abs(moment.place[:, :2]).max() < 0.01:
                rebase([*past, *waiting], moment)
        while waiting:
            yield self._leave(following, waiting, past)

    def _follow(self, count: int = 0) -> Following:
        """Nobody yet; IDs up to a number are taken."""
        return Following(self._sure, self._lookahead, self._memory, self._parts, count)

    def _leave(self, following: Following, waiting: deque[Moment], past: deque[Moment]) -> tuple[Frame, Tracks]:
        """Let the oldest frame go."""
        moment = waiting[0]
        frame = moment.frame
        assert frame is not None  # only frames that have left have none
        bridges = following.name(moment)
        tracks = complete(moment, following.people, bridges, self._lookahead)
        waiting.popleft()
        past.append(moment)
        moment.frame = None
        for old in past:  # predictions of the surface are large
            if moment.seconds - old.seconds > NEAR_SECONDS:
                old.found = None
                old.handed_on.clear()
        while moment.seconds - past[0].seconds > self._lookahead or len(past) > MAX_WAITING:
            past.popleft()
        following.forget(past[0].seconds)
        return frame, tracks
