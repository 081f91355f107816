from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from anonymize.core.errors import OptionError
from anonymize.core.types import Detections, Frame, RegionMask
from anonymize.track import PeopleTracker, TrackerConfig
from anonymize.track.delayed.naming import name_tracks
from anonymize.track.model.frame_state import FrameState
from anonymize.track.model.track import Track
from anonymize.track.online.follow import TrackerState
from tests.track.scenes import SIZE, covered, frame, lefts, people


def test_no_people() -> None:
    assert lefts([]) == []
    assert lefts([people(), people()]) == [{}, {}]


def test_people_keep_their_ids_whatever_their_order() -> None:
    found = [people(10, 100), people(96, 14), people(18, 92), people(22)]
    assert [sorted(shown) for shown in lefts(found)] == [[1, 2], [1, 2], [1, 2], [1]]
    assert [shown[1] for shown in lefts(found)] == [10, 14, 18, 22]


def test_the_best_total_wins_over_the_best_pair() -> None:
    # the box at 12 overlaps both, most with the first; the one at 2 overlaps only the first
    assert lefts([people(10, 18), people(12, 2)])[-1] == {1: 2, 2: 12}


def with_part(left: int, *, whole: bool = True) -> Detections:
    """A person, of whom a part is found once more."""
    boxes = np.array([[left, 5, left + 20, 35], [left + 4, 20, left + 16, 34]], np.float32)
    masks = (RegionMask(left, 5, np.ones((30, 20), np.bool_)), RegionMask(left + 4, 20, np.ones((14, 12), np.bool_)))
    found = Detections(SIZE, boxes, np.ones(2, np.float32), masks, np.zeros(2, np.bool_))
    return found if whole else found[[1]]


def test_a_part_of_a_person_is_no_track_of_its_own() -> None:
    found = [with_part(10 + 2 * i) if 4 <= i < 12 else people(10 + 2 * i) for i in range(20)]
    assert [set(shown) for shown in lefts(found)] == [{1}] * 20


def test_a_part_that_is_there_first_gives_its_pixels_to_the_whole() -> None:
    found = [with_part(10, whole=i > 0) for i in range(12)]
    assert lefts(found)[0] == {1: 14}
    assert [set(shown) for shown in lefts(found)] == [{1}] * 12


def test_a_part_of_a_part_stays_covered() -> None:
    spans = [(50, 80), (67, 87), (76, 92)]
    masks = tuple(RegionMask(low, 5, np.ones((30, high - low), np.bool_)) for low, high in spans)
    boxes = np.array([mask.box_xyxy for mask in masks], np.float32)
    found = Detections(SIZE, boxes, np.array([0.79, 0.75, 0.7], np.float32), masks, np.zeros(3, np.bool_))
    for _, tracks in PeopleTracker().track((frame(i), found) for i in range(8)):
        assert covered(tracks)[5:35, 50:92].all()


@pytest.mark.parametrize("seed", range(5))
def test_every_sure_detection_stays_covered(seed: int) -> None:
    rng, found = np.random.default_rng(seed), []
    for _ in range(12):
        low, width, top = rng.integers(0, 100, 6), rng.integers(4, 60, 6), rng.integers(0, 11, 6)
        places = zip(low.tolist(), width.tolist(), top.tolist(), strict=True)
        masks = tuple(RegionMask(x, y, np.ones((30, w), np.bool_)) for x, w, y in places)
        boxes = np.array([mask.box_xyxy for mask in masks], np.float32)
        scores = rng.uniform(0.6, 0.85, 6).astype(np.float32)
        found.append(Detections(SIZE, boxes, scores, masks, np.zeros(6, np.bool_)))
    tracked = PeopleTracker().track((frame(i), one) for i, one in enumerate(found))
    for one, (_, tracks) in zip(found, tracked, strict=True):
        pixels = covered(tracks)
        assert all(pixels[mask.slices][mask.mask].all() for mask in one.masks)


def test_of_two_who_are_parts_of_each_other_one_stays() -> None:
    assert [set(shown) for shown in lefts([people(10, 10)] * 12)] == [{1}] * 12


