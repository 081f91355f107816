"""Fits the body model to BlazePose's landmarks and masks, many people at once (after SMPLify, Bogo et al. 2016).

Camera axes are BlazePose's: x to the right, y down, z away from the camera. Rest axes are the body's: x to the
person's left, z up, facing -y. The camera is a weak perspective: pixels = scale * (x, y) + place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from anonymize.bodies.articulation import (
    Points,
    aligned,
    frame_of,
    limits,
    swing_twist,
    to_camera,
    to_rest,
    turned,
)
from anonymize.bodies.body import JOINT, JOINTS, SIDED, joint_transforms, load_body
from anonymize.lab.train.blazepose import CROP

SHAPES = 16  # shape coefficients that are fitted; the others stay at the mean

# Where BlazePose's landmarks lie on the mean adult in the rest pose, metres: the joint that carries the point, or
# None for the nearest vertex's own, and the point's place relative to a joint ("shoulder") or absolute ("").
# Of pairs the left one; x is mirrored for the right. Knuckles are a share of the way from wrist to fingertip.
NOSE = (0.0, -0.167, 1.710)
PAIRS: tuple[tuple[int, str, tuple[float, float, float]], ...] = (
    (1, "", (0.020, -0.137, 1.740)),
    (2, "", (0.032, -0.132, 1.739)),
    (3, "", (0.045, -0.128, 1.738)),
    (7, "", (0.065, -0.074, 1.710)),
    (9, "", (0.022, -0.152, 1.667)),
    (11, "shoulder", (-0.012, -0.010, 0.008)),
    (13, "elbow", (0.014, -0.004, -0.010)),
    (15, "wrist", (0.005, -0.016, -0.028)),
    (17, "wrist", (0.049, -0.053, -0.062)),
    (19, "wrist", (0.024, -0.086, -0.056)),
    (21, "wrist", (-0.001, -0.072, -0.048)),
    (23, "hip", (-0.020, -0.027, -0.027)),
    (25, "knee", (-0.003, 0.000, -0.010)),
    (27, "ankle", (-0.004, -0.015, 0.011)),
    (29, "ankle", (-0.005, 0.035, -0.056)),
    (31, "ankle", (0.007, -0.168, -0.059)),
)
CARRIERS = {"shoulder": "clavicle", "elbow": "shoulder", "hip": "root", "knee": "hip"}  # of points at their far end
# how much a landmark counts; faces have eleven, hands three
IMPORTANCE = {**dict.fromkeys(range(11), 0.3), **dict.fromkeys(range(17, 23), 0.3), 23: 0.6, 24: 0.6}


@dataclass(frozen=True, eq=False)
class Evidence:
    """What BlazePose says of B people.

    Attributes:
        points: [B, 33, 2] float32, crop pixels of 256.
        world: [B, 33, 3] float32, metres, camera axes.
        sure: [B, 33] float32 in [0, 1], visibility times presence.
        masks: [B, 256, 256] bool, the person's pixels in the crop.
        inside: [B, 4] float32, the picture's left, top, right and bottom border in crop pixels.
    """

    points: Tensor
    world: Tensor
    sure: Tensor
    masks: Tensor
    inside: Tensor

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True, eq=False)
class Posture:
    """The fitted bodies of B people.

    Attributes:
        rotations: [B, J, 3, 3] float32, relative to the parent in rest axes; the root's turns the body as the camera
            sees it (identity: facing the camera, upright).
        shape: [B, R] float32, all coefficients of the body model.
        camera: [B, 3] float32, crop pixels per metre, column and row of the root joint.
        error: [B] float32, mean distance of sure landmarks in the picture, as a share of the torso's length.
    """

    rotations: Tensor
    shape: Tensor
    camera: Tensor
    error: Tensor


@cache
def keypoints() -> Points:
    """The 33 landmarks of BlazePose on the body (`PAIRS`)."""
    body = load_body()
    count = len(JOINTS)
    rest, weights = torch.zeros(33, 3), torch.zeros(33, count)
    components = torch.zeros(len(body.joint_components), 33, 3)
    for index, joint, place in ((0, "", NOSE), *PAIRS):
        for side, sign in (("L", 1.0), ("R", -1.0)):
            row = index if index == 0 or side == "L" else index + (3 if 0 < index < 4 else 1)
            point = torch.tensor([sign * place[0], place[1], place[2]])
            if joint:
                j = JOINT[f"{joint}.{side}"]
                carrier = CARRIERS.get(joint, joint)
                rest[row], components[:, row] = body.joints[j] + point, body.joint_components[:, j]
                weights[row, JOINT[carrier if carrier in JOINT else f"{carrier}.{side}"]] = 1
            else:
                near = int((body.body.vertices - point).norm(dim=1).argmin())
                rest[row], components[:, row] = point, body.body.components[:, near]
                weights[row, JOINT["head"]] = 1
    return Points(rest, components, weights)


@cache
def outline() -> Points:
    """The coarse body's vertices, which stand for its silhouette."""
    piece = load_body().low_body
    return Points(piece.vertices, piece.components, piece.weights)


