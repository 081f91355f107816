"""Our tracker, norfair and supervision's ByteTrack on the same detections in the same run, and its other figures.

python benchmarks/tracking.py --films FOLDER --tud ../shared/data/mot_tud
python benchmarks/tracking.py --films FOLDER --detector --cache FOLDER
python benchmarks/tracking.py --visits ../shared/data/one-by-one-person-detection.mp4 --cache FOLDER
python benchmarks/tracking.py --cost
python benchmarks/tracking.py --flicker --generator GENERATOR.safetensors

Films of walking people are rendered into the folder if it does not hold them yet: crossings, people who leave and come
back, a wall that hides them, cameras that shake, turn and drive. The detections are the true boxes, jittered, 20 % of
them dropped; masks and surface embeddings are the true ones. With --detector the embedded network looks at the films
instead. The other two trackers are shown with the best of a few settings each. norfair's requirements ask for an older
numpy than ours, supervision's for another build of OpenCV; both work with what is there:

pip install --no-deps norfair "supervision<0.28" && pip install filterpy matplotlib defusedxml pyyaml pyDeprecate
"""

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from films import (
    DROPPED,
    Film,
    Rows,
    Stream,
    events,
    find,
    ideal_embedding,
    read_film,
    read_frames,
    read_tud,
    render,
    simulate,
)
from flicker import flicker

from anonymize.compose import covers_of
from anonymize.core.body_surface import load_surface
from anonymize.core.resources import weights_path
from anonymize.core.types import Detections, Frame, RegionMask
from anonymize.detect.build import build_detector
from anonymize.detect.network import REGION_SIZE
from anonymize.detect.zoo.predictor import SIZE as ZOO_SIZE
from anonymize.lab.evaluate.tracking import TrackingScores, score
from anonymize.pipeline import build_tracker
from anonymize.track import UNSURE_SCORE, PartTable, PeopleTracker

COVERED_FROM_PX = 40
LOOKAHEAD = 1.0
DIFFERENT, LARGE = 40, 0.03  # of 255, and of the frame: what differs more from the empty place is a person
TOGETHER_SECONDS = 1.0
COST_RUNS = 4


def as_rows(number: int, ids: Iterable[int], boxes: np.ndarray) -> list[tuple[float, ...]]:
    return [(number + 1, i, b[0], b[1], b[2] - b[0], b[3] - b[1]) for i, b in zip(ids, boxes, strict=True)]


def uncovered(film: Film, stream: Stream, covers: list[tuple[RegionMask, ...]]) -> tuple[int, int, int]:
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
        for region in covers[k]:
            covered[region.slices] |= region.mask
        total += 1
        if covered[person].mean() < 0.5:
            bare += 1
            times = found.get(int(number), set())
            before, after = (any(k + sign * d in times for d in range(reach + 1)) for sign in (-1, 1))
            avoidable += before and after
    return total, bare, avoidable


def ours(stream: Stream, tracker: PeopleTracker) -> tuple[Rows, list[tuple[RegionMask, ...]], float]:
    """Tracks, covers of each frame, and milliseconds a frame."""
    rows, covers = [], []
    tracked = tracker.track(iter(stream))
    spent = 0.0
    for k in range(len(stream)):  # surfaces are large: as in the pipeline, those of a frame go before the next one
        began = time.process_time()
        _, tracks = next(tracked)
        spent += time.process_time() - began
        named = tracks.ids > 0  # the rest is covered, but belongs to no known track
        rows += as_rows(k, tracks.ids[named].tolist(), tracks.detections.boxes_xyxy[named])
        covers.append(covers_of(tracks))
    return np.array(rows, np.float64).reshape(-1, 6), covers, 1000 * spent / max(1, len(stream))


def norfair_tracks(stream: Stream, lowest: float, threshold: float, delay: int, patience: int) -> Rows:
    import norfair

    tracker = norfair.Tracker("iou", threshold, hit_counter_max=patience, initialization_delay=delay)
    rows = []
    for k, (_, everything) in enumerate(stream):
        found = everything[everything.scores >= lowest]
        points = [
            norfair.Detection(b.reshape(2, 2).astype(float), np.full(2, s))
            for b, s in zip(found.boxes_xyxy, found.scores, strict=True)
        ]
        people = tracker.update(points)
        rows += as_rows(k, [p.id for p in people], np.array([p.estimate.ravel() for p in people]))
    return np.array(rows, np.float64).reshape(-1, 6)


