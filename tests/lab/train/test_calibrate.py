from pathlib import Path

import numpy as np
import pytest
import torch

from anonymize.core.errors import OptionError
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.lab.train.box_teachers import ScoredBoxes
from anonymize.lab.train.calibrate import calibrate, platt, right_boxes
from anonymize.lab.train.pictures import BoxedPicture


def test_the_sigmoid_becomes_the_share_that_is_right() -> None:
    rng = np.random.default_rng(0)
    logits = rng.uniform(-4, 4, 4000).astype(np.float32)
    right = rng.random(4000) < 1 / (1 + np.exp(-(2 * logits - 1)))
    scale, shift = platt(logits, right)
    assert scale == pytest.approx(2, abs=0.2)
    assert shift == pytest.approx(-1, abs=0.2)


def test_one_box_a_person_is_right_and_open_places_tell_nothing() -> None:
    found = ScoredBoxes(
        np.array([[0, 0, 10, 20], [1, 0, 11, 20], [50, 0, 60, 20], [80, 0, 90, 20]], np.float32),
        np.array([0.9, 0.8, 0.7, 0.6], np.float32),
    )
    boxes, open_boxes = found.xyxy[:1], found.xyxy[3:]
    picture = BoxedPicture(Path("street.png"), boxes, np.ones(1, np.float32), open_boxes, (None,))
    right, known = right_boxes(found, picture)
    assert right.tolist() == [True, False, False, False]
    assert known.tolist() == [True, True, True, False]


def test_scores_without_people_cannot_be_calibrated() -> None:
    torch.manual_seed(0)
    network = DetectorNetwork(DetectorConfig(channels=8, merged=8, wide=8, vertices=32)).eval()
    with pytest.raises(OptionError, match="too few people"):
        calibrate(network, [])
