"""DeepPrivacy2's full-body generator: a U-Net with StyleGAN2's resampling, whose decoder is modulated by w.

Written from the names and shapes of its checkpoints and from the papers: Karras et al. 2018 (equalized learning rate),
2019 (mapping, truncation), 2020 (residual blocks, resampling); Hukkelås and Lindseth 2023. Modules bear the names of
the checkpoint's parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anonymize.core.errors import WeightsError
from anonymize.generate.layers import LEAK, Linear, Scaled

SURFACE = "smpl_27554"
SIZE_HW = (288, 160)
CLAMP = 256.0
"""Bound of the activations, which keeps half precision in range (Karras et al. 2020b)."""
MAPPING_RATE = 0.01
ACTIVATION_GAIN = math.sqrt(2)
"""Of every leaky ReLU, rather than the exact one: the checkpoints were trained with it."""

Resampling = Literal["none", "up", "down"]


@dataclass(frozen=True)
class ZooGeneratorConfig:
    """What a checkpoint's layout implies.

    Attributes:
        channels: Of each level, the finest first.
        embedding: Dimensions of the surface embedding; 0 for the generator without CSE.
        latent: Size of z and w.
        size_hw: Size of a crop; each side divisible by 2 ** (levels - 1).
    """

    channels: tuple[int, ...] = (64, 128, 256, 512, 512, 512)
    embedding: int = 16
    latent: int = 512
    size_hw: tuple[int, int] = SIZE_HW

    @property
    def condition_channels(self) -> int:
        """Masked RGB, mask and, if there is one, the embedding and its mask."""
        return 4 + (self.embedding + 1 if self.embedding else 0)

    @property
    def surface(self) -> str | None:
        """Name of the body surface that the embedding refers to; None without one."""
        return SURFACE if self.embedding else None

    @property
    def early(self) -> bool:
        """The generator without CSE was trained with activated shortcuts, which the other one has corrected."""
        return not self.embedding

    @classmethod
    def of(cls, parameters: Mapping[str, Tensor]) -> ZooGeneratorConfig:
        """Read the configuration off the names and shapes.

        Raises:
            WeightsError: It is none that is known.
        """
        first, mapping = parameters.get("from_rgb.weight"), parameters.get("style_net.fc0.weight")
        widths: list[int] = []
        while (weight := parameters.get(f"encoder.{len(widths)}.conv0.weight")) is not None and weight.ndim == 4:
            widths.append(weight.shape[1])
        if first is None or mapping is None or first.ndim != 4 or mapping.ndim != 2 or len(widths) < 2:
            raise WeightsError("the checkpoint is no generator of the kind StyleGAN U-Net")
        inputs = first.shape[1]
        if inputs != 4 and inputs < 6:
            raise WeightsError(f"the checkpoint's generator has {inputs} input channels; known are 4 and 21")
        return cls(tuple(widths), max(0, inputs - 5), mapping.shape[1])


class Convolution(Scaled):
    """Modulate, convolve and resample, normalise, activate; each but the convolution only where asked for.

    Args:
        inputs, outputs: Channels.
        kernel: Side of the kernel.
        resampling: "down" filters and halves height and width, "up" doubles them and filters.
        gain: Factor on the result and on its bound.
        bias: Add one.
        active: Leaky ReLU with a gain of sqrt 2.
        clamp: Bound of the result for a gain of 1; None for none.
        norm: Instance normalization.
        latent: Size of w, which modulates the input by a scale and a shift per channel; None for no modulation.
    """

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        resampling: Resampling = "none",
        gain: float = 1.0,
        bias: bool = True,
        active: bool = True,
        clamp: float | None = None,
        norm: bool = False,
        latent: int | None = None,
    ) -> None:
        super().__init__((outputs, inputs, kernel, kernel), 1.0)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.resampling, self.norm, self.active, self.pad = resampling, norm, active, kernel // 2
        self.gain = gain * (ACTIVATION_GAIN if active else 1.0)
        self.bound = None if clamp is None else clamp * gain
        self.affine = None if latent is None else Linear(latent, inputs, bias=1.0)
        self.affine_beta = None if latent is None else Linear(latent, inputs)
        if resampling != "none":
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
            self.register_buffer("resample_filter", torch.outer(taps, taps))

    def forward(self, x: Tensor, w: Tensor | None = None) -> Tensor:
        """Convolve.

        Args:
            x: [B, inputs, H, W].
            w: [B, latent] where modulated.
        """
        if self.affine is not None and self.affine_beta is not None:
            x = torch.addcmul(self.affine_beta(w)[:, :, None, None], x, self.affine(w)[:, :, None, None])
        x = self._convolve(x, self.scaled())
        if self.norm:
            x = F.instance_norm(x)
        if self.bias is not None:
            x = x + self.bias[:, None, None]
        if self.active:
            x = F.leaky_relu(x, LEAK)
        x = x * self.gain
        return x if self.bound is None else x.clamp(-self.bound, self.bound)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.resampling == "none":
            return F.conv2d(x, weight, padding=self.pad)
        if self.resampling == "down":
            if self.pad == 0:  # a point-wise convolution does not mind what it is left out of
                return F.conv2d(self._filter(x, 1, stride=2), weight)
            return F.conv2d(self._filter(x, 2), weight, stride=2)
        if self.pad == 0:
            x = F.conv2d(x, weight)
            kernel = 4 * self.resample_filter.expand(x.shape[1], 1, -1, -1)
            return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])
        return 4 * self._filter(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1)

    def _filter(self, x: Tensor, padding: int, stride: int = 1) -> Tensor:
        kernel = self.resample_filter.expand(x.shape[1], 1, -1, -1)
        return F.conv2d(x, kernel, stride=stride, padding=padding, groups=x.shape[1])


class Block(nn.Module):
    """Two convolutions beside a shortcut; the first halves the size, or the second doubles it.

    Args:
        inputs, outputs: Channels.
        resampling: See `Convolution`.
        gain: Factor on both branches.
        early: The shortcut is activated, see `ZooGeneratorConfig`.
        latent: Size of w; modulates and normalises the convolutions. None for neither.
    """

    def __init__(
        self, inputs: int, outputs: int, resampling: Resampling, gain: float, *, early: bool, latent: int | None = None
    ) -> None:
        super().__init__()
        down: Resampling = "down" if resampling == "down" else "none"
        up: Resampling = "up" if resampling == "up" else "none"
        norm = latent is not None
        self.conv0 = Convolution(inputs, outputs, resampling=down, clamp=CLAMP, norm=norm, latent=latent)
        self.conv1 = Convolution(outputs, outputs, resampling=up, gain=gain, clamp=CLAMP, norm=norm, latent=latent)
        self.skip = Convolution(inputs, outputs, 1, resampling=resampling, gain=gain, bias=False, active=early)

    def forward(self, x: Tensor, w: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H', W']; w is [B, latent]."""
        total: Tensor = self.conv1(self.conv0(x, w), w) + self.skip(x)
        return total


