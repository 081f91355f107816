"""The embedded network: Mask R-CNN and CSE in one pass, tensors in and out.

EfficientNet-Lite0 with a feature pyramid (Lin et al. 2017), anchor-free boxes of one class (Tian et al. 2019) and one
head over the boxes that gives each person a mask (He et al. 2017) and a continuous surface embedding (Neverova et al.
2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anonymize.detect.backbone import CHANNELS, EfficientNetLite

REGION_SIZE = 56
"""Points along a box's side at which mask and embedding are predicted."""
POOLED_SIZE = 28
REGION_FACTOR = 1.25
"""Regions are larger than their boxes, so that a hand beyond an imperfect box is seen."""
STRIDES = (8, 16, 32)
MERGED_STRIDE = 4
CANDIDATES = 300
"""Boxes a picture that non-maximum suppression looks at."""
NMS_IOU = 0.6
MAX_DETECTIONS = 100
REGIONS_STEP = 8
"""Batches of regions are filled up to a multiple of this, see `DetectorNetwork.regions`."""


@dataclass(frozen=True)
class DetectorConfig:
    """What the shapes of the parameters depend on; travels inside the weights file.

    Attributes:
        channels: Channels of the feature pyramid and of the box heads.
        merged: Channels of the finest map, which masks and surface are read from.
        wide: Channels of the region head at 14 x 14.
        deep: Channels of the region head at 7 x 7, where it sees the whole person.
        embedding: Dimensions of the surface embedding.
        vertices: Landmarks of the surface.
        surface: Name of the surface.
        size: Pictures are scaled so that the shorter side has this many pixels.
        max_size: ... unless the longer side would get longer than this.
        score_scale, score_shift: A score is the sigmoid of the logit times the first plus the second, so that it is
            the probability that the box is right (Platt 1999), see `anonymize.lab.train.calibrate`.
    """

    channels: int = 64
    merged: int = 48
    wide: int = 96
    deep: int = 160
    embedding: int = 16
    vertices: int = 1024
    surface: str = "anny"
    size: int = 384
    max_size: int = 704
    score_scale: float = 1.0
    score_shift: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DetectorConfig:
        """The configuration of a weights file.

        Raises:
            TypeError: A value is unknown.
        """
        return cls(**values)