def first_guess(world: Tensor) -> tuple[Tensor, Tensor]:
    """The root's rotation [B, 3, 3] and swings and twists [B, J, 3] that landmarks [B, 33, 3] in metres suggest."""
    points = to_rest(world)
    shoulders, hips = (points[:, a : a + 2] for a in (11, 23))
    up = shoulders.mean(1) - hips.mean(1)
    across = functional.normalize(shoulders[:, 0] - shoulders[:, 1], dim=-1)
    across = across + functional.normalize(hips[:, 0] - hips[:, 1], dim=-1)
    root = frame_of(across, up)
    local = points @ root  # each point in the body's own axes
    turns = limits()[0].expand(len(world), -1, -1).clone()
    for offset, side in enumerate("LR"):
        shoulder, elbow, wrist = (local[:, k + offset] for k in (11, 13, 15))
        upper, lower = elbow - shoulder, wrist - elbow
        plain = aligned(-upper)
        swing, bend = limb(upper, lower, -plain[..., 1], -1.0)
        turns[:, JOINT[f"shoulder.{side}"]] = swing_twist(swing)
        turns[:, JOINT[f"elbow.{side}"], 0] = -bend
        hip, knee, ankle, heel, toe = (local[:, k + offset] for k in (23, 25, 27, 29, 31))
        upper, lower = knee - hip, ankle - knee
        plain = aligned(-upper)
        swing, bend = limb(upper, lower, plain[..., 1] - 0.5 * functional.normalize(toe - heel, dim=-1), 1.0)
        turns[:, JOINT[f"hip.{side}"]] = swing_twist(swing)
        turns[:, JOINT[f"knee.{side}"], 0] = bend
    low, high = limits()[2:]
    return root, turns.clamp(low, high)


def limb(upper: Tensor, lower: Tensor, usual: Tensor, back: float) -> tuple[Tensor, Tensor]:
    """Turn [B, 3, 3] of a limb from hanging and how far [B] its hinge is bent, radians.

    Args:
        upper, lower: [B, 3] directions of its two bones.
        usual: [B, 3] where the lower one would bend to if the limb were straight.
        back: 1 if the hinge bends to the back (+y), -1 to the front.
    """
    down, second = functional.normalize(upper, dim=-1), functional.normalize(lower, dim=-1)
    bent = second - (second * down).sum(-1, keepdim=True) * down
    y = back * (bent + 0.5 * functional.normalize(usual, dim=-1))
    y = y - (y * down).sum(-1, keepdim=True) * down
    y = functional.normalize(y, dim=-1)
    turn = torch.stack([torch.linalg.cross(y, -down, dim=-1), y, -down], -1)
    return turn, torch.acos((second * down).sum(-1).clamp(-0.999, 0.999))


def fit(evidence: Evidence, *, steps: tuple[int, int] = (150, 120)) -> Posture:
    """Fit bodies: first to the landmarks, then to these and the mask.

    Args:
        evidence: Of the people, all fitted at once.
        steps: Iterations of Adam of the two stages.
    """
    fitting = Fitting(evidence)
    fitting.descend(steps[0], rate=0.04, silhouette=False)
    fitting.descend(steps[1], rate=0.02, silhouette=True)
    return fitting.result()


