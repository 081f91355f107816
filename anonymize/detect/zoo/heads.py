"""Region proposals, boxes, masks and surface embeddings, named as in Detectron2's and DensePose's files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms, clip_boxes_to_image, roi_align

from anonymize.detect.zoo.backbone import CHANNELS, LEVELS

STRIDES = (4, 8, 16, 32, 64)
ANCHOR_SIZES = (32, 64, 128, 256, 512)
ANCHOR_RATIOS = (0.5, 1.0, 2.0)
PROPOSALS = 1000
PROPOSAL_NMS = 0.7
BOX_NMS = 0.5
MAX_SCALE = math.log(1000 / 16)
SURFACE = "smpl_27554"
VERTICES = 27554
EMBEDDING = 16


def decode(anchors: Tensor, deltas: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """Boxes [N, K, 4] xyxy of offsets [N, 4 K] relative to anchors [N, 4] (Girshick et al. 2014, appendix C)."""
    deltas = deltas.view(len(deltas), -1, 4) / deltas.new_tensor(weights)
    size = (anchors[:, 2:] - anchors[:, :2])[:, None]
    centre = anchors[:, None, :2] + 0.5 * size + deltas[..., :2] * size
    half = 0.5 * size * deltas[..., 2:].clamp(max=MAX_SCALE).exp()
    return torch.cat([centre - half, centre + half], -1)


def anchors_of(size_hw: tuple[int, int], stride: int, side: int, device: torch.device) -> Tensor:
    """Anchors [H W 3, 4] of one level; the first is centred on (0, 0)."""
    shapes = [(side / math.sqrt(ratio), side * math.sqrt(ratio)) for ratio in ANCHOR_RATIOS]
    cells = torch.tensor([[-w / 2, -h / 2, w / 2, h / 2] for w, h in shapes], device=device)
    y, x = torch.meshgrid(*(torch.arange(n, device=device) * float(stride) for n in size_hw), indexing="ij")
    return (torch.stack([x, y, x, y], -1)[:, :, None] + cells).view(-1, 4)


class ProposalHead(nn.Module):
    """Objectness and offsets of each anchor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.objectness_logits = nn.Conv2d(CHANNELS, len(ANCHOR_RATIOS), 1)
        self.anchor_deltas = nn.Conv2d(CHANNELS, 4 * len(ANCHOR_RATIOS), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Objectness [B, H W 3] and offsets [B, H W 3, 4]."""
        x = F.relu_(self.conv(x))
        logits = self.objectness_logits(x).permute(0, 2, 3, 1).flatten(1)
        deltas = self.anchor_deltas(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4)
        return logits.float(), deltas.float()


class ProposalGenerator(nn.Module):
    """Region proposal network (Ren et al. 2015) on a pyramid."""

    def __init__(self) -> None:
        super().__init__()
        self.rpn_head = ProposalHead()

    def forward(self, maps: Sequence[Tensor], sizes_hw: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Proposals [K, 4] of each picture, K at most 1000."""
        boxes, scores, levels = [], [], []
        for level, x in enumerate(maps):
            logits, deltas = self.rpn_head(x)
            best, index = logits.topk(min(PROPOSALS, logits.shape[1]), dim=1)
            anchors = anchors_of((x.shape[2], x.shape[3]), STRIDES[level], ANCHOR_SIZES[level], x.device)
            picked = deltas.gather(1, index[..., None].expand(-1, -1, 4))
            decoded = decode(anchors[index].flatten(0, 1), picked.flatten(0, 1), (1.0, 1.0, 1.0, 1.0))
            boxes.append(decoded.view(len(x), -1, 4))
            scores.append(best)
            levels.append(torch.full_like(best[0], level, dtype=torch.int64))
        all_boxes, all_scores, all_levels = torch.cat(boxes, 1), torch.cat(scores, 1), torch.cat(levels)
        proposals = []
        for found, score, size in zip(all_boxes, all_scores, sizes_hw, strict=True):
            found = clip_boxes_to_image(found, size)
            solid = ((found[:, 2:] > found[:, :2]).all(1) & score.isfinite()).nonzero()[:, 0]
            keep = solid[batched_nms(found[solid], score[solid], all_levels[solid], PROPOSAL_NMS)]
            proposals.append(found[keep[:PROPOSALS]])
        return proposals


def pool(maps: Sequence[Tensor], boxes: Sequence[Tensor], size: int, *, sampling: int, aligned: bool) -> Tensor:
    """Regions [N, C, size, size] of all pictures, each from the map that fits its size (Lin et al. 2017, equation 1).

    Args:
        maps: [B, C, h, w] of strides 4, 8, ...; a single map serves all sizes.
        boxes: [K, 4] for each picture.
        size: Of the output.
        sampling: Samples per cell and axis; 0 for as many as there are pixels.
        aligned: Shift by half a pixel ("ROIAlignV2").
    """
    index = torch.cat([box.new_full((len(box), 1), i) for i, box in enumerate(boxes)])
    flat = torch.cat(list(boxes))
    regions = torch.cat([index, flat], 1)
    if len(maps) == 1:
        return _roi_align(maps[0], regions, size, STRIDES[0], sampling, aligned)
    side = ((flat[:, 2] - flat[:, 0]) * (flat[:, 3] - flat[:, 1])).sqrt()
    level = (4 + torch.log2(side / 224 + 1e-8)).floor().clamp(LEVELS[0], LEVELS[-1]).long() - LEVELS[0]
    result = maps[0].new_zeros((len(flat), maps[0].shape[1], size, size))
    for number, x in enumerate(maps):
        rows = (level == number).nonzero()[:, 0]
        if len(rows):
            result[rows] = _roi_align(x, regions[rows], size, STRIDES[number], sampling, aligned)
    return result


def _roi_align(x: Tensor, regions: Tensor, size: int, stride: int, sampling: int, aligned: bool) -> Tensor:
    # always in float32: coordinates of hundreds of pixels have no fractions in bfloat16
    return roi_align(x.float(), regions, size, 1 / stride, sampling, aligned).to(x.dtype)  # type: ignore[no-any-return]


class BoxHead(nn.Module):
    """Two layers on a region, [N, 1024]."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(CHANNELS * 7 * 7, 1024)
        self.fc2 = nn.Linear(1024, 1024)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.fc2(F.relu_(self.fc1(x.flatten(1)))))


class BoxPredictor(nn.Module):
    """Probabilities [N, classes + 1], the last for background, and offsets [N, 4 classes]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(1024, classes + 1)
        self.bbox_pred = nn.Linear(1024, 4 * classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls_score(x).float().softmax(1), self.bbox_pred(x).float()


class MaskHead(nn.Module):
    """Masks of each class, [N, classes, 28, 28] before the sigmoid (He et al. 2017)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        for i in range(1, 5):
            setattr(self, f"mask_fcn{i}", nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
        self.deconv = nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, 2)
        self.predictor = nn.Conv2d(CHANNELS, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(1, 5):
            x = F.relu_(getattr(self, f"mask_fcn{i}")(x))
        return self.predictor(F.relu_(self.deconv(x)))  # type: ignore[no-any-return]


def _double() -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)


class Decoder(nn.Module):
    """All levels of the pyramid summed at stride 4 (Kirillov et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        for level in LEVELS:
            layers: list[nn.Module] = []
            for _ in range(max(1, level - 2)):
                layers += [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)]
                # the activation has no place of its own in the numbering of the file
                layers += [_Activated(_double() if level > 2 else nn.Identity())]
            setattr(self, f"p{level}", nn.Sequential(*layers))
        self.predictor = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        total: Tensor = self.get_submodule("p2")(maps[0])
        for level, x in zip(LEVELS[1:], maps[1:], strict=True):
            total = total + getattr(self, f"p{level}")(x)
        return self.predictor(total)  # type: ignore[no-any-return]


class _Activated(nn.Module):
    def __init__(self, then: nn.Module) -> None:
        super().__init__()
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        return self.then(F.relu_(x))  # type: ignore[no-any-return]


class _GroupNormedConv(nn.Conv2d):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))  # type: ignore[no-any-return]


