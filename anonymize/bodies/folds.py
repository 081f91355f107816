"""Folds of cloth as bumps of the normal: from a periodic map, stronger where a joint bends the cloth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from anonymize.bodies.body import JOINT, load_body

SIZE, SIDE_M = 256, 0.5
"""Pixels and metres along a side of a fold map."""
SEGMENTS = ("chest", "shoulder.L", "shoulder.R", "elbow.L", "elbow.R", "hip.L", "hip.R", "knee.L", "knee.R")
"""The joints that move what a segment's cloth lies on."""


@dataclass(frozen=True, eq=False)
class Bend:
    """What a pose does to cloth.

    Attributes:
        turns: [9, 3, 3], rest to posed axes of each of `SEGMENTS`.
        bends: [9] in [0, 1], how much the joint at the segment's beginning is bent.
    """

    turns: Tensor
    bends: Tensor

    @classmethod
    def of(cls, transforms: Tensor, spin: Tensor | None = None) -> Bend:
        """Of `joint_transforms` [J, 3, 4], all turned by `spin` [3, 3] afterwards."""
        parents = load_body().parents
        turns = transforms[:, :, :3]
        index = [JOINT[name] for name in SEGMENTS]
        own, before = turns[index], turns[[max(parents[j], 0) for j in index]]
        cosine = ((own * before).sum((1, 2)) - 1) / 2
        bends = ((1 - cosine) / 1.2).clamp(0, 1)
        return cls(own if spin is None else spin @ own, bends)


@cache
def maps() -> Tensor:
    """Heights and their gradients, [2, SIZE * SIZE, 3] float32 (height, across, along), each of spread 1.

    The first map's folds run along a limb as cloth hangs, the second's across as it is squeezed.
    """
    rng = np.random.default_rng(0)
    fx, fy = np.meshgrid(np.fft.fftfreq(SIZE) * SIZE, np.fft.fftfreq(SIZE) * SIZE)

    def noise(across: float, along: float, power: float = 2.0) -> np.ndarray:
        spectrum = np.fft.fft2(rng.standard_normal((SIZE, SIZE)))
        keep = np.exp(-(((fx / across) ** 2 + (fy / along) ** 2) ** (power / 2)))
        keep[0, 0] = 0
        values: np.ndarray = np.fft.ifft2(spectrum * keep).real
        values /= values.std()
        return values

    warp = noise(3.5, 3.5)
    hanging = noise(6, 1.6) + 0.3 * noise(12, 4)
    y = np.arange(SIZE)[:, None] / SIZE
    ridge = np.abs(np.sin(np.pi * (7 * y + 0.8 * warp + 0.3 * noise(3, 6))))
    squeezed = (0.6 - ridge) * (0.6 + 0.6 * noise(4, 4)) + 0.3 * noise(5, 7)
    out = []
    for height in (hanging, squeezed):
        smooth = np.fft.ifft2(np.fft.fft2(height) * np.exp(-(fx**2 + fy**2) / 24**2)).real
        smooth = (smooth - smooth.mean()) / smooth.std()
        along, across = (np.roll(smooth, -1, a) - np.roll(smooth, 1, a) for a in (0, 1))
        scale = np.sqrt((along**2 + across**2).mean())
        out.append(np.stack([smooth, across / scale, along / scale], 2).reshape(-1, 3))
    return torch.from_numpy(np.stack(out).astype(np.float32))


@cache
def frame() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the left arm of the mean adult: shoulder [3], unit vector along [3], one across [3], and elbow's distance."""
    joints = load_body().joints
    shoulder, elbow, wrist = (joints[JOINT[f"{n}.L"]] for n in ("shoulder", "elbow", "wrist"))
    along = torch.nn.functional.normalize(wrist - shoulder, dim=0)
    across = torch.nn.functional.normalize(torch.linalg.cross(along, torch.tensor([0.0, -1.0, 0.0])), dim=0)
    return shoulder, along, across, (elbow - shoulder) @ along


