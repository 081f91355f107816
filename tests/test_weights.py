"""The manifests tell of the weights that are shipped."""

import hashlib
import json
from pathlib import Path

import pytest

from anonymize.core.resources import DETECTOR, GENERATOR, PLATES, weights_path
from anonymize.detect.build import load_network
from anonymize.detect.plates import SURE_PLATE, load_plate_head
from anonymize.detect.predictor import DEFAULT_SCORE


@pytest.mark.parametrize("name", [DETECTOR, GENERATOR, PLATES])
def test_a_manifest_is_of_its_weights(name: str) -> None:
    path = weights_path(name)
    manifest = json.loads(path.with_suffix(".json").read_text())
    assert manifest["file"] == name
    assert manifest["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    training = path.with_name(f"{Path(name).stem}.training.json")
    assert manifest["training"] == json.loads(training.read_text())


def test_the_detector_was_measured_at_its_default_score() -> None:
    assert json.loads(weights_path(DETECTOR).with_suffix(".json").read_text())["default_score"] == DEFAULT_SCORE


def test_the_plates_belong_to_the_detector_and_were_measured_at_their_score() -> None:
    load_plate_head(weights_path(PLATES), load_network(weights_path(DETECTOR)).backbone)
    assert json.loads(weights_path(PLATES).with_suffix(".json").read_text())["default_score"] == SURE_PLATE