class _Context(nn.Sequential):
    """The mean over the region, spread over it again."""

    def __init__(self) -> None:
        convolution = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)
        super().__init__(nn.AdaptiveAvgPool2d(1), convolution, nn.GroupNorm(32, CHANNELS), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).expand(-1, -1, *x.shape[2:])  # type: ignore[no-any-return, no-untyped-call]


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()

        def branch(kernel: int, dilation: int) -> nn.Sequential:
            padding = dilation if kernel == 3 else 0
            convolution = nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=padding, dilation=dilation, bias=False)
            return nn.Sequential(convolution, nn.GroupNorm(32, CHANNELS), nn.ReLU())

        self.convs = nn.ModuleList([branch(1, 1), *(branch(3, rate) for rate in (6, 12, 56)), _Context()])
        self.project = nn.Sequential(nn.Conv2d(5 * CHANNELS, CHANNELS, 1, bias=False), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.project(torch.cat([branch(x) for branch in self.convs], 1))  # type: ignore[no-any-return]


class SurfaceHead(nn.Module):
    """Eight convolutions, after atrous pooling in the "DL" models."""

    def __init__(self, *, deeplab: bool) -> None:
        super().__init__()
        self.ASPP = Aspp() if deeplab else None
        for i in range(8):
            inputs = 512 if i else CHANNELS
            layer = _GroupNormedConv(inputs, 512) if deeplab else nn.Conv2d(inputs, 512, 3, padding=1)
            setattr(self, f"body_conv_fcn{i + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        if self.ASPP is not None:
            x = self.ASPP(x)
        for i in range(8):
            x = F.relu_(getattr(self, f"body_conv_fcn{i + 1}")(x))
        return x


class SurfacePredictor(nn.Module):
    """Embedding [N, 16, 112, 112] and coarse segmentation [N, 2, 112, 112] (Neverova et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse_segm_lowres = nn.ConvTranspose2d(512, 2, 4, 2, 1)
        self.embed_lowres = nn.ConvTranspose2d(512, EMBEDDING, 4, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        embedding, segmentation = self.embed_lowres(x).float(), self.coarse_segm_lowres(x).float()
        double = _double()
        return double(embedding), double(segmentation)


class Embedder(nn.Module):
    """Vertices of the mesh in the embedding's space."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(torch.zeros(256, EMBEDDING))
        self.register_buffer("features", torch.zeros(VERTICES, 256))
        self.features: Tensor

    def forward(self) -> Tensor:
        """[27554, 16] of length 1."""
        product = self.features @ self.embeddings
        return product / product.norm(dim=1, keepdim=True).clamp(min=1e-6)  # type: ignore[no-any-return]
