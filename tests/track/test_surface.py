from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from anonymize.core.types import Detections, Frame, RegionMask
from anonymize.track import PeopleTracker
from anonymize.track.output.surface import NEWS, SURFACE_SIZE, shrink, shrink_surfaces


@pytest.mark.parametrize("size", [112, 100, 57, 224])
def test_shrinking_takes_the_means_of_cells(size: int) -> None:
    planes = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(shrink(planes), F.adaptive_avg_pool2d(planes, SURFACE_SIZE))
    torch.testing.assert_close(shrink(planes[:, 0]), shrink(planes)[:, 0])


def test_small_predictions_stay_as_they_are() -> None:
    planes = torch.randn(2, 3, 8, 8)
    assert torch.equal(shrink(planes), planes)
    nobody = Detections.empty((10, 10))
    assert shrink_surfaces(nobody) is nobody


def surfaces(lefts: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Predictions somebody is handed on with who was found with 0, 1, 2 and so on, in segmentations with 8 more."""
    frames = []
    for number, left in enumerate(lefts):
        mask, image = RegionMask(left, 5, np.ones((30, 20), np.bool_)), np.zeros((40, 200, 3), np.uint8)
        box, sure = np.array([mask.box_xyxy], np.float32), np.array([0.95], np.float32)
        values = torch.full((1, 2, 8, 8), float(number))
        found = Detections(image.shape[:2], box, sure, (mask,), np.ones(1, np.bool_), values, values[:, 0] + 8)
        frames.append((Frame(image, number, number, Fraction(1, 10)), found))
    tracked = [tracks.detections for _, tracks in PeopleTracker().track(frames)]
    assert all(float(found.embeddings.min()) == number for number, (_, found) in enumerate(frames))  # type: ignore[union-attr]
    return [(t.embeddings, t.segmentations) for t in tracked]  # type: ignore[misc]


def test_surfaces_of_whoever_stands_still_are_blended_with_those_handed_on_before() -> None:
    expected = 0.0
    for number, (embeddings, segmentations) in enumerate(surfaces([10] * 6)):
        expected += NEWS * (number - expected)
        torch.testing.assert_close(embeddings, torch.full((1, 2, 8, 8), expected))
        torch.testing.assert_close(segmentations, torch.full((1, 8, 8), expected + 8))


def test_surfaces_of_whoever_walks_are_their_own() -> None:
    for number, (embeddings, _) in enumerate(surfaces([10, 16, 22, 28])):
        assert float(embeddings.min()) == float(embeddings.max()) == number
