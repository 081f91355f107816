"""OSNet (Zhou et al. 2019), with the names of parameters that Torchreid's checkpoints have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anonymize.core.errors import WeightsError
from anonymize.core.parameters import load_strictly, read_torch

STREAMS = "abcd"
"""The streams of a block see 3, 5, 7 and 9 pixels: one to four convolutions of 3 x 3."""
REDUCTION = 16  # of the gate's hidden layer


class Convolution(nn.Module):
    """Convolution and normalisation, and a rectifier unless `linear`."""

    def __init__(
        self, inputs: int, outputs: int, size: int = 1, stride: int = 1, *, instance: bool = False, linear: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.bn = nn.InstanceNorm2d(outputs, affine=True) if instance else nn.BatchNorm2d(outputs)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y if self.linear else F.relu(y)


class LightConvolution(nn.Module):
    """Pointwise, then depthwise 3 x 3 (section 3.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv2(self.conv1(x))))


class Gate(nn.Module):
    """Weighs the channels of a stream; all streams of a block share it (equation 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.fc2 = nn.Conv2d(channels // REDUCTION, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class Block(nn.Module):
    """Omni-scale residual block (figure 4)."""

    def __init__(self, inputs: int, outputs: int, *, instance: bool) -> None:
        super().__init__()
        middle = outputs // 4
        self.conv1 = Convolution(inputs, middle)
        for depth, stream in enumerate(STREAMS, 1):
            layers = [LightConvolution(middle) for _ in range(depth)]
            setattr(self, f"conv2{stream}", layers[0] if depth == 1 else nn.Sequential(*layers))
        self.gate = Gate(middle)
        self.conv3 = Convolution(middle, outputs, linear=True)
        self.downsample = Convolution(inputs, outputs, linear=True) if inputs != outputs else None
        self.IN = nn.InstanceNorm2d(outputs, affine=True) if instance else None

    def forward(self, x: Tensor) -> Tensor:
        small = self.conv1(x)
        streams = [self.gate(getattr(self, f"conv2{stream}")(small)) for stream in STREAMS]
        y = self.conv3(torch.stack(streams).sum(0)) + (x if self.downsample is None else self.downsample(x))
        return F.relu(y if self.IN is None else self.IN(y))


class OSNet(nn.Module):
    """OSNet without its classifier (table 1).

    Args:
        channels: Of the stem and the three stages.
        features: Length of a descriptor.
        instance: Whether stem and first stage are normalised by instance, as in OSNet-IBN.
    """

    def __init__(self, channels: tuple[int, int, int, int], features: int = 512, *, instance: bool = False) -> None:
        super().__init__()
        stem, first, second, third = channels
        self.conv1 = Convolution(3, stem, 7, 2, instance=instance)
        self.conv2 = self._stage(stem, first, instance=instance, shrink=True)
        self.conv3 = self._stage(first, second, instance=False, shrink=True)
        self.conv4 = self._stage(second, third, instance=False, shrink=False)
        self.conv5 = Convolution(third, third)
        self.fc = nn.Sequential(nn.Linear(third, features), nn.BatchNorm1d(features), nn.ReLU())

    @staticmethod
    def _stage(inputs: int, outputs: int, *, instance: bool, shrink: bool) -> nn.Sequential:
        blocks: list[nn.Module] = [Block(size, outputs, instance=instance) for size in (inputs, outputs)]
        if shrink:
            blocks.append(nn.Sequential(Convolution(outputs, outputs), nn.AvgPool2d(2, 2)))
        return nn.Sequential(*blocks)

    def forward(self, pictures: Tensor) -> Tensor:
        """Descriptors [N, features] of pictures [N, 3, 256, 128], normalised as for ImageNet."""
        x = F.max_pool2d(self.conv1(pictures), 3, 2, 1)
        x = self.conv5(self.conv4(self.conv3(self.conv2(x))))
        descriptors: Tensor = self.fc(x.mean((2, 3)))
        return descriptors


def load_osnet(path: Path) -> OSNet:
    """An OSNet or OSNet-IBN of any width from a checkpoint of Torchreid; nothing but numbers is read from it.

    Raises:
        WeightsError: The file is missing, damaged, unsafe to read, or of another network.
    """
    parameters = _parameters(path)
    widths = [parameters.get(f"{name}.weight") for name in ("conv1.conv", *_LAST_OF_STAGE, "fc.0")]
    if any(weight is None or weight.ndim < 2 or not len(weight) for weight in widths):
        raise WeightsError(f"{path} is no OSNet of Torchreid")
    *channels, features = (len(weight) for weight in widths if weight is not None)
    if any(width % 4 or width // 4 < REDUCTION for width in channels[1:]):
        raise WeightsError(f"{path} is no OSNet of Torchreid: its stages have {channels} channels")
    network = OSNet(
        (channels[0], channels[1], channels[2], channels[3]),
        features,
        instance="conv1.bn.running_mean" not in parameters,
    )
    load_strictly(network, parameters, path)
    return network.eval().requires_grad_(False)


def _parameters(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, without the classifier's."""
    content = read_torch(path, _harmless())
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    named = {str(name).removeprefix("module."): value for name, value in state.items()}
    return {n: v for n, v in named.items() if isinstance(v, Tensor) and not n.startswith("classifier.")}


_LAST_OF_STAGE = tuple(f"{stage}.1.conv3.conv" for stage in ("conv2", "conv3", "conv4"))


def _harmless() -> list[Any]:
    """What checkpoints of a training hold beside tensors: the rank reached, a number of numpy's."""
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    return [scalar, np.dtype, type(np.dtype(np.float64)), type(np.dtype(np.float32))]
