"""Drawing single people otherwise than all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from anonymize.compose.composer import CoverPainter
from anonymize.compose.generated import PersonGenerator
from anonymize.core.types import BoolArray, Frame, IntArray, PersonRequest, RegionMask, Replacement, Tracks, UInt8Array


class ChosenComposer:
    """Covers each person as was chosen for them.

    Args:
        usual: Covers all for whom nothing was chosen.
        chosen: Who covers whom, by track ID.
    """

    def __init__(self, usual: CoverPainter, chosen: Mapping[int, CoverPainter]) -> None:
        self._usual, self._chosen = usual, chosen

    def compose(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> Frame:
        """Cover the people of one frame, see `Composer`."""
        if len(tracks) == 0:
            return frame
        image, edited = frame.image.copy(), np.zeros(frame.size_hw, np.bool_)
        self.draw(frame.image, tracks, covers, image, edited)
        return frame.with_edit(image, edited)

    def draw(
        self,
        original: UInt8Array,
        tracks: Tracks,
        covers: Sequence[RegionMask],
        image: UInt8Array,
        edited: BoolArray,
    ) -> None:
        """See `CoverPainter.draw`."""
        who = [self._chosen.get(track, self._usual) for track in tracks.ids.tolist()]
        for painter in dict.fromkeys([self._usual, *who]):
            rows = np.array([each is painter for each in who], np.bool_)
            theirs = [covers[row] for row in np.flatnonzero(rows).tolist()]
            painter.draw(original, tracks[rows], theirs, image, edited)


class ChosenGenerator:
    """Makes each person with the generator that was chosen for them.

    Args:
        usual: Makes all for whom nothing was chosen; says where everybody is made.
        chosen: Who makes whom, by track ID; of the same kind as the usual one.
    """

    def __init__(self, usual: PersonGenerator, chosen: Mapping[int, PersonGenerator]) -> None:
        self._usual, self._chosen = usual, chosen

    def place(self, tracks: Tracks, covers: Sequence[RegionMask]) -> IntArray:
        """See `PersonGenerator.place`."""
        return self._usual.place(tracks, covers)

    def generate(self, requests: Sequence[PersonRequest]) -> list[Replacement]:
        """See `PersonGenerator.generate`."""
        makers = [self._chosen.get(int(r.tracks.ids[r.row]), self._usual) for r in requests]
        pictures: dict[int, Replacement] = {}
        for maker in dict.fromkeys(makers):
            rows = [row for row, each in enumerate(makers) if each is maker]
            pictures |= zip(rows, maker.generate([requests[row] for row in rows]), strict=True)
        return [pictures[row] for row in range(len(requests))]