class Fitting:
    """One batch of people on its way to their bodies."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        count = len(evidence)
        importance = torch.tensor([IMPORTANCE.get(k, 1.0) for k in range(33)])
        self.flat_weight = importance * (0.03 + evidence.sure)
        self.world_weight = importance * (0.2 + 0.8 * evidence.sure)
        self.root, turns = first_guess(evidence.world)
        self.turns = turns.requires_grad_()
        self.shape = torch.zeros(count, SHAPES, requires_grad=True)
        with torch.no_grad():
            places = self.places(keypoints())[..., :2]
            weight = self.flat_weight[..., None] / self.flat_weight.sum(1)[:, None, None]
            middle, target = (places * weight).sum(1), (evidence.points * weight).sum(1)
            spread, aim = places - middle[:, None], evidence.points - target[:, None]
            scale = ((spread * aim * weight).sum((1, 2)) / (spread.square() * weight).sum((1, 2))).clamp(min=5)
            self.scale = scale  # crop pixels per metre, of the beginning; turns pixels into metres in the losses
            self.shift = (target / scale[:, None] - middle).requires_grad_()  # metres
        self.log_scale = torch.zeros(count, requires_grad=True)
        self.fields = Silhouette(evidence, self.scale)

    def transforms(self) -> Tensor:
        """[B, J, 3, 4] of `joint_transforms`."""
        body = load_body()
        joints = body.joints + torch.einsum("br,rjc->bjc", self.shape, body.joint_components[:SHAPES])
        return joint_transforms(joints, body.parents, turned(self.root, self.turns))

    def places(self, points: Points) -> Tensor:
        """Points [B, N, 3] in metres and camera axes, the mean adult's root joint at the origin."""
        return to_camera(points.posed(self.shape, self.transforms()) - load_body().joints[0])

    def project(self, places: Tensor) -> Tensor:
        """Crop pixels [B, N, 2] of places [B, N, 3]."""
        scale = self.scale * self.log_scale.exp()
        return scale[:, None, None] * places[..., :2] + (self.scale[:, None] * self.shift)[:, None]

    def descend(self, steps: int, *, rate: float, silhouette: bool) -> None:
        """Take steps of Adam with a rate that falls to a tenth."""
        adam = torch.optim.Adam([self.turns, self.shape, self.shift, self.log_scale], lr=rate, betas=(0.9, 0.95))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps, rate / 10)
        for step in range(steps):
            adam.zero_grad()
            transforms = self.transforms()
            origin = load_body().joints[0]
            places = to_camera(keypoints().posed(self.shape, transforms) - origin)
            loss = self.landmark_loss(places, sharp=silhouette) + self.prior()
            if silhouette:
                vertices = to_camera(outline().posed(self.shape, transforms) - origin)
                loss = loss + self.fields(self.project(vertices), fresh=step % 5 == 0)
            loss.sum().backward()  # type: ignore[no-untyped-call]
            adam.step()
            schedule.step()

    def landmark_loss(self, places: Tensor, *, sharp: bool) -> Tensor:
        """[B], distances in the picture and in space, robust; `sharp` lets go of what is far off."""
        flat = (self.project(places) - self.evidence.points) / self.scale[:, None, None]
        weight = self.world_weight[..., None] / self.world_weight.sum(1)[:, None, None]
        world = self.evidence.world - (self.evidence.world * weight).sum(1, keepdim=True)
        moved = places - (places * weight).sum(1, keepdim=True)
        size = (world * moved * weight).sum((1, 2)) / (world.square() * weight).sum((1, 2))
        space = moved - size.detach().clamp(0.4, 1.6)[:, None, None] * world
        in_picture = (self.flat_weight * robust(flat.square().sum(2), 0.05, sharp=sharp)).sum(1)
        in_space = (self.world_weight * robust(space.square().sum(2), 0.1, sharp=sharp)).sum(1)
        return 100 * in_picture + 25 * in_space

    def prior(self) -> Tensor:
        """[B], usual poses within the joints' limits and usual shapes."""
        mean, spread, low, high = limits()
        unusual = ((self.turns - mean) / spread).square().sum((1, 2))
        beyond = (low - self.turns).clamp(min=0) + (self.turns - high).clamp(min=0)
        loss: Tensor = 0.05 * unusual + 50 * beyond.square().sum((1, 2)) + 0.05 * self.shape.square().sum(1)
        return loss

    @torch.no_grad()
    def result(self) -> Posture:
        """The bodies as they are now."""
        flat = self.project(self.places(keypoints()))
        sure = self.flat_weight * (self.evidence.sure > 0.5)
        distance = (flat - self.evidence.points).norm(dim=2)
        torso = flat[:, 11:13].mean(1) - flat[:, 23:25].mean(1)
        # a torso seen from its end is short: not less than half its true length
        length = torso.norm(dim=1).maximum(0.25 * self.scale * self.log_scale.exp())
        body = load_body()
        joints = body.joint_components[:SHAPES, 0]
        root = to_camera(torch.einsum("br,rc->bc", self.shape, joints))[:, :2]
        scale = self.scale * self.log_scale.exp()
        return Posture(
            rotations=turned(self.root, self.turns),
            shape=functional.pad(self.shape, (0, len(body.joint_components) - SHAPES)),
            camera=torch.cat([scale[:, None], scale[:, None] * root + self.scale[:, None] * self.shift], 1),
            error=(distance * sure).sum(1) / sure.sum(1).clamp(min=1e-6) / length,
        )


