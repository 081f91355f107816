"""What a person wears, as meshes that move with the body: gathered piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from anonymize.bodies.body import JOINT, Piece, load_body, vertex_normals
from anonymize.bodies.drape import Limb, limb, places_of
from anonymize.bodies.regions import regions

NOTHING, SKIN, CLOTHES, HAIR, ACCESSORY = range(5)


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


class Wardrobe:
    """Gathers the pieces of one person; the same calls dress the fine and the coarse body."""

    def __init__(self, shape: Tensor, low: bool) -> None:
        self.shape, self.low = shape, low
        self.model = load_body()
        self.base = self.model.low_body if low else self.model.body
        rest = self.base.vertices + torch.einsum("r,rnc->nc", shape, self.base.components)
        self.base_rest, self.base_normals = rest, vertex_normals(rest, self.base.faces)
        self.owner = self.base.owner.numpy()
        self.hidden = np.zeros(len(self.base.vertices), bool)
        self.parts: list[tuple[Tensor, ...]] = []
        self.count = 0
        self.thickness = np.zeros(len(self.base.vertices), np.float32)
        """Metres of what is worn so far on each vertex of the body in use."""
        fine = self.model.body
        whole = (fine.vertices + torch.einsum("r,rnc->nc", shape, fine.components)).numpy()
        joints = (self.model.joints + torch.einsum("r,rjc->jc", shape, self.model.joint_components)).numpy()
        self.limbs = {name: limb(name, whole, joints) for name in ("trunk", "arm.L", "arm.R", "leg.L", "leg.R")}
        self.worn = {name: one.radius.copy() for name, one in self.limbs.items()}
        """Radii of the outermost cloth so far on each limb."""

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

    def along(self, name: str) -> np.ndarray:
        """Where along a limb the vertices of the body in use lie; NaN where they do not."""
        places: np.ndarray = places_of(name)[self.owner]
        return places

    def laid(self, radii: dict[str, np.ndarray], ease: float | np.ndarray) -> Tensor:
        """The body's vertices [N, 3] under a cloth: at these radii round limbs, between them at a distance `ease`."""
        thick = self.thickness + np.asarray(ease, np.float32)
        shift = (
            self.base_normals * torch.from_numpy(np.broadcast_to(thick, self.thickness.shape).copy())[:, None]
        ).numpy()
        rest = self.base_rest.numpy()
        for name, radius in radii.items():
            along = self.along(name)
            first, full = BLEND[name.partition(".")[0]]
            share = np.clip((along - first) / (full - first), 0, 1)
            if name == "trunk":  # below the seat each leg is on its own
                share = np.minimum(share, np.clip((-0.88 - along) / 0.08, 0, 1))
            share = np.nan_to_num(share)
            rows = np.flatnonzero(share > 0)
            share = share[rows, None] * share[rows, None] * (3 - 2 * share[rows, None])
            one = self.limbs[name]
            there = one.ring_points(radius, along[rows], one.polar(rest[rows], along[rows]))
            shift[rows] = share * (there - rest[rows]) + (1 - share) * shift[rows]
        shift_t = torch.from_numpy(shift.astype(np.float32))
        start, stop = edges_of(self.low)
        count = torch.bincount(start, minlength=len(shift_t)).clamp(min=1)[:, None]
        for _ in range(2):
            near = torch.zeros_like(shift_t).index_add_(0, start, shift_t[stop]) / count
            shift_t = 0.5 * shift_t + 0.5 * near
        return self.base_rest + shift_t

    def cloth(
        self, laid: Tensor, field: np.ndarray, material: int, pixel_class: int = CLOTHES, *, cover: bool = True
    ) -> None:
        """A layer over part of the body.

        Args:
            laid: [N, 3], where it lies over each vertex of the body in use.
            field: [N], positive on the vertices that are covered; the hem runs where it is 0.
            material: Row of the material.
            pixel_class: CLOTHES, HAIR or ACCESSORY.
            cover: Drop the body under it.
        """
        level = torch.from_numpy(np.asarray(field, np.float32))
        normals = vertex_normals(laid, self.base.faces)
        columns = torch.cat([laid, normals, self.base.vertices, self.base.weights, self.base.openness[:, None]], 1)
        columns, owner, faces = clip(columns, self.base.owner, self.base.faces, level)
        if len(faces) == 0:
            return
        used, compact = torch.unique(faces, return_inverse=True)
        columns = columns[used]
        piece = replace(self.base, vertices=columns[:, 6:9], weights=columns[:, 9:-1], openness=columns[:, -1])
        rows = torch.full((len(faces),), material)
        self._append(columns[:, :3], columns[:, 3:6], piece, compact, rows, pixel_class, owner[used])
        if cover:
            self.hidden |= np.asarray(field) > 0.012

    def tube(
        self,
        name: str,
        radius: np.ndarray,
        first: float,
        last: float,
        material: int,
        *,
        level: Callable[[np.ndarray], np.ndarray] | None = None,
        tail: float = 0.0,
    ) -> None:
        """Cloth round a limb.

        Args:
            name: Of the limb.
            radius: [n, ANGLES] metres.
            first, last: Places along the limb between which it reaches.
            material: Row of the material.
            level: What is cut off is where this function of canonical points [N, 3] is negative.
            tail: How much further the front and the back reach than the sides, in the unit of the places.
        """
        one, mean = self.limbs[name], mean_limb(name)
        sides = 14 if self.low else 28
        rings = max(4, round(one_length(one, first, last) / (0.09 if self.low else 0.045)))
        share = np.linspace(0, 1, rings)
        angle = np.repeat(2 * np.pi * np.arange(sides)[None] / sides, rings, 0)
        along = first + share[:, None] * (last - first + tail * np.sin(angle) ** 2)
        flat, turn = along.reshape(-1), angle.reshape(-1)
        rest = torch.from_numpy(one.ring_points(radius, flat, turn).astype(np.float32))
        canonical = mean.ring_points(mean.radius, flat, turn)
        faces = torch.from_numpy(grid_faces(rings, sides))
        normals = vertex_normals(rest, faces)
        outward = rest - torch.from_numpy(one._mixed(one.centres, flat).astype(np.float32))
        if float((normals * outward).sum()) < 0:
            faces, normals = faces.flip(1), -normals
        near, weight = nearest_on(name, canonical)
        body = self.model.body
        weights = (body.weights[near] * weight[:, :, None]).sum(1)
        openness = (body.openness[near] * weight).sum(1).clamp(min=0.5)
        owner = near[:, 0]
        if level is not None:
            columns = torch.cat([rest, normals, torch.from_numpy(canonical).float(), weights, openness[:, None]], 1)
            cut = torch.from_numpy(level(canonical).astype(np.float32))
            columns, owner, faces = clip(columns, owner, faces, cut)
            rest, normals, place, weights, openness = (
                columns[:, :3],
                columns[:, 3:6],
                columns[:, 6:9],
                columns[:, 9:-1],
                columns[:, -1],
            )
            canonical = place.numpy()
        piece = replace(self.base, vertices=torch.from_numpy(canonical).float(), weights=weights, openness=openness)
        self._append(rest, normals, piece, faces, torch.full((len(faces),), material), CLOTHES, owner)

    def baked(self, name: str, material: int, pixel_class: int, *, puff: float = 0.0) -> None:
        """A baked garment or hair, puffed up by so many metres."""
        piece = self.model.garment(name, low=self.low)
        rest = piece.vertices + torch.einsum("r,rnc->nc", self.shape, piece.components)
        normals = vertex_normals(rest, piece.faces)
        rows = torch.full((len(piece.faces),), material)
        self._append(rest + normals * puff, normals, piece, piece.faces, rows, pixel_class, piece.owner)
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


