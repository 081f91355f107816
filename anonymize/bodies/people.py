"""Random people with bags; and one of them drawn alone with exact truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from anonymize.bodies import shading
from anonymize.bodies.body import JOINT, joint_transforms, load_body, skin
from anonymize.bodies.camera import Camera
from anonymize.bodies.colours import cloth_colour
from anonymize.bodies.dressing import Add, dress
from anonymize.bodies.folds import Bend
from anonymize.bodies.look import LATENT, Look, normal_number, span
from anonymize.bodies.poses import Angles, aligning, random_pose, rotations
from anonymize.bodies.raster import rasterize
from anonymize.bodies.shading import Light, Material, random_light
from anonymize.bodies.wardrobe import ACCESSORY, CLOTHES, HAIR, NOTHING, SKIN, Mesh, Wardrobe, blob
from anonymize.core.types import FloatArray, UInt8Array

__all__ = [
    "ACCESSORY",
    "CLOTHES",
    "HAIR",
    "NOTHING",
    "SKIN",
    "Person",
    "RenderedPerson",
    "random_person",
    "render_person",
]
ROOT_TO_SEAT = 0.057  # from the root joint down to what one sits on, as a share of the height


@dataclass(frozen=True, eq=False)
class Person:
    """A person with what they carry, in every detail but the pose.

    Attributes:
        look: What the meshes are made from, when first asked for: few people are seen close and far at once.
        bags: Seed of what they carry.
        joints: [J, 3] float32 at rest.
        height_m: Without shoes and hat.
        leg_m: Hip to ankle, for the stride.
    """

    look: Look
    bags: int
    joints: Tensor
    height_m: float
    leg_m: float

    @cached_property
    def mesh(self) -> Mesh:
        """For close views."""
        return self._dressed(low=False)

    @cached_property
    def coarse(self) -> Mesh:
        """For distant views."""
        return self._dressed(low=True)

    def _dressed(self, *, low: bool) -> Mesh:
        rng = np.random.default_rng(self.bags)
        return dress(self.look, low=low, more=lambda w, add: carry(w, rng, add)).to(self.joints.device)

    def to(self, device: torch.device | str) -> Person:
        """The same person with tensors on another device."""
        return self if self.joints.device == torch.device(device) else replace(self, joints=self.joints.to(device))

    def posed(self, angles: Angles, *, coarse: bool = False) -> tuple[Tensor, Tensor]:
        """World vertices and normals [N, 3]: facing -y, standing on z = 0 with the root above the origin."""
        vertices, normals = self._moved(angles, self.coarse if coarse else self.mesh)
        return vertices - self._origin(vertices), normals

    def origin(self, angles: Angles) -> Tensor:
        """[3], the point of the body model's world that `posed` puts at 0."""
        return self._origin(self._moved(angles, self.coarse)[0])

    def _origin(self, vertices: Tensor) -> Tensor:
        return torch.stack([self.joints[0, 0], self.joints[0, 1], vertices[:, 2].min()])

    def seat_m(self, angles: Angles) -> float:
        """Height of the seat under a person in a sitting pose whose lowest point is at 0."""
        lowest = self._moved(angles, self.coarse)[0][:, 2].min()
        return float(self.joints[0, 2] - lowest) - ROOT_TO_SEAT * self.height_m

    def transforms(self, angles: Angles) -> Tensor:
        """Where each joint takes what hangs on it, [J, 3, 4] (`joint_transforms`)."""
        turns = torch.from_numpy(rotations(angles))[None].to(self.joints.device)
        return joint_transforms(self.joints, load_body().parents, turns)[0]

    def _moved(self, angles: Angles, mesh: Mesh) -> tuple[Tensor, Tensor]:
        return skin(mesh.vertices, mesh.normals, mesh.weights, self.transforms(angles))


def random_person(rng: Generator) -> Person:
    """A person of random shape (children too), skin, hair, clothes and bags."""
    model = load_body()
    index = int(rng.integers(len(model.shapes)))
    z = rng.standard_normal(LATENT)
    z[span("sex")[0]] = abs(z[span("sex")[0]]) * (1 if model.shape_female[index] else -1)
    z[span("age")[0]] = normal_number((int(model.shape_years[index]) - 16) / 69)
    return person_of(Look(z, model.shapes[index]), bags=int(rng.integers(1 << 62)))


def person_of(look: Look, *, bags: int) -> Person:
    """Who has a look."""
    model = load_body()
    joints = look.joints
    top = model.surface.vertices[:, 2].argmax()
    height = float(model.surface.vertices[top, 2] + look.shape @ model.body.components[:, top, 2])
    leg = float((joints[JOINT["hip.L"]] - joints[JOINT["ankle.L"]]).norm())
    return Person(look, bags, joints, height, leg)