def robust(squared: Tensor, width: float, *, sharp: bool) -> Tensor:
    """Loss of squared distances: linear beyond `width`, or (Geman and McClure) flat beyond thrice that."""
    if sharp:
        bounded: Tensor = squared / (1 + squared / (9 * width**2))
        return bounded
    linear: Tensor = 2 * width**2 * ((1 + squared / width**2).sqrt() - 1)
    return linear


class Silhouette:
    """How far the body's outline is from the mask: vertices belong in the mask, and its pixels near a vertex."""

    SAMPLES = 160
    SLACK_M = 0.04  # clothes stand off the body, and the coarse body's vertices lie apart

    def __init__(self, evidence: Evidence, scale: Tensor) -> None:
        self.scale, self.inside = scale, evidence.inside
        count = len(scale)
        field = np.zeros((count, 1, CROP // 2 + 32, CROP // 2 + 32), np.float32)
        samples = np.full((count, self.SAMPLES, 2), CROP / 2, np.float32)
        rng = np.random.default_rng(0)
        for k, mask in enumerate(evidence.masks.numpy()):
            outside = np.pad(~mask, 32, constant_values=True).astype(np.uint8)[::2, ::2]
            field[k, 0] = 2 * cv2.distanceTransform(outside, cv2.DIST_L2, 3)
            rows, columns = np.nonzero(mask)
            if len(rows):
                chosen = rng.integers(len(rows), size=self.SAMPLES)
                samples[k] = np.stack([columns[chosen], rows[chosen]], 1) + 0.5
        self.field = torch.from_numpy(field)  # crop pixels, each 2 apart, from 32 beyond the crop on
        self.samples = torch.from_numpy(samples)  # [B, SAMPLES, 2]
        self.sure = bone_trust(evidence.sure) @ outline().weights.T
        self.nearest = torch.zeros(count, self.SAMPLES, dtype=torch.int64)

    def __call__(self, flat: Tensor, *, fresh: bool) -> Tensor:
        """[B], for vertices [B, N, 2] in crop pixels; `fresh` finds the nearest ones anew."""
        metres = self.scale[:, None]
        grid = (flat + 32) / ((CROP + 64) / 2) - 1
        off = functional.grid_sample(self.field, grid[:, None], align_corners=False, padding_mode="border")[:, 0, 0]
        with torch.no_grad():
            low, high = self.inside[:, None, :2], self.inside[:, None, 2:]
            seen = ((flat > low) & (flat < high)).all(2) * self.sure
        out = (seen * robust((off / metres).square(), 0.05, sharp=True)).sum(1) / seen.sum(1).clamp(min=1)
        if fresh:
            with torch.no_grad():
                self.nearest = torch.cdist(self.samples, flat).argmin(2)
        near = flat.gather(1, self.nearest[..., None].expand(-1, -1, 2))
        gap = ((near - self.samples).norm(dim=2) / metres - self.SLACK_M).clamp(min=0)
        return 900 * out + 1500 * robust(gap.square(), 0.05, sharp=True).mean(1)


def bone_trust(sure: Tensor) -> Tensor:
    """How surely what each joint carries is in sight, [B, J], by the landmarks [B, 33] at the ends of its bone."""
    ends = {"shoulder": (11, 13), "elbow": (13, 15), "wrist": (15, 15), "fingers": (15, 15), "clavicle": (11, 11)}
    ends |= {"hip": (23, 25), "knee": (25, 27), "ankle": (27, 27), "toes": (27, 27)}
    trust = torch.ones(len(sure), len(JOINTS))
    for name in SIDED:
        for offset, side in enumerate("LR"):
            trust[:, JOINT[f"{name}.{side}"]] = sure[:, [k + offset for k in ends[name]]].amin(1)
    trust[:, JOINT["root"]] = sure[:, 23:25].mean(1)
    return trust
