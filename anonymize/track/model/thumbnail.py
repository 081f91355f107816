"""Small pictures of frames, which are kept for as long as people are looked for in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from anonymize.core.masks import grow
from anonymize.core.types import RegionMask, UInt8Array
from anonymize.track.geometry import OUTLINE

LONGER_SIDE = 640
"""Of a small picture at most."""
RIM = 2
"""Pixels of a small picture round somebody that may show something of them as well, beside an error of the outline."""


@dataclass(frozen=True, eq=False)
class Glance:
    """The pixels of a coarse grid of a frame, and who is there.

    Attributes:
        step: Rows and columns of the frame whose number is a multiple of it are held.
        picture: [h, w, 3] uint8 RGB.
        people: Masks of everybody found, also of those of a low score, in pixels of the frame.
    """

    step: int
    picture: UInt8Array = field(repr=False)
    people: Sequence[RegionMask] = field(repr=False)

    @classmethod
    def at(cls, image: UInt8Array, people: Sequence[RegionMask]) -> Glance:
        """Look at a frame [H, W, 3]."""
        height, width = image.shape[:2]
        step = max(1, -(-max(height, width) // LONGER_SIDE))
        size = (-(-width // step), -(-height // step))
        # image[::step, ::step].copy(), in a quarter of the time and less
        if width % step == height % step == 0:
            picture = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
        else:
            flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
            picture = cv2.warpAffine(image, np.diag([step, step, 1.0])[:2], size, flags=flags)
        return cls(step, np.asarray(picture, np.uint8), people)

    @cached_property
    def empty(self) -> UInt8Array:
        """[h, w] uint8: 255 where nobody is found, else 0."""
        somebody = np.zeros(self.picture.shape[:2], np.bool_)
        for person in self.people:
            theirs = self.shrunk(person)
            theirs = grow(theirs, RIM + round(OUTLINE * max(theirs.mask.shape)), self.picture.shape[:2])
            somebody[theirs.slices] |= theirs.mask
        return somebody.view(np.uint8) - np.uint8(1)  # 0 to 255, 1 to 0

    def shrunk(self, region: RegionMask) -> RegionMask:
        """A mask of the frame as a mask of the small picture; it shares memory with the one of the frame."""
        x, y = -(-region.x // self.step), -(-region.y // self.step)
        return RegionMask(x, y, region.mask[-region.y % self.step :: self.step, -region.x % self.step :: self.step])
