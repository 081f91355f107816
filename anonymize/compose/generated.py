"""Generated people drawn into the frame, far to near, each on what is already anonymized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from anonymize.compose.composer import Composer
from anonymize.compose.cover import grow_region, outward_rim
from anonymize.core.types import BoolArray, Frame, IntArray, PersonRequest, RegionMask, Replacement, Tracks, UInt8Array

RIM_PER_CELL = 0.5
"""Width of the rim in pixels of the generated picture."""


class PersonGenerator(Protocol):
    """What makes the people."""

    def place(self, tracks: Tracks, covers: Sequence[RegionMask]) -> IntArray:
        """The rectangle [N, 4] int64 that each person is made in, cover included; called once a frame, in order."""
        ...

    def generate(self, requests: Sequence[PersonRequest]) -> list[Replacement]:
        """A person a request, to be stretched over its rectangle."""
        ...


class GeneratedComposer:
    """Replaces every person whose surface is known; the others are covered.

    Args:
        generator: Makes the people.
        cover: Covers those who cannot be made.
    """

    def __init__(self, generator: PersonGenerator, cover: Composer) -> None:
        self._generator = generator
        self._cover = cover

    def compose(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> Frame:
        """Replace the people of one frame, see `Composer`."""
        return self.compose_batch([frame], [tracks], [covers])[0]

    def compose_batch(
        self, frames: Sequence[Frame], tracks: Sequence[Tracks], covers: Sequence[Sequence[RegionMask]]
    ) -> list[Frame]:
        """Replace the people of several frames that follow each other; they share the generator's batches."""
        canvases = [
            Canvas(self._cover.compose(frame, *left_to_cover(found, regions)), found, regions)
            for frame, found, regions in zip(frames, tracks, covers, strict=True)
        ]
        for canvas in canvases:
            canvas.plan(self._generator.place(canvas.tracks, canvas.covers))
        wave = 0
        while requests := [(canvas, row) for canvas in canvases for row in canvas.due(wave)]:
            pictures = self._generator.generate([canvas.request(row) for canvas, row in requests])
            for (canvas, row), picture in zip(requests, pictures, strict=True):
                canvas.draw(row, picture.image)
            wave += 1
        return [canvas.frame() for canvas in canvases]


def people_of(tracks: Tracks, keep: BoolArray) -> Tracks:
    """The people picked by a mask [N] bool."""
    return Tracks(tracks.detections[keep], tracks.ids[keep], tracks.filled[keep])


def left_to_cover(tracks: Tracks, covers: Sequence[RegionMask]) -> tuple[Tracks, list[RegionMask]]:
    """The people without a surface, and their covers as far as nobody is made on top of them.

    A cover has the colours of what it covers. Somebody found twice, once with a surface and once without, would get a
    glow in the colours of their own clothes round the person who replaces them.
    """
    known = tracks.detections.has_cse
    made = [covers[row] for row in np.flatnonzero(known).tolist()]
    return people_of(tracks, ~known), [covers[row].without(made) for row in np.flatnonzero(~known).tolist()]


class Canvas:
    """One frame while its people are replaced.

    Args:
        frame: The frame; people without a surface are covered already.
        tracks: All people of the frame.
        covers: What must be covered of each of them.
    """

    def __init__(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> None:
        self._frame = frame
        self.tracks, self.covers = tracks, covers
        self._image: UInt8Array = frame.image.copy()
        self._edited = np.zeros(frame.size_hw, np.bool_)
        self._waiting = {row for row, region in enumerate(covers) if tracks.detections.has_cse[row] and region.area}
        self._boxes: IntArray = np.zeros((len(tracks), 4), np.int64)
        self._waves: dict[int, int] = {}
        self._hidden: tuple[int, BoolArray] | None = None

    def plan(self, boxes_xyxy: IntArray) -> None:
        """Decide who is made when: after everybody farther away who reaches into the rectangle, as early as possible.

        Who stands lower in the picture is nearer.
        """
        self._boxes = boxes_xyxy
        standing = self.tracks.detections.boxes_xyxy
        order = sorted(self._waiting, key=lambda row: (standing[row, 3], -standing[row, 1], self.tracks.ids[row]))
        for place, row in enumerate(order):
            behind = [far for far in order[:place] if overlap(self.covers[far].box_xyxy, boxes_xyxy[row].tolist())]
            self._waves[row] = 1 + max((self._waves[far] for far in behind), default=-1)
        self._order = order

    def due(self, wave: int) -> list[int]:
        """The people of a wave, far to near."""
        self._hidden = None
        return [row for row in self._order if self._waves[row] == wave]

    def request(self, row: int) -> PersonRequest:
        """What the generator may know to make a person."""
        if self._hidden is None or self._hidden[0] != len(self._waiting):
            hidden = np.zeros(self._frame.size_hw, np.bool_)
            for other in self._waiting:
                region = self.covers[other]
                hidden[region.slices] |= region.mask
            self._hidden = len(self._waiting), hidden
        return PersonRequest(self._image, self._hidden[1], self._boxes[row], self.tracks, row, self.covers[row])

    def draw(self, row: int, picture: UInt8Array) -> None:
        """Put a made person in place of the original."""
        paste(self._image, self._edited, self.covers[row], self._boxes[row], picture)
        self._waiting.remove(row)

    def frame(self) -> Frame:
        """The frame with everybody replaced."""
        return self._frame.with_edit(self._image, self._edited) if self._waves else self._frame


def overlap(first_xyxy: Sequence[int], second_xyxy: Sequence[int]) -> bool:
    """Whether two rectangles share a pixel."""
    width = min(first_xyxy[2], second_xyxy[2]) - max(first_xyxy[0], second_xyxy[0])
    height = min(first_xyxy[3], second_xyxy[3]) - max(first_xyxy[1], second_xyxy[1])
    return width > 0 and height > 0


def paste(image: UInt8Array, edited: BoolArray, region: RegionMask, box_xyxy: IntArray, picture: UInt8Array) -> None:
    """Draw a made person: wholly inside the cover, fading outside of it, so that no original pixel shines through.

    Args:
        image: [H, W, 3] uint8 RGB, drawn on.
        edited: [H, W] bool, marked.
        region: The person's cover, inside the rectangle.
        box_xyxy: [4] int64, the rectangle that the picture covers; may leave the frame.
        picture: [h, w, 3] uint8 RGB.
    """
    left, top, right, bottom = box_xyxy.tolist()
    rim = max(1, round((bottom - top) / picture.shape[0] * RIM_PER_CELL))
    region = grow_region(region, 2 * rim, image.shape[:2])
    opacity = outward_rim(region.mask, rim)[..., None]
    scale_x, scale_y = (right - left) / picture.shape[1], (bottom - top) / picture.shape[0]
    height, width = region.mask.shape
    if scale_y < 1:  # averaging, or thin limbs break up
        whole = cv2.resize(picture, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        picture, scale_x, scale_y = whole.astype(np.uint8), 1.0, 1.0
    x = (np.arange(region.x, region.x + width, dtype=np.float32) - left + 0.5) / np.float32(scale_x) - 0.5
    y = (np.arange(region.y, region.y + height, dtype=np.float32) - top + 0.5) / np.float32(scale_y) - 0.5
    grid_x, grid_y = np.meshgrid(x, y)
    made = cv2.remap(picture, grid_x, grid_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    under = image[region.slices].astype(np.float32)
    image[region.slices] = np.rint(under + opacity * (made - under)).astype(np.uint8)
    edited[region.slices] |= opacity[..., 0] > 0
