from pathlib import Path

import numpy as np
import pytest
import torch

from anonymize.core.errors import WeightsError
from anonymize.detect.backbone import EfficientNetLite
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.detect.paired import PlatedDetector, surface_network, without_plates
from anonymize.detect.plates import PlateHead, load_plate_head, save_plate_head
from anonymize.detect.predictor import EmbeddedDetector

TINY = DetectorConfig(channels=8, merged=8, wide=8, vertices=32, size=64, max_size=128)


@pytest.fixture
def network() -> DetectorNetwork:
    torch.manual_seed(0)
    return DetectorNetwork(TINY).eval()


@pytest.fixture
def head() -> PlateHead:
    """A head that believes in half of what it sees."""
    torch.manual_seed(1)
    head = PlateHead().eval()
    for level in head.levels:
        level.score.bias.data.zero_()  # type: ignore[union-attr, operator]
    return head


def pictures(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*size, 3), dtype=np.uint8) for size in sizes]


def test_every_cell_of_every_level_gives_a_box_round_its_centre(network: DetectorNetwork, head: PlateHead) -> None:
    logits, boxes = head(network.backbone(torch.rand(2, 3, 64, 96)))
    assert logits.shape == (2, 8 * 12 + 4 * 6 + 2 * 3)
    assert boxes.shape == (2, logits.shape[1], 4)
    assert (boxes[..., 2:] >= boxes[..., :2]).all()
    assert (boxes[:, 0, :2] <= 4).all() and (boxes[:, 0, 2:] >= 4).all()


def test_plates_come_with_the_people_in_the_pixels_of_each_picture(network: DetectorNetwork, head: PlateHead) -> None:
    sizes = [(60, 90), (128, 256), (60, 90)]
    images = pictures(*sizes)
    found = EmbeddedDetector(network, plates=head).detect(images)
    alone = EmbeddedDetector(network, plates=head).plates(images)
    for (height, width), each, plates in zip(sizes, found, alone, strict=True):
        assert each.plates is not None and len(each.plates)
        assert (each.plates[:, :4] >= 0).all()
        assert (each.plates[:, :4] <= np.array([width, height, width, height]) + 1).all()
        assert (np.diff(each.plates[:, 4]) <= 0).all()
        np.testing.assert_allclose(each.plates, plates, atol=1e-3)


def test_people_are_found_as_without_plates(network: DetectorNetwork, head: PlateHead) -> None:
    images = pictures((60, 90))
    [with_plates] = EmbeddedDetector(network, score=0.3, plates=head).detect(images)
    [without] = EmbeddedDetector(network, score=0.3).detect(images)
    np.testing.assert_array_equal(with_plates.boxes_xyxy, without.boxes_xyxy)
    assert without.plates is None


def test_beside_another_detector(network: DetectorNetwork, head: PlateHead) -> None:
    people, embedded = EmbeddedDetector(network, score=0.3), EmbeddedDetector(network, plates=head)
    both = PlatedDetector(people, embedded)
    images = pictures((60, 90), (40, 40))
    found = both.detect(images)
    assert [each.plates is not None for each in found] == [True, True]
    np.testing.assert_array_equal(found[0].boxes_xyxy, people.detect(images)[0].boxes_xyxy)
    assert surface_network(both) is network
    assert without_plates(both) is people
    with pytest.raises(ValueError, match="without a head"):
        people.plates(images)


def test_weights_are_read_back_with_their_backbone_and_no_other(
    network: DetectorNetwork, head: PlateHead, tmp_path: Path
) -> None:
    path = tmp_path / "plates.safetensors"
    save_plate_head(path, head, network.backbone, {"steps": "1"})
    again = load_plate_head(path, network.backbone)
    for name, value in head.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value.half().to(value.dtype))
    other = EfficientNetLite()
    with pytest.raises(WeightsError, match=r"plates\.safetensors belongs to the backbone of another detector"):
        load_plate_head(path, other)