def convolution(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


def _stretched(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class Pyramid(nn.Module):
    """Feature pyramid at strides 8, 16 and 32, and a map at stride 4 into which all of it flows."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        channels, merged = config.channels, config.merged
        self.lateral = nn.ModuleList(convolution(c, channels, kernel=1) for c in CHANNELS[1:])
        self.smooth = nn.ModuleList(convolution(channels, channels) for _ in STRIDES)
        self.fine = convolution(CHANNELS[0], merged, kernel=1)
        self.coarse = convolution(channels, merged, kernel=1)
        self.merge = convolution(merged, merged)

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Levels [B, C, H / s, W / s] at strides 8, 16, 32, and the merged map [B, M, H / 4, W / 4]."""
        finest, *others = maps
        levels = [layer(x) for layer, x in zip(self.lateral, others, strict=True)]
        for i in (1, 0):
            levels[i] = levels[i] + _enlarged(levels[i + 1], levels[i])
        levels = [layer(x) for layer, x in zip(self.smooth, levels, strict=True)]
        return levels, self.merge(self.fine(finest) + _stretched(self.coarse(levels[0]), finest))


class BoxHead(nn.Module):
    """One pyramid level to the logit of a person and the distances to the box's sides, at each cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score_tower = nn.Sequential(convolution(channels, channels), convolution(channels, channels))
        self.side_tower = nn.Sequential(convolution(channels, channels), convolution(channels, channels))
        self.score = nn.Conv2d(channels, 1, 1)
        self.sides = nn.Conv2d(channels, 4, 1)
        self.score.bias = nn.Parameter(torch.full((1,), -4.6))  # scores of a hundredth, as RetinaNet begins
        self.sides.bias = nn.Parameter(torch.full((4,), 2.0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, 1, h, w] and distances [B, 4, h, w] to left, top, right, bottom, in cells, at least 0."""
        return self.score(self.score_tower(x)), F.softplus(self.sides(self.side_tower(x)).float())


class Regions(NamedTuple):
    """What the region head says of K boxes, each stretched over S x S points.

    Attributes:
        masks: [K, S, S] float, logits: the pixel is the person's.
        embeddings: [K, D, S, S] float.
    """

    masks: Tensor
    embeddings: Tensor


class RegionHead(nn.Module):
    """Pooled features [K, M, 28, 28] to mask and embedding at 56 x 56."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        channels, wide, deep = config.merged, config.wide, config.deep
        self.near = nn.Sequential(convolution(channels, wide, 2), convolution(wide, wide))
        last = nn.BatchNorm2d(wide)
        nn.init.zeros_(last.weight)
        self.body = nn.Sequential(  # what tells left from right: the whole person at once
            convolution(wide, deep, 2),
            *(convolution(deep, deep) for _ in range(4)),
            nn.Conv2d(deep, wide, 1, bias=False),
            last,
        )
        self.context = nn.Sequential(*(convolution(wide, wide) for _ in range(3)))
        self.skip = convolution(channels, channels)
        self.join = convolution(wide + channels, channels + 16)
        self.points = nn.ConvTranspose2d(channels + 16, config.embedding + 1, 4, 2, 1)

    def forward(self, x: Tensor) -> Regions:
        near = self.near(x)
        context = self.context(near + _stretched(self.body(near), near))
        points = self.points(self.join(torch.cat([_stretched(context, x), self.skip(x)], dim=1)))
        return Regions(points[:, 0], points[:, 1:])


class Features(NamedTuple):
    """What the heads read.

    Attributes:
        levels: Three maps [B, C, H / s, W / s], s of `STRIDES`.
        merged: [B, M, H / 4, W / 4].
        maps: Of the backbone, see `EfficientNetLite`; what finds number plates reads these.
    """

    levels: list[Tensor]
    merged: Tensor
    maps: list[Tensor]


class DetectorNetwork(nn.Module):
    """Backbone, pyramid and heads; called apart by the predictor, the training and the export.

    Pictures are [B, 3, H, W] float, RGB in [0, 1], sides a multiple of 32.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = EfficientNetLite()
        self.pyramid = Pyramid(config)
        self.box_heads = nn.ModuleList(BoxHead(config.channels) for _ in STRIDES)
        self.region_head = RegionHead(config)
        self.person_map = nn.Conv2d(config.merged, 1, 1)  # only the training looks at it: it makes the outlines sharper
        self.vertex_embedding = nn.Parameter(torch.randn(config.vertices, config.embedding))

    def features(self, pictures: Tensor) -> Features:
        """The maps that all heads read."""
        maps = self.backbone(pictures)
        levels, merged = self.pyramid(maps)
        return Features(levels, merged, maps)

    def cells(self, features: Features) -> tuple[Tensor, Tensor]:
        """Logits [B, N] and boxes [B, N, 4] (xyxy, pixels of the picture) of all cells of all levels."""
        logits, boxes = [], []
        for head, level, stride in zip(self.box_heads, features.levels, STRIDES, strict=True):
            score, sides = head(level)
            centers = cell_centers(level.shape[-2:], stride, level.device)
            sides = sides.flatten(2).transpose(1, 2) * stride  # [B, h * w, 4]
            boxes.append(torch.cat([centers - sides[..., :2], centers + sides[..., 2:]], dim=2))
            logits.append(score.float().flatten(1))
        return torch.cat(logits, dim=1), torch.cat(boxes, dim=1)

    def regions(self, merged: Tensor, boxes: Sequence[Tensor]) -> Regions:
        """Masks and embeddings over the boxes [K, 4] of each picture, one after the other.

        Outside of training, batches are filled up to a multiple of `REGIONS_STEP`: libraries keep a compiled kernel
        for each size of a batch, so with any K memory would grow through a long film.
        """
        pooled = pool(merged.float(), region_boxes(boxes)).contiguous(memory_format=torch.channels_last)
        count = len(pooled)
        missing = 0 if self.training else -count % REGIONS_STEP
        if missing:
            pooled = torch.cat([pooled, pooled.new_zeros(missing, *pooled.shape[1:])])
        return Regions(*(values[:count] for values in self.region_head(pooled)))


def best_boxes(
    logits: Tensor, boxes: Tensor, config: DetectorConfig, size_hw: tuple[int, int], lowest: float
) -> tuple[list[Tensor], list[Tensor]]:
    """People found: boxes [K, 4] (xyxy, pixels of the picture) and scores [K] of each picture, best first.

    Args:
        logits: [B, N] of all cells, see `DetectorNetwork.cells`.
        boxes: [B, N, 4].
        config: Of the network.
        size_hw: Size of the pictures.
        lowest: People of a lower score are left out.
    """
    found, scores = [], []
    border = boxes.new_tensor(size_hw[::-1])
    all_scores = (config.score_scale * logits + config.score_shift).sigmoid()
    for row_scores, row_boxes in zip(all_scores, boxes, strict=True):
        values, order = row_scores.topk(min(CANDIDATES, len(row_scores)))
        order = order[values >= lowest]
        candidates = row_boxes[order].reshape(-1, 2, 2).clamp(row_boxes.new_zeros(2), border).reshape(-1, 4)
        kept = _suppressed(candidates, row_scores[order])[:MAX_DETECTIONS]
        found.append(candidates[kept])
        scores.append(row_scores[order][kept])
    return found, scores


def _suppressed(boxes: Tensor, scores: Tensor) -> Tensor:
    """Rows [K] of the boxes [N, 4] that stay after non-maximum suppression, best first; scores [N] fall.

    By OpenCV: torchvision, which a processor needs for nothing else here, takes as long to import as all the rest.
    """
    corners = boxes.double().cpu().numpy()
    rectangles = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(rectangles.tolist(), scores.double().cpu().tolist(), 0.0, NMS_IOU)
    return torch.as_tensor(np.asarray(kept, np.int64).reshape(-1), device=boxes.device)


def region_boxes(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes [K, 4] of each picture as one tensor [sum of K, 5]: the number of the picture, then the box; float32."""
    return torch.cat([torch.cat([b.new_full((len(b), 1), n), b], 1).float() for n, b in enumerate(boxes)])


def pool(merged: Tensor, boxes: Tensor) -> Tensor:
    """Features [K, M, 28, 28] over boxes [K, 5], see `region_boxes`, of merged maps [B, M, H / 4, W / 4], float32."""
    from torchvision.ops import roi_align  # takes seconds, and ONNX Runtime does without

    pooled: Tensor = roi_align(merged, boxes, POOLED_SIZE, 1 / MERGED_STRIDE, 2, True)
    return pooled


def enlarged(boxes: Tensor, factor: float = REGION_FACTOR) -> Tensor:
    """Boxes [K, 4] with the same centres and sides `factor` times as long."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * factor
    return torch.cat([middle - half, middle + half], dim=1)


def read_over(planes: Tensor, regions: Tensor, boxes: Tensor) -> Tensor:
    """What is known over regions, read over boxes inside of them, bilinearly.

    Args:
        planes: [K, C, S, S] float over the regions.
        regions, boxes: [K, 4] float.

    Returns:
        [K, C, S, S] float over the boxes.
    """
    size = planes.shape[-1]
    steps = (torch.arange(size, device=planes.device) + 0.5) / size

    def places(axis: int) -> Tensor:  # [K, S] in [-1, 1] of the region
        points = boxes[:, axis, None] + steps * (boxes[:, axis + 2] - boxes[:, axis])[:, None]
        extent = (regions[:, axis + 2] - regions[:, axis]).clamp(min=1e-6)[:, None]
        return (points - regions[:, axis, None]) / extent * 2 - 1

    x, y = places(0), places(1)
    grid = torch.stack([x[:, None].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=-1)
    read: Tensor = F.grid_sample(planes, grid.to(planes.dtype), padding_mode="border", align_corners=False)
    return read


def cell_centers(size_hw: tuple[int, int] | torch.Size, stride: int, device: torch.device) -> Tensor:
    """Centres [h * w, 2] (x, y, pixels of the picture) of a level's cells, row by row."""
    y = (torch.arange(size_hw[0], device=device) + 0.5) * stride
    x = (torch.arange(size_hw[1], device=device) + 0.5) * stride
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x, grid_y], dim=-1).reshape(-1, 2)
