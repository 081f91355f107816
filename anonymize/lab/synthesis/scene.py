"""Scenes: people in places before cameras, with the exact truth of every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from anonymize.bodies import shading
from anonymize.bodies.camera import Camera
from anonymize.bodies.people import Person, random_person
from anonymize.bodies.poses import Angles, random_activity, turn
from anonymize.bodies.raster import rasterize
from anonymize.core.errors import MediaError
from anonymize.core.types import FloatArray, IntArray, UInt8Array
from anonymize.lab.synthesis import places
from anonymize.lab.synthesis.places import Builder, Place, bicycle, furnished, random_place, seat

FINE = 2  # samples per pixel and axis for people
COARSE_BELOW_PX = 90
FAR = 1e6
ADULT_M = 1.72  # height of whom an adult's bicycle fits


@dataclass(frozen=True, eq=False)
class Actor:
    """A person at a moment.

    Attributes:
        person: Who.
        angles: Pose.
        xy: Position on the ground, metres.
        heading_degrees: 0 looks along -y, counted as seen from above to the left.
        track_id: From 1.
        lift_m: Height of the lowest point above the ground.
    """

    person: Person
    angles: Angles
    xy: tuple[float, float]
    heading_degrees: float
    track_id: int = 1
    lift_m: float = 0.0

    def meshes(self, *, coarse: bool) -> tuple[Tensor, Tensor]:
        """World vertices and normals, [N, 3] each."""
        vertices, normals = self.person.posed(self.angles, coarse=coarse)
        spin = torch.from_numpy(turn(2, self.heading_degrees).astype(np.float32)).to(vertices)
        shift = vertices.new_tensor([*self.xy, self.lift_m])
        return vertices @ spin.T + shift, normals @ spin.T

    def joints(self) -> Tensor:
        """Where the body's joints are in the world, [J, 3]."""
        person = self.person
        transforms = person.transforms(self.angles)
        own = (transforms[:, :, :3] @ person.joints[:, :, None])[:, :, 0] + transforms[:, :, 3]
        spin = torch.from_numpy(turn(2, self.heading_degrees).astype(np.float32)).to(own)
        # as `Person.posed`: the root above the origin, the lowest point on the ground
        return (own - person.origin(self.angles)) @ spin.T + own.new_tensor([*self.xy, self.lift_m])


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered picture and the truth about it.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        background: [H, W, 3] uint8 RGB, the same without people and their shadows.
        instances: [H, W] int16, 0 background, k where the k-th person (row k - 1 below) is visible.
        vertices: [H, W] int32, vertex of the body surface, -1 where there is none.
        boxes_xyxy: [N, 4] float32, round the visible pixels.
        track_ids: [N] int64.
        heights_px: [N] float32, from head to feet as if nothing were in front, also beyond the picture.
        camera: The camera.
        actors: The N people as they stand.
    """

    image: UInt8Array
    background: UInt8Array = field(repr=False)
    instances: np.ndarray = field(repr=False)
    vertices: np.ndarray = field(repr=False)
    boxes_xyxy: FloatArray
    track_ids: IntArray
    heights_px: FloatArray
    camera: Camera
    actors: tuple[Actor, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.boxes_xyxy)


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A place as a camera sees it, before people enter.

    Attributes:
        colour: [H, W, 3] linear.
        depth: [H, W], of objects; FAR where the ground or the sky is seen.
        ground: [H, W] bool, where shadows can fall.
    """

    colour: Tensor
    depth: Tensor
    ground: Tensor


def draw_backdrop(place: Place, camera: Camera, *, device: str = "cpu") -> Backdrop:
    """Ground, sky and objects, with the objects' shadows."""
    height, width = camera.size_hw
    rays = camera.rays(device=device)
    depth = torch.full((height, width), FAR, device=device)
    if place.picture is not None:
        picture = cv2.resize(place.picture, (width, height), interpolation=cv2.INTER_AREA)
        colour = (torch.from_numpy(picture).to(device).float() / 255) ** 2.2
        below = rays[..., 2] < -0.02
    else:
        colour, below = draw_ground_and_sky(place, camera, rays)
    if len(place.faces):
        colour = draw_objects(place, camera, colour, depth, below)
    return Backdrop(colour, depth, below & (depth >= FAR))


