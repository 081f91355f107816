from pathlib import Path

import numpy as np
import pytest
import torch

from anonymize.core import graph
from anonymize.core.graph import Graph
from anonymize.detect.network import DetectorConfig, DetectorNetwork, region_boxes
from anonymize.detect.runtime import folded
from anonymize.generate.network import GeneratorConfig, GeneratorNetwork
from anonymize.generate.runtime import NOT_IN_GRAPHS, noise_input
from anonymize.lab.train.export import export_generator, export_regions

pytest.importorskip("onnx", reason="needs the extra `train`")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(graph, "weights_path", lambda name: tmp_path / name)
    return tmp_path


@torch.inference_mode()
def test_a_region_head_that_is_exported_anew(place: Path) -> None:
    config = DetectorConfig(merged=8, wide=8, deep=8, embedding=4)
    network = folded(DetectorNetwork(config))
    (place / "regions.onnx").write_bytes(export_regions(network))
    parameters = {n: 0.1 * torch.randn_like(v) for n, v in network.state_dict().items() if n.startswith("region_head.")}
    network.load_state_dict(parameters, strict=False)
    merged, boxes = torch.randn(3, 8, 20, 24), [torch.tensor([[4.0, 4, 30, 60]])] * 3
    found = Graph("regions.onnx", parameters)(merged=merged, boxes=region_boxes(boxes))
    for a, b in zip(found, network.regions(merged, boxes), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_generator_that_is_exported_anew(place: Path) -> None:
    config = GeneratorConfig(size_hw=(36, 20), channels=(4, 6), judge_channels=(4, 6), latent=12, embedding=4, parts=3)
    (place / "generator.onnx").write_bytes(export_generator(GeneratorNetwork(config)))
    network = GeneratorNetwork(config).eval()
    network.fold()
    parameters = {n: v for n, v in network.state_dict().items() if not n.startswith(NOT_IN_GRAPHS)}
    condition, w = torch.rand(3, config.condition_channels, 36, 20), torch.randn(3, 12)
    noise = [torch.randn(3, 1, *size) for size in config.noise_sizes]
    levels = {noise_input(number): level for number, level in enumerate(noise)}
    [made] = Graph("generator.onnx", parameters)(condition=condition, w=w, **levels)
    np.testing.assert_allclose(made, network(condition, w, noise), rtol=1e-5, atol=1e-4)
