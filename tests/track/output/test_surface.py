from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from anonymize.core.types import Detections, Frame, RegionMask
from anonymize.track import PeopleTracker
from anonymize.track.model.surface_size import shrink, shrink_surfaces
from tests.track.scenes import CONFIG


@pytest.mark.parametrize("size", [112, 100, 57, 224])
def test_shrinking_takes_the_means_of_cells(size: int) -> None:
    planes = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(shrink(planes), F.adaptive_avg_pool2d(planes, 56))
    torch.testing.assert_close(shrink(planes[:, 0]), shrink(planes)[:, 0])


def test_small_predictions_stay_as_they_are() -> None:
    planes = torch.randn(2, 3, 8, 8)
    assert torch.equal(shrink(planes), planes)
    none = Detections.empty((10, 10))
    assert shrink_surfaces(none, 56) is none


def surfaces(lefts: list[int], rate: int = 10) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Predictions that are handed on for a person found with 0, 1, 2 and so on, in segmentations with 8 more."""
    frames = []
    for number, left in enumerate(lefts):
        mask, image = RegionMask(left, 5, np.ones((30, 20), np.bool_)), np.zeros((40, 200, 3), np.uint8)
        box, sure = np.array([mask.box_xyxy], np.float32), np.array([0.95], np.float32)
        values = torch.full((1, 2, 8, 8), float(number))
        found = Detections(image.shape[:2], box, sure, (mask,), np.ones(1, np.bool_), values, values[:, 0] + 8)
        frames.append((Frame(image, number, number, Fraction(1, rate)), found))
    tracked = [tracks.detections for _, tracks in PeopleTracker().track(frames)]
    assert all(float(found.embeddings.min()) == number for number, (_, found) in enumerate(frames))  # type: ignore[union-attr]
    return [(t.embeddings, t.segmentations) for t in tracked]  # type: ignore[misc]


def test_surfaces_of_a_person_who_stands_still_are_blended_with_those_handed_on_before() -> None:
    expected = 0.0
    for number, (embeddings, segmentations) in enumerate(surfaces([10] * 6)):
        expected += 0.25 * (number - expected)
        torch.testing.assert_close(embeddings, torch.full((1, 2, 8, 8), expected))
        torch.testing.assert_close(segmentations, torch.full((1, 8, 8), expected + 8))


def test_surfaces_of_a_person_who_walks_are_not_blended() -> None:
    for number, (embeddings, _) in enumerate(surfaces([10, 16, 22, 28])):
        assert float(embeddings.min()) == float(embeddings.max()) == number


@pytest.mark.parametrize(("rate", "blended"), [(10, True), (5, False)])
def test_a_prediction_fits_another_frame_for_less_than_a_step(rate: int, blended: bool) -> None:
    last, _ = surfaces([10] * 3, rate)[-1]
    assert (float(last.min()) < 2) == blended


def test_predictions_are_kept_at_the_size_of_the_networks() -> None:
    mask, one = RegionMask(0, 0, np.ones((30, 20), np.bool_)), np.ones(1, np.float32)
    box, planes = np.array([mask.box_xyxy], np.float32), torch.zeros(1, 2, 112, 112)
    found = Detections((40, 200), box, one, (mask,), one > 0, planes, planes[:, 0])
    shrunk = shrink_surfaces(found, CONFIG.max_surface_cells)
    assert shrunk.embeddings is not None and shrunk.embeddings.shape == (1, 2, 56, 56)
