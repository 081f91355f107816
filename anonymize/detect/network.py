"""The embedded network: Mask R-CNN with a CSE head on the same boxes, tensors in and out.

A small residual backbone with a feature pyramid, torchvision's region proposals and RoI heads (He et al. 2017; Lin et
al. 2017), a head for continuous surface embeddings (Neverova et al. 2020), and a dense person map in the manner of
panoptic feature pyramids (Kirillov et al. 2019) that gives large people sharper outlines than a 28 x 28 mask can.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

CSE_SIZE = 56
LEVELS = ("p2", "p3", "p4", "p5", "pool")
REGIONS_STEP = 8
"""Batches of regions are filled up to a multiple of this, see `DetectorNetwork._filled`."""


@dataclass(frozen=True)
class DetectorConfig:
    """What the shapes of the parameters depend on; travels inside the weights file.

    Attributes:
        widths: Channels of the stem and of the four stages.
        depths: Residual blocks of the four stages.
        channels: Channels of the feature pyramid and of the mask and CSE heads.
        box_features: Width of the box head's two layers.
        embedding: Dimensions of the surface embedding.
        vertices: Vertices of the surface.
        surface: Name of the surface.
        size: Pictures are scaled so that the shorter side has this many pixels.
        max_size: ... unless the longer side would get longer than this.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    depths: tuple[int, ...] = (2, 2, 3, 2)
    channels: int = 64
    box_features: int = 256
    embedding: int = 16
    vertices: int = 1024
    surface: str = "anny"
    size: int = 384
    max_size: int = 704

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DetectorConfig:
        fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        return cls(**fields)


