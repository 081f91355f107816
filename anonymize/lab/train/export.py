"""Writes the graphs of the embedded networks, see `anonymize.core.graph`. Needs the package `onnx`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anonymize.core.files import whole_file
from anonymize.core.graph import PARAMETERS
from anonymize.detect.backbone import SameConv2d
from anonymize.detect.network import MERGED_STRIDE, DetectorNetwork, pool
from anonymize.detect.plates import PlateHead
from anonymize.detect.runtime import CELLS_GRAPH, GRAPH_SHAPES, PLATES_GRAPH, REGIONS_GRAPH, folded
from anonymize.generate.build import build_network
from anonymize.generate.layers import ModulatedConvolution
from anonymize.generate.network import GeneratorBase, GeneratorConfig
from anonymize.generate.palette import SurfaceParts
from anonymize.generate.runtime import GRAPHS, noise_input

OPSET = 18
EXAMPLE_HW = (64, 96)
"""Size of the picture that the detector is followed with."""


def export_graphs(folder: Path) -> list[Path]:
    """Write all graphs into a folder, which is made; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    detector = folded(DetectorNetwork(GRAPH_SHAPES))
    written = {CELLS_GRAPH: export_cells(detector), REGIONS_GRAPH: export_regions(detector)}
    written[PLATES_GRAPH] = export_cells(folded(DetectorNetwork(GRAPH_SHAPES)), folded(PlateHead()))
    written |= {name: export_generator(build_network(config)) for name, config in GRAPHS.items()}
    for name, graph in written.items():
        with whole_file(folder / name, overwrite=True) as partial_file:
            partial_file.write_bytes(graph)
    return [folder / name for name in written]


def export_cells(detector: DetectorNetwork, plates: PlateHead | None = None) -> bytes:
    """The graph from pictures to cells and merged map, and cells of plates; of networks as `folded` gives them."""
    if plates is not None:
        detector.plates = plates  # so the names of its parameters begin
    for module in detector.modules():
        if isinstance(module, SameConv2d):
            module.forward = partial(_same_convolution, module)  # type: ignore[method-assign]

    def cells(pictures: Tensor) -> tuple[Tensor, ...]:
        features = detector.features(pictures)
        found = (*detector.cells(features), features.merged)
        return found if plates is None else (*found, *plates(features.maps))

    inputs = {"pictures": torch.rand(2, 3, *EXAMPLE_HW)}
    outputs = ["logits", "boxes", "merged", "plate_logits", "plate_boxes"][: 3 if plates is None else 5]
    return _export(detector, cells, inputs, outputs, {"pictures": ("batch", None, "h", "w")})


