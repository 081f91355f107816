"""The delayed phase: when a frame leaves the look-ahead, its tracks get their IDs with what came after it."""

from __future__ import annotations

import numpy as np

from anonymize.track.delayed.fragments import join_fragment
from anonymize.track.delayed.id_swaps import undo_id_swaps
from anonymize.track.delayed.reidentification import reidentify
from anonymize.track.delayed.splits import split_contaminated_tracks
from anonymize.track.model.appearance import Appearance
from anonymize.track.model.evidence import likeness, trust
from anonymize.track.model.frame_state import FrameState, Observation
from anonymize.track.model.store import TrackStore
from anonymize.track.model.track import Track


def name_tracks(store: TrackStore, frame: FrameState) -> list[tuple[Track, Track]]:
    """Give every track of a frame its ID: that of a known track, or a new one.

    Returns:
        Tracks that are missing in this frame, each with one that will appear soon and may continue it: that is not
        decided yet, but this is the last chance to cover the gap between the two.
    """
    store.drop(undo_id_swaps(frame, store.tracks, lambda track, seen: _likeness(store, track, seen), store.config))
    split_contaminated_tracks(store, _due(store, store.unnamed, frame))
    fragments = set[Track]()
    for i in _due(store, store.unnamed, frame):
        if join_fragment(store.tracks[i], store.tracks, fragments, store.config):
            fragments.add(store.tracks[i])
    store.drop(fragments)
    new = sorted(store.unnamed, key=lambda i: store.tracks[i].observations[0].seconds)
    again, perhaps = reidentify(store, new) if new else ([], [])
    former = {new[j]: i for i, j in again}
    bridges = [(store.tracks[i], store.tracks[new[j]]) for i, j in perhaps]
    merged: dict[int, int] = {}
    for i in _due(store, new, frame):  # a fragment may have made its track due
        before = former.get(i, i)
        before = merged.get(before, before)
        if store.tracks[before].number:
            store.merge(before, i)
            merged[i] = before
        else:
            store.count += 1
            store.tracks[i].number = store.count
            store.tracks[i].missing = {}
    store.drop({store.tracks[i] for i in merged})
    # a track that has just got an ID, or was merged, is there itself and has no gap left
    return [(a, b) for a, b in bridges if a.number and not b.number and b.observations]


def _due(store: TrackStore, rows: list[int], frame: FrameState) -> list[int]:
    """Those of some rows whose tracks appear in a frame or before."""
    return [i for i in rows if store.tracks[i].observations[0].seconds <= frame.seconds]


def _likeness(store: TrackStore, track: Track, observation: Observation) -> float:
    """How much a track, in any of its appearances, looks like an observation that has one, in [0, 1]."""
    assert observation.appearance is not None
    row = store.tracks.index(track)
    known = Appearance.concatenate([store.appearance[row : row + 1], *track.gallery])
    distances = known.distance(observation.appearance, store.config.min_shared_share)
    distance = np.fmin.reduce(distances, axis=0, keepdims=True)
    views = np.array([track.all_views(store.config)], np.float32)
    return float(likeness(distance, trust(views, store.config), store.config)[0, 0])
