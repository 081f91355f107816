"""Draws an avatar as the fitted body stands: colour and alpha, in the pixels of the frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from anonymize.bodies import shading
from anonymize.bodies.articulation import to_camera
from anonymize.bodies.body import JOINT, JOINTS, joint_transforms, load_body, skin
from anonymize.bodies.dressing import mesh_of
from anonymize.bodies.fit import BodyPose, pose_landmarks
from anonymize.bodies.folds import Bend
from anonymize.bodies.look import Look
from anonymize.bodies.raster import rasterize
from anonymize.bodies.shading import Light
from anonymize.bodies.wardrobe import HAIR

FINE = 2
"""Samples along a side of a pixel."""
LARGE_FROM_PX = 300
"""People of this height have details larger than a pixel: one sample, and the outline is smoothed."""
OUTLINE_BLUR_PX = 0.5
COARSE_BELOW_PX = 90
"""People of a smaller height are drawn from the coarse mesh."""
FAR_M = 100.0
"""Distance of the camera: far, as a weak perspective has it."""
LAYER_M = 0.12
"""Depth of a layer, whose samples in a pixel are shaded as one."""
CURLED = -0.45
"""Turn of the fingers of a hand at rest, radians."""
MATCHED = tuple(JOINT[name] for name in JOINTS if name.partition(".")[0] not in ("root", "fingers", "toes", "clavicle"))
"""Joints by which an avatar is put where the fitted body is."""
ADULT_M = 1.7


@dataclass(frozen=True, eq=False)
class Standing:
    """An avatar in its pose, seen by the camera.

    Attributes:
        points: [N, 3] float32: column, row, distance in metres.
        normals: [N, 3], rest axes.
        height_px: A standing person's height at this scale.
        feet: [2, 2], column and row of the middle of each sole.
        bend: What the pose does to cloth.
    """

    points: Tensor
    normals: Tensor
    height_px: float
    feet: Tensor
    bend: Bend


def stand(look: Look, pose: BodyPose) -> Standing:
    """Put an avatar where a fitted body [1] is, in its pose: their joints are as near to each other as may be."""
    body = load_body()
    turns = pose.turns.clone()
    turns[:, [JOINT["fingers.L"], JOINT["fingers.R"]], 0] = CURLED
    rotations = replace(pose, turns=turns).rotations()
    transforms = joint_transforms(look.joints, body.parents, rotations)[0]
    own = (transforms[:, :, :3] @ look.joints[:, :, None])[:, :, 0] + transforms[:, :, 3]
    fitted = pose_landmarks(pose).joint[0]
    a, b = (to_camera(joints[list(MATCHED)])[:, :2] for joints in (own, fitted))
    near, there = a - a.mean(0), b - b.mean(0)
    # seen from the end a body is short: sizes are compared in space
    solid_own, solid = own[list(MATCHED)], fitted[list(MATCHED)]
    size = (solid - solid.mean(0)).square().sum().sqrt() / (solid_own - solid_own.mean(0)).square().sum().sqrt()
    flat = (near * there).sum() / near.square().sum().clamp(min=1e-6)
    factor = torch.where(near.square().sum() > 0.2, flat.clamp(0.9 * size, 1.1 * size), size)
    scale = pose.camera[0, 0].exp() * factor
    middle = pose.camera[0, 0].exp() * b.mean(0) + pose.camera[0, 1:]
    height_px = float(scale) * ADULT_M
    mesh = mesh_of(look, low=height_px < COARSE_BELOW_PX)
    vertices, normals = skin(mesh.vertices, mesh.normals, mesh.weights, transforms)
    camera = to_camera(vertices)
    places = scale * (camera[:, :2] - a.mean(0)) + middle
    feet = []
    for side in "LR":
        ankle, toes = (own[JOINT[f"{n}.{side}"]] for n in ("ankle", "toes"))
        sole = to_camera((ankle + toes) / 2)[:2] + torch.tensor([0.0, 0.06])
        feet.append(scale * (sole - a.mean(0)) + middle)
    return Standing(
        torch.cat([places, camera[:, 2:] + FAR_M], 1), normals, height_px, torch.stack(feet), Bend.of(transforms)
    )


@dataclass(frozen=True, eq=False)
class Visible:
    """What is seen of an avatar over a rectangle of the frame, before it is lit.

    Each material of a pixel in each layer of depth is one fragment, however many samples it has (multisampling).

    Attributes:
        alpha: [h, w] float32 in [0, 1].
        pixel: [P] int64, flat index of each fragment's pixel.
        share: [P] float32, samples of the fragment.
        material: [P] int64, row of `table`.
        canonical, normal: [P, 3].
        openness: [P].
        table: [M, C].
        bend: What the pose does to cloth.
    """

    alpha: Tensor
    pixel: Tensor
    share: Tensor
    material: Tensor
    canonical: Tensor
    normal: Tensor
    openness: Tensor
    table: Tensor
    bend: Bend

    def lit(self, light: Light) -> Tensor:
        """Linear colour [h, w, 3], where alpha is above 0.

        Args:
            light: Its direction in rest axes as the camera sees them: z up, -y towards the camera.
        """
        view = self.normal.new_tensor([[0.0, -1.0, 0.0]]).expand_as(self.normal)
        paint = shading.shade(
            self.table, self.material, self.canonical, self.normal, view, self.openness, light, bend=self.bend
        )
        height, width = self.alpha.shape
        sums = torch.zeros(height * width, 4)
        sums.index_add_(0, self.pixel, torch.cat([paint, torch.ones_like(paint[:, :1])], 1) * self.share[:, None])
        return (sums[:, :3] / sums[:, 3:].clamp(min=1)).view(height, width, 3)


def rasterized(look: Look, standing: Standing, box_xyxy: tuple[int, int, int, int]) -> Visible:
    """What is seen of an avatar over a rectangle of the frame, pixels xyxy."""
    left, top, right, bottom = box_xyxy
    height, width = bottom - top, right - left
    mesh = mesh_of(look, low=standing.height_px < COARSE_BELOW_PX)
    fine = FINE if standing.height_px < LARGE_FROM_PX else 1
    points = standing.points.clone()
    points[:, 0] = (points[:, 0] - left) * fine
    points[:, 1] = (points[:, 1] - top) * fine
    corners = points[mesh.faces, :2]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    ahead = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0] < 0  # the outside of closed surfaces
    kept = (ahead | (mesh.pixel_class == HAIR)).nonzero()[:, 0]
    faces = mesh.faces[kept]
    visible = rasterize(points, faces, (height * fine, width * fine))
    wide = width * fine
    pixel = torch.div(visible.pixel, wide * fine, rounding_mode="floor") * width
    pixel = pixel + torch.div(visible.pixel % wide, fine, rounding_mode="floor")
    material = mesh.material[kept][visible.face]
    layer = (visible.depth / LAYER_M).long() % 16
    key, order = ((pixel * len(mesh.table) + material) * 16 + layer).sort(stable=True)
    _, count = torch.unique_consecutive(key, return_counts=True)
    chosen = order[count.cumsum(0) - count]
    seen = replace(visible[chosen], pixel=pixel[chosen])
    columns = torch.cat([mesh.canonical, standing.normals, mesh.openness[:, None]], 1)
    values = seen.interpolate(columns, faces)
    taken = seen.occlusion((height, width), standing.height_px / ADULT_M)
    return Visible(
        alpha=(torch.bincount(pixel, minlength=height * width) / fine**2).view(height, width),
        pixel=seen.pixel,
        share=count.float(),
        material=material[chosen],
        canonical=values[:, :3],
        normal=values[:, 3:6],
        openness=values[:, 6] * (1 - taken),
        table=mesh.table,
        bend=standing.bend,
    )


def outline(standing: Standing, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """The rectangle xyxy of whole pixels that holds an avatar, as far as it is in the frame; empty outside of it."""
    low = np.floor(standing.points[:, :2].amin(0).numpy()).astype(int) - 1
    high = np.ceil(standing.points[:, :2].amax(0).numpy()).astype(int) + 1
    left, top = (int(v) for v in low.clip(0, (size_hw[1], size_hw[0])))
    right, bottom = (int(v) for v in high.clip(0, (size_hw[1], size_hw[0])))
    return left, top, right, bottom
