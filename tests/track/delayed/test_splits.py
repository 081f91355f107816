"""Tracks that another person has taken over."""

from dataclasses import replace

import numpy as np
import pytest

from anonymize.track.delayed.splits import split_contaminated_tracks
from anonymize.track.model.appearance import Appearance
from anonymize.track.model.store import TrackStore
from tests.track.scenes import CONFIG, frame_states, seen, track


def split(*, unlike: int, gap: int = 1) -> bool:
    """Whether a track is split that a new one of the same appearance is found beside.

    Args:
        unlike: In so many of the 12 frames since then the track looks like another person.
        gap: So many frames before the new one appeared it was last found.
    """
    when, known = frame_states(20), Appearance.unknown(1)
    known.weights[:] = 1
    since = [replace(seen(when[6 + k], 12), appearance=known, unlike=k < unlike) for k in range(12)]
    one = track(*(seen(frame, 10) for frame in when[: 7 - gap]), *since, number=1)
    newcomer = track(*(replace(seen(when[6 + k], 16), appearance=known) for k in range(12)))
    store = TrackStore(CONFIG)
    store.seconds, store.step_seconds = when[17].seconds, 0.1
    boxes = np.stack([one.observations[-1].box, newcomer.observations[-1].box])
    store.add([one, newcomer], boxes, np.ones((2, 28, 14), np.bool_), Appearance.concatenate([known, known]))
    split_contaminated_tracks(store, [1])
    if len(store.tracks) == 2:
        return False
    _, _, other = store.tracks
    assert [o.box[0] for o in other.observations] == [12] * 12
    assert {o.box[0] for o in one.observations} == {10}
    assert one in newcomer.missing
    return True


@pytest.mark.parametrize(("unlike", "expected"), [(0, False), (5, False), (7, True)])
def test_a_track_that_mostly_looks_like_another_person_is_split(unlike: int, expected: bool) -> None:
    assert split(unlike=unlike) == expected


@pytest.mark.parametrize(("gap", "expected"), [(1, True), (2, False)])
def test_a_track_is_not_split_across_a_gap(gap: int, expected: bool) -> None:
    assert split(unlike=12, gap=gap) == expected
