"""The tracks of a film over time, as a drawing that scales with the page: geometry and words, no markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from anonymize.report.history import TrackHistory
from anonymize.report.text import clock

WIDTH = 1000
"""Units of the drawing; the page stretches it to its own width."""
ROW_HEIGHT = 24
BAR_HEIGHT = 12
MIN_BAR_WIDTH = 2.0
"""A single frame of a long film stays visible."""
TICKS = 4
DESCRIBED_ROWS = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the timeline.

    Attributes:
        title: What it shows.
        layers: CSS class and spans of what is drawn, the lowest first.
    """

    title: str
    layers: Sequence[tuple[str, Iterable[tuple[float, float]]]]

    @classmethod
    def of(cls, track: TrackHistory) -> Row:
        """The line of a track: when it is seen, unsure and filled."""
        return cls(track.name, [("seen", track.seen), ("unsure", track.unsure), ("filled", track.filled)])


@dataclass(frozen=True, slots=True)
class Bar:
    """A span of a row.

    Attributes:
        name: CSS class.
        x, y, width: Units of the drawing.
        title: What it shows, and when.
    """

    name: str
    x: float
    y: int
    width: float
    title: str


class Timeline:
    """All rows as a drawing.

    Attributes:
        width, height, row_height, bar_height: Units of the drawing.
        bands: y of each row that has a background of its own.
        bars: The spans, in the order in which they are drawn.
        ticks: Times below the drawing, evenly spaced.
        title, description: The drawing in words, for readers who do not see it; the page's list of tracks has the rest.
    """

    width, row_height, bar_height = WIDTH, ROW_HEIGHT, BAR_HEIGHT

    def __init__(self, rows: Sequence[Row], seconds: float) -> None:
        """Lay the rows out, from top to bottom, over a film of so many seconds."""
        self.height = ROW_HEIGHT * len(rows)
        self.bands = range(ROW_HEIGHT, self.height, 2 * ROW_HEIGHT)
        self.bars = [bar for number, row in enumerate(rows) for bar in _bars(number, row, seconds)]
        self.ticks = ["0", *(clock(seconds * k / TICKS) for k in range(1, TICKS + 1))]
        self.title = f"Tracks over {clock(seconds)}"
        self.description = _describe(rows)


def _bars(number: int, row: Row, seconds: float) -> Iterable[Bar]:
    scale = WIDTH / max(seconds, 1e-9)
    y = number * ROW_HEIGHT + (ROW_HEIGHT - BAR_HEIGHT) // 2
    for name, spans in row.layers:
        for start, end in spans:
            width = max(MIN_BAR_WIDTH, (end - start) * scale)
            x = min(start * scale, WIDTH - width)
            yield Bar(name, x, y, width, f"{row.title}, {name}: {clock(start)} to {clock(end)}")


def _describe(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows[:DESCRIBED_ROWS]:
        spans = list(row.layers[0][1])
        if spans:
            lines.append(f"{row.title} from {clock(spans[0][0])} to {clock(spans[-1][1])}")
    rest = len(rows) - DESCRIBED_ROWS
    return "; ".join(lines) + (f"; {rest} more" if rest > 0 else "") + "."
