"""The nearest of many vertices for each embedded pixel."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 256


def nearest_vertices(embeddings: Tensor, vertices: Tensor) -> Tensor:
    """Index of the nearest vertex by Euclidean distance.

    |e - v|^2 = |e|^2 - 2 (e v - |v|^2 / 2), so the largest value of the bracket decides; pixels go in chunks whose
    products stay in the cache.

    Args:
        embeddings: [N, D] float32.
        vertices: [V, D] float32.

    Returns:
        [N] int64.
    """
    weights = torch.cat([vertices, -0.5 * vertices.square().sum(1, keepdim=True)], 1).T.contiguous()  # [D + 1, V]
    ones = embeddings.new_ones((len(embeddings), 1))
    chunks = torch.cat([embeddings, ones], 1).split(CHUNK)  # type: ignore[no-untyped-call]
    if not len(embeddings):
        return torch.zeros(0, dtype=torch.int64, device=embeddings.device)
    return torch.cat([(chunk @ weights).argmax(1) for chunk in chunks])
