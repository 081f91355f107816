"""Pictures as Detectron2's checkpoints expect them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from anonymize.core.types import UInt8Array

MIN_SIDE, MAX_SIDE = 800, 1333


def resized_hw(size_hw: tuple[int, int], shorter: int = MIN_SIDE, longer: int = MAX_SIDE) -> tuple[int, int]:
    """Size at which the shorter side is `shorter`, unless the longer one would exceed `longer`."""
    scale = shorter / min(size_hw)
    height, width = size_hw[0] * scale, size_hw[1] * scale
    if max(height, width) > longer:
        scale = longer / max(height, width)
        height, width = height * scale, width * scale
    return int(height + 0.5), int(width + 0.5)


def to_input(image: UInt8Array, size_hw: tuple[int, int]) -> Tensor:
    """[3, h, w] float32 BGR in [0, 255] of a picture [H, W, 3] uint8 RGB.

    Pillow's bilinear filter, which averages when it shrinks, is what the checkpoints were trained with.
    """
    pixels = np.asarray(Image.fromarray(image).resize((size_hw[1], size_hw[0]), Image.Resampling.BILINEAR))
    return torch.from_numpy(np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1))).float()
