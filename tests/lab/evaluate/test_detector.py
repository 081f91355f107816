"""The measurement of detectors, on an untrained network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.lab.evaluate import detector as measurement
from anonymize.lab.evaluate.detector import scene_truths, score_pictures, score_rendered_films
from anonymize.lab.train.pictures import BoxedPicture

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


def test_real_pictures_are_looked_at_once(
    network: DetectorNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def read(picture: BoxedPicture) -> np.ndarray:
        seen.append(int(picture.path.stem))
        return np.full((64, 96, 3), 120, np.uint8)

    boxes, none = np.array([[10, 10, 30, 60]], np.float32), np.zeros((0, 4), np.float32)
    pictures = [BoxedPicture(Path(f"{k}.jpg"), boxes, np.ones(1, np.float32), none, (None,)) for k in range(3)]
    monkeypatch.setattr(BoxedPicture, "read", read)
    monkeypatch.setattr(measurement, "load_pictures", lambda *_, **__: pictures)
    monkeypatch.setattr(measurement, "load_poses", lambda _: {("1.jpg", 0): np.zeros((33, 5), np.float32)})
    (tmp_path / "blazepose.npz").touch()
    figures = measurement.score_real_pictures(network, tmp_path)
    assert seen == [0, 1, 2]
    assert (figures["pictures"], figures["people"], figures["surface_joints"]) == (3, 3, 0)