def draw_ground_and_sky(place: Place, camera: Camera, rays: Tensor) -> tuple[Tensor, Tensor]:
    """Linear colour [H, W, 3] along the rays and where the ground is, [H, W] bool."""
    device = rays.device
    position = torch.tensor(camera.position, device=device)
    table, light = place.table.to(device), place.light
    up = torch.nn.functional.normalize(rays, dim=2)[..., 2].clamp(0, 1)[..., None]
    horizon, zenith = (torch.tensor(c, device=device) for c in place.sky)
    colour = horizon + (zenith - horizon) * up.sqrt()
    below = rays[..., 2] < -0.004
    reach = -position[2] / torch.where(below, rays[..., 2], torch.full_like(rays[..., 2], -1.0))
    points = (position + rays * reach[..., None])[below]  # [P, 3]
    angle, half, offset = place.road
    c, s = float(np.cos(angle)), float(np.sin(angle))
    across, along = points[:, 0] * c + points[:, 1] * s - offset, points[:, 1] * c - points[:, 0] * s
    main, side, marking = place.ground
    row = torch.where(across.abs() < half, main, side)
    dashes = (across.abs() < 0.07) & ((along % 6) < 3) & (half < 50)
    kerb = ((across.abs() - half).abs() < 0.08) & (half < 50)
    bays = (place.kind == places.CAR_PARK) & ((points[:, 0] % 2.6).abs() < 0.08) & ((points[:, 1] % 12) < 5)
    row = torch.where(dashes | kerb | bays, marking, row)
    flat = torch.stack([across, torch.zeros_like(across), along], 1)  # patterns are measured in x and z
    normal = points.new_tensor([0.0, 0.0, 1.0]).expand_as(points)
    lit = shading.shade(table, row, flat, normal, -rays[below], torch.ones_like(across), light)
    haze = torch.exp(-reach[below] * 0.006)[:, None]
    colour[below] = lit * haze + horizon * (1 - haze)
    return colour, below


def draw_objects(place: Place, camera: Camera, colour: Tensor, depth: Tensor, below: Tensor) -> Tensor:
    """The place's objects and their shadows over a colour [H, W, 3]; their depth is written into `depth` [H, W]."""
    device = str(colour.device)
    vertices, faces = place.vertices.to(device), place.faces.to(device)
    if place.kind != places.ROOM:
        dark = 1 - 0.9 * place.light.shadow_strength * shadow(vertices, faces, camera, place, device)
        colour = torch.where(below[..., None], colour * dark[..., None], colour)
    visible = rasterize(camera.project(vertices), faces, camera.size_hw)
    spots = visible.interpolate(vertices, faces)
    openness = (0.55 + 0.6 * spots[:, 2]).clamp(max=1)
    normals = visible.interpolate(place.normals.to(device), faces)
    paint = shading.shade(
        place.table.to(device),
        place.material.to(device)[visible.face],
        along_walls(spots, normals),
        normals,
        torch.tensor(camera.position, device=device) - spots,
        openness,
        place.light,
    )
    fade = torch.exp(-visible.depth * 0.006)[:, None]
    colour = colour.clone()
    colour.view(-1, 3)[visible.pixel] = paint * fade + torch.tensor(place.sky[0], device=device) * (1 - fade)
    depth.view(-1)[visible.pixel] = visible.depth
    return colour


def along_walls(points: Tensor, normals: Tensor) -> Tensor:
    """Positions whose x runs along the wall that a point lies on, for patterns."""
    flat = normals[:, :2].abs()
    along = torch.where(flat[:, 0] > flat[:, 1], points[:, 1], points[:, 0])
    return torch.stack([along, torch.zeros_like(along), points[:, 2]], 1)


