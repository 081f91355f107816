"""Pictures cut out along tracks, from a film and from what anonymizers made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from anonymize.core.types import FloatArray, Tracks, UInt8Array

MOST_CROPS = 8
FIRST_GAP_SECONDS = 0.5
MIN_HEIGHT_PX = 40
MARGIN = 0.05


@dataclass(slots=True)
class TrackCrops:
    """Crops of one track, evenly over time.

    Attributes:
        name: Of the track.
        crops: One a moment, and for each version of the film a picture [h, w, 3] uint8 RGB.
        gap_seconds: ... between them, twice as long whenever there are too many.
        last: Second of the last one.
    """

    name: str
    crops: list[list[UInt8Array]] = field(default_factory=list)
    gap_seconds: float = FIRST_GAP_SECONDS
    last: float = float("-inf")

    def add(self, seconds: float, versions: Sequence[UInt8Array], box_xyxy: FloatArray) -> None:
        """Cut out the track's box, if it is time."""
        if seconds - self.last < self.gap_seconds:
            return
        self.last = seconds
        self.crops.append([cut(image, box_xyxy) for image in versions])
        if len(self.crops) > MOST_CROPS:
            self.crops, self.gap_seconds = self.crops[::2], 2 * self.gap_seconds


def cut(image: UInt8Array, box_xyxy: FloatArray) -> UInt8Array:
    """A box of a picture with a margin, as far as it lies in the picture."""
    left, top, right, bottom = box_xyxy.tolist()
    margin = MARGIN * (bottom - top)
    rows = slice(max(0, int(top - margin)), int(np.ceil(bottom + margin)))
    columns = slice(max(0, int(left - margin)), int(np.ceil(right + margin)))
    return image[rows, columns].copy()


class CropCollector:
    """Gathers the crops of all tracks of a film."""

    def __init__(self, film: str) -> None:
        self._film = film
        self.tracks: dict[int, TrackCrops] = {}

    def add(self, seconds: float, tracks: Tracks, versions: Sequence[UInt8Array]) -> None:
        """Look at a frame: the original first, then what was made of it."""
        for track, box, filled in zip(tracks.ids.tolist(), tracks.detections.boxes_xyxy, tracks.filled, strict=True):
            if track > 0 and not filled and box[3] - box[1] >= MIN_HEIGHT_PX:
                own = self.tracks.setdefault(track, TrackCrops(f"{self._film} track {track}"))
                own.add(seconds, versions, box)
