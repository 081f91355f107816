from dataclasses import replace

import numpy as np
import pytest
import torch

from anonymize.compose.margin import with_margin
from anonymize.core.body_surface import load_surface
from anonymize.core.types import Detections, RegionMask
from anonymize.lab.evaluate.detection import DetectionScores, Truth, false_alarms, truth_of

pytest.importorskip("pycocotools", reason="needs the extra `eval`")
SIZE = (100, 120)
NOTHING = RegionMask(0, 0, np.zeros((0, 0), np.bool_))


def person(x: int, y: int, w: int = 20, h: int = 60) -> RegionMask:
    return RegionMask(x, y, np.ones((h, w), np.bool_))


def truth(*people: RegionMask, ignore: RegionMask = NOTHING) -> Truth:
    return Truth(np.zeros((*SIZE, 3), np.uint8), people, ignore)


def found(*people: RegionMask, scores: tuple[float, ...] | None = None) -> Detections:
    if not people:
        return Detections.empty(SIZE)
    boxes = np.array([p.box_xyxy for p in people], np.float32)
    values = np.array(scores or (0.9,) * len(people), np.float32)
    return Detections(SIZE, boxes, values, people, np.zeros(len(people), np.bool_))


def rim(region: RegionMask) -> int:
    """Pixels that are painted round somebody."""
    return with_margin(region, SIZE).area - region.area


def test_no_pictures_give_no_figures_but_no_error() -> None:
    figures = DetectionScores().summary()
    assert figures["pictures"] == 0
    assert figures["box_ap"] == 0


def test_perfect_answers_are_perfect() -> None:
    scores = DetectionScores()
    scores.add(truth(person(10, 10), person(60, 20)), found(person(10, 10), person(60, 20)))
    figures = scores.summary()
    assert figures["box_ap"] == pytest.approx(1)
    assert figures["mask_ap"] == pytest.approx(1)
    assert figures["recall"] == 1
    rims = rim(person(10, 10)) + rim(person(60, 20))
    assert figures["background_painted"] == pytest.approx(rims / (100 * 120 - 2 * 20 * 60))


def test_missing_one_of_two_people_halves_the_recall() -> None:
    scores = DetectionScores()
    scores.add(truth(person(10, 10), person(60, 20)), found(person(10, 10)))
    figures = scores.summary()
    assert figures["recall"] == 0.5
    assert figures["covered_mean"] == 0.5
    assert 0.4 < figures["box_ap50"] < 0.6


def test_recall_is_given_by_height() -> None:
    scores = DetectionScores()
    scores.add(truth(person(10, 10, 4, 12), person(60, 20)), found(person(60, 20)))
    figures = scores.summary()
    assert figures["recall_0_to_24_px"] == 0
    assert figures["recall_40_to_80_px"] == 1


def test_what_nobody_labelled_counts_neither_way() -> None:
    scores = DetectionScores()
    scores.add(truth(person(10, 10), ignore=person(60, 20)), found(person(10, 10), person(60, 20)))
    figures = scores.summary()
    assert figures["box_ap"] == pytest.approx(1)
    rims = rim(person(10, 10)) + rim(person(60, 20))
    assert figures["background_painted"] == pytest.approx(rims / (100 * 120 - 2 * 20 * 60))


def test_a_false_alarm_costs_precision_and_paints_the_background() -> None:
    scores = DetectionScores()
    scores.add(truth(person(10, 10)), found(person(60, 20), person(10, 10), scores=(0.95, 0.9)))
    figures = scores.summary()
    assert figures["box_ap"] < 0.6
    assert figures["background_painted"] == pytest.approx(
        (with_margin(person(60, 20), SIZE).area + rim(person(10, 10))) / (100 * 120 - 20 * 60)
    )


def test_surface_error_is_the_geodesic_distance_of_the_guess() -> None:
    landmarks = np.full(SIZE, -1, np.int16)
    landmarks[10:70, 10:30] = 1
    surface = replace(
        load_surface(),
        vertices=np.array([[0.3, 0, 1], [-0.3, 0, 1]], np.float32),
        parts=np.array([7, 9]),
        landmarks=np.arange(2),
        geodesics_cm=np.array([[0, 7], [7, 0]], np.float32),
    )
    right = torch.zeros(1, 2, 8, 8)
    right[:, 1] = 1
    for embedding, expected in ((right, 0.0), (right.flip(1), 7.0)):
        scores = DetectionScores()
        plain = found(person(10, 10))
        answer = Detections(
            SIZE, plain.boxes_xyxy, plain.scores, plain.masks, np.ones(1, np.bool_), embedding, torch.ones(1, 8, 8)
        )
        picture = Truth(np.zeros((*SIZE, 3), np.uint8), (person(10, 10),), NOTHING, landmarks)
        scores.add(picture, answer)
        scores.add_surface(picture, answer, torch.eye(2), surface)
        figures = scores.summary()
        assert figures["geodesic_error_median_cm"] == expected
        assert figures["left_for_right"] == (expected > 0)


def test_false_alarms() -> None:
    figures = false_alarms([found(), found(person(1, 1), person(50, 1)), found(), found()])
    assert figures["false_alarms_per_1000_frames"] == 500
    assert figures["frames_with_false_alarm"] == 0.25
    assert false_alarms([])["frames"] == 0


def test_truth_of_an_instance_map() -> None:
    instances = np.zeros(SIZE, np.uint8)
    instances[10:40, 10:20] = 1
    instances[50:52, 50:52] = 2
    picture = truth_of(np.zeros((*SIZE, 3), np.uint8), instances, np.zeros(SIZE, np.bool_), None)
    assert [p.box_xyxy for p in picture.people] == [(10, 10, 20, 40)]


def test_covered_pixels_count_people_of_some_size_by_their_area() -> None:
    scores = DetectionScores()
    scores.add(
        truth(person(10, 10, 20, 60), person(60, 20, 10, 60), person(90, 20, 4, 12)), found(person(10, 10, 20, 60))
    )
    assert scores.summary()["covered_pixels_large"] == pytest.approx(1200 / 1800)
