"""The size at which surface predictions (CSE) are kept."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from anonymize.core.types import Detections
from anonymize.track.config import TrackerConfig


def shrink(planes: Tensor, cells: int = TrackerConfig.max_surface_cells) -> Tensor:
    """Square planes [..., S, S] by means of their cells, at most so many along a side."""
    size = planes.shape[-1]
    if size <= cells:
        return planes
    if size != 2 * cells:
        return F.adaptive_avg_pool2d(planes, cells)
    rows = planes[..., ::2, :] + planes[..., 1::2, :]  # a tenth of the time that the pooling takes on CPUs
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def shrink_surfaces(found: Detections, cells: int) -> Detections:
    """Detections with surface predictions of at most so many cells along a side."""
    if found.embeddings is None or found.segmentations is None or found.embeddings.shape[-1] <= cells:
        return found
    return replace(found, embeddings=shrink(found.embeddings, cells), segmentations=shrink(found.segmentations, cells))
