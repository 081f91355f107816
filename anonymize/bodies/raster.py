"""A z-buffer rasterizer in plain torch: no loop over triangles or pixels, CPU and GPU alike.

Every triangle is expanded into the rows that it crosses, each row into the pixels between the edges ("fragments"); they
compete for their pixel by an atomic minimum over packed (depth, face) keys. Work grows with the area of what is drawn,
not with the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Pixels of bounding boxes looked at together; bounds the memory.
CHUNK = 4_000_000
SLIVER_PX2 = 1e-4  # twice the area of faces too thin to be worth a pixel, whose weights would be numerical noise
TOLERANCE_PX = 1e-4  # neighbours round their common edge differently; both may take a pixel's middle on it
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

    def __getitem__(self, rows: Tensor) -> Fragments:
        """Those of these rows [K] int64."""
        return Fragments(self.pixel[rows], self.face[rows], self.weights[rows], self.depth[rows])

    def interpolate(self, values: Tensor, faces: Tensor) -> Tensor:
        """Values at vertices [N, C] blended over the faces [F, 3], [P, C]."""
        corners = values[faces[self.face]]  # [P, 3, C]
        return (corners * self.weights[:, :, None].to(corners.dtype)).sum(1)

    def nearest_corner(self, faces: Tensor) -> Tensor:
        """Index [P] of the vertex with the largest weight."""
        return faces[self.face].gather(1, self.weights.argmax(1, keepdim=True))[:, 0]

    def occlusion(self, size_hw: tuple[int, int], px_per_m: float, *, reach_m: float = 0.07) -> Tensor:
        """How much of the surroundings what stands close in front takes away, [P] in [0, 0.75].

        Screen-space: a fragment that lies deeper than those around it is darker (unsharp masking of the depth buffer,
        Luft, Colditz, Deussen 2006), at two sizes of its surroundings.
        """
        height, width = size_hw
        depth = self.depth.new_zeros(height * width, 2)
        low = self.depth.amin() if len(self) else 0.0
        depth[self.pixel, 0] = self.depth - low
        depth[self.pixel, 1] = 1
        planes = depth.T.reshape(2, height, width)
        taken = torch.zeros_like(self.depth)
        for size in (1.0, 0.4):
            k = max(1, round(px_per_m * reach_m * size))
            sums = torch.nn.functional.pad(planes, (k + 1, k, k + 1, k)).cumsum(1).cumsum(2)
            n = 2 * k + 1
            box = sums[:, n:, n:] - sums[:, :-n, n:] - sums[:, n:, :-n] + sums[:, :-n, :-n]
            total, count = box.reshape(2, -1)[:, self.pixel]
            deeper = self.depth - low - total / count.clamp(min=1)
            share = count / n**2
            taken = taken + (deeper / (reach_m * (0.3 + size))).clamp(0, 0.6) * share.clamp(0.3, 1)
        return (0.8 * taken).clamp(0, 0.75)


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
    drawn &= area.abs() > SLIVER_PX2
    kept = drawn.nonzero()[:, 0]
    low, high, area, corners = low[kept], high[kept], area[kept], corners[kept]
    inverse_depth = 1.0 / corners[:, :, 2]
    # Measured from the first pixel of each face's box, lest large coordinates cancel: edge function i at column x and
    # row y is ex * x + ey * y + e0; divided by the area it is the barycentric weight of corner i.
    x, y = (corners[:, :, axis] - low[:, axis, None] - 0.5 for axis in (0, 1))
    edges = torch.stack(
        [
            y.roll(-1, 1) - y.roll(-2, 1),
            x.roll(-2, 1) - x.roll(-1, 1),
            x.roll(-1, 1) * y.roll(-2, 1) - x.roll(-2, 1) * y.roll(-1, 1),
        ],
        2,
    )  # [K, 3, 3]: corner; ex, ey, e0
    weights = edges / area[:, None, None]
    plane = (weights * inverse_depth[:, :, None]).sum(1)  # [K, 3]: 1 / depth is linear on the screen
    edges = edges * area.sign()[:, None, None]  # inside is where all are positive
    first, last = low.long(), high.long()
    base = torch.zeros_like(kept) if picture_of_face is None else picture_of_face[kept] * (height * width)
    base = base + first[:, 1] * width + first[:, 0]
    rows = last[:, 1] - first[:, 1] + 1
    spread = high[:, 0] - low[:, 0]
    ends = (rows * (last[:, 0] - first[:, 0] + 1)).cumsum(0)
    start = done = 0
    total = int(ends[-1]) if len(ends) else 0
    while done < total:
        stop = max(int(torch.searchsorted(ends, done + CHUNK, right=True)), start + 1)
        owner, row = expanded(rows[start:stop])
        owner = owner + start
        edge, height_here = edges[owner], row.to(points.dtype)[:, None]  # [R, 3, 3], [R, 1]
        slope = edge[:, :, 0]
        rest = edge[:, :, 1] * height_here + edge[:, :, 2]
        crossing = -rest / slope
        enters = torch.where(slope > 0, crossing, torch.zeros_like(crossing)).amax(1)
        leaves = torch.where(slope < 0, crossing, spread[owner, None]).amin(1)
        left = torch.ceil(enters - TOLERANCE_PX).clamp(min=0)
        right = torch.minimum(torch.floor(leaves + TOLERANCE_PX), spread[owner])
        beside = ((slope == 0) & (rest < 0)).any(1)
        counts = torch.where(beside, 0, (right - left + 1).clamp(min=0)).long()
        line, step = expanded(counts)
        column = step + left.long()[line]
        level = plane[owner]
        offset = level[:, 1] * height_here[:, 0] + level[:, 2]
        depth = 1.0 / (offset[line] + level[:, 0][line] * column)
        # the bits of a positive float sort as an integer does
        key = (depth.clamp(min=near).view(torch.int32).long() << 32) | kept[owner][line]
        buffer.scatter_reduce_(0, (base[owner] + row * width)[line] + column, key, "amin")
        done = int(ends[stop - 1])
        start = stop
    pixel = (buffer != EMPTY).nonzero()[:, 0]
    face = buffer[pixel] & 0xFFFFFFFF
    row_of_face = torch.empty(len(faces), dtype=torch.int64, device=device)
    row_of_face[kept] = torch.arange(len(kept), device=device)
    index = row_of_face[face]
    local = pixel - (base - first[:, 1] * width - first[:, 0])[index]
    fx = (local % width - first[index, 0]).to(points.dtype)
    fy = (torch.div(local, width, rounding_mode="floor") - first[index, 1]).to(points.dtype)
    flat = weights[index]
    shares = (flat[:, :, 0] * fx[:, None] + flat[:, :, 1] * fy[:, None] + flat[:, :, 2]).clamp(min=0)
    weight = shares * inverse_depth[index]
    total_weight = weight.sum(1, keepdim=True)
    return Fragments(pixel, face, weight / total_weight, shares.sum(1) / total_weight[:, 0])


def expanded(counts: Tensor) -> tuple[Tensor, Tensor]:
    """For counts (2, 0, 3): which entry, (0, 0, 2, 2, 2), and the number within it, (0, 1, 0, 1, 2)."""
    owner = torch.repeat_interleave(counts)
    before = counts.cumsum(0) - counts
    return owner, torch.arange(len(owner), device=counts.device) - before[owner]