def test_no_person_is_painted_on_the_wall_that_hides_them() -> None:
    there = [people(10 + 8 * i) for i in range(14)]
    hidden = range(5, 9)
    shown = [people() if i in hidden else one for i, one in enumerate(there)]
    tracked = PeopleTracker().track((frame(i, one), one) for i, one in enumerate(shown))
    ids = [set(tracks.ids.tolist()) for _, tracks in tracked]
    assert ids == [set() if i in hidden else {1} for i in range(14)]


def test_the_place_of_a_person_missed_for_long_is_covered_without_an_id() -> None:
    there = [people(10 + 4 * i) for i in range(14)]
    for missed, number in ((range(4, 7), 1), (range(4, 8), 0)):
        found = [people() if i in missed else one for i, one in enumerate(there)]
        tracked = list(PeopleTracker().track((frame(i, there[i]), one) for i, one in enumerate(found)))
        assert [t.ids.tolist() for _, t in tracked] == [[number if i in missed else 1] for i in range(14)]
        for i, (_, tracks) in enumerate(tracked):
            assert covered(tracks)[5:35, 10 + 4 * i : 30 + 4 * i].all()


def test_a_gap_longer_than_the_look_ahead_is_not_filled() -> None:
    found = [people(10), *[people()] * 5, people(10)]
    shown = lefts(found, TrackerConfig(lookahead_seconds=0.2))
    assert shown == [{1: 10}, *[{}] * 5, {1: 10}]


def test_without_look_ahead_no_frame_waits() -> None:
    def source() -> Iterator[tuple[Frame, Detections]]:
        for i in range(4):
            yield frame(i), people(10)
            gone.append(i)

    gone: list[int] = []
    for n, _ in enumerate(PeopleTracker(TrackerConfig(lookahead_seconds=0)).track(source())):
        assert len(gone) == n


def test_frames_wait_no_longer_than_the_look_ahead() -> None:
    taken = 0

    def source() -> Iterator[tuple[Frame, Detections]]:
        nonlocal taken
        for i in range(60):
            taken += 1
            yield frame(i), people(10)

    for n, _ in enumerate(PeopleTracker(TrackerConfig(lookahead_seconds=0.5)).track(source())):
        assert taken <= n + 6


def test_frames_without_time_stamps_do_not_pile_up() -> None:
    taken = 0

    def source() -> Iterator[tuple[Frame, Detections]]:
        nonlocal taken
        for _ in range(200):
            taken += 1
            yield Frame(np.zeros((*SIZE, 3), np.uint8)), people(10)

    for n, _ in enumerate(PeopleTracker().track(source())):
        assert min(n + 60, 200) <= taken <= n + 70


def test_when_the_clock_is_set_back_all_stay_covered_and_get_new_ids() -> None:
    times = [10, 11, 12, 3, 4, 5]
    given = [(replace(frame(k), pts=time), people(10)) for k, time in enumerate(times)]
    tracked = list(PeopleTracker().track(iter(given)))
    assert [each.index for each, _ in tracked] == list(range(6))
    assert [tracks.ids.tolist() for _, tracks in tracked] == [[1]] * 3 + [[2]] * 3


def test_a_weak_detection_alone_is_a_false_alarm() -> None:
    assert lefts([people(10), people(10), people(10)])[1] == {1: 10}
    assert lefts([people(), people(10, score=0.4), people()]) == [{}, {}, {}]


def test_a_sure_detection_alone_stays_covered() -> None:
    assert lefts([people(), people(10, score=0.61), people()]) == [{}, {1: 10}, {}]


def test_weak_detections_continue_a_person_both_ways() -> None:
    weak = people(10, score=0.3)
    assert lefts([people(), weak, weak, people(10), weak, people()]) == [{}, *[{1: 10}] * 4, {}]


def test_detections_of_a_very_low_score_continue_no_track() -> None:
    assert lefts([people(10)] * 2 + [people(10, score=0.2)]) == [{1: 10}, {1: 10}, {}]
    assert lefts([people(10, score=0.2)], TrackerConfig(min_sure_score=0.1)) == [{1: 10}]


