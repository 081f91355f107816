"""What an anonymizer does to the background, and how unsteady its people are from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from anonymize.core.errors import BackendError
from anonymize.core.types import BoolArray, FloatArray, UInt8Array

CONSISTENT_PX = 1.5
"""Flow that leads forth and back to within so many pixels is believed; elsewhere something is hidden or uncovered."""


@dataclass(slots=True)
class Mean:
    """A mean that grows."""

    total: float = 0.0
    count: int = 0

    def add(self, total: float, count: int = 1) -> None:
        """Add a sum of so many values."""
        self.total += total
        self.count += count

    @property
    def value(self) -> float | None:
        """The mean; None of nothing."""
        return self.total / self.count if self.count else None


def structural_similarity(first: UInt8Array, second: UInt8Array) -> FloatArray:
    """SSIM (Wang et al. 2004) of the luma round each pixel, [H, W] float32, by torchmetrics.

    Args:
        first: [H, W, 3] uint8 RGB.
        second: [H, W, 3] uint8 RGB.

    Raises:
        BackendError: torchmetrics is not installed.
    """
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure as measure
    except ImportError as error:
        raise BackendError(f"{error}; install the extra: pip install 'anonymize[eval]'") from error
    lumas = [torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)).float()[None, None] for image in (first, second)]
    _, values = measure(lumas[0], lumas[1], data_range=255.0, return_full_image=True)
    similarity: FloatArray = values[0, 0].numpy().astype(np.float32)
    return similarity


@dataclass(frozen=True, eq=False)
class Motion:
    """Where each pixel of a frame was in the one before.

    Attributes:
        x, y: [H, W] float32, column and row in the frame before.
        known: [H, W] bool, whether that can be told.
    """

    x: FloatArray
    y: FloatArray
    known: BoolArray

    @classmethod
    def between(cls, before: UInt8Array, after: UInt8Array) -> Motion:
        """By dense inverse search (Kroeger et al. 2016), in both directions.

        Args:
            before: [H, W, 3] uint8 RGB.
            after: The next frame.
        """
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        first, second = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before, after))
        back = np.asarray(flow.calc(second, first, None), np.float32)
        forth = np.asarray(flow.calc(first, second, None), np.float32)
        height, width = first.shape
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        x, y = columns + back[..., 0], rows + back[..., 1]
        returned = np.asarray(cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
        error = np.linalg.norm(back + returned, axis=2)
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        return cls(x, y, inside & (error <= CONSISTENT_PX))

    def warping_error(self, before: UInt8Array, after: UInt8Array, where: BoolArray) -> tuple[float, int]:
        """Sum of squared differences between a frame and the one before, moved to it (Lai et al. 2018, equation 3).

        Args:
            before: [H, W, 3] uint8 RGB.
            after: The next frame.
            where: [H, W] bool, the pixels to look at.

        Returns:
            The sum, of values in [0, 1], and the number of values.
        """
        chosen = where & self.known
        moved = cv2.remap(before, self.x, self.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        difference = (after[chosen].astype(np.float32) - np.asarray(moved)[chosen]) / 255
        return float(np.square(difference).sum()), difference.size
