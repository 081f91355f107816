"""Measures an embedded generator on people it was not trained on, and writes its manifest."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from anonymize.compose import CoverComposer, GeneratedComposer, covers_of
from anonymize.core.errors import OptionError
from anonymize.core.resources import DETECTOR, weights_path
from anonymize.core.types import FloatArray, Frame, RegionMask, UInt8Array
from anonymize.detect.build import load_network as load_detector
from anonymize.detect.network import DetectorNetwork
from anonymize.detect.predictor import EmbeddedDetector
from anonymize.generate.build import load_network
from anonymize.generate.network import GeneratorBase
from anonymize.generate.predictor import EmbeddedGenerator
from anonymize.lab.evaluate.detection import LARGE_PX
from anonymize.lab.evaluate.detector import FILM_FPS, FILM_FRAMES, FILM_PLACES, FILMS, HELD_OUT_SEED, SCENE_HW
from anonymize.lab.evaluate.features import Discriminant, EfficientNetLite0
from anonymize.lab.evaluate.looks import Looks, Observer, apart, frechet_distance
from anonymize.lab.evaluate.making import SEED, Maker
from anonymize.lab.synthesis.film import PLACES, render_film
from anonymize.lab.train.dataset import NO_VERTEX, SIZE
from anonymize.lab.train.dataset_reader import People
from anonymize.pipeline import build_tracker
from anonymize.track import UNSURE_SCORE

POSES_PER_LATENT = 4
WRONG_ANSWERS = 9
DRAWS = 6  # of z, for the correlations
LEARNT_FROM = 200  # people of the training, by the discriminant
PERCEPTUAL = ("perceptual", "appearance")
HAIR, CLOTHES = (1, 2), tuple(range(3, 25))
EQUAL_LEVELS = 2  # grey levels within which a pixel counts as the original's


class Studio(Maker):
    """Held-out people and what a generator makes in their places.

    Args:
        network: The generator.
        people: Held-out people.
        observer: Reads their looks.
        discriminant: Learnt on other people.
        limit: At most so many pictures, spread over the dataset, and so many identities; None for all.
    """

    def __init__(
        self,
        network: GeneratorBase,
        people: People,
        observer: Observer,
        discriminant: Discriminant,
        limit: int | None = None,
    ) -> None:
        super().__init__(network, people, limit)
        self.observer, self.discriminant = observer, discriminant
        self.rendered = [row for row in self.rows if people.notes[row].rendered]
        groups: dict[str, list[int]] = defaultdict(list)
        for row, note in enumerate(people.notes):
            if note.rendered:
                groups[note.identity].append(row)
        self.groups = list(groups.values())[:limit]
        """Rows of the pictures of each rendered person."""

    def parts(self, row: int) -> np.ndarray:
        """[h, w] body part of each pixel, 0 for none."""
        return parts_of(self.people, row)

    def elsewhere(self, row: int) -> int:
        """Another picture of the same person; the same one if there is no other."""
        group = self.people.groups[self.people.notes[row].identity]
        return group[(group.index(row) + 1) % len(group)]

    def measures(self, looks: Looks) -> dict[str, FloatArray]:
        """What distances are measured in: colours, plain features, and what tells people apart in them."""
        return {
            "colour": looks.colours,
            "perceptual": looks.features,
            "appearance": self.discriminant(looks.features),
        }

    def true_looks(self, rows: Sequence[int]) -> Looks:
        return self.observer.looks((self.sample(row)[0], self.parts(row)) for row in rows)

    def made_looks(self, rows: Sequence[int], z: Tensor, truncation: float = 1.0) -> Looks:
        """Looks of people made in the places of `rows` from z [N, latent]; truncated toward the mean."""
        pictures = self.make(rows, z, truncation)
        return self.observer.looks((made, self.parts(row)) for row, made in zip(rows, pictures, strict=True))


def parts_of(people: People, row: int) -> np.ndarray:
    """[h, w] body part of each pixel of a crop, 0 for none."""
    vertices = people[row].vertices
    body = vertices != NO_VERTEX
    return np.where(body, people.table.vertex_parts[np.where(body, vertices, 0)], 0)


def learn_discriminant(people: People, observer: Observer) -> Discriminant:
    """What tells rendered people of the training apart in the observer's features.

    Raises:
        OptionError: No person is rendered twice.
    """
    groups = [g for g in people.groups.values() if len(g) > 1 and people.notes[g[0]].rendered]
    if not groups:
        raise OptionError("the dataset has no rendered people in several pictures; see `anonymize dataset render`")
    chosen = [groups[i] for i in np.linspace(0, len(groups) - 1, min(LEARNT_FROM, len(groups))).astype(int)]
    rows = [row for group in chosen for row in group]
    pictures = (torch.from_numpy(people[row].image).permute(2, 0, 1).float() / 127.5 - 1 for row in rows)
    looks = observer.looks(
        (picture, parts_of(people, row))
        for picture, row in zip(tqdm(pictures, "others", len(rows), leave=False, disable=None), rows, strict=True)
    )
    return Discriminant(looks.features, [people.notes[row].identity for row in rows])


def independence(studio: Studio) -> dict[str, float]:
    """Correlation of the original's colours with those of who replaces them, for random z.

    The mean over some draws of z. Place and light colour both alike, so the original is looked at a second time in
    another picture, of another place: there, what correlates is a person's own.
    """
    rows = studio.rendered
    elsewhere = [studio.elsewhere(row) for row in rows]
    true, apart_from_place = studio.true_looks(rows), studio.true_looks(elsewhere)
    draws = [studio.made_looks(rows, studio.draw(len(rows), first * len(rows))) for first in range(DRAWS)]
    figures: dict[str, float] = {"pictures": len(rows), "draws": DRAWS}
    everything: list[float] = []
    for name, parts in (("hair", HAIR), ("clothes", CLOTHES)):
        index = np.array(parts) - 1
        for suffix, original in (("", true), ("_elsewhere", apart_from_place)):
            values = np.mean([_correlation(original, made, index) for made in draws], axis=0).tolist()
            figures |= {f"{name}_{channel}{suffix}": value for channel, value in zip("Lab", values, strict=True)}
            everything += [] if suffix else values
    figures["mean_correlation"] = float(np.mean(everything))
    figures["mean_absolute_correlation"] = float(np.mean(np.abs(everything)))
    return figures


def _correlation(first: Looks, second: Looks, index: np.ndarray) -> list[float]:
    """Of the mean colour of some parts, for each channel of Lab."""
    a, b = (_mean_seen(looks.colours[:, index]) for looks in (first, second))
    seen = ~np.isnan(a).any(1) & ~np.isnan(b).any(1)
    return [float(np.corrcoef(a[seen, i], b[seen, i])[0, 1]) for i in range(3)]


def _mean_seen(colours: np.ndarray) -> np.ndarray:
    seen = ~np.isnan(colours)
    mean: np.ndarray = np.where(seen, colours, 0).sum(1) / np.where(seen.any(1), seen.sum(1), np.nan)
    return mean


def steadiness(studio: Studio, latents: int = 40) -> dict[str, float]:
    """Distance of people of one z in different poses and places over that of people of different z.

    Beside it the same of the rendered people themselves, in their true pictures: what a z that is a person reaches.
    """
    rng = np.random.default_rng(SEED)
    latents = min(latents, len(studio.rendered) // 2)
    rows = [int(row) for _ in range(latents) for row in rng.choice(studio.rendered, POSES_PER_LATENT, replace=False)]
    made = studio.made_looks(rows, studio.draw(latents).repeat_interleave(POSES_PER_LATENT, 0))
    figures: dict[str, float] = {"latents": latents}
    figures |= _same_over_other(studio, made, np.arange(len(rows)) // POSES_PER_LATENT)
    people = [group for group in studio.groups if len(group) > 1][:latents]
    real = studio.true_looks([row for group in people for row in group])
    who = np.repeat(np.arange(len(people)), [len(group) for group in people])
    return figures | {f"real_{name}": value for name, value in _same_over_other(studio, real, who).items()}


def _same_over_other(studio: Studio, looks: Looks, who: np.ndarray) -> dict[str, float]:
    """Mean distances between pictures of the same (who, [N]) and of others, and their ratio."""
    first, second = np.triu_indices(len(who), 1)
    same = who[first] == who[second]
    figures: dict[str, float] = {}
    for name, values in studio.measures(looks).items():
        distances = apart(values[first], values[second])
        figures |= {f"{name}_same": float(np.nanmean(distances[same]))}
        figures |= {f"{name}_other": float(np.nanmean(distances[~same]))}
        figures[f"{name}_ratio"] = figures[f"{name}_same"] / figures[f"{name}_other"]
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
    """Perceptual distance of two draws in one place, over that of two real people in theirs."""
    rows, count = studio.rows, len(studio.rows)
    shuffled = np.random.default_rng(SEED).permutation(count)
    true = studio.measures(studio.true_looks(rows))
    real = {name: float(np.nanmean(apart(true[name], true[name][shuffled]))) for name in PERCEPTUAL}
    figures = {f"real_people_{name}": value for name, value in real.items()}
    for truncation in (0.0, 0.5, 0.7, 1.0):
        draws = [studio.made_looks(rows, studio.draw(count, i * count), truncation) for i in (1, 2)]
        first, second = (studio.measures(looks) for looks in draws)
        for name in PERCEPTUAL:
            distance = float(np.nanmean(apart(first[name], second[name])))
            figures[f"{name}_t_{truncation:g}"] = distance / real[name]
    return figures


def realism(studio: Studio) -> dict[str, float]:
    """Frechet distance to the real pictures of the same crops, and how well a person's own picture is rebuilt."""
    rows = studio.rows
    true, made = studio.true_looks(rows), studio.made_looks(rows, studio.draw(len(rows), 10 * len(rows)))
    half = np.arange(len(rows)) % 2 == 0
    figures = {
        "pictures": float(len(rows)),
        "frechet": frechet_distance(true.whole, made.whole),
        # the fewer pictures, the larger: these two go together
        "frechet_of_halves": frechet_distance(true.whole[half], made.whole[~half]),
        "frechet_of_real_halves": frechet_distance(true.whole[half], true.whole[~half]),
    }
    if studio.network.config.appearance_mapper:
        rebuilt = studio.made_looks(rows, studio.read(rows))
        figures["rebuilt_colour"] = float(np.nanmean(apart(rebuilt.colours, true.colours)))
        figures["rebuilt_perceptual"] = float(np.nanmean(apart(rebuilt.features, true.features)))
    figures["random_colour"] = float(np.nanmean(apart(made.colours, true.colours)))
    figures["random_perceptual"] = float(np.nanmean(apart(made.features, true.features)))
    return figures


