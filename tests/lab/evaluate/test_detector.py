"""The measurement of detectors, on an untrained network."""

import numpy as np
import pytest
import torch

from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.lab.evaluate.detector import scene_truths, score_pictures, score_rendered_films

pytest.importorskip("pycocotools", reason="needs the extra `eval`")

SIZE_HW = (96, 160)


@pytest.fixture(scope="module")
def network() -> DetectorNetwork:
    torch.manual_seed(0)
    config = DetectorConfig(channels=8, merged=8, wide=8, size=64)
    return DetectorNetwork(config).eval()


def test_held_out_scenes_are_the_same_each_time_and_know_the_surface() -> None:
    first, again = (next(truth for truth in scene_truths(20, SIZE_HW) if truth.people) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.landmarks is not None
    assert any((first.landmarks[person.slices][person.mask] >= 0).any() for person in first.people)


def test_an_untrained_network_has_no_precision(network: DetectorNetwork) -> None:
    figures = score_pictures(network, scene_truths(2, SIZE_HW))
    assert figures["pictures"] == 2
    assert figures["box_ap"] < 0.1


def test_an_untrained_network_covers_hardly_anybody_of_a_film(network: DetectorNetwork) -> None:
    figures = score_rendered_films(network, films=1, frames=2, size_hw=SIZE_HW)
    assert figures["pictures"] == 2
    assert figures["covered_mean"] < 0.9
