"""The graphs give what torch gives: they fit the code of the network, and the embedded weights."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from anonymize.core.resources import DETECTOR, weights_path
from anonymize.detect.build import load_network
from anonymize.detect.matching import mask_iou
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.detect.plates import PlateHead
from anonymize.detect.predictor import EmbeddedDetector
from anonymize.detect.runtime import GraphRuntime, TorchRuntime, build_runtime, has_graph

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> DetectorNetwork:
    """Of random parameters, all of which count."""
    torch.manual_seed(0)
    network = DetectorNetwork(DetectorConfig()).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
            nn.init.normal_(module.bias, std=0.1)
    return network


@pytest.mark.parametrize("size", [(2, 3, 64, 96), (1, 3, 160, 32)])
@torch.inference_mode()
def test_random_parameters(network: DetectorNetwork, size: tuple[int, ...]) -> None:
    pictures = torch.rand(size)
    boxes = [torch.tensor([[4.0, 4, 30, 60], [-5, 0, 10, 90]])] + [torch.zeros(0, 4)] * (size[0] - 1)
    ours, torchs = GraphRuntime(network), TorchRuntime(network, CPU)
    found, wanted = ours.cells(pictures), torchs.cells(pictures)
    assert found.plates is None and wanted.plates is None
    pairs = [*zip(found[:3], wanted[:3], strict=True)]
    pairs += zip(ours.regions(found.merged, boxes), torchs.regions(wanted.merged, boxes), strict=True)
    for a, b in pairs:
        assert b.std() > 1e-3
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


@torch.inference_mode()
def test_plates_are_found_beside_the_people(network: DetectorNetwork) -> None:
    torch.manual_seed(1)
    head = PlateHead().eval().requires_grad_(False)
    pictures = torch.rand(2, 3, 64, 96)
    found = GraphRuntime(network, head).cells(pictures)
    wanted = TorchRuntime(network, CPU, head).cells(pictures)
    assert found.plates is not None and wanted.plates is not None
    for a, b in zip((*found[:3], *found.plates), (*wanted[:3], *wanted.plates), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


@torch.inference_mode()
def test_pictures_without_boxes_have_no_regions(network: DetectorNetwork) -> None:
    runtime, none = GraphRuntime(network), [torch.zeros(0, 4)] * 2
    merged = runtime.cells(torch.rand(2, 3, 64, 64)).merged
    for a, b in zip(runtime.regions(merged, none), network.regions(merged, none), strict=True):
        assert a.shape == b.shape


def test_the_embedded_weights_find_the_same_people(street: list[np.ndarray]) -> None:
    network = load_network(weights_path(DETECTOR))
    ours, torchs = EmbeddedDetector(network), EmbeddedDetector(network)
    assert isinstance(ours.runtime, GraphRuntime)
    torchs.runtime = TorchRuntime(network, CPU)
    for found, wanted in zip(ours.detect(street), torchs.detect(street), strict=True):
        assert len(found) == len(wanted) > 2
        np.testing.assert_allclose(found.boxes_xyxy, wanted.boxes_xyxy, atol=0.1)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-3)
        assert min(map(mask_iou, found.masks, wanted.masks)) > 0.995
        assert found.embeddings is not None and wanted.embeddings is not None
        torch.testing.assert_close(found.embeddings, wanted.embeddings, rtol=0, atol=0.01)


def test_which_runtime_runs_what(network: DetectorNetwork, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "anonymize"):
        assert isinstance(build_runtime(network, CPU), GraphRuntime)
        small = DetectorNetwork(DetectorConfig(channels=8))
        assert isinstance(build_runtime(small, CPU), TorchRuntime)
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith("detector-cells: ONNX Runtime ") and "float32" in told[0]
    assert told[-1].startswith("detector: torch ")
    assert has_graph(DetectorConfig(size=64, surface="other", score_scale=2.0, vertices=7))
    assert not has_graph(DetectorConfig(embedding=8))
