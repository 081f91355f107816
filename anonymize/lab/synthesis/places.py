"""Procedural places: streets, car parks, squares and rooms, with what stands in them and may be taken for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from anonymize.bodies import shading
from anonymize.bodies.body import vertex_normals
from anonymize.bodies.colours import CLOTHES_COLOURS, linear, pick
from anonymize.bodies.poses import aligning
from anonymize.bodies.shading import Light, Material, random_light
from anonymize.bodies.wardrobe import blob, grid_faces
from anonymize.core.types import UInt8Array

STREET, CAR_PARK, SQUARE, ROOM, PICTURE = range(5)
WALL_COLOURS = (
    (200, 190, 172),
    (170, 158, 140),
    (226, 222, 214),
    (148, 96, 76),
    (122, 122, 124),
    (188, 148, 112),
    (96, 100, 108),
)
CAR_COLOURS = (
    (30, 30, 33),
    (74, 76, 80),
    (150, 152, 156),
    (226, 226, 226),
    (150, 24, 28),
    (28, 50, 110),
    (40, 74, 60),
    (196, 180, 148),
)
SADDLE_Y, SADDLE_Z = 0.14, 0.92  # of a grown-up's bicycle, metres behind its middle and above the ground
GREENS = ((52, 74, 34), (78, 98, 48), (98, 116, 62), (64, 82, 52))


class Builder:
    """Collects triangles with materials.

    Args:
        ways: [K, 2, 2], start and end on the ground of ways that `blocks` keeps clear, metres.
    """

    def __init__(self, ways: np.ndarray | None = None) -> None:
        self.ways = np.zeros((0, 2, 2)) if ways is None else ways
        self.points: list[np.ndarray] = []
        self.faces: list[np.ndarray] = []
        self.rows: list[np.ndarray] = []
        self.materials: list[Material] = []
        self.footprints: list[tuple[float, float, float]] = []  # x, y, radius that people keep out of
        self.count = 0

    def material(self, material: Material) -> int:
        self.materials.append(material)
        return len(self.materials) - 1

    def blocks(self, x: float, y: float, radius: float) -> bool:
        """Whether a disc on the ground would leave less than half a metre to the middle of a way."""
        start, along = self.ways[:, 0], self.ways[:, 1] - self.ways[:, 0]
        away = np.array([x, y]) - start
        share = ((away * along).sum(1) / np.maximum((along**2).sum(1), 1e-9)).clip(0, 1)
        return bool((np.linalg.norm(away - share[:, None] * along, axis=1) < radius + 0.5).any())

    def add(self, points: np.ndarray, faces: np.ndarray, row: int) -> None:
        self.points.append(points.astype(np.float32))
        self.faces.append(faces.astype(np.int64) + self.count)
        self.rows.append(np.full(len(faces), row))
        self.count += len(points)

    def box(self, centre: Sequence[float], size: Sequence[float], row: int, yaw: float = 0.0) -> None:
        """An upright box; large faces are divided, since a triangle that reaches behind the camera is not drawn."""
        half = np.array(size) / 2
        for axis in range(3):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            nu, nv = (max(1, min(24, int(np.ceil(size[k] / 2.5)))) for k in (u, v))
            a, b = (
                g.reshape(-1)
                for g in np.meshgrid(np.linspace(-1, 1, nu + 1), np.linspace(-1, 1, nv + 1), indexing="ij")
            )
            i, j = (g.reshape(-1) for g in np.meshgrid(np.arange(nu), np.arange(nv), indexing="ij"))
            first = i * (nv + 1) + j
            quads = np.stack([first, first + nv + 1, first + nv + 2, first + 1], 1)
            for sign in (-1, 1):
                points = np.zeros((len(a), 3))
                points[:, axis], points[:, u], points[:, v] = sign * half[axis], a * half[u], b * half[v]
                ring = quads if sign > 0 else quads[:, ::-1]
                triangles = np.concatenate([ring[:, [0, 1, 2]], ring[:, [0, 2, 3]]])
                self.add(turned(points, yaw) + np.array(centre), triangles, row)

    def shape(self, mesh: tuple[np.ndarray, np.ndarray], place: Sequence[float], row: int, yaw: float = 0.0) -> None:
        self.add(turned(mesh[0], yaw) + np.array(place), mesh[1], row)


def turned(points: np.ndarray, yaw: float) -> np.ndarray:
    """Points [N, 3] turned about z by an angle in radians."""
    c, s = np.cos(yaw), np.sin(yaw)
    result: np.ndarray = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    return result


@dataclass(frozen=True, eq=False)
class Place:
    """Where a scene happens.

    Attributes:
        kind: STREET, CAR_PARK, SQUARE, ROOM or PICTURE.
        light: The light.
        vertices, normals: [N, 3] of what stands there, world metres.
        faces: [F, 3] int64.
        material: [F] int64, rows of `table` [M, C].
        ground: Materials of the ground: main, side, marking.
        road: Direction (radians), half width (m) and offset (m) of the road in the ground.
        sky: Linear RGB at the horizon and at the zenith.
        footprints: [K, 3] x, y, radius that people keep out of.
        picture: [H, W, 3] uint8 in place of all that, if the background is a picture.
    """

    kind: int
    light: Light
    vertices: Tensor
    normals: Tensor
    faces: Tensor
    material: Tensor
    table: Tensor
    ground: tuple[int, int, int]
    road: tuple[float, float, float]
    sky: tuple[tuple[float, float, float], tuple[float, float, float]]
    footprints: np.ndarray
    picture: UInt8Array | None = field(default=None)


def car(build: Builder, rng: Generator, x: float, y: float, yaw: float) -> None:
    """A car, a van at times; none on a way that is kept clear."""
    middles = turned(np.array([[-1.4, 0, 0], [0, 0, 0], [1.4, 0, 0]]), yaw)[:, :2] + np.array([x, y])
    if any(build.blocks(px, py, 1.15) for px, py in middles.tolist()):
        return
    paint = build.material(Material(linear(CAR_COLOURS[int(rng.integers(len(CAR_COLOURS)))]), gloss=0.5, grain=0.01))
    glass = build.material(Material((0.02, 0.025, 0.03), gloss=0.6, grain=0.0))
    tyre = build.material(Material((0.012, 0.012, 0.013), grain=0.05))
    rim = build.material(Material((0.3, 0.3, 0.31), gloss=0.3))
    lamp = build.material(Material((0.75, 0.74, 0.7) if rng.random() < 0.5 else (0.5, 0.02, 0.02), gloss=0.5))
    long, wide = float(rng.uniform(3.7, 4.8)), float(rng.uniform(1.65, 1.85))
    tall = float(rng.choice([1.42, 1.62, 2.05], p=[0.6, 0.28, 0.12]))
    cabin = long * (0.52 if tall < 1.9 else 0.8)
    back = -0.05 * long if tall < 1.9 else -0.09 * long

    def part(centre: tuple[float, float, float], size: tuple[float, float, float], power: float, row: int) -> None:
        build.shape(blob(centre, size, power), (x, y, 0), row, yaw)

    part((0, 0, 0.58), (long, wide, 0.68), 0.3, paint)
    part((back, 0, (0.85 + tall) / 2), (cabin, wide * 0.86, tall - 0.78), 0.45, glass)
    part((back - 0.03, 0, tall - 0.03), (cabin * 0.84, wide * 0.8, 0.16), 0.4, paint)
    for sx in (-0.31, 0.3):
        for sy in (-0.5, 0.5):
            part((sx * long, sy * (wide - 0.16), 0.31), (0.62, 0.2, 0.62), 0.9, tyre)
            part((sx * long, sy * (wide - 0.02), 0.31), (0.36, 0.08, 0.36), 0.9, rim)
    for sy in (-0.36, 0.36):
        part((long / 2 - 0.03, sy * wide, 0.68), (0.12, 0.3, 0.14), 0.5, lamp)
        part((-long / 2 + 0.03, sy * wide, 0.7), (0.12, 0.26, 0.14), 0.5, lamp)
    for along in (-0.3, 0.0, 0.3):
        px, py, _ = turned(np.array([[along * long, 0, 0]]), yaw)[0]
        build.footprints.append((x + px, y + py, 1.15))


def post(build: Builder, rng: Generator, x: float, y: float) -> None:
    """Lamp post, bollard, sign, hydrant, bin, parking meter: upright things of a person's width or less."""
    if build.blocks(x, y, 0.3):
        return
    grey = pick(rng, ((70, 72, 74), (110, 112, 114), (40, 52, 44), (150, 150, 148), (110, 40, 34), (190, 160, 40)))
    row = build.material(Material(grey, grain=0.05, gloss=0.1))
    kind = rng.choice(["lamp", "bollard", "sign", "bin", "cabinet"], p=[0.28, 0.2, 0.22, 0.18, 0.12])
    if kind == "lamp":
        build.shape(blob((0, 0, 2.6), (0.13, 0.13, 5.2), 0.5), (x, y, 0), row)
    elif kind == "bollard":
        build.shape(blob((0, 0, 0.48), (0.18, 0.18, 1.0), 0.6), (x, y, 0), row)
        build.shape(blob((0, 0, 0.98), (0.22, 0.22, 0.2), 1.0), (x, y, 0), row)
    elif kind == "sign":
        plate = build.material(Material(pick(rng, CLOTHES_COLOURS), (0.8, 0.8, 0.8), shading.LOGO, 2.0))
        build.shape(blob((0, 0, 1.25), (0.07, 0.07, 2.5), 0.5), (x, y, 0), row)
        build.shape(
            blob((0, 0, 2.2), (0.6, 0.04, 0.6), float(rng.choice([0.2, 1.0]))),
            (x, y, 0),
            plate,
            float(rng.uniform(-0.6, 0.6)),
        )
    elif kind == "bin":
        build.shape(blob((0, 0, 0.5), (0.5, 0.5, 1.05), 0.45), (x, y, 0), row)
    else:
        build.box((x, y, 0.65), (0.7, 0.35, 1.3), row, float(rng.uniform(-0.3, 0.3)))
    build.footprints.append((x, y, 0.45))


