"""Number plates: a small head on what the backbone of the embedded detector sees anyway.

The people's pyramid keeps little of what makes a plate; the backbone's own maps, mostly as ImageNet made them, do. The
head has a pyramid of its own on them and finds boxes without anchors (Tian et al. 2019). Nothing of the backbone is
trained for plates, so that people are found in the same way with and without them; in turn the weights belong to one
backbone, whose hash they name.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import clip_boxes_to_image, nms

from anonymize.core.errors import WeightsError
from anonymize.core.parameters import load_strictly, read_safetensors, write_safetensors
from anonymize.detect.backbone import CHANNELS, EfficientNetLite
from anonymize.detect.network import cell_centers, convolution

NETWORK = "number plates"
FORMAT = "anonymize-plates-1"
PLATE_STRIDES = (8, 16, 32)
WIDTH = 32
"""Channels of the head's maps."""
SURE_PLATE, UNSURE_PLATE = 0.4, 0.2
"""From the first on a box is a number plate; one from the second on is where it continues a track of one."""
CANDIDATES = 200
"""Boxes a picture that non-maximum suppression looks at."""
NMS_IOU = 0.4


class LevelHead(nn.Module):
    """One map to the logit of a plate and the distances to the box's sides, at each cell."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(convolution(WIDTH, WIDTH), convolution(WIDTH, WIDTH))
        self.score = nn.Conv2d(WIDTH, 1, 1)
        self.sides = nn.Conv2d(WIDTH, 4, 1)
        self.score.bias = nn.Parameter(torch.full((1,), -4.6))  # scores of a hundredth, as RetinaNet begins
        self.sides.bias = nn.Parameter(torch.full((4,), 1.0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, 1, h, w] and distances [B, 4, h, w] to left, top, right, bottom, in cells, at least 0."""
        x = self.tower(x)
        return self.score(x), F.softplus(self.sides(x).float())


class PlateHead(nn.Module):
    """The backbone's maps to boxes of number plates."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = convolution(CHANNELS[0], WIDTH, stride=2)  # a far plate is a few pixels high
        self.lateral = nn.ModuleList(convolution(channels, WIDTH, kernel=1) for channels in CHANNELS[1:])
        self.levels = nn.ModuleList(LevelHead() for _ in PLATE_STRIDES)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits [B, N] and boxes [B, N, 4] (xyxy, pixels of the picture) of all cells of all levels.

        Args:
            maps: Of `EfficientNetLite`, [B, C, H / s, W / s] at strides 4, 8, 16 and 32.
        """
        finest, *others = maps
        features = [layer(x) for layer, x in zip(self.lateral, others, strict=True)]
        features[0] = features[0] + self.fine(finest)
        for i in range(len(features) - 2, -1, -1):
            features[i] = features[i] + F.interpolate(features[i + 1], size=features[i].shape[-2:], mode="nearest")
        logits, boxes = [], []
        for level, x, stride in zip(self.levels, features, PLATE_STRIDES, strict=True):
            score, sides = level(x)
            centers = cell_centers(x.shape[-2:], stride, x.device)
            sides = sides.flatten(2).transpose(1, 2) * stride  # [B, h * w, 4]
            boxes.append(torch.cat([centers - sides[..., :2], centers + sides[..., 2:]], dim=2))
            logits.append(score.float().flatten(1))
        return torch.cat(logits, dim=1), torch.cat(boxes, dim=1)


def best_plates(logits: Tensor, boxes: Tensor, size_hw: tuple[int, int], lowest: float) -> list[Tensor]:
    """Plates of each picture, best first: [K, 5], left, top, right, bottom in its pixels, and the score.

    Args:
        logits, boxes: [B, N] and [B, N, 4] of all cells, see `PlateHead.forward`.
        size_hw: Size of the pictures without their padding.
        lowest: Plates of a lower score are left out.
    """
    found = []
    for row_logits, row_boxes in zip(logits, boxes, strict=True):
        scores, order = row_logits.sigmoid().topk(min(CANDIDATES, len(row_logits)))
        order, scores = order[scores >= lowest], scores[scores >= lowest]
        candidates = clip_boxes_to_image(row_boxes[order], size_hw)
        kept = nms(candidates, scores, NMS_IOU)
        found.append(torch.cat([candidates[kept], scores[kept, None]], dim=1))
    return found


def hash_of_backbone(backbone: EfficientNetLite) -> str:
    """SHA-256 of the parameters in half precision, as weights files hold them."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        if value.is_floating_point():
            digest.update(name.encode())
            digest.update(value.detach().half().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_plate_head(path: Path, head: PlateHead, backbone: EfficientNetLite, notes: dict[str, str]) -> None:
    """Write the head as `.safetensors`, with the hash of the backbone that it belongs to.

    Raises:
        MediaError: The file cannot be written.
    """
    metadata = {"format": FORMAT, "backbone": hash_of_backbone(backbone)} | notes
    write_safetensors(path, head.state_dict(), metadata)


def load_plate_head(path: Path, backbone: EfficientNetLite) -> PlateHead:
    """Read a head written by `save_plate_head`.

    Raises:
        WeightsError: The file is missing, damaged, or belongs to another backbone.
    """
    metadata, tensors = read_safetensors(path, [FORMAT], NETWORK)
    if metadata.get("backbone") != hash_of_backbone(backbone):
        raise WeightsError(
            f"{path.name} belongs to the backbone of another detector; make it again with `anonymize train plates`"
        )
    head = PlateHead()
    load_strictly(head, tensors, path.name)
    return head.eval()