def test_weak_detections_do_not_continue_a_likely_false_alarm() -> None:
    weak, barely = people(10, score=0.3), people(10, score=0.65)
    assert lefts([weak, weak, barely, weak, weak]) == [{}, {}, {1: 10}, {}, {}]
    assert lefts([weak, *[barely] * 4, weak]) == [{1: 10}] * 6


def test_a_stranger_elsewhere_gets_an_id_of_their_own() -> None:
    assert lefts([people(10), people(10), people(150), people(150)])[-1] == {2: 150}


def test_frames_come_out_as_they_came_in() -> None:
    frames = [(frame(i), people(10)) for i in range(30)]
    assert [f for f, _ in PeopleTracker().track(iter(frames))] == [f for f, _ in frames]


def test_each_film_begins_anew() -> None:
    tracker = PeopleTracker()
    first, second = (list(tracker.track((frame(i), people(10)) for i in range(3))) for _ in range(2))
    assert [tracks.ids.tolist() for _, tracks in first] == [tracks.ids.tolist() for _, tracks in second]


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_look_ahead_that_is_no_length_of_time_is_refused(seconds: float) -> None:
    with pytest.raises(OptionError, match="look-ahead"):
        TrackerConfig(lookahead_seconds=seconds)


def test_a_gap_is_covered_before_it_is_decided_who_came_after_it() -> None:
    # missed for longer than the steps from frame to frame bridge, and jumped: known again only once looked at
    found = [people(10)] * 6 + [people()] * 6 + [people(30)] * 12
    shown = [tracks.ids.tolist() for _, tracks in PeopleTracker().track((frame(i), f) for i, f in enumerate(found))]
    assert all(shown)
    assert shown[0] == shown[-1] == [1]


def test_a_track_last_found_at_the_border_is_leaving_whatever_else_appears() -> None:
    state = TrackerState(TrackerConfig())
    now = None
    for i, (left, leaving) in enumerate([(2, True), (5, False), (7, False), (5, False), (2, True)]):
        now = state.step(frame(i), people(left), deque())
        assert [person.leaving for person in state.store.tracks] == [leaving]
    assert now is not None
    now.found = None  # what was found is dropped soon, long before a stranger appears
    state.step(frame(8), people(22), deque())
    assert [person.leaving for person in state.store.tracks] == [True, False]
    [(motion, without_border)] = state.store.tracks[1].missing.values()
    assert motion < 0 < without_border


def test_the_gap_to_a_successor_is_covered_until_it_is_named() -> None:
    state = TrackerState(TrackerConfig())
    before, gap, after = (state.step(frame(i), f, deque()) for i, f in enumerate([people(10), people(), people(150)]))
    name_tracks(state.store, before)
    former, successor = state.store.tracks
    former.successor, former.crowd = successor, {Track(0.0, 0.0, deque())}  # however far from there
    assert name_tracks(state.store, gap) == [(former, successor)]
    assert name_tracks(state.store, after) == []
    assert (former.number, successor.number) == (1, 2)


def test_a_person_overlooked_while_another_takes_the_id_is_covered() -> None:
    there = [people(50)] * 8 + [people(50, 62 + 4 * k) for k in range(10)]
    found = [*there[:8], people(62), people(66), people(70), *there[11:]]
    films = zip(map(frame, range(18), there), found, strict=True)
    for k, (_, tracks) in enumerate(PeopleTracker().track(films)):
        assert covered(tracks)[5:35, 50:70].mean() > 0.9, k
        # without an ID: the person who has it is not generated in a rectangle that holds both
        assert (0 in tracks.ids) == (k in (8, 9, 10))
        assert all(mask.mask.shape[1] <= 28 for mask in tracks.detections.masks)