def tree(build: Builder, rng: Generator, x: float, y: float) -> None:
    """A trunk with a crown, or a bush."""
    if build.blocks(x, y, 0.5):
        return
    bark = build.material(
        Material(linear((74, 58, 44)), (0.02, 0.015, 0.01), shading.BLOTCHES, 12, folds=0.8, grain=0.15)
    )
    leaf = pick(rng, GREENS, 12)
    dark = (leaf[0] * 0.4, leaf[1] * 0.4, leaf[2] * 0.4)
    green = build.material(Material(leaf, dark, shading.BLOTCHES, float(rng.uniform(2, 5)), folds=1.0, grain=0.3))
    if rng.random() < 0.3:
        size = rng.uniform(0.6, 1.7)
        build.shape(blob((0, 0, size * 0.45), (size, size, size), 0.9, 9), (x, y, 0), green)
        build.footprints.append((x, y, size / 2 + 0.2))
        return
    tall = float(rng.uniform(2.0, 3.5))
    build.shape(blob((0, 0, tall / 2), (0.32, 0.32, tall + 0.6), 0.6), (x, y, 0), bark)
    for _ in range(5):
        spread = rng.uniform(1.4, 2.8)
        centre = (float(rng.normal(0, 0.8)), float(rng.normal(0, 0.8)), tall + float(rng.uniform(0.4, 2.2)))
        build.shape(blob(centre, (spread, spread, spread * 0.8), 0.9, 8), (x, y, 0), green)
    build.footprints.append((x, y, 0.5))


