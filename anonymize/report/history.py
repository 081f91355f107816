"""What the page tells of each track, gathered frame by frame in bounded memory."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import cv2
import numpy as np

from anonymize.core.types import PLATES_AFTER, FloatArray, Frame, UInt8Array
from anonymize.report.spans import Spans

THUMBNAIL_PX = 192
"""Longer side of a thumbnail."""
THUMBNAIL_QUALITY = 80
THUMBNAIL_MARGIN = 0.08
"""Surroundings shown with a person, over their longer side."""
CLEARLY_BETTER = 1.3
"""A thumbnail is replaced by one that shows the person so many times larger or surer, so few are ever encoded."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small JPEG and its size in pixels."""

    jpeg: bytes = field(repr=False)
    width: int
    height: int

    @property
    def base64(self) -> str:
        """The JPEG as text."""
        return base64.b64encode(self.jpeg).decode("ascii")

    @classmethod
    def of(cls, image: UInt8Array) -> Thumbnail:
        """Shrink a picture [h, w, 3] uint8 RGB; nothing but its pixels is kept."""
        scale = min(1.0, THUMBNAIL_PX / max(image.shape[:2]))
        width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = cv2.cvtColor(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY])
        return cls(np.asarray(data).tobytes(), width, height)


@dataclass(slots=True)
class TrackHistory:
    """One person, or number plate, through the film.

    Attributes:
        number: The track's ID; 0 for people whose track is not known.
        seen: When the person is there.
        filled: When the detector missed them and the tracker filled the gap.
        unsure: When their score was low.
        lowest: Their lowest score, of frames that are not filled; 1 without any.
        scores: Sum of these scores.
        scored: Number of these frames.
        thumbnail: The person in the result; None where they are outside of the picture.
    """

    number: int
    seen: Spans = field(default_factory=Spans)
    filled: Spans = field(default_factory=Spans)
    unsure: Spans = field(default_factory=Spans)
    lowest: float = 1.0
    scores: float = 0.0
    scored: int = 0
    thumbnail: Thumbnail | None = None
    _worth: float = 0.0

    @property
    def name(self) -> str:
        """What the page calls it."""
        if self.number > PLATES_AFTER:
            return f"Plate {self.number - PLATES_AFTER}"
        return f"Track {self.number}" if self.number else "Unknown track"

    @property
    def mean_score(self) -> float | None:
        """Mean score of the frames in which the detector found the person."""
        return self.scores / self.scored if self.scored else None

    def add(self, start: float, end: float, score: float, filled: bool, low_score: float) -> None:
        """Add a frame that is shown from `start` to `end`."""
        self.seen.add(start, end)
        if filled:
            self.filled.add(start, end)
            return
        self.lowest = min(self.lowest, score)
        self.scores, self.scored = self.scores + score, self.scored + 1
        if score < low_score:
            self.unsure.add(start, end)

    def look(self, frame: Frame, box_xyxy: FloatArray, score: float) -> None:
        """Take a thumbnail, if the person is clearly better to see than in the one that is there.

        Args:
            frame: The frame as it is written, so that the page never shows anything of the original.
            box_xyxy: [4] float32, the person.
            score: The detector's, in [0, 1].
        """
        height, width = frame.size_hw
        low, high = np.clip(box_xyxy[:2], 0, (width, height)), np.clip(box_xyxy[2:], 0, (width, height))
        worth = float(np.prod(np.maximum(high - low, 0))) * max(score, 0.05)
        if worth <= self._worth * CLEARLY_BETTER:
            return
        margin = THUMBNAIL_MARGIN * float(np.max(high - low))
        left, top = (int(v) for v in np.maximum(np.floor(low - margin), 0))
        right, bottom = (int(v) for v in np.minimum(np.ceil(high + margin), (width, height)))
        self.thumbnail, self._worth = Thumbnail.of(frame.image[top:bottom, left:right]), worth
