"""What the pipeline asks of this stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from anonymize.compose.background import fill_places
from anonymize.core.types import BoolArray, Frame, RegionMask, Tracks, UInt8Array


class Composer(Protocol):
    """Draws into a frame."""

    def compose(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> Frame:
        """Draw the people of one frame.

        Args:
            frame: The frame; its image is left as it is.
            tracks: The people in it, with masks in the pixels of this frame.
            covers: What must be covered of each of them, see `covers_of`.

        Returns:
            `frame.with_edit(...)`: a new image, and marked in `edited` each pixel that was drawn on. The frame itself
            where nothing was drawn.
        """
        ...


class CoverPainter(Composer, Protocol):
    """A composer that covers people, also in another picture than the frame.

    Attributes:
        over_background: Whether it draws on the frame without people; else what is behind need not be known.
    """

    over_background: bool

    def compose(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> Frame:
        """Cover the people of one frame, see `Composer`."""
        if len(tracks) == 0:
            return frame
        if self.over_background:
            background = frame.background or fill_places(frame.image, covers)
            image, edited = background.image.copy(), background.changed.copy()
        else:
            image, edited = frame.image.copy(), np.zeros(frame.size_hw, np.bool_)
        self.draw(tracks, covers, image, edited)
        return frame.with_edit(image, edited)

    def draw(self, tracks: Tracks, covers: Sequence[RegionMask], image: UInt8Array, edited: BoolArray) -> None:
        """Cover people.

        Args:
            tracks: The people.
            covers: What must be covered of each of them.
            image: [H, W, 3] uint8 RGB, drawn on, shows through the rims: the frame, without people if
                `over_background`.
            edited: [H, W] bool, marked.
        """
        ...


@runtime_checkable
class BatchComposer(Composer, Protocol):
    """A composer that works better on several frames at once, and draws on their backgrounds."""

    def expect(self, tracks: Tracks, covers: Sequence[RegionMask]) -> None:
        """Look at the people of a frame that will be drawn later; called once a frame, in order, or not at all."""
        ...

    def compose_batch(
        self, frames: Sequence[Frame], tracks: Sequence[Tracks], covers: Sequence[Sequence[RegionMask]]
    ) -> list[Frame]:
        """Draw the people of frames that follow each other, see `Composer.compose`."""
        ...
