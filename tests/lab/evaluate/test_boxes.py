"""Figures of boxes, by hand."""

from pathlib import Path

import numpy as np
import pytest

from anonymize.lab.evaluate.boxes import BoxScores
from anonymize.lab.train.box_teachers import ScoredBoxes
from anonymize.lab.train.pictures import BoxedPicture

pytest.importorskip("pycocotools", reason="needs the extra `eval`")

NONE = np.zeros((0, 4), np.float32)
TALL = np.array([[10, 10, 50, 110]], np.float32)
SMALL = np.array([[100, 10, 112, 40]], np.float32)


def boxes(*rows: tuple[float, float, float, float, float]) -> ScoredBoxes:
    values = np.array(rows, np.float32).reshape(-1, 5)
    return ScoredBoxes(values[:, :4], values[:, 4])


def test_no_pictures() -> None:
    figures = BoxScores(0.5).summary()
    assert figures["pictures"] == 0
    assert figures["box_ap50"] == 0


def test_people_are_found_by_height_at_the_score() -> None:
    scores = BoxScores(0.5)
    scores.add(np.concatenate([TALL, SMALL]), NONE, boxes((*TALL[0], 0.9), (*SMALL[0], 0.3)))
    figures = scores.summary()
    assert figures["found_from_80_px"] == 1
    assert figures["found_24_to_40_px"] == 0, "found at a lower score only"
    assert figures["box_ap50"] == pytest.approx(1)
    assert figures["false_alarms_per_picture"] == 0


def test_what_is_found_twice_or_nowhere_is_a_false_alarm() -> None:
    scores = BoxScores(0.5)
    scores.add(TALL, NONE, boxes((*TALL[0], 0.9), (12, 12, 52, 112, 0.8), (200, 10, 220, 60, 0.7)))
    scores.add(NONE, NONE, boxes((0, 0, 9, 9, 0.6), (0, 0, 9, 9, 0.4)))
    assert scores.summary()["false_alarms_per_picture"] == 1.5


def test_places_that_may_hold_others_count_neither_way() -> None:
    scores = BoxScores(0.5)
    scores.add(TALL, SMALL, boxes((*TALL[0], 0.9), (101, 12, 111, 38, 0.95)))
    figures = scores.summary()
    assert figures["people"] == 1
    assert figures["false_alarms_per_picture"] == 0
    assert figures["box_ap50"] == pytest.approx(1)


def test_what_only_teachers_found_counts_neither_way() -> None:
    picture = BoxedPicture(
        Path("a.jpg"), np.concatenate([TALL, SMALL]), np.array([1, 0.6], np.float32), NONE, (None, None)
    )
    scores = BoxScores(0.5)
    scores.add_picture(picture, boxes((*TALL[0], 0.9), (101, 12, 111, 38, 0.95)))
    figures = scores.summary()
    assert (figures["people"], figures["false_alarms_per_picture"]) == (1, 0)