def furniture(build: Builder, rng: Generator, x: float, y: float) -> None:
    """Table, chair, cupboard, box, plant."""
    wood = build.material(
        Material(
            pick(rng, ((150, 110, 72), (196, 164, 120), (92, 66, 48), (224, 222, 216), (60, 62, 66))),
            (0.05, 0.03, 0.02),
            shading.PLANKS,
            7,
            np.pi / 2,
            grain=0.06,
        )
    )
    yaw = float(rng.uniform(-0.4, 0.4))
    kind = rng.choice(["table", "chair", "cupboard", "box", "plant"], p=[0.32, 0.28, 0.2, 0.12, 0.08])
    if kind == "table":
        long, wide = float(rng.uniform(0.8, 1.8)), float(rng.uniform(0.6, 0.9))
        build.box((x, y, 0.73), (long, wide, 0.04), wood, yaw)
        for sx in (-0.45, 0.45):
            for sy in (-0.42, 0.42):
                leg = turned(np.array([[sx * long, sy * wide, 0.0]]), yaw)[0]
                build.box((x + leg[0], y + leg[1], 0.36), (0.05, 0.05, 0.72), wood, yaw)
        build.footprints.append((x, y, long / 2))
    elif kind == "chair":
        chair(build, rng, x, y, yaw + float(rng.uniform(0, 6)), 0.45)
    elif kind == "cupboard":
        build.box((x, y, 0.95), (float(rng.uniform(0.5, 1.2)), 0.45, float(rng.uniform(1.2, 2.0))), wood, yaw)
        build.footprints.append((x, y, 0.7))
    elif kind == "box":
        size = float(rng.uniform(0.3, 0.6))
        build.box((x, y, size / 2), (size * 1.2, size, size), wood, yaw)
        build.footprints.append((x, y, size))
    else:
        leaf = build.material(
            Material(pick(rng, GREENS, 12), (0.01, 0.02, 0.01), shading.BLOTCHES, 4, folds=1, grain=0.3)
        )
        build.shape(blob((0, 0, 0.2), (0.35, 0.35, 0.4), 0.5), (x, y, 0), wood)
        build.shape(blob((0, 0, 0.8), (0.7, 0.7, 0.9), 0.9, 9), (x, y, 0), leaf)
        build.footprints.append((x, y, 0.5))


