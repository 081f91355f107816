"""The colours a replacement begins with, before its decoder adds to them: the person's by parts, the place's around."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHARPNESS = 2.0  # of the borders between parts
VISIBLE_SHARE = 0.001  # of the picture, at which a part counts as half seen
BANDWIDTH = 0.35  # of the kernel of `Prior`, in standard deviations of people's z
AURA = 144  # in this share of the height round the body the made passes to the surroundings
RIM = 12  # in this share of the height, from its border inwards, the hidden part passes from surroundings to made


class SurfaceParts(nn.Module):
    """Divides the body into soft parts by its surface embedding alone.

    The same garment lies on the same parts in every pose, so colours carry over from one picture of a person to
    another by way of the parts (the idea of region-adaptive styles, Zhu et al. 2020, on a continuous surface).
    """

    def __init__(self, embedding: int, parts: int) -> None:
        super().__init__()
        self.anchors = nn.Parameter(SHARPNESS * torch.randn(parts, embedding, 1, 1))

    @torch.no_grad()
    def spread(self, surface: Tensor) -> None:
        """Lay the parts evenly over the surface.

        Args:
            surface: [L, D] unit vectors, the embedding of points all over the body.
        """
        chosen = [0]
        nearest = surface @ surface[0]
        while len(chosen) < len(self.anchors):
            chosen.append(int(nearest.argmin()))
            nearest = torch.maximum(nearest, surface @ surface[chosen[-1]])
        self.anchors.copy_(SHARPNESS * surface.shape[1] ** 0.5 * surface[chosen][:, :, None, None])

    def forward(self, embedding: Tensor, body: Tensor) -> Tensor:
        """Shares [B, parts, H, W] that sum to 1 on the body and are 0 elsewhere.

        Args:
            embedding: [B, D, H, W] of mean square 1 over D.
            body: [B, 1, H, W] of 0 and 1.
        """
        return F.conv2d(embedding, self.anchors.to(embedding.dtype)).softmax(1) * body

    def mean_colours(self, colours: Tensor, embedding: Tensor, seen: Tensor) -> Tensor:
        """Mean RGB of each part (0 if hidden) and how well it is seen, in [0, 1]: [B, parts, 4].

        Args:
            colours: [B, 3, H, W].
            embedding: [B, D, H, W].
            seen: [B, 1, H, W] of 0 and 1, where the body is seen.
        """
        shares = self(embedding, seen).flatten(2)
        area = shares.sum(2, keepdim=True)
        sums = shares @ colours.to(shares.dtype).flatten(2).transpose(1, 2)
        return torch.cat([sums / (area + 1e-3), area / (area + VISIBLE_SHARE * shares.shape[2])], 2)


def surroundings(colours: Tensor, known: Tensor) -> Tensor:
    """Fill what is unknown with the colours round it, the smoother the farther (pull-push, Gortler et al. 1996).

    Args:
        colours: [B, C, H, W].
        known: [B, 1, H, W] of 0 and 1.

    Returns:
        [B, C, H, W]: the colours where they are known.
    """
    levels = [(colours * known, known)]
    while max(known.shape[2:]) > 1:
        levels.append((_halve(levels[-1][0]), known := _halve(known)))
    filled, known = levels.pop()
    filled = filled / known.clamp(min=1e-4)
    for weighted, known in reversed(levels):
        filled = weighted + (1 - known) * F.interpolate(filled, weighted.shape[2:], mode="bilinear")
    return filled


def depth(hidden: Tensor) -> Tensor:
    """How deep in the hidden part a pixel lies: 0 at its border, 1 far inside, so that no halo shows round people.

    Args:
        hidden: [B, 1, H, W] of 0 and 1.

    Returns:
        [B, 1, H, W] in [0, 1], 0 where nothing is hidden.
    """
    mean = _mean(hidden, RIM)
    return ((2 * mean - 1).clamp(min=0) * hidden).to(hidden.dtype)


def around(body: Tensor) -> Tensor:
    """How near the body a pixel lies: 1 far inside, 0 away from it; what is made farther off would show as a halo.

    Args:
        body: [B, 1, H, W] of 0 and 1.

    Returns:
        [B, 1, H, W] in [0, 1].
    """
    return _mean(body, AURA).to(body.dtype)


def soften(planes: Tensor) -> Tensor:
    """Smooth edges of planes [B, C, H, W] that are 0 off the body, colours and opacity alike."""
    return F.avg_pool2d(planes, 3, 1, 1)


def _mean(plane: Tensor, share: int) -> Tensor:
    """Mean of a plane [B, 1, H, W] over squares that reach H / share to each side, float32."""
    cells = max(1, int(plane.shape[2]) // share)
    mean = F.avg_pool2d(plane.float(), (2 * cells + 1, 1), 1, (cells, 0), count_include_pad=False)
    return F.avg_pool2d(mean, (1, 2 * cells + 1), 1, (0, cells), count_include_pad=False)


def _halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True)


class Prior(nn.Module):
    """What z of people is like: a kernel density round those whom the appearance mapper has read last in the training.

    z read from pictures does not fill the standard normal distribution evenly; people drawn near read ones are as
    diverse as the training's (density estimated after the fact, Ghosh et al. 2020). One normal distribution for all
    would mix all people's colours into each one's clothes.

    Args:
        latent: Size of z.
        people: How many are kept; until `fit`, z is standard normal.
    """

    def __init__(self, latent: int, people: int) -> None:
        super().__init__()
        self.centers: Tensor
        self.factor: Tensor
        self.register_buffer("centers", torch.zeros(people, latent))
        self.register_buffer("factor", torch.eye(latent))

    def forward(self, noise: Tensor) -> Tensor:
        """Standard normal noise [B, latent] to z [B, latent]; the first number chooses the person it lies near."""
        place = torch.special.ndtr(noise[:, 0].float()) * len(self.centers)
        nearest = place.long().clamp(0, len(self.centers) - 1)
        rest = torch.special.ndtri((place - nearest).clamp(1e-3, 1 - 1e-3))  # standard normal, tells nothing of whom
        return self.centers[nearest] + torch.cat([rest[:, None].to(noise.dtype), noise[:, 1:]], 1) @ self.factor.T

    def fit(self, people: Tensor) -> None:
        """Take on people's z [people, latent]: their mean and covariance are those of what is drawn (West 1993)."""
        mean = people.mean(0)
        spread = people - mean
        jitter: Any = 1e-3 * torch.eye(people.shape[1], device=people.device)
        covariance = spread.T @ spread / len(people) + jitter
        self.centers.copy_(mean + (1 - BANDWIDTH**2) ** 0.5 * spread)
        self.factor.copy_(BANDWIDTH * torch.linalg.cholesky(covariance))