class StyleNet(nn.Module):
    """z to w: normalised, two layers that learn slowly (Karras et al. 2019)."""

    w_avg: Tensor
    w_centers: Tensor | None

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.fc0 = Linear(latent, latent, rate=MAPPING_RATE)
        self.fc1 = Linear(latent, latent, rate=MAPPING_RATE)
        self.register_buffer("w_avg", torch.zeros(latent))
        self.register_buffer("w_centers", None, persistent=False)

    def centers(self) -> Tensor:
        """What w is pulled toward, [K, latent]: the centres of w (Mokady et al. 2022), or the mean alone."""
        return self.w_avg[None] if self.w_centers is None else self.w_centers

    def forward(self, z: Tensor) -> Tensor:
        """Map.

        Args:
            z: [B, latent], any length but 0.

        Returns:
            w [B, latent].
        """
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in (self.fc0, self.fc1):
            x = F.leaky_relu(layer(x), LEAK) * ACTIVATION_GAIN
        return x


class ZooGeneratorNetwork(nn.Module):
    """The generator: condition and w in, picture out.

    The condition [B, condition channels, H, W] float32 is, in this order:
        0 to 2: RGB in [-1, 1], 0 where unknown, -1 outside of the frame.
        3: 1 where the picture is known, 0 where it has to be made.
        4 to 3 + D: the vertices' embeddings, of length 1, 0 where there is no body; with CSE only.
        4 + D: 1 on the body; with CSE only.

    Args:
        config: See `ZooGeneratorConfig`.
    """

    def __init__(self, config: ZooGeneratorConfig) -> None:
        super().__init__()
        self.config = config
        widths, latent, early = config.channels, config.latent, config.early
        last = len(widths) - 1
        self.style_net = StyleNet(latent)
        self.from_rgb = Convolution(config.condition_channels, widths[0], 1)
        steps = list(pairwise([*widths, widths[-1]]))
        self.encoder = nn.ModuleList(
            Block(a, b, "down" if level else "none", math.sqrt(1 / 2), early=early)
            for level, (a, b) in enumerate(steps)
        )
        self.decoder = nn.ModuleList(
            Block(b, a, "up" if level else "none", math.sqrt(1 / 3), early=early, latent=latent)
            for level, (a, b) in reversed(list(enumerate(steps)))
        )
        for number in range(1, last + 1):
            width = widths[last - number + 1]
            gain = math.sqrt(1 / 2) if early else math.sqrt(1 / 3)
            self.add_module(f"unet_block{number}", Convolution(width, width, 1, gain=gain, clamp=CLAMP, norm=True))
        self.to_rgb = Convolution(widths[0], 3, 1, active=False, clamp=CLAMP)

    def encode(self, condition: Tensor) -> list[Tensor]:
        """Feature maps after each level of the encoder, the finest first."""
        x, maps = self.from_rgb(condition), []
        for block in self.encoder:
            x = block(x)
            maps.append(x)
        return maps

    def decode(self, maps: list[Tensor], w: Tensor) -> Tensor:
        """Colours [B, 3, H, W] from encoded conditions and w [B, latent]."""
        x: Tensor = self.decoder[0](maps[-1], w)
        for number, block in enumerate(self.decoder[1:], start=1):
            x = block(x + self.get_submodule(f"unet_block{number}")(maps[-1 - number]), w)
        colours: Tensor = self.to_rgb(x)
        return colours

    def forward(self, condition: Tensor, w: Tensor) -> Tensor:
        """The picture with the unknown part made.

        Args:
            condition: See the class.
            w: [B, latent].

        Returns:
            [B, 3, H, W], about [-1, 1]; the condition's own colours where they are known. In the condition's precision,
            whatever that of the weights.
        """
        known, precision = condition[:, 3:4], self.from_rgb.weight.dtype
        made = self.decode(self.encode(condition.to(precision)), w.to(precision))
        return condition[:, :3] * known + made.to(condition.dtype) * (1 - known)

    def fold(self) -> ZooGeneratorNetwork:
        """Apply the scales of all weights for good, for inference."""
        for module in self.modules():
            if isinstance(module, Scaled):
                module.fold()
        return self
