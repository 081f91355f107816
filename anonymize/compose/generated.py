"""Generated people drawn far to near over a frame without people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from anonymize.compose.background import fill_places
from anonymize.compose.composer import CoverPainter
from anonymize.core.types import (
    UNKNOWN_TRACK,
    BoolArray,
    FloatArray,
    Frame,
    IntArray,
    PersonRequest,
    RegionMask,
    Replacement,
    Tracks,
    UInt8Array,
)

BODY_FROM, BODY_TO = 0.3, 0.6
"""Where the generator gives no alpha, a person fades in between these shares of body surface."""


class PersonGenerator(Protocol):
    """What makes the people."""

    def expect(self, tracks: Tracks, covers: Sequence[RegionMask]) -> None:
        """Look at a frame that will be drawn later; called once a frame, in order, or not at all."""
        ...

    def accept(self, tracks: Tracks, covers: Sequence[RegionMask]) -> Tracks:
        """The people, `has_cse` taken from those who cannot be made, who are covered; called once a frame, in order."""
        ...

    def place(self, tracks: Tracks, covers: Sequence[RegionMask]) -> IntArray:
        """The rectangle [N, 4] int64 that each person is made in, cover included; called once a frame, in order."""
        ...

    def generate(self, requests: Sequence[PersonRequest]) -> list[Replacement]:
        """A person a request, to be stretched over its rectangle."""
        ...


class GeneratedComposer:
    """Replaces every person whose surface is known; the others are covered.

    What stands behind them is drawn first, everywhere. Nothing of an original is left then, so all people of all frames
    can be made at once.

    Args:
        generator: Makes the people.
        cover: Covers those who cannot be made.
    """

    def __init__(self, generator: PersonGenerator, cover: CoverPainter) -> None:
        self._generator = generator
        self._cover = cover

    def expect(self, tracks: Tracks, covers: Sequence[RegionMask]) -> None:
        """See `BatchComposer.expect`."""
        self._generator.expect(tracks, covers)

    def compose(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> Frame:
        """Replace the people of one frame, see `Composer`."""
        return self.compose_batch([frame], [tracks], [covers])[0]

    def compose_batch(
        self, frames: Sequence[Frame], tracks: Sequence[Tracks], covers: Sequence[Sequence[RegionMask]]
    ) -> list[Frame]:
        """Replace the people of several frames that follow each other; they share the generator's batches.

        A frame without a background gets one that is guessed.
        """
        tracks = [self._generator.accept(*each) for each in zip(tracks, covers, strict=True)]
        canvases = [Canvas(*each, self._cover) for each in zip(frames, tracks, covers, strict=True)]
        requests = [canvas.requests(self._generator.place(canvas.tracks, canvas.covers)) for canvas in canvases]
        made = iter(self._generator.generate([request for several in requests for request in several]))
        for canvas, several in zip(canvases, requests, strict=True):
            canvas.draw([(request, next(made)) for request in several])
        return [canvas.frame() for canvas in canvases]


def left_to_cover(tracks: Tracks, covers: Sequence[RegionMask]) -> tuple[Tracks, list[RegionMask]]:
    """The people without a surface, and their covers as far as no person is made on top of them.

    A person found twice, once with a surface and once without, would get a glow of cells round the person who replaces
    them. Regions that are covered in any case (IDs below 0) stay whole: beside a made person stands what the film shows
    of the place, which may be what to hide.
    """
    known = tracks.detections.has_cse
    made = [covers[row] for row in np.flatnonzero(known).tolist()]
    left = np.flatnonzero(~known).tolist()
    asked = tracks.ids < UNKNOWN_TRACK
    return tracks[~known], [covers[row] if asked[row] else covers[row].without(made) for row in left]


class Canvas:
    """One frame while its people are replaced.

    Args:
        frame: The frame.
        tracks: All people of the frame.
        covers: What must be covered of each of them.
        painter: Covers the people without a surface.
    """

    def __init__(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask], painter: CoverPainter) -> None:
        self._frame = frame
        self.tracks, self.covers = tracks, covers
        self._drawn = any(region.area for region in covers)
        if not self._drawn:
            return
        background = frame.background or fill_places(frame.image, covers)
        self._image, self._edited = background.image.copy(), background.changed.copy()
        painter.draw(*left_to_cover(tracks, covers), self._image, self._edited)

    def requests(self, boxes_xyxy: IntArray) -> list[PersonRequest]:
        """The people to make, far to near: who stands lower in the picture is nearer."""
        standing = self.tracks.detections.boxes_xyxy
        rows = [row for row, region in enumerate(self.covers) if self.tracks.detections.has_cse[row] and region.area]
        rows.sort(key=lambda row: (standing[row, 3], -standing[row, 1], self.tracks.ids[row]))
        size_hw = self._frame.size_hw
        return [
            PersonRequest(
                self._image, self.covers[row].to_full(size_hw), boxes_xyxy[row], self.tracks, row, self.covers[row]
            )
            for row in rows
        ]

    def draw(self, made: Sequence[tuple[PersonRequest, Replacement]]) -> None:
        """Put made people in place of the originals, the far ones first; their shadows fall on the ground alone."""
        for request, person in made:
            if person.shadow is not None:
                darken(self._image, self._edited, request, person.shadow)
        for request, person in made:
            paste(self._image, self._edited, request, person)

    def frame(self) -> Frame:
        """The frame with all people replaced."""
        return self._frame.with_edit(self._image, self._edited) if self._drawn else self._frame


def darken(image: UInt8Array, edited: BoolArray, request: PersonRequest, shadow: UInt8Array) -> None:
    """Draw a made person's shadow.

    Args:
        image: [H, W, 3] uint8 RGB, drawn on.
        edited: [H, W] bool, marked.
        request: What was asked for.
        shadow: [h, w] uint8, see `Replacement`.
    """
    paste(image, edited, request, Replacement(np.zeros((*shadow.shape, 3), np.uint8), shadow))


def paste(image: UInt8Array, edited: BoolArray, request: PersonRequest, person: Replacement) -> None:
    """Draw a made person.

    Args:
        image: [H, W, 3] uint8 RGB, drawn on.
        edited: [H, W] bool, marked.
        request: What was asked for.
        person: What was made.
    """
    left, top, right, bottom = request.box_xyxy.tolist()
    if person.alpha is None:
        region, opacity = silhouette(request)
        x1, y1, x2, y2 = region.box_xyxy
    else:
        x1, y1, x2, y2 = max(0, left), max(0, top), min(image.shape[1], right), min(image.shape[0], bottom)
        if x2 <= x1 or y2 <= y1:
            return
        opacity = (stretched(person.alpha, request.box_xyxy, (x1, y1, x2, y2)) / 255).clip(0, 1).astype(np.float32)
    colours = stretched(person.image, request.box_xyxy, (x1, y1, x2, y2))
    part = slice(y1, y2), slice(x1, x2)
    under = image[part].astype(np.float32)
    image[part] = np.rint(under + opacity[..., None] * (colours - under)).clip(0, 255).astype(np.uint8)
    edited[part] |= opacity > 0


def silhouette(request: PersonRequest) -> tuple[RegionMask, FloatArray]:
    """What such a generator was told that the person is: the cover, and the body's opacity [h, w] float32 in [0, 1].

    Beyond the body its picture is background of its own, which would be a rim.
    """
    found, cover = request.tracks.detections, request.cover
    assert found.segmentations is not None  # only people with a surface are made
    body = found.segmentations[request.row].float().cpu().numpy()
    share = stretched(body, found.boxes_xyxy[request.row], cover.box_xyxy)
    opacity = ((share - BODY_FROM) / (BODY_TO - BODY_FROM)).clip(0, 1) * cover.mask
    return cover, opacity.astype(np.float32)


def stretched(
    picture: UInt8Array | FloatArray, box_xyxy: IntArray | FloatArray, part_xyxy: tuple[int, int, int, int]
) -> FloatArray:
    """A part of a frame over a rectangle of which a picture was stretched.

    Args:
        picture: [h, w] or [h, w, 3] uint8 or float32.
        box_xyxy: [4], the rectangle; may leave the frame.
        part_xyxy: The part.

    Returns:
        [bottom - top, right - left] or [..., 3] float32; interpolation may leave the picture's range a little.
    """
    left, top, right, bottom = box_xyxy.tolist()
    width, height = max(right - left, 1e-3), max(bottom - top, 1e-3)
    if height < picture.shape[0]:  # averaging, or thin limbs break up
        size = max(1, round(width)), max(1, round(height))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    x = (np.arange(part_xyxy[0], part_xyxy[2]) - left + 0.5) * (picture.shape[1] / width) - 0.5
    y = (np.arange(part_xyxy[1], part_xyxy[3]) - top + 0.5) * (picture.shape[0] / height) - 0.5
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    made = cv2.remap(picture, grid_x, grid_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(made, np.float32)
