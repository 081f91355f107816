"""Random people: shape, skin, hair, clothes, bags; and one of them drawn alone with exact truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from anonymize.bodies import shading
from anonymize.bodies.body import JOINT, Piece, joint_transforms, load_body, skin, vertex_normals
from anonymize.bodies.camera import Camera
from anonymize.bodies.poses import Angles, aligning, random_pose, rotations
from anonymize.bodies.raster import rasterize
from anonymize.bodies.shading import Light, Material, random_light
from anonymize.core.types import FloatArray, UInt8Array

NOBODY, SKIN, CLOTHES, HAIR, ACCESSORY = range(5)
ROOT_TO_SEAT = 0.057  # from the root joint down to what one sits on, as a share of the height
Colour = tuple[float, float, float]

# sRGB 0..255; sampled between neighbours
SKIN_TONES = (
    (247, 220, 196),
    (236, 196, 164),
    (222, 174, 138),
    (198, 144, 104),
    (158, 105, 72),
    (112, 72, 48),
    (72, 46, 32),
)
HAIR_COLOURS = (
    (22, 18, 16),
    (42, 30, 22),
    (70, 48, 32),
    (104, 72, 44),
    (158, 118, 72),
    (204, 172, 116),
    (150, 146, 142),
    (222, 220, 216),
    (124, 52, 28),
)
# what people wear in streets: many dark, grey, blue and white things, some strong colours
CLOTHES_COLOURS = (
    (24, 24, 27), (38, 38, 44), (58, 60, 66), (92, 94, 98), (136, 136, 138), (182, 182, 180),
    (232, 230, 226), (246, 246, 244),
    (28, 36, 66), (44, 62, 110), (70, 96, 142), (112, 144, 186), (158, 184, 212), (110, 28, 32),
    (172, 36, 40), (206, 88, 72),
    (224, 150, 158), (66, 92, 60), (92, 110, 74), (38, 70, 58), (130, 170, 120), (122, 92, 64), (168, 136, 98),
    (208, 186, 150),
    (226, 208, 176), (228, 188, 62), (226, 124, 40), (96, 62, 112), (166, 126, 178), (36, 132, 140), (80, 52, 36),
    (214, 56, 118),
)  # fmt: skip


def linear(colour: tuple[float, ...]) -> Colour:
    """sRGB 0..255 to linear 0..1."""
    r, g, b = ((c / 255) ** 2.2 for c in colour)
    return (r, g, b)


def pick(rng: Generator, palette: tuple[tuple[int, int, int], ...], spread: float = 9) -> Colour:
    """A colour of a palette, varied a little."""
    base = np.array(palette[int(rng.integers(len(palette)))], float)
    r, g, b = np.clip(base + rng.normal(0, spread) + rng.normal(0, spread / 2, 3), 4, 252)
    return linear((r, g, b))


@dataclass(frozen=True, eq=False)
class Mesh:
    """A dressed person in the rest pose.

    Attributes:
        vertices, normals: [N, 3] float32 at rest, own shape.
        canonical: [N, 3] float32, the same points on the mean adult, which patterns are measured on.
        weights: [N, J] float32.
        owner: [N] int64, vertex of the body surface, -1 for what is not the body or worn close to it.
        openness: [N] float32.
        faces: [F, 3] int64.
        material: [F] int64.
        pixel_class: [F] int64, SKIN, CLOTHES, HAIR or ACCESSORY.
        table: [M, C] float32, materials.
    """

    vertices: Tensor
    normals: Tensor
    canonical: Tensor
    weights: Tensor
    owner: Tensor
    openness: Tensor
    faces: Tensor
    material: Tensor
    pixel_class: Tensor
    table: Tensor

    def to(self, device: torch.device | str) -> Mesh:
        return Mesh(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody, in every detail but the pose.

    Attributes:
        look: What the meshes are made from, when first asked for: few people are seen close and far at once.
        joints: [J, 3] float32 at rest.
        height_m: Without shoes and hat.
        leg_m: Hip to ankle, for the stride.
    """

    look: Look
    joints: Tensor
    height_m: float
    leg_m: float

    @cached_property
    def mesh(self) -> Mesh:
        """For close views."""
        return dress(self.look, low=False).to(self.joints.device)

    @cached_property
    def coarse(self) -> Mesh:
        """For distant views."""
        return dress(self.look, low=True).to(self.joints.device)

    def to(self, device: torch.device | str) -> Person:
        """The same person with tensors on another device."""
        return self if self.joints.device == torch.device(device) else replace(self, joints=self.joints.to(device))

    def posed(self, angles: Angles, *, coarse: bool = False) -> tuple[Tensor, Tensor]:
        """World vertices and normals [N, 3]: facing -y, standing on z = 0 with the root above the origin."""
        vertices, normals = self._bent(angles, self.coarse if coarse else self.mesh)
        origin = torch.stack([self.joints[0, 0], self.joints[0, 1], vertices[:, 2].min()])
        return vertices - origin, normals

    def seat_m(self, angles: Angles) -> float:
        """Height of the seat under somebody in a sitting pose whose lowest point is at 0."""
        lowest = self._bent(angles, self.coarse)[0][:, 2].min()
        return float(self.joints[0, 2] - lowest) - ROOT_TO_SEAT * self.height_m

    def _bent(self, angles: Angles, mesh: Mesh) -> tuple[Tensor, Tensor]:
        turns = torch.from_numpy(rotations(angles))[None].to(self.joints.device)
        moved = joint_transforms(self.joints, load_body().parents, turns)[0]
        return skin(mesh.vertices, mesh.normals, mesh.weights, moved)


