"""Which missing track a new one continues."""

from collections import deque

import numpy as np
import pytest

from anonymize.track.delayed.reidentification import appearance_evidence, glimpses
from anonymize.track.model.store import TrackStore
from anonymize.track.model.track import Track
from tests.track.scenes import CONFIG


def test_no_tracks() -> None:
    none = np.zeros(0, np.float32)
    nothing = np.zeros((0, 0), np.float32)
    assert appearance_evidence(nothing, none, none, nothing > 0, CONFIG).shape == (0, 0)


def test_appearance_speaks_for_and_against() -> None:
    distance = np.array([[0.0, 0.04, 0.1, np.nan]], np.float32)
    alone = np.zeros((1, 4), np.bool_)
    said = appearance_evidence(distance, np.full(1, 5.0), np.full(4, 5.0), alone, CONFIG)[0]
    assert said == pytest.approx([5, 2, -4, 0], abs=1e-4)
    little = appearance_evidence(distance, np.full(1, 5.0), np.zeros(4), alone, CONFIG)[0]
    assert little == pytest.approx(said / 4)


def test_appearance_says_nothing_where_others_look_the_same() -> None:
    distance = np.full((2, 1), 0.02, np.float32)
    other = np.array([[False], [True]])
    assert appearance_evidence(distance, np.full(2, 5.0), np.full(1, 5.0), other, CONFIG)[0] == pytest.approx(0)


def test_a_glimpse_of_a_track_that_turns_up_later_is_that_one() -> None:
    """Of two new tracks that are likely a missing one both are, if the one was gone before the other came."""
    likely = np.array([[2.0, 3.0], [-1.0, 0.5]], np.float32)
    store = TrackStore(CONFIG)
    times = [(0.0, 1.0), (0.0, 1.0), (1.2, 1.3), (1.9, 2.5)]  # two known tracks, two new ones
    store.tracks = [Track(began, found, deque()) for began, found in times]
    assert sorted(glimpses(store, likely, [(0, 1)], [2, 3])) == [(0, 0), (0, 1)]
    store.tracks[2].found_seconds = 2.0
    assert glimpses(store, likely, [(0, 1)], [2, 3]) == [(0, 1)]
    assert glimpses(store, -likely, [], [2, 3]) == []
    # of two that were there at the same time, one at most
    store.tracks[2].found_seconds = 1.3
    store.tracks.append(Track(1.25, 1.4, deque()))
    three = np.array([[2.0, 3.0, 2.0], [-1.0, 0.5, -1.0]], np.float32)
    assert sorted(glimpses(store, three, [(0, 1)], [2, 3, 4])) == [(0, 1), (0, 2)]