def chair(build: Builder, rng: Generator, x: float, y: float, yaw: float, seat_m: float) -> None:
    """A chair whose sitter looks along -y turned by yaw; `seat_m` is the seat's height."""
    row = build.material(Material(pick(rng, CLOTHES_COLOURS), grain=0.05))

    def place(centre: tuple[float, float, float], size: tuple[float, float, float]) -> None:
        spot = turned(np.array([centre]), yaw)[0] + np.array([x, y, 0])
        build.box(spot.tolist(), size, row, yaw)

    place((0, -0.1, seat_m - 0.03), (0.46, 0.48, 0.05))
    place((0, 0.16, seat_m + 0.28), (0.44, 0.04, 0.5))
    for sx in (-0.2, 0.2):
        for sy in (-0.31, 0.14):
            place((sx, sy, seat_m / 2 - 0.03), (0.04, 0.04, seat_m - 0.05))


def seat(build: Builder, rng: Generator, x: float, y: float, yaw: float, seat_m: float) -> None:
    """Something to sit on: a chair, a bench, a crate."""
    if rng.random() < 0.65:
        chair(build, rng, x, y, yaw, seat_m)
        return
    row = build.material(Material(pick(rng, CLOTHES_COLOURS), grain=0.08))
    middle = turned(np.array([[0, 0.08, seat_m / 2]]), yaw)[0] + np.array([x, y, 0])
    build.box(middle.tolist(), (float(rng.uniform(0.45, 1.3)), 0.42, seat_m), row, yaw)


def wheel() -> tuple[np.ndarray, np.ndarray]:
    """A bicycle wheel in the y-z plane, radius 0.33 m."""
    sides, tube = 20, 5
    a = np.linspace(0, 2 * np.pi, sides + 1)[:, None]
    b = np.linspace(0, 2 * np.pi, tube, endpoint=False)[None]
    radius = 0.32 + 0.022 * np.cos(b)
    points = np.stack([0.02 * np.sin(b) * np.ones_like(a), radius * np.cos(a), radius * np.sin(a) + 0.34], 2)
    return points.reshape(-1, 3), grid_faces(sides + 1, tube)