def convolution(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions round a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            pool: nn.Module = nn.AvgPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


class Backbone(nn.Module):
    """Residual stages at strides 4 to 32 and their feature pyramid, plus stride 64 by pooling."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        stem, *widths = config.widths
        self.stem = nn.Sequential(convolution(3, stem, 2), convolution(stem, stem))
        self.stages = nn.ModuleList()
        inputs = stem
        for width, depth in zip(widths, config.depths, strict=True):
            blocks = [ResidualBlock(inputs, width, 2)] + [ResidualBlock(width, width, 1) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))
            inputs = width
        self.pyramid = FeaturePyramidNetwork(
            widths, config.channels, extra_blocks=LastLevelMaxPool(), norm_layer=nn.BatchNorm2d
        )
        self.out_channels = config.channels

    def maps(self, x: Tensor) -> list[Tensor]:
        """What the stem (stride 2) and the stages (strides 4 to 32) make of normalised pictures [B, 3, H, W]."""
        maps: list[Tensor] = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        features: OrderedDict[str, Tensor] = self.pyramid(OrderedDict(zip(LEVELS, self.maps(x)[1:], strict=False)))
        return features


class PersonMapHead(nn.Module):
    """Dense person logits at stride 4 from the sum of all pyramid levels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(convolution(channels, channels, kernel=1) for _ in range(4))
        self.merge = convolution(channels, channels)
        self.logits = nn.Conv2d(channels, 1, 1)

    def forward(self, features: OrderedDict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits [B, 1, H/4, W/4] and the merged features [B, C, H/4, W/4] that the CSE head reads."""
        size = features["p2"].shape[-2:]
        total = self.levels[0](features["p2"])
        for layer, name in zip(self.levels[1:], LEVELS[1:], strict=False):
            total = total + F.interpolate(layer(features[name]), size=size, mode="bilinear", align_corners=False)
        merged = self.merge(total)
        return self.logits(merged), merged


class MaskHead(nn.Sequential):
    """RoI features [K, C, 14, 14] to mask logits [K, 1, 28, 28]."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            *(convolution(channels, channels) for _ in range(3)),
            nn.ConvTranspose2d(channels, channels, 2, 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, 1, 1),
        )


class CseHead(nn.Module):
    """RoI features [K, C, 28, 28] to an embedding [K, D, 56, 56] and body logits [K, 1, 56, 56]."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        wide = channels * 3 // 2
        self.body = nn.Sequential(
            convolution(channels, wide, 2),  # context is what tells left from right: most of it at 14 x 14
            *(convolution(wide, wide) for _ in range(4)),
        )
        self.skip = convolution(channels, channels)
        self.join = convolution(wide + channels, channels)
        self.lowres = nn.ConvTranspose2d(channels, embedding + 1, 4, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        context = F.interpolate(self.body(x), size=x.shape[-2:], mode="bilinear", align_corners=False)
        out = self.lowres(self.join(torch.cat([context, self.skip(x)], dim=1)))
        return out[:, 1:], out[:, :1]


class DetectorNetwork(nn.Module):
    """Backbone, proposals and heads. `features` and the heads are called apart by the predictor and by the training.

    Pictures are [B, 3, H, W] float, RGB in [0, 1], sides a multiple of 32.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.backbone = Backbone(config)
        anchors = AnchorGenerator(tuple((s,) for s in (16, 32, 64, 128, 256)), ((1.0, 2.0, 3.5),) * 5)
        self.rpn = RegionProposalNetwork(
            anchors,
            RPNHead(channels, 3),
            fg_iou_thresh=0.6,
            bg_iou_thresh=0.3,
            batch_size_per_image=128,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 400, "testing": 400},
            post_nms_top_n={"training": 200, "testing": 150},
            nms_thresh=0.7,
        )
        pooled = list(LEVELS[:4])
        self.roi_heads = RoIHeads(
            box_roi_pool=MultiScaleRoIAlign(pooled, 7, 2),
            box_head=TwoMLPHead(channels * 49, config.box_features),
            box_predictor=FastRCNNPredictor(config.box_features, 2),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=48,
            positive_fraction=0.34,
            bbox_reg_weights=None,
            score_thresh=0.05,
            nms_thresh=0.55,
            detections_per_img=100,
        )
        self.mask_pool = MultiScaleRoIAlign(pooled, 14, 2)
        self.mask_head = MaskHead(channels)
        self.person_map = PersonMapHead(channels)
        self.cse_pool = MultiScaleRoIAlign(["merged"], 28, 2)
        self.cse_head = CseHead(channels, config.embedding)
        self.vertex_embedding = nn.Parameter(torch.randn(config.vertices, config.embedding))
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor([0.45, 0.43, 0.41]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.25, 0.25, 0.25]).view(1, 3, 1, 1), persistent=False)

    def features(self, pictures: Tensor) -> tuple[OrderedDict[str, Tensor], Tensor, Tensor]:
        """Pyramid, person logits [B, 1, H/4, W/4] and merged features [B, C, H/4, W/4]."""
        pyramid = self.backbone((pictures - self.mean) / self.std)
        logits, merged = self.person_map(pyramid)
        return pyramid, logits, merged

    def boxes(self, pictures: Tensor, pyramid: OrderedDict[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """People found: boxes [K, 4] (xyxy in the picture's pixels) and scores [K], per picture."""
        images = _image_list(pictures)
        pyramid = OrderedDict((name, level.float()) for name, level in pyramid.items())
        proposals, _ = self.rpn(images, pyramid)
        results, _ = self.roi_heads(pyramid, proposals, images.image_sizes)
        return [r["boxes"] for r in results], [r["scores"] for r in results]

    def masks(self, pictures: Tensor, pyramid: OrderedDict[str, Tensor], boxes: list[Tensor]) -> Tensor:
        """Mask logits [sum of K, 1, 28, 28] over the boxes."""
        pooled = self.mask_pool(pyramid, boxes, _image_list(pictures).image_sizes)
        logits: Tensor = self.mask_head(self._filled(pooled))
        return logits[: len(pooled)]

    def surface(self, pictures: Tensor, merged: Tensor, boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Embeddings [sum of K, D, 56, 56] and body logits [sum of K, 1, 56, 56] over the boxes."""
        pooled = self.cse_pool({"merged": merged}, boxes, _image_list(pictures).image_sizes)
        embedding, body = self.cse_head(self._filled(pooled))
        return embedding[: len(pooled)], body[: len(pooled)]

    def _filled(self, regions: Tensor) -> Tensor:
        """Regions [K, ...] with empty ones behind them, until K is a multiple of `REGIONS_STEP`; not in training.

        Libraries keep a compiled kernel for each size of a batch: with any K, memory grows through a long film.
        """
        missing = 0 if self.training else -len(regions) % REGIONS_STEP
        return torch.cat([regions, regions.new_zeros(missing, *regions.shape[1:])]) if missing else regions


def _image_list(pictures: Tensor) -> ImageList:
    return ImageList(pictures, [(pictures.shape[-2], pictures.shape[-1])] * pictures.shape[0])
