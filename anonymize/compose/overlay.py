"""Marks for checking by eye what was found."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from anonymize.core.types import PLATES_AFTER, Frame, RegionMask, Tracks

GOLDEN_RATIO = 0.618034


class OverlayComposer:
    """Draws boxes, outlines of what is covered, IDs and scores over a frame that is covered already."""

    def compose(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> Frame:
        """Mark the people of one frame, see `Composer`.

        Args:
            frame: The covered frame. Only its own image is read, so nothing of the people comes back.
            tracks: The people in it. Those that the tracker filled in are marked "filled" in place of the score.
            covers: What is covered of each of them.
        """
        if len(tracks) == 0:
            return frame
        image = frame.image.copy()
        line = max(1, round(frame.size_hw[0] / 540))
        for identity, filled, score, box, region in zip(
            tracks.ids.tolist(),
            tracks.filled.tolist(),
            tracks.detections.scores.tolist(),
            tracks.detections.boxes_xyxy,
            covers,
            strict=True,
        ):
            colour = identity_color(identity)
            outlines, _ = cv2.findContours(region.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            cv2.drawContours(image, outlines, -1, colour, line, offset=(region.x, region.y))
            left, top, right, bottom = np.rint(box).astype(int).tolist()
            cv2.rectangle(image, (left, top), (right - 1, bottom - 1), colour, line)
            name = f"plate {identity - PLATES_AFTER}" if identity > PLATES_AFTER else f"{identity}"
            _write(image, f"{name} {'filled' if filled else f'{score:.2f}'}", (left, top), colour, line)
        # Comparing finds what was drawn, smoothed edges of letters included.
        return frame.with_edit(image, (image != frame.image).any(axis=2))


def identity_color(identity: int) -> tuple[int, int, int]:
    """A bright RGB colour for an ID; hues of following IDs lie far apart."""
    red, green, blue = colorsys.hsv_to_rgb(identity * GOLDEN_RATIO % 1.0, 0.8, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _write(
    image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    text: str,
    corner_xy: tuple[int, int],
    colour: tuple[int, int, int],
    line: int,
) -> None:
    """Write on a dark plate above the corner, or below where the picture ends."""
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.4 * line
    (width, height), below = cv2.getTextSize(text, font, size, line)
    x = max(0, min(corner_xy[0], image.shape[1] - width))
    y = max(height + below, corner_xy[1])
    cv2.rectangle(image, (x, y - height - below), (x + width, y), (0, 0, 0), cv2.FILLED)
    cv2.putText(image, text, (x, y - below // 2), font, size, colour, line, cv2.LINE_AA)
