import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from anonymize.core.errors import OptionError
from anonymize.detect.backbone import EfficientNetLite
from anonymize.detect.plates import PlateHead, load_plate_head
from anonymize.lab.evaluate.plates import Looked, figures_of
from anonymize.lab.train.plate_pictures import PlateViews, load_others, load_plates
from anonymize.lab.train.plates import PlateTraining, train_plate_head

GREEN = (0, 255, 0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Pictures of green plates on grey, and one without."""
    folder = tmp_path / "data" / "plates"
    (folder / "pictures").mkdir(parents=True)
    entries = {}
    for k in range(12):
        picture = np.full((90, 120, 3), 90, np.uint8)
        box = [20 + k, 30, 60 + k, 44]
        picture[box[1] : box[3], box[0] : box[2]] = GREEN
        cv2.imwrite(str(folder / "pictures" / f"{k}.png"), picture)
        entries[f"{k}.png"] = {"plates_xyxy": [box]}
    (folder / "plates.json").write_text(json.dumps(entries))
    others = tmp_path / "data" / "shops" / "pictures"
    others.mkdir(parents=True)
    for k in range(4):
        cv2.imwrite(str(others / f"{k}.png"), np.full((70, 70, 3), 40 * k, np.uint8))
    return tmp_path / "data"


def test_a_tenth_is_kept_out_and_plates_are_no_other_pictures(data: Path) -> None:
    taught, kept = (load_plates(data / "plates", held_out_only=kept) for kept in (False, True))
    assert len(taught) + len(kept) == 12
    assert not {p.path for p in taught} & {p.path for p in kept}
    others = load_others(data, 3) + load_others(data, 3, held_out_only=True)
    assert others
    assert {p.path.parent.parent.name for p in others} == {"shops"}
    with pytest.raises(OptionError, match="cannot read"):
        load_plates(data)


def test_boxes_hold_the_plates_of_a_view(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anonymize.lab.train.plate_pictures._relit", lambda image, rng: image)
    views = PlateViews(load_plates(data / "plates"), load_others(data, 4), 128)
    rng = np.random.default_rng(0)
    taught = 0
    for _ in range(40):
        view = views.sample(rng)
        green = (view.image[..., 1] > 200) & (view.image[..., 0] < 90)
        known = np.zeros_like(green)
        for x1, y1, x2, y2 in np.concatenate([view.boxes, view.unknown]):
            known[max(0, int(y1) - 2) : int(y2) + 3, max(0, int(x1) - 2) : int(x2) + 3] = True
        assert not (green & ~known).any()
        for x1, y1, x2, y2 in view.boxes.round().astype(int):
            inside = view.image[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1]
            assert inside.size == 0 or (inside[..., 1] > 200).mean() > 0.9
            taught += 1
    assert taught > 20


def test_training_writes_weights_of_its_backbone(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = EfficientNetLite()
    options = PlateTraining(minutes=0, size=64, batch_size=2, pool=4, workers=0)
    plates, others = load_plates(data / "plates"), load_others(data, 4)
    first = train_plate_head(backbone, plates, others, tmp_path / "run", options, torch.device("cpu"))
    read = load_plate_head(tmp_path / "run" / "plates.safetensors", backbone)
    torch.testing.assert_close(read.fine[0].weight, first.fine[0].weight, rtol=1e-2, atol=1e-3)
    begun = PlateHead()
    begun.load_state_dict(read.state_dict())
    train_plate_head(backbone, plates, others, tmp_path / "on", options, torch.device("cpu"), begun)
    assert (tmp_path / "on" / "plates.safetensors").is_file()


def test_figures_of_what_was_found() -> None:
    truth = np.array([[0, 0, 30, 10], [50, 0, 120, 20], [0, 50, 10, 54]], np.float32)
    boxes = np.array([[1, 0, 30, 10], [50, 0, 80, 20], [0, 50, 11, 54], [200, 0, 230, 10]], np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.2], np.float32)
    looked = Looked(truth, boxes, scores, np.array([1.0, 0.4, 1.0], np.float32))
    figures = figures_of([looked], 0.5)
    assert figures["found from 24 px"] == 0.5
    assert figures["found from 60 px"] == 0.0
    assert figures["false alarms a picture"] == 1  # the box on a part of the second plate
    assert figures["covered of found wholly"] == 1.0
    assert figures_of([looked], 0.1)["false alarms a picture"] == 2
