from pathlib import Path

import numpy as np
import pytest
import torch

from anonymize.core.errors import WeightsError
from anonymize.core.types import RegionMask
from anonymize.detect.build import build_detector, load_network, load_vertex_embedding, save_weights
from anonymize.detect.network import REGION_SIZE, DetectorConfig, DetectorNetwork
from anonymize.detect.predictor import EmbeddedDetector, assemble, merge_seconds, with_doubles

TINY = DetectorConfig(channels=8, merged=8, wide=8, vertices=32, size=64, max_size=128)
SIZE = (96, 128)


@pytest.fixture
def network() -> DetectorNetwork:
    torch.manual_seed(0)
    return DetectorNetwork(TINY).eval()


def heads(count: int) -> dict[str, object]:
    return {
        "scores": np.full(count, 0.9, np.float32),
        "masks": torch.ones(count, REGION_SIZE, REGION_SIZE),
        "embeddings": torch.ones(count, 16, REGION_SIZE, REGION_SIZE),
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


def test_no_boxes_assemble_to_no_people() -> None:
    found = assemble(size_hw=SIZE, boxes=np.zeros((0, 4), np.float32), regions=np.zeros((0, 4), np.float32), **heads(0))
    assert len(found) == 0


def test_a_mask_ends_where_the_person_does() -> None:
    outputs = heads(1)
    outputs["masks"] = torch.zeros(1, REGION_SIZE, REGION_SIZE)
    outputs["masks"][:, :, : REGION_SIZE // 2] = 1
    found = assemble(
        size_hw=SIZE,
        boxes=np.array([[22, 12, 38, 70]], np.float32),
        regions=np.array([[20, 10, 60, 80]], np.float32),
        **outputs,
    )
    assert found.has_cse.all()
    covered = found.masks[0].to_full(SIZE)
    assert covered[10:80, 20:40].all()
    assert covered.sum() == 70 * 20
    np.testing.assert_array_equal(found.boxes_xyxy, [[20, 10, 40, 80]])
    assert found.segmentations is not None
    assert found.segmentations[0, :, :-2].min() > 0.5, "the surface is read over the person's own box"


def test_a_person_too_small_for_a_surface_has_none() -> None:
    boxes = np.array([[20, 10, 30, 25], [40, 10, 80, 90]], np.float32)
    found = assemble(size_hw=SIZE, boxes=boxes, regions=boxes, smallest_surface=16.0, **heads(2))
    np.testing.assert_array_equal(found.has_cse, [False, True])
    assert found.embeddings is not None
    assert found.segmentations is not None
    assert not found.embeddings[0].any()
    assert not found.segmentations[0].any()
    assert found.masks[0].area == 150


def test_a_box_without_any_pixel_is_no_person() -> None:
    outputs = heads(2)
    outputs["masks"][0] = 0
    boxes = np.array([[0, 0, 9, 9], [20, 10, 60, 80]], np.float32)
    found = assemble(size_hw=SIZE, boxes=boxes, regions=boxes, **outputs)
    np.testing.assert_array_equal(found.boxes_xyxy, [[20, 10, 60, 80]])


def test_surfaces_over_given_boxes_are_those_of_the_detector(network: DetectorNetwork) -> None:
    image = np.random.default_rng(2).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    detector = EmbeddedDetector(network, score=0.0)
    (found,) = detector.detect([image])
    chosen = np.flatnonzero(found.has_cse)[:3]
    ((masks, embeddings),) = detector.surfaces([image], [found.boxes_xyxy[chosen]])
    assert found.embeddings is not None
    assert found.segmentations is not None
    torch.testing.assert_close(embeddings, found.embeddings[chosen], atol=0.05, rtol=0.05)
    torch.testing.assert_close(masks, found.segmentations[chosen], atol=0.05, rtol=0.05)


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


def test_a_person_found_twice_is_one_with_the_pixels_of_both() -> None:
    def block(x: int, y: int, width: int, height: int) -> RegionMask:
        return RegionMask(x, y, np.ones((height, width), np.bool_))

    whole, lower, neighbour = block(10, 0, 30, 90), block(12, 30, 30, 70), block(60, 0, 30, 90)
    small, same_small = block(100, 0, 5, 12), block(100, 0, 5, 11)
    masks = [lower, whole, neighbour, small, same_small]
    scores = np.array([0.6, 0.9, 0.7, 0.8, 0.5], np.float32)
    kept, completed = merge_seconds(masks, scores, [True] * 5)
    assert kept == [1, 2, 3, 4]  # the small ones may be two
    assert completed[1].share_in(whole) < 1
    assert whole.share_in(completed[1]) == lower.share_in(completed[1]) == 1
    kept, _ = merge_seconds(masks, scores, [False, True, True, True, True])
    assert kept == [0, 1, 2, 3, 4]  # an unsure detection changes nothing about the number of people


def test_weights_come_back(tmp_path: Path, network: DetectorNetwork) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, network, {"note": "tiny"})
    again = load_network(path)
    assert again.config == TINY
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name].float(), value.float(), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(load_vertex_embedding(path), again.vertex_embedding.detach())


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
