import pytest
import torch

from anonymize.detect import network as detection
from anonymize.detect.network import DetectorConfig, DetectorNetwork


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_empty_regions_behind_the_real_ones_change_nothing(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    config = DetectorConfig(widths=(4, 8, 8, 8, 8), depths=(1, 1, 1, 1), channels=8)
    network = DetectorNetwork(config).eval()
    pictures = torch.rand(1, 3, 64, 64)
    corners = 30 * torch.rand(count, 2)
    boxes = [torch.cat([corners, corners + 20], 1)]

    @torch.inference_mode()
    def heads() -> list[torch.Tensor]:
        pyramid, _, merged = network.features(pictures)
        return [network.masks(pictures, pyramid, boxes), *network.surface(pictures, merged, boxes)]

    filled = heads()
    monkeypatch.setattr(detection, "REGIONS_STEP", 1)
    for ours, plain in zip(filled, heads(), strict=True):
        assert len(ours) == count
        torch.testing.assert_close(ours, plain)
