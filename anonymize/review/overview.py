"""What the page's timeline shows of each track, gathered while the tracks file is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOW_SCORE = 0.7
"""Detections with a lower score are told as unsure, as in the report."""


@dataclass(slots=True)
class TrackOverview:
    """Where a track of the file is, as runs of frames [first, last].

    Attributes:
        seen: It is there.
        unsure: It was found, with a low score.
        filled: The detector missed it, and the tracker filled the gap.
        best: The frame in which it is seen best.
    """

    seen: list[list[int]] = field(default_factory=list)
    unsure: list[list[int]] = field(default_factory=list)
    filled: list[list[int]] = field(default_factory=list)
    best: int = 0
    _worth: float = -1.0

    def add(self, number: int, person: Mapping[str, Any]) -> None:
        """Count an entry of a frame in; frames come in order."""
        _extend(self.seen, number)
        left, top, right, bottom = person["box"]
        worth = max(0.0, right - left) * max(0.0, bottom - top) * max(person["score"], 0.05)
        if person.get("filled", False):
            _extend(self.filled, number)
            worth *= 0.1
        elif person["score"] < LOW_SCORE:
            _extend(self.unsure, number)
        if worth > self._worth:
            self.best, self._worth = number, worth

    def to_json(self) -> dict[str, Any]:
        return {"seen": self.seen, "unsure": self.unsure, "filled": self.filled, "best": self.best}


def _extend(runs: list[list[int]], number: int) -> None:
    if runs and number - runs[-1][1] <= 1:
        runs[-1][1] = number
    else:
        runs.append([number, number])


class Overview:
    """All tracks of a file; `observe` is for `EditableTracks`."""

    def __init__(self) -> None:
        self.tracks: dict[int, TrackOverview] = {}

    def observe(self, number: int, entry: Mapping[str, Any]) -> None:
        """Look at the entry of a frame."""
        for person in entry["people"]:
            self.tracks.setdefault(person["id"], TrackOverview()).add(number, person)