def shadow(vertices: Tensor, faces: Tensor, camera: Camera, place: Place, device: str) -> Tensor:
    """How much of the sun is missing on the ground, [H, W] in [0, 1], soft at the rim."""
    towards = vertices.new_tensor(place.light.direction)
    fallen = vertices - towards * (vertices[:, 2:].clamp(min=0) / towards[2].clamp(min=0.25))
    mask = torch.zeros(camera.size_hw[0] * camera.size_hw[1], device=device)
    mask[rasterize(camera.project(fallen), faces, camera.size_hw).pixel] = 1
    grid = mask.view(1, 1, *camera.size_hw)
    padded = torch.nn.functional.pad(grid, (1, 1, 1, 1), mode="replicate")
    return torch.nn.functional.avg_pool2d(padded, 3, 1)[0, 0]


def draw_people(
    actors: Sequence[Actor], place: Place, backdrop: Backdrop, camera: Camera, *, device: str = "cpu"
) -> tuple[Tensor, Tensor, Tensor, FloatArray]:
    """Paint people into a backdrop.

    Returns:
        Linear colour [H, W, 3], instances [H, W] int64 (index of the actor + 1), vertices [H, W] int64, and the
        actors' full heights in pixels [N].
    """
    height, width = camera.size_hw
    colour = backdrop.colour.clone()
    instances = torch.zeros(height * width, dtype=torch.int64, device=device)
    owners = torch.full((height * width,), -1, dtype=torch.int64, device=device)
    heights = np.zeros(len(actors), np.float32)
    parts: list[list[Tensor]] = []
    vertex_count = row_count = 0
    shadows: list[tuple[Tensor, Tensor]] = []
    for k, actor in enumerate(actors):
        feet_head = torch.tensor([[*actor.xy, 0.0], [*actor.xy, actor.person.height_m]], device=device)
        ends = camera.project(feet_head)
        if float(ends[:, 2].min()) < 0.3:
            continue
        tall = float((ends[0, :2] - ends[1, :2]).norm())
        if camera.position[2] > 2.5:  # seen from above, the upright length shrinks but the person does not
            tall = max(tall, 0.5 * camera.focal_px * actor.person.height_m / float(ends[0, 2]))
        heights[k] = tall
        coarse = tall < COARSE_BELOW_PX
        mesh = actor.person.coarse if coarse else actor.person.mesh
        vertices, normals = actor.meshes(coarse=coarse)
        flat = camera.project(vertices)
        if bool((flat[:, 2] < 0.1).any()) or not bool(
            ((flat[:, 0] > 0) & (flat[:, 0] < width) & (flat[:, 1] > 0) & (flat[:, 1] < height)).any()
        ):
            continue
        canonical = mesh.canonical
        who = torch.full((len(mesh.faces),), k + 1, device=device)
        parts.append(
            [
                vertices,
                normals,
                flat,
                canonical,
                mesh.openness,
                mesh.owner,
                mesh.faces + vertex_count,
                mesh.material + row_count,
                who,
                mesh.table,
            ]
        )
        vertex_count += len(vertices)
        row_count += len(mesh.table)
        shadows.append((vertices, mesh.faces))
    if not parts:
        return colour, instances.view(height, width), owners.view(height, width), heights
    vertices, normals, flat, canonical, openness, owner, faces, material, who, table = (
        torch.cat(c) for c in zip(*parts, strict=True)
    )

    dark = shadow(vertices, faces, camera, place, device)
    strength = 0.9 * place.light.shadow_strength
    colour = torch.where(backdrop.ground[..., None], colour * (1 - strength * dark)[..., None], colour)

    flat = torch.cat([flat[:, :2] * FINE, flat[:, 2:]], 1)
    visible = rasterize(flat, faces, (height * FINE, width * FINE))
    wide = width * FINE
    pixel = torch.div(visible.pixel, wide * FINE, rounding_mode="floor") * width + torch.div(
        visible.pixel % wide, FINE, rounding_mode="floor"
    )
    shown = (visible.depth < backdrop.depth.view(-1)[pixel]).nonzero()[:, 0]
    visible = type(visible)(visible.pixel[shown], visible.face[shown], visible.weights[shown], visible.depth[shown])
    pixel = pixel[shown]
    if not len(shown):
        return colour, instances.view(height, width), owners.view(height, width), heights
    position = torch.tensor(camera.position, device=device)
    # near the ground less light comes from around
    spots = visible.interpolate(vertices, faces)
    openness_here = visible.interpolate(openness[:, None], faces)[:, 0] * (0.7 + 0.3 * (spots[:, 2] / 0.5).clamp(0, 1))
    paint = shading.shade(
        table,
        material[visible.face],
        visible.interpolate(canonical, faces),
        visible.interpolate(normals, faces),
        position - spots,
        openness_here,
        place.light,
    )
    if place.kind != places.ROOM:
        fade = torch.exp(-visible.depth * 0.006)[:, None]
        paint = paint * fade + torch.tensor(place.sky[0], device=device) * (1 - fade)
    samples = FINE * FINE
    sums = torch.zeros(height * width, 4, device=device)
    sums.index_add_(0, pixel, torch.cat([paint, torch.ones_like(paint[:, :1])], 1))
    alpha = sums[:, 3:] / samples
    colour = (colour.view(-1, 3) * (1 - alpha) + sums[:, :3] / samples).view(height, width, 3)
    # one owner per pixel that is covered by half or more: the nearest sample's
    code = (visible.depth.view(torch.int32).long() << 32) | torch.arange(len(pixel), device=device)
    nearest = torch.full((height * width,), torch.iinfo(torch.int64).max, device=device)
    nearest.scatter_reduce_(0, pixel, code, "amin")
    owned = (alpha[:, 0] >= 0.5).nonzero()[:, 0]
    sample = nearest[owned] & 0xFFFFFFFF
    instances[owned] = who[visible.face[sample]]
    owners[owned] = owner[visible.nearest_corner(faces)[sample]]
    return colour, instances.view(height, width), owners.view(height, width), heights