@cache
def regions() -> dict[str, np.ndarray]:
    """Where on the body each vertex lies, [V] each: `arm` and `leg` run 0 at the shoulder or hip, 0.5 at elbow or knee,
    1 at wrist or ankle, beyond on hand or foot, -1 elsewhere; `z` height; `scalp` > 0 inside the hairline (metres)."""
    body = load_body()
    points, parts = body.surface.vertices, body.surface.parts
    joints = body.joints.numpy()

    def along(names: tuple[str, str, str], side: str) -> np.ndarray:
        a, b, c = (joints[JOINT[f"{n}.{side}"]] for n in names)
        first = ((points - a) @ (b - a)) / ((b - a) @ (b - a))
        second = ((points - b) @ (c - b)) / ((c - b) @ (c - b))
        result: np.ndarray = np.where(second > 0, 0.5 + 0.5 * second, 0.5 * np.minimum(first, 1))
        return result

    left = points[:, 0] >= 0
    arm = np.where(left, along(("shoulder", "elbow", "wrist"), "L"), along(("shoulder", "elbow", "wrist"), "R"))
    leg = np.where(left, along(("hip", "knee", "ankle"), "L"), along(("hip", "knee", "ankle"), "R"))
    arm = np.where(
        (parts >= 3) & (parts <= 12), np.where((parts == 11) | (parts == 12), np.maximum(arm, 1.02), arm), -1
    )
    leg = np.where(parts >= 15, np.where(parts >= 23, np.maximum(leg, 1.02), leg), -1)
    eye = body.eyes.mean(0)
    scalp = points[:, 2] - eye[2] - (0.058 - 0.8 * np.clip(points[:, 1] - eye[1] - 0.015, 0, 0.18))
    head = (parts == 1) | (parts == 2)
    return {
        "arm": arm,
        "leg": leg,
        "z": points[:, 2],
        "scalp": np.where(head, scalp, -0.05),
        "head": head,
        "face_z": points[:, 2] - eye[2],
        "depth": points[:, 1] - eye[1],
    }


