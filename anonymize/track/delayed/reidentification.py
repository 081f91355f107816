"""Which of the missing tracks a new one continues, if any.

Appearance and motion each say how much likelier it is that two tracks are one person than that they are two, as the
logarithm of the ratio of the likelihoods; these are added. All new tracks are decided on together: each continues at
most one of the missing ones, and each of these is continued by at most one (Zhang, Li, Nevatia 2008).
"""

from __future__ import annotations

import numpy as np

from anonymize.core.types import BoolArray, FloatArray, IntArray
from anonymize.track.config import TrackerConfig
from anonymize.track.model.appearance import Appearance
from anonymize.track.model.evidence import trust
from anonymize.track.model.store import TrackStore
from anonymize.track.online.association import Pairs, assign


def appearance_evidence(
    distance: FloatArray, views: FloatArray, new_views: FloatArray, others: BoolArray, config: TrackerConfig
) -> FloatArray:
    """What the appearance says for two tracks being one person, [N, M].

    Where a track that is another person looks as much like the new one, nothing is left to be said.

    Args:
        distance: [N, M] of known and new tracks; NaN where they cannot be compared.
        views, new_views: [N] and [M] how often they were seen clearly.
        others: [N, M] whether the two are known to be different people.
        config: Thresholds.
    """
    sure = trust(np.minimum.outer(views, new_views), config)
    nearer = config.same_distance - np.nan_to_num(distance, nan=config.same_distance)
    most = config.max_reid_appearance
    said = np.clip(nearer / config.reid_distance_step, -most, most) * sure
    mistaken = np.where(others, said, 0).max(axis=0, initial=0)  # [M]
    evidence: FloatArray = (said - mistaken).astype(np.float32)
    return evidence


def gallery_distance(store: TrackStore, new: IntArray) -> FloatArray:
    """Distance of all tracks, in all their appearances, from new ones, [N, M].

    Of the views of a new track the nearest counts: others may show half a person, or who hides it.
    """
    shared = store.config.min_shared_share
    views = [[o.appearance for o in store.tracks[i].observations if o.appearance is not None] for i in new.tolist()]
    seen = Appearance.concatenate([view for of_one in views for view in of_one])
    distance = store.appearance.distance(seen, shared)
    for i, track in enumerate(store.tracks):
        for former in track.gallery:
            distance[i] = np.fmin(distance[i], former.distance(seen, shared)[0])
    ends = np.cumsum([len(of_one) for of_one in views])
    return np.stack([np.fmin.reduce(some, 1, initial=np.nan) for some in np.split(distance, ends[:-1], axis=1)], 1)


def reidentify(store: TrackStore, new: list[int]) -> tuple[Pairs, Pairs]:
    """Pairs of a missing track's row and the place in `new` of a track that continues it.

    Returns:
        Those that do, and those that may by place and time, whatever they look like.
    """
    config, rows = store.config, {track: i for i, track in enumerate(store.tracks)}
    motion = np.full((len(rows), len(new), 2), -np.inf, np.float32)
    for column, i in enumerate(new):
        newcomer = store.tracks[i]
        for track, evidence in newcomer.missing.items():
            if track in rows and track.found_seconds < newcomer.began_seconds:
                motion[rows[track], column] = evidence
    views, columns = store.views, np.array(new, np.int64)
    others = np.array([[store.tracks[j] in track.met for j in new] for track in store.tracks], np.bool_)
    distance = gallery_distance(store, columns)
    looks = appearance_evidence(distance, views, views[columns], others, config)
    total = motion[..., 0] + looks
    # a change of the light or half a view may change any appearance: no reason to leave the gap uncovered
    perhaps = motion[..., 1] + np.maximum(looks, 0)
    decided = 100.0  # more than all evidence
    for i, track in enumerate(store.tracks):
        if track.successor is not None and rows[track.successor] in new:
            column = new.index(rows[track.successor])
            perhaps[i, column] = decided
            if not track.crowd and not distance[i, column] > config.different_distance:
                # the others of the crowd turned out to be fragments, or were dropped
                total[i, column] = decided
    maybe = [(int(i), int(j)) for i, j in np.argwhere(perhaps > 0)]
    return glimpses(store, total, assign(total, total > 0), new), maybe


def glimpses(store: TrackStore, total: FloatArray, pairs: Pairs, new: list[int]) -> Pairs:
    """Pairs, and besides those of new tracks that came and went before the one that continues the same track.

    Args:
        store: The tracks.
        total: [N, M] evidence for a track and a new one being one person.
        pairs: The likeliest, one new track for each.
        new: Rows of the new tracks.
    """
    appeared = {i: store.tracks[new[j]].began_seconds for i, j in pairs}
    left = set(range(len(new))) - {j for _, j in pairs}
    for j in sorted(left, key=lambda j: -store.tracks[new[j]].began_seconds):
        row, newcomer = int(total[:, j].argmax()), store.tracks[new[j]]
        if total[row, j] > 0 and newcomer.found_seconds < appeared.get(row, -np.inf):
            pairs = [*pairs, (row, j)]
            appeared[row] = newcomer.began_seconds
    return pairs
