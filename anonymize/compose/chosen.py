"""Drawing single people otherwise than all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from anonymize.compose.composer import CoverPainter
from anonymize.compose.generated import PersonGenerator
from anonymize.core.types import BoolArray, IntArray, PersonRequest, RegionMask, Replacement, Tracks, UInt8Array


class ChosenComposer(CoverPainter):
    """Covers each person as was chosen for them.

    Args:
        usual: Covers all for whom nothing was chosen.
        chosen: Who covers whom, by track ID.
    """

    def __init__(self, usual: CoverPainter, chosen: Mapping[int, CoverPainter]) -> None:
        self._usual, self._chosen = usual, chosen
        self.over_background = any(each.over_background for each in (usual, *chosen.values()))

    def draw(self, tracks: Tracks, covers: Sequence[RegionMask], image: UInt8Array, edited: BoolArray) -> None:
        """See `CoverPainter.draw`."""
        who = [self._chosen.get(track, self._usual) for track in tracks.ids.tolist()]
        for painter in dict.fromkeys([self._usual, *who]):
            rows = np.array([each is painter for each in who], np.bool_)
            theirs = [covers[row] for row in np.flatnonzero(rows).tolist()]
            painter.draw(tracks[rows], theirs, image, edited)


class ChosenGenerator:
    """Makes each person with the generator that was chosen for them.

    Args:
        makers: Who makes whom, by track ID; all others are not made.
    """

    def __init__(self, makers: Mapping[int, PersonGenerator]) -> None:
        self._makers = makers

    def expect(self, tracks: Tracks, covers: Sequence[RegionMask]) -> None:
        """See `PersonGenerator.expect`."""
        for maker, own in self._rows(tracks):
            maker.expect(_only(tracks, own), covers)

    def accept(self, tracks: Tracks, covers: Sequence[RegionMask]) -> Tracks:
        """See `PersonGenerator.accept`."""
        made = np.zeros(len(tracks), np.bool_)
        for maker, own in self._rows(tracks):
            made |= maker.accept(_only(tracks, own), covers).detections.has_cse & own
        return replace(tracks, detections=replace(tracks.detections, has_cse=made))

    def place(self, tracks: Tracks, covers: Sequence[RegionMask]) -> IntArray:
        """See `PersonGenerator.place`."""
        boxes = np.zeros((len(tracks), 4), np.int64)
        for maker, own in self._rows(tracks):
            boxes[own] = maker.place(tracks, covers)[own]
        return boxes

    def _rows(self, tracks: Tracks) -> list[tuple[PersonGenerator, BoolArray]]:
        """All who make people, and whom [N] bool of these."""
        makers = [self._makers.get(track) for track in tracks.ids.tolist()]
        return [
            (maker, np.array([each is maker for each in makers], np.bool_))
            for maker in dict.fromkeys(self._makers.values())
        ]

    def generate(self, requests: Sequence[PersonRequest]) -> list[Replacement]:
        """See `PersonGenerator.generate`."""
        makers = [self._makers[int(r.tracks.ids[r.row])] for r in requests]
        pictures: dict[int, Replacement] = {}
        for maker in dict.fromkeys(self._makers.values()):  # also who is to make none: the frames end for all
            rows = [row for row, each in enumerate(makers) if each is maker]
            pictures |= zip(rows, maker.generate([requests[row] for row in rows]), strict=True)
        return [pictures[row] for row in range(len(requests))]


def _only(tracks: Tracks, own: BoolArray) -> Tracks:
    """The people of a frame, of whom only some [N] bool can be made."""
    found = tracks.detections
    return replace(tracks, detections=replace(found, has_cse=found.has_cse & own))