def bicycle(build: Builder, rng: Generator, x: float, y: float, yaw: float, scale: float = 1.0) -> float:
    """A bicycle heading along -y turned by yaw, its saddle over (x, y); returns the saddle's height."""
    rubber = build.material(Material((0.015, 0.015, 0.016)))
    paint = build.material(Material(pick(rng, CLOTHES_COLOURS), gloss=0.4))
    for offset in (-0.52, 0.52):
        points, faces = wheel()
        build.shape(((points + np.array([0, offset - SADDLE_Y, 0])) * scale, faces), (x, y, 0), rubber, yaw)
    points, faces = blob((0, 0, SADDLE_Z - 0.04), (0.16, 0.27, 0.08), 0.8)
    build.shape((points * scale, faces), (x, y, 0), rubber, yaw)
    for start, end in (
        ((0, 0.5, 0.34), (0, 0.12, 0.85)),
        ((0, 0.12, 0.85), (0, -0.4, 0.85)),
        ((0, -0.52, 0.34), (0, -0.36, 1.0)),
        ((0, 0.02, 0.32), (0, -0.4, 0.8)),
        ((0, 0.02, 0.32), (0, 0.12, 0.85)),
        ((0, 0.02, 0.32), (0, 0.5, 0.34)),
        ((-0.25, -0.34, 1.0), (0.25, -0.34, 1.0)),
    ):
        a, b = np.array(start, float), np.array(end, float)
        points, faces = blob((0, 0, 0), (0.035, 0.035, float(np.linalg.norm(b - a))), 0.6, 4)
        points = points @ aligning(np.array([0, 0.001, 1.0]), b - a).T + (a + b) / 2 - np.array([0, SADDLE_Y, 0])
        build.shape((points * scale, faces), (x, y, 0), paint, yaw)
    return SADDLE_Z * scale


def furnished(place: Place, build: Builder) -> Place:
    """The place with what was built on top of it."""
    if not build.points:
        return place
    vertices = torch.from_numpy(np.concatenate(build.points))
    faces = torch.from_numpy(np.concatenate(build.faces))
    return replace(
        place,
        vertices=torch.cat([place.vertices, vertices]),
        normals=torch.cat([place.normals, vertex_normals(vertices, faces)]),
        faces=torch.cat([place.faces, faces + len(place.vertices)]),
        material=torch.cat([place.material, torch.from_numpy(np.concatenate(build.rows)) + len(place.table)]),
        table=torch.cat([place.table, torch.tensor([m.row() for m in build.materials], dtype=torch.float32)]),
    )


def random_place(
    rng: Generator,
    *,
    picture: UInt8Array | None = None,
    kind: int | None = None,
    ways: np.ndarray | None = None,
) -> Place:
    """A place around the origin; cameras stand near (0, 0) and look along +y.

    Args:
        rng: Same state, same place.
        picture: [H, W, 3] uint8 RGB to take for the place.
        kind: STREET, CAR_PARK, SQUARE or ROOM; random by default.
        ways: [K, 2, 2], ways (start, end; metres) on which no car, post or tree stands.
    """
    build = Builder(ways)
    chosen = kind if kind is not None else int(rng.choice([STREET, CAR_PARK, SQUARE, ROOM], p=[0.42, 0.16, 0.17, 0.25]))
    if picture is not None:
        chosen = PICTURE
    light = random_light(rng, indoor=chosen == ROOM)
    grey = pick(rng, ((92, 92, 94), (120, 118, 114), (70, 72, 76), (146, 142, 134)), 8)
    dark = (grey[0] * 0.8, grey[1] * 0.8, grey[2] * 0.8)
    asphalt = build.material(
        Material(grey, dark, shading.BLOTCHES, float(rng.uniform(0.2, 1.5)), grain=0.12, phase=float(rng.uniform(0, 9)))
    )
    tiles = pick(rng, ((150, 146, 138), (128, 120, 112), (172, 160, 142), (138, 100, 84)), 8)
    if rng.random() < 0.25:
        tiles = pick(rng, GREENS)
    side = build.material(
        Material(
            tiles, (tiles[0] * 0.6, tiles[1] * 0.6, tiles[2] * 0.6), shading.BRICKS, float(rng.uniform(1, 3)), grain=0.1
        )
    )
    marking = build.material(Material((0.6, 0.6, 0.57), grain=0.2))
    road = (float(rng.normal(0, 0.15)), float(rng.uniform(2.5, 6)), float(rng.uniform(-4, 4)))
    if chosen == STREET:
        streets(build, rng, road)
    elif chosen in (CAR_PARK, SQUARE):
        open_space(build, rng, cars=chosen == CAR_PARK)
        road = (road[0], 100.0, 0.0)
    elif chosen == ROOM:
        room(build, rng)
        road = (road[0], 100.0, 0.0)
        floor = pick(rng, ((150, 116, 80), (176, 172, 164), (110, 104, 98), (196, 176, 140), (88, 70, 56)))
        pattern = int(rng.choice([shading.PLANKS, shading.CHECKS, shading.PLAIN, shading.BRICKS]))
        build.materials[asphalt] = Material(
            floor, (floor[0] * 0.6, floor[1] * 0.6, floor[2] * 0.6), pattern, float(rng.uniform(1.5, 6)), grain=0.05
        )
    bright = light.sky
    haze = float(rng.uniform(0.7, 1.1))
    horizon = (bright[0] * haze + 0.1, bright[1] * haze + 0.1, bright[2] * haze + 0.1)
    blue = float(rng.uniform(0.35, 1.0))
    zenith = (horizon[0] * blue * 0.7, horizon[1] * (0.3 + 0.6 * blue), horizon[2])
    vertices = torch.from_numpy(np.concatenate(build.points)) if build.points else torch.zeros(0, 3)
    faces = torch.from_numpy(np.concatenate(build.faces)) if build.faces else torch.zeros(0, 3, dtype=torch.int64)
    return Place(
        kind=chosen,
        light=light,
        vertices=vertices,
        normals=vertex_normals(vertices, faces),
        faces=faces,
        material=torch.from_numpy(np.concatenate(build.rows)) if build.rows else torch.zeros(0, dtype=torch.int64),
        table=torch.tensor([m.row() for m in build.materials], dtype=torch.float32),
        ground=(asphalt, side, marking),
        road=road,
        sky=(horizon, zenith),
        footprints=np.array(build.footprints, np.float32).reshape(-1, 3),
        picture=picture,
    )


