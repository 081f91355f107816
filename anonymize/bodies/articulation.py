"""How the body bends: the swing and twist of each joint, their usual range, and points that move with the body.

Rest axes are the body's: x to the person's left, z up, facing -y. Camera axes: x to the right, y down, z away from the
camera. A body whose root does not turn stands upright and faces the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from anonymize.bodies.body import JOINT, JOINTS
from anonymize.bodies.poses import hanging

# Of each joint of the left side and of the trunk: swing about x and y, then twist about the bone, radians:
# (mean, spread, lowest, highest) of each. A limb swings to the front by negative x and outward by negative y.
LIMITS: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "spine": ((0.05, 0.25, -0.4, 0.9), (0, 0.15, -0.4, 0.4), (0, 0.2, -0.5, 0.5)),
    "chest": ((0.05, 0.25, -0.4, 0.8), (0, 0.15, -0.4, 0.4), (0, 0.2, -0.5, 0.5)),
    "neck": ((0.05, 0.25, -0.5, 0.6), (0, 0.15, -0.4, 0.4), (0, 0.25, -0.6, 0.6)),
    "head": ((0.0, 0.25, -0.6, 0.6), (0, 0.15, -0.4, 0.4), (0, 0.35, -0.8, 0.8)),
    "clavicle": ((0, 0.1, -0.2, 0.2), (0, 0.12, -0.5, 0.2), (0, 0.1, -0.3, 0.3)),
    "shoulder": ((-0.2, 1.0, -3.1, 1.0), (-0.2, 0.8, -3.0, 0.5), (0, 0.6, -1.5, 1.5)),
    "elbow": ((-0.4, 0.9, -2.6, 0.0), (0, 0.06, -0.1, 0.1), (0, 0.5, -1.3, 1.3)),
    "wrist": ((0, 0.3, -0.9, 0.9), (0, 0.2, -0.5, 0.5), (0, 0.2, -0.4, 0.4)),
    "fingers": ((-0.4, 0.05, -1.5, 0), (0, 0.05, -0.1, 0.1), (0, 0.05, -0.1, 0.1)),
    "hip": ((-0.2, 0.8, -2.4, 0.6), (-0.08, 0.3, -1.1, 0.5), (0.1, 0.35, -0.8, 0.9)),
    "knee": ((0.2, 0.9, 0.0, 2.6), (0, 0.04, -0.08, 0.08), (0, 0.12, -0.35, 0.35)),
    "ankle": ((0.05, 0.3, -0.6, 0.9), (0, 0.15, -0.4, 0.4), (0, 0.2, -0.5, 0.5)),
    "toes": ((0, 0.1, -0.5, 0.3), (0, 0.03, -0.1, 0.1), (0, 0.03, -0.1, 0.1)),
}


@dataclass(frozen=True, eq=False)
class Points:
    """Points that move with the body.

    Attributes:
        rest: [N, 3] on the mean adult.
        components: [R, N, 3] per unit of shape coefficient.
        weights: [N, J] of joints, rows summing to 1.
    """

    rest: Tensor
    components: Tensor
    weights: Tensor

    def posed(self, shape: Tensor, transforms: Tensor) -> Tensor:
        """Places [B, N, 3] in rest axes, for shapes [B, R] and `joint_transforms` [B, J, 3, 4]."""
        rest = self.rest + torch.einsum("br,rnc->bnc", shape, self.components[: shape.shape[1]])
        count = len(self.rest)
        blended = (self.weights @ transforms.flatten(2)).view(-1, count, 3, 4)
        places: Tensor = (blended[..., :3] @ rest[..., None])[..., 0] + blended[..., 3]
        return places


@cache
def frames() -> tuple[Tensor, Tensor]:
    """What stands left and right of a joint's own turn, [J, 3, 3] each, so that arms are measured from hanging down."""
    left, right = np.tile(np.eye(3), (2, len(JOINTS), 1, 1))
    for side in "LR":
        hang, bend = hanging()[side]
        right[JOINT[f"shoulder.{side}"]] = hang
        left[JOINT[f"elbow.{side}"]], right[JOINT[f"elbow.{side}"]] = bend @ (hang @ bend).T, hang @ bend
        for name in ("wrist", "fingers"):
            left[JOINT[f"{name}.{side}"]], right[JOINT[f"{name}.{side}"]] = hang.T, hang
    return torch.from_numpy(left).float(), torch.from_numpy(right).float()


