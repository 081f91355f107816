"""The page of a comparison: one file without a script and without a request."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from anonymize import __version__
from anonymize.core.files import whole_file
from anonymize.core.types import UInt8Array
from anonymize.lab.evaluate.compared import COLUMNS, ORIGINAL, Comparison, Version, shown
from anonymize.report.text import count, printable
from anonymize.verify.person import VISIBLE

MOST_TRACKS, MOST_MOMENTS = 6, 4
CROP_HEIGHT_PX = 200
PLOT_WIDTH, PLOT_HEIGHT, MOST_POINTS = 600, 60, 300


@dataclass(frozen=True, slots=True)
class Bar:
    """A version's bar, `width` of 100."""

    name: str
    text: str
    width: float
    reference: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure of all versions."""

    title: str
    unit: str
    meaning: str
    bars: list[Bar]


@dataclass(frozen=True, slots=True)
class Plot:
    """A version's likeness over time, as points of SVG."""

    name: str
    points: str


@dataclass(frozen=True, slots=True)
class StripRow:
    """Crops of a track in one version, JPEG in base64."""

    name: str
    pictures: list[str]


@dataclass(frozen=True, slots=True)
class Strip:
    """A track in all versions that are shown."""

    name: str
    rows: list[StripRow]


def write_page(path: Path, found: Comparison, original: Path, *, show_originals: bool) -> None:
    """Write the page, in place of a file that is there.

    Args:
        path: The page.
        found: What to show.
        original: Its name is the title.
        show_originals: Show crops of the original too; else they are of outputs only.

    Raises:
        MediaError: It cannot be written.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("anonymize.lab.evaluate"), PackageLoader("anonymize.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if hasattr(value, "__html__") else printable(value),
    )
    environment.filters["count"] = count
    page = environment.get_template("compare.html").render(
        found=found,
        original=original.name,
        charts=[chart for key in COLUMNS if (chart := _chart(key, found.versions)) is not None],
        plots=[plot for version in found.versions[1:] if (plot := _plot(version)) is not None],
        strips=_strips(found, show_originals),
        threshold=VISIBLE,
        shows_originals=show_originals,
        version=__version__,
    )
    with whole_file(path, overwrite=True) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")


def _chart(key: str, versions: Sequence[Version]) -> Chart | None:
    values = [(version.name, version.figures()[key]) for version in versions]
    known = [value for _, value in values if value is not None]
    if not known:  # such as the error of a background that is wholly kept
        return None
    title, unit, meaning = COLUMNS[key]
    most = 1.0 if unit == "%" else max(*known, 1e-9) if len(known) > 1 else max(known[0], 1e-9)
    bars = [
        Bar(name, shown(key, value), 0.0 if value is None else 100 * max(0.0, value) / most, name == ORIGINAL)
        for name, value in values
    ]
    return Chart(title, unit, meaning, bars)


def _plot(version: Version) -> Plot | None:
    """Films one after the other; the highest value where there are more moments than points."""
    values = [likeness for film in version.likeness for _, likeness in film]
    if len(values) < 3:
        return None
    parts = np.array_split(np.clip(values, 0, 1), min(MOST_POINTS, len(values)))
    highest = [float(part.max()) for part in parts]
    step = PLOT_WIDTH / max(1, len(highest) - 1)
    points = " ".join(f"{step * i:.1f},{PLOT_HEIGHT * (1 - value):.1f}" for i, value in enumerate(highest))
    return Plot(version.name, points)


def _strips(found: Comparison, show_originals: bool) -> list[Strip]:
    longest = sorted(found.tracks, key=lambda track: -len(track.crops))[:MOST_TRACKS]
    first = 0 if show_originals else 1
    strips = []
    for track in longest:
        last = len(track.crops) - 1
        moments = sorted({round(moment) for moment in np.linspace(0, last, min(MOST_MOMENTS, last + 1))})
        rows = [
            StripRow(version.name, [_jpeg(track.crops[moment][number]) for moment in moments])
            for number, version in enumerate(found.versions)
            if number >= first
        ]
        strips.append(Strip(track.name, rows))
    return strips


def _jpeg(crop: UInt8Array) -> str:
    scale = min(1.0, CROP_HEIGHT_PX / crop.shape[0])
    size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return base64.b64encode(data.tobytes()).decode("ascii")
