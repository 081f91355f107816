"""ResNet (He et al. 2016; Xie et al. 2017) with a feature pyramid (Lin et al. 2017), named as in Detectron2's files."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d

LEVELS = (2, 3, 4, 5)
CHANNELS = 256
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class NormedConv(nn.Conv2d):
    """Convolution with its frozen normalization, which `fold` works into the weights."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm: nn.Module = FrozenBatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))  # type: ignore[no-any-return]

    @torch.no_grad()
    def fold(self) -> None:
        """Weights that include the normalization; it becomes the identity."""
        norm: Any = self.norm
        if isinstance(norm, nn.Identity):
            return
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        self.weight = nn.Parameter(self.weight * scale[:, None, None, None], requires_grad=False)
        self.bias = nn.Parameter(norm.bias - norm.running_mean * scale, requires_grad=False)
        self.norm = nn.Identity()


class Bottleneck(nn.Module):
    """Residual block of three convolutions; the stride lies in the first of them or in the second."""

    def __init__(self, inputs: int, width: int, outputs: int, *, stride: int, groups: int, stride_first: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_first else (1, stride)
        self.shortcut = NormedConv(inputs, outputs, 1, stride=stride) if inputs != outputs else None
        self.conv1 = NormedConv(inputs, width, 1, stride=first)
        self.conv2 = NormedConv(width, width, 3, stride=second, groups=groups)
        self.conv3 = NormedConv(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu_(self.conv1(x))
        y = F.relu_(self.conv2(y))
        return F.relu_(self.conv3(y) + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nn.Module):
    """Maps of strides 4, 8, 16, 32."""

    def __init__(self, depth: int, *, groups: int = 1, width: int = 64, stride_first: bool = True) -> None:
        super().__init__()
        self.stem = nn.ModuleDict({"conv1": NormedConv(3, 64, 7, stride=2)})
        inputs, outputs = 64, 256
        for level, blocks in zip(LEVELS, DEPTHS[depth], strict=True):
            stage = []
            for block in range(blocks):
                stride = 2 if block == 0 and level > 2 else 1
                stage.append(
                    Bottleneck(inputs, width, outputs, stride=stride, groups=groups, stride_first=stride_first)
                )
                inputs = outputs
            setattr(self, f"res{level}", nn.Sequential(*stage))
            width, outputs = 2 * width, 2 * outputs

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(F.relu_(self.stem["conv1"](x)), 3, 2, 1)
        maps = []
        for level in LEVELS:
            x = getattr(self, f"res{level}")(x)
            maps.append(x)
        return maps


class Pyramid(nn.Module):
    """Maps p2 to p6, 256 channels each, strides 4 to 64."""

    def __init__(self, bottom_up: ResNet) -> None:
        super().__init__()
        self.bottom_up = bottom_up
        for level in LEVELS:
            setattr(self, f"fpn_lateral{level}", nn.Conv2d(64 << level, CHANNELS, 1))
            setattr(self, f"fpn_output{level}", nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        above = None
        for level, below in zip(reversed(LEVELS), reversed(self.bottom_up(x)), strict=True):
            merged = getattr(self, f"fpn_lateral{level}")(below)
            if above is not None:
                merged = merged + F.interpolate(above, scale_factor=2.0, mode="nearest")
            above = merged
            maps.insert(0, getattr(self, f"fpn_output{level}")(merged))
        return [*maps, F.max_pool2d(maps[-1], 1, 2)]
