from collections.abc import Sequence

import numpy as np
import pytest
import torch

from anonymize.core.types import Detections, RegionMask, UInt8Array
from anonymize.detect.network import REGION_SIZE, DetectorConfig, DetectorNetwork, Features
from anonymize.detect.paired import PairedDetector, surface_network, with_surface
from anonymize.detect.predictor import EmbeddedDetector

SIZE = (96, 128)
BOX = (20, 10, 60, 90)


def people(*boxes: tuple[int, int, int, int], size_hw: tuple[int, int] = SIZE) -> Detections:
    """People who fill their boxes, without a surface."""
    masks = tuple(RegionMask(x, y, np.ones((bottom - y, right - x), np.bool_)) for x, y, right, bottom in boxes)
    scores, has_cse = np.full(len(boxes), 0.9, np.float32), np.zeros(len(boxes), np.bool_)
    return Detections(size_hw, np.array(boxes, np.float32).reshape(-1, 4), scores, masks, has_cse, surface="smpl_27554")


class Masks:
    """A detector that finds given people, one value a picture, and no surface."""

    surface = None

    def __init__(self, *found: Detections) -> None:
        self.found = found

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        return list(self.found[: len(images)])


class Counting(DetectorNetwork):
    """Notes the size of each batch; its masks fill their boxes."""

    def __init__(self) -> None:
        super().__init__(DetectorConfig(deep=80, size=64, max_size=128))  # of no graph, so that `features` is called
        self.batches: list[int] = []
        assert self.region_head.points.bias is not None
        torch.nn.init.constant_(self.region_head.points.bias[:1], 50.0)

    def features(self, pictures: torch.Tensor) -> Features:
        self.batches.append(len(pictures))
        return super().features(pictures)


@pytest.fixture
def embedded() -> EmbeddedDetector:
    torch.manual_seed(0)
    return EmbeddedDetector(Counting().eval())


def pictures(*sizes: tuple[int, int]) -> list[UInt8Array]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*size, 3), dtype=np.uint8) for size in sizes]


def bodies(*values: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks of one value each over S x S points, and embeddings of ones."""
    size = (len(values), 8, 8)
    return torch.tensor(values)[:, None, None].expand(size).clone(), torch.ones(len(values), 16, 8, 8)


def test_nobody(embedded: EmbeddedDetector) -> None:
    assert PairedDetector(Masks(), embedded).detect([]) == []
    (found,) = PairedDetector(Masks(people()), embedded).detect(pictures(SIZE))
    assert len(found) == 0 and found.surface == "anny"
    assert embedded.network.batches == []


def test_pictures_with_people_go_through_the_surface_network_once(embedded: EmbeddedDetector) -> None:
    other = (60, 90)
    two, nobody = people(BOX, (70, 10, 110, 90)), people()
    masks = Masks(two, nobody, people((10, 5, 40, 50), size_hw=other), two)
    found = PairedDetector(masks, embedded).detect(pictures(SIZE, SIZE, other, SIZE))
    assert embedded.network.batches == [2, 1]
    assert [len(each) for each in found] == [2, 0, 1, 2]
    assert [each.size_hw for each in found] == [SIZE, SIZE, other, SIZE]
    for each, before in zip(found, masks.found, strict=True):
        assert each.has_cse.all() and each.surface == "anny"
        assert each.masks == before.masks
    assert found[0].embeddings is not None and found[0].segmentations is not None
    assert found[0].embeddings.shape == (2, 16, REGION_SIZE, REGION_SIZE)
    assert found[0].segmentations.min() > 0.5


def test_a_batch_gives_what_single_pictures_give(embedded: EmbeddedDetector) -> None:
    images = pictures(SIZE, SIZE)
    boxes = [people(BOX).boxes_xyxy, people((70, 10, 110, 90), BOX).boxes_xyxy]
    together = embedded.surfaces(images, boxes)
    for image, box, batched in zip(images, boxes, together, strict=True):
        ((masks, embeddings),) = embedded.surfaces([image], [box])
        assert len(masks) == len(box)
        torch.testing.assert_close(batched[0], masks, atol=0.05, rtol=0.05)
        torch.testing.assert_close(batched[1], embeddings, atol=0.1, rtol=0.1)


def test_a_surface_of_somebody_else_is_not_usable() -> None:
    values, embeddings = bodies(0.9, 0.1)
    found = with_surface(people(BOX, (70, 10, 110, 90)), values, embeddings, "anny")
    assert found.has_cse.tolist() == [True, False]
    assert found.embeddings is not None and found.segmentations is not None
    assert found.embeddings[0].all() and not found.embeddings[1].any()
    assert found.segmentations[0].min() == pytest.approx(0.9) and not found.segmentations[1].any()


def test_a_small_box_has_no_usable_surface() -> None:
    values, embeddings = bodies(0.9, 0.9)
    found = with_surface(people(BOX, (70, 10, 80, 25)), values, embeddings, "anny", smallest_surface=16)
    assert found.has_cse.tolist() == [True, False]


def test_what_is_no_part_of_the_mask_is_no_body() -> None:
    (person,) = people(BOX).masks
    person.mask[:, 20:] = False  # a neighbour stands in front of the right half
    found = people(BOX)
    found = Detections(SIZE, found.boxes_xyxy, found.scores, (person,), found.has_cse)
    paired = with_surface(found, *bodies(0.9), "anny")
    assert paired.has_cse.all() and paired.segmentations is not None
    assert (paired.segmentations[0, :, :4] > 0.5).all()
    assert not paired.segmentations[0, :, 4:].any()


def test_a_mask_wider_than_its_box_fits_all_the_same() -> None:
    found = people(BOX)
    wide = RegionMask(0, 0, np.ones(SIZE, np.bool_))
    paired = with_surface(
        Detections(SIZE, found.boxes_xyxy, found.scores, (wide,), found.has_cse), *bodies(0.9), "anny"
    )
    assert paired.has_cse.all()


def test_boxes_beyond_the_picture(embedded: EmbeddedDetector) -> None:
    found = people(BOX)
    found.boxes_xyxy[0] = (-10, -10, 140, 100)
    (paired,) = PairedDetector(Masks(found), embedded).detect(pictures(SIZE))
    assert paired.segmentations is not None
    assert not paired.segmentations[0, :3].any()


def test_the_surface_is_known_by_its_network(embedded: EmbeddedDetector) -> None:
    assert surface_network(embedded) is embedded.network
    assert surface_network(PairedDetector(Masks(), embedded)) is embedded.network
    assert surface_network(Masks()) is None
