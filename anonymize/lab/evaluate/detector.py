"""Measures an embedded detector on what it was not trained on, and writes its manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from anonymize.core.body_surface import load_surface
from anonymize.core.types import Detections, Frame
from anonymize.detect.build import load_network
from anonymize.detect.network import DetectorNetwork
from anonymize.detect.predictor import DEFAULT_SCORE, EmbeddedDetector
from anonymize.lab.evaluate.boxes import BoxScores
from anonymize.lab.evaluate.detection import DetectionScores, Truth, batches, false_alarms, truth_of
from anonymize.lab.evaluate.surface import JointScores
from anonymize.lab.synthesis import render_scene
from anonymize.lab.synthesis.film import PLACES, render_film
from anonymize.lab.train.bank import load_photos
from anonymize.lab.train.box_teachers import ScoredBoxes
from anonymize.lab.train.pictures import load_pictures, load_poses
from anonymize.lab.train.rendered import to_landmarks
from anonymize.lab.train.teachers import IGNORE
from anonymize.media import open_film
from anonymize.pipeline import build_tracker
from anonymize.track import UNSURE_SCORE

LOW_SCORE = 0.05  # average precision looks at the whole curve
HELD_OUT_SEED = 1_000_000  # trainings draw smaller ones
SCENES = 100
SCENE_HW = (384, 640)
FILMS, FILM_FRAMES, FILM_FPS = 3, 60, 10
FILM_PLACES = ("square", "street", "car-park")


def photo_truths(data: Path) -> Iterator[Truth]:
    """The labelled photos kept out of training; passers-by are ignored."""
    for photo in load_photos(data / "ccp", held_out_only=True):
        instances = photo.person.astype(np.uint8)
        yield truth_of(photo.image, instances, photo.labels == IGNORE, None)


def scene_truths(count: int = SCENES, size_hw: tuple[int, int] = SCENE_HW) -> Iterator[Truth]:
    """Rendered scenes of random numbers that no training draws; the surface is known."""
    surface = load_surface()
    for number in range(count):
        scene = render_scene(np.random.default_rng([HELD_OUT_SEED, number]), size_hw)
        nothing = np.zeros(scene.instances.shape, np.bool_)
        yield truth_of(scene.image, scene.instances, nothing, to_landmarks(scene.vertices, surface))


def confident(found: Detections, score: float) -> Detections:
    """Only what a user would get at this score."""
    return found[found.scores >= score]


def score_pictures(network: DetectorNetwork, truths: Iterable[Truth]) -> dict[str, float]:
    """Average precision over the whole curve; coverage, recall and surface error at the default score."""
    detector = EmbeddedDetector(network, score=LOW_SCORE)
    surface = load_surface()
    curve, default = DetectionScores(), DetectionScores()
    for truth in tqdm(truths, desc="measure", unit="picture", disable=None):
        (found,) = detector.detect([truth.image])
        curve.add(truth, found)
        sure = confident(found, DEFAULT_SCORE)
        default.add(truth, sure)
        default.add_surface(truth, sure, network.vertex_embedding.detach(), surface)
    precision = {name: value for name, value in curve.summary().items() if "_ap" in name}
    return {name: value for name, value in default.summary().items() if "_ap" not in name} | precision


def score_rendered_films(
    network: DetectorNetwork, films: int = FILMS, frames: int = FILM_FRAMES, size_hw: tuple[int, int] = SCENE_HW
) -> dict[str, float]:
    """Coverage of the people of rendered films as a user gets it, with the tracker."""
    detector = EmbeddedDetector(network, unsure=UNSURE_SCORE)
    scores = DetectionScores()
    for number in range(films):
        kind = FILM_PLACES[number % len(FILM_PLACES)]
        scenes = list(render_film(HELD_OUT_SEED + number, frames, size_hw, fps=FILM_FPS, n_people=4, kind=PLACES[kind]))
        found = (
            (Frame(scene.image, index, index, Fraction(1, FILM_FPS)), detections)
            for part in batches(list(enumerate(scenes)), 4)
            for (index, scene), detections in zip(part, detector.detect([s.image for _, s in part]), strict=True)
        )
        tracked = build_tracker(detector).track(found)
        for scene, (_, tracks) in zip(scenes, tqdm(tracked, desc=f"film {number}", disable=None), strict=True):
            nothing = np.zeros(scene.instances.shape, np.bool_)
            scores.add(truth_of(scene.image, scene.instances, nothing, None), tracks.detections)
    return {name: value for name, value in scores.summary().items() if "_ap" not in name}


def score_film(network: DetectorNetwork, film: Path) -> dict[str, float]:
    """False alarms on a film without people."""
    detector = EmbeddedDetector(network, score=DEFAULT_SCORE)

    def found() -> Iterator[Detections]:
        with open_film(film) as frames:
            for frame in tqdm(frames, desc=film.name, unit="frame", disable=None):
                yield from detector.detect([frame.image])

    return false_alarms(found())


def score_real_pictures(network: DetectorNetwork, boxed: Path) -> dict[str, float]:
    """Boxes, and the surface at BlazePose's joints, on the pictures of a folder that are kept out of training."""
    detector = EmbeddedDetector(network, score=LOW_SCORE)
    boxes, joints = BoxScores(DEFAULT_SCORE), JointScores(load_surface(), network.vertex_embedding)
    poses = load_poses(boxed) if (boxed / "blazepose.npz").exists() else {}
    for picture in tqdm(load_pictures(boxed, held_out_only=True), desc="measure", unit="picture", disable=None):
        (found,) = detector.detect([picture.read()])
        boxes.add_picture(picture, ScoredBoxes(found.boxes_xyxy, found.scores))
        joints.add_picture(picture, poses, confident(found, DEFAULT_SCORE))
    surface = joints.summary() if poses else {}
    return boxes.summary() | {f"surface_{name}": value for name, value in surface.items()}


def measure(weights: Path, data: Path, boxed: Path, empty_film: Path) -> dict[str, Any]:
    """All figures of a weights file, those on real mixed pictures first.

    Args:
        weights: Written by `anonymize train detector`.
        data: Holds `ccp/` as for the training.
        boxed: Folder of boxed pictures, see `load_pictures`; a tenth of them is kept out of training.
        empty_film: A film without people.
    """
    network = load_network(weights)
    return {
        "file": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "default_score": DEFAULT_SCORE,
        "real_mixed_pictures": score_real_pictures(network, boxed),
        "held_out_photos": score_pictures(network, photo_truths(data)),
        "held_out_scenes": score_pictures(network, scene_truths()),
        "rendered_films": score_rendered_films(network),
        "film_without_people": {"film": empty_film.name} | score_film(network, empty_film),
    }


def markdown(figures: dict[str, Any]) -> str:
    """The figures as a Markdown table, one row a figure and one column a set of pictures."""
    sets = {name: values for name, values in figures.items() if isinstance(values, dict) and name != "training"}
    names = list(dict.fromkeys(key for values in sets.values() for key in values))
    lines = ["| figure | " + " | ".join(sets).replace("_", " ") + " |", "|---" * (len(sets) + 1) + "|"]
    for name in names:
        cells = (values.get(name, "") for values in sets.values())
        texts = [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells]
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def write_manifest(figures: dict[str, Any], training: dict[str, Any], folder: Path) -> None:
    """Write `detector-embedded.json` and `detector-embedded.md` into a folder."""
    manifest = figures | {"training": training}
    (folder / "detector-embedded.json").write_text(json.dumps(manifest, indent=2) + "\n")
    (folder / "detector-embedded.md").write_text(markdown(figures))