def streets(build: Builder, rng: Generator, road: tuple[float, float, float]) -> None:
    """House fronts on both sides, parked and moving cars, posts and trees along the kerb."""
    angle, half, offset = road

    def spot(across: float, along: float) -> tuple[float, float]:
        p = turned(np.array([[offset + across, along, 0]]), angle)[0]
        return float(p[0]), float(p[1])

    for side in (-1, 1):
        along = -12.0
        setback = half + float(rng.uniform(2.5, 7))
        while along < 90:
            length, height = float(rng.uniform(6, 18)), float(rng.uniform(5, 18))
            wall = pick(rng, WALL_COLOURS)
            kind = int(rng.choice([shading.WINDOWS, shading.BRICKS, shading.PLAIN], p=[0.65, 0.2, 0.15]))
            scale = float(rng.uniform(0.25, 0.45)) if kind == shading.WINDOWS else float(rng.uniform(2, 5))
            second = (0.03, 0.035, 0.045) if rng.random() < 0.7 else (0.3, 0.33, 0.36)
            row = build.material(Material(wall, second, kind, scale, grain=0.05, phase=float(rng.uniform(0, 5))))
            if rng.random() < 0.85:
                x, y = spot(side * (setback + 5), along + length / 2)
                build.box((x, y, height / 2), (10, length, height), row, angle)
                for _ in range(int(rng.integers(0, 4))):  # doors, dark openings, shop windows
                    door = build.material(
                        Material(pick(rng, ((26, 24, 24), (60, 40, 30), (30, 50, 40), (130, 130, 132))))
                    )
                    dx, dy = spot(side * (setback - 0.01), along + float(rng.uniform(0.1, 0.9)) * length)
                    build.box((dx, dy, 1.05), (0.1, float(rng.uniform(0.9, 2.6)), 2.1), door, angle)
            along += length + float(rng.choice([0, 0, 4]))
        for _ in range(int(rng.integers(2, 8))):
            x, y = spot(side * (half + float(rng.uniform(0.3, 1.2))), float(rng.uniform(3, 45)))
            (tree if rng.random() < 0.3 else post)(build, rng, x, y)
        along = float(rng.uniform(4, 12))
        while rng.random() < 0.75 and along < 50:
            x, y = spot(side * (half - 1.05), along)
            car(build, rng, x, y, angle + np.pi / 2 * float(rng.choice([-1, 1])))
            along += float(rng.uniform(5.2, 9))