def carry(w: Wardrobe, rng: Generator, add: Add) -> None:
    """Backpack, handbag, shoulder bag, shopping bags, of three in ten."""
    if rng.random() > 0.3:
        return
    colour = cloth_colour(rng.standard_normal(3), lightness=30, spread=16, chroma=0.5)
    row = add(Material(colour, folds=0.2, gloss=0.05, grain=0.05))
    kind = rng.choice(["backpack", "shoulder", "hand", "both"], p=[0.4, 0.25, 0.25, 0.1])
    surface = w.model.surface.vertices
    joints = w.model.joints.numpy()
    if kind == "backpack":
        tall, deep = float(rng.uniform(0.32, 0.5)), float(rng.uniform(0.12, 0.22))
        spot = np.linalg.norm(surface - np.array([0, 0.14, 1.3]), axis=1).argmin()
        centre = (0.0, float(surface[spot, 1]) + deep / 2 - 0.01, 1.46 - tall / 2)
        points, faces = blob(centre, (float(rng.uniform(0.26, 0.34)), deep, tall), 0.45)
        w.attached(points, faces, "chest", row, ACCESSORY, anchor=int(spot), surface=False)
        for side in (-1, 1):  # straps
            strap, strap_faces = blob((side * 0.115, -0.10, 1.33), (0.045, 0.03, 0.26), 0.6)
            front = int(np.linalg.norm(surface - np.array([side * 0.115, -0.1, 1.33]), axis=1).argmin())
            strap[:, 1] += surface[front, 1] - 0.012 + 0.10
            w.attached(strap, strap_faces, "chest", row, ACCESSORY, anchor=front, surface=True)
        return
    if kind == "shoulder":
        hip = float(rng.choice([-1, 1]))
        spot = np.linalg.norm(surface - np.array([hip * 0.2, 0.0, 0.95]), axis=1).argmin()
        size = (float(rng.uniform(0.08, 0.14)), float(rng.uniform(0.22, 0.36)), float(rng.uniform(0.18, 0.3)))
        points, faces = blob((float(surface[spot, 0]) + hip * (size[0] / 2 + 0.02), 0.0, 0.95), size, 0.4)
        w.attached(points, faces, "root", row, ACCESSORY, anchor=int(spot), surface=False)
        return
    for hand in ("L", "R") if kind == "both" else (str(rng.choice(["L", "R"])),):
        wrist, knuckles = joints[JOINT[f"wrist.{hand}"]], joints[JOINT[f"fingers.{hand}"]]
        away = (knuckles - wrist) / np.linalg.norm(knuckles - wrist)
        size = (float(rng.uniform(0.08, 0.16)), float(rng.uniform(0.24, 0.36)), float(rng.uniform(0.22, 0.38)))
        points, faces = blob((0, 0, -size[2] / 2 - 0.03), size, 0.4)
        # the bag hangs along the hand in the rest pose, hence down when the arm does
        points = points @ aligning(np.array([0, 0, -1.0]), away).T + knuckles
        spot = np.linalg.norm(surface - knuckles, axis=1).argmin()
        w.attached(points, faces, f"wrist.{hand}", row, ACCESSORY, anchor=int(spot), surface=False)


@dataclass(frozen=True, eq=False)
class RenderedPerson:
    """One person on transparent ground.

    Attributes:
        image: [h, w, 3] uint8 RGB, extended a little beyond the outline so that resizing does not darken the rim.
        alpha: [h, w] uint8, 255 where the person covers the whole pixel.
        vertex: [h, w] int32, vertex of the body surface, -1 where there is none (background, bags).
        pixel_class: [h, w] uint8, NOTHING, SKIN, CLOTHES, HAIR, ACCESSORY.
        camera: The camera it was seen by.
        box_xyxy: Of the person within the picture, pixels.
    """

    image: UInt8Array
    alpha: UInt8Array
    vertex: np.ndarray
    pixel_class: UInt8Array
    camera: Camera
    box_xyxy: tuple[int, int, int, int]


