from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from anonymize.core.body_surface import load_surface
from anonymize.core.errors import OptionError
from anonymize.core.types import Detections, FloatArray, UInt8Array
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.detect.predictor import EmbeddedDetector
from anonymize.lab.train.composites import Sample
from anonymize.lab.train.dataset import SIZE, table_of
from anonymize.lab.train.dataset_reader import People
from anonymize.lab.train.labelled import LabelledPicture, build_labelled, labelled_crops, street_photos

SURFACE = load_surface()


class LeftHalf(EmbeddedDetector):
    """Finds no person; in each box that it is given the left part, or all, is body."""

    body = 1.0

    def detect(self, images: list[UInt8Array]) -> list[Detections]:  # type: ignore[override]
        return [Detections.empty(image.shape[:2]) for image in images]

    def surfaces(self, images: list[UInt8Array], boxes_xyxy: list[FloatArray]) -> list[tuple[torch.Tensor, ...]]:  # type: ignore[override]
        made = []
        for boxes in boxes_xyxy:
            bodies = torch.zeros(len(boxes), 14, 14)
            bodies[:, :, : round(14 * self.body)] = 1
            embedding = self.network.vertex_embedding.detach()[:196].T.reshape(1, 16, 14, 14)
            made.append((bodies, embedding.expand(len(boxes), -1, -1, -1)))
        return made


@pytest.fixture
def detector() -> LeftHalf:
    torch.manual_seed(0)
    return LeftHalf(DetectorNetwork(DetectorConfig(channels=8, merged=8, wide=8)))


def two_people() -> LabelledPicture:
    """A large person, and a small one beside them."""
    image = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    sample = Sample.of(image)
    sample.instances[40:260, 60:120] = 1
    sample.instances[200:240, 130:150] = 2
    return LabelledPicture("a", sample)


def test_people_have_their_known_mask_and_the_surface_of_their_box(detector: LeftHalf) -> None:
    [crop] = labelled_crops(two_people(), detector, table_of(detector, SURFACE), SURFACE, 150)
    assert crop.image.shape == (*SIZE, 3)
    assert (crop.alpha[crop.body] > 0).mean() > 0.95
    assert crop.body[crop.alpha == 255].mean() > 0.95
    assert crop.person[crop.alpha > 0].all(), "the cover holds the person"
    assert crop.others.any(), "the small one, who is not learnt from"
    assert not (crop.others & (crop.alpha > 127)).any()
    assert crop.note.identity == "a#1"


def test_people_without_enough_surface_are_left_out(detector: LeftHalf) -> None:
    detector.body = 0.5
    assert not list(labelled_crops(two_people(), detector, table_of(detector, SURFACE), SURFACE, 150))


def test_a_fitted_surface_is_taken_where_there_is_no_other(detector: LeftHalf) -> None:
    detector.body = 0.0
    picture = two_people()
    picture.sample.landmarks[picture.sample.instances == 1] = 7
    [crop] = labelled_crops(picture, detector, table_of(detector, SURFACE), SURFACE, 150)
    assert (crop.vertices[crop.body] == SURFACE.landmarks[7]).all()
    wanted = table_of(detector, SURFACE).embedding[7]
    inner = crop.embedding[:, 72, 40].astype(np.float32)
    assert inner @ wanted / np.linalg.norm(inner) > 0.99


def test_street_photos_are_read_with_their_labels(tmp_path: Path, detector: LeftHalf) -> None:
    for name in ("labels", "photos"):
        (tmp_path / name).mkdir()
    photo = np.random.default_rng(1).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    labels = np.zeros((300, 200), np.uint8)
    labels[40:260, 60:120] = 19
    cv2.imwrite(str(tmp_path / "photos" / "1.webp"), photo)
    cv2.imwrite(str(tmp_path / "labels" / "1.png"), labels)
    [picture] = street_photos(tmp_path)
    assert (picture.sample.instances == (labels > 0)).all()
    count = build_labelled(tmp_path, tmp_path / "out", detector, SURFACE, min_height_px=150, limit=None)
    assert count == 1
    with pytest.raises(OptionError, match="no people"):
        build_labelled(tmp_path, tmp_path / "none", detector, SURFACE, min_height_px=280, limit=None)
    names = [note.source for held in (True, False) for note in notes(tmp_path / "out", held)]
    assert names == ["1"]


def notes(folder: Path, held: bool) -> list[object]:
    try:
        return list(People(folder, held_out=held).notes)
    except OptionError:
        return []
