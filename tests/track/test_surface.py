import pytest
import torch
from torch.nn import functional as F

from anonymize.track.surface import SURFACE_SIZE, shrink, shrink_surfaces
from anonymize.types import Detections


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