@cache
def outfit_parts(name: str, low: bool) -> np.ndarray:
    """For each face of an outfit, 0 for its upper and 1 for its lower garment, by connected component."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    piece = load_body().garment(name, low=low)
    faces = piece.faces.numpy()
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    count = len(piece.vertices)
    _, label = connected_components(coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count)), False)
    height = piece.vertices[:, 2].numpy()
    middle = np.bincount(label, height) / np.bincount(label)
    lower: np.ndarray = (middle[label] < 0.98)[faces[:, 0]]
    tall = np.bincount(label, height > 1.3) / np.bincount(label) > 0.1
    # one-piece suits are cut at the waist
    one = tall & (np.bincount(label, height < 0.6) / np.bincount(label) > 0.1)
    cut: np.ndarray = height[faces].mean(1) < 1.0
    return np.where(one[label][faces[:, 0]], cut, lower).astype(np.int64)


class Wardrobe:
    """Gathers the pieces of one person; the same calls dress the fine and the coarse body."""

    def __init__(self, rng: Generator, shape: Tensor, low: bool) -> None:
        self.rng, self.shape, self.low = rng, shape, low
        self.model = load_body()
        self.base = self.model.low_body if low else self.model.body
        rest = self.base.vertices + torch.einsum("r,rnc->nc", shape, self.base.components)
        self.base_rest, self.base_normals = rest, vertex_normals(rest, self.base.faces)
        self.owner = self.base.owner.numpy()
        self.hidden = np.zeros(len(self.base.vertices), bool)
        self.parts: list[tuple[Tensor, ...]] = []
        self.count = 0

    def region(self, name: str) -> np.ndarray:
        """A region of `regions()` on the vertices of the body in use."""
        values: np.ndarray = regions()[name][self.owner]
        return values

    def _append(
        self,
        rest: Tensor,
        normals: Tensor,
        piece: Piece,
        faces: Tensor,
        material: Tensor,
        pixel_class: int,
        owner: Tensor,
    ) -> None:
        self.parts.append(
            (
                rest,
                normals,
                piece.vertices,
                piece.weights,
                owner,
                piece.openness,
                faces + self.count,
                material,
                torch.full_like(material, pixel_class),
            )
        )
        self.count += len(rest)

    def shell(
        self,
        field: np.ndarray,
        thickness: np.ndarray | float,
        material: int,
        pixel_class: int = CLOTHES,
        *,
        cover: bool = True,
    ) -> None:
        """A layer over part of the body, pushed out along its normals.

        Args:
            field: [N], positive on the vertices of the body in use that are covered; the hem runs where it is 0.
            thickness: [N] or one number, metres.
            material: Row of the material.
            pixel_class: CLOTHES, HAIR or ACCESSORY.
            cover: Drop the body under it.
        """
        level = torch.from_numpy(np.asarray(field, np.float32))
        push = torch.from_numpy(np.broadcast_to(np.asarray(thickness, np.float32), field.shape).copy())
        pushed = self.base_rest + self.base_normals * push[:, None]
        columns = torch.cat([pushed, self.base.vertices, self.base.weights, self.base.openness[:, None]], 1)
        columns, owner, faces = clip(columns, self.base.owner, self.base.faces, level)
        if len(faces) == 0:
            return
        used, compact = torch.unique(faces, return_inverse=True)
        columns = columns[used]
        rest = columns[:, :3]
        piece = replace(self.base, vertices=columns[:, 3:6], weights=columns[:, 6:-1], openness=columns[:, -1])
        rows = torch.full((len(faces),), material)
        self._append(rest, vertex_normals(rest, compact), piece, compact, rows, pixel_class, owner[used])
        if cover:
            self.hidden |= field > 0

    def baked(
        self,
        name: str,
        material: Tensor | int,
        pixel_class: int,
        *,
        faces: Tensor | None = None,
        puff: float = 0.0,
        hem: float | None = None,
    ) -> None:
        """A baked garment or hair, puffed up by so many metres; cut off at the height `hem` of the mean adult,
        with one material then."""
        piece = self.model.garment(name, low=self.low)
        rest = piece.vertices + torch.einsum("r,rnc->nc", self.shape, piece.components)
        normals = vertex_normals(rest, piece.faces)
        rest = rest + normals * puff
        rows = material if isinstance(material, Tensor) else torch.full((len(piece.faces),), material)
        if hem is not None:
            columns = torch.cat([rest, normals, piece.vertices, piece.weights, piece.openness[:, None]], 1)
            columns, owner, cut = clip(columns, piece.owner, piece.faces, piece.vertices[:, 2] - hem)
            rest, normals = columns[:, :3], columns[:, 3:6]
            piece = replace(
                piece,
                vertices=columns[:, 6:9],
                faces=cut,
                weights=columns[:, 9:-1],
                owner=owner,
                openness=columns[:, -1],
            )
            rows = torch.full((len(cut),), int(rows[0]))
        kept = slice(None) if faces is None else faces
        self._append(rest, normals, piece, piece.faces[kept], rows[kept], pixel_class, piece.owner)
        if len(piece.hides) and not self.low:
            self.hidden[piece.hides.numpy()] = True
        elif len(piece.hides):
            self.hidden |= np.isin(self.owner, piece.hides.numpy())

    def attached(
        self,
        points: np.ndarray,
        faces: np.ndarray,
        joint: str,
        material: int,
        pixel_class: int,
        *,
        anchor: int,
        surface: bool,
    ) -> None:
        """Something stiff that moves with one joint; points [N, 3] on the mean adult at rest.

        `anchor` is the body vertex that it is fixed to (so that it sits on thin and on stout people); `surface`
        says whether its pixels count as the body under it.
        """
        vertices = torch.from_numpy(points.astype(np.float32))
        weights = torch.zeros(len(points), self.base.weights.shape[1])
        weights[:, JOINT[joint]] = 1
        body = self.model.body
        shift = torch.einsum("r,rc->c", self.shape, body.components[:, anchor])
        owner = torch.full((len(points),), -1)
        if surface:
            owner = torch.from_numpy(self.model.nearest_owner(points))
        piece = replace(self.base, vertices=vertices, weights=weights, openness=torch.full((len(points),), 0.8))
        tris = torch.from_numpy(faces.astype(np.int64))
        rest = vertices + shift
        self._append(
            rest, vertex_normals(rest, tris), piece, tris, torch.full((len(tris),), material), pixel_class, owner
        )

    def finish(self, skin_material: int, table: Tensor) -> Mesh:
        """The body where it shows, and all that was put on."""
        shown = ~self.hidden[self.base.faces.numpy()].all(1)
        faces = self.base.faces[torch.from_numpy(shown)]
        rows = torch.full((len(faces),), skin_material)
        self._append(self.base_rest, self.base_normals, self.base, faces, rows, SKIN, self.base.owner)
        columns = [torch.cat(column) for column in zip(*self.parts, strict=True)]
        rest, normals, canonical, weights, owner, openness, faces, material, pixel_class = columns
        return Mesh(rest, normals, canonical, weights, owner, openness, faces, material, pixel_class, table)


def clip(columns: Tensor, owner: Tensor, faces: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cut a mesh where `level` [N] is 0 and keep the positive side; cuts get new vertices, appended.

    Returns:
        Vertex columns [N', C], owners [N'], faces [F', 3].
    """
    sign = level[faces] > 0  # [F, 3]
    inside = sign.sum(1)
    whole = faces[inside == 3]
    pieces, count = [whole], len(columns)
    for kept in (1, 2):
        some, signs = faces[inside == kept], sign[inside == kept]
        if len(some) == 0:
            continue
        # turn each face so that the odd corner comes first
        odd = (signs if kept == 1 else ~signs).float().argmax(1)
        a, b, c = (some.gather(1, ((odd + k) % 3)[:, None])[:, 0] for k in range(3))
        new = []
        for other in (b, c):
            share = (level[a] / (level[a] - level[other])).clamp(0.02, 0.98)[:, None]
            columns = torch.cat([columns, columns[a] * (1 - share) + columns[other] * share])
            owner = torch.cat([owner, torch.where(share[:, 0] < 0.5, owner[a], owner[other])])
            new.append(torch.arange(count, count + len(a)))
            count += len(a)
        ab, ac = new
        if kept == 1:
            pieces.append(torch.stack([a, ab, ac], 1))
        else:
            pieces += [torch.stack([ab, b, c], 1), torch.stack([ab, c, ac], 1)]
    return columns, owner, torch.cat(pieces)


