"""What a run over a folder tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from anonymize.batch.job import Outcome, State
from anonymize.batch.walk import shown


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a run is.

    Attributes:
        files: Files dealt with.
        files_expected: Files in all.
        frames: Frames done, of finished files and of those at hand.
    """

    files: int
    files_expected: int
    frames: int


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a folder.

    Attributes:
        outcomes: One for each file, by name.
        others: Files left out because they are neither film nor picture.
        seconds: Time that it took.
    """

    outcomes: tuple[Outcome, ...]
    others: int
    seconds: float

    @property
    def failed(self) -> int:
        """Files that have no result because something went wrong."""
        return sum(outcome.state == "failed" for outcome in self.outcomes)

    @property
    def frames(self) -> int:
        """Frames written in this run."""
        return sum(outcome.frames or 0 for outcome in self.outcomes if outcome.state == "done")

    def failures(self) -> list[str]:
        """One line for each file that failed."""
        return [f"{shown(each.name)}: {shown(each.note)}" for each in self.outcomes if each.state == "failed"]

    def table(self) -> str:
        """One line for each file, and one for all of them."""
        rows = [_row(outcome) for outcome in self.outcomes]
        return _aligned([("file", "frames", "people", "seconds", "state"), *rows]) + self._last_line()

    def _last_line(self) -> str:
        counts = Counter(outcome.state for outcome in self.outcomes)
        files = ", ".join(f"{counts[state]} {state}" for state in get_args(State) if counts[state])
        others = f", {self.others} neither film nor picture" if self.others else ""
        rate = self.frames / self.seconds if self.seconds > 0 else 0.0
        return (
            f"{len(self.outcomes)} file{'' if len(self.outcomes) == 1 else 's'}: {files or 'nothing to do'}{others}; "
            f"{self.frames} frames, {self.seconds:.1f} s ({rate:.1f} frames/s)"
        )


def _row(outcome: Outcome) -> tuple[str, str, str, str, str]:
    return (
        shown(outcome.name),
        "" if outcome.frames is None else str(outcome.frames),
        "" if outcome.people is None else str(outcome.people),
        "" if outcome.seconds is None else f"{outcome.seconds:.1f}",
        outcome.state + (f": {shown(outcome.note)}" if outcome.note else ""),
    )


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for name, *numbers, state in rows:
        cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *cells, state]))
    return "".join(line + "\n" for line in lines)
