"""The tracks with their motion, appearance and mask, in arrays of one row a track."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anonymize.core.types import BoolArray, FloatArray, IntArray
from anonymize.track.config import GRID_HW, TrackerConfig
from anonymize.track.model.appearance import Appearance
from anonymize.track.model.camera_motion import Transform
from anonymize.track.model.frame_state import Box, FrameState
from anonymize.track.model.kalman import Float64, Motion
from anonymize.track.model.track import Track, joined


class TrackStore:
    """All tracks of a film as they are known so far; only this class writes the arrays.

    Attributes:
        tracks: N tracks; row i of the other attributes belongs to the i-th of them.
        motion: Their filters.
        appearance: Their appearance.
        grids: [N, 28, 14] bool, their last masks, read at points of their boxes.
        seconds, step_seconds: Time of the newest frame, and since the one before.
        count: IDs that are taken.
    """

    def __init__(self, config: TrackerConfig, count: int = 0) -> None:
        self.config = config
        self.tracks: list[Track] = []
        self.motion, self.appearance = Motion(config), Appearance.unknown(0)
        self.grids: BoolArray = np.zeros((0, *GRID_HW), np.bool_)
        self.seconds, self.step_seconds = -np.inf, 0.0
        self.count = count

    @property
    def absent(self) -> Float64:
        """[N] seconds since each track was found."""
        return np.array([self.seconds - track.found_seconds for track in self.tracks], np.float64)

    @property
    def recent(self) -> BoolArray:
        """[N] whether each track was found lately."""
        recent: BoolArray = self.absent < self.config.recent_seconds
        return recent

    @property
    def views(self) -> FloatArray:
        """[N] how often each track was seen clearly, in all appearances."""
        return np.array([track.all_views(self.config) for track in self.tracks], np.float32)

    @property
    def well_known(self) -> BoolArray:
        """[N] whether each track was seen clearly often enough for its appearance to be believed."""
        known: BoolArray = self.views >= self.config.well_known_views
        return known

    @property
    def sought(self) -> BoolArray:
        """[N] whether each track is looked for: no other one has left a crowd in its place."""
        return np.array([track.successor is None for track in self.tracks], np.bool_)

    @property
    def unnamed(self) -> list[int]:
        """Rows of tracks that have no ID yet."""
        return [i for i, track in enumerate(self.tracks) if not track.number and track.observations]

    def missing(self, frame: FrameState) -> list[int]:
        """Rows of tracks that are not observed in the newest frame."""
        return [i for i, track in enumerate(self.tracks) if not track.is_in(frame)]

    def advance(self, seconds: float, transform: Transform | None) -> None:
        """Move all tracks to the next frame.

        Args:
            seconds: Its time.
            transform: Motion of the camera [2, 3]; None where it rests.
        """
        absent = self.absent > 0
        self.step_seconds = max(0.0, seconds - self.seconds) if np.isfinite(self.seconds) else 0.0
        if transform is not None:
            self.motion.warp(transform)
        self.motion.coast(absent, self.step_seconds)
        self.motion.predict(self.step_seconds)
        self.seconds = seconds

    def add(self, tracks: Sequence[Track], boxes: Box, grids: BoolArray, appearance: Appearance) -> IntArray:
        """Add K new tracks at boxes [K, 4] with grids [K, 28, 14]; their rows [K]."""
        rows = np.arange(len(self.tracks), len(self.tracks) + len(tracks))
        self.tracks += tracks
        self.motion.add(boxes)
        self.grids = np.concatenate([self.grids, grids])
        self.appearance = Appearance.concatenate([self.appearance, appearance])
        return rows

    def move(self, rows: IntArray, boxes: Box, noise: Float64, grids: BoolArray | None = None) -> None:
        """Let tracks `rows` [K] be at boxes [K, 4] with grids [K, 28, 14]; a factor on the noise of measurement [K]."""
        self.motion.update(rows, boxes, noise)
        if grids is not None:
            self.grids[rows] = grids

    def succeed(self, row: int, former: int, box: Box) -> None:
        """Let a new track move as the one that it may be, at a box [4]."""
        self.motion.copy(former, row)
        self.motion.update(np.array([row]), box[None], np.ones(1))

    def learn(self, rows: IntArray, appearance: Appearance, worth: FloatArray, unlike: BoolArray) -> None:
        """Blend new views into the appearance of tracks `rows` [K].

        Args:
            rows: The tracks.
            appearance: [K] as they are now.
            worth: [K] weight of each view; 1 if clear.
            unlike: [K] which of them may show another person.
        """
        views = np.array([self.tracks[i].views for i in rows], np.float32)
        rate = np.maximum(self.config.ema_weight, worth / (worth + views)).astype(np.float32)
        rate[unlike] *= self.config.crowded_view_weight
        self.appearance.blend(rows, appearance, rate)
        for i, share in zip(rows.tolist(), worth.tolist(), strict=True):
            self.tracks[i].views += share

    def split(self, row: int, other: Track, box: Box) -> None:
        """Let another track go on where a track is now, while that one rests at a box [4].

        The appearance of the other one is the mean of its observations.
        """
        appearance = Appearance.unknown(1)
        for observation in other.observations:
            if observation.appearance is not None:
                other.views += self.config.crowded_view_weight
                rate = np.array([self.config.crowded_view_weight / other.views], np.float32)
                appearance.blend(np.zeros(1, np.int64), observation.appearance, rate)
        [new] = self.add([other], other.observations[-1].box[None], self.grids[[row]], appearance)
        self.motion.copy(row, new)
        self.motion.restart(np.array([row]), box[None])

    def merge(self, row: int, newcomer: int) -> None:
        """Let a track go on as another one goes on; the other one's row is left for `keep`."""
        old, new = self.tracks[row], self.tracks[newcomer]
        old.observations = joined(old.observations, new.observations)
        old.found_seconds = new.found_seconds
        self.motion.copy(newcomer, row)
        self.grids[row] = self.grids[newcomer]
        enough = self.config.well_known_views
        if new.views >= enough and self.appearance.known[newcomer]:
            if old.views >= enough:
                old.gallery = [*old.gallery, self.appearance[np.array([row])]][-self.config.max_gallery :]
            self.appearance.values[row] = self.appearance.values[newcomer]
            self.appearance.weights[row] = self.appearance.weights[newcomer]
            old.views = new.views
        old.hits += new.hits
        old.established |= new.established
        old.leaving, old.successor = new.leaving, new.successor
        old.met |= new.met
        old.crowd = new.crowd - {old}
        for track in self.tracks:
            if new in track.missing:
                track.missing[old] = track.missing.pop(new)
            for others in (track.met, track.crowd):
                if new in others and track is not old:
                    others.add(old)

    def keep(self, kept: BoolArray) -> None:
        """Drop all tracks but those marked True, [N]."""
        if kept.all():
            return
        gone = {track for track, stays in zip(self.tracks, kept, strict=True) if not stays}
        self.tracks = [track for track in self.tracks if track not in gone]
        self.motion.keep(kept)
        self.appearance, self.grids = self.appearance[kept], self.grids[kept]
        for track in self.tracks:
            track.met -= gone
            track.crowd -= gone
            if track.successor in gone:
                track.successor = None
        for track in gone:  # tracks that met each other would keep each other and their frames in memory
            track.met.clear()
            track.crowd.clear()
            track.missing.clear()
            track.observations.clear()

    def drop(self, gone: set[Track]) -> None:
        """Drop some tracks."""
        self.keep(np.array([track not in gone for track in self.tracks], np.bool_))

    def forget(self, seconds: float) -> None:
        """Drop observations before a time."""
        for track in self.tracks:
            while track.observations and track.observations[0].seconds < seconds:
                track.observations.popleft()