def blob(
    centre: tuple[float, float, float], size: tuple[float, float, float], power: float = 0.5, rings: int = 7
) -> tuple[np.ndarray, np.ndarray]:
    """A superellipsoid: vertices [N, 3] and faces [F, 3]; power 1 is an ellipsoid, near 0 a box."""
    points, faces = unit_blob(power, rings)
    return points * (np.array(size) / 2) + np.array(centre), faces


@lru_cache(maxsize=64)
def unit_blob(power: float, rings: int) -> tuple[np.ndarray, np.ndarray]:
    """A superellipsoid of radius 1 round the origin; not to be written to."""
    sides = 12
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rings)[:, None]
    longitude = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None]

    def signed(a: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.sign(a) * np.abs(a) ** power
        return result

    x = signed(np.cos(latitude)) * signed(np.cos(longitude))
    y = signed(np.cos(latitude)) * signed(np.sin(longitude))
    z = signed(np.sin(latitude)) * np.ones_like(longitude)
    return np.stack([x, y, z], 2).reshape(-1, 3), grid_faces(rings, sides)


def grid_faces(rings: int, sides: int) -> np.ndarray:
    """Triangles of a closed tube of rings."""
    i, j = (a.reshape(-1) for a in np.meshgrid(np.arange(rings - 1), np.arange(sides), indexing="ij"))
    a, b = i * sides + j, i * sides + (j + 1) % sides
    c, d = a + sides, b + sides
    return np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])


