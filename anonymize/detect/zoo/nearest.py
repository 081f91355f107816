"""The nearest of many vertices for each embedded pixel, exactly."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 512
CLUSTERS = 192
ROUNDS = 4
SLACK = 1e-4  # rounding of the bounds must not lose the nearest


class VertexIndex:
    """Finds the nearest vertex by Euclidean distance without looking at most of them.

    Vertices are grouped once by k-means. A group is looked at only for the pixels for which its centre, less the
    group's radius, is nearer than the best vertex found so far (triangle inequality; Fukunaga and Narendra 1975):
    embeddings lie near a surface, so a few groups are left. On other devices than CPUs the full product is faster and
    is taken.

    Args:
        vertices: [V, D] float32.
    """

    def __init__(self, vertices: Tensor) -> None:
        self._vertices = vertices.float()
        norms = self._vertices.norm(dim=1)
        self._norm = float(norms.mean()) if float(norms.max() - norms.min()) < SLACK else None
        if vertices.device.type == "cpu" and len(vertices):
            self._group(min(CLUSTERS, len(vertices)))

    def _group(self, count: int) -> None:
        vertices = self._vertices
        centres = vertices[torch.linspace(0, len(vertices) - 1, count).long()].clone()
        for _ in range(ROUNDS):
            group = _nearest_of_all(vertices, centres)
            sums = torch.zeros_like(centres).index_add_(0, group, vertices)
            sizes = torch.bincount(group, minlength=count)
            centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
        group = _nearest_of_all(vertices, centres)
        away = (vertices - centres[group]).norm(dim=1)
        self._centres = centres
        self._radii = torch.zeros(count).scatter_reduce_(0, group, away, "amax")
        order = group.argsort(stable=True)
        self._members = order.split(torch.bincount(group, minlength=count).tolist())  # type: ignore[no-untyped-call]
        self._groups = [_with_half_square(vertices[members]).T.contiguous() for members in self._members]

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Index of the nearest vertex, [N] int64, of embeddings [N, D]."""
        pixels = embeddings.float()
        if self._norm is not None:  # all vertices on one sphere: only the direction of a pixel decides
            pixels = F.normalize(pixels, dim=1) * self._norm
        if not len(pixels) or pixels.device.type != "cpu":
            return _nearest_of_all(pixels, self._vertices)
        return torch.cat([self._nearest(chunk) for chunk in pixels.split(16 * CHUNK)])  # type: ignore[no-untyped-call]

    def _nearest(self, pixels: Tensor) -> Tensor:
        squares = pixels.square().sum(1)
        ones = torch.cat([pixels, pixels.new_ones((len(pixels), 1))], 1)
        apart = torch.cdist(pixels, self._centres)  # [N, groups]
        best = torch.full_like(squares, float("inf"))  # squared distance
        index = torch.zeros(len(pixels), dtype=torch.int64)
        first = apart.argmin(1)
        order = first.argsort(stable=True)
        counts = torch.bincount(first, minlength=len(self._groups)).tolist()
        for group, rows in enumerate(order.split(counts)):  # type: ignore[no-untyped-call]
            self._look(group, rows, ones, squares, best, index)
        reach = best.clamp(min=0).sqrt() + SLACK
        near = (apart - self._radii < reach[:, None]).scatter_(1, first[:, None], value=False)
        for group, column in enumerate(near.T.contiguous()):
            self._look(group, column.nonzero()[:, 0], ones, squares, best, index)
        return index

    def _look(self, group: int, rows: Tensor, ones: Tensor, squares: Tensor, best: Tensor, index: Tensor) -> None:
        """Update the best vertex of some pixels by those of a group."""
        if not len(rows) or not len(self._members[group]):
            return
        value, place = (ones[rows] @ self._groups[group]).max(1)
        distance = squares[rows] - 2 * value
        closer = distance < best[rows]
        chosen = rows[closer]
        best[chosen] = distance[closer]
        index[chosen] = self._members[group][place[closer]]


def _with_half_square(vertices: Tensor) -> Tensor:
    """|e - v|^2 = |e|^2 - 2 (e v - |v|^2 / 2): [V, D + 1], whose product with (e, 1) is the bracket."""
    return torch.cat([vertices, -0.5 * vertices.square().sum(1, keepdim=True)], 1)


def _nearest_of_all(pixels: Tensor, vertices: Tensor) -> Tensor:
    """By the full product, in chunks that stay in the cache."""
    weights = _with_half_square(vertices).T.contiguous()
    ones = torch.cat([pixels, pixels.new_ones((len(pixels), 1))], 1)
    if not len(pixels):
        return torch.zeros(0, dtype=torch.int64, device=pixels.device)
    return torch.cat([(chunk @ weights).argmax(1) for chunk in ones.split(CHUNK)])  # type: ignore[no-untyped-call]
