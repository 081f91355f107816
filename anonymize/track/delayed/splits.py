"""Tracks that went on with another person when the one they follow was found as a new track."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from anonymize.track.config import TrackerConfig
from anonymize.track.delayed.reidentification import gallery_distance
from anonymize.track.model.evidence import crowding, motion_evidence
from anonymize.track.model.frame_state import Observation
from anonymize.track.model.store import TrackStore
from anonymize.track.model.track import Track, at_border


def split_contaminated_tracks(store: TrackStore, due: Sequence[int]) -> None:
    """Split the tracks that another person has taken over since a new track appeared that looks just like them.

    A track that was found since, but mostly with another appearance, is split: another person goes on there. A track
    that was found beside the new one at first and is gone now was found twice. Either is missing since the new track
    appeared, so that `reidentification` may find it there.

    Args:
        store: The tracks.
        due: Rows of the new tracks.
    """
    if not due:
        return
    distance = gallery_distance(store, np.array(due, np.int64))
    distance[[not track.number or track.successor is not None for track in store.tracks]] = np.nan
    distance[~store.well_known] = np.nan
    for column, newcomer in enumerate([store.tracks[i] for i in due]):
        least = np.fmin.reduce(distance[:, column])
        if least < store.config.confirmed_distance:
            _split_from(store, int(np.flatnonzero(distance[:, column] == least)[0]), newcomer)


def _split_from(store: TrackStore, row: int, newcomer: Track) -> None:
    """Split the track of a row if what it follows since a newcomer appeared is not what it followed before."""
    config, track = store.config, store.tracks[row]
    before = [o for o in track.observations if o.seconds < newcomer.began_seconds]
    since = list(track.observations)[len(before) :]
    if not since or not before:
        return
    # a longer gap would not be filled between two tracks
    follows = since[0].seconds - before[-1].seconds < config.split_gap_steps * store.step_seconds
    if newcomer.views >= 1 and follows and _is_unlike(since, config):
        _split(store, row, newcomer, before, since)
    elif _found_twice(store, track, newcomer):
        newcomer.began_seconds = next(o.seconds for o in newcomer.observations if o.seconds > track.found_seconds)
        newcomer.missing[track] = _missed(store, row, newcomer, track.observations[-1])


def _is_unlike(some: Sequence[Observation], config: TrackerConfig) -> bool:
    """Whether most observations of a track look like another person."""
    looked = [o.unlike for o in some if o.appearance is not None]
    return sum(looked) > config.split_share * len(looked)


def _split(
    store: TrackStore, row: int, newcomer: Track, before: Sequence[Observation], since: Sequence[Observation]
) -> None:
    """Make a track of its own of what a track followed since a newcomer appeared."""
    track, last = store.tracks[row], before[-1]
    other = replace(
        track,
        began_seconds=since[0].seconds,
        observations=deque(since),
        number=0,
        views=0.0,
        met=set(),
        missing={},
        gallery=[],
        crowd=set(),
    )
    store.split(row, other, last.box_in(since[-1].at))
    track.observations, track.found_seconds = deque(before), last.seconds
    track.met.discard(newcomer)
    newcomer.met.discard(track)
    newcomer.missing[track] = _missed(store, row, newcomer, last)


def _found_twice(store: TrackStore, track: Track, newcomer: Track) -> bool:
    """Whether a track was found beside a newcomer, on much the same pixels, at first but no more.

    Not if that may be for a moment only, unless the two have mostly been found in turn.
    """
    config = store.config
    boxes = {id(o.at): o.box for o in track.observations if o.found}
    both = [(boxes[id(o.at)], o.box) for o in newcomer.observations if o.found and id(o.at) in boxes]
    on_the_same_pixels = all(crowding(a[None], b[None])[0, 0] > config.crowded_share for a, b in both)
    if not both or not on_the_same_pixels or newcomer.observations[-1].seconds <= track.found_seconds:
        return False
    found = sum(o.found and o.seconds >= newcomer.began_seconds for o in track.observations)
    gone = store.seconds - track.found_seconds >= config.max_dip_seconds
    return gone or len(both) < config.split_share * found


def _missed(store: TrackStore, row: int, newcomer: Track, last: Observation) -> tuple[float, float]:
    """Evidence of the motion of a track, last seen so, for being a newcomer; an entry of `Track.missing`."""
    first = next(o for o in newcomer.observations if o.seconds >= newcomer.began_seconds)
    expected, config = last.box_in(first.at), store.config
    evidence = motion_evidence(
        expected[None],
        store.motion.deviation[[row]],
        store.tracks[row].extent(expected, first.at, config)[None],
        np.array([at_border(last.box, first.at.detections.size_hw[1], config)]),
        np.array([max(0.0, first.seconds - last.seconds)]),
        first.box[None],
        config,
    )
    motion, without_border = evidence[0, 0].tolist()
    return motion, without_border
