"""Measures an embedded generator on people it was not trained on, and writes its manifest."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from anonymize.compose.cover import CoverComposer
from anonymize.compose.generated import GeneratedComposer
from anonymize.detect.build import load_network as load_detector
from anonymize.detect.network import DetectorNetwork
from anonymize.detect.predictor import EmbeddedDetector
from anonymize.errors import OptionError
from anonymize.evaluate.detection import LARGE_PX
from anonymize.evaluate.detector import FILM_FPS, FILM_FRAMES, FILM_PLACES, FILMS, HELD_OUT_SEED, SCENE_HW
from anonymize.evaluate.looks import Looks, Observer, apart, frechet_distance
from anonymize.generate.build import load_network
from anonymize.generate.latents import draw_latent, draw_noise, truncate
from anonymize.generate.network import GeneratorNetwork
from anonymize.generate.predictor import EmbeddedGenerator
from anonymize.pipeline import build_tracker
from anonymize.resources import weights_path
from anonymize.synthesis.film import PLACES, render_film
from anonymize.track import UNSURE_SCORE
from anonymize.train.dataset import NO_VERTEX, SIZE, PersonCrop
from anonymize.train.dataset_reader import People
from anonymize.types import Frame, UInt8Array

SEED = 1_000_000
BATCH = 8
POSES_PER_LATENT = 4
WRONG_ANSWERS = 9
HAIR, CLOTHES = (1, 2), tuple(range(3, 25))
EQUAL_LEVELS = 2  # grey levels within which a pixel counts as the original's


class Studio:
    """Held-out people and what a generator makes in their places.

    Args:
        network: The generator.
        people: Held-out people.
        observer: Reads their looks.
        limit: At most so many pictures, spread over the dataset, and so many identities; None for all.
    """

    def __init__(self, network: GeneratorNetwork, people: People, observer: Observer, limit: int | None = None) -> None:
        self.network, self.people, self.observer = network.eval().requires_grad_(False), people, observer
        rows = np.arange(len(people))
        if limit is not None and limit < len(rows):
            rows = np.linspace(0, len(rows) - 1, limit).astype(int)
        self.rows: list[int] = rows.tolist()
        self.rendered = [row for row in self.rows if people.notes[row].rendered]
        groups: dict[str, list[int]] = defaultdict(list)
        for row, note in enumerate(people.notes):
            if note.rendered:
                groups[note.identity].append(row)
        self.groups = list(groups.values())[:limit]
        """Rows of the pictures of each rendered person."""

    def parts(self, row: int) -> np.ndarray:
        """[h, w] body part of each pixel, 0 for none."""
        vertices = self.people[row].vertices
        body = vertices != NO_VERTEX
        return np.where(body, self.people.table.vertex_parts[np.where(body, vertices, 0)], 0)

    def sample(self, row: int, source: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Picture, condition and appearance of a person, always the same."""
        crop: PersonCrop = self.people[row]
        other = crop if source is None else self.people[source]
        return self.people.sample(np.random.default_rng([SEED, row]), crop, other)

    def true_looks(self, rows: Sequence[int]) -> Looks:
        return self.observer.looks((self.sample(row)[0], self.parts(row)) for row in rows)

    def made_looks(self, rows: Sequence[int], z: Tensor, truncation: float = 1.0) -> Looks:
        """Looks of people made in the places of `rows` from z [N, latent]; truncated toward the mean."""
        pictures = self.make(rows, z, truncation)
        return self.observer.looks((made, self.parts(row)) for row, made in zip(rows, pictures, strict=True))

    @torch.inference_mode()
    def make(self, rows: Sequence[int], z: Tensor, truncation: float = 1.0) -> Iterator[Tensor]:
        """Pictures [3, h, w] in [-1, 1]."""
        for start in tqdm(range(0, len(rows), BATCH), desc="people", leave=False, disable=None):
            part = rows[start : start + BATCH]
            condition = torch.stack([self.sample(row)[1] for row in part])
            w = truncate(self.network.mapping(z[start : start + BATCH]), self.network.w_mean[None], truncation)
            drawn = [draw_noise(SEED, row, self.network.config.noise_sizes) for row in part]
            noise = [torch.stack(level) for level in zip(*drawn, strict=True)]
            yield from self.network(condition, w, noise).float().clamp(-1, 1)

    @torch.inference_mode()
    def read(self, rows: Sequence[int]) -> Tensor:
        """z [N, latent] of people, by the appearance mapper."""
        if self.network.mapper is None:
            raise OptionError("this generator has no appearance mapper")
        seen = [self.network.read(self.sample(row)[2][None])[0][0] for row in rows]
        return torch.stack(seen)

    def draw(self, count: int, first: int = 0) -> Tensor:
        """z [count, latent] as the pipeline draws it."""
        noise = torch.stack([draw_latent(SEED, first + i, self.network.config.latent) for i in range(count)])
        with torch.inference_mode():
            z: Tensor = self.network.prior(noise)
        return z


