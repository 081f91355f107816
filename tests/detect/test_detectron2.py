"""The optional backend: its adapter on doubles, and itself where it is installed."""

import importlib.util
import json
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from anonymize.core.errors import BackendError, OptionError
from anonymize.detect import build
from anonymize.detect.build import build_detector, save_weights
from anonymize.detect.detectron2 import Detectron2Detector
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.detect.paired import PairedDetector

INSTALLED = importlib.util.find_spec("detectron2") is not None
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SIZE = (40, 60)


class Instances:
    """Fields of equal length, as Detectron2's."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def has(self, name: str) -> bool:
        return name in self.__dict__

    def __getitem__(self, keep: torch.Tensor) -> "Instances":
        return Instances(**{n: Boxes(v.tensor[keep]) if n == "pred_boxes" else v[keep] for n, v in vars(self).items()})


class Boxes:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def people(**more: Any) -> Instances:
    """A person at (5, 5) to (25, 35) and a dog beside."""
    masks = torch.zeros((2, *SIZE), dtype=torch.bool)
    masks[0, 5:35, 5:25] = True
    masks[1, 20:35, 40:55] = True
    boxes = Boxes(torch.tensor([[5.0, 5, 25, 35], [40, 20, 55, 35]]))
    given = {"pred_masks": masks, "scores": torch.tensor([0.9, 0.8]), "pred_classes": torch.tensor([0, 16])} | more
    return Instances(pred_boxes=boxes, **{name: value for name, value in given.items() if value is not None})


def predictor(instances: Instances) -> Any:
    unchanged = SimpleNamespace(apply_image=lambda image: image)
    seen: list[torch.Tensor] = []

    def model(inputs: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        seen.extend(given["image"] for given in inputs)
        return [{"instances": instances} for _ in inputs]

    return SimpleNamespace(
        aug=SimpleNamespace(get_transform=lambda image: unchanged), input_format="BGR", model=model, seen=seen
    )


def bodies(box: list[float]) -> Instances:
    segmentation = torch.zeros(1, 2, 112, 112)
    segmentation[:, 1] = 10
    cse = SimpleNamespace(embedding=torch.ones(1, 16, 112, 112), coarse_segm=segmentation)
    return Instances(
        pred_boxes=Boxes(torch.tensor([box])),
        scores=torch.tensor([0.7]),
        pred_classes=torch.tensor([0]),
        pred_densepose=cse,
    )


def test_people_are_taken_and_pictures_are_bgr() -> None:
    model = predictor(people())
    image = np.zeros((*SIZE, 3), np.uint8)
    image[:, :, 0] = 200
    first, second = Detectron2Detector(model).detect([image, image])
    assert len(first) == len(second) == 1
    np.testing.assert_array_equal(first.boxes_xyxy, [[5, 5, 25, 35]])
    assert first.masks[0].to_full(SIZE)[5:35, 5:25].all()
    assert not first.has_cse.any()
    assert model.seen[0][2].min() == 200 and model.seen[0][:2].max() == 0


def test_surfaces_are_matched_to_masks() -> None:
    image = np.zeros((*SIZE, 3), np.uint8)
    (matched,) = Detectron2Detector(predictor(people()), predictor(bodies([5, 5, 25, 35]))).detect([image])
    assert matched.has_cse.tolist() == [True]
    assert matched.surface == "smpl_27554"
    (apart,) = Detectron2Detector(predictor(people()), predictor(bodies([35, 5, 55, 35]))).detect([image])
    assert apart.has_cse.tolist() == [False, True]


def test_alone_it_gets_the_embedded_surface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def build_double(configs: str, **_options: Any) -> Detectron2Detector:
        asked.append(configs)
        return Detectron2Detector(predictor(people()))

    network = DetectorNetwork(DetectorConfig(size=64, max_size=128))
    assert network.region_head.points.bias is not None
    torch.nn.init.constant_(network.region_head.points.bias[:1], 9.0)
    save_weights(tmp_path / "random.safetensors", network, {})
    monkeypatch.setattr(build, "weights_path", lambda _name: tmp_path / "random.safetensors")
    monkeypatch.setattr("anonymize.detect.detectron2.build_detectron2_detector", build_double)
    for name in ("detectron2", "detectron2:a.yaml=b.pkl", "detectron2:a.yaml+embedded"):
        detector = build_detector(name)
        (found,) = detector.detect([np.zeros((*SIZE, 3), np.uint8)])
        assert detector.surface == found.surface == "anny"
        assert found.has_cse.tolist() == [True]
    assert not isinstance(build_detector("detectron2:a.yaml+c.yaml"), PairedDetector)
    assert asked == ["", "a.yaml=b.pkl", "a.yaml", "a.yaml+c.yaml"]


def test_no_pictures() -> None:
    assert Detectron2Detector(predictor(people())).detect([]) == []


def test_models_without_masks_or_cse_are_refused() -> None:
    image = np.zeros((*SIZE, 3), np.uint8)
    with pytest.raises(OptionError, match="no masks"):
        Detectron2Detector(predictor(people(pred_masks=None))).detect([image])
    with pytest.raises(OptionError, match="CSE"):
        Detectron2Detector(predictor(people()), predictor(people())).detect([image])


@pytest.mark.skipif(INSTALLED, reason="Detectron2 is installed")
@pytest.mark.parametrize("name", ["detectron2", "detectron2:COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x.yaml"])
def test_without_detectron2_the_error_says_how_to_install_it(name: str) -> None:
    with pytest.raises(BackendError, match=r"pip install .*github\.com/facebookresearch/detectron2") as caught:
        build_detector(name)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(INSTALLED, reason="Detectron2 is installed")
def test_a_broken_detectron2_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its model zoo wants a part of setuptools that newer ones lack."""
    package = tmp_path / "detectron2"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "config.py").write_text("def get_cfg(): pass")
    (package / "model_zoo.py").write_text("import a_package_that_is_gone")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match=r"a_package_that_is_gone.*setuptools<81") as caught:
        build_detector("detectron2")
    assert "\n" not in str(caught.value)
    for name in [name for name in sys.modules if name.partition(".")[0] == "detectron2"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.detectron2
@pytest.mark.skipif(not INSTALLED, reason="Detectron2 is not installed")
@pytest.mark.filterwarnings("default")
def test_detectron2_itself(tmp_path: Path) -> None:
    recipe_spec = importlib.util.spec_from_file_location("recipe", FIXTURES / "recipe.py")
    assert recipe_spec is not None and recipe_spec.loader is not None
    recipe = importlib.util.module_from_spec(recipe_spec)
    recipe_spec.loader.exec_module(recipe)
    spec = json.loads((FIXTURES / "mask_r50.json").read_text())
    file = tmp_path / "x.pkl"
    model = {n: recipe.parameter(n, s) for n, s in spec["parameters"].items()}
    file.write_bytes(pickle.dumps({"model": model, "__author__": "Detectron2 Model Zoo"}))
    config = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
    detector = build_detector(f"detectron2:{config}={file}", score=spec["score_thresh"])
    (found,) = detector.detect([np.ascontiguousarray(recipe.image(120, 180, 3)[:, :, ::-1])])
    assert len(found)
    with pytest.raises(OptionError, match="cannot read the configuration"):
        build_detector("detectron2:nothing.yaml")
    with pytest.raises(OptionError, match="without masks"):
        build_detector("detectron2:COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml")
