"""Runs of frames in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

MOST_SPANS = 64
GAP_SECONDS = 0.5


class Spans:
    """Times at which something holds, as spans from the first frame's beginning to the last frame's end.

    Frames less than a gap apart share a span. When there are too many spans, the closest ones are joined until half of
    them are left, so that a film of any length needs the same memory and the page stays readable.

    Attributes:
        frames: Number of frames added.
    """

    def __init__(self, limit: int = MOST_SPANS, gap_seconds: float = GAP_SECONDS) -> None:
        self.frames = 0
        self._limit, self._gap = limit, gap_seconds
        self._spans: list[tuple[float, float]] = []

    def __len__(self) -> int:
        return len(self._spans)

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return iter(self._spans)

    @property
    def seconds(self) -> float:
        """Length of all spans together."""
        return sum(end - start for start, end in self._spans)

    def touches(self, start: float, end: float) -> bool:
        """Whether any span has time in common with this one."""
        return any(first < end and last > start for first, last in self._spans)

    def add(self, start: float, end: float) -> None:
        """Add a frame; frames come in order of time."""
        self.frames += 1
        self._append(start, end)
        if len(self._spans) > self._limit:
            self._join_closest(self._limit // 2)

    def merge(self, other: Spans) -> None:
        """Add all spans of another one, at any time."""
        spans, self._spans = sorted([*self._spans, *other]), []
        frames = self.frames + other.frames
        for span in spans:
            self.add(*span)
        self.frames = frames

    def _append(self, start: float, end: float) -> None:
        if self._spans and start - self._spans[-1][1] < self._gap:
            first, last = self._spans[-1]
            self._spans[-1] = (first, max(last, end))
        else:
            self._spans.append((start, end))

    def _join_closest(self, left: int) -> None:
        gaps = [after[0] - before[1] for before, after in pairwise(self._spans)]
        kept = sorted(sorted(range(len(gaps)), key=gaps.__getitem__)[len(gaps) - left + 1 :])  # The widest gaps.
        starts, ends = [0, *(k + 1 for k in kept)], [*kept, len(gaps)]
        self._spans = [(self._spans[i][0], self._spans[j][1]) for i, j in zip(starts, ends, strict=True)]