def test_a_successor_of_a_crowd_that_is_gone_is_the_same_person() -> None:
    for crowd, number in ((set(), 1), ({Track(0.0, 0.0, deque())}, 2)):
        state = TrackerState(TrackerConfig())
        states = [state.step(frame(i), f, deque()) for i, f in enumerate([people(10), people(), people(150)])]
        name_tracks(state.store, states[0])
        former, successor = state.store.tracks
        former.successor, former.crowd = successor, crowd
        for later in states[1:]:
            name_tracks(state.store, later)
        assert state.store.tracks[-1].number == number


def test_a_track_that_turns_out_to_be_a_fragment_was_no_crowd() -> None:
    state = TrackerState(TrackerConfig())
    states = [state.step(frame(i), people(10 + i, 14 + i), deque()) for i in range(3)]
    first, second = state.store.tracks
    assert (first.crowd, second.crowd) == ({second}, {first})
    for person in state.store.tracks:
        person.observations[0].mask = people(10).masks[0]
    name_tracks(state.store, states[0])
    assert [p.crowd for p in state.store.tracks] == [set()]


def test_a_jump_is_where_the_track_was_first_followed_back_to() -> None:
    state, waiting = TrackerState(TrackerConfig()), deque[FrameState]()
    for i, found in enumerate([people(10)] * 4 + [people(24, score=0.3), people(24)]):
        waiting.append(state.step(frame(i), found, waiting))
    [person] = state.store.tracks
    assert [(s.box[0], s.sudden) for s in person.observations][-3:] == [(10, False), (24, True), (24, False)]


def test_a_person_cut_off_by_the_border_is_covered_up_to_it() -> None:
    leg = RegionMask(0, 5, np.eye(30, 8, dtype=np.bool_))
    there = replace(people(0), boxes_xyxy=np.array([[0, 5, 8, 35]], np.float32), masks=(leg,))
    given = [there, there, people(), there, there]
    tracked = [tracks for _, tracks in PeopleTracker().track((frame(i, there), f) for i, f in enumerate(given))]
    [missed] = tracked[2].detections.masks
    assert missed.to_full(SIZE)[5:13, :8][np.tri(8, dtype=np.bool_)].all()


def in_pairs(*scores: float) -> list[tuple[Frame, Detections]]:
    """Two people who stand side by side; from frame 8 on one of them is found only in a detection of both.

    Args:
        scores: Of that detection, in turn; where it is 0 there is none.
    """
    masks = [RegionMask(x, 5, np.ones((30, w), np.bool_)) for x, w in ((10, 20), (30, 30), (10, 50))]
    boxes = np.array([mask.box_xyxy for mask in masks], np.float32)
    found = []
    for number in range(30):
        scored = np.array([0.95, 0.95, scores[(number - 8) % len(scores)]], np.float32)
        three = Detections(SIZE, boxes, scored, tuple(masks), np.zeros(3, np.bool_))
        found.append(three[[0, 1]] if number < 8 else three[[1, 2] if scored[2] else [1]])
    return [(frame(number, found[0]), both) for number, both in enumerate(found)]


@pytest.mark.parametrize("scores", [(0.5,), (0.75,), (0.75, 0.55), (0.75, 0.75, 0.0)])
def test_a_person_found_only_together_with_another_stays_covered(scores: tuple[float, ...]) -> None:
    for _, tracks in PeopleTracker().track(in_pairs(*scores)):
        assert covered(tracks)[5:35, 10:30].all()


@pytest.mark.parametrize("scores", [(0.75,), (0.75, 0.75, 0.0)])
def test_to_show_a_track_does_not_show_the_person_found_only_together_with_it(scores: tuple[float, ...]) -> None:
    for _, tracks in PeopleTracker().track(in_pairs(*scores)):
        others = RegionMask.union(m for m, i in zip(tracks.detections.masks, tracks.ids, strict=True) if i != 2)
        assert others.to_full(SIZE)[5:35, 10:30].all()
        assert not others.to_full(SIZE)[5:35, 35:].any()


def test_no_track_is_occluded_for_ever() -> None:
    pairs = in_pairs(0.75)
    for _, tracks in list(PeopleTracker(TrackerConfig(memory_seconds=0.5)).track(pairs))[-5:]:
        assert tracks.ids.tolist() == [2]
