"""Films of walking people with their truth, and what is found in them: material of `benchmarks/tracking.py`."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch

from anonymize.core.body_surface import load_surface
from anonymize.core.types import Detections, Frame, RegionMask
from anonymize.detect.predictor import Detector
from anonymize.lab.synthesis.film import render_film
from anonymize.media import open_film, write_film
from anonymize.pipeline import detect

MOTIONS = ("still", "still", "hand", "pan", "drive")
WALLED = (0, 1)  # of each five films: those whose camera rests
SIZE_HW, FPS = (288, 512), 10
JITTER, DROPPED = 0.03, 0.2
MIN_VISIBLE = (0.25, 0.06)  # height and width, of the full height: who shows less is not there
MIN_HEIGHT = 12
LONG_SECONDS = 2
PIECE = 60  # frames whose findings are kept together

Rows = np.ndarray
Stream = list[tuple[Frame, Detections]]


@dataclass
class Film:
    """A film with its truth.

    Attributes:
        name: For the table.
        rate: Frames per second.
        frames: The frames.
        truth: [K, 6] frame from 1, ID, left, top, width, height.
        people: [T, H, W] uint8, ID of each pixel; None without pictures.
        vertices: [T, H, W] vertex of the body surface, -1 none; None without pictures.
        heights: Full height in pixels by (frame from 1, ID); whom a wall hides has one, who is out of the picture none.
    """

    name: str
    rate: Fraction
    frames: list[Frame]
    truth: Rows
    people: np.ndarray | None = None
    vertices: np.ndarray | None = None
    heights: dict[tuple[int, int], float] | None = None


def render(folder: Path, number: int, n_frames: int) -> None:
    """Render a film with its truth, unless it is there."""
    path = folder / f"film_{number:02d}.mp4"
    if path.with_suffix(".npz").exists():
        return
    people, vertices, rows = [], [], []

    def pictures() -> Iterator[np.ndarray]:
        scenes = render_film(
            700 + number, n_frames, SIZE_HW, fps=FPS, n_people=4 + number % 4, motion=MOTIONS[number % 5]
        )
        for k, scene in enumerate(scenes):
            people.append(np.concatenate([[0], scene.track_ids]).astype(np.uint8)[scene.instances])
            vertices.append(scene.vertices.astype(np.int16))
            ids = scene.track_ids[:, None]
            rows.append(np.concatenate([np.full_like(ids, k), ids, scene.boxes_xyxy, scene.heights_px[:, None]], 1))
            yield scene.image

    write_film(path, pictures(), Fraction(FPS), crf=16, overwrite=True)
    boxes = np.concatenate(rows).astype(np.float32)
    np.savez_compressed(path.with_suffix(".npz"), tracks=np.stack(people), vertices=np.stack(vertices), boxes=boxes)


def read_frames(path: Path) -> list[Frame]:
    with open_film(path) as film:
        return [Frame(f.image, f.index, f.pts, f.time_base) for f in film]


def read_film(folder: Path, number: int) -> Film:
    """A rendered film; in some a wall is put before the people."""
    path = folder / f"film_{number:02d}.mp4"
    frames = read_frames(path)
    with np.load(path.with_suffix(".npz")) as archive:
        people, vertices, boxes = (archive[key] for key in ("tracks", "vertices", "boxes"))
    if number % 5 in WALLED:
        left, right = (int(SIZE_HW[1] * share) for share in ((0.3, 0.55) if number % 5 else (0.45, 0.75)))
        bricks = np.random.default_rng(number).integers(90, 150, (SIZE_HW[0] // 6, (right - left) // 12 + 1, 3))
        wall = cv2.resize(bricks.astype(np.uint8), (right - left, SIZE_HW[0]), interpolation=cv2.INTER_NEAREST)
        people[:, :, left:right], vertices[:, :, left:right] = 0, -1
        for frame in frames:
            frame.image[:, left:right] = wall
    heights = {(int(r[0]) + 1, int(r[1])): float(r[6]) for r in boxes}
    truth = []
    for k, picture in enumerate(people):
        for number_ in np.unique(picture[picture > 0]):
            region = RegionMask.from_full(picture == number_)
            height, width = region.mask.shape
            full = heights[k + 1, int(number_)]
            if height >= max(MIN_HEIGHT, MIN_VISIBLE[0] * full) and width >= MIN_VISIBLE[1] * full:
                truth.append((k + 1, number_, region.x, region.y, width, height))
    name = f"{path.stem} {MOTIONS[number % 5]}{' wall' if number % 5 in WALLED else ''}"
    return Film(name, Fraction(FPS), frames, np.array(truth, np.float64), people, vertices, heights)


def read_tud(folder: Path, name: str) -> Film:
    """Truth of a public film, without its pictures."""
    truth = np.loadtxt(folder / name / "gt.txt", delimiter=",")[:, :6]
    rate, blank = Fraction(25), np.zeros((480, 640, 3), np.uint8)
    frames = [Frame(blank, k, k, 1 / rate) for k in range(int(truth[:, 0].max()))]
    return Film(name, rate, frames, truth)


def events(film: Film) -> dict[str, int]:
    """What makes a film hard, counted in its truth."""
    if film.people is None or film.heights is None:
        return {}
    counts = dict.fromkeys(("crossings", f"full occlusions of {LONG_SECONDS} s and more", "ways out and back"), 0)
    seen: dict[int, list[int]] = {}
    for frame, number in film.truth[:, :2].astype(int):
        seen.setdefault(number, []).append(frame)
    for number, frames in seen.items():
        for a, b in pairwise(frames):
            away = [k for k in range(a + 1, b) if (k, number) not in film.heights]
            hidden = [k for k in range(a + 1, b) if not (film.people[k - 1] == number).any()]
            if away:
                counts["ways out and back"] += 1
            elif len(hidden) >= LONG_SECONDS * film.rate:
                counts[f"full occlusions of {LONG_SECONDS} s and more"] += 1
    boxes = {(int(r[0]), int(r[1])): r[2:6] for r in film.truth}
    side: dict[tuple[int, int], bool] = {}
    for frame in range(1, len(film.frames) + 1):
        here = sorted(number for k, number in boxes if k == frame)
        for i in here:
            for j in here:
                a, b = boxes[frame, i], boxes[frame, j]
                if i < j and abs(a[0] + a[2] / 2 - b[0] - b[2] / 2) < (a[2] + b[2]) / 2:
                    left = bool(a[0] + a[2] / 2 < b[0] + b[2] / 2)
                    counts["crossings"] += side.get((i, j), left) != left
                    side[i, j] = left
                elif i < j:
                    side[i, j] = bool(a[0] < b[0])
    return counts


def ideal_embedding(dimensions: int = 16, reach_cm: float = 30.0) -> np.ndarray:
    """[L, D] embedding of the landmarks in which what is near on the body is near: principal axes of a heat kernel."""
    kernel = np.exp(-((load_surface().geodesics_cm.astype(np.float64) / reach_cm) ** 2))
    values, axes = np.linalg.eigh(kernel)
    return (axes[:, -dimensions:] * np.sqrt(np.maximum(values[-dimensions:], 0))).astype(np.float32)


def simulate(film: Film, table: np.ndarray, seed: int) -> Stream:
    """Detections made from the truth: boxes jittered by 3 % of their size, 20 % dropped."""
    rng = np.random.default_rng(seed)
    stream: Stream = []
    landmarks = load_surface().landmark_of_vertex
    for k, frame in enumerate(film.frames):
        rows = film.truth[film.truth[:, 0] == k + 1]
        rows = rows[rng.random(len(rows)) >= DROPPED]
        boxes = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], 1)
        boxes += rng.normal(0, JITTER, boxes.shape) * np.tile(rows[:, 4:6], 2)
        masks, embeddings, bodies = [], [], []
        for row, box in zip(rows, boxes, strict=True):
            if film.people is None or film.vertices is None:
                masks.append(ellipse(box, frame.size_hw))
                continue
            masks.append(RegionMask.from_full(film.people[k] == row[1]))
            u = np.clip(box[0] + (np.arange(112) + 0.5) / 112 * (box[2] - box[0]), 0, SIZE_HW[1] - 1).astype(int)
            v = np.clip(box[1] + (np.arange(112) + 0.5) / 112 * (box[3] - box[1]), 0, SIZE_HW[0] - 1).astype(int)
            body = (film.people[k][np.ix_(v, u)] == row[1]) & (film.vertices[k][np.ix_(v, u)] >= 0)
            vertex = np.where(body, film.vertices[k][np.ix_(v, u)], 0)
            embeddings.append(table[landmarks[vertex]].transpose(2, 0, 1) * body)
            bodies.append(body)
        surface = bool(embeddings)
        found = Detections(
            size_hw=frame.size_hw,
            boxes_xyxy=boxes.astype(np.float32).reshape(-1, 4),
            scores=np.full(len(rows), 0.9, np.float32),
            masks=tuple(masks),
            has_cse=np.full(len(rows), surface),
            embeddings=torch.from_numpy(np.stack(embeddings).astype(np.float32)) if surface else None,
            segmentations=torch.from_numpy(np.stack(bodies).astype(np.float32)) if surface else None,
        )
        stream.append((frame, thin(found)))
    return stream


def ellipse(box: np.ndarray, size_hw: tuple[int, int]) -> RegionMask:
    """A body in its box, where there are no pictures."""
    full = np.zeros(size_hw, np.uint8)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    cv2.ellipse(full, centre.astype(int).tolist(), half.astype(int).tolist(), 0, 0, 360, 1, -1)
    return RegionMask.from_full(full.astype(np.bool_))


def thin(found: Detections) -> Detections:
    """The surface at those points that the tracker looks at, or a long film would fill the memory.

    Of 112 x 112 it looks at rows 2, 6, 10 ... and columns 4, 12, 20 ...; of 28 x 28 at all rows and columns 1, 3, 5 ...
    """
    if found.embeddings is None or found.segmentations is None or found.embeddings.shape[-1] % 28:
        return found
    step = found.embeddings.shape[-1] // 28
    return Detections(
        found.size_hw,
        found.boxes_xyxy,
        found.scores,
        found.masks,
        found.has_cse,
        found.embeddings[:, :, step // 2 :: step, ::step].half().float(),
        found.segmentations[:, step // 2 :: step, ::step].half().float(),
        found.surface,
    )


def find(frames: list[Frame], detector: Detector, weights: Path, cache: Path | None) -> Stream:
    """All people whom a detector finds in some frames.

    Args:
        frames: The frames.
        detector: Finds them.
        weights: Its file, by which its findings are known again.
        cache: Folder that keeps the findings, so that they are made once.
    """
    key = hashlib.sha256(weights.read_bytes())
    stream: Stream = []
    for at in range(0, len(frames), PIECE):
        piece = frames[at : at + PIECE]
        for frame in piece:
            key.update(frame.image)
        path = None if cache is None else cache / f"found_{key.hexdigest()[:16]}.npz"
        if path is not None and path.exists():
            found = load(path)
        else:
            found = [thin(one) for _, one in detect(piece, detector)]
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                save(found, path)
        stream += zip(piece, found, strict=True)
    return stream


def save(found: list[Detections], path: Path) -> None:
    """Write detections into a file."""
    masks = [mask for one in found for mask in one.masks]
    surfaces = [one for one in found if one.embeddings is not None and len(one)]
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        counts=np.array([len(one) for one in found]),
        size_hw=np.array(found[0].size_hw),
        boxes=np.concatenate([one.boxes_xyxy for one in found]),
        scores=np.concatenate([one.scores for one in found]),
        has_cse=np.concatenate([one.has_cse for one in found]),
        places=np.array([(m.x, m.y, *m.mask.shape) for m in masks], np.int64).reshape(-1, 4),
        pixels=np.packbits(np.concatenate([np.zeros(0, np.bool_), *(m.mask.ravel() for m in masks)])),
        embeddings=np.concatenate([one.embeddings.half().numpy() for one in surfaces]) if surfaces else np.zeros(0),
        bodies=np.concatenate([one.segmentations.half().numpy() for one in surfaces]) if surfaces else np.zeros(0),
    )
    partial.replace(path)


def load(path: Path) -> list[Detections]:
    """Read what `save` has written."""
    with np.load(path) as archive:
        stored = {name: archive[name] for name in archive.files}
    size_hw = (int(stored["size_hw"][0]), int(stored["size_hw"][1]))
    areas = stored["places"][:, 2] * stored["places"][:, 3]
    pixels, ends = np.unpackbits(stored["pixels"]).astype(np.bool_), np.cumsum(areas)
    masks = [
        RegionMask(int(x), int(y), pixels[end - h * w : end].reshape(h, w))
        for (x, y, h, w), end in zip(stored["places"].tolist(), ends.tolist(), strict=True)
    ]
    surface = stored["embeddings"].ndim == 4
    found, at = [], 0
    for count in stored["counts"].tolist():
        rows = slice(at, at + count)
        at += count
        found.append(
            Detections(
                size_hw,
                stored["boxes"][rows],
                stored["scores"][rows],
                tuple(masks[rows]),
                stored["has_cse"][rows],
                torch.from_numpy(stored["embeddings"][rows]).float() if surface and count else None,
                torch.from_numpy(stored["bodies"][rows]).float() if surface and count else None,
            )
        )
    return found
