"""Who somebody is that appears."""

import numpy as np
import pytest

from anonymize.track.delayed.reidentification import NEWS, Absence, looks_evidence, trust
from anonymize.track.online.association import crowding, likeness


def absence(
    apart: float, seconds: float, *, height: float = 60, deviation: float = 0.1, leaving: bool = False
) -> Absence:
    known = np.array([[0.0, 0, 20, 60]])
    x = 60 * apart
    found = np.array([[x, 30 - height / 2, x + 20, 30 + height / 2]])
    at_border = np.array([leaving])
    return Absence.of(known, np.array([deviation]), known, at_border, found, np.array([seconds]))


def test_nobody() -> None:
    assert Absence.none(0, 0).evidence().shape == (0, 0)
    none = np.zeros(0, np.float32)
    assert looks_evidence(np.zeros((0, 0), np.float32), none, none, np.zeros((0, 0), np.bool_)).shape == (0, 0)


def test_who_was_not_missing_is_not_who_appears() -> None:
    assert Absence.none(1, 1).evidence()[0, 0] == -np.inf


def test_the_nearer_and_the_sooner_the_likelier() -> None:
    said = [float(absence(a, s).evidence()[0, 0]) for a, s in ((0.1, 0.2), (0.6, 0.2), (1.4, 0.2))]
    assert said[0] > 0 and said == sorted(said, reverse=True)
    assert absence(3, 0.2).evidence()[0, 0] == -np.inf
    assert absence(3, 10).evidence()[0, 0] == pytest.approx(-NEWS, abs=0.2)


def test_another_size_speaks_against_it_but_not_if_one_comes_out_from_behind_something() -> None:
    assert absence(0.6, 0.2, height=25).evidence()[0, 0] < absence(0.6, 0.2).evidence()[0, 0]
    assert absence(0.0, 0.2, height=25).evidence()[0, 0] == absence(0.0, 0.2).evidence()[0, 0]


def test_where_people_leave_and_others_enter_the_place_alone_is_no_evidence() -> None:
    assert absence(0.0, 0.5, leaving=True).evidence()[0, 0] < 0
    assert absence(0.0, 0.1, leaving=True).evidence()[0, 0] > 0


def test_looks_speak_for_and_against() -> None:
    distance = np.array([[0.02, 0.1, np.nan]], np.float32)
    alone = np.zeros((1, 3), np.bool_)
    said = looks_evidence(distance, np.full(1, 5.0), np.full(3, 5.0), alone)[0]
    assert said[0] > 0 > said[1] and said[2] == 0
    little = looks_evidence(distance, np.full(1, 5.0), np.zeros(3), alone)[0]
    assert 0 < little[0] < said[0] and said[1] < little[1] < 0


def test_looks_say_nothing_where_others_look_the_same() -> None:
    distance = np.full((2, 1), 0.02, np.float32)
    other = np.array([[False], [True]])
    assert looks_evidence(distance, np.full(2, 5.0), np.full(1, 5.0), other)[0] == pytest.approx(0)


def test_crowding_is_mutual_and_nobody_crowds_themselves() -> None:
    boxes = np.array([[0, 0, 20, 60], [5, 30, 15, 60], [100, 0, 120, 60]], np.float64)
    assert crowding(boxes, boxes) == pytest.approx(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    assert crowding(boxes, boxes[:0]).shape == (3, 0)


def test_looks_of_whom_nobody_knows_well_count_for_little() -> None:
    distance = np.array([[0.03], [0.06], [np.nan]], np.float32)
    known, seen_once = (likeness(distance, trust(np.full(3, views, np.float32))) for views in (9.0, 0.3))
    assert (known[:, 0] > [0.8, 0.49, 0.49]).all()
    np.testing.assert_allclose(seen_once[:, 0], [0.5 + (known[0, 0] - 0.5) * 1.3 / 4, 0.5, 0.5], atol=1e-6)
