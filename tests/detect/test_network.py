import pytest
import torch

from anonymize.detect import network as detection
from anonymize.detect.backbone import CHANNELS, EfficientNetLite
from anonymize.detect.network import (
    STRIDES,
    DetectorConfig,
    DetectorNetwork,
    best_boxes,
    cell_centers,
    enlarged,
    read_over,
)

SMALL = DetectorConfig(channels=8, merged=8, wide=8, vertices=32)


def network() -> DetectorNetwork:
    torch.manual_seed(0)
    return DetectorNetwork(SMALL).eval()


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_empty_regions_behind_the_real_ones_change_nothing(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = network()
    pictures = torch.rand(1, 3, 64, 64)
    corners = 30 * torch.rand(count, 2)
    boxes = [torch.cat([corners, corners + 20], 1)]

    @torch.inference_mode()
    def heads() -> tuple[torch.Tensor, ...]:
        return detector.regions(detector.features(pictures).merged, boxes)

    filled = heads()
    monkeypatch.setattr(detection, "REGIONS_STEP", 1)
    for ours, plain in zip(filled, heads(), strict=True):
        assert len(ours) == count
        torch.testing.assert_close(ours, plain)


def test_maps_have_the_strides_and_channels_that_they_promise() -> None:
    with torch.inference_mode():
        maps = EfficientNetLite().eval()(torch.rand(2, 3, 64, 96))
    for x, channels, stride in zip(maps, CHANNELS, (4, 8, 16, 32), strict=True):
        assert x.shape == (2, channels, 64 // stride, 96 // stride)


def test_a_backbone_does_what_the_one_of_imagenet_does() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra `eval`")
    from anonymize.lab.evaluate.features import EfficientNetLite0
    from anonymize.lab.train.detector import imagenet_parameters

    ours = EfficientNetLite()
    ours.load_imagenet(imagenet_parameters())
    pictures = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        for mine, theirs in zip(ours.eval()(pictures), EfficientNetLite0().maps(pictures)[1:], strict=True):
            torch.testing.assert_close(mine, theirs)


def test_gradients_of_a_strided_depthwise_convolution_are_those_of_torch() -> None:
    from torch.nn import functional as F

    from anonymize.detect.backbone import SameConv2d

    torch.manual_seed(0)
    layer = SameConv2d(6, 6, 5, 2, groups=6, bias=False)
    x = torch.randn(1, 6, 8, 12, requires_grad=True)
    expected = F.conv2d(F.pad(x, (1, 2, 1, 2)), layer.weight, None, 2, 0, 1, 6)
    ours = layer(x)
    torch.testing.assert_close(ours, expected)
    for mine, theirs in zip(
        torch.autograd.grad(ours.square().sum(), (x, layer.weight)),
        torch.autograd.grad(expected.square().sum(), (x, layer.weight)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_boxes_of_cells_hold_their_centres() -> None:
    detector = network()
    with torch.inference_mode():
        logits, boxes = detector.cells(detector.features(torch.rand(1, 3, 64, 96)))
    centers = torch.cat([cell_centers((64 // s, 96 // s), s, boxes.device) for s in STRIDES])
    assert logits.shape == (1, len(centers))
    assert (boxes[0, :, :2] <= centers).all()
    assert (boxes[0, :, 2:] >= centers).all()


def test_boxes_stay_in_the_picture_and_come_best_first() -> None:
    detector = network()
    with torch.inference_mode():
        cells = detector.cells(detector.features(torch.rand(1, 3, 64, 96)))
    (boxes,), (scores,) = best_boxes(*cells, SMALL, (60, 90), 0.0)
    assert len(boxes) == len(scores) > 0
    assert boxes.min() >= 0
    assert boxes[:, 2].max() <= 90
    assert boxes[:, 3].max() <= 60
    assert (scores[:-1] >= scores[1:]).all()


def test_planes_over_a_region_are_read_over_a_box_inside_of_it() -> None:
    size = 8
    across = (torch.arange(size) + 0.5) / size * 40  # the place in the picture, over a region of 40 pixels
    planes = torch.stack([across.expand(size, -1), across[:, None].expand(-1, size)])[None]
    read = read_over(planes, torch.tensor([[0.0, 0, 40, 40]]), torch.tensor([[10.0, 8, 30, 24]]))
    torch.testing.assert_close(read[0, 0, 3], 10 + (torch.arange(size) + 0.5) / size * 20)
    torch.testing.assert_close(read[0, 1, :, 3], 8 + (torch.arange(size) + 0.5) / size * 16)
    assert read_over(planes[:0], torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0, 2, size, size)


def test_regions_are_larger_than_their_boxes_on_all_sides() -> None:
    torch.testing.assert_close(enlarged(torch.tensor([[10.0, 20, 30, 60]]), 1.5), torch.tensor([[5.0, 10, 35, 70]]))
