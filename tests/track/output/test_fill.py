"""Frames that leave the look-ahead."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from anonymize.core.types import UNKNOWN_TRACK, RegionMask, Tracks
from anonymize.track.model.frame_state import FrameState, Observation
from anonymize.track.model.thumbnail import Thumbnail
from anonymize.track.model.track import Track
from anonymize.track.output.fill import complete
from anonymize.track.output.gaps import gaps_from_id_swaps
from tests.track.scenes import CONFIG, SIZE, frame_states, people, seen, track, tracked


def spans(tracks: Tracks) -> list[tuple[int, int, int]]:
    """ID, left and right edge of each mask."""
    masks = tracks.detections.masks
    return [(int(k), mask.x, mask.box_xyxy[2]) for k, mask in zip(tracks.ids, masks, strict=True)]


def filled(frame: FrameState, *tracks: Track) -> Tracks:
    """The frame as it is handed on; wherever a track is found, the background is hidden."""
    for one in tracks:
        for observation in one.observations:
            observation.at.thumbnail = Thumbnail.of(np.zeros((*SIZE, 3), np.uint8), [observation.mask], CONFIG)
    return complete(frame, tracks, [], CONFIG)


@pytest.mark.parametrize("swapped", [True, False])
def test_where_a_track_would_be_but_for_an_exchange_is_covered_as_well(swapped: bool) -> None:
    when = frame_states(3)
    one = track(seen(when[0], 10), replace(seen(when[1], 60), swapped=swapped), seen(when[2], 10), number=1)
    assert spans(filled(when[1], one)) == [(1, 60, 80), *[(UNKNOWN_TRACK, 10, 30)] * swapped]


def beside(left: int, width: int = 20) -> list[tuple[int, int, int]]:
    """A person found at a left edge who would be at 10 but for an exchange."""
    when = frame_states(3)
    ends = [seen(when[k], 10, width=width) for k in (0, 2)]
    one = track(ends[0], replace(seen(when[1], left, width=width), swapped=True), ends[1], number=1)
    return spans(filled(when[1], one))


def test_what_is_guessed_beside_a_found_person_is_grown() -> None:
    """By 2 pixels at least; it belongs to the ID unless the person's rectangle became 1.3 times as large by it."""
    assert beside(12) == [(1, 8, 32)]
    assert beside(18) == [(1, 18, 38), (UNKNOWN_TRACK, 10, 30)]


def test_the_rectangle_of_a_person_is_higher_than_wide() -> None:
    """A narrow person of 10 x 30 is generated in a rectangle of that height, which has room for 1.3 x 30 / 1.8."""
    assert beside(14, width=10) == [(1, 8, 24)]


def test_a_guess_is_grown_by_a_share_of_its_height() -> None:
    when = frame_states(3)
    for frame in when:
        frame.found = replace(frame.detections, size_hw=(300, 200))

    def tall(at: FrameState, left: int) -> Observation:
        mask = RegionMask(left, 5, np.ones((200, 40), np.bool_))
        return Observation(at, np.array(mask.box_xyxy, np.float64), mask, 0.9, 0)

    one = track(tall(when[0], 60), replace(tall(when[1], 62), swapped=True), tall(when[2], 60), number=1)
    for observation in one.observations:
        observation.at.thumbnail = Thumbnail.of(np.zeros((300, 200, 3), np.uint8), [observation.mask], CONFIG)
    assert spans(complete(when[1], [one], [], CONFIG)) == [(1, 54, 106)]


def jumping(frames: Sequence[FrameState], start: int, left: int) -> tuple[Track, Track]:
    """A track that jumps from 10 to 100 at frame 2, and another one that begins later."""
    gone = track(*(seen(frame, 10 if k < 2 else 100) for k, frame in enumerate(frames)), number=1)
    gone.observations[2].sudden = True
    return gone, track(seen(frames[start], left))


@pytest.mark.parametrize(
    ("start", "left", "found"),
    [
        (3, 22, True),
        (3, 26, False),  # farther than 0.3 heights and 0.8 a second
        (6, 29, True),
        (6, 33, False),
        (8, 10, False),  # later than 0.6 s
    ],
)
def test_a_gap_from_where_a_track_jumped_to_where_another_begins(start: int, left: int, found: bool) -> None:
    when = frame_states(10)
    gaps = gaps_from_id_swaps(when[2], jumping(when, start, left), CONFIG)
    assert [(number, [o.box[0] for o in path]) for number, path in gaps] == [(1, [10, 10, left])] * found
    for observation in (one := jumping(when, start, left))[0].observations:
        observation.sudden = False
    assert gaps_from_id_swaps(when[2], one, CONFIG) == []


@pytest.mark.parametrize(("left", "covered"), [(4, True), (0, False)])
def test_such_a_gap_is_covered_without_an_id_unless_it_is_covered_anyway(left: int, covered: bool) -> None:
    """By another track, which covers 80 % or 60 % of it."""
    when = frame_states(10)
    gone, late = jumping(when, 3, 10)
    other = track(*(seen(frame, left + 2) for frame in when), number=2)
    numbers = filled(when[2], gone, late, other).ids.tolist()
    assert (UNKNOWN_TRACK in numbers) != covered


def test_a_gap_is_filled_from_both_sides_with_more_than_the_person() -> None:
    there = [people(10 + 4 * i) for i in range(12)]
    found = [one if i not in (4, 5, 6) else people() for i, one in enumerate(there)]
    for i, tracks in enumerate(tracked(found, there)):
        left, _, right, _ = tracks.detections.masks[0].box_xyxy
        most = 0 if i not in (4, 5, 6) else 14  # as far as it was or will be 0.3 s before or after, and grown by 2
        assert tracks.detections.boxes_xyxy[0, 0] == pytest.approx(10 + 4 * i, abs=3)
        assert 10 + 4 * i - most <= left <= 10 + 4 * i
        assert 30 + 4 * i <= right <= 30 + 4 * i + most


@pytest.mark.parametrize(("wait", "lingers"), [(2, True), (4, False)])
def test_a_missed_person_may_still_be_where_it_was_a_moment_ago(wait: int, lingers: bool) -> None:
    when = frame_states(12)
    after = seen(when[6 + wait], 30)
    one = track(seen(when[5], 10), seen(when[6], 10, row=-1), after, number=1)
    [(_, left, right)] = spans(filled(when[6], one))
    assert (left, right) == (10, 50 if lingers else 30)


@pytest.mark.parametrize(("missed", "number"), [(3, 1), (4, UNKNOWN_TRACK)])
def test_a_person_missed_for_long_may_be_hidden(missed: int, number: int) -> None:
    when = frame_states(10)
    one = track(seen(when[0], 10), seen(when[missed + 1], 10), number=1)
    assert filled(when[2], one).ids.tolist() == [number]


def test_a_gap_longer_than_the_look_ahead_is_not_filled() -> None:
    when = frame_states(25)
    for last, ids in ((10, [UNKNOWN_TRACK]), (11, [])):
        one = track(seen(when[0], 10), seen(when[last], 10), number=1)
        assert filled(when[max(1, last - 10)], one).ids.tolist() == [UNKNOWN_TRACK]
        assert filled(when[5], one).ids.tolist() == [UNKNOWN_TRACK]
        assert filled(when[1], track(seen(when[0], 10), seen(when[last + 1], 10), number=1)).ids.tolist() == ids
