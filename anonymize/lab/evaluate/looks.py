"""What people look like, in numbers: colour and perceptual features of each part of the body."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch.nn import functional as F

from anonymize.core.types import FloatArray
from anonymize.lab.evaluate.features import FeatureNetwork

PARTS = 24
MIN_SHARE = 0.0005
"""Of the crop: a part of the body that shows less is taken for unseen."""
STAGES = slice(1, 4)
"""Of the feature network's maps, strides 4 to 16, that the perceptual distance looks at."""


@dataclass(frozen=True, eq=False)
class Looks:
    """The looks of N people.

    Attributes:
        colours: [N, parts, 3] float64, mean CIE Lab of each part; NaN where unseen.
        features: [N, parts, C] float64, mean features of each part; NaN where unseen.
        whole: [N, C'] float64, mean features of the whole crop at the deepest stage, for the Frechet distance.
    """

    colours: FloatArray
    features: FloatArray
    whole: FloatArray

    def __getitem__(self, rows: np.ndarray) -> Looks:
        return Looks(self.colours[rows], self.features[rows], self.whole[rows])


class Observer:
    """Reads looks off pictures. Features are unit vectors at each place, as in LPIPS (Zhang et al. 2018)."""

    def __init__(self, network: FeatureNetwork) -> None:
        self._network = network

    @torch.inference_mode()
    def looks(self, people: Iterable[tuple[Tensor, np.ndarray]]) -> Looks:
        """Looks of people: picture [3, h, w] in [-1, 1] and body part of each pixel [h, w], 0 for none."""
        rows = [self._look(picture, parts) for picture, parts in people]
        return Looks(*(np.stack(column) for column in zip(*rows, strict=True)))

    def _look(self, picture: Tensor, parts: np.ndarray) -> tuple[FloatArray, FloatArray, FloatArray]:
        rgb = ((picture + 1) / 2).clamp(0, 1)
        lab = cv2.cvtColor(rgb.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2Lab)
        masks = F.one_hot(torch.from_numpy(parts.astype(np.int64)), PARTS + 1)[..., 1:].permute(2, 0, 1).float()
        unseen = (masks.mean((1, 2)) < MIN_SHARE).numpy()
        colours = _means(torch.from_numpy(lab).permute(2, 0, 1), masks)
        maps = [m[0] for m in self._network.maps(rgb[None])]
        features = np.concatenate([_means(F.normalize(m, dim=0), _shrink(masks, m)) for m in maps[STAGES]], 1)
        colours[unseen], features[unseen] = np.nan, np.nan
        return colours, features, maps[-1].mean((1, 2)).double().numpy()


def _shrink(masks: Tensor, like: Tensor) -> Tensor:
    """Masks [P, H, W] at the size of a map [C, h, w]: shares."""
    return F.adaptive_avg_pool2d(masks, (like.shape[1], like.shape[2]))


def _means(planes: Tensor, masks: Tensor) -> FloatArray:
    """Means [P, C] of planes [C, h, w] over masks [P, h, w]."""
    weights = masks.flatten(1).double()
    sums = weights @ planes.flatten(1).double().T
    means: FloatArray = (sums / weights.sum(1, keepdim=True).clamp(min=1e-9)).numpy()
    return means


def apart(first: FloatArray, second: FloatArray) -> FloatArray:
    """Mean distance over the parts that both show; [...] from [..., parts, C]. NaN if there are none."""
    distance = np.linalg.norm(first - second, axis=-1)
    seen = ~np.isnan(distance)
    total: FloatArray = np.where(seen, distance, 0).sum(-1) / np.where(seen.any(-1), seen.sum(-1), np.nan)
    return total


def frechet_distance(first: FloatArray, second: FloatArray) -> float:
    """Of two sets of features [N, C] taken for normal (Heusel et al. 2017, equation 6)."""
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    small = 1e-9 * np.eye(len(a))
    root = sqrtm((a + small) @ (b + small)).real
    return float(np.square(first.mean(0) - second.mean(0)).sum() + np.trace(a + b - 2 * root))