BLEND = {"trunk": (-1.4, -1.3), "arm": (0.1, 0.28), "leg": (0.1, 0.3)}
"""Places along limbs from which, and from which fully, cloth follows rings."""


@cache
def edges_of(low: bool) -> tuple[Tensor, Tensor]:
    """Both ends of each edge of the body's mesh, either way, [E] each."""
    body = load_body()
    faces = (body.low_body if low else body.body).faces
    ends = torch.cat([faces[:, [a, b]] for a in range(3) for b in range(3) if a != b])
    return ends[:, 0], ends[:, 1]


@cache
def mean_limb(name: str) -> Limb:
    """A limb of the mean adult."""
    body = load_body()
    return limb(name, body.surface.vertices, body.joints.numpy())


def one_length(one: Limb, first: float, last: float) -> float:
    """Metres along a limb between two places."""
    a, b = np.interp([first, last], one.places, one.lengths)
    return float(b - a)


def nearest_on(name: str, canonical: np.ndarray) -> tuple[Tensor, Tensor]:
    """Vertices of the body's limb near canonical points [N, 3], and how much each counts, [N, 8] each."""
    among = np.flatnonzero(np.isfinite(places_of(name)))
    surface = load_body().surface.vertices
    distance = torch.cdist(torch.from_numpy(canonical).float(), torch.from_numpy(surface[among]))
    nearest, index = distance.topk(8, largest=False)
    weight = 1 / (nearest + 0.03) ** 2
    return torch.from_numpy(among)[index], weight / weight.sum(1, keepdim=True)


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
