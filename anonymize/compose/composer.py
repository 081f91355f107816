"""What the pipeline asks of this stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from anonymize.core.types import Frame, RegionMask, Tracks


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


@runtime_checkable
class BatchComposer(Composer, Protocol):
    """A composer that works better on several frames at once."""

    def compose_batch(
        self, frames: Sequence[Frame], tracks: Sequence[Tracks], covers: Sequence[Sequence[RegionMask]]
    ) -> list[Frame]:
        """Draw the people of frames that follow each other, see `Composer.compose`."""
        ...
