"""What runs the embedded generator's network: ONNX Runtime on processors, torch elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Protocol

import torch
from torch import Tensor

from anonymize.core.device import log_torch, low_precision
from anonymize.core.graph import Graph
from anonymize.generate.layered import LAYERED_CHANNELS
from anonymize.generate.network import GeneratorBase, GeneratorConfig

GRAPHS = {
    "generator-cover.onnx": GeneratorConfig(),
    "generator-layers.onnx": GeneratorConfig(channels=LAYERED_CHANNELS, parts=64, alpha=True),
}
"""Each graph and what it is of, as `anonymize train stylegan` and `anonymize train generator` make it."""
UNSEEN = ("judge_channels", "improved_conditioning", "judge_pose", "surface", "appearance_mapper", "known", "centers")
"""What of a configuration says nothing about how people are made."""

NOT_IN_GRAPHS = ("prior.", "mapping.", "mapper.", "w_")
"""Parameters that lead to z and w, once a person, not once a picture."""


class Runtime(Protocol):
    """Runs the network.

    Attributes:
        precision: That it wants w and noise in.
    """

    precision: torch.dtype

    def make(self, condition: Tensor, w: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """What the network's `forward` gives."""
        ...


class TorchRuntime:
    """Runs the network by torch, in bfloat16 where the device computes in it.

    Args:
        network: Is moved to the device; its scales are folded.
        device: Where to compute.
    """

    def __init__(self, network: GeneratorBase, device: torch.device) -> None:
        self.precision = low_precision(device)
        log_torch("generator", device, self.precision)
        self.network = network.to(device, self.precision, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def make(self, condition: Tensor, w: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """See `Runtime.make`."""
        low = condition.to(self.precision).contiguous(memory_format=torch.channels_last)
        made: Tensor = self.network(low, w, noise)
        return made


class GraphRuntime:
    """Runs the network by ONNX Runtime on the CPU.

    Args:
        network: Its parameters are copied; its scales are folded.
        graph: A name of `GRAPHS`.

    Raises:
        WeightsError: The network's parameters do not fit the graph.
    """

    precision = torch.float32

    def __init__(self, network: GeneratorBase, graph: str) -> None:
        parameters = network.state_dict()
        self._graph = Graph(graph, {k: v for k, v in parameters.items() if not k.startswith(NOT_IN_GRAPHS)})

    def make(self, condition: Tensor, w: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """See `Runtime.make`."""
        levels = {noise_input(number): level for number, level in enumerate(noise)}
        [made] = self._graph.rows(condition=condition, w=w, **levels)
        return made


def build_runtime(network: GeneratorBase, device: torch.device) -> Runtime:
    """What runs a network on a device: ONNX Runtime on the CPU if there is a graph of the network, else torch."""
    graph = graph_of(network.config) if device.type == "cpu" else None
    return TorchRuntime(network, device) if graph is None else GraphRuntime(network, graph)


def graph_of(config: GeneratorConfig) -> str | None:
    """The graph of networks of this configuration, a name of `GRAPHS`; None if there is none."""
    told = [field.name for field in fields(config) if field.name not in UNSEEN]
    fitting = (n for n, other in GRAPHS.items() if all(getattr(config, f) == getattr(other, f) for f in told))
    return next(fitting, None)


def noise_input(number: int) -> str:
    """Name of a graph's input of noise, in the order of `GeneratorConfig.noise_sizes`."""
    return f"noise_{number}"
