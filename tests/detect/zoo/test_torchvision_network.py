"""torchvision's own model is the reference of how its checkpoint is read and what it answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn_v2

from anonymize.core.errors import WeightsError
from anonymize.core.types import UInt8Array
from anonymize.detect import build
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.detect.paired import PairedDetector
from anonymize.detect.zoo.network import build_network
from anonymize.detect.zoo.predictor import ZooDetector, build_zoo_detector
from anonymize.detect.zoo.torchvision_network import read_torchvision_network
from anonymize.downloads.catalog import CATALOG

SIZE = (60, 90)
PROPOSALS = 20  # a thousand take seconds


@pytest.fixture(scope="module")
def model() -> Any:
    """A model of random weights that is surer of people than of anything else."""
    torch.manual_seed(0)
    network = small(maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).eval().requires_grad_(False))
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:  # so that activations neither vanish nor explode
        norm.train().momentum = 1.0
    network([torch.rand(3, *SIZE)])
    for norm in norms:
        norm.eval()
    heads = network.roi_heads
    heads.box_predictor.bbox_pred.weight *= 0.2
    heads.box_predictor.cls_score.bias[1] += 3
    heads.mask_predictor.mask_fcn_logits.weight.zero_()  # people fill their boxes
    heads.mask_predictor.mask_fcn_logits.bias[1] = 9
    return network


@pytest.fixture(scope="module")
def checkpoint(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "maskrcnn.pth"
    torch.save(model.state_dict(), path)
    return path


def small(model: Any) -> Any:
    """The model on small pictures and few proposals."""
    model.transform.min_size, model.transform.max_size = (96,), 160
    model.rpn._post_nms_top_n["testing"] = PROPOSALS
    return model


@pytest.fixture
def image() -> UInt8Array:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def test_it_finds_whom_torchvision_finds(model: Any, checkpoint: Path, image: UInt8Array) -> None:
    detector = build_zoo_detector(checkpoint, score=0.1, dtype=torch.float32)
    small(detector._masks.model)
    first, second = detector.detect([image, image])
    small(model).roi_heads.score_thresh = 0.1
    with torch.inference_mode():
        (truth,) = model([torch.from_numpy(image).permute(2, 0, 1) / 255])
    people = {name: value[truth["labels"] == 1].numpy() for name, value in truth.items()}
    assert len(first) > 2
    np.testing.assert_allclose(first.boxes_xyxy, people["boxes"], atol=0.05)
    np.testing.assert_allclose(first.scores, people["scores"], atol=1e-4)
    for mask, box, whole in zip(first.masks, people["boxes"], people["masks"][:, 0] > 0.5, strict=True):
        ours = mask.to_full(SIZE)
        assert (ours & whole).sum() > 0.9 * (ours | whole).sum()
        assert whole.sum() > 0.8 * (box[2:] - box[:2]).prod()
    np.testing.assert_allclose(second.boxes_xyxy, first.boxes_xyxy, atol=0.05)
    assert not first.has_cse.any() and detector.surface is None and detector.vertices() is None


def test_in_low_precision_boxes_stay_exact(checkpoint: Path, image: UInt8Array) -> None:
    networks = [read_torchvision_network(checkpoint) for _ in range(2)]
    seen: list[torch.Tensor] = []
    for network in networks:
        small(network.model).rpn.register_forward_hook(lambda _rpn, _inputs, output: seen.extend(output[0]))
        network.model.roi_heads.register_forward_hook(lambda _h, _inputs, output: seen.append(output[0][0]["boxes"]))
    exact, low = (
        ZooDetector(network, score=0.1, dtype=dtype).detect([image])[0]
        for network, dtype in zip(networks, (torch.float32, torch.bfloat16), strict=True)
    )
    assert abs(len(exact) - len(low)) <= 0.3 * len(exact)
    off = np.abs(exact.boxes_xyxy[:, None] - low.boxes_xyxy[None]).max(2).min(1)
    assert np.sort(off)[2] < 1  # of random weights other proposals are left over, which ones is the processor's affair
    assert len(seen) == 4 and {boxes.dtype for boxes in seen} == {torch.float32}
    assert all((boxes.bfloat16() != boxes).any() for boxes in seen)


def test_a_surface_of_the_zoo_on_its_masks(checkpoint: Path, reference: Any, image: UInt8Array) -> None:
    parameters = reference("cse_r50").parameters()
    masks, surface = read_torchvision_network(checkpoint), build_network(parameters)
    small(masks.model)
    surface.detections = 3
    detector = ZooDetector(masks, surface, score=0.3, shorter=96, longer=160)
    (found,) = detector.detect([image])
    assert found.surface == detector.surface == "smpl_27554"
    assert found.has_cse.any()
    assert (found.boxes_xyxy <= np.array([*SIZE[::-1], *SIZE[::-1]]) + 0.01).all()


def test_by_name_it_gets_the_embedded_surface(
    checkpoint: Path, image: UInt8Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = DetectorNetwork(DetectorConfig(size=64, max_size=128))
    assert network.region_head.points.bias is not None
    torch.nn.init.constant_(network.region_head.points.bias[:1], 9.0)
    build.save_weights(tmp_path / "random.safetensors", network, {})
    monkeypatch.setattr(build, "weights_path", lambda _name: tmp_path / "random.safetensors")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "anonymize").mkdir()
    (tmp_path / "anonymize" / CATALOG["mask-rcnn-r50-v2"].file).symlink_to(checkpoint)
    detector = build.build_detector("zoo:mask-rcnn-r50-v2", score=0.1)
    assert isinstance(detector, PairedDetector) and isinstance(detector.masks, ZooDetector)
    small(detector.masks._masks.model)
    (found,) = detector.detect([image])
    assert found.surface == detector.surface == "anny"
    assert len(found) and found.has_cse.any()


@pytest.mark.parametrize("change", ["missing", "shape", "no tensor", "no mapping", "cut", "gone"])
def test_another_file_is_one_clear_error(checkpoint: Path, tmp_path: Path, change: str) -> None:
    parameters: Any = torch.load(checkpoint, weights_only=True)
    name, path = "roi_heads.mask_predictor.mask_fcn_logits.bias", tmp_path / "x.pth"
    if change == "missing":
        del parameters[name]
    if change == "shape":
        parameters[name] = torch.zeros(2)
    if change == "no tensor":
        parameters[name] = "text"
    if change == "no mapping":
        parameters = [1]
    if change != "gone":
        torch.save(parameters, path)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=str(path)) as caught:
        read_torchvision_network(path)
    assert "\n" not in str(caught.value)


def test_counters_of_a_training_may_be_missing(checkpoint: Path, tmp_path: Path) -> None:
    parameters = torch.load(checkpoint, weights_only=True)
    without = {name: value for name, value in parameters.items() if not name.endswith("num_batches_tracked")}
    assert len(without) < len(parameters)
    torch.save(without, tmp_path / "x.pth")
    assert not read_torchvision_network(tmp_path / "x.pth").training