def open_space(build: Builder, rng: Generator, *, cars: bool) -> None:
    """A car park or a square with something at its far end."""
    far = float(rng.uniform(25, 60))
    for _ in range(int(rng.integers(1, 5))):
        kind, scale = [(shading.WINDOWS, float(rng.uniform(0.3, 0.5))), (shading.BRICKS, float(rng.uniform(2, 5)))][
            int(rng.integers(2))
        ]
        wall = build.material(Material(pick(rng, WALL_COLOURS), (0.04, 0.04, 0.05), kind, scale, grain=0.05))
        height = float(rng.uniform(4, 14))
        build.box(
            (float(rng.uniform(-40, 40)), far + float(rng.uniform(0, 15)), height / 2),
            (float(rng.uniform(12, 35)), 8, height),
            wall,
        )
    if cars:
        for y in np.arange(float(rng.uniform(6, 10)), far - 4, float(rng.uniform(6.5, 10))):
            for x in np.arange(-18, 18, 2.6):
                if rng.random() < 0.55:
                    car(
                        build,
                        rng,
                        float(x),
                        float(y),
                        np.pi / 2 * float(rng.choice([-1, 1])) + float(rng.normal(0, 0.03)),
                    )
    for _ in range(int(rng.integers(3, 14))):
        x, y = float(rng.uniform(-16, 16)), float(rng.uniform(4, far))
        (tree if rng.random() < 0.45 else post)(build, rng, x, y)


def room(build: Builder, rng: Generator) -> None:
    """Four walls and a ceiling seen from inside, doors, windows, pictures, furniture."""
    wide, deep, tall = float(rng.uniform(5, 14)), float(rng.uniform(6, 16)), float(rng.uniform(2.6, 4))
    paint = pick(
        rng, ((226, 222, 212), (200, 196, 188), (214, 200, 176), (176, 190, 200), (150, 150, 148), (188, 168, 150))
    )
    wall = build.material(Material(paint, grain=0.02))
    ceiling = build.material(Material((0.7, 0.7, 0.68), grain=0.01))
    back = -3.0
    build.box((0, deep + back + 0.1, tall / 2), (wide, 0.2, tall), wall)
    for side in (-1, 1):
        build.box((side * wide / 2, deep / 2 + back, tall / 2), (0.2, deep, tall), wall)
    build.box((0, deep / 2 + back, tall + 0.1), (wide, deep, 0.2), ceiling)
    for _ in range(int(rng.integers(2, 8))):
        colours = ((24, 22, 22), (96, 66, 46), (235, 240, 246), (60, 80, 110), (160, 120, 80))
        row = build.material(
            Material(
                pick(rng, colours), pick(rng, CLOTHES_COLOURS), int(rng.choice([shading.PLAIN, shading.BLOTCHES])), 1.5
            )
        )
        door = rng.random() < 0.5
        width, height = float(rng.uniform(0.8, 1.3)), 2.05 if door else float(rng.uniform(0.6, 1.4))
        centre = height / 2 if door else float(rng.uniform(1.3, 1.8))
        place = rng.integers(3)
        if place == 0:
            build.box((float(rng.uniform(-0.4, 0.4)) * wide, deep + back, centre), (width, 0.03, height), row)
        else:
            side = 1 if place == 1 else -1
            build.box(
                (side * (wide / 2 - 0.1), float(rng.uniform(0.2, 0.9)) * deep + back, centre),
                (0.03, width, height),
                row,
            )
    for _ in range(int(rng.integers(1, 8))):
        furniture(build, rng, float(rng.uniform(-0.45, 0.45)) * wide, float(rng.uniform(1.5, deep + back - 0.5)))
    # no person walks through the walls
    for y in np.arange(back, deep + back, 1.0):
        build.footprints += [(wide / 2, float(y), 0.6), (-wide / 2, float(y), 0.6)]
    for x in np.arange(-60, 60, 1.5):
        build.footprints += (
            [(float(x), deep + back + k, 1.2) for k in np.arange(0.5, 60, 1.5)] if abs(x) < wide / 2 + 4 else []
        )