@cache
def limits() -> Tensor:
    """Mean, spread, lowest and highest of each joint's swing and twist, [4, J, 3], the root's without effect."""
    table = torch.zeros(4, len(JOINTS), 3)
    table[1], table[2], table[3] = 1e3, -1e3, 1e3
    for name in JOINTS[1:]:
        base, _, side = name.partition(".")
        for axis, (mean, spread, low, high) in enumerate(LIMITS[base]):
            mirrored = side == "R" and axis > 0
            row = (-mean, spread, -high, -low) if mirrored else (mean, spread, low, high)
            table[:, JOINT[name], axis] = torch.tensor(row)
    return table


def exponential(vectors: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of axis-angle vectors [..., 3], radians (Rodrigues)."""
    angle = (vectors.square().sum(-1, keepdim=True) + 1e-12).sqrt()[..., None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*vectors.shape, 3)
    matrices: Tensor = (
        torch.eye(3).to(vectors)
        + torch.sinc(angle / torch.pi) * cross
        + 0.5 * torch.sinc(angle / (2 * torch.pi)).square() * (cross @ cross)
    )
    return matrices


def swing_twist(turns: Tensor) -> Tensor:
    """The vectors [..., 3] with exp(x, y, 0) exp(0, 0, z) = turns [..., 3, 3]."""
    twist = torch.atan2(turns[..., 1, 0] - turns[..., 0, 1], turns[..., 0, 0] + turns[..., 1, 1])
    # a swing takes z to (sin a * axis rotated, cos a): the axis is z x image
    image = turns[..., :, 2]
    angle = torch.atan2(image[..., :2].norm(dim=-1), image[..., 2])
    axis = functional.normalize(torch.stack([-image[..., 1], image[..., 0]], -1), dim=-1)
    return torch.cat([axis * angle[..., None], twist[..., None]], -1)


def turned(first: Tensor, turns: Tensor) -> Tensor:
    """Joint rotations [B, J, 3, 3] of swings and twists [B, J, 3] around the first guess of the root [B, 3, 3]."""
    left, right = frames()
    swing = exponential(functional.pad(turns[..., :2], (0, 1)))
    twist = exponential(functional.pad(turns[..., 2:], (2, 0)))
    local = left @ swing @ twist @ right
    return torch.cat([(first @ local[:, 0])[:, None], local[:, 1:]], 1)


def to_camera(points: Tensor) -> Tensor:
    """Rest axes [..., 3] to camera axes, of a body that faces the camera."""
    return torch.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def to_rest(points: Tensor) -> Tensor:
    """Camera axes [..., 3] to rest axes."""
    return torch.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def frame_of(across: Tensor, up: Tensor) -> Tensor:
    """Rotation [..., 3, 3] that takes z to `up` and x as near as possible to `across` [..., 3]."""
    z = functional.normalize(up, dim=-1)
    x = functional.normalize(across - (across * z).sum(-1, keepdim=True) * z, dim=-1)
    return torch.stack([x, torch.linalg.cross(z, x, dim=-1), z], -1)


def aligned(up: Tensor) -> Tensor:
    """Smallest rotation [..., 3, 3] that takes z to `up` [..., 3]."""
    z = functional.normalize(up, dim=-1)
    angle = torch.atan2(z[..., :2].norm(dim=-1), z[..., 2])
    axis = functional.normalize(torch.stack([-z[..., 1], z[..., 0], torch.zeros_like(angle)], -1), dim=-1)
    return exponential(axis * angle[..., None])