def cloth(rng: Generator, *, fancy: float = 0.45, base: Colour | None = None) -> Material:
    """A random fabric; `fancy` is the chance of a pattern."""
    colour = pick(rng, CLOTHES_COLOURS) if base is None else base
    kind = shading.PLAIN
    if rng.random() < fancy:
        kinds = (
            shading.STRIPES,
            shading.BARS,
            shading.CHECKS,
            shading.DOTS,
            shading.BLOTCHES,
            shading.GRADIENT,
            shading.LOGO,
        )
        kind = int(rng.choice(kinds, p=[0.22, 0.08, 0.15, 0.08, 0.12, 0.1, 0.25]))
    scale = float(np.exp(rng.uniform(np.log(8), np.log(45))))
    anchor = (0.0, 0.0, 0.0)
    if kind == shading.LOGO:
        scale, anchor = (
            float(rng.uniform(3.5, 9)),
            (float(rng.uniform(-0.03, 0.03)), 0.0, float(rng.uniform(1.25, 1.36))),
        )
    if kind == shading.GRADIENT:
        scale, anchor = float(rng.uniform(4, 12)), (0.0, 0.0, float(rng.uniform(0.9, 1.3)))
    return Material(
        colour=colour,
        second=pick(rng, CLOTHES_COLOURS),
        pattern=kind,
        scale=scale,
        angle=float(rng.normal(0, 0.04)) if rng.random() < 0.8 else float(rng.uniform(0, np.pi)),
        folds=float(rng.uniform(0.15, 1.0)),
        gloss=float(rng.choice([0.0, 0.03, 0.15], p=[0.7, 0.2, 0.1])),
        grain=float(rng.uniform(0.02, 0.12)),
        phase=float(rng.uniform(0, 20)),
        anchor=anchor,
    )


@dataclass(frozen=True)
class Look:
    """What somebody wears; drawn once, applied to the fine and to the coarse body alike."""

    seed: int
    shape: Tensor
    female: bool
    years: int


def random_person(rng: Generator) -> Person:
    """Somebody of random shape, age, skin, hair, clothes and bags."""
    model = load_body()
    index = int(rng.integers(len(model.shapes)))
    look = Look(
        int(rng.integers(1 << 62)), model.shapes[index], bool(model.shape_female[index]), int(model.shape_years[index])
    )
    joints = model.joints + torch.einsum("r,rjc->jc", look.shape, model.joint_components)
    leg = float((joints[JOINT["hip.L"]] - joints[JOINT["ankle.L"]]).norm())
    return Person(look, joints, float(model.shape_height[index]), leg)


def dress(look: Look, *, low: bool) -> Mesh:
    """The person's mesh; every random choice depends on the look's seed only."""
    rng = np.random.default_rng(look.seed)
    w = Wardrobe(rng, look.shape, low)
    eye = w.model.eyes.mean(0)
    materials: list[Material] = []

    def add(material: Material) -> int:
        materials.append(material)
        return len(materials) - 1

    tone = float(rng.uniform(0, len(SKIN_TONES) - 1.001)) if rng.random() < 0.5 else float(rng.uniform(0, 3))
    share = tone - int(tone)
    mixed = np.array(SKIN_TONES[int(tone)]) * (1 - share) + np.array(SKIN_TONES[int(tone) + 1]) * share
    flesh = linear(tuple(np.clip(mixed + rng.normal(0, 5, 3), 5, 250)))
    palette: tuple[tuple[int, int, int], ...] = HAIR_COLOURS[:4] if tone > 3.5 else HAIR_COLOURS
    if look.years > 58 and rng.random() < 0.75:
        palette = HAIR_COLOURS[6:8]
    shade_of_hair = pick(rng, palette, 5)
    skin_row = add(
        Material(flesh, shade_of_hair, shading.SKIN, gloss=0.04, grain=0.02, anchor=(0.0, float(eye[1]), float(eye[2])))
    )
    hair_row = add(
        Material(
            shade_of_hair,
            (0.6 * shade_of_hair[0], 0.6 * shade_of_hair[1], 0.6 * shade_of_hair[2]),
            shading.BARS,
            90.0,
            0,
            0.5,
            0.12,
            0.2,
        )
    )

    put_on_clothes(w, look, add)
    hat = put_on_hat(w, add) if rng.random() < 0.17 else False
    grow_hair(w, look, hair_row, hat)
    carry(w, look, add)
    return w.finish(skin_row, torch.tensor([m.row() for m in materials], dtype=torch.float32))


