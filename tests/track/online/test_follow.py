"""New frames, step by step."""

from collections import deque
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from anonymize.core.types import Detections
from anonymize.track.model.frame_state import FrameState
from anonymize.track.model.kalman import Motion
from anonymize.track.online.backtrack import backtrack
from anonymize.track.online.follow import TrackerState
from tests.track.scenes import CONFIG, frame, frame_states, people, seen


def followed(found: list[Detections], times: list[int] | None = None) -> TrackerState:
    """The state after some frames, at tenths of a second if not said."""
    state, waiting = TrackerState(CONFIG), deque[FrameState]()
    for i, one in enumerate(found):
        waiting.append(state.step(replace(frame(i), pts=i if times is None else times[i]), one, waiting))
    return state


def predicted(lefts: list[float], noise: list[float]) -> float:
    """Centre of a box of 20 x 30 after measurements with a factor on the noise each, the first of which is exact."""
    motion = Motion(CONFIG)
    boxes = [np.array([[left, 5.0, left + 20, 35]]) for left in lefts]
    motion.add(boxes[0])
    for box, factor in zip(boxes[1:], noise, strict=True):
        motion.predict(0.1)
        motion.update(np.array([0]), box, np.array([factor]))
    return float(motion.mean[0, 0, 0])


@pytest.mark.parametrize(("score", "noise"), [(0.9, 1.0), (0.4, 2.0)])
def test_an_unsure_detection_is_believed_less(score: float, noise: float) -> None:
    state = followed([people(10)] * 4 + [people(14, score=score)])
    assert state.store.motion.mean[0, 0, 0] == pytest.approx(predicted([10, 10, 10, 10, 14], [1, 1, 1, noise]))


def textured(count: int, lefts: list[int]) -> TrackerState:
    """A person with a pattern who walks and is found in the first frames only."""
    state, waiting = TrackerState(CONFIG), deque[FrameState]()
    pattern = np.kron(np.random.default_rng(0).integers(0, 255, (6, 4, 3)), np.ones((5, 5, 1))).astype(np.uint8)
    for i, left in enumerate(lefts):
        image = frame(i)
        image.image[5:35, left : left + 20] = pattern
        found = people(left) if i < count else people()
        waiting.append(state.step(image, found, waiting))
    return state


def test_a_box_found_by_its_template_is_believed_even_less() -> None:
    state = textured(4, [10, 10, 10, 10, 13])
    last = state.store.tracks[0].observations[-1]
    assert (last.row, last.box[0]) == (-1, pytest.approx(13, abs=1))
    expected = predicted([10, 10, 10, 10, last.box[0]], [1, 1, 1, 3])
    assert state.store.motion.mean[0, 0, 0] == pytest.approx(expected, abs=1e-6)


def test_a_track_is_followed_by_its_template_for_half_a_second() -> None:
    [track] = textured(4, [10] * 16).store.tracks
    assert [o.row for o in track.observations] == [0] * 4 + [-1] * 5


@pytest.mark.parametrize(("hits", "found"), [(3, False), (4, True)])
def test_a_low_score_continues_a_track_of_four_sure_detections(hits: int, found: bool) -> None:
    state = followed([people(10, score=0.65)] * hits + [people(10, score=0.4)])
    assert state.store.tracks[0].found_seconds == pytest.approx(hits / 10 if found else (hits - 1) / 10)


@pytest.mark.parametrize(("wait", "count"), [(8, 1), (12, 2)])
def test_a_track_is_looked_for_where_it_should_be_for_a_second(wait: int, count: int) -> None:
    assert len(followed([people(10)] * 6 + [people()] * wait + [people(10)]).store.tracks) == count


@pytest.mark.parametrize(("second", "met", "crowd"), [(27, True, False), (24, False, False), (20, False, True)])
def test_tracks_side_by_side_are_two_people_and_in_a_crowd_may_be_taken_for_each_other(
    second: int, met: bool, crowd: bool
) -> None:
    """Of 20 columns 3, 6 or 10 are in common."""
    first, other = followed([people(10, second)]).store.tracks
    assert (other in first.met, other in first.crowd) == (met, crowd)


def test_the_appearance_is_read_at_most_every_90_milliseconds() -> None:
    state, read = TrackerState(CONFIG), []
    for time in (0, 7, 10, 12, 19):
        one = replace(frame(time, people(10)), time_base=Fraction(1, 100))
        state.step(one, people(10), deque())
        read.append(state.store.tracks[0].observations[-1].appearance is not None)
    assert read == [True, False, True, False, True]


@pytest.mark.parametrize(("left", "found"), [(20, True), (22, False)])
def test_an_unsure_detection_in_the_frame_before_continues_a_track_backwards(left: int, found: bool) -> None:
    """It has a third of the pixels of both in common, or a quarter."""
    before, now = frame_states(2)
    before.found, before.free = people(left, score=0.3), np.ones(1, np.bool_)
    assert [o.row for o in backtrack(seen(now, 10), -np.inf, [before], CONFIG)] == [0] * found
