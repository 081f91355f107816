"""The graphs give what torch gives: they fit the code of the networks, and the embedded weights."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from anonymize.core.resources import GENERATOR, weights_path
from anonymize.generate.build import build_network, load_network
from anonymize.generate.network import MASK, GeneratorBase, GeneratorConfig
from anonymize.generate.runtime import GRAPHS, GraphRuntime, TorchRuntime, build_runtime, graph_of

CPU = torch.device("cpu")
GREY_LEVEL = 1 / 127.5


def requests(config: GeneratorConfig, count: int) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Random places and surfaces, covered in the middle; w and noise."""
    torch.manual_seed(count)
    condition = torch.rand(count, config.condition_channels, *config.size_hw) * 2 - 1
    inside = torch.zeros(config.size_hw)
    inside[40:-20, 30:-20] = 1
    condition[:, MASK], condition[:, -2], condition[:, -1] = inside, inside.roll(3, 0) * inside, 0
    condition[:, -1, :10] = 1
    condition[:, :MASK] *= 1 - inside
    condition[:, MASK + 1 : -2] *= condition[:, -2:-1]
    noise = [torch.randn(count, 1, *size) for size in config.noise_sizes]
    return condition, torch.randn(count, config.latent), noise


@torch.inference_mode()
def compare(network: GeneratorBase, count: int) -> None:
    runtime = build_runtime(network, CPU)
    assert isinstance(runtime, GraphRuntime) and runtime.precision == torch.float32
    inputs = requests(network.config, count)
    wanted = TorchRuntime(network, CPU).make(*inputs)
    assert wanted.std() > 10 * GREY_LEVEL
    assert (runtime.make(*inputs) - wanted).abs().max() < 0.1 * GREY_LEVEL


@pytest.mark.parametrize("name", GRAPHS)
def test_random_parameters(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(GRAPHS[name]).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim < 2:
            nn.init.normal_(parameter, std=0.1)
    network.fold()
    compare(network, 2)


def test_the_embedded_weights() -> None:
    network = load_network(weights_path(GENERATOR)).eval().requires_grad_(False)
    network.fold()
    compare(network, 1)


def test_networks_without_a_graph_run_in_torch() -> None:
    config = GeneratorConfig()
    assert graph_of(replace(config, surface="other", known=3, centers=2, judge_pose=False)) == "generator-cover.onnx"
    for other in (replace(config, factor=2.0), replace(config, parts=8), replace(config, size_hw=(288, 128))):
        assert graph_of(other) is None
    tiny = build_network(replace(config, size_hw=(36, 20), channels=(4, 6, 8), judge_channels=(4, 6, 8), latent=12))
    assert isinstance(build_runtime(tiny, CPU), TorchRuntime)