@dataclass(frozen=True)
class Clothing:
    """What the steps of dressing share.

    Attributes:
        w: Puts the pieces on.
        add: Notes a material, returns its row.
        top, bottom: Rows of the materials of the two main pieces.
        trunk: [V] bool, vertices of the trunk.
        crease: [V] wrinkles of the cloth, about -1 to 1.
    """

    w: Wardrobe
    add: Callable[[Material], int]
    top: int
    bottom: int
    trunk: np.ndarray
    crease: np.ndarray


def put_on_clothes(w: Wardrobe, look: Look, add: Callable[[Material], int]) -> None:
    """A baked outfit, or layers of random lengths and widths; with or without a skirt; shoes."""
    rng = w.rng
    arm, leg, z = w.region("arm"), w.region("leg"), w.region("z")
    trunk = (arm == -1) & (leg == -1) & ~w.region("head").astype(bool)
    neck = rng.uniform(1.51, 1.575)
    skirts = rng.random() < (0.3 if look.female else 0.01)
    top, bottom = cloth(rng), cloth(rng, fancy=0.15)
    if rng.random() < 0.45:  # jeans and dark trousers are what most people wear
        bottom = cloth(rng, fancy=0.05, base=pick(rng, CLOTHES_COLOURS[:4] + CLOTHES_COLOURS[8:11]))
    top_row, bottom_row = add(top), add(bottom)
    wrinkle, _ = shading.waves(w.base.vertices, torch.full((len(z),), float(rng.uniform(0, 9))), 9.0)
    clothing = Clothing(w, add, top_row, bottom_row, trunk, wrinkle.numpy())
    if not skirts and rng.random() < 0.35:
        put_on_outfit(clothing, look)
    else:
        put_on_layers(clothing, neck, skirts)
    if rng.random() < 0.93:
        put_on_shoes(w, add)
    if rng.random() < 0.05:  # gloves
        w.shell(np.where(arm > -1, arm - 0.97, -0.1), 0.004, add(cloth(rng, fancy=0)))
    if rng.random() < 0.08:  # scarf
        near_neck = np.where(arm > -1, -0.02, np.minimum(z - 1.47, -0.11 - w.region("face_z")))
        w.shell(near_neck, 0.035 + 0.01 * clothing.crease, add(cloth(rng, fancy=0.4)), cover=False)


def put_on_outfit(clothing: Clothing, look: Look) -> None:
    """One of the baked outfits."""
    w, rng = clothing.w, clothing.w.rng
    stem = "female" if look.female else "male"
    names = [n for n in w.model.garment_names if n.startswith(f"outfit.{stem}") and "elegantsuit01" not in n]
    if not look.female:
        names.append("outfit.male_elegantsuit01")
    name = str(rng.choice(names))
    lower = torch.from_numpy(outfit_parts(name, w.low))
    bottom = clothing.top if "elegantsuit" in name or "worksuit" in name else clothing.bottom
    w.baked(name, torch.where(lower > 0, bottom, clothing.top), CLOTHES, puff=float(rng.uniform(0, 0.008)))


