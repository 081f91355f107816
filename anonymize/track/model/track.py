"""A track: one person, followed through the film."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from anonymize.core.types import RegionMask
from anonymize.track.config import TrackerConfig
from anonymize.track.model.appearance import Appearance
from anonymize.track.model.frame_state import Box, FrameState, Observation


@dataclass(eq=False)
class Track:
    """One person, followed through the film.

    What leaves a crowd with another appearance is a new track until it is decided whose it is.

    Attributes:
        began_seconds: Time of the first sure detection since the track appeared.
        found_seconds: Time of the last detection.
        observations: In order of time, as far back as the look-ahead reaches.
        number: The ID, from 1; 0 until the track is first handed on: until then it may turn out to be another one.
        hits: How many sure detections it had; a certain one counts as `established_hits`.
        established: Whether these are enough for detections of a low score to continue the track.
        views: How often it was seen clearly since it appeared; a view in a crowd counts for `crowded_view_weight`.
        met: Tracks that were seen at the same time, and so are other people.
        missing: Tracks that were missing when this one appeared, with the evidence of their motion for being the same
            person: log-likelihood ratios, the second without the rule for the border.
        gallery: Former appearances, one row each.
        crowd: Tracks that were close when this one was last seen in a crowd, so that they may have been swapped.
        leaving: Whether the last detection was at the left or right border, where people leave and others enter.
        successor: The track that left the crowd in its place; this one is not looked for meanwhile.
    """

    began_seconds: float
    found_seconds: float
    observations: deque[Observation]
    number: int = 0
    hits: int = 0
    established: bool = False
    views: float = 0.0
    met: set[Track] = field(default_factory=set, repr=False)
    missing: dict[Track, tuple[float, float]] = field(default_factory=dict, repr=False)
    gallery: list[Appearance] = field(default_factory=list, repr=False)
    crowd: set[Track] = field(default_factory=set, repr=False)
    leaving: bool = False
    successor: Track | None = field(default=None, repr=False)

    def all_views(self, config: TrackerConfig) -> float:
        """How often the track was seen clearly, in all appearances."""
        return self.views + config.well_known_views * len(self.gallery)

    def is_in(self, frame: FrameState) -> bool:
        """Whether the last observation is of a frame."""
        return bool(self.observations) and self.observations[-1].at is frame

    def found_in(self, frame: FrameState) -> bool:
        """Whether the detector found the track in a frame; the latest observations are looked at first."""
        return any(o.at is frame and o.found for o in reversed(self.observations))

    def extent(self, expected: Box, frame: FrameState, config: TrackerConfig) -> Box:
        """All that the track took up lately, moved to where it is expected now, with a margin; box [4]."""
        lately = [o for o in self.observations if o.seconds >= self.found_seconds - config.extent_seconds]
        if not lately:
            return expected
        boxes = np.stack([o.box_in(frame) for o in lately])
        moved = (expected[:2] + expected[2:] - boxes[-1, :2] - boxes[-1, 2:]) / 2
        low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        margin = config.extent_margin_share * (high[1] - low[1])
        return np.concatenate([low - margin + np.minimum(moved, 0), high + margin + np.maximum(moved, 0)])


def share_pixels(track: Track, other: Track) -> None:
    """Give the pixels of a track that turned out to be a part of another one to that one, where both were observed."""
    own = {id(o.at): o for o in track.observations}
    for observation in other.observations:
        same = own.get(id(observation.at))
        if same is not None:
            same.mask = RegionMask.union([same.mask, observation.mask])


def joined(some: Iterable[Observation], others: Iterable[Observation]) -> deque[Observation]:
    """The observations of two tracks as those of one, in order of time.

    Where both have one, the detection of the higher score wins, any detection over a template; the pixels of both are
    covered.
    """
    by_frame = {id(o.at): o for o in others}
    for observation in some:
        other = by_frame.get(id(observation.at))
        if other is None:
            by_frame[id(observation.at)] = observation
            continue
        first, second = (o.score if o.found else -1 for o in (observation, other))
        kept, dropped = (observation, other) if first >= second else (other, observation)
        # not in place: it may only seem that the tracks are one
        by_frame[id(observation.at)] = replace(kept, mask=RegionMask.union([kept.mask, dropped.mask]))
    return deque(sorted(by_frame.values(), key=lambda o: o.seconds))


def at_border(box: Box, width: int, config: TrackerConfig) -> bool:
    """Whether a box [4] is at the left or right border of a frame of a width in pixels."""
    left, _, right, _ = box.tolist()
    return bool(left < config.border_share * width or right > (1 - config.border_share) * width)
