"""Measures an embedded detector on what it was not trained on, and writes its manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from anonymize.detect.build import load_network
from anonymize.detect.network import DetectorNetwork
from anonymize.detect.predictor import DEFAULT_SCORE, EmbeddedDetector
from anonymize.evaluate.detection import DetectionScores, Truth, false_alarms, truth_of
from anonymize.media import open_film
from anonymize.train.bank import load_photos
from anonymize.train.teachers import IGNORE
from anonymize.types import Detections

LOW_SCORE = 0.05  # average precision looks at the whole curve


def photo_truths(data: Path) -> Iterator[Truth]:
    """The labelled photos kept out of training; passers-by are ignored."""
    for photo in load_photos(data / "ccp", held_out_only=True):
        instances = photo.person.astype(np.uint8)
        yield truth_of(photo.image, instances, photo.labels == IGNORE, None)


def confident(found: Detections, score: float) -> Detections:
    """Only what a user would get at this score."""
    return found[found.scores >= score]


def score_pictures(network: DetectorNetwork, truths: Iterable[Truth]) -> dict[str, float]:
    """Average precision over the whole curve; coverage and recall at the default score."""
    detector = EmbeddedDetector(network, score=LOW_SCORE)
    curve, default = DetectionScores(), DetectionScores()
    for truth in tqdm(truths, desc="measure", unit="picture", disable=None):
        (found,) = detector.detect([truth.image])
        curve.add(truth, found)
        sure = confident(found, DEFAULT_SCORE)
        default.add(truth, sure)
    precision = {name: value for name, value in curve.summary().items() if "_ap" in name}
    return {name: value for name, value in default.summary().items() if "_ap" not in name} | precision


def score_film(network: DetectorNetwork, film: Path) -> dict[str, float]:
    """False alarms on a film on which nobody is."""
    detector = EmbeddedDetector(network, score=DEFAULT_SCORE)

    def found() -> Iterator[Detections]:
        with open_film(film) as frames:
            for frame in tqdm(frames, desc=film.name, unit="frame", disable=None):
                yield from detector.detect([frame.image])

    return false_alarms(found())


def measure(weights: Path, data: Path, empty_film: Path) -> dict[str, Any]:
    """All figures of a weights file.

    Args:
        weights: Written by `anonymize train detector`.
        data: Holds `ccp/` as for the training.
        empty_film: A film without people.
    """
    network = load_network(weights)
    return {
        "file": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "default_score": DEFAULT_SCORE,
        "held_out_photos": score_pictures(network, photo_truths(data)),
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
