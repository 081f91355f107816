"""The page itself: semantic HTML in one file, without a script and without a request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from anonymize import __version__
from anonymize.core.errors import WeightsError
from anonymize.core.files import whole_file
from anonymize.report.collector import FilmReport
from anonymize.report.history import TrackHistory
from anonymize.report.spans import Spans
from anonymize.report.text import clock, count, printable, span
from anonymize.report.timeline import Row, Timeline

if TYPE_CHECKING:
    from anonymize.pipeline import Summary

OPEN_REVIEWS, MOST_REVIEWS = 20, 500
"""Rows of the review that are shown at once, and when asked for."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights that was used.

    Attributes:
        name: The file's name.
        sha256: Hexadecimal.
        size: Bytes.
    """

    name: str
    sha256: str
    size: int

    @classmethod
    def of(cls, path: Path) -> Weights:
        """Read a file of weights.

        Raises:
            WeightsError: It cannot be read.
        """
        try:
            with path.open("rb") as file:
                return cls(path.name, hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)
        except OSError as error:
            raise WeightsError(f"cannot read the weights {path}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Review:
    """A row of what is to be reviewed.

    Attributes:
        start, end: Seconds.
        track: Which one; None for tracks without a row of their own.
        why: What is doubtful.
    """

    start: float
    end: float
    track: TrackHistory | None
    why: str

    @property
    def time(self) -> str:
        """When it is, as text."""
        return span(self.start, self.end)


def write_page(
    path: Path | str,
    report: FilmReport,
    summary: Summary,
    settings: Mapping[str, object],
    weights: Sequence[Path] = (),
    *,
    overwrite: bool = False,
) -> None:
    """Write the page: one file that needs no other and no network.

    Args:
        path: The page.
        report: What was gathered; it is closed.
        summary: What the pipeline says of its work.
        settings: Name and value of each setting, in the order in which they are shown.
        weights: Files of the weights that were used.
        overwrite: Replace an existing file.

    Raises:
        MediaError: The page cannot be written.
        WeightsError: Weights cannot be read.
    """
    report.close()
    page = render(report, summary, settings, [Weights.of(file) for file in weights])
    with whole_file(path, overwrite=overwrite) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")


def render(report: FilmReport, summary: Summary, settings: Mapping[str, object], weights: Sequence[Weights]) -> str:
    """The page as text.

    Args:
        report: What was gathered; complete.
        summary: What the pipeline says of its work.
        settings: Name and value of each setting.
        weights: The weights that were used.
    """
    tracks = sorted(report.tracks.values(), key=lambda track: track.number)
    reviews = sorted(_reviews(report, tracks), key=lambda row: (row.start, row.end, row.track is None, row.why))
    return _template().render(
        summary=summary,
        report=report,
        figures=_figures(summary, report),
        notes=_notes(summary, report),
        tracks=tracks,
        timeline=_timeline(report, tracks) if summary.frames > 1 else None,
        reviews=reviews,
        open_reviews=OPEN_REVIEWS,
        most_reviews=MOST_REVIEWS,
        settings=settings,
        weights=weights,
        version=__version__,
    )


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("anonymize.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if hasattr(value, "__html__") else printable(value),
    )
    environment.filters |= {"clock": clock, "count": count, "extent": _extent}
    return environment.get_template("page.html")


def _extent(spans: Spans) -> str:
    """From the first to the last time, as text."""
    times = list(spans)
    return span(times[0][0], times[-1][1])


def _figures(summary: Summary, report: FilmReport) -> list[tuple[str, str]]:
    rate = summary.frames / summary.seconds if summary.seconds > 0 else 0.0
    length = [("Length", clock(report.end))] if summary.frames != 1 else []
    looked_at = [("Looked at", f"{summary.frames - report.unseen_frames:,}")] if report.unseen_frames else []
    return [
        ("Frames", f"{summary.frames:,}"),
        *looked_at,
        ("with people", f"{summary.frames_with_people:,}"),
        ("Tracks", f"{summary.people:,}"),
        *([("Number plates", f"{summary.plates:,}")] if summary.plates else []),
        *length,
        ("Time taken", clock(summary.seconds)),
        ("Frames/s", f"{rate:.1f}"),
    ]


def _notes(summary: Summary, report: FilmReport) -> list[str]:
    notes = list(summary.warnings)
    if report.unseen_frames:
        notes.append(
            f"the detector did not look at {count(report.unseen_frames, 'frame')}: there people are carried over from "
            "the frames before and after, and a person who was in none of these is not covered"
        )
    if summary.corrupt_frames:
        notes.append(f"{count(summary.corrupt_frames, 'frame')} dropped that could not be decoded")
    if summary.stripped:
        notes.append(f"left out, as it may identify a person: {', '.join(summary.stripped)}")
    return notes


def _reviews(report: FilmReport, tracks: Sequence[TrackHistory]) -> Iterator[Review]:
    for track in tracks:
        doubtful = Spans()
        for spans in (track.unsure, track.filled):
            doubtful.merge(spans)
        for start, end in doubtful:
            why = []
            if track.unsure.touches(start, end):
                why.append(f"score below {report.low_score:g} (down to {track.lowest:.2f})")
            if track.filled.touches(start, end):
                why.append("filled in by the tracker")
            yield Review(start, end, track, "; ".join(why))
    for start, end in report.others.doubtful:
        yield Review(start, end, None, "low score, or filled in by the tracker")


def _timeline(report: FilmReport, tracks: Sequence[TrackHistory]) -> Timeline | None:
    rows = [Row.of(track) for track in tracks]
    if report.others.tracks:
        rows.append(Row("Other tracks", [("seen", report.others.seen), ("unsure", report.others.doubtful)]))
    return Timeline(rows, report.end) if rows and report.end > 0 else None
