"""Observations of tracks that turn out to be one."""

import pytest

from anonymize.track.model.track import joined, share_pixels
from tests.track.scenes import CONFIG, frame_states, seen, track


def test_a_detection_wins_over_the_picture_and_nothing_is_lost() -> None:
    when = frame_states(4)
    former = track(seen(when[0], 10), seen(when[1], 10, row=-1), seen(when[3], 10, row=-1))
    newcomer = track(seen(when[1], 12), seen(when[2], 12))
    assert [(s.seconds, s.box[0]) for s in joined(former.observations, newcomer.observations)] == [
        (0, 10),
        (0.1, 12),
        (0.2, 12),
        (0.3, 10),
    ]


def test_the_surer_of_two_detections_wins_but_no_picture_does() -> None:
    when = frame_states(3)
    former = track(seen(when[0], 10, score=0.5), seen(when[1], 10), seen(when[2], 10, score=0.5))
    newcomer = track(seen(when[0], 12), seen(when[1], 12, score=0.5), seen(when[2], 12, row=-1, score=0.9))
    assert [s.box[0] for s in joined(former.observations, newcomer.observations)] == [12, 10, 10]


def test_joined_observations_cover_the_pixels_of_both_and_change_neither() -> None:
    when = frame_states(3)
    former = track(seen(when[0], 10, row=-1), seen(when[1], 10), seen(when[2], 10, row=-1))
    newcomer = track(seen(when[0], 20), seen(when[1], 20, row=-1), seen(when[2], 20, row=-1))
    both = joined(former.observations, newcomer.observations)
    assert [s.box[0] for s in both] == [20, 10, 10]
    assert [s.mask.area for s in both] == [900] * 3
    assert {s.mask.area for one in (former, newcomer) for s in one.observations} == {600}


def test_pixels_are_shared_where_both_were_seen() -> None:
    when = frame_states(2)
    one, other = track(seen(when[0], 10), seen(when[1], 10)), track(seen(when[1], 20))
    share_pixels(one, other)
    assert [s.mask.area for s in one.observations] == [600, 900]


@pytest.mark.parametrize(("frame", "left", "right"), [(5, 9.1, 71), (6, 9.1, 81)])
def test_the_extent_of_a_track_is_that_of_half_a_second(frame: int, left: float, right: float) -> None:
    """Moved to where the track is expected, with 3 % of its height around."""
    when = frame_states(8)
    lefts = [0, 10, 30, 30, 30, 30, 30, 30]
    one = track(*(seen(when[k], lefts[k]) for k in range(frame + 1)))
    box = one.extent(one.observations[-1].box, when[frame], CONFIG)
    assert box.tolist() == pytest.approx([left - 10 * (frame == 5), 4.1, 50.9, 35.9])