@dataclass(frozen=True)
class Optics:
    """What lens, sensor and codec do to a picture.

    Attributes:
        exposure: Factor on the light.
        balance: Factors on red, green and blue.
        blur: Sigma of the lens, pixels.
        streak: Motion blur as a vector in pixels.
        noise: Standard deviation, of 255.
        quality: JPEG quality, 100 for none.
        seed: Of the noise.
    """

    exposure: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: float = 0.3
    streak: tuple[float, float] = (0.0, 0.0)
    noise: float = 1.0
    quality: int = 95
    seed: int = 0


def random_optics(rng: Generator, *, film: bool = False) -> Optics:
    """Mostly good cameras; some with dim light, shake, noise, strong compression."""
    streak = (float(rng.normal(0, 4)), float(rng.normal(0, 1.5))) if not film and rng.random() < 0.2 else (0.0, 0.0)
    r, g, b = (float(v) for v in np.exp(rng.normal(0, 0.06, 3)))
    return Optics(
        exposure=float(np.exp(rng.normal(0, 0.25))),
        balance=(r, g, b),
        blur=float(rng.choice([0.0, 0.4, 0.7, 1.2], p=[0.2, 0.4, 0.28, 0.12])),
        streak=streak,
        noise=float(rng.choice([0.8, 2.5, 6.0, 12.0], p=[0.4, 0.35, 0.18, 0.07])),
        quality=int(rng.choice([97, 88, 70, 45], p=[0.35, 0.35, 0.2, 0.1])),
        seed=int(rng.integers(1 << 31)),
    )


def sensor_noise(shape: tuple[int, ...], optics: Optics) -> FloatArray:
    """What the sensor adds to a picture of this shape, of 255."""
    rng = np.random.default_rng(optics.seed)
    noise: FloatArray = rng.standard_normal(shape, np.float32) * np.float32(optics.noise)
    return noise


