"""Watches a film on its way to the file and gathers what the page about it tells."""

from __future__ import annotations

from dataclasses import dataclass, field

from anonymize.core.types import Frame, Tracks
from anonymize.report.history import TrackHistory
from anonymize.report.spans import Spans

LOW_SCORE = 0.7
MOST_TRACKS = 300
"""Tracks with a row of their own; in a longer film the shortest of those that have ended are told together."""
USUAL_FRAME_SECONDS = 0.04


@dataclass(slots=True)
class Others:
    """Tracks that have no row of their own.

    Attributes:
        tracks: How many.
        seen: When any of them is there.
        doubtful: When any of them is unsure or filled.
    """

    tracks: int = 0
    seen: Spans = field(default_factory=Spans)
    doubtful: Spans = field(default_factory=Spans)

    def take(self, track: TrackHistory) -> None:
        """Count one more in."""
        self.tracks += 1
        self.seen.merge(track.seen)
        for spans in (track.unsure, track.filled):
            self.doubtful.merge(spans)


class FilmReport:
    """Gathers what the page tells. Memory is bounded, whatever the length of the film.

    Args:
        low_score: People with a lower score are listed for review, in [0, 1].
        most_tracks: Tracks with a row of their own.

    Attributes:
        tracks: By ID.
        others: Those without a row of their own.
        end: Length, in seconds.
        unseen_frames: Frames that the detector did not look at.
    """

    def __init__(self, *, low_score: float = LOW_SCORE, most_tracks: int = MOST_TRACKS) -> None:
        self.low_score = low_score
        self.tracks: dict[int, TrackHistory] = {}
        self.others = Others()
        self.end = 0.0
        self.unseen_frames = 0
        self._most_tracks = most_tracks
        self._started: float | None = None
        self._waiting: tuple[float, Tracks] | None = None
        self._usual = USUAL_FRAME_SECONDS

    def add(self, frame: Frame, tracks: Tracks) -> None:
        """Look at a frame and its people.

        Args:
            frame: The frame as it is written; the thumbnails are cut from it.
            tracks: The people in it.
        """
        if self._started is None:
            self._started = frame.pts_seconds
        now = frame.pts_seconds - self._started
        if self._waiting is not None:  # A frame is shown until the next one comes.
            self._usual = max(0.0, now - self._waiting[0]) or self._usual
            self._count(*self._waiting, until=now)
        self._waiting = now, tracks
        self.unseen_frames += not tracks.looked_at
        found = tracks.detections
        for row, number in enumerate(tracks.ids.tolist()):
            history = self.tracks.setdefault(number, TrackHistory(number))
            history.look(frame, found.boxes_xyxy[row], float(found.scores[row]))

    def close(self) -> None:
        """Count the last frame in: it is shown as long as the one before it."""
        if self._waiting is not None:
            self._count(*self._waiting, until=self._waiting[0] + self._usual)
            self._waiting = None

    def _count(self, start: float, tracks: Tracks, until: float) -> None:
        self.end = max(self.end, until)
        for row, number in enumerate(tracks.ids.tolist()):
            history = self.tracks.setdefault(number, TrackHistory(number))
            if not tracks.looked_at:  # says nothing of the person that the frames on both sides do not say
                history.seen.add(start, until)
                continue
            score, filled = float(tracks.detections.scores[row]), bool(tracks.filled[row])
            history.add(start, until, score, filled, self.low_score)
        while len(self.tracks) > self._most_tracks:
            here = set(tracks.ids.tolist())
            ended = [track for number, track in self.tracks.items() if number not in here and track.seen.frames]
            if not ended:
                break
            shortest = min(ended, key=lambda track: track.seen.frames)
            self.others.take(self.tracks.pop(shortest.number))
