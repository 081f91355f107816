"""What runs the embedded detector's network: ONNX Runtime on processors, torch elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from anonymize.core.device import log_torch, low_precision
from anonymize.core.graph import Graph
from anonymize.detect.network import REGION_SIZE, DetectorConfig, DetectorNetwork, Regions, region_boxes
from anonymize.detect.plates import PlateHead

CELLS_GRAPH, REGIONS_GRAPH = "detector-cells.onnx", "detector-regions.onnx"
PLATES_GRAPH = "detector-cells-plates.onnx"
"""The first with what finds number plates."""
GRAPH_SHAPES = DetectorConfig()
"""The graphs are of networks of these shapes."""


class Cells(NamedTuple):
    """What all cells of a batch of pictures say.

    Attributes:
        logits, boxes: [B, N] and [B, N, 4], see `DetectorNetwork.cells`.
        merged: The merged map, see `Features`.
        plates: Logits and boxes of number plates, see `PlateHead`; None where they are not looked for.
    """

    logits: Tensor
    boxes: Tensor
    merged: Tensor
    plates: tuple[Tensor, Tensor] | None


class Runtime(Protocol):
    """Runs the network."""

    def cells(self, pictures: Tensor) -> Cells:
        """What all cells of some pictures say."""
        ...

    def regions(self, merged: Tensor, boxes: Sequence[Tensor]) -> Regions:
        """Masks and embeddings over the boxes [K, 4] of each picture, see `DetectorNetwork.regions`."""
        ...


class TorchRuntime:
    """Runs the network by torch, in bfloat16 where the device computes in it.

    Args:
        network: Is moved to the device.
        device: Where to compute.
        plates: Finds number plates, is moved too; None for none.
    """

    def __init__(self, network: DetectorNetwork, device: torch.device, plates: PlateHead | None = None) -> None:
        self.plates = plates and plates.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.device, self.precision = device, low_precision(device)
        log_torch("detector", device, self.precision)

    def cells(self, pictures: Tensor) -> Cells:
        """See `Runtime.cells`."""
        with self._autocast():
            features = self.network.features(pictures.contiguous(memory_format=torch.channels_last))
            plates = None if self.plates is None else self.plates(features.maps)
            logits, boxes = self.network.cells(features)
            return Cells(logits, boxes, features.merged, plates)

    def regions(self, merged: Tensor, boxes: Sequence[Tensor]) -> Regions:
        """See `Runtime.regions`."""
        with self._autocast():
            found: Regions = self.network.regions(merged, boxes)
            return found

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)


class GraphRuntime:
    """Runs the network by ONNX Runtime on the CPU.

    Args:
        network: Its parameters are copied.
        plates: Finds number plates, parameters copied too; None for none.

    Raises:
        WeightsError: The network's parameters do not fit the graphs, see `has_graph`.
    """

    def __init__(self, network: DetectorNetwork, plates: PlateHead | None = None) -> None:
        parameters = folded(network).state_dict()
        cells = _named(parameters, "backbone.", "pyramid.", "box_heads.")
        if plates is None:
            self._cells = Graph(CELLS_GRAPH, cells)
        else:
            cells |= {f"plates.{name}": value for name, value in folded(plates).state_dict().items()}
            self._cells = Graph(PLATES_GRAPH, cells)
        self._regions = Graph(REGIONS_GRAPH, _named(parameters, "region_head."))
        self._none = torch.zeros(0, network.config.embedding, REGION_SIZE, REGION_SIZE)

    def cells(self, pictures: Tensor) -> Cells:
        """See `Runtime.cells`."""
        logits, boxes, merged, *plates = self._cells.rows(pictures=pictures)
        return Cells(logits, boxes, merged, (plates[0], plates[1]) if plates else None)

    def regions(self, merged: Tensor, boxes: Sequence[Tensor]) -> Regions:
        """See `Runtime.regions`."""
        if not any(map(len, boxes)):
            return Regions(self._none[:, 0], self._none)
        masks, embeddings = self._regions(merged=merged, boxes=region_boxes(boxes))
        return Regions(masks, embeddings)


def build_runtime(network: DetectorNetwork, device: torch.device, plates: PlateHead | None = None) -> Runtime:
    """What runs a network on a device: ONNX Runtime on the CPU if there are graphs for the network, else torch."""
    if device.type == "cpu" and has_graph(network.config):
        return GraphRuntime(network, plates)
    return TorchRuntime(network, device, plates)


def has_graph(config: DetectorConfig) -> bool:
    """Whether the graphs are of networks of this configuration's shapes."""
    return all(
        getattr(config, name) == getattr(GRAPH_SHAPES, name)
        for name in ("channels", "merged", "wide", "deep", "embedding")
    )


Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """A copy of a network for inference whose batch norms are part of the convolutions before them."""
    copied = copy.deepcopy(network).float().cpu().eval().requires_grad_(False)
    for layers in [module for module in copied.modules() if isinstance(module, nn.Sequential)]:
        for number in range(len(layers) - 1):
            convolution, norm = layers[number], layers[number + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                layers[number], layers[number + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return copied


def _named(parameters: Mapping[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    return {name: value for name, value in parameters.items() if name.startswith(prefixes)}