def bytetrack_tracks(stream: Stream, rate: Fraction, sure: float, threshold: float, patience: int) -> Rows:
    import supervision

    tracker = supervision.ByteTrack(
        track_activation_threshold=sure,
        minimum_matching_threshold=threshold,
        lost_track_buffer=patience,
        frame_rate=float(rate),
    )
    rows = []
    for k, (_, found) in enumerate(stream):
        given = supervision.Detections(
            found.boxes_xyxy.reshape(-1, 4), confidence=found.scores, class_id=np.zeros(len(found), int)
        )
        kept = tracker.update_with_detections(given)
        rows += as_rows(k, (kept.tracker_id if kept.tracker_id is not None else []), kept.xyxy)
    return np.array(rows, np.float64).reshape(-1, 6)


# lowest score, distance, frames until sure, frames until lost
NORFAIR = [(s, *o) for s in (0.5, 0.7) for o in ((0.5, 0, 8), (0.7, 0, 20))]
# score of the sure, distance, frames until lost at 30 a second
BYTETRACK = [(s, *o) for s in (0.25, 0.6) for o in ((0.8, 30), (0.9, 90))]


def mean(scores: list[TrackingScores], name: str) -> float:
    return float(np.mean([getattr(s, name) for s in scores]))


def cost(table: np.ndarray, size: int, people: int = 10, frames: int = 120) -> float:
    """Milliseconds a frame on one core for people who walk past each other at 720p, 30 frames/s, with surface."""
    rng = np.random.default_rng(0)
    size_hw, embeddings = (720, 1280), torch.randn(people, table.shape[1], size, size)
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
            torch.ones(people, size, size),
        )
        stream.append((Frame(image, k, k, Fraction(1, 30)), found[kept] if k % 2 else found))
    tracker = PeopleTracker(parts=PartTable(table, load_surface().landmark_parts))
    # the first run also prepares; other work on the machine only ever adds
    return min(ours(stream, tracker)[2] for _ in range(COST_RUNS))


