import pytest
import torch

from anonymize.core.errors import WeightsError
from anonymize.core.graph import Graph
from anonymize.core.resources import weights_path
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.detect.runtime import CELLS_GRAPH, REGIONS_GRAPH, folded


def regions_parameters(config: DetectorConfig) -> dict[str, torch.Tensor]:
    parameters = folded(DetectorNetwork(config)).state_dict()
    return {name: value for name, value in parameters.items() if name.startswith("region_head.")}


def test_parameters_of_other_shapes_are_refused() -> None:
    with pytest.raises(WeightsError, match="do not fit"):
        Graph(REGIONS_GRAPH, regions_parameters(DetectorConfig(deep=80)))


def test_every_parameter_is_asked_for() -> None:
    parameters = regions_parameters(DetectorConfig())
    del parameters["region_head.points.bias"]
    with pytest.raises(WeightsError, match="do not fit"):
        Graph(REGIONS_GRAPH, parameters)


def test_graphs_hold_no_parameters_and_tell_nothing_of_the_machine_that_made_them() -> None:
    for path in weights_path(REGIONS_GRAPH).parent.glob("*.onnx"):
        graph = path.read_bytes()
        assert len(graph) < 200_000, path
        assert b".py" not in graph, path


def test_inputs_in_another_layout_give_the_same() -> None:
    graph = Graph(REGIONS_GRAPH, regions_parameters(DetectorConfig()))
    merged = torch.rand(1, DetectorConfig().merged, 16, 24)
    boxes = torch.tensor([[0.0, 4, 4, 40, 60]])
    plain = graph(merged=merged, boxes=boxes)
    other = graph(merged=merged.contiguous(memory_format=torch.channels_last), boxes=boxes, unknown=boxes)
    for a, b in zip(plain, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_rows_by_themselves_give_what_the_batch_gives() -> None:
    network = folded(DetectorNetwork(DetectorConfig())).state_dict()
    inner = ("backbone.", "pyramid.", "box_heads.")
    graph = Graph(CELLS_GRAPH, {name: value for name, value in network.items() if name.startswith(inner)})
    pictures = torch.rand(5, 3, 32, 64)
    for a, b in zip(graph.rows(pictures=pictures), graph(pictures=pictures), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    for a, b in zip(graph.rows(pictures=pictures[:1]), graph(pictures=pictures[:1]), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
