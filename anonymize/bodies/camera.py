"""A pinhole camera in a world whose z axis points up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Camera:
    """Where the picture is taken from.

    Attributes:
        position: Metres, z above the ground.
        rotation: Rows are the camera's right, down and forward axes in the world, 3 x 3.
        focal_px: Focal length in pixels.
        size_hw: Height and width of the picture; the principal point is its middle.
    """

    position: tuple[float, float, float]
    rotation: tuple[tuple[float, float, float], ...]
    focal_px: float
    size_hw: tuple[int, int]

    @classmethod
    def looking_at(
        cls,
        position: tuple[float, float, float],
        target: tuple[float, float, float],
        focal_px: float,
        size_hw: tuple[int, int],
        *,
        roll: float = 0.0,
    ) -> Camera:
        """A camera turned towards a point; `roll` in degrees, clockwise."""
        forward = np.array(target, float) - np.array(position, float)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, np.array([0.0, 0.0, 1.0]))
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
        rows = (c * right + s * down, c * down - s * right, forward)
        matrix = tuple((float(r[0]), float(r[1]), float(r[2])) for r in rows)
        return cls(position, matrix, focal_px, size_hw)

    def project(self, points: Tensor) -> Tensor:
        """Column, row (pixels) and depth (metres along the axis) of world points [N, 3]; depth may be negative."""
        axes = torch.tensor(self.rotation).to(points)
        local = (points - torch.tensor(self.position).to(points)) @ axes.T
        depth = local[:, 2:]
        safe = torch.where(depth.abs() < 1e-4, torch.full_like(depth, 1e-4), depth)
        middle = points.new_tensor([self.size_hw[1] / 2, self.size_hw[0] / 2])
        return torch.cat([local[:, :2] / safe * self.focal_px + middle, depth], 1)

    def rays(self, *, device: str = "cpu") -> Tensor:
        """World direction through the middle of each pixel, [H, W, 3], not unit length (1 along the axis)."""
        height, width = self.size_hw
        x = (torch.arange(width, device=device) + 0.5 - width / 2) / self.focal_px
        y = (torch.arange(height, device=device) + 0.5 - height / 2) / self.focal_px
        local = torch.stack(
            [x.expand(height, width), y[:, None].expand(height, width), torch.ones(height, width, device=device)], 2
        )
        return local @ torch.tensor(self.rotation, device=device)

    def scaled(self, factor: int) -> Camera:
        """The same view with more pixels."""
        return Camera(
            self.position, self.rotation, self.focal_px * factor, (self.size_hw[0] * factor, self.size_hw[1] * factor)
        )