def visits(frames: list[Frame]) -> list[tuple[int, int]]:
    """First and last frame of each visit to a place that a still camera looks at, empty at first; by the picture alone.

    A person is there while much differs from the median of the empty frames; a visit ends when the place is empty.
    """
    first = frames[0].image.astype(np.int16)
    empty = [f.image for f in frames if (np.abs(f.image - first).max(2) > DIFFERENT).mean() < 0.005]
    ground = np.median(np.stack(empty[:: max(1, len(empty) // 60)]), 0).astype(np.int16)
    shown = []
    for k, frame in enumerate(frames):
        differs = (np.abs(frame.image - ground).max(2) > DIFFERENT).astype(np.uint8)
        shown.append((k, cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8)).mean() > LARGE))
    found: list[tuple[int, int]] = []
    for k in (k for k, present in shown if present):
        if found and k - found[-1][1] <= TOGETHER_SECONDS / float(frames[1].pts_seconds - frames[0].pts_seconds):
            found[-1] = found[-1][0], k
        else:
            found.append((k, k))
    return found


def tell_visits(stream: Stream, tracker: PeopleTracker) -> None:
    """Who is said to have come, visit by visit."""
    frames = [frame for frame, _ in stream]
    tracked = [tracks.ids.tolist() for _, tracks in tracker.track(iter(stream))]
    when = visits(frames)
    spans = {i: [k for k, ids in enumerate(tracked) if i in ids] for i in sorted({i for ids in tracked for i in ids})}
    print("| visit | frames | frames of each ID |\n|---|---|---|")
    for number, (start, end) in enumerate(when, 1):
        ids = Counter(i for k in range(start, end + 1) for i in tracked[k])
        print(f"| {number} | {start} to {end} | {', '.join(f'ID {i}: {n}' for i, n in ids.items())} |")
    print(f"visits {len(when)}, IDs {len(spans)}: " + ", ".join(f"{i} {s[0]} to {s[-1]}" for i, s in spans.items()))


def measure(title: str, films: Iterable[tuple[Film, Stream]], tracker: PeopleTracker, only_ours: bool) -> None:
    """Print the figures of some films; they are looked at one after the other, or they would fill the memory."""
    print(f"\n{title}")
    hard: Counter[str] = Counter()
    scores: list[TrackingScores] = []
    others: dict[tuple, list[TrackingScores]] = {}
    bare = np.zeros(3, int)
    for film, stream in films:
        hard.update(events(film))
        rows, covers, spent = ours(stream, tracker)
        scores.append(score(film.truth, rows))
        missed = uncovered(film, stream, covers)
        bare += missed
        s, ids = scores[-1], len(np.unique(rows[:, 1]))
        print(
            f"  {film.name:22} idf1 {s.idf1:.3f} mota {s.mota:.3f} recall {s.recall:.3f} prec {s.precision:.3f} "
            f"switches {s.switches:3d} people {s.people} ids {ids} {spent:.1f} ms "
            f"uncovered {missed[1]}/{missed[0]}, avoidable {missed[2]}",
            flush=True,
        )
        for setting in [] if only_ours else NORFAIR:
            others.setdefault(("norfair", *setting), []).append(score(film.truth, norfair_tracks(stream, *setting)))
        for setting in [] if only_ours else BYTETRACK:
            rows = bytetrack_tracks(stream, film.rate, *setting)
            others.setdefault(("ByteTrack", *setting), []).append(score(film.truth, rows))
    if hard:
        print("  " + ", ".join(f"{n} {name}" for name, n in hard.items()))
    lines = [("ours", scores)]
    for name in sorted({name for name, *_ in others}, reverse=True):
        # the one setting that is best on average
        setting = max((s for s in others if s[0] == name), key=lambda s: mean(others[s], "idf1"))
        lines.append((f"{name} {setting[1:]}", others[setting]))
    print("| tracker | IDF1 | MOTA | switches a person | fragmentations |\n|---|---|---|---|---|")
    for name, figures in lines:
        per_person = sum(s.switches for s in figures) / sum(s.people for s in figures)
        print(
            f"| {name} | {mean(figures, 'idf1'):.3f} | {mean(figures, 'mota'):.3f} | {per_person:.2f} "
            f"| {sum(s.fragmentations for s in figures)} |"
        )
    if bare[0]:
        print(f"frames x people over {COVERED_FROM_PX} px: {bare[0]}, uncovered {bare[1]}, avoidable {bare[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, help="Folder of the rendered films.")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--tud", type=Path, help="Folder of TUD-Campus and TUD-Stadtmitte.")
    parser.add_argument("--detector", nargs="?", const="embedded", help="Detect instead of simulating; weights.")
    parser.add_argument("--cache", type=Path, help="Folder that keeps what the detector found.")
    parser.add_argument("--visits", type=Path, help="Film of a place to which people come one by one.")
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--cost", action="store_true", help="Time of our tracker with ten people.")
    parser.add_argument("--flicker", action="store_true", help="Unrest of who replaces a person standing still.")
    parser.add_argument("--generator", help="Weights of --flicker: a file, 'embedded' or 'untrained'; else it blurs.")
    parser.add_argument("--seeds", type=int, default=1, help="Repeat the simulated detections.")
    a = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    warnings.simplefilter("ignore")
    table = ideal_embedding()
    if a.cost:
        for size, whose in ((REGION_SIZE, "embedded"), (ZOO_SIZE, "zoo")):
            print(f"10 people, surface of the {whose} detector, {size} x {size}: {cost(table, size):.1f} ms a frame")
    embedded = a.detector in (None, "embedded")
    weights = weights_path("detector-embedded.safetensors") if embedded else Path(a.detector)
    detector = build_detector("embedded" if embedded else weights, unsure=UNSURE_SCORE)
    if a.flicker:
        flicker(detector, a.generator)
    if a.visits is not None:
        tell_visits(find(read_frames(a.visits), detector, weights, a.cache), build_tracker(detector))
    numbers = range(a.count) if a.films is not None else ()
    for number in numbers:
        a.films.mkdir(parents=True, exist_ok=True)
        render(a.films, number, a.frames)
    if a.detector is not None:
        films = (read_film(a.films, number) for number in numbers)
        found = ((film, find(film.frames, detector, weights, a.cache)) for film in films)
        measure(f"rendered films, {a.detector} detector", found, build_tracker(detector), a.only_ours)
        return
    groups = {"rendered films": [partial(read_film, a.films, number) for number in numbers]}
    if a.tud is not None:
        groups |= {name: [partial(read_tud, a.tud, name)] for name in ("TUD-Campus", "TUD-Stadtmitte")}
    tracker = PeopleTracker(parts=PartTable(table, load_surface().landmark_parts))
    for title, readers in groups.items():
        films = (reader() for reader in readers for _ in range(a.seeds))
        found = ((film, simulate(film, table, seed=k)) for k, film in enumerate(films))
        if readers:
            measure(f"{title}, boxes of the truth less {DROPPED:.0%}", found, tracker, a.only_ours)


if __name__ == "__main__":
    main()
