"""The tracks of a film over time, as a picture that scales with the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from anonymize.report.history import TrackHistory
from anonymize.report.text import clock, escape

WIDTH = 1000
"""Units of the drawing; the page stretches it to its own width."""
ROW = 24
BAR = 12
THINNEST = 2.0
"""A single frame of a long film is still seen."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the timeline.

    Attributes:
        title: What it shows.
        layers: CSS class and spans of what is drawn, the lowest first.
    """

    title: str
    layers: Sequence[tuple[str, Iterable[tuple[float, float]]]]


def track_row(track: TrackHistory) -> Row:
    """The line of a track: when it is seen, unsure and filled."""
    layers = [("seen", track.seen), ("unsure", track.unsure), ("filled", track.filled)]
    return Row(track.name, layers)


def draw(rows: Sequence[Row], seconds: float) -> str:
    """An SVG element of all rows; text is left to the page, as the drawing is stretched.

    Args:
        rows: From top to bottom.
        seconds: Length of the film.
    """
    height = ROW * len(rows)
    scale = WIDTH / max(seconds, 1e-9)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" height="{height}" preserveAspectRatio="none" role="img" '
        'aria-labelledby="timeline-title timeline-desc">',
        f'<title id="timeline-title">Tracks over {escape(clock(seconds))}</title>',
        f'<desc id="timeline-desc">{escape(_describe(rows))}</desc>',
    ]
    for number, row in enumerate(rows):
        if number % 2:
            parts.append(f'<rect class="band" x="0" y="{number * ROW}" width="{WIDTH}" height="{ROW}"/>')
        for name, spans in row.layers:
            for start, end in spans:
                width = max(THINNEST, (end - start) * scale)
                x = min(start * scale, WIDTH - width)
                y = number * ROW + (ROW - BAR) // 2
                parts.append(
                    f'<rect class="{name}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}">'
                    f"<title>{escape(row.title)}, {name}: {clock(start)} to {clock(end)}</title></rect>"
                )
    parts.append("</svg>")
    return "".join(parts)


def _describe(rows: Sequence[Row]) -> str:
    """The drawing in words, for those who do not see it; the page's list of tracks has the rest."""
    lines = []
    for row in rows[:20]:
        spans = list(row.layers[0][1])
        if spans:
            lines.append(f"{row.title} from {clock(spans[0][0])} to {clock(spans[-1][1])}")
    rest = len(rows) - 20
    return "; ".join(lines) + (f"; {rest} more" if rest > 0 else "") + "."
