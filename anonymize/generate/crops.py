"""The generator's view of a person: where to crop, what of the frame it may see, where the body surface lies.

Nothing hidden reaches a crop: hidden pixels are blackened before anything is averaged, and each pixel of the crop that
a hidden one had a part in is marked hidden itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from anonymize.core.types import BoolArray, FloatArray, IntArray, RegionMask, UInt8Array

MIN_BACKGROUND = 0.3
"""Least share of a crop that is not the person (FDH data set)."""
MARGIN = 1.1
"""Height and width of a crop over those of the person, at least."""
BODY_THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of a frame at the generator's size.

    Attributes:
        image: [h, w, 3] uint8 RGB; black where hidden or outside of the frame.
        hidden: [h, w] bool, pixels that a hidden pixel of the frame has a part in.
        padding: [h, w] bool, outside of the frame.
    """

    image: UInt8Array
    hidden: BoolArray
    padding: BoolArray


def crop_box(region: RegionMask, box_xyxy: FloatArray, size_hw: tuple[int, int]) -> FloatArray:
    """The rectangle round a person that the generator sees.

    Args:
        region: The person's pixels, at least one.
        box_xyxy: [4] float32, the person's box.
        size_hw: Height and width of a crop, which give the rectangle's shape.

    Returns:
        [4] float32 xyxy in pixels of the frame, which it may leave. Holds the whole region and box; at least
        30 % of it is not the region.
    """
    corners = np.array(region.box_xyxy, np.float64)
    low, high = np.minimum(corners[:2], box_xyxy[:2]), np.maximum(corners[2:], box_xyxy[2:])
    aspect = size_hw[0] / size_hw[1]
    height = max(high[1] - low[1], (high[0] - low[0]) * aspect) * MARGIN
    height = max(height, float(np.sqrt(region.area / (1 - MIN_BACKGROUND) * aspect)))
    half = np.array([height / aspect, height]) / 2
    center = (low + high) / 2
    return np.concatenate([center - half, center + half]).astype(np.float32)


def contain(box_xyxy: FloatArray, needed_xyxy: FloatArray) -> FloatArray:
    """The box scaled about its centre, if needed, until it holds another one."""
    center, half = (box_xyxy[:2] + box_xyxy[2:]) / 2, (box_xyxy[2:] - box_xyxy[:2]) / 2
    reach = np.maximum(center - needed_xyxy[:2], needed_xyxy[2:] - center)
    half = half * max(1.0, float((reach / half).max()))
    return np.concatenate([center - half, center + half]).astype(np.float32)


def snap(box_xyxy: FloatArray) -> IntArray:
    """The smallest rectangle of whole pixels that holds a box, [4] int64."""
    low, high = np.floor(box_xyxy[:2]), np.ceil(box_xyxy[2:])
    return np.concatenate([low, np.maximum(high, low + 1)]).astype(np.int64)


def cut(image: UInt8Array, hidden: BoolArray, box_xyxy: IntArray, size_hw: tuple[int, int]) -> Crop:
    """Cut a rectangle out of a frame and scale it.

    Args:
        image: [H, W, 3] uint8 RGB.
        hidden: [H, W] bool, pixels that must have no part in the result.
        box_xyxy: [4] int64; may leave the frame.
        size_hw: Height and width of the crop.
    """
    (height, width), (left, top, right, bottom) = hidden.shape, box_xyxy.tolist()
    x1, x2 = np.clip((left, right), 0, width)
    y1, y2 = np.clip((top, bottom), 0, height)
    inner = slice(y1, y2), slice(x1, x2)
    if y1 == y2 or x1 == x2:
        blank = np.zeros(size_hw, np.bool_)
        return Crop(np.zeros((*size_hw, 3), np.uint8), blank, ~blank)
    margins = (y1 - top, bottom - y2, x1 - left, right - x2)
    known = np.where(hidden[inner][..., None], np.uint8(0), image[inner])
    shown = cv2.copyMakeBorder(known, *margins, cv2.BORDER_CONSTANT)
    masks = np.dstack([hidden[inner], np.zeros_like(hidden[inner])]).astype(np.float32)
    masks = cv2.copyMakeBorder(masks, *margins, cv2.BORDER_CONSTANT, value=(0, 1, 0, 0))
    shrinks = shown.shape[0] > size_hw[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small = cv2.resize(shown, size_hw[::-1], interpolation=method)
    small_masks = cv2.resize(masks, size_hw[::-1], interpolation=method)
    covered = small_masks[..., 0] > 0
    padding = (small_masks[..., 1] > 0.5) & ~covered
    small = np.where((covered | padding)[..., None], np.uint8(0), small)
    return Crop(small.astype(np.uint8), covered, padding)


def sample_surface(
    embeddings: Tensor, segmentations: Tensor, boxes_xyxy: FloatArray, crops_xyxy: FloatArray, size_hw: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Surface predictions of several people, read at the pixels of their crops.

    Args:
        embeddings: [N, D, S, S] float over the people's boxes.
        segmentations: [N, S, S] float in [0, 1].
        boxes_xyxy: [N, 4] float32, what the predictions are stretched over.
        crops_xyxy: [N, 4] float32.
        size_hw: Height and width of a crop.

    Returns:
        Embeddings [N, D, h, w] float32, scaled to mean square 1 on the body and 0 elsewhere, and the body mask
        [N, 1, h, w] float32 of 0 and 1.
    """
    boxes, crops = (torch.from_numpy(b).to(embeddings.device) for b in (boxes_xyxy, crops_xyxy))
    extent = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    scale = (crops[:, 2:] - crops[:, :2]) / extent  # [N, 2]
    shift = ((crops[:, :2] + crops[:, 2:]) - (boxes[:, :2] + boxes[:, 2:])) / extent
    theta = torch.zeros(len(boxes), 2, 3, device=embeddings.device)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale[:, 0], scale[:, 1], shift
    grid = F.affine_grid(theta, [len(boxes), 1, *size_hw], align_corners=False)
    planes = torch.cat([embeddings.float(), segmentations.float()[:, None]], 1)
    read = F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    body = (read[:, -1:] > BODY_THRESHOLD).float()
    return normalise(read[:, :-1]) * body, body


def normalise(embedding: Tensor) -> Tensor:
    """Embeddings [N, D, h, w] to a mean square of 1 over D: only their direction has a meaning."""
    square = (embedding * embedding).mean(1, keepdim=True)  # several times faster than F.normalize
    return embedding * torch.rsqrt(square + 1e-12)


def build_condition(crops: list[Crop], embeddings: Tensor, bodies: Tensor) -> Tensor:
    """The generator's input of several people, see `GeneratorNetwork`.

    Args:
        crops: N crops.
        embeddings: [N, D, h, w] float32, see `sample_surface`.
        bodies: [N, 1, h, w] float32.

    Returns:
        [N, D + 6, h, w] float32 on the device of the embeddings.
    """
    device = embeddings.device
    images = torch.from_numpy(np.stack([c.image for c in crops])).to(device).permute(0, 3, 1, 2)
    hidden = torch.from_numpy(np.stack([c.hidden for c in crops])).to(device)[:, None].float()
    padding = torch.from_numpy(np.stack([c.padding for c in crops])).to(device)[:, None].float()
    colours = (images.float() / 127.5 - 1) * (1 - hidden) * (1 - padding)
    return torch.cat([colours, hidden, embeddings, bodies, padding], 1)