def render_person(
    rng: Generator,
    *,
    height_px: int,
    person: Person | None = None,
    pose: Angles | None = None,
    light: Light | None = None,
    camera_height_m: float | None = None,
    heading_degrees: float | None = None,
    real_share: float = 0.0,
    device: str = "cpu",
) -> RenderedPerson:
    """Draw one person as a street, dashcam or hand camera sees them.

    Args:
        rng: Source of everything that is not given.
        height_px: Height of the picture; the person fills it but for a margin.
        person: Who; random by default.
        pose: Joint angles; random by default.
        light: Light; random by default.
        camera_height_m: Height of the camera above the ground; random by default.
        heading_degrees: Direction the person faces, 0 towards the camera; random by default.
        real_share: Share of random poses that are a real person's.
        device: Where to draw.
    """
    who = (random_person(rng) if person is None else person).to(device)
    angles = random_pose(rng, real_share=real_share) if pose is None else pose
    lamp = random_light(rng) if light is None else light
    coarse = height_px < 90
    mesh = who.coarse if coarse else who.mesh
    vertices, normals = who.posed(angles, coarse=coarse)
    heading = float(rng.uniform(-180, 180)) if heading_degrees is None else heading_degrees
    spin = torch.from_numpy(_yaw(heading)).to(vertices)
    vertices, normals = vertices @ spin.T, normals @ spin.T
    distance = float(np.exp(rng.uniform(np.log(2.5), np.log(25))))
    if camera_height_m is None:
        low = rng.random() < 0.65
        camera_height_m = (
            float(rng.uniform(0.9, 1.9)) if low else distance * float(np.tan(np.radians(rng.uniform(5, 50)))) + 1
        )
    middle = vertices[:, 2].max().item() / 2
    camera = Camera.looking_at(
        (0.0, -distance, camera_height_m), (0.0, 0.0, middle), 1000.0, (0, 0), roll=float(rng.normal(0, 2))
    )
    flat = camera.project(vertices)
    low_xy, high_xy = flat[:, :2].amin(0), flat[:, :2].amax(0)
    scale = 2 * (height_px * 0.96) / float(high_xy[1] - low_xy[1])
    margin = 0.02 * height_px * 2
    width = int(np.ceil((float(high_xy[0] - low_xy[0]) * scale + 2 * margin) / 2)) * 2
    size = (2 * height_px, width)
    flat = torch.cat([(flat[:, :2] - low_xy) * scale + margin, flat[:, 2:]], 1)
    visible = rasterize(flat, mesh.faces, size)
    canonical = visible.interpolate(mesh.canonical, mesh.faces)
    openness = visible.interpolate(mesh.openness[:, None], mesh.faces)[:, 0]
    normal = visible.interpolate(normals, mesh.faces)
    view = torch.tensor(camera.position).to(vertices) - visible.interpolate(vertices, mesh.faces)
    row = mesh.material[visible.face]
    openness = openness * (1 - visible.occlusion(size, scale / 2 * 1000 / distance * 2))
    bend = Bend.of(who.transforms(angles), spin)
    colour = shading.encode(shading.shade(mesh.table, row, canonical, normal, view, openness, lamp, bend=bend))
    owner = mesh.owner[visible.nearest_corner(mesh.faces)]
    kind = mesh.pixel_class[visible.face]

    count = size[0] * size[1]
    picture = torch.zeros(count, 3, device=device)
    picture[visible.pixel] = colour
    cover = torch.zeros(count, device=device)
    cover[visible.pixel] = 1
    vertex = torch.full((count,), -1, dtype=torch.int64, device=device)
    vertex[visible.pixel] = owner
    classes = torch.zeros(count, dtype=torch.int64, device=device)
    classes[visible.pixel] = kind

    def blocks(t: Tensor) -> Tensor:
        return t.view(size[0] // 2, 2, width // 2, 2, -1).permute(0, 2, 1, 3, 4).flatten(2, 3)

    covered = blocks(cover)[..., 0]  # [h, w, 4]
    alpha = covered.mean(2)
    image = blocks(picture).sum(2) / covered.sum(2).clamp(min=1)[..., None]
    best = covered.argmax(2, keepdim=True)
    truth = blocks(vertex)[..., 0].gather(2, best)[..., 0]
    classes_small = blocks(classes)[..., 0].gather(2, best)[..., 0]
    pixels = (image.clamp(0, 1) * 255).round().byte().cpu().numpy()
    rows, columns = np.nonzero(alpha.cpu().numpy() >= 0.5)
    box = (
        (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        if len(rows)
        else (0, 0, 0, 0)
    )
    opaque = (alpha * 255).round().byte().cpu().numpy()
    return RenderedPerson(
        image=bleed(pixels, opaque),
        alpha=opaque,
        vertex=truth.to(torch.int32).cpu().numpy(),
        pixel_class=classes_small.byte().cpu().numpy(),
        camera=camera,
        box_xyxy=box,
    )


def bleed(image: UInt8Array, alpha: UInt8Array) -> UInt8Array:
    """Colours carried outward over the transparent ground, so that resizing does not mix in black."""
    import cv2

    weight = (alpha > 0).astype(np.float32)
    near = cv2.blur(image.astype(np.float32) * weight[..., None], (9, 9))
    near /= np.maximum(cv2.blur(weight, (9, 9)), 1e-6)[..., None]
    out: UInt8Array = np.where(weight[..., None] > 0, image, np.clip(near, 0, 255)).astype(np.uint8)
    return out


def _yaw(degrees: float) -> FloatArray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
