"""What the pipeline asks of this stage."""

from __future__ import annotations

from typing import Protocol

from anonymize.types import Frame, Tracks


class Composer(Protocol):
    """Draws into a frame."""

    def compose(self, frame: Frame, tracks: Tracks) -> Frame:
        """Draw the people of one frame.

        Args:
            frame: The frame; its image is left as it is.
            tracks: The people in it, with masks in the pixels of this frame.

        Returns:
            `frame.with_edit(...)`: a new image, and marked in `edited` each pixel that was drawn on. The frame itself
            where nothing was drawn.
        """
        ...
