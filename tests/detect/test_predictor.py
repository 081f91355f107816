from pathlib import Path

import numpy as np
import pytest
import torch

from anonymize.detect.build import build_detector, load_network, save_weights
from anonymize.detect.network import CSE_SIZE, DetectorConfig, DetectorNetwork
from anonymize.detect.predictor import EmbeddedDetector, PersonMap, assemble, with_doubles
from anonymize.errors import WeightsError
from anonymize.types import RegionMask

TINY = DetectorConfig(
    widths=(4, 4, 8, 8, 8), depths=(1, 1, 1, 1), channels=8, box_features=8, vertices=32, size=64, max_size=128
)
SIZE = (96, 128)


@pytest.fixture
def network() -> DetectorNetwork:
    torch.manual_seed(0)
    return DetectorNetwork(TINY).eval()


def no_map(size_hw: tuple[int, int] = SIZE) -> PersonMap:
    values = np.zeros((size_hw[0] // 4, size_hw[1] // 4), np.float32)
    return PersonMap(values, np.array([0.25, 0.25], np.float32), size_hw)


def heads(count: int, bodies: float = 1.0) -> dict[str, object]:
    return {
        "scores": np.full(count, 0.9, np.float32),
        "masks": np.ones((count, 28, 28), np.float32),
        "embeddings": torch.ones(count, 16, CSE_SIZE, CSE_SIZE),
        "bodies": torch.full((count, CSE_SIZE, CSE_SIZE), bodies),
        "surface": "anny",
    }


def test_no_pictures(network: DetectorNetwork) -> None:
    assert EmbeddedDetector(network).detect([]) == []


def test_pictures_of_several_sizes_come_back_in_order(network: DetectorNetwork) -> None:
    rng = np.random.default_rng(0)
    sizes = [(60, 90), (33, 47), (60, 90), (200, 20)]
    images = [rng.integers(0, 255, (*size, 3), dtype=np.uint8) for size in sizes]
    found = EmbeddedDetector(network, score=0.0).detect(images)
    assert [f.size_hw for f in found] == sizes
    for detections in found:
        for region in detections.masks:
            assert region.to_full(detections.size_hw).sum() == region.area


def test_a_batch_gives_what_single_pictures_give(network: DetectorNetwork) -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(3)]
    detector = EmbeddedDetector(network, score=0.3)
    together = detector.detect(images)
    for image, batched in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        assert len(alone) == len(batched)
        np.testing.assert_allclose(alone.boxes_xyxy, batched.boxes_xyxy, atol=0.5)


def test_nobody_assembles_to_nobody() -> None:
    found = assemble(size_hw=SIZE, boxes=np.zeros((0, 4), np.float32), person_map=no_map(), **heads(0))
    assert len(found) == 0


def test_mask_and_surface_of_one_person_become_one_person() -> None:
    boxes = np.array([[20, 10, 50, 80]], np.float32)
    found = assemble(size_hw=SIZE, boxes=boxes, person_map=no_map(), **heads(1))
    assert len(found) == 1
    assert found.has_cse.all()
    covered = found.masks[0].to_full(SIZE)
    assert covered[11:79, 21:49].all()
    assert not covered[:9].any() and not covered[82:].any(), "the mask is tight"


def test_a_mask_without_surface_is_a_person_without_cse() -> None:
    boxes = np.array([[20, 10, 50, 80]], np.float32)
    found = assemble(size_hw=SIZE, boxes=boxes, person_map=no_map(), **heads(1, bodies=0.0))
    assert len(found) == 1
    assert not found.has_cse.any()
    assert found.embeddings is not None
    assert not found.embeddings.any()


def test_a_surface_without_mask_is_a_person() -> None:
    outputs = heads(1)
    outputs["masks"] = np.zeros((1, 28, 28), np.float32)
    found = assemble(size_hw=SIZE, boxes=np.array([[20, 10, 50, 80]], np.float32), person_map=no_map(), **outputs)
    assert len(found) == 1
    assert found.has_cse.all()


def test_sure_pixels_of_the_dense_map_are_covered_without_a_box() -> None:
    person_map = no_map()
    person_map.values[5:20, 4:10] = 0.99
    found = assemble(size_hw=SIZE, boxes=np.zeros((0, 4), np.float32), person_map=person_map, **heads(0))
    assert len(found) == 1
    assert not found.has_cse.any()
    assert found.masks[0].to_full(SIZE)[24:76, 18:38].all()


def test_the_map_completes_a_person_but_takes_no_pixel_of_a_neighbour() -> None:
    person_map = no_map()
    person_map.values[5:20, 5:16] = 0.99  # one blob over both people
    mine, other = np.ones((40, 16), np.bool_), np.ones((40, 16), np.bool_)
    whole = person_map.near(RegionMask(20, 24, mine), [RegionMask(44, 24, other)])
    full = whole.to_full(SIZE)
    assert full[65:69, 22:34].all(), "feet that the mask head missed"
    assert not full[24:64, 44:60].any()


def test_a_faint_foot_beyond_a_gap_is_covered() -> None:
    person_map = no_map()
    person_map.values[5:15, 5:9] = 0.99
    person_map.values[16:19, 9:12] = 0.4  # beside the box, and with a dark knee between
    whole = person_map.near(RegionMask(20, 20, np.ones((44, 16), np.bool_)), []).to_full(SIZE)
    assert whole[69:72, 38:44].all()
    person_map.values[5:16, 14:18] = 0.4  # somebody else far away is left to others
    whole = person_map.near(RegionMask(20, 20, np.ones((44, 16), np.bool_)), []).to_full(SIZE)
    assert not whole[20:60, 50:].any()


def test_an_unsure_detection_of_the_same_person_completes_the_sure_one() -> None:
    sure = RegionMask(20, 10, np.ones((40, 20), np.bool_))
    taller = RegionMask(18, 12, np.ones((60, 24), np.bool_))
    neighbour = RegionMask(40, 40, np.ones((30, 10), np.bool_))
    behind = RegionMask(30, 10, np.ones((40, 30), np.bool_))
    tree = RegionMask(10, 0, np.ones((60, 60), np.bool_))
    masks = with_doubles([sure, taller, neighbour, behind, tree], [True, False, True, False, False])
    first = masks[0].to_full(SIZE)
    assert first[10:50, 20:40].all()
    assert first[50:72, 18:40].all(), "feet that only the unsure one has"
    assert not first[40:70, 40:42].any(), "those of the neighbour stay theirs"
    assert not first[10:40, 42:].any(), "somebody behind is nobody's double"
    for before, after in zip([taller, neighbour, behind, tree], masks[1:], strict=True):
        assert after is before


def test_weights_come_back(tmp_path: Path, network: DetectorNetwork) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, network, {"note": "tiny"})
    again = load_network(path)
    assert again.config == TINY
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name].float(), value.float(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("content", [b"", b"not weights", None])
def test_bad_weights_are_one_clear_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot read the weights"):
        build_detector(path)


def test_weights_of_another_shape_are_refused(tmp_path: Path, network: DetectorNetwork) -> None:
    path = tmp_path / "weights.safetensors"
    network.vertex_embedding = torch.nn.Parameter(torch.zeros(3, 16))
    save_weights(path, network, {})
    with pytest.raises(WeightsError, match="does not fit"):
        load_network(path)
