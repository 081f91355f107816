"""The thesis' ablation (5.3.4, table 5.3): its networks trained row by row at equal budget, then measured.

The rows have the thesis' losses alone. Of what this project adds (colours by part of the surface, matching of colours
and of the detector's features, the discriminator's view of the pose) nothing is used.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anonymize.core.device import resolve_device
from anonymize.core.errors import OptionError
from anonymize.core.files import whole_file
from anonymize.generate.network import GeneratorConfig, baseline
from anonymize.lab.evaluate import consistency, pictures
from anonymize.lab.evaluate.output import write_json
from anonymize.lab.evaluate.picture_networks import PictureNetworks
from anonymize.lab.train.dataset_reader import People
from anonymize.lab.train.generator import GeneratorOptions, GeneratorTraining

WEIGHTS = "generator.safetensors"
COARSE = (0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0)
"""Feature matching on resolutions 3 to 6, of "base"."""
FINE = (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
"""On 0 to 4, from the next row on."""
CURVE_POINTS = 200


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: As in the thesis; also that of its folder, with hyphens.
        config: Its networks.
        feature_weights: See `GeneratorOptions`.
    """

    name: str
    config: GeneratorConfig
    feature_weights: tuple[float, ...]


def rows_of_table() -> list[Row]:
    """The six rows; each from "base" on adds one thing to the one before."""
    plain = baseline()
    mapped = replace(plain, appearance_mapper=True)
    modulated = replace(mapped, co_modulation=True)
    conditioned = replace(modulated, improved_conditioning=True)
    return [
        Row("StyleGAN baseline", plain, FINE),
        Row("base", mapped, COARSE),
        Row("more FM resolutions", mapped, FINE),
        Row("co-modulation", modulated, FINE),
        Row("improved conditioning", conditioned, FINE),
        Row("larger model", replace(conditioned, factor=2.0), FINE),
    ]


@dataclass(frozen=True)
class AblationOptions:
    """How all rows are trained.

    Attributes:
        minutes: Each row's training, all stretches together.
        batch_size, learning_rate, workers, compile, seed: See `GeneratorOptions`.
        halvings: Train at half of 288 x 160 so many times.
        device: Where to train.
        limit: Measure on so many held-out pictures at most.
        people, views: See `consistency.measure`.
    """

    minutes: float = 20.0
    batch_size: int = 16
    learning_rate: float = 1e-3
    workers: int = 1
    compile: bool = False
    seed: int = 0
    halvings: int = 1
    device: str = "auto"
    limit: int | None = None
    people: int = 20
    views: int = 4


def run(data: Path, output: Path, options: AblationOptions, networks: PictureNetworks) -> dict[str, Any]:
    """Train what is not trained yet, then measure all rows.

    Writes into `output`: a folder each row, `figures.json`, `table.md`, `curves.svg`, and `sheet.png`, the same people
    and z in each row (thesis' figures 5.5 and 5.6).

    Args:
        data: Dataset of `anonymize dataset` with rendered people; its held-out ones are measured on.
        output: Folder; what is in it is gone on with.
        options: See `AblationOptions`.
        networks: Describe pictures.

    Returns:
        `trained` (steps and minutes by row), `pictures` and `consistency` as their `measure` gives them.

    Raises:
        OptionError: A checkpoint is of other options, or there are too few people.
        WeightsError: Weights cannot be read.
        MediaError: A result cannot be written.
    """
    rows = rows_of_table()
    people = People(data, halvings=options.halvings)
    consistency.draw_settings(People(data, held_out=True, halvings=options.halvings), options.views)  # enough people?
    trained = {row.name: train(row, people, output / folder_of(row), options) for row in rows}
    models = {row.name: output / folder_of(row) / WEIGHTS for row in rows}
    seen = pictures.measure(models, data, networks, options.limit)
    steady = consistency.measure(models, data, people=options.people, views=options.views)
    found = {"trained": trained, "pictures": seen, "consistency": steady}
    write_json(output / "figures.json", {**found, "pictures": pictures.figures(seen)})
    _write(output / "table.md", table(found) + "\n")
    _write(output / "curves.svg", curves({row.name: output / folder_of(row) / "log.jsonl" for row in rows}))
    consistency.write_sheet(output / "sheet.png", models, data, views=options.views)
    return found


def folder_of(row: Row) -> str:
    """Name of a row's folder."""
    return row.name.lower().replace(" ", "-")


def train(row: Row, people: People, folder: Path, options: AblationOptions) -> dict[str, float]:
    """Train one row for what is left of its minutes.

    Returns:
        `steps` and `minutes` that it has been trained.

    Raises:
        OptionError: The folder's checkpoint is of another network.
    """
    config = replace(row.config, embedding=people.table.embedding.shape[1], surface=people.table.name)
    chosen = GeneratorOptions(
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        feature_weights=row.feature_weights,
        colour_matching=0.0,
        perceptual=0.0,
        compile=options.compile,
        workers=options.workers,
        seed=options.seed,
    )
    training = GeneratorTraining(folder, chosen, config.halved(options.halvings), resolve_device(options.device))
    left = options.minutes - training.seconds / 60
    if left > 0:
        training.options = replace(chosen, minutes=left)
        training.run(people)
    elif not (folder / WEIGHTS).exists():
        training.export(folder / WEIGHTS)
    if not (folder / WEIGHTS).exists():
        raise OptionError(f"{folder} holds no {WEIGHTS}")
    return {"steps": training.step, "minutes": training.seconds / 60}


def table(found: Mapping[str, Any]) -> str:
    """What `run` found, as Markdown."""
    steps = ["| | steps | minutes |", "|---|---|---|"]
    steps += [f"| {name} | {row['steps']} | {row['minutes']:.1f} |" for name, row in found["trained"].items()]
    return "\n\n".join(["\n".join(steps), pictures.table(found["pictures"]), consistency.table(found["consistency"])])


def curves(logs: Mapping[str, Path]) -> str:
    """The generators' adversarial losses over the minutes, as SVG; names stand beside the lines' ends."""
    lines = {name: list(_points(path)) for name, path in logs.items()}
    known = [point for points in lines.values() for point in points]
    longest = max((minutes for minutes, _ in known), default=0) or 1
    highest = max((loss for _, loss in known), default=0) or 1
    drawn = []
    for number, (name, points) in enumerate(lines.items()):
        colour = f"hsl({360 * number // len(lines)} 70% 40%)"
        places = " ".join(f"{40 + 480 * x / longest:.1f},{260 - 240 * max(0.0, y) / highest:.1f}" for x, y in points)
        drawn.append(f'<polyline points="{places}" fill="none" stroke="{colour}"/>')
        drawn.append(f'<text x="530" y="{30 + 18 * number}" fill="{colour}">{html.escape(name)}</text>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 290" font-family="sans-serif" font-size="12">'
        '<path d="M40 20V260H520" fill="none" stroke="#888"/>'
        f'<text x="4" y="24">{highest:.2g}</text><text x="4" y="264">0</text>'
        f'<text x="400" y="280">generator loss, {longest:.3g} minutes</text>{"".join(drawn)}</svg>\n'
    )


def _points(log: Path) -> Iterator[tuple[float, float]]:
    """Minutes and loss, thinned by means over stretches of the log."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    stretch = max(1, len(lines) // CURVE_POINTS)
    for first in range(0, len(lines), stretch):
        some = lines[first : first + stretch]
        yield some[-1]["seconds"] / 60, sum(line["generator"] for line in some) / len(some)


def _write(path: Path, text: str) -> None:
    with whole_file(path, overwrite=True) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
