import pytest

from anonymize.verify import FrameCheck, PersonCheck, Totals, sightings
from anonymize.verify.output import closing_line, table_row


def person(x: int = 10, similarity: float = 0.2) -> PersonCheck:
    return PersonCheck((x, 20, x + 30, 80), 0.8, similarity, similarity, 5.0, similarity > 0.9, similarity > 0.9, {})


def film(*people: tuple[PersonCheck, ...], rate: float = 10) -> list[FrameCheck]:
    return [FrameCheck(number, number / rate, row) for number, row in enumerate(people)]


def test_no_frames() -> None:
    assert list(sightings([])) == []


def test_a_person_in_consecutive_frames_is_one_row() -> None:
    [row] = sightings(film((person(10),), (person(12, 0.4),), (person(14, 0.3),)))
    assert (row.start, row.end, row.frames) == (0, pytest.approx(0.2), 3)
    assert row.worst.similarity == 0.4
    assert row.worst.box_xyxy[0] == 12


def test_another_place_another_verdict_or_a_long_gap_is_a_row_of_its_own() -> None:
    assert (
        len(
            list(
                sightings(
                    film(
                        (person(10), person(100)),
                    )
                )
            )
        )
        == 2
    )
    assert len(list(sightings(film((person(10),), (person(10, 0.99),))))) == 2
    assert len(list(sightings(film((person(10),), (), (person(10),))))) == 1
    assert len(list(sightings(film((person(10),), *[()] * 8, (person(10),))))) == 2


def test_rows_come_out_when_they_end() -> None:
    rows = sightings(FrameCheck(n, float(n), (person(),)) for n in range(10**9))
    assert [next(rows).start for _ in range(3)] == [0, 1, 2]


def test_totals_name_the_spans() -> None:
    totals = Totals()
    seen, covered = (person(similarity=0.95),), (person(),)
    list(totals.count(film(covered, seen, seen, covered, (), seen)))
    assert (totals.frames, totals.people, totals.visible, totals.visible_frames) == (6, 5, 3, 3)
    assert totals.spans == [(0.1, 0.2, 2), (0.5, 0.5, 1)]
    assert "look at 0.100 - 0.200 s, 0.500 s" in closing_line(totals)


def test_a_long_film_does_not_fill_the_line() -> None:
    totals = Totals()
    list(totals.count(film(*[(person(similarity=0.95),), ()] * 100)))
    assert closing_line(totals).endswith("and 80 more (100 people in 200 frames looked up)")


def test_nobody_visible() -> None:
    totals = Totals()
    list(totals.count(film((person(),), ())))
    assert closing_line(totals) == "no person is visible (1 people in 2 frames looked up)"


def test_a_row_of_the_table() -> None:
    [row] = sightings(film((person(similarity=0.97),), (person(similarity=0.98),)))
    assert table_row(row).split() == "0.000 - 0.100 2 10, 20, 30, 60 0.80 0.98 VISIBLE:".split()  # noqa: SIM905