def export_regions(detector: DetectorNetwork) -> bytes:
    """The graph from merged map and boxes to regions; of a network as `folded` gives it."""

    def regions(merged: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        masks, embeddings = detector.region_head(pool(merged, boxes))
        return masks, embeddings

    height, width = (side // MERGED_STRIDE for side in EXAMPLE_HW)
    boxes = torch.tensor([[0.0, 4, 4, 40, 60], [1, 8, 8, 30, 40], [1, 0, 0, 20, 20]])
    inputs = {"merged": torch.rand(2, detector.config.merged, height, width), "boxes": boxes}
    axes = {"merged": ("batch", None, "h", "w"), "boxes": ("regions", None)}
    return _export(detector, regions, inputs, ["masks", "embeddings"], axes)


def export_generator(generator: GeneratorBase) -> bytes:
    """The graph from conditions, w and noise to people."""
    config: GeneratorConfig = generator.config
    generator.fold()
    for module in generator.modules():
        if isinstance(module, ModulatedConvolution):
            module._energy = None  # made of the weight in the graph, or it would be a parameter without a name
        elif isinstance(module, SurfaceParts):
            module.forward = partial(_surface_parts, module)  # type: ignore[method-assign]

    def make(condition: Tensor, w: Tensor, *noise: Tensor) -> Tensor:
        made: Tensor = generator(condition, w, noise)
        return made

    inputs = {
        "condition": torch.rand(2, config.condition_channels, *config.size_hw),
        "w": torch.rand(2, config.latent),
        **{noise_input(k): torch.rand(2, 1, *size) for k, size in enumerate(config.noise_sizes)},
    }
    return _export(generator, make, inputs, ["made"], dict.fromkeys(inputs, ("batch",)))


def _export(
    network: nn.Module,
    run: Callable[..., object],
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    axes: Mapping[str, Sequence[str | None]],
) -> bytes:
    """The graph of what a function does with a network's parameters, without them.

    Args:
        network: Whose parameters the function uses; gets random ones.
        run: Takes the inputs by position.
        inputs: Examples.
        outputs: Names of what `run` returns.
        axes: Name of each axis of an input that may have another size; None for those that may not.
    """
    wrapped = _Wrapped(network.eval().requires_grad_(False), run)
    for parameter in network.parameters():
        nn.init.normal_(parameter)  # the exporter would make one of parameters that are equal
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # torch's newer exporter takes many minutes for the detector; warnings are of sizes that are always the same
        warnings.simplefilter("ignore")
        torch.onnx.export(
            wrapped,
            tuple(inputs.values()),
            Path(folder) / "graph.onnx",
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={
                name: {axis: label for axis, label in enumerate(labels) if label} for name, labels in axes.items()
            },
            opset_version=OPSET,
            do_constant_folding=False,  # of parameters, which are others at run time
            dynamo=False,
        )
        return without_parameters((Path(folder) / "graph.onnx").read_bytes())


class _Wrapped(nn.Module):
    def __init__(self, network: nn.Module, run: Callable[..., object]) -> None:
        super().__init__()
        self.network, self._run = network, run

    def forward(self, *inputs: Tensor) -> object:
        return self._run(*inputs)


def without_parameters(model: bytes) -> bytes:
    """An ONNX model whose parameters are said to be in a file, `PARAMETERS`, and that tells nothing of its making.

    Parameters lose the name of the module that wraps their network.
    """
    import onnx

    loaded: Any = onnx.load_from_string(model)
    prefix = "network."
    for tensor in loaded.graph.initializer:
        if not tensor.name.startswith(prefix):
            continue
        for node in loaded.graph.node:
            node.input[:] = [tensor.name.removeprefix(prefix) if name == tensor.name else name for name in node.input]
        tensor.name = tensor.name.removeprefix(prefix)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=PARAMETERS)
    for node in loaded.graph.node:
        node.ClearField("doc_string")
    loaded.ClearField("metadata_props")
    serialized: bytes = loaded.SerializeToString(deterministic=True)
    return serialized


def _same_convolution(module: SameConv2d, x: Tensor) -> Tensor:
    """`SameConv2d.forward` as one node, for inputs whose sides are multiples of the stride."""
    total = max(0, module.kernel_size[0] - module.stride[0])
    padding = (total // 2, total - total // 2)
    made: Tensor = _PaddedConvolution.apply(
        x, module.weight, module.bias, module.kernel_size[0], module.stride[0], module.groups, padding
    )
    return made


def _surface_parts(module: SurfaceParts, embedding: Tensor, body: Tensor) -> Tensor:
    """`SurfaceParts.forward` in single steps: ONNX Runtime's softmax over channels takes a third of the whole graph."""
    likeness = F.conv2d(embedding, module.anchors)
    raised = (likeness - likeness.amax(1, keepdim=True)).exp()
    return raised / raised.sum(1, keepdim=True) * body


class _PaddedConvolution(torch.autograd.Function):
    """A convolution that pads before and after by different amounts, which ONNX knows and torch does not."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        kernel: int,
        stride: int,
        groups: int,
        padding: tuple[int, int],
    ) -> Tensor:
        return F.conv2d(F.pad(x, padding * 2), weight, bias, stride, 0, 1, groups)

    @staticmethod
    def symbolic(
        graph: Any,
        x: Any,
        weight: Any,
        bias: Any,
        kernel: int,
        stride: int,
        groups: int,
        padding: tuple[int, int],
    ) -> Any:
        before, after = padding
        return graph.op(
            "Conv",
            x,
            weight,
            bias,
            kernel_shape_i=[kernel, kernel],
            strides_i=[stride, stride],
            pads_i=[before, before, after, after],
            group_i=groups,
        )
