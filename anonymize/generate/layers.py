"""Building blocks of StyleGAN2 (Karras et al. 2020), in a form that is fast on CPUs too.

Parameters are kept at unit variance and scaled when used (equalized learning rate, Karras et al. 2018). `fold` does the
scaling once and for all, for inference.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAK = 0.2
GAIN = math.sqrt(2 / (1 + LEAK**2))  # keeps the variance through `activate`


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU; the gain that keeps the variance lies in the layer before."""
    return F.leaky_relu(x, LEAK)


class Scaled(nn.Module):
    """A weight whose scale is applied when it is used.

    Args:
        shape: Of the weight; the first axis is the output's.
        gain: Standard deviation of the output over that of the input.
        rate: Factor on the learning rate.
    """

    def __init__(self, shape: tuple[int, ...], gain: float, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape) / rate)
        self.scale = gain * rate / math.sqrt(math.prod(shape[1:]))

    def scaled(self) -> Tensor:
        """The weight as it is applied."""
        return self.weight if self.scale == 1.0 else self.weight * self.scale

    @torch.no_grad()
    def fold(self) -> None:
        """Apply the scale for good; training is over."""
        self.weight.mul_(self.scale)
        self.scale = 1.0


class Linear(Scaled):
    """A linear layer [B, I] to [B, O].

    Args:
        inputs, outputs: Sizes.
        gain: See `Scaled`.
        rate: See `Scaled`; holds for the bias too.
        bias: Initial value of the bias.
    """

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__((outputs, inputs), gain, rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.rate == 1.0 else self.bias * self.rate
        return F.linear(x, self.scaled(), bias)

    @torch.no_grad()
    def fold(self) -> None:
        super().fold()
        self.bias.mul_(self.rate)
        self.rate = 1.0


class Convolution(Scaled):
    """A convolution [B, I, H, W] to [B, O, H / stride, W / stride] with bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, gain: float = GAIN) -> None:
        super().__init__((outputs, inputs, kernel, kernel), gain)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride, self.padding = stride, kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.scaled(), self.bias, self.stride, self.padding)


class ModulatedConvolution(Scaled):
    """Convolution whose weights are scaled per input channel by a style and normalised again (StyleGAN2, 2.2).

    The input is modulated and the output demodulated instead of each sample's weights: the same result, as a
    convolution is linear, but with one dense convolution for the whole batch.

    Args:
        inputs, outputs: Channels.
        latent: Size of w.
        kernel: Side of the kernel.
        demodulate: Normalise; off for the layers that make colours.
        noise: Add noise with a learnt strength (StyleGAN, 3.2).
    """

    def __init__(
        self, inputs: int, outputs: int, latent: int, kernel: int = 3, *, demodulate: bool = True, noise: bool = True
    ) -> None:
        # Without the normalisation the colours of all levels add up: small, or the first pictures are out of range.
        super().__init__((outputs, inputs, kernel, kernel), 1.0 if demodulate else 0.25)
        self.style = Linear(latent, inputs, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.zeros(())) if noise else None
        self.demodulate, self.padding = demodulate, kernel // 2
        self._energy: Tensor | None = None

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """Convolve.

        Args:
            x: [B, I, H, W].
            w: [B, latent].
            noise: [B, 1, H, W], standard normal; None for none.
        """
        style = self.style(w).float()  # [B, I]
        weight = self.scaled()
        x = F.conv2d(x * style.to(x.dtype)[:, :, None, None], weight, padding=self.padding)
        if self.demodulate:
            energy = weight.float().square().sum((2, 3)) if self._energy is None else self._energy  # [O, I]
            with torch.autocast(x.device.type, enabled=False):
                norm = torch.rsqrt(style.square() @ energy.T + 1e-8)  # [B, O]
            x = x * (GAIN * norm).to(x.dtype)[:, :, None, None]
        if noise is not None and self.strength is not None:
            x = x + (noise * self.strength).to(x.dtype)
        return x + self.bias.to(x.dtype)[:, None, None]

    @torch.no_grad()
    def fold(self) -> None:
        super().fold()
        self._energy = self.weight.float().square().sum((2, 3))


def upsample(x: Tensor) -> Tensor:
    """Twice the height and width, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def spread_within_batch(x: Tensor, group: int = 4) -> Tensor:
    """Append a channel with the standard deviation over groups of the batch (Karras et al. 2018, section 3).

    Args:
        x: [B, C, H, W].
        group: Samples compared with each other; less where B is not divisible by it.
    """
    batch, _, height, width = x.shape
    size = math.gcd(group, batch)
    y = x.float().view(size, batch // size, *x.shape[1:])
    spread = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))  # [B / size]
    return torch.cat([x, spread.to(x.dtype).repeat(size)[:, None, None, None].expand(-1, 1, height, width)], 1)
