"""Tracks of which only a part is found."""

from dataclasses import replace

from anonymize.track.delayed.fragments import join_fragment
from tests.track.scenes import CONFIG, frame_states, seen, track


def test_half_of_whom_is_in_another_is_a_part_only_if_never_seen_alone() -> None:
    for views, left, part in ((0.0, 16, True), (0.0, 22, False), (2.0, 16, False), (2.0, 12, True)):
        when = frame_states(2)
        whole, newcomer = track(*(seen(m, 10) for m in when)), track(*(seen(m, left) for m in when), views=views)
        assert join_fragment(newcomer, [whole, newcomer], (), CONFIG) is part


def test_in_one_frame_alone_only_a_track_quite_within_a_surer_one_is_a_part() -> None:
    for left, score, part in ((11, 0.9, True), (11, 0.8, False), (14, 0.9, False)):
        [when] = frame_states(1)
        whole, newcomer = track(replace(seen(when, 10), score=score)), track(seen(when, left), views=0.0)
        assert join_fragment(newcomer, [whole, newcomer], (), CONFIG) is part


def test_a_part_of_a_track_and_of_its_successor_is_a_part_of_one() -> None:
    when = frame_states(10)
    whole = track(*(seen(when[k], 10, width=40) for k in range(5)))
    successor = track(*(seen(when[k], 10, width=40) for k in range(5, 9)))
    part = track(*(seen(when[k], 15) for k in range(10)))
    assert not join_fragment(part, [whole, successor, part], (), CONFIG)
    whole.successor = successor
    assert join_fragment(part, [whole, successor, part], (), CONFIG)
    assert [s.at for s in whole.observations] == [*when[:5], when[9]]


def test_a_track_always_found_within_another_is_a_part_though_that_one_is_missed_for_a_while() -> None:
    when = frame_states(14)
    for earlier, together, back, part in (
        (6, 2, True, True),
        (6, 1, True, False),
        (0, 2, True, False),
        (6, 3, False, False),
    ):
        whole = track(*(seen(m, 10) for m in when[6 - earlier : 6 + together] + when[13:] * back))
        newcomer = track(*(seen(m, 10) for m in when[6:]), views=5.0)
        assert join_fragment(newcomer, [whole, newcomer], (), CONFIG) is part
    whole, late = track(*(seen(m, 10) for m in when[1:5])), track(*(seen(m, 10) for m in when), views=5.0)
    assert not join_fragment(late, [whole, late], (), CONFIG)  # was there before


def test_a_track_also_found_within_a_third_one_is_no_part() -> None:
    when = frame_states(8)
    whole, other = track(*(seen(m, 10) for m in when[:3])), track(*(seen(m, 10) for m in when[3:]))
    newcomer = track(*(seen(m, 10) for m in when), views=5.0)
    assert not join_fragment(newcomer, [whole, other, newcomer], (), CONFIG)


def test_of_two_that_hold_a_part_alike_the_one_known_longer_gets_the_pixels() -> None:
    kept = []  # so that each time the people lie elsewhere in memory
    for _ in range(20):
        when = frame_states(2)
        first, second = (track(*(seen(m, 10) for m in when)) for _ in range(2))
        newcomer = track(*(seen(m, 12) for m in when))
        kept.append([first, second, newcomer])
        assert join_fragment(newcomer, kept[-1], (), CONFIG)
        assert (first.observations[0].mask.area, second.observations[0].mask.area) == (660, 600)
