"""Gaps that no track shows, because IDs were swapped in between.

A track that is overlooked while another person comes near may lose its ID to that person, and get it back or another
one later: the track is whole, but leads past the place where its person is. So where a track jumps, it may be cut
there, and what ends is joined to what begins nearest to it, and what begins to what ends nearest, whatever the IDs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from anonymize.track.config import TrackerConfig
from anonymize.track.geometry import centre_distance
from anonymize.track.model.evidence import alike_sized
from anonymize.track.model.frame_state import FrameState, Observation
from anonymize.track.model.track import Track


@dataclass(frozen=True, eq=False)
class _End:
    """Where a track ends or begins, or may do so.

    Attributes:
        track: The track.
        observation: The last or first one.
        jump: Whether the track goes on beyond it.
    """

    track: Track
    observation: Observation
    jump: bool


def gaps_from_id_swaps(
    frame: FrameState, tracks: Sequence[Track], config: TrackerConfig
) -> list[tuple[int, list[Observation]]]:
    """Paths on which people may have gone past a frame if their IDs are wrong.

    Args:
        frame: The frame that leaves.
        tracks: All tracks.
        config: Thresholds.

    Returns:
        The ID of the track that ends before, and its observations up to there and those of another from a beginning on.
    """
    if not any(o.sudden for track in tracks for o in track.observations):
        return []
    ends, starts = _cut(frame, tracks, config.lookahead_seconds)
    if not ends or not any(end.jump for end in ends + starts):
        return []
    boxes = [np.stack([end.observation.box_in(frame) for end in side]) for side in (ends, starts)]
    gone, come = (np.array([end.observation.seconds for end in side]) for side in (ends, starts))
    jumps = [np.array([end.jump for end in side], np.bool_) for side in (ends, starts)]
    seconds = come[None] - gone[:, None]
    apart = centre_distance(*boxes).astype(np.float64)
    reach = config.link_reach_heights + config.link_speed_heights * seconds
    possible = (seconds > 0) & (seconds <= config.max_swap_gap_seconds)
    possible &= alike_sized(boxes[0], boxes[1], config) & (apart < reach)
    far = np.where(possible, apart / reach, np.inf)
    nearest = (far == far.min(0)) | (far == far.min(1, keepdims=True))
    across = (gone < frame.seconds)[:, None] & (come > frame.seconds)[None]
    # where a whole track ends and another one begins, they may be one person: see `name_tracks`
    pairs = np.argwhere(possible & nearest & across & np.logical_or.outer(*jumps))
    return [(ends[i].track.number, _joined(ends[i], starts[j])) for i, j in pairs.tolist()]


def _cut(frame: FrameState, tracks: Iterable[Track], reach_seconds: float) -> tuple[list[_End], list[_End]]:
    """Ends and beginnings of the tracks so near to a frame, and of the pieces into which jumps cut them."""
    ends, starts = [], []
    for track in tracks:
        found = [o for o in track.observations if o.found and abs(o.seconds - frame.seconds) <= reach_seconds]
        if not found:
            continue
        starts.append(_End(track, found[0], jump=False))
        for last, first in pairwise(found):
            if first.sudden:
                ends.append(_End(track, last, jump=True))
                starts.append(_End(track, first, jump=True))
        ends.append(_End(track, found[-1], jump=False))
    return [end for end in ends if end.track.number], starts


def _joined(end: _End, start: _End) -> list[Observation]:
    """Observations of a track up to where it ends, and of another one from where it begins."""
    before = [o for o in end.track.observations if o.seconds <= end.observation.seconds]
    return before + [o for o in start.track.observations if o.seconds >= start.observation.seconds]