def put_on_layers(clothing: Clothing, neck: float, skirts: bool) -> None:
    """Trousers or a skirt, a top or a coat, maybe an open jacket over it.

    Args:
        clothing: What is at hand.
        neck: Height of the neckline, in metres.
        skirts: A skirt or a dress instead of trousers.
    """
    w, rng, trunk = clothing.w, clothing.w.rng, clothing.trunk
    arm, leg, z = w.region("arm"), w.region("leg"), w.region("z")
    warm = rng.random()
    sleeve = float(rng.choice([0.06, rng.uniform(0.25, 0.45), rng.uniform(0.6, 0.8), 1.0], p=[0.1, 0.33, 0.07, 0.5]))
    thick = (
        float(rng.uniform(0.006, 0.02))
        if sleeve < 0.9
        else float(rng.choice([0.01, 0.018, 0.03]) * rng.uniform(0.8, 1.3))
    )
    hem = float(rng.uniform(0.82, 1.02))
    long_coat = warm < 0.14 and not skirts
    dress_too = skirts and rng.random() < 0.5
    if skirts:
        put_on_skirt_top(clothing, clothing.top if dress_too else clothing.bottom)
    else:
        put_on_trousers(clothing)
    ease = np.where(arm > -1, 0.75 * thick, thick) + 0.3 * thick * clothing.crease
    # looser below the chest, as gravity has it
    ease = ease + np.where(trunk, 0.5 * thick * np.clip(1.35 - z, 0, 0.4) / 0.4, 0) + 0.004
    body_field = np.where(trunk | ((leg > -1) & (leg < 0.25)), np.minimum(z - hem, neck - z), -0.1)
    body_field = np.where(arm > -1, 0.6 * (sleeve - arm), body_field)
    w.shell(body_field, np.maximum(ease, 0.004), clothing.top)
    if sleeve > 0.9 and rng.random() < 0.25:  # an open jacket over something else
        inner = clothing.add(cloth(rng))
        front = regions()["depth"][w.owner]
        band = float(rng.uniform(0.02, 0.06))
        middle_field = band - np.abs(w.base.vertices[:, 0].numpy())
        opening = np.where(trunk & (w.base_normals[:, 1].numpy() < 0) & (front < 0.2), middle_field, -0.05)
        w.shell(np.minimum(opening, body_field), ease + 0.004, inner)
    if long_coat or skirts:
        row = clothing.top if long_coat or dress_too else clothing.bottom
        piece = w.model.garment("skirt.long", low=w.low)
        middle = piece.vertices[piece.faces].mean(1)[:, 2]
        hem_height = float(rng.uniform(0.45, 0.7)) if long_coat else float(rng.uniform(0.25, 0.75))
        puff = thick + 0.008 if long_coat else float(rng.uniform(0.0, 0.03))
        w.baked("skirt.long", row, CLOTHES, faces=middle > hem_height, puff=puff)


def put_on_skirt_top(clothing: Clothing, row: int) -> None:
    """What lies close to the hips under a skirt, of the skirt's material; maybe tights."""
    w, rng = clothing.w, clothing.w.rng
    leg, z = w.region("leg"), w.region("z")
    if rng.random() < 0.5:  # tights
        colour = clothing.add(cloth(rng, fancy=0.05, base=pick(rng, CLOTHES_COLOURS[:3])))
        w.shell(np.where(leg >= 0, 1.0 - leg, -0.05), 0.002, colour)
    hips = np.where(clothing.trunk, 0.1, np.where(leg > -1, 0.25 - leg, -0.1))
    w.shell(np.minimum(hips, 1.05 - z), 0.004, row)


def put_on_trousers(clothing: Clothing) -> None:
    """Trousers or shorts of a random length, width and flare."""
    w, rng = clothing.w, clothing.w.rng
    leg, z = w.region("leg"), w.region("z")
    length = float(
        rng.choice([rng.uniform(0.2, 0.45), rng.uniform(0.5, 0.8), rng.uniform(0.9, 1.02)], p=[0.16, 0.06, 0.78])
    )
    wide = float(rng.choice([0.004, 0.012, 0.024], p=[0.35, 0.45, 0.2]) * rng.uniform(0.7, 1.3))
    flare = float(rng.uniform(0.3, 1.3))
    ease = wide * (0.5 + flare * np.clip(leg, 0, 1)) + 0.25 * wide * clothing.crease
    ease = np.where(leg > -1, ease, 0.004)
    below = np.where(leg > -1, 0.8 * (length - leg), np.where(clothing.trunk, 1.04 - z, -0.1))
    w.shell(below, np.maximum(ease, 0.002), clothing.bottom)


