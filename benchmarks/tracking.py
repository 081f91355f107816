"""Our tracker, norfair and supervision's ByteTrack on the same detections in the same run.

python benchmarks/tracking.py --films FOLDER --tud ../shared/data/mot_tud

Films of walking people are rendered into FOLDER if it does not hold them yet: crossings, people who leave and come
back, a wall that hides them for up to two seconds, cameras that shake, turn and drive. The detections are the true
boxes, jittered, 20 % of them dropped; masks and surface embeddings are the true ones. With --detector the embedded
network looks at the films instead. The other two trackers (pip install norfair "supervision<0.28") are shown with the
best of a few settings each.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch

from anonymize.detect.build import build_detector
from anonymize.evaluate.tracking import TrackingScores, score
from anonymize.media import open_film, write_film
from anonymize.pipeline import build_tracker
from anonymize.synthesis.film import render_film
from anonymize.synthesis.surface import load_surface
from anonymize.track import UNSURE_SCORE, PartTable, PeopleTracker
from anonymize.types import Detections, Frame, RegionMask

MOTIONS = ("still", "still", "hand", "pan", "drive")
WALLED = (0, 1)  # of each five films: those whose camera rests
SIZE_HW, FPS = (288, 512), 10
JITTER, DROPPED = 0.03, 0.2
MIN_VISIBLE = (0.25, 0.06)  # height and width, of the full height: who shows less is not there
MIN_HEIGHT = 12
COVERED_FROM_PX = 40
LOOKAHEAD = 1.0

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
        heights: Full height in pixels by (frame from 1, ID).
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


def read_film(folder: Path, number: int) -> Film:
    """A rendered film; in some a wall is put before the people."""
    path = folder / f"film_{number:02d}.mp4"
    with open_film(path) as film:
        frames = [Frame(f.image, f.index, f.pts, f.time_base) for f in film]
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
        stream.append(
            (
                frame,
                Detections(
                    size_hw=frame.size_hw,
                    boxes_xyxy=boxes.astype(np.float32).reshape(-1, 4),
                    scores=np.full(len(rows), 0.9, np.float32),
                    masks=tuple(masks),
                    has_cse=np.full(len(rows), surface),
                    embeddings=torch.from_numpy(np.stack(embeddings).astype(np.float32)) if surface else None,
                    segmentations=torch.from_numpy(np.stack(bodies).astype(np.float32)) if surface else None,
                ),
            )
        )
    return stream


def ellipse(box: np.ndarray, size_hw: tuple[int, int]) -> RegionMask:
    """A body in its box, where there are no pictures."""
    full = np.zeros(size_hw, np.uint8)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    cv2.ellipse(full, centre.astype(int).tolist(), half.astype(int).tolist(), 0, 0, 360, 1, -1)
    return RegionMask.from_full(full.astype(np.bool_))


def as_rows(number: int, ids: Iterable[int], boxes: np.ndarray) -> list[tuple[float, ...]]:
    return [(number + 1, i, b[0], b[1], b[2] - b[0], b[3] - b[1]) for i, b in zip(ids, boxes, strict=True)]


def uncovered(film: Film, stream: Stream, masks: list[tuple[RegionMask, ...]]) -> tuple[int, int, int]:
    """People over 40 px: how often they are visible, how often less than half of that is covered, and how often so
    although they were detected at most the look-ahead before and after."""
    if film.people is None or film.heights is None:
        return 0, 0, 0
    reach = int(LOOKAHEAD * film.rate)
    found: dict[int, set[int]] = {}
    for k, (_, detections) in enumerate(stream):
        for region in detections.masks:
            under = film.people[k][region.slices][region.mask]
            under = under[under > 0]
            if under.size:
                found.setdefault(int(np.bincount(under).argmax()), set()).add(k)
    total = bare = avoidable = 0
    for frame, number, *_ in film.truth.astype(np.int64):
        if film.heights.get((int(frame), int(number)), 0) < COVERED_FROM_PX:
            continue
        k = int(frame) - 1
        person = film.people[k] == number
        covered = np.zeros_like(person)
        for region in masks[k]:
            covered[region.slices] |= region.mask
        total += 1
        if covered[person].mean() < 0.5:
            bare += 1
            times = found.get(int(number), set())
            before, after = (any(k + sign * d in times for d in range(reach + 1)) for sign in (-1, 1))
            avoidable += before and after
    return total, bare, avoidable


def ours(stream: Stream, tracker: PeopleTracker) -> tuple[Rows, list[tuple[RegionMask, ...]], float]:
    """Tracks, masks of each frame, and milliseconds a frame."""
    rows, masks = [], []
    began = time.process_time()
    tracked = list(tracker.track(iter(stream)))
    spent = time.process_time() - began
    for k, (_, tracks) in enumerate(tracked):
        rows += as_rows(k, tracks.ids.tolist(), tracks.detections.boxes_xyxy)
        masks.append(tracks.detections.masks)
    return np.array(rows, np.float64).reshape(-1, 6), masks, 1000 * spent / max(1, len(stream))


def norfair_tracks(stream: Stream, threshold: float, delay: int, patience: int) -> Rows:
    import norfair

    tracker = norfair.Tracker("iou", threshold, hit_counter_max=patience, initialization_delay=delay)
    rows = []
    for k, (_, found) in enumerate(stream):
        points = [
            norfair.Detection(b.reshape(2, 2).astype(float), np.full(2, s))
            for b, s in zip(found.boxes_xyxy, found.scores, strict=True)
        ]
        people = tracker.update(points)
        rows += as_rows(k, [p.id for p in people], np.array([p.estimate.ravel() for p in people]))
    return np.array(rows, np.float64).reshape(-1, 6)


def bytetrack_tracks(stream: Stream, rate: Fraction, threshold: float, patience: int) -> Rows:
    import supervision

    tracker = supervision.ByteTrack(
        minimum_matching_threshold=threshold, lost_track_buffer=patience, frame_rate=float(rate)
    )
    rows = []
    for k, (_, found) in enumerate(stream):
        given = supervision.Detections(
            found.boxes_xyxy.reshape(-1, 4), confidence=found.scores, class_id=np.zeros(len(found), int)
        )
        kept = tracker.update_with_detections(given)
        rows += as_rows(k, (kept.tracker_id if kept.tracker_id is not None else []), kept.xyxy)
    return np.array(rows, np.float64).reshape(-1, 6)


NORFAIR = [(0.5, 0, 8), (0.7, 0, 20)]  # distance, frames until sure, frames until lost
BYTETRACK = [(0.8, 30), (0.9, 90)]  # distance, frames until lost at 30 a second


def mean(scores: list[TrackingScores], name: str) -> float:
    return float(np.mean([getattr(s, name) for s in scores]))


def best(films: list[Film], track: Callable[..., Rows], streams: list[Stream], settings: list[tuple]) -> list:
    """Scores of each film with the one setting that is best on average."""
    tried = []
    for setting in settings:
        results = [track(film, stream, *setting) for film, stream in zip(films, streams, strict=True)]
        scores = [score(film.truth, rows) for film, rows in zip(films, results, strict=True)]
        tried.append((mean(scores, "idf1"), setting, scores))
    _, setting, scores = max(tried, key=lambda t: t[0])
    print(f"  setting {setting}")
    return scores


def cost(table: np.ndarray, people: int = 10, frames: int = 120) -> float:
    """Milliseconds a frame on one core for people who walk past each other at 720p, 30 frames/s, with surface."""
    rng = np.random.default_rng(0)
    size_hw, embeddings = (720, 1280), torch.randn(people, table.shape[1], 112, 112)
    ground = cv2.resize(rng.integers(0, 255, (90, 160, 3), dtype=np.uint8), size_hw[::-1])
    looks = rng.integers(0, 255, (people, 25, 10, 3), dtype=np.uint8)
    shape = cv2.ellipse(np.zeros((250, 100), np.uint8), (50, 125), (42, 120), 0, 0, 360, 1, -1).astype(np.bool_)
    stream: Stream = []
    for k in range(frames):
        image, masks = ground.copy(), []
        for n in range(people):
            x = int(40 + (115 * n + (3 if n % 2 else -3) * k) % 1100)
            mask = RegionMask(x, 100 + 30 * n, shape)
            image[mask.slices][shape] = cv2.resize(looks[n], (100, 250), interpolation=cv2.INTER_NEAREST)[shape]
            masks.append(mask)
        kept = np.flatnonzero(rng.random(people) > DROPPED)
        found = Detections(
            size_hw,
            np.array([m.box_xyxy for m in masks], np.float32),
            np.full(people, 0.9, np.float32),
            tuple(masks),
            np.ones(people, np.bool_),
            embeddings,
            torch.ones(people, 112, 112),
        )
        stream.append((Frame(image, k, k, Fraction(1, 30)), found[kept] if k % 2 else found))
    return ours(stream, PeopleTracker(parts=PartTable(table, load_surface().landmark_parts)))[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, help="Folder of the rendered films.")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--tud", type=Path, help="Folder of TUD-Campus and TUD-Stadtmitte.")
    parser.add_argument("--detector", nargs="?", const="embedded", help="Detect instead of simulating; weights.")
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--cost", action="store_true", help="Time of our tracker with ten people.")
    parser.add_argument("--seeds", type=int, default=1, help="Repeat the simulated detections.")
    a = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    warnings.simplefilter("ignore")
    surface = load_surface()
    table = ideal_embedding()
    if a.cost:
        print(f"10 people: {cost(table):.1f} ms a frame")
    groups: list[tuple[str, list[Film]]] = []
    if a.films is not None:
        a.films.mkdir(parents=True, exist_ok=True)
        for number in range(a.count):
            render(a.films, number, a.frames)
        groups.append(("rendered films", [read_film(a.films, number) for number in range(a.count)]))
    if a.tud is not None:
        groups += [(name, [read_tud(a.tud, name)]) for name in ("TUD-Campus", "TUD-Stadtmitte")]
    for title, films in groups:
        films = [film for film in films for _ in range(a.seeds)]
        if a.detector is not None:
            if films[0].people is None:
                continue
            detector = build_detector(a.detector, unsure=UNSURE_SCORE)
            streams = [[(f, detector.detect([f.image])[0]) for f in film.frames] for film in films]
            tracker = build_tracker(detector)
        else:
            streams = [simulate(film, table, seed=k) for k, film in enumerate(films)]
            tracker = PeopleTracker(parts=PartTable(table, surface.landmark_parts))
        print(f"\n{title}")
        scores, bare = [], np.zeros(3, int)
        for film, stream in zip(films, streams, strict=True):
            rows, masks, spent = ours(stream, tracker)
            scores.append(score(film.truth, rows))
            missed = uncovered(film, stream, masks)
            bare += missed
            s, ids = scores[-1], len(np.unique(rows[:, 1]))
            print(
                f"  {film.name:22} idf1 {s.idf1:.3f} mota {s.mota:.3f} recall {s.recall:.3f} prec {s.precision:.3f} "
                f"switches {s.switches:3d} people {s.people} ids {ids} {spent:.1f} ms "
                f"uncovered {missed[1]}/{missed[0]}, avoidable {missed[2]}"
            )
        lines = [("ours", scores)]
        if not a.only_ours:
            sure = [[(f, d[d.scores >= 0.6] if a.detector else d) for f, d in stream] for stream in streams]
            lines.append(("norfair", best(films, lambda _, s, *o: norfair_tracks(s, *o), sure, NORFAIR)))
            lines.append(
                ("ByteTrack", best(films, lambda f, s, *o: bytetrack_tracks(s, f.rate, *o), streams, BYTETRACK))
            )
        print("| tracker | IDF1 | MOTA | switches a person | fragmentations |\n|---|---|---|---|---|")
        for name, figures in lines:
            per_person = sum(s.switches for s in figures) / sum(s.people for s in figures)
            print(
                f"| {name} | {mean(figures, 'idf1'):.3f} | {mean(figures, 'mota'):.3f} | {per_person:.2f} "
                f"| {sum(s.fragmentations for s in figures)} |"
            )
        if bare[0]:
            print(f"frames x people over {COVERED_FROM_PX} px: {bare[0]}, uncovered {bare[1]}, avoidable {bare[2]}")


if __name__ == "__main__":
    main()
