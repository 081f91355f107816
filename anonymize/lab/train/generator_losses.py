"""What the generator and its discriminator are trained by (thesis 4.5 to 4.8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anonymize.detect.network import DetectorNetwork

PERCEPTUAL_STAGES = 3
"""Maps of the detector's backbone that `PerceptualDistance` compares: strides 4 to 16."""


@contextmanager
def locked(module: nn.Module) -> Iterator[nn.Module]:
    """The module with its parameters out of reach of gradients, which still flow through it to its inputs."""
    trainable = [p for p in module.parameters() if p.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield module
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def generator_loss(scores: Tensor) -> Tensor:
    """Non-saturating loss of made pictures' scores [B] (Goodfellow et al. 2014)."""
    return F.softplus(-scores).mean()


def discriminator_loss(real: Tensor, made: Tensor) -> Tensor:
    """Logistic loss of the scores of real [B] and made [B'] pictures."""
    return F.softplus(-real).mean() + F.softplus(made).mean()


def epsilon_penalty(real: Tensor) -> Tensor:
    """Keeps the scores of real pictures [B] from drifting away (Karras et al. 2018, appendix A)."""
    return real.square().mean()


def gradient_penalty(pictures: Tensor, scores: Tensor) -> Tensor:
    """R1: mean squared gradient of the scores [B] at real pictures [B, 3, H, W] (Mescheder et al. 2018)."""
    (gradient,) = torch.autograd.grad(scores.sum(), pictures, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of normal distributions [B, J] from the standard normal, mean over B (thesis, equation 4.5)."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()


def feature_distances(real: Sequence[Tensor], made: Sequence[Tensor], *, normalised: bool) -> Tensor:
    """Mean absolute difference of feature maps, per resolution and sample (thesis, equation 4.2).

    Args:
        real: Maps [B, C, h, w] of the real pictures, the finest first.
        made: The same of the made ones.
        normalised: Divide each channel of both by their common deviation first, so that the loss does not grow with
            the discriminator's features (thesis 4.8).

    Returns:
        [resolutions, B].
    """
    rows = []
    for a, b in zip(real, made, strict=True):
        a, b = a.detach().float(), b.float()
        if normalised:
            both = torch.cat([a, b.detach()])
            deviation = both.std((0, 2, 3), unbiased=False, keepdim=True) + 1e-3
            a, b = a / deviation, b / deviation
        rows.append((a - b).abs().mean((1, 2, 3)))
    return torch.stack(rows)


def colour_distance(made: Tensor, real: Tensor, hidden: Tensor, scales: int = 4) -> Tensor:
    """Mean absolute difference of colours where the picture was hidden, at several sizes; 0-dimensional.

    The thesis has feature matching alone; features of a young discriminator tell little of colours.

    Args:
        made, real: [B, 3, H, W].
        hidden: [B, 1, H, W] of 0 and 1.
        scales: Sizes looked at, each half of the one before.
    """
    difference, distances = (made - real) * hidden, []
    for _ in range(scales):
        distances.append(difference.abs().sum() / (3 * hidden.sum()).clamp(min=1e-6))
        if min(difference.shape[2:]) < 2:
            break
        difference, hidden = F.avg_pool2d(difference, 2), F.avg_pool2d(hidden, 2)
    return torch.stack(distances).mean()


class PerceptualDistance(nn.Module):
    """Distance of pictures in the features of the detector's backbone where they were hidden (Johnson et al. 2016).

    Features are unit vectors at each place, as in LPIPS (Zhang et al. 2018). The thesis has the discriminator's
    features alone (4.6.1), which tell little of people until it has seen millions of pictures; these know their
    outlines, limbs and faces from the first step on.

    Args:
        detector: Its parameters are not trained.
    """

    def __init__(self, detector: DetectorNetwork) -> None:
        super().__init__()
        self.detector = detector.eval().requires_grad_(False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Maps [B, C, h, w] of unit vectors of pictures [B, 3, H, W] in [-1, 1], the finest first."""
        maps = self.detector.backbone((pictures + 1) / 2)[:PERCEPTUAL_STAGES]
        return [F.normalize(m.float(), dim=1) for m in maps]

    def forward(self, made: Tensor, real: Tensor, hidden: Tensor) -> Tensor:
        """Mean squared distance over the hidden part, averaged over the maps; in [0, 4], 0-dimensional.

        Args:
            made, real: [B, 3, H, W] in [-1, 1].
            hidden: [B, 1, H, W] of 0 and 1.
        """
        with torch.no_grad():
            wanted = self.features(real)
        distances = []
        for a, b in zip(wanted, self.features(made), strict=True):
            weight = F.adaptive_avg_pool2d(hidden, (a.shape[2], a.shape[3]))
            distances.append(((a - b).square().sum(1, keepdim=True) * weight).sum() / weight.sum().clamp(min=1e-6))
        return torch.stack(distances).mean()


@dataclass(frozen=True, eq=False)
class Augmentation:
    """Changes that the discriminator sees on real and made pictures alike (DiffAugment, Zhao et al. 2020).

    One draw holds for one batch: picture and condition move together, colours change in both.

    Attributes:
        brightness, saturation, contrast: [B] factors.
        shift: [B, 2] share of height and width.
        hole: [B, 4] top, left, height, width, shares of the picture; cut out.
    """

    brightness: Tensor
    saturation: Tensor
    contrast: Tensor
    shift: Tensor
    hole: Tensor

    @classmethod
    def draw(cls, count: int, device: torch.device, strength: float = 1.0) -> Augmentation:
        """Random changes for a batch; `strength` 0 for none."""

        def uniform(*shape: int) -> Tensor:
            return (torch.rand(count, *shape, device=device) - 0.5) * strength

        corner = torch.rand(count, 2, device=device)
        size = torch.full((count, 2), 0.35 * strength, device=device) * (torch.rand(count, 1, device=device) < 0.5)
        return cls(uniform(), 1 + 2 * uniform(), 1 + uniform(), uniform(2) / 4, torch.cat([corner, size], 1))

    def first(self, count: int) -> Augmentation:
        """The changes of the first samples."""
        fields = (self.brightness, self.saturation, self.contrast, self.shift, self.hole)
        return Augmentation(*(f[:count] for f in fields))

    def colours(self, pictures: Tensor) -> Tensor:
        """Change brightness, saturation and contrast of [B, 3, H, W]."""
        shape = (-1, 1, 1, 1)
        x = pictures + self.brightness.view(shape)
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * self.saturation.view(shape)
        middle = x.mean((1, 2, 3), keepdim=True)
        return middle + (x - middle) * self.contrast.view(shape)

    def move(self, planes: Tensor) -> Tensor:
        """Shift by whole pixels, fill with 0, and cut a hole into [B, C, H, W]."""
        height, width = planes.shape[-2:]
        rows = torch.arange(height, device=planes.device)
        columns = torch.arange(width, device=planes.device)
        y = rows + (self.shift[:, :1] * height).round().long()  # [B, H]
        x = columns + (self.shift[:, 1:] * width).round().long()  # [B, W]
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
        top, left, tall, wide = (self.hole[:, i : i + 1] for i in range(4))
        in_rows = (rows >= top * height) & (rows < (top + tall) * height)
        in_columns = (columns >= left * width) & (columns < (left + wide) * width)
        seen = inside & ~(in_rows[:, :, None] & in_columns[:, None, :])
        batch = torch.arange(len(planes), device=planes.device)[:, None, None]
        moved = planes.permute(0, 2, 3, 1)[batch, y.clamp(0, height - 1)[:, :, None], x.clamp(0, width - 1)[:, None, :]]
        return moved.permute(0, 3, 1, 2) * seen[:, None].to(planes.dtype)

    def __call__(self, pictures: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """Change pictures [B, 3, H, W] and what the discriminator is told [B, 3 + ..., H, W], colours first."""
        moved = self.move(torch.cat([self.colours(pictures), self.colours(told[:, :3]), told[:, 3:]], 1))
        return moved[:, :3], moved[:, 3:]
