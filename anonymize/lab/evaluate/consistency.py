"""Does a made person stay the same in other poses and before other backgrounds? (thesis 7.2.2, figures 5.1 and 5.2)

The thesis shows pictures; here the same is measured. Each z is made in some poses before one background, and in one
pose before some backgrounds. How far its pictures are apart is held against how far other z are apart in one place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from anonymize.core.body_surface import load_surface
from anonymize.core.errors import OptionError
from anonymize.core.files import whole_file
from anonymize.core.types import FloatArray, IntArray, UInt8Array
from anonymize.generate.network import GeneratorBase
from anonymize.lab.evaluate.features import EfficientNetLite0, FeatureNetwork
from anonymize.lab.evaluate.looks import Observer
from anonymize.lab.evaluate.making import SEED, Maker
from anonymize.lab.evaluate.pictures import load_models
from anonymize.lab.train.dataset import NO_VERTEX, PersonCrop
from anonymize.lab.train.dataset_reader import People

BODY_PARTS = {
    "head": (1, 2),
    "arms": tuple(range(3, 11)),
    "hands": (11, 12),
    "torso": (13, 14),
    "legs": tuple(range(15, 23)),
    "feet": (23, 24),
}
"""Numbers of `PART_NAMES`."""
CHANGES = ("poses", "places")
ON_SHEET = 2
"""People of the sheet."""


@dataclass(frozen=True)
class Setting:
    """A person's pose before a place.

    Attributes:
        pose: Row of the dataset whose pose it is.
        place: Row of the dataset whose place it is.
    """

    pose: int
    place: int


class Posed(People):
    """The poses of a dataset's people before the places of others.

    Args:
        people: Rendered people, whose places are known without them.
        settings: What to make.
    """

    def __init__(self, people: People, settings: Sequence[Setting]) -> None:
        self.table, self._people, self._settings = people.table, people, settings
        self.notes = [people.notes[setting.pose] for setting in settings]

    def __getitem__(self, row: int) -> PersonCrop:
        setting = self._settings[row]
        pose, place = self._people[setting.pose], self._people[setting.place]
        assert place.place is not None
        empty = np.zeros_like(pose.others)
        return replace(pose, image=place.place, place=place.place, others=empty, padding=place.padding)


def draw_settings(people: People, views: int) -> list[Setting]:
    """Poses before one place, then places behind one pose: `views` of each.

    Raises:
        OptionError: There are too few rendered people.
    """
    known = [row for row, note in enumerate(people.notes) if note.rendered and people[row].place is not None]
    if len(known) < 2 * views:
        raise OptionError(f"{len(known)} held-out pictures of rendered people, but {2 * views} are needed: render more")
    rows = np.random.default_rng(SEED).permutation(known)[: 2 * views].tolist()
    poses, places = rows[:views], rows[views:]
    return [Setting(pose, places[0]) for pose in poses] + [Setting(poses[0], place) for place in places]


def measure(
    models: Mapping[str, Path], data: Path, *, people: int = 20, views: int = 4, eyes: FeatureNetwork | None = None
) -> dict[str, Any]:
    """Distances of pictures of one person made in several poses or places, over those of several people made in one.

    Args:
        models: Weights of generators by name.
        data: Dataset with rendered people.
        people: How many z are drawn.
        views: Poses, and places, that each is made in.
        eyes: Reads the appearance; None for EfficientNet-Lite0.

    Returns:
        `features`, `people`, `views`, and `rows`: by model, what changes, and what is looked at, the mean distances
        `same` and `other` and the ratio of the two, `ratio`, and that of parts of the body. 0 is a person who stays the
        same, 1 one who changes as much as if another were drawn. None where a part was never seen twice.

    Raises:
        WeightsError: Weights cannot be read.
        OptionError: There are too few rendered people, or the models' pictures differ in size.
    """
    generators, halvings = load_models(models)
    crowd = People(data, held_out=True, halvings=halvings)
    posed = Posed(crowd, draw_settings(crowd, views))
    eyes = eyes or EfficientNetLite0()
    observer, surface = Observer(eyes), load_surface()
    if crowd.table.name != surface.name:
        raise OptionError(f"{data} is of the surface {crowd.table.name!r}, not {surface.name!r}")
    points = surface.landmark_of_vertex, surface.landmark_parts
    return {
        "features": eyes.name,
        "people": people,
        "views": views,
        "rows": {
            name: measure_one(Maker(network, posed), observer, people, *points) for name, network in generators.items()
        },
    }


def measure_one(
    maker: Maker, observer: Observer, people: int, point_of_vertex: IntArray, point_parts: IntArray
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Figures of one generator, see `measure`.

    Args:
        maker: Makes people in settings, first the poses, then as many places.
        observer: Reads the appearance.
        people: How many z are drawn.
        point_of_vertex: [V], the point of the surface to which a vertex belongs: vertices themselves are too many to
            be seen twice.
        point_parts: [P], body part 1 to 24 of each point.
    """
    settings = len(maker.rows)
    rows = [row for _ in range(people) for row in maker.rows]
    made = list(maker.make(rows, maker.draw(people).repeat_interleave(settings, 0)))
    bodies = [maker.people[row].vertices for row in maker.rows]
    seen = [vertices != NO_VERTEX for vertices in bodies]
    points = [np.where(b, point_of_vertex[v * b], -1) for v, b in zip(bodies, seen, strict=True)]
    parts = [np.where(p < 0, 0, point_parts[p]) for p in points]
    shown = zip(made, rows, strict=True)
    colours = np.stack([surface_colours(picture, points[row], len(point_parts)) for picture, row in shown])
    looks = observer.looks((picture, parts[row]) for picture, row in zip(made, rows, strict=True))
    looked_at = {"colour": (colours, point_parts), "appearance": (looks.features, np.arange(1, 25))}
    return {
        change: {
            name: compare(values.reshape(people, settings, *values.shape[1:])[:, chosen], of_part)
            for name, (values, of_part) in looked_at.items()
        }
        for change, chosen in zip(CHANGES, (slice(settings // 2), slice(settings // 2, None)), strict=True)
    }


def surface_colours(picture: Tensor, points: IntArray, count: int) -> FloatArray:
    """Mean CIE Lab [count, 3] of the pixels of each point of the surface, NaN where it is unseen.

    Args:
        picture: [3, h, w] in [-1, 1].
        points: [h, w], -1 where there is none.
        count: Of the points.
    """
    rgb = ((picture + 1) / 2).clamp(0, 1).permute(1, 2, 0).contiguous().numpy()
    lab, which = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[points >= 0], points[points >= 0]
    pixels = np.bincount(which, minlength=count)
    sums = np.stack([np.bincount(which, lab[:, channel], count) for channel in range(3)], 1)
    colours: FloatArray = np.where(pixels[:, None] > 0, sums / np.maximum(pixels, 1)[:, None], np.nan)
    return colours


def compare(values: FloatArray, of_part: IntArray) -> dict[str, float | None]:
    """Mean distances between views of the same and between others in the same view, all over and by part of the body.

    Args:
        values: [people, views, points, C], NaN where a point is unseen.
        of_part: [points] int, 1 to 24.
    """
    people, views = values.shape[:2]
    same = [values[:, a] - values[:, b] for a, b in combinations(range(views), 2)]
    other = [values[a] - values[(a + 1) % people] for a in range(people)]
    near, far = (_mean_by_point(differences) for differences in (same, other))
    both = ~np.isnan(near) & ~np.isnan(far)
    figures: dict[str, float | None] = {"same": _mean(near[both]), "other": _mean(far[both])}
    groups = {"ratio": both} | {name: both & np.isin(of_part, numbers) for name, numbers in BODY_PARTS.items()}
    for name, chosen in groups.items():
        change, most = _mean(near[chosen]), _mean(far[chosen])
        figures[name] = change / most if change is not None and most else None
    return figures


def _mean_by_point(differences: Sequence[FloatArray]) -> FloatArray:
    """Mean length [points] of differences [N, points, C] each; NaN where none is known."""
    lengths = np.concatenate([np.linalg.norm(each, axis=-1) for each in differences])
    known = ~np.isnan(lengths)
    mean: FloatArray = np.where(known, lengths, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)
    return mean


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if len(values) else None


def table(found: Mapping[str, Any]) -> str:
    """What `measure` found, as Markdown."""
    heads = ["all", *BODY_PARTS]
    lines = [
        f"{found['people']} people in {found['views']} poses and {found['views']} places; appearance by "
        f"{found['features']}; 0: the same, 1: as different as another person in that place",
        "",
        f"| | changes | distance | {' | '.join(heads)} |",
        "|---|---|---|" + "---|" * len(heads),
    ]
    for model, changes in found["rows"].items():
        for change, kinds in changes.items():
            for kind, figures in kinds.items():
                values = [figures["ratio"], *(figures[part] for part in BODY_PARTS)]
                cells = " | ".join("-" if value is None else f"{value:.2f}" for value in values)
                lines.append(f"| {model} | {change} | {kind} | {cells} |")
    return "\n".join(lines)


def write_sheet(path: Path, models: Mapping[str, Path], data: Path, *, views: int = 4) -> None:
    """Write a PNG: a row a model, the same people and z in each; first the poses, then the places of each person.

    Raises:
        As `measure`; MediaError: It cannot be written.
    """
    generators, halvings = load_models(models)
    crowd = People(data, held_out=True, halvings=halvings)
    posed = Posed(crowd, draw_settings(crowd, views))
    sheet = np.concatenate(list(_sheet_rows(generators, posed)))
    with whole_file(path, overwrite=True) as partial:
        partial.write_bytes(cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))[1].tobytes())


def _sheet_rows(generators: Mapping[str, GeneratorBase], posed: Posed) -> Iterator[UInt8Array]:
    for name, network in generators.items():
        maker = Maker(network, posed)
        rows = maker.rows * ON_SHEET
        made = list(maker.make(rows, maker.draw(ON_SHEET).repeat_interleave(len(maker.rows), 0)))
        strip = np.concatenate([picture.permute(1, 2, 0).numpy() for picture in made], 1)
        image = np.ascontiguousarray(((strip + 1) * 127.5).clip(0, 255).astype(np.uint8))
        line = np.full((20, image.shape[1], 3), 255, np.uint8)
        cv2.putText(line, name, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        yield np.concatenate([line, image])
