"""Fits the body to a person's predicted surface and mask, one picture after the other.

Articulated point registration by expectation maximisation (Horaud et al. 2011, after Myronenko and Song 2010), with the
surface embedding as a second witness beside the place: each pixel belongs to the surface's landmarks with probabilities
that follow from its embedding and from where the body is now; one Gauss-Newton step then moves the body. A network
takes left for right now and then, so each pixel may also be the mirror image of what it looks like. The camera is a
weak perspective: pixels = scale * (x, y) + place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from anonymize.bodies.articulation import exponential, frames, limits, swing_twist, to_camera
from anonymize.bodies.body import JOINTS, load_body
from anonymize.bodies.poses import real_poses
from anonymize.core.body_surface import load_surface
from anonymize.core.types import BoolArray, FloatArray

POINTS = 320
"""Landmarks that are fitted; the first ones are spread evenly over the surface."""
PIXELS = 192
"""Pixels of a person that are looked at."""
SHAPES = 8
"""Shape coefficients that are fitted; the others stay at the mean."""
SIMILARITY_SCALE = 20.0
"""Of the cosines of embeddings, as the detector is trained with it."""
MIRRORED = 0.25
"""Probability that the network took left for right."""
OUTLIER = -5.0
"""Logarithm of the likelihood that a pixel shows no landmark."""
STARTS = 8
"""Directions that a person is first tried to face."""
WITNESSES = 60.0
"""Independent observations that the pixels of a person stand for: neighbours err together."""
RIM_M = 0.18
"""A landmark outside the mask counts in full up to about this distance; beyond it something may stand in front."""
AT_EASE = {"hip": -0.1, "knee": 0.2, "elbow": -0.5}
"""Swing of the joints of people at ease that bend one way only, radians."""
UP = (0.0, -0.2, 0.98)
UP_SIGMA = 0.35
"""Where the body's axis points in rest axes as the camera sees them (cameras look down a little), and its spread."""
LEAST_BOX_PX = 1.0
"""To people whose box is smaller no body is fitted."""
STEPS = 2
"""From one picture to the next."""
FIELD = 96
"""Cells along a side of a distance field."""
OTHER_SIDE = [
    JOINTS.index(name[:-1] + {"L": "R", "R": "L"}[name[-1]]) if name[-2:-1] == "." else j
    for j, name in enumerate(JOINTS)
]
"""[J], each joint's one on the other side of the body."""
MIRRORED_TURN = torch.tensor([1.0, -1.0, -1.0])
"""Swing and twist of a joint, times this, are those of the other side's in a mirror."""