def expose(linear: Tensor, optics: Optics, noise: FloatArray, *, mean: float) -> UInt8Array:
    """The picture that a camera makes of linear light [H, W, 3]; `mean` is the scene's brightness that it meters."""
    gain = 0.3 * optics.exposure / max(mean, 1e-3)
    gain = gain**0.6
    values = shading.encode(linear * gain * linear.new_tensor(optics.balance)).cpu().numpy() * 255
    if optics.blur > 0:
        values = cv2.GaussianBlur(values, (0, 0), optics.blur)
    length = int(np.hypot(*optics.streak))
    if length >= 2:
        kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
        end = (round(length + optics.streak[0] / 2), round(length + optics.streak[1] / 2))
        cv2.line(kernel, (2 * length - end[0], 2 * length - end[1]), end, 1.0)
        values = cv2.filter2D(values, -1, kernel / kernel.sum())
    pixels: UInt8Array = np.clip(values + noise, 0, 255).astype(np.uint8)
    if optics.quality < 100:
        coded = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, optics.quality])[1]
        decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
        pixels = np.ascontiguousarray(decoded[:, :, ::-1]).astype(np.uint8)
    return pixels


def compose(
    actors: Sequence[Actor],
    place: Place,
    camera: Camera,
    optics: Optics,
    *,
    backdrop: Backdrop | None = None,
    device: str = "cpu",
) -> Scene:
    """Draw a scene whose parts are all given; `backdrop` saves drawing the same place again."""
    behind = draw_backdrop(place, camera, device=device) if backdrop is None else backdrop
    colour, instances, owners, heights = draw_people(actors, place, behind, camera, device=device)
    mean = float(behind.colour.mean())
    if place.picture is not None:  # people adapt to the picture, which stays as it is
        mean = 0.3 * optics.exposure
    index = instances.cpu().numpy()
    kept = [k for k in range(len(actors)) if (index == k + 1).any()]
    renumbered = np.zeros(len(actors) + 1, np.int16)
    renumbered[np.array(kept, np.int64) + 1] = np.arange(1, len(kept) + 1)
    boxes = np.zeros((len(kept), 4), np.float32)
    for row, k in enumerate(kept):
        ys, xs = np.nonzero(index == k + 1)
        boxes[row] = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    noise = sensor_noise(tuple(colour.shape), optics)
    return Scene(
        image=expose(colour, optics, noise, mean=mean),
        background=expose(behind.colour, optics, noise, mean=mean),
        instances=renumbered[index],
        vertices=owners.to(torch.int32).cpu().numpy(),
        boxes_xyxy=boxes,
        track_ids=np.array([actors[k].track_id for k in kept], np.int64),
        heights_px=heights[kept],
        camera=camera,
        actors=tuple(actors[k] for k in kept),
    )


def random_camera(rng: Generator, size_hw: tuple[int, int], kind: int) -> Camera:
    """A dashcam, a street or ceiling camera, or one in a hand; looks along +y."""
    focal = size_hw[1] / (2 * np.tan(np.radians(float(rng.uniform(42, 84)) / 2)))
    mount = rng.choice(["dash", "street", "hand"], p=[0.4, 0.3, 0.3] if kind != places.ROOM else [0.0, 0.5, 0.5])
    if mount == "dash":
        height, pitch = float(rng.uniform(1.1, 1.7)), float(rng.uniform(-5, 2))
    elif mount == "street":
        height = float(rng.uniform(2.6, 7.0)) if kind != places.ROOM else float(rng.uniform(2.2, 2.55))
        pitch = -float(rng.uniform(8, 40))
    else:
        height, pitch = float(rng.uniform(1.2, 1.8)), float(rng.normal(-4, 6))
    yaw = float(rng.normal(0, 12))
    ahead = (np.sin(np.radians(yaw)), np.cos(np.radians(yaw)), np.tan(np.radians(pitch)))
    target = (float(ahead[0]), float(ahead[1]), height + float(ahead[2]))
    return Camera.looking_at((0.0, 0.0, height), target, float(focal), size_hw, roll=float(rng.normal(0, 1.5)))


