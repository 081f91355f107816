"""The reference vectors that Detectron2 and DensePose computed."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anonymize.core.errors import WeightsError
from anonymize.detect.zoo import predictor
from anonymize.detect.zoo.nearest import VertexIndex
from anonymize.detect.zoo.network import build_network
from anonymize.detect.zoo.predictor import ZooDetector, boxes_in, build_zoo_detector, paste_fading
from anonymize.detect.zoo.preprocess import resized_hw, to_input


@pytest.mark.parametrize("name", ["mask_r50", "mask_x101", "cse_r50", "cse_r101_dl"])
@torch.inference_mode()
def test_the_reference_is_met(name: str, reference: Any) -> None:
    given = reference(name)
    spec, truth = given.spec, given.arrays
    network = build_network(given.parameters()).fold().lower(torch.float32)
    network.score, network.detections = spec["score_thresh"], spec["detections_per_image"]
    image = given.image()
    size = image.shape[:2]
    resized = resized_hw(size, spec["min_size_test"], spec["max_size_test"])
    assert list(resized) == truth["resized_hw"].tolist()

    batch = network.pad([to_input(image, resized)])
    for level, found in enumerate(network.backbone(batch), start=2):
        part = found[0, :8].numpy()
        part = part[:, ::4, ::4] if part.shape[2] > 8 else part
        np.testing.assert_allclose(part, truth[f"feature_p{level}"], rtol=1e-3, atol=1e-3)

    (people,) = network([to_input(image, resized)])
    boxes = boxes_in(size, resized, people.boxes)
    assert len(boxes) == len(truth["boxes_xyxy"])
    order = [int(np.abs(boxes - box).max(1).argmin()) for box in truth["boxes_xyxy"]]
    assert sorted(order) == list(range(len(boxes)))
    np.testing.assert_allclose(boxes[order], truth["boxes_xyxy"], atol=0.1)
    np.testing.assert_allclose(people.scores[order], truth["scores"], atol=1e-3)
    np.testing.assert_array_equal(people.classes[order], truth["classes"])

    if people.masks is not None:
        expected = np.unpackbits(truth["masks_packed"], axis=-1)[..., : size[1]].astype(bool)
        for row, mask in zip(order, expected, strict=True):
            mine = paste_fading(people.masks[row].numpy(), boxes[row], size).to_full(size)
            assert (mine & mask).sum() > 0.99 * (mine | mask).sum()
    else:
        assert people.embeddings is not None and people.segmentations is not None
        for mine, expected in (
            (people.embeddings[order][:, :, ::4, ::4], truth["embedding"]),
            (people.segmentations[order][:, :, ::2, ::2], truth["coarse_segm"]),
        ):
            assert np.abs(mine.numpy() - expected).max() < 1e-3 * np.abs(expected).max()
        pixels = people.embeddings[order].permute(0, 2, 3, 1).reshape(-1, 16)[::37]
        nearest = VertexIndex(network.vertices())(pixels)
        assert (nearest.numpy() == truth["vertices_every_37"]).mean() > 0.999


def test_all_mismatches_are_listed(reference: Any) -> None:
    parameters = reference("mask_r50").parameters()
    del parameters["roi_heads.box_head.fc1.bias"]
    parameters["roi_heads.box_head.fc2.bias"] = torch.zeros(7)
    parameters["roi_heads.extra"] = torch.zeros(2)
    with pytest.raises(WeightsError) as caught:
        build_network(parameters, "x.pkl")
    for part in (
        "x.pkl",
        "fc1.bias (1024,) is missing",
        "fc2.bias is (7,) instead of (1024,)",
        "extra (2,) is unknown",
    ):
        assert part in str(caught.value)


def test_another_layout_is_refused() -> None:
    with pytest.raises(WeightsError, match="no Mask R-CNN"):
        build_network({"weight": torch.zeros(1)})


def test_people_of_both_networks(reference: Any) -> None:
    masks, surface = (build_network(reference(name).parameters()) for name in ("mask_r50", "cse_r50"))
    detector = ZooDetector(masks, surface, score=0.3, shorter=128, longer=256)
    masks.detections = surface.detections = 5
    image = reference("mask_r50").image()
    together = detector.detect([image, image[:100], image])
    assert [d.size_hw for d in together] == [(240, 360), (100, 360), (240, 360)]
    assert together[0].surface == "smpl_27554"
    assert len(together[0]) and together[0].has_cse.any()
    np.testing.assert_allclose(together[0].boxes_xyxy, together[2].boxes_xyxy, atol=1e-3)
    with pytest.raises(WeightsError, match="Mask R-CNN first"):
        ZooDetector(surface, masks)


def test_nobody(reference: Any) -> None:
    network = build_network(reference("mask_r50").parameters())
    detector = ZooDetector(network, score=1.0, shorter=64, longer=128)
    (found,) = detector.detect([np.zeros((40, 60, 3), np.uint8)])
    assert len(found) == 0


def test_the_lower_precision_is_taken_where_the_device_has_it(
    reference: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, file = reference("mask_r50"), tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps({"model": {name: value.numpy() for name, value in given.parameters().items()}}))
    for low in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(predictor, "low_precision", lambda _device, dtype=low: dtype)
        assert build_zoo_detector(file).dtype == low
    detectors = [build_zoo_detector(file, dtype=dtype, score=0.3) for dtype in (torch.float32, None)]
    assert [detector.dtype for detector in detectors] == [torch.float32, torch.bfloat16]
    for detector in detectors:
        detector.shorter, detector.longer = 256, 512
    exact, lower = (detector.detect([given.image()])[0] for detector in detectors)
    assert len(exact) and abs(len(exact) - len(lower)) <= 0.2 * len(exact)
    # medians, since boxes of random weights lie so close that now and then another one of them is left over
    off = np.abs(exact.boxes_xyxy[:, None] - lower.boxes_xyxy[None]).max(2)
    assert np.median(off.min(1)) < 2
    assert np.median(np.abs(exact.scores - lower.scores[off.argmin(1)])) < 0.01