@dataclass(frozen=True, eq=False)
class BodyPose:
    """Where the bodies of B people are, and how they are bent.

    Attributes:
        root: [B, 3, 3] float32, turn of the body as the camera sees it; identity: upright, facing the camera.
        turns: [B, J, 3] float32, swing and twist of each joint (`articulation.turned`), radians; the root's are 0.
        shape: [B, SHAPES] float32, shape coefficients.
        camera: [B, 3] float32: logarithm of pixels per metre, column and row of the root joint.
    """

    root: Tensor
    turns: Tensor
    shape: Tensor
    camera: Tensor

    def __len__(self) -> int:
        return len(self.root)

    def __getitem__(self, rows: Tensor | slice | list[int]) -> BodyPose:
        return BodyPose(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def cat(cls, poses: Sequence[BodyPose]) -> BodyPose:
        """The people of several, one after the other."""
        return cls(*(torch.cat([getattr(p, f.name) for p in poses]) for f in fields(cls)))

    def rotations(self) -> Tensor:
        """[B, J, 3, 3], turn of each joint relative to its parent in rest axes."""
        left, right = frames()
        local = left @ swung(self.turns) @ right
        return torch.cat([self.root[:, None], local[:, 1:]], 1)


def ahead_of(pose: BodyPose) -> Tensor:
    """[B, 3], where the bodies face, unit vectors in rest axes as the camera sees them."""
    return -pose.root[:, :, 1]


def flipped(pose: BodyPose) -> BodyPose:
    """The bodies that look the same from the camera but for left and right, and face the other way.

    Mirrored in depth, which a weak perspective does not show, and from left to right, so that it is a body again.
    """
    depth, side = torch.tensor([1.0, -1.0, 1.0]), torch.tensor([-1.0, 1.0, 1.0])
    return replace(pose, root=depth[:, None] * pose.root * side, turns=pose.turns[:, OTHER_SIDE] * MIRRORED_TURN)


@dataclass(frozen=True, eq=False)
class Observation:
    """What is seen of B people.

    Attributes:
        pixels: [B, P, 2] float32, column and row.
        scores: [B, P, N] float32, logarithm of each landmark's probability by the embedding.
        weights: [B, P] float32, 0 where there is no pixel.
        field: [B, 3, F, F] float32: pixels from the nearest place where the person may be, and its gradient.
        field_box: [B, 4] float32 xyxy, where the field lies.
        heading: [B, 3] float32, where they should face (rest axes as the camera sees them) times how sure that is;
            0 where nothing is known.
    """

    pixels: Tensor
    scores: Tensor
    weights: Tensor
    field: Tensor
    field_box: Tensor
    heading: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: Tensor | list[int]) -> Observation:
        return Observation(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def cat(cls, several: Sequence[Observation]) -> Observation:
        """The people of several, one after the other."""
        return cls(*(torch.cat([getattr(o, f.name) for o in several]) for f in fields(cls)))


@dataclass(frozen=True, eq=False)
class Fit:
    """Fitted bodies.

    Attributes:
        pose: Of B people.
        costs: [B, 2] float32, how badly the pose and its mirror image (`flipped`) explain what is seen.
    """

    pose: BodyPose
    costs: Tensor

    @property
    def found(self) -> Tensor:
        """[B] bool, False for those to whom no body can be fitted: their pose holds numbers that are not finite."""
        finite = [getattr(self.pose, f.name).isfinite().flatten(1).all(1) for f in fields(self.pose)]
        return torch.stack(finite).all(0)

    def or_better(self, rows: Sequence[int], other: Fit) -> Fit:
        """These, but for those of `rows` whom `other`, of these people alone, explains better."""
        chosen = other.costs[:, 0] < self.costs[rows, 0]
        better = torch.tensor(rows)[chosen]

        def put(own: Tensor, theirs: Tensor) -> Tensor:
            return own.index_copy(0, better, theirs[chosen])

        poses = (put(getattr(self.pose, f.name), getattr(other.pose, f.name)) for f in fields(self.pose))
        return Fit(BodyPose(*poses), put(self.costs, other.costs))


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The landmarks that are fitted, and the body's joints.

    Attributes:
        rest: [N, 3] and joints [J, 3] of the mean adult, metres.
        normals: [N, 3], unit.
        components: [R, N, 3] and joint_components [R, J, 3], metres per unit of shape.
        weights: [N, J].
        mirror: [N] int64, the landmark on the other side.
        below: [J, J], 1 where the second joint moves the first.
        levels: Joints of each generation and their parents.
        free: [A] int64, joints whose turns are fitted.
    """

    rest: Tensor
    normals: Tensor
    components: Tensor
    weights: Tensor
    mirror: Tensor
    joints: Tensor
    joint_components: Tensor
    below: Tensor
    levels: tuple[tuple[Tensor, Tensor], ...]
    free: Tensor


@cache
def landmarks() -> Landmarks:
    """The first `POINTS` landmarks of the surface."""
    from anonymize.bodies.body import vertex_normals

    body, surface = load_body(), load_surface()
    chosen = surface.landmarks[:POINTS]
    rest = torch.from_numpy(surface.vertices[chosen])
    mirrored = torch.from_numpy(surface.vertices[surface.mirror[chosen]])
    count = len(JOINTS)
    below = torch.eye(count)
    depth = [0] * count
    for j, parent in enumerate(body.parents):
        if parent >= 0:
            below[j] += below[parent]
            depth[j] = depth[parent] + 1
    levels = []
    for level in range(1, max(depth) + 1):
        members = [j for j in range(count) if depth[j] == level]
        levels.append((torch.tensor(members), torch.tensor([body.parents[j] for j in members])))
    return Landmarks(
        rest=rest,
        normals=vertex_normals(body.body.vertices, body.body.faces)[chosen],
        components=body.body.components[:SHAPES, chosen],
        weights=body.body.weights[chosen],
        mirror=torch.cdist(mirrored, rest).argmin(1),
        joints=body.joints,
        joint_components=body.joint_components[:SHAPES],
        below=below,
        levels=tuple(levels),
        free=torch.tensor([j for j, n in enumerate(JOINTS) if n.partition(".")[0] not in ("root", "fingers", "toes")]),
    )


def swung(turns: Tensor) -> Tensor:
    """Rotations [..., 3, 3] of swings and twists [..., 3]."""
    swing = exponential(functional.pad(turns[..., :2], (0, 1)))
    return swing @ exponential(functional.pad(turns[..., 2:], (2, 0)))


@cache
def usual_poses() -> tuple[Tensor, Tensor]:
    """Centre [A, 3] and precision [3 A, 3 A] of the free joints' turns, of people in real pictures and mirrored ones.

    The mean of people who stand, sit and run is a crouch, which is no usual pose; so the centre stands at ease.
    """
    angles = np.radians(real_poses())  # [M, J, 3] forward, side, twist
    x, y, z = (torch.zeros(*angles.shape[:2], 3) for _ in range(3))
    for j, name in enumerate(JOINTS):
        side = name.partition(".")[2]
        sign = -1.0 if side == "R" else 1.0
        forward, aside, twist = (torch.from_numpy(angles[:, j, k]) for k in range(3))
        x[:, j, 0] = -forward if side else forward
        y[:, j, 1] = -sign * aside
        z[:, j, 2] = sign * twist
    turns = swing_twist(exponential(z) @ exponential(y) @ exponential(x))
    mirrored = turns[:, OTHER_SIDE] * MIRRORED_TURN
    free = landmarks().free
    both = torch.cat([turns, mirrored])[:, free]
    low, high = limits()[2:, free]
    flat = both.clamp(low, high).flatten(1)
    mean = flat.mean(0).view(-1, 3)
    for row, j in enumerate(free.tolist()):
        mean[row, 0] = AT_EASE.get(JOINTS[j].partition(".")[0], float(mean[row, 0]))
    mean = mean.flatten()
    centred = flat - mean
    covariance = centred.T @ centred / len(flat) + 0.1**2 * torch.eye(flat.shape[1])
    return mean.view(-1, 3), torch.linalg.inv(covariance)


@dataclass(frozen=True, eq=False)
class Posed:
    """Landmarks of B posed bodies, in rest axes, metres, the root joint at the origin.

    Attributes:
        places, normals: [B, N, 3].
        turn: [B, J, 3, 3] and joint [B, J, 3], where each joint is.
        carried: [B, N, J, 3], share of each landmark that each joint carries, at its posed place.
    """

    places: Tensor
    normals: Tensor
    turn: Tensor
    joint: Tensor
    carried: Tensor


def chain(joints: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
    """Turns [B, J, 3, 3] and places [B, J, 3] of posed joints, the root at the origin.

    Args:
        joints: [B, J, 3] at rest.
        rotations: [B, J, 3, 3] relative to the parent.
    """
    turn, place = rotations.clone(), torch.zeros_like(joints)
    for members, parents in landmarks().levels:
        above = turn[:, parents]
        turn[:, members] = above @ rotations[:, members]
        bone = joints[:, members] - joints[:, parents]
        place[:, members] = place[:, parents] + (above @ bone[..., None])[..., 0]
    return turn, place


def pose_landmarks(pose: BodyPose) -> Posed:
    """The landmarks where a pose puts them."""
    marks = landmarks()
    rest = marks.rest + torch.einsum("br,rnc->bnc", pose.shape, marks.components)
    joints = marks.joints + torch.einsum("br,rjc->bjc", pose.shape, marks.joint_components)
    turn, joint = chain(joints, pose.rotations())
    shift = joint - (turn @ joints[..., None])[..., 0]
    # [B, N, J, 3]: where each joint alone would carry each landmark
    moved = torch.einsum("bjxy,bny->bnjx", turn, rest) + shift[:, None]
    carried = moved * marks.weights[None, :, :, None]
    blended = (marks.weights @ turn.flatten(2)).view(len(rest), len(marks.rest), 3, 3)
    normals = functional.normalize((blended @ marks.normals[None, :, :, None])[..., 0], dim=2)
    return Posed(carried.sum(2), normals, turn, joint, carried)


def project(places: Tensor, camera: Tensor) -> Tensor:
    """Pixels [B, N, 2] of places [B, N, 3] in rest axes."""
    return camera[:, None, :1].exp() * to_camera(places)[..., :2] + camera[:, None, 1:]


def flat_cross(axes: Tensor, arms: Tensor) -> Tensor:
    """Column and row (camera axes) of axis x arm, [B, N, A, M, 2], of axes [B, A, M, 3] and arms [B, N, A, 3]."""
    a, c = axes[:, None], arms[:, :, :, None]
    column = a[..., 1] * c[..., 2] - a[..., 2] * c[..., 1]
    height = a[..., 0] * c[..., 1] - a[..., 1] * c[..., 0]
    return torch.stack([column, -height], -1)


def axes_of(pose: BodyPose, posed: Posed) -> Tensor:
    """World axes [B, A, 3, 3] (last: axis number) about which each free joint turns as its numbers grow."""
    marks = landmarks()
    free = marks.free
    parents = torch.tensor(load_body().parents)[free]
    left = frames()[0][free]
    turns = pose.turns[:, free]
    swing = functional.pad(turns[..., :2], (0, 1))
    square = swing.square().sum(-1)[..., None, None] + 1e-8
    angle = square.sqrt()
    x, y, _ = swing.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, zero, y, zero, zero, -x, -y, x, zero], -1).view(*x.shape, 3, 3)
    jacobian = (
        torch.eye(3) + (1 - angle.cos()) / square * cross + (angle - angle.sin()) / (square * angle) * cross @ cross
    )
    twist = exponential(swing)[..., 2:]
    local = torch.cat([jacobian[..., :2], twist], -1)  # [B, A, 3, 3], columns are axes
    return (posed.turn[:, parents] @ left @ local).transpose(-1, -2)


def jacobian(pose: BodyPose, posed: Posed) -> Tensor:
    """Derivative [B, N, 2, C] of the landmarks' pixels, in metres.

    Columns: 3 of the root's turn, 3 of each free joint's, shape, logarithm of the scale, place.
    """
    marks = landmarks()
    count = len(pose)
    share = marks.weights @ marks.below  # [N, J]: how much of a landmark hangs below a joint
    arms = torch.einsum("bnkc,kj->bnjc", posed.carried, marks.below) - posed.joint[:, None] * share[None, :, :, None]
    root_axes = torch.eye(3).expand(count, 1, 3, 3)
    axes = torch.cat([root_axes, axes_of(pose, posed)], 1)
    chosen = torch.cat([torch.zeros(1, dtype=torch.int64), marks.free])
    turning = flat_cross(axes, arms[:, :, chosen]).flatten(2, 3).transpose(2, 3)  # [B, N, 2, 3 (A + 1)]
    moved = torch.zeros(count, SHAPES, len(JOINTS), 3)
    bones = marks.joint_components
    for members, parents in marks.levels:
        along = bones[:, members] - bones[:, parents]  # [R, M, 3]
        moved[:, :, members] = moved[:, :, parents] + torch.einsum("bmxy,rmy->brmx", posed.turn[:, parents], along)
    moved = moved - torch.einsum("bjxy,rjy->brjx", posed.turn, bones)
    blended = (marks.weights @ posed.turn.flatten(2)).view(count, len(marks.rest), 3, 3)
    growing = torch.einsum("bnxy,rny->bnrx", blended, marks.components)
    growing = growing + torch.einsum("nj,brjx->bnrx", marks.weights, moved)
    growing = to_camera(growing)[..., :2].transpose(2, 3)  # [B, N, 2, R]
    scaling = to_camera(posed.places)[..., :2, None]
    placing = torch.eye(2).expand(count, len(marks.rest), 2, 2)
    return torch.cat([turning, growing, scaling, placing], 3)


def rotation_vector(turn: Tensor) -> Tensor:
    """Axis times angle [..., 3] of rotations [..., 3, 3], not beyond half a turn."""
    skew = torch.stack(
        [turn[..., 2, 1] - turn[..., 1, 2], turn[..., 0, 2] - turn[..., 2, 0], turn[..., 1, 0] - turn[..., 0, 1]], -1
    )
    sine = skew.norm(dim=-1, keepdim=True) / 2
    cosine = (turn.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) - 1) / 2
    vector: Tensor = skew / (2 * sine).clamp(min=1e-6) * torch.atan2(sine, cosine)
    return vector


@dataclass(frozen=True, eq=False)
class Before:
    """What is known of B people from the picture before.

    Attributes:
        pose: Then, moved to where they should be now.
        turn_sigma, root_sigma: [B], how far joints and the whole body may have turned, radians.
        shape_sigma, scale_sigma, place_sigma: [B], of shape coefficients, logarithm of the scale, metres.
    """

    pose: BodyPose
    turn_sigma: Tensor
    root_sigma: Tensor
    shape_sigma: Tensor
    scale_sigma: Tensor
    place_sigma: Tensor

    @classmethod
    def cat(cls, several: Sequence[Before]) -> Before:
        """The people of several, one after the other."""
        rest = (torch.cat([getattr(b, f.name) for b in several]) for f in fields(cls)[1:])
        return cls(BodyPose.cat([b.pose for b in several]), *rest)


class BodyFitter:
    """Fits bodies to what a detector says.

    Args:
        vertex_embedding: [L, D] float, the detector's embedding of the surface's landmarks.
    """

    def __init__(self, vertex_embedding: Tensor) -> None:
        self._table = functional.normalize(vertex_embedding[:POINTS].float().cpu(), dim=1).T.contiguous()

    def observe(
        self, box_xyxy: FloatArray, mask: BoolArray, corner_xy: tuple[int, int], free: BoolArray, embedding: Tensor
    ) -> Observation | None:
        """What is seen of one person; None where that is too little.

        Args:
            box_xyxy: [4], the person's box, in pixels of the frame.
            mask: [h, w] bool, the person.
            corner_xy: Column and row of the mask's first pixel in the frame.
            free: [h + 2 m, w + 2 m] bool for a margin m: where the person may be, seen or not: the mask, what is in
                front of it, and outside of the frame.
            embedding: [D, S, S] float over the box.
        """
        if not np.isfinite(box_xyxy).all() or (box_xyxy[2:] - box_xyxy[:2]).min() < LEAST_BOX_PX:
            return None
        size = embedding.shape[-1]
        steps = (np.arange(size) + 0.5) / size
        x = box_xyxy[0] + steps * (box_xyxy[2] - box_xyxy[0])
        y = box_xyxy[1] + steps * (box_xyxy[3] - box_xyxy[1])
        column, row = np.floor(x - corner_xy[0]).astype(np.int64), np.floor(y - corner_xy[1]).astype(np.int64)
        height, width = mask.shape
        inside = np.zeros((size, size), np.bool_)
        within = ((row >= 0) & (row < height))[:, None] & ((column >= 0) & (column < width))[None]
        inside[within] = mask[row.clip(0, height - 1)[:, None], column.clip(0, width - 1)[None]][within]
        planes = embedding.float().cpu()
        known = inside.ravel() & (planes.abs().amax(0) > 0).numpy().ravel()
        order = spread_order(size)
        cells = order[known[order]][:PIXELS]
        if len(cells) < PIXELS // 8:
            return None
        points = np.stack([x[cells % size], y[cells // size]], 1)
        similar = functional.normalize(planes.flatten(1)[:, cells].T, dim=1) @ self._table * SIMILARITY_SCALE
        own = similar.log_softmax(1)
        scores = torch.logaddexp(own + np.log(1 - MIRRORED), own[:, landmarks().mirror] + np.log(MIRRORED))
        missing = PIXELS - len(cells)
        margin = (free.shape[0] - height) // 2
        box = (
            corner_xy[0] - margin,
            corner_xy[1] - margin,
            corner_xy[0] + width + margin,
            corner_xy[1] + height + margin,
        )
        return Observation(
            pixels=functional.pad(torch.from_numpy(points).float(), (0, 0, 0, missing))[None],
            scores=functional.pad(scores, (0, 0, 0, missing))[None],
            weights=functional.pad(torch.ones(len(cells)), (0, missing))[None],
            field=distance_field(free)[None],
            field_box=torch.tensor([box], dtype=torch.float32),
            heading=torch.zeros(1, 3),
        )

    @torch.no_grad()
    def begin(self, seen: Observation) -> Fit:
        """Fit people of whom nothing is known: from several directions, the best of which is kept."""
        count = len(seen)
        rows = torch.arange(count).repeat_interleave(STARTS)
        many = seen[rows]
        pose = first_poses(many, torch.arange(STARTS).repeat(count) * (2 * torch.pi / STARTS))
        for sigma in (0.25, 0.2, 0.16, 0.13, 0.1):
            pose = improve(many, pose, sigma)
        cost = self.cost(many, pose, 0.1).view(count, STARTS)
        best = cost.topk(2, largest=False).indices + torch.arange(count)[:, None] * STARTS
        many, pose = many[best.flatten()], pose[best.flatten()]
        for sigma in (0.1, 0.08, 0.08, 0.06, 0.06, 0.06):
            pose = improve(many, pose, sigma)
        cost = self.cost(many, pose, 0.06).view(count, 2)
        chosen = cost.argmin(1) + torch.arange(count) * 2
        return self._judged(seen, pose[chosen])

    @torch.no_grad()
    def follow(self, seen: Observation, before: Before, *, steps: int = STEPS) -> Fit:
        """Fit people from where they were before."""
        pose = before.pose
        for sigma in np.linspace(0.1, 0.06, steps).tolist():
            pose = improve(seen, pose, sigma, before)
        return self._judged(seen, pose)

    def _judged(self, seen: Observation, pose: BodyPose) -> Fit:
        rows = torch.arange(len(pose))
        both = BodyPose.cat([pose, flipped(pose)])
        return Fit(pose, self.cost(seen[torch.cat([rows, rows])], both, 0.06).view(2, -1).T)

    def cost(self, seen: Observation, pose: BodyPose, sigma: float) -> Tensor:
        """[B], what the steps bring down: surface, mask and prior; infinite where the steps failed."""
        mean, precision = usual_poses()
        off = (pose.turns[:, landmarks().free] - mean).flatten(1)
        unusual = 0.5 * ((off @ precision) * off).sum(1)
        posed = pose_landmarks(pose)
        scale = pose.camera[:, 0].exp()
        out = field_at(seen, project(posed.places, pose.camera))[:, 0] / scale[:, None]
        outside = (out.square() / (1 + (out / RIM_M).square() / 4)).mean(1) / RIM_M**2
        tilt = (pose.root[:, :, 2] - torch.tensor(UP)).square().sum(1) / (2 * UP_SIGMA**2)
        aside = seen.heading.norm(dim=1) - (ahead_of(pose) * seen.heading).sum(1)
        cost = WITNESSES * (surprise(seen, pose, sigma) + outside) + unusual + tilt + aside
        known: Tensor = cost.nan_to_num(nan=torch.inf)
        return known


@cache
def spread_order(size: int) -> np.ndarray:
    """The cells of a square in an order whose beginning is spread over all of it."""
    return np.random.default_rng(0).permutation(size * size)


def distance_field(free: BoolArray) -> Tensor:
    """[3, F, F] float32: distance from `free` [h, w] in its pixels, and its derivative by column and row."""
    height, width = free.shape
    small = cv2.resize(free.astype(np.uint8), (FIELD, FIELD), interpolation=cv2.INTER_NEAREST)
    if not small.any():
        return torch.zeros(3, FIELD, FIELD)
    # cells are not square; the distance is measured along the finer axis, good enough near the outline
    distance = cv2.distanceTransform(1 - small, cv2.DIST_L2, 3) * (height / FIELD + width / FIELD) / 2
    down, across = np.gradient(distance)
    return torch.from_numpy(np.stack([distance, across / (width / FIELD), down / (height / FIELD)]).astype(np.float32))


def field_at(seen: Observation, points: Tensor) -> Tensor:
    """Distance and gradient [B, 3, N] at pixels [B, N, 2]; 0 far away."""
    low, high = seen.field_box[:, None, :2], seen.field_box[:, None, 2:]
    grid = (points - low) / (high - low) * 2 - 1
    return functional.grid_sample(seen.field, grid[:, None], align_corners=False, padding_mode="border")[:, :, 0]


def affinities(seen: Observation, points: Tensor, facing: Tensor, reach: Tensor) -> Tensor:
    """Log likelihood [B, P, N] of each pixel together with each landmark.

    Args:
        seen: The pixels.
        points: [B, N, 2], where the landmarks are.
        facing: [B, N], cosine between a landmark's normal and the way to the camera.
        reach: [B], standard deviation of a pixel from its landmark, pixels.
    """
    near = points / reach[:, None, None]
    here = seen.pixels / reach[:, None, None]
    middle = near.mean(1, keepdim=True)
    near, here = near - middle, here - middle
    square = here.square().sum(2)[:, :, None] + near.square().sum(2)[:, None] - 2 * here @ near.transpose(1, 2)
    return seen.scores - 0.5 * square + functional.logsigmoid(12 * (facing + 0.15))[:, None]


def surprise(seen: Observation, pose: BodyPose, sigma: float) -> Tensor:
    """[B], mean negative log likelihood of the pixels; from about 0 up to -`OUTLIER`."""
    posed = pose_landmarks(pose)
    scale = pose.camera[:, 0].exp()
    joint = affinities(seen, project(posed.places, pose.camera), -posed.normals[..., 1], sigma * scale)
    value = torch.logaddexp(joint.logsumexp(2), torch.tensor(OUTLIER))
    return -(value * seen.weights).sum(1) / seen.weights.sum(1).clamp(min=1)


def responsibilities(seen: Observation, pose: BodyPose, sigma: float) -> Tensor:
    """Probability [B, P, N] that each pixel shows each landmark; rows add up to less than 1 where it may show none."""
    posed = pose_landmarks(pose)
    reach = sigma * pose.camera[:, 0].exp()
    joint = affinities(seen, project(posed.places, pose.camera), -posed.normals[..., 1], reach)
    return shares_of(joint) * seen.weights[:, :, None]


def shares_of(joint: Tensor) -> Tensor:
    """Probabilities [B, P, N] of log likelihoods, beside that of no landmark."""
    top = joint.amax(2, keepdim=True).clamp(min=OUTLIER)
    share = (joint - top).exp()
    return share / (share.sum(2, keepdim=True) + (OUTLIER - top).exp())


def improve(seen: Observation, pose: BodyPose, sigma: float, before: Before | None = None) -> BodyPose:
    """One step of expectation maximisation; those of whom it cannot be solved get a pose of NaN.

    Args:
        seen: What is seen of B people.
        pose: Where they are thought to be.
        sigma: Standard deviation of a pixel from its landmark, metres.
        before: Where they were, if that is known.
    """
    marks = landmarks()
    count, free = len(pose), marks.free
    posed = pose_landmarks(pose)
    scale = pose.camera[:, 0].exp()
    points = project(posed.places, pose.camera)
    joint = affinities(seen, points, -posed.normals[..., 1], sigma * scale)
    share = shares_of(joint) * seen.weights[:, :, None]
    mass = share.sum(1)  # [B, N]
    target = (share.transpose(1, 2) @ seen.pixels) / mass.clamp(min=1e-6)[..., None]
    each = WITNESSES / seen.weights.sum(1).clamp(min=1) / sigma**2
    weight = mass * each[:, None]
    miss = (target - points) / scale[:, None, None]  # metres
    slopes = jacobian(pose, posed)  # [B, N, 2, C]
    weighted = slopes * weight[..., None, None]
    columns = slopes.shape[3]
    normal = weighted.flatten(1, 2).transpose(1, 2) @ slopes.flatten(1, 2)
    pull = (weighted.flatten(1, 2).transpose(1, 2) @ miss.flatten(1)[..., None])[..., 0]

    distance, across, down = field_at(seen, points).unbind(1)
    out = distance / scale[:, None]
    trust = 2 * WITNESSES / POINTS / RIM_M**2 / (1 + (out / RIM_M).square() / 4).square()
    slope = slopes[:, :, 0] * across[..., None] + slopes[:, :, 1] * down[..., None]  # [B, N, C]
    sloped = slope * (trust * (out > 0))[..., None]
    normal = normal + sloped.transpose(1, 2) @ slope
    pull = pull - (sloped.transpose(1, 2) @ out[..., None])[..., 0]

    mean, precision = usual_poses()
    low, high = limits()[2:, free]
    turns = pose.turns[:, free]
    span = slice(3, 3 + 3 * len(free))
    shape = slice(span.stop, span.stop + SHAPES)
    normal[:, span, span] += precision
    pull[:, span] += ((mean - turns).flatten(1)) @ precision
    beyond = ((low - turns).clamp(min=0) - (turns - high).clamp(min=0)).flatten(1)
    stop = 100.0 * (beyond != 0)
    diagonal = torch.zeros(count, columns)
    diagonal[:, span] += stop
    pull[:, span] += stop * beyond
    diagonal[:, shape] += 1.0
    pull[:, shape] -= pose.shape
    if before is not None:
        then = before.pose
        hold = before.turn_sigma[:, None] ** -2
        diagonal[:, span] += hold
        pull[:, span] += hold * (then.turns[:, free] - turns).flatten(1)
        hold = before.root_sigma[:, None] ** -2
        diagonal[:, :3] += hold
        pull[:, :3] += hold * rotation_vector(then.root @ pose.root.transpose(1, 2))
        hold = before.shape_sigma[:, None] ** -2
        diagonal[:, shape] += hold
        pull[:, shape] += hold * (then.shape - pose.shape)
        hold = before.scale_sigma**-2
        diagonal[:, -3] += hold
        pull[:, -3] += hold * (then.camera[:, 0] - pose.camera[:, 0])
        hold = before.place_sigma[:, None] ** -2
        diagonal[:, -2:] += hold
        pull[:, -2:] += hold * (then.camera[:, 1:] - pose.camera[:, 1:]) / scale[:, None]
    axis, up = pose.root[:, :, 2], torch.tensor(UP)
    normal[:, :3, :3] += (torch.eye(3) - axis[:, :, None] * axis[:, None]) / UP_SIGMA**2
    pull[:, :3] += torch.linalg.cross(axis, up.expand_as(axis)) / UP_SIGMA**2
    ahead = ahead_of(pose)
    sure = seen.heading.norm(dim=1)[:, None, None]
    normal[:, :3, :3] += sure * (torch.eye(3) - ahead[:, :, None] * ahead[:, None])
    pull[:, :3] += torch.linalg.cross(ahead, seen.heading)
    diagonal += 1.0  # steps stay where the model is true
    normal = normal + torch.diag_embed(diagonal)
    factor, failed = torch.linalg.cholesky_ex(normal)
    step = torch.cholesky_solve(pull[..., None], factor)[..., 0]
    return moved(pose, step.masked_fill(failed[:, None] != 0, torch.nan))


def moved(pose: BodyPose, step: Tensor) -> BodyPose:
    """A pose after a step [B, C] in the columns of `jacobian`, as far as one may go at once."""
    free = landmarks().free
    root, rest = step[:, :3], step[:, 3:]
    root = root * (0.6 / root.norm(dim=1, keepdim=True)).clamp(max=1)
    turns = pose.turns.clone()
    turns[:, free] += rest[:, : 3 * len(free)].view(len(pose), -1, 3).clamp(-0.5, 0.5)
    rest = rest[:, 3 * len(free) :]
    camera = pose.camera.clone()
    camera[:, 0] += rest[:, -3].clamp(-0.3, 0.3)
    camera[:, 1:] += rest[:, -2:] * pose.camera[:, :1].exp()
    return BodyPose(
        exponential(root) @ pose.root, turns, (pose.shape + rest[:, :SHAPES].clamp(-1, 1)).clamp(-3, 3), camera
    )


def first_poses(seen: Observation, yaw: Tensor) -> BodyPose:
    """Usual poses of people who face `yaw` [B], as large and where and as tilted as the surface suggests."""
    count = len(seen)
    mean, _ = usual_poses()
    turns = torch.zeros(count, len(JOINTS), 3)
    turns[:, landmarks().free] = mean
    zero = torch.zeros_like(yaw)
    root = exponential(torch.stack([zero, zero, yaw], 1))
    pose = BodyPose(root, turns, torch.zeros(count, SHAPES), torch.zeros(count, 3))
    posed = pose_landmarks(pose)
    places = to_camera(posed.places)[..., :2]
    share = (seen.scores + functional.logsigmoid(12 * (0.15 - posed.normals[..., 1]))[:, None]).exp()
    share = share * seen.weights[:, :, None] / share.sum(2, keepdim=True)
    mass = share.sum((1, 2)).clamp(min=1e-6)[:, None]
    aim, own = (share.sum(2)[..., None] * seen.pixels).sum(1) / mass, (share.sum(1)[..., None] * places).sum(1) / mass
    here, there = seen.pixels - aim[:, None], places - own[:, None]
    # similarity in the plane (Umeyama 1991), of complex numbers
    pulled = share @ there  # [B, P, 2]
    real = (here * pulled).sum((1, 2))
    imaginary = (here[..., 1] * pulled[..., 0] - here[..., 0] * pulled[..., 1]).sum(1)
    size = (share.sum(1)[..., None] * there.square()).sum((1, 2)).clamp(min=1e-6)
    spread = (share.sum(2)[..., None] * here.square()).sum((1, 2))
    scale = (spread / size).sqrt()  # no smaller for doubtful correspondences
    roll = torch.atan2(imaginary, real)
    # a turn in the picture from x to y (down) is one about rest y, away from the camera
    root = exponential(torch.stack([zero, roll, zero], 1)) @ root
    c, s = roll.cos(), roll.sin()
    turned = torch.stack([c * own[:, 0] - s * own[:, 1], s * own[:, 0] + c * own[:, 1]], 1)
    return BodyPose(root, turns, pose.shape, torch.cat([scale.log()[:, None], aim - scale[:, None] * turned], 1))
