"""A z-buffer rasterizer in plain torch: no loop over triangles or pixels, CPU and GPU alike.

Every triangle is expanded into the pixels of its bounding box ("fragments"); those inside compete for their pixel by an
atomic minimum over packed (depth, face) keys. Work grows with the area of what is drawn, not with the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Fragments tested at once; bounds the memory (about 100 bytes each).
CHUNK = 4_000_000
EMPTY = torch.iinfo(torch.int64).max


@dataclass(frozen=True, eq=False)
class Fragments:
    """The visible fragment of each covered pixel.

    Attributes:
        pixel: [P] int64, flat index of the pixel, ascending.
        face: [P] int64, index into the faces given.
        weights: [P, 3] float32, perspective-correct barycentric weights of the face's corners.
        depth: [P] float32, in the unit of the vertices' depth.
    """

    pixel: Tensor
    face: Tensor
    weights: Tensor
    depth: Tensor

    def __len__(self) -> int:
        return len(self.pixel)

    def interpolate(self, values: Tensor, faces: Tensor) -> Tensor:
        """Values at vertices [N, C] blended over the faces [F, 3], [P, C]."""
        corners = values[faces[self.face]]  # [P, 3, C]
        return (corners * self.weights[:, :, None].to(corners.dtype)).sum(1)

    def nearest_corner(self, faces: Tensor) -> Tensor:
        """Index [P] of the vertex with the largest weight."""
        return faces[self.face].gather(1, self.weights.argmax(1, keepdim=True))[:, 0]


def rasterize(
    points: Tensor,
    faces: Tensor,
    size_hw: tuple[int, int],
    *,
    picture_of_face: Tensor | None = None,
    pictures: int = 1,
    near: float = 0.05,
) -> Fragments:
    """Find which face is in front at each pixel.

    Args:
        points: [N, 3] float32: column and row in pixels ((0, 0) is the corner of the first pixel) and depth > 0.
        faces: [F, 3] int64, indices of points.
        size_hw: Height and width of every picture.
        picture_of_face: [F] int64, which of several pictures a face belongs to; all to the first by default.
        pictures: How many pictures; pixel indices run on from one to the next.
        near: Faces with a corner nearer than this are dropped.

    Returns:
        One fragment per covered pixel.
    """
    height, width = size_hw
    device = points.device
    buffer = torch.full((pictures * height * width,), EMPTY, dtype=torch.int64, device=device)
    corners = points[faces]  # [F, 3, 3]
    a, b, c = corners[:, 0, :2], corners[:, 1, :2], corners[:, 2, :2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])  # [F]
    low = torch.ceil(corners[:, :, :2].amin(1) - 0.5).clamp(min=0)
    high = torch.floor(corners[:, :, :2].amax(1) - 0.5)
    high = torch.minimum(high, torch.tensor([width - 1, height - 1], device=device, dtype=high.dtype))
    drawn = (low <= high).all(1) & (corners[:, :, 2].amin(1) > near)
    drawn &= area.abs() > 1e-9
    kept = drawn.nonzero()[:, 0]
    low, high, area = low[kept].long(), high[kept].long(), area[kept]
    spans = high - low + 1  # [K, 2]
    counts = spans[:, 0] * spans[:, 1]
    corners = corners[kept]
    inverse_depth = 1.0 / corners[:, :, 2]
    base = torch.zeros_like(kept) if picture_of_face is None else picture_of_face[kept] * (height * width)
    # edge functions e_i(x, y) = ex * x + ey * y + e0, scaled to barycentric weights
    x, y = corners[:, :, 0], corners[:, :, 1]
    ex = (y.roll(-1, 1) - y.roll(-2, 1)) / area[:, None]
    ey = (x.roll(-2, 1) - x.roll(-1, 1)) / area[:, None]
    e0 = (x.roll(-1, 1) * y.roll(-2, 1) - x.roll(-2, 1) * y.roll(-1, 1)) / area[:, None]
    ends = counts.cumsum(0)
    start = 0
    total = int(ends[-1]) if len(ends) else 0
    done = 0
    while done < total:
        stop = max(int(torch.searchsorted(ends, done + CHUNK, right=True)), start + 1)
        part = slice(start, stop)
        owner = torch.repeat_interleave(torch.arange(start, stop, device=device), counts[part])
        local = torch.arange(len(owner), device=device) - (ends[owner] - counts[owner] - done)
        span = spans[owner, 0]
        row = torch.div(local, span, rounding_mode="floor")
        px, py = low[owner, 0] + local - row * span, low[owner, 1] + row
        fx, fy = px.float() + 0.5, py.float() + 0.5
        edges = [ex[:, i][owner] * fx + ey[:, i][owner] * fy + e0[:, i][owner] for i in range(3)]  # [M] each
        inside = ((edges[0] >= 0) & (edges[1] >= 0) & (edges[2] >= 0)).nonzero()[:, 0]
        owner = owner[inside]
        depth = 1.0 / sum(
            (edges[i][inside] * inverse_depth[:, i][owner] for i in range(3)), torch.zeros_like(fx[inside])
        )
        # the bits of a positive float sort as an integer does
        key = (depth.clamp(min=1e-6).view(torch.int32).long() << 32) | kept[owner]
        where = base[owner] + py[inside] * width + px[inside]
        buffer.scatter_reduce_(0, where, key, "amin")
        done = int(ends[stop - 1])
        start = stop
    pixel = (buffer != EMPTY).nonzero()[:, 0]
    face = buffer[pixel] & 0xFFFFFFFF
    row_of_face = torch.empty(len(faces), dtype=torch.int64, device=device)
    row_of_face[kept] = torch.arange(len(kept), device=device)
    row = row_of_face[face]
    local = pixel - base[row]
    fx, fy = (local % width).float() + 0.5, torch.div(local, width, rounding_mode="floor").float() + 0.5
    weight = (ex[row] * fx[:, None] + ey[row] * fy[:, None] + e0[row]) * inverse_depth[row]
    total_weight = weight.sum(1, keepdim=True)
    return Fragments(pixel, face, weight / total_weight, 1.0 / total_weight[:, 0])
