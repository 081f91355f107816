"""Drawing single people otherwise than all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from anonymize.compose.composer import Composer
from anonymize.compose.generated import PersonGenerator, people_of
from anonymize.core.types import Frame, IntArray, PersonRequest, RegionMask, Replacement, Tracks


class ChosenComposer:
    """Covers each person as was chosen for them.

    Args:
        usual: Covers all for whom nothing was chosen.
        chosen: Who covers whom, by track ID.
    """

    def __init__(self, usual: Composer, chosen: Mapping[int, Composer]) -> None:
        self._usual, self._chosen = usual, chosen

    def compose(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> Frame:
        """Cover the people of one frame, see `Composer`."""
        who = [self._chosen.get(track, self._usual) for track in tracks.ids.tolist()]
        for composer in dict.fromkeys([self._usual, *who]):
            rows = np.array([each is composer for each in who], np.bool_)
            frame = composer.compose(
                frame, people_of(tracks, rows), [covers[row] for row in np.flatnonzero(rows).tolist()]
            )
        return frame


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
