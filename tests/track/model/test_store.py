"""The rows of tracks."""

from collections import deque

import numpy as np

from anonymize.track.model.appearance import Appearance
from anonymize.track.model.store import TrackStore
from anonymize.track.model.track import Track
from tests.track.scenes import CONFIG


def new(store: TrackStore, left: float, shade: float, views: float = 3.0) -> int:
    """Add a track of 20 x 60 at a left edge whose appearance is a shade; its row."""
    appearance = Appearance.unknown(1)
    appearance.values[:], appearance.weights[:] = shade, 1
    grids = np.full((1, 28, 14), shade > 0.5)
    box = np.array([[left, 0, left + 20, 60]])
    [row] = store.add([Track(0.0, 0.0, deque(), views=views)], box, grids, appearance).tolist()
    return int(row)


def rows(store: TrackStore) -> list[tuple[float, float, bool]]:
    """Left edge, shade and mask of each track."""
    lefts, shades = store.motion.boxes_xyxy[:, 0], store.appearance.values[:, 0, 0]
    return list(zip(lefts.tolist(), shades.tolist(), store.grids[:, 0, 0].tolist(), strict=True))


def test_rows_stay_with_their_tracks() -> None:
    store = TrackStore(CONFIG)
    for k in range(3):
        assert new(store, 10 * k, k / 2) == k
    middle = store.tracks[1]
    middle.met.add(store.tracks[0])
    store.drop({store.tracks[0]})
    assert (store.tracks[0], middle.met) == (middle, set())
    assert rows(store) == [(10, 0.5, False), (20, 1, True)]


def test_a_merged_track_goes_on_as_the_other_one() -> None:
    store = TrackStore(CONFIG)
    new(store, 0, 0.0)
    new(store, 50, 1.0)
    store.merge(0, 1)
    store.drop({store.tracks[1]})
    assert rows(store) == [(50, 1, True)]
    [former] = store.tracks[0].gallery
    assert former.values[0, 0, 0] == 0


def test_an_appearance_that_is_hardly_known_does_not_replace_the_former() -> None:
    store = TrackStore(CONFIG)
    new(store, 0, 0.0)
    new(store, 50, 1.0, views=2.0)
    store.merge(0, 1)
    assert rows(store)[0] == (50, 0, True)
    assert store.tracks[0].gallery == []


def test_the_last_six_appearances_are_kept() -> None:
    store = TrackStore(CONFIG)
    new(store, 0, 0.0)
    for k in range(8):
        new(store, 0, float(k + 1))
        store.merge(0, 1)
        store.drop({store.tracks[1]})
    assert [one.values[0, 0, 0] for one in store.tracks[0].gallery] == [2, 3, 4, 5, 6, 7]
