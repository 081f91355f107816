import pytest

from anonymize.report.spans import Spans


def test_none() -> None:
    assert list(Spans()) == []
    assert Spans().seconds == 0


def test_frames_close_together_are_one_span() -> None:
    spans = Spans(gap_seconds=0.5)
    for start in (0.0, 0.1, 0.2, 0.5, 1.2):
        spans.add(start, start + 0.1)
    assert list(spans) == [(0.0, pytest.approx(0.6)), (1.2, pytest.approx(1.3))]
    assert spans.frames == 5
    assert spans.seconds == pytest.approx(0.7)


def test_a_long_film_needs_no_more_memory() -> None:
    spans = Spans(limit=16)
    for number in range(20_000):
        spans.add(10.0 * number, 10.0 * number + 0.1)
    assert 8 <= len(spans) <= 16
    assert spans.frames == 20_000
    first, *_, last = spans
    assert first[0] == 0
    assert last[1] == pytest.approx(199_990.1)


def test_the_widest_gaps_are_kept() -> None:
    spans = Spans(limit=4, gap_seconds=0.1)
    for start in (0.0, 1.0, 9.0, 10.0, 11.0):
        spans.add(start, start + 0.5)
    assert list(spans) == [(0.0, 1.5), (9.0, 11.5)]


def test_merging_keeps_the_order_and_the_count() -> None:
    late, early = Spans(), Spans()
    late.add(10, 11)
    early.add(0, 1)
    early.add(10.5, 12)
    late.merge(early)
    assert list(late) == [(0, 1), (10, 12)]
    assert late.frames == 3


def test_touches() -> None:
    spans = Spans()
    spans.add(1, 2)
    assert spans.touches(1.5, 3)
    assert not spans.touches(2, 3)