def wrapped(position: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Where on cloth canonical points [P, 3] lie.

    Returns:
        Metres across (round the limb) and along it [P], unit vectors of both [P, 3], and the segment [P] int64.
    """
    x, y, z = position.unbind(1)
    right = x < 0
    shoulder, axis, side, elbow = (t.to(position) for t in frame())
    mirrored = torch.stack([x.abs(), y, z], 1)
    away = mirrored - shoulder
    reach = away @ axis
    off = away - reach[:, None] * axis
    arm = (reach > 0.02) & (off.square().sum(1) < 0.012) & (z > 0.85) & (x.abs() > 0.19)
    leg = (z < 0.9) & ~arm
    middle = torch.where(leg, 0.13 + 0.1 * (0.9 - z).clamp(min=0), torch.zeros_like(x))
    dx, dy = x.abs() - middle, y + 0.02
    dx = torch.where(leg, dx, x)
    far = (dx * dx + dy * dy).sqrt().clamp(min=0.02)
    width = torch.where(leg, 0.085, 0.15)
    angle = torch.atan2(dx, -dy)
    # round an arm: from its front
    up = torch.linalg.cross(axis, side, dim=0)
    angle_arm = torch.atan2(off @ side, off @ up)
    across = torch.where(arm, 0.06 * angle_arm, width * angle)
    along = torch.where(arm, reach + 0.31, z)
    zero = torch.zeros_like(x)
    round_body = torch.stack([-dy / far, dx / far, zero], 1)
    round_body = torch.where((leg & right)[:, None], round_body * round_body.new_tensor([-1.0, 1.0, 1.0]), round_body)
    circle = torch.cos(angle_arm)[:, None] * side - torch.sin(angle_arm)[:, None] * up
    flip = torch.where(right, -1.0, 1.0)[:, None] * position.new_tensor([1.0, 0, 0]) + position.new_tensor(
        [0, 1.0, 1.0]
    )
    across_axis = torch.where(arm[:, None], circle * flip, round_body)
    along_axis = torch.where(arm[:, None], axis * flip, position.new_tensor([0.0, 0.0, 1.0]))
    segment = torch.where(arm, torch.where(reach > elbow, 3, 1), torch.where(leg, torch.where(z < 0.53, 7, 5), 0))
    segment = segment + (right & (segment > 0)).long()
    return across + 0.37 * segment, along, across_axis, along_axis, segment


def folded(
    position: Tensor, normal: Tensor, strength: Tensor, phase: Tensor, bend: Bend | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Bumps of cloth.

    Args:
        position: [P, 3] canonical.
        normal: [P, 3] unit, as posed.
        strength: [P] in [0, 1].
        phase: [P], shifts the folds.
        bend: The pose's; none for the rest pose, in which the gradient is not turned.

    Returns:
        Normals [P, 3], heights [P] (spread about 1 where folds are strong), metres across and along [P].
    """
    across, along, across_axis, along_axis, segment = wrapped(position)
    elbow = float(frame()[3]) + 0.31
    if bend is None:
        at_elbow = at_knee = at_hip = torch.full_like(along, 0.3)
    else:
        own = bend.bends.to(along)
        at_elbow = own[torch.where(segment % 2 == 1, 3, 4)]
        at_knee = own[torch.where(segment % 2 == 1, 7, 8)]
        at_hip = own[torch.where(position[:, 0] > 0, 5, 6)]
    arm, leg = (segment >= 1) & (segment <= 4), segment >= 5

    def near(place: float, width: float) -> Tensor:
        return torch.exp(-(((along - place) / width) ** 2))

    squeeze = torch.where(arm, 0.3 + (0.3 + at_elbow) * near(elbow, 0.11) + 0.4 * near(0.36, 0.08), 0.0)
    squeeze = torch.where(leg, 0.15 + (0.2 + at_knee) * near(0.53, 0.12) + 0.6 * near(0.1, 0.09), squeeze)
    trunk = 0.12 + (0.35 + 0.5 * at_hip) * near(1.06, 0.09)
    squeeze = torch.where(segment == 0, trunk, squeeze)
    squeeze = squeeze + torch.where(arm, 0.0, (0.25 + at_hip) * near(0.93, 0.08))
    hang = torch.where(arm, 0.3, torch.where(leg, 0.45, 0.5))
    step = SIZE / SIDE_M
    column = ((across + phase * 0.173) * step).long() % SIZE
    row = ((along + phase * 0.091) * step).long() % SIZE
    both = maps().to(position)[:, row * SIZE + column]  # [2, P, 3]
    bumps = (both[0] * hang[:, None] + both[1] * squeeze[:, None]) * strength[:, None]
    gradient = bumps[:, 1:2] * across_axis + bumps[:, 2:3] * along_axis
    if bend is not None:
        gradient = (bend.turns.to(position)[segment] @ gradient[:, :, None])[:, :, 0]
    bumped = torch.nn.functional.normalize(normal - 0.42 * gradient, dim=1)
    return bumped, bumps[:, 0], across, along