def place_people(
    rng: Generator, count: int, place: Place, camera: Camera, *, real_share: float = 0.0
) -> tuple[list[Actor], Place]:
    """Where people stand and what they do, at all distances, alone and in groups; the place with what they sit on."""
    actors: list[Actor] = []
    build = Builder()
    height_px = camera.size_hw[0]
    forward, right = np.array(camera.rotation[2]), np.array(camera.rotation[0])
    level = forward[:2] / np.linalg.norm(forward[:2])
    aside = right[:2] / np.linalg.norm(right[:2])
    for k in range(count):
        person = random_person(rng)
        for _ in range(25):
            if actors and rng.random() < 0.35:
                near = actors[int(rng.integers(len(actors)))]
                angle, radius = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.45, 1.1))
                xy = np.array(near.xy) + radius * np.array([np.cos(angle), np.sin(angle)])
            else:
                size = float(np.exp(rng.uniform(np.log(12), np.log(height_px * 1.15))))
                distance = camera.focal_px * 1.7 / size
                spread = distance * camera.size_hw[1] / camera.focal_px / 2
                xy = np.array(camera.position[:2]) + distance * level + float(rng.uniform(-1, 1)) * spread * aside
            taken = [np.hypot(*(xy - np.array(a.xy))) < 0.4 for a in actors]
            gap = np.hypot(place.footprints[:, 0] - xy[0], place.footprints[:, 1] - xy[1]) - place.footprints[:, 2]
            if not any(taken) and not (gap < 0.15).any():
                break
        else:
            continue
        activity, pose = random_activity(rng, real_share=real_share)
        x, y, heading = float(xy[0]), float(xy[1]), float(rng.uniform(-180, 180))
        lift, yaw = 0.0, float(np.radians(heading))
        if activity == "sitting":
            seat(build, rng, x, y, yaw, person.seat_m(pose))
        elif activity == "cycling":
            lift = bicycle(build, rng, x, y, yaw, person.height_m / ADULT_M) - person.seat_m(pose)
        actors.append(Actor(person, pose, (x, y), heading, k + 1, lift))
    return actors, furnished(place, build)


def random_picture(rng: Generator, folder: Path, size_hw: tuple[int, int]) -> UInt8Array:
    """A picture of a folder, cut to the shape.

    Raises:
        MediaError: The folder has no picture, or one cannot be read.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    if not paths:
        raise MediaError(f"no pictures in {folder}")
    path = paths[int(rng.integers(len(paths)))]
    image = cv2.imread(str(path))
    if image is None:
        raise MediaError(f"cannot read {path}")
    height, width = image.shape[:2]
    share = min(width / size_hw[1], height / size_hw[0])
    h, w = int(size_hw[0] * share), int(size_hw[1] * share)
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    part = cv2.resize(image[y : y + h, x : x + w], size_hw[::-1], interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(part[:, :, ::-1]).astype(np.uint8)


def render_scene(
    rng: Generator,
    size_hw: tuple[int, int] = (384, 640),
    people: int | None = None,
    backgrounds: Path | None = None,
    device: str = "cpu",
    *,
    real_share: float = 0.0,
) -> Scene:
    """A random scene.

    Args:
        rng: Same generator state, same scene.
        size_hw: Height and width of the picture.
        people: How many are placed (some may be hidden or out of sight); 0 to 12 at random by default.
        backgrounds: Folder of pictures without people to stand in, half of the time.
        device: Where to draw.
        real_share: Share of people whose pose is a real person's; `evaluate detector` has none.

    Raises:
        MediaError: `backgrounds` has no readable picture.
    """
    picture = random_picture(rng, backgrounds, size_hw) if backgrounds is not None and rng.random() < 0.5 else None
    place = random_place(rng, picture=picture)
    camera = random_camera(rng, size_hw, place.kind)
    count = int(min(rng.geometric(0.22) - 1, 12)) if people is None else people
    actors, place = place_people(rng, count, place, camera, real_share=real_share)
    moved = [Actor(a.person.to(device), a.angles, a.xy, a.heading_degrees, a.track_id, a.lift_m) for a in actors]
    return compose(moved, place, camera, random_optics(rng), device=device)
