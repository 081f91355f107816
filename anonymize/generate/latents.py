"""Latent codes: drawn from (seed, track), pulled toward the mean or toward a centre."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def draw_latent(seed: int, track: int, size: int) -> Tensor:
    """z of a track, [size] float32, standard normal; depends on nothing else and is the same on every machine."""
    rng = np.random.default_rng([abs(seed), track, 0])
    return torch.from_numpy(rng.standard_normal(size, dtype=np.float32))


def draw_noise(seed: int, track: int, sizes_hw: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The noise inputs of a track, [1, h, w] float32 each, standard normal."""
    rng = np.random.default_rng([abs(seed), track, 1])
    return [torch.from_numpy(rng.standard_normal((1, *size), dtype=np.float32)) for size in sizes_hw]


def truncate(w: Tensor, centers: Tensor, truncation: float) -> Tensor:
    """Pull w toward the nearest centre (Karras et al. 2019; with several centres Mokady et al. 2022).

    Args:
        w: [B, latent].
        centers: [K, latent]; the mean alone [1, latent] for plain truncation.
        truncation: t in [0, 1]; 1 leaves w as it is, 0 gives the centre.
    """
    if truncation == 1:
        return w
    nearest = centers[torch.cdist(w.float(), centers.float()).argmin(1)]
    return nearest + truncation * (w - nearest)


def cluster(w: Tensor, count: int, rounds: int = 30) -> Tensor:
    """Centres [count, latent] of w [N, latent] by k-means (Lloyd 1982); the first centres are spread by distance."""
    chosen = [int((w - w.mean(0)).square().sum(1).argmin())]
    nearest = (w - w[chosen[0]]).square().sum(1)
    while len(chosen) < min(count, len(w)):
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (w - w[chosen[-1]]).square().sum(1))
    centers = w[chosen + [chosen[0]] * (count - len(chosen))].clone()
    for _ in range(rounds):
        member = torch.cdist(w, centers).argmin(1)
        sums = torch.zeros_like(centers).index_add_(0, member, w)
        counts = torch.bincount(member, minlength=count)[:, None]
        centers = torch.where(counts > 0, sums / counts.clamp(min=1), centers)
    return centers