def leaks(network: GeneratorBase, detector: DetectorNetwork, films: int = FILMS) -> dict[str, float]:
    """Pixels of people over 40 px on rendered films that keep the original's value; beside them, what chance gives.

    Chance is how often the replacement's pixels equal the original's after the originals were shuffled. Most that are
    equal are in no cover; so those that are in one are counted by themselves as well.
    """
    finder = EmbeddedDetector(detector, unsure=UNSURE_SCORE)
    rng = np.random.default_rng(SEED)
    pixels = equal = by_chance = people = covered = equal_covered = 0
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
            covers = covers_of(tracks)
            after = composer.compose(frame, tracks, covers).image
            masked = RegionMask.union(covers).to_full(frame.size_hw)
            for instance in range(1, int(scene.instances.max()) + 1):
                person = scene.instances == instance
                tall = np.flatnonzero(person.any(1))
                if not len(tall) or tall[-1] - tall[0] < LARGE_PX:
                    continue
                before, now = scene.image[person], after[person]
                people, pixels = people + 1, pixels + len(now)
                equal += _equal(before, now)
                by_chance += _equal(before[rng.permutation(len(before))], now)
                inside = person & masked
                covered += int(np.count_nonzero(inside))
                equal_covered += _equal(scene.image[inside], after[inside])
    return {
        "person_frames": people,
        "equal": equal / max(1, pixels),
        "equal_in_masks": equal_covered / max(1, covered),
        "by_chance": by_chance / max(1, pixels),
    }


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
        detector: Weights of the detector that looks for people on the films; None for the embedded one.
        limit: At most so many people.
        films: Rendered films to look for leaks on.
    """
    network, eyes = load_network(weights), EfficientNetLite0()
    halvings, observer = (SIZE[0] // network.config.size_hw[0]).bit_length() - 1, Observer(eyes)
    discriminant = learn_discriminant(People(data, halvings=halvings), observer)
    studio = Studio(network, People(data, held_out=True, halvings=halvings), observer, discriminant, limit)
    figures: dict[str, Any] = {
        "file": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "features": eyes.name,
        "independence": independence(studio),
        "steadiness": steadiness(studio),
        "diversity": diversity(studio),
        "realism": realism(studio),
    }
    if network.config.appearance_mapper:
        figures["identity"] = identity(studio)
    if films:
        figures["leaks"] = leaks(load_network(weights), load_detector(detector or weights_path(DETECTOR)), films)
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