def independence(studio: Studio) -> dict[str, float]:
    """Correlation of the original's colours with those of who replaces them, for random z."""
    rows = studio.rendered
    true, made = studio.true_looks(rows), studio.made_looks(rows, studio.draw(len(rows)))
    figures: dict[str, float] = {"people": len(rows)}
    everything = []
    for name, parts in (("hair", HAIR), ("clothes", CLOTHES)):
        index = np.array(parts) - 1
        a, b = (_mean_seen(looks.colours[:, index]) for looks in (true, made))
        seen = ~np.isnan(a).any(1) & ~np.isnan(b).any(1)
        values = [float(np.corrcoef(a[seen, i], b[seen, i])[0, 1]) for i in range(3)]
        figures |= {f"{name}_{channel}": value for channel, value in zip("Lab", values, strict=True)}
        everything += values
    figures["mean_correlation"] = float(np.mean(everything))
    figures["mean_absolute_correlation"] = float(np.mean(np.abs(everything)))
    return figures


def _mean_seen(colours: np.ndarray) -> np.ndarray:
    seen = ~np.isnan(colours)
    mean: np.ndarray = np.where(seen, colours, 0).sum(1) / np.where(seen.any(1), seen.sum(1), np.nan)
    return mean


def steadiness(studio: Studio, latents: int = 40) -> dict[str, float]:
    """Distance of people of one z in different poses and places over that of people of different z."""
    rng = np.random.default_rng(SEED)
    latents = min(latents, len(studio.rendered) // 2)
    rows = [int(row) for _ in range(latents) for row in rng.choice(studio.rendered, POSES_PER_LATENT, replace=False)]
    looks = studio.made_looks(rows, studio.draw(latents).repeat_interleave(POSES_PER_LATENT, 0))
    first, second = np.triu_indices(len(rows), 1)
    same = first // POSES_PER_LATENT == second // POSES_PER_LATENT
    figures: dict[str, float] = {"latents": latents}
    for name, values in (("colour", looks.colours), ("perceptual", looks.features)):
        distances = apart(values[first], values[second])
        figures |= {f"{name}_same_z": float(np.nanmean(distances[same]))}
        figures |= {f"{name}_other_z": float(np.nanmean(distances[~same]))}
        figures[f"{name}_ratio"] = figures[f"{name}_same_z"] / figures[f"{name}_other_z"]
    return figures


def identity(studio: Studio) -> dict[str, float]:
    """How often a person made from a reference is nearer to its true look in another pose than to nine others."""
    pairs = [(group[0], group[-1]) for group in studio.groups if len(group) > 1]
    sources, targets = [a for a, _ in pairs], [b for _, b in pairs]
    made, true = studio.made_looks(targets, studio.read(sources)), studio.true_looks(targets)
    rng = np.random.default_rng(SEED)
    hits = 0
    for row in range(len(pairs)):
        others = [other for other in range(len(pairs)) if other != row]
        answers = np.array([row, *rng.choice(others, WRONG_ANSWERS, replace=False)])
        hits += int(np.nanargmin(apart(made.colours[row][None], true.colours[answers])) == 0)
    return {"trials": len(pairs), "right": hits / len(pairs), "chance": 1 / (1 + WRONG_ANSWERS)}


def diversity(studio: Studio) -> dict[str, float]:
    """Perceptual distance of two draws in one place, over that of two real people."""
    rows, count = studio.rows, len(studio.rows)
    true = studio.true_looks(rows).features
    shuffled = np.random.default_rng(SEED).permutation(count)
    real = float(np.nanmean(apart(true, true[shuffled])))
    figures = {"real_people": real}
    for truncation in (0.0, 0.5, 0.7, 1.0):
        first, second = (studio.made_looks(rows, studio.draw(count, i * count), truncation).features for i in (1, 2))
        figures[f"t_{truncation:g}"] = float(np.nanmean(apart(first, second))) / real
    return figures


def realism(studio: Studio) -> dict[str, float]:
    """Frechet distance to the real pictures of the same crops, and how well a person's own picture is rebuilt."""
    rows = studio.rows
    true, made = studio.true_looks(rows), studio.made_looks(rows, studio.draw(len(rows), 10 * len(rows)))
    half = np.arange(len(rows)) % 2 == 0
    figures = {
        "people": float(len(rows)),
        "frechet": frechet_distance(true.whole, made.whole),
        "frechet_of_real_halves": frechet_distance(true.whole[half], true.whole[~half]),
    }
    if studio.network.mapper is not None:
        rebuilt = studio.made_looks(rows, studio.read(rows))
        figures["rebuilt_colour"] = float(np.nanmean(apart(rebuilt.colours, true.colours)))
        figures["rebuilt_perceptual"] = float(np.nanmean(apart(rebuilt.features, true.features)))
    figures["random_colour"] = float(np.nanmean(apart(made.colours, true.colours)))
    figures["random_perceptual"] = float(np.nanmean(apart(made.features, true.features)))
    return figures


def leaks(network: GeneratorNetwork, detector: DetectorNetwork, films: int = FILMS) -> dict[str, float]:
    """Pixels of people over 40 px on rendered films that keep the original's value; beside them, what chance gives.

    Chance is how often the replacement's pixels equal the original's after the originals were shuffled.
    """
    finder = EmbeddedDetector(detector, score=UNSURE_SCORE)
    rng = np.random.default_rng(SEED)
    pixels = equal = by_chance = people = 0
    for number in range(films):
        composer = GeneratedComposer(EmbeddedGenerator(network, seed=number), CoverComposer("blur"))
        kind = PLACES[FILM_PLACES[number % len(FILM_PLACES)]]
        scenes = list(render_film(HELD_OUT_SEED + number, FILM_FRAMES, SCENE_HW, fps=FILM_FPS, n_people=4, kind=kind))
        found = (
            (Frame(scene.image, i, i, Fraction(1, FILM_FPS)), finder.detect([scene.image])[0])
            for i, scene in enumerate(scenes)
        )
        tracked = build_tracker(finder).track(found)
        for scene, (frame, tracks) in zip(scenes, tqdm(tracked, desc=f"film {number}", disable=None), strict=True):
            after = composer.compose(frame, tracks).image
            for instance in range(1, int(scene.instances.max()) + 1):
                person = scene.instances == instance
                tall = np.flatnonzero(person.any(1))
                if not len(tall) or tall[-1] - tall[0] < LARGE_PX:
                    continue
                before, now = scene.image[person], after[person]
                people, pixels = people + 1, pixels + len(now)
                equal += _equal(before, now)
                by_chance += _equal(before[rng.permutation(len(before))], now)
    return {"person_frames": people, "equal": equal / max(1, pixels), "by_chance": by_chance / max(1, pixels)}


def _equal(first: UInt8Array, second: UInt8Array) -> int:
    difference = np.abs(first.astype(np.int16) - second.astype(np.int16))
    return int((difference <= EQUAL_LEVELS).all(1).sum())


def measure(
    weights: Path, data: Path, detector: Path | None = None, *, limit: int | None = None, films: int = FILMS
) -> dict[str, Any]:
    """All figures of a weights file.

    Args:
        weights: Written by `anonymize train generator`.
        data: Dataset of `anonymize dataset`; its held-out people are looked at.
        detector: Weights of the detector whose backbone gives the perceptual features; None for the embedded one.
        limit: At most so many people.
        films: Rendered films to look for leaks on.
    """
    detector = detector or weights_path("detector-embedded.safetensors")
    eyes = load_detector(detector)
    network = load_network(weights)
    people = People(data, held_out=True, halvings=(SIZE[0] // network.config.size_hw[0]).bit_length() - 1)
    studio = Studio(network, people, Observer(eyes), limit)
    figures: dict[str, Any] = {
        "file": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "features": "backbone of the embedded detector",
        "independence": independence(studio),
        "steadiness": steadiness(studio),
        "diversity": diversity(studio),
        "realism": realism(studio),
    }
    if network.mapper is not None:
        figures["identity"] = identity(studio)
    if films:
        figures["leaks"] = leaks(load_network(weights), load_detector(detector), films)
    return figures


def markdown(figures: dict[str, Any]) -> str:
    """The figures as a Markdown table, one row a figure."""
    lines = ["| measure | figure | value |", "|---|---|---|"]
    for name, values in figures.items():
        if isinstance(values, dict) and name != "training":
            lines += [f"| {name} | {key.replace('_', ' ')} | {value:.4g} |" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def write_manifest(figures: dict[str, Any], training: dict[str, Any], folder: Path) -> None:
    """Write `generator-embedded.json` and `generator-embedded.md` into a folder."""
    (folder / "generator-embedded.json").write_text(json.dumps(figures | {"training": training}, indent=2) + "\n")
    (folder / "generator-embedded.md").write_text(markdown(figures))