def put_on_shoes(w: Wardrobe, add: Callable[[Material], int]) -> None:
    """Baked shoes, or shoes and boots of a shell."""
    rng, leg = w.rng, w.region("leg")
    shoe = cloth(rng, fancy=0.1, base=pick(rng, CLOTHES_COLOURS[:8] + CLOTHES_COLOURS[20:22] + CLOTHES_COLOURS[30:31]))
    row = add(replace(shoe, folds=0.1, gloss=float(rng.uniform(0, 0.3))))
    if rng.random() < 0.5:
        names = [n for n in w.model.garment_names if n.startswith("shoes")]
        w.baked(str(rng.choice(names)), row, CLOTHES)
    else:
        shaft = float(rng.choice([1.0, 0.93, 0.75], p=[0.7, 0.2, 0.1]))
        w.shell(np.where(leg > -1, leg - shaft, -0.1), 0.009, row)


def put_on_hat(w: Wardrobe, add: Callable[[Material], int]) -> bool:
    """Cap, beanie, hood, helmet, brimmed hat."""
    rng = w.rng
    row = add(cloth(rng, fancy=0.2))
    scalp = w.region("scalp")
    face_z, depth = w.region("face_z"), w.region("depth")
    head = w.region("head").astype(bool)
    kind = rng.choice(["cap", "beanie", "hood", "helmet", "fedora"], p=[0.35, 0.25, 0.2, 0.08, 0.12])
    if kind == "fedora":
        w.baked(str(rng.choice(["hat.fedora", "hat.fedora_cocked"])), row, CLOTHES)
    elif kind == "hood":
        w.shell(np.where(head, np.maximum(scalp + 0.03, depth - 0.075), -0.01), 0.026, row)
    else:
        w.shell(np.minimum(scalp, face_z - 0.03), {"cap": 0.014, "beanie": 0.017, "helmet": 0.035}[str(kind)], row)
    if kind == "cap":
        eye = w.model.eyes.mean(0)
        points, faces = blob((0, float(eye[1]) - 0.045, float(eye[2]) + 0.062), (0.15, 0.16, 0.012), 0.8)
        top = int(w.model.surface.vertices[:, 2].argmax())
        w.attached(points, faces, "head", row, CLOTHES, anchor=top, surface=True)
    return str(kind) != "fedora"


def grow_hair(w: Wardrobe, look: Look, row: int, hat: bool) -> None:
    """Bald, cropped, short, long, tied, in a bun; beards."""
    rng = w.rng
    scalp = w.region("scalp")
    bald = not look.female and look.years > 28 and rng.random() < 0.14
    if not bald:
        w.shell(scalp, float(rng.uniform(0.004, 0.012)), row, HAIR, cover=False)
        names = ["bob01", "bob02", "long01", "long01", "ponytail01", "braid01", "short03", "afro01"]
        if not look.female:
            names = ["short01", "short02", "short04", "short04", "short02", "crop", "crop", "afro01", "long01"]
        name = str(rng.choice(names))
        if name != "crop" and not (hat and name in ("afro01", "short01", "short02")):
            w.baked(f"hair.{name}", row, HAIR, puff=float(rng.uniform(0, 0.006)))
        elif look.female and rng.random() < 0.5:
            eye = w.model.eyes.mean(0)
            points, faces = blob((0, float(eye[1]) + 0.2, float(eye[2]) + 0.05), (0.09, 0.09, 0.09), 1.0)
            top = int(w.model.surface.vertices[:, 2].argmax())
            w.attached(points, faces, "head", row, HAIR, anchor=top, surface=True)
    if not look.female and look.years > 20 and rng.random() < 0.3:
        face_z, depth = w.region("face_z"), w.region("depth")
        beard = np.minimum(np.minimum(-0.075 - face_z, face_z + 0.15), 0.08 - depth)
        beard = np.where(w.region("head") > 0, beard, -0.01)
        w.shell(beard, float(rng.uniform(0.003, 0.012)), row, HAIR, cover=False)


def carry(w: Wardrobe, look: Look, add: Callable[[Material], int]) -> None:
    """Backpack, handbag, shoulder bag, shopping bags."""
    rng = w.rng
    if rng.random() > 0.3:
        return
    row = add(replace(cloth(rng, fancy=0.2), folds=0.2))
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
        vertex: [h, w] int32, vertex of the body surface, -1 where there is none (nobody, bags).
        pixel_class: [h, w] uint8, NOBODY, SKIN, CLOTHES, HAIR, ACCESSORY.
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
        person: Who; somebody random by default.
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
    colour = shading.encode(shading.shade(mesh.table, row, canonical, normal, view, openness, lamp))
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
