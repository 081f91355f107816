"""Small pictures of frames, which are kept as long as a track may be filled with their help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from anonymize.core.masks import grow
from anonymize.core.types import RegionMask, UInt8Array
from anonymize.track.config import TrackerConfig


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """The pixels of a coarse grid of a frame, and the masks found in it.

    Attributes:
        step: Rows and columns of the frame whose number is a multiple of it are held.
        picture: [h, w, 3] uint8 RGB.
        masks: Of all detections, also those of a low score, in pixels of the frame.
        config: Thresholds.
    """

    step: int
    picture: UInt8Array = field(repr=False)
    masks: Sequence[RegionMask] = field(repr=False)
    config: TrackerConfig = field(repr=False)

    @classmethod
    def of(cls, image: UInt8Array, masks: Sequence[RegionMask], config: TrackerConfig) -> Thumbnail:
        """The thumbnail of a frame [H, W, 3] in which masks were found."""
        height, width = image.shape[:2]
        step = max(1, -(-max(height, width) // config.max_thumbnail_px))
        size = (-(-width // step), -(-height // step))
        # image[::step, ::step].copy(), in a quarter of the time and less
        if width % step == height % step == 0:
            picture = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
        else:
            flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
            picture = cv2.warpAffine(image, np.diag([step, step, 1.0])[:2], size, flags=flags)
        return cls(step, np.asarray(picture, np.uint8), masks, config)

    @cached_property
    def background(self) -> UInt8Array:
        """[h, w] uint8: 255 where no detection is, else 0."""
        covered = np.zeros(self.picture.shape[:2], np.bool_)
        for mask in self.masks:
            small = self.shrunk(mask)
            rim = self.config.mask_rim_px + round(self.config.mask_error_share * max(small.mask.shape))
            small = grow(small, rim, self.picture.shape[:2])
            covered[small.slices] |= small.mask
        return covered.view(np.uint8) - np.uint8(1)  # 0 to 255, 1 to 0

    def shrunk(self, region: RegionMask) -> RegionMask:
        """A mask of the frame as a mask of the small picture; it shares memory with the one of the frame."""
        x, y = -(-region.x // self.step), -(-region.y // self.step)
        return RegionMask(x, y, region.mask[-region.y % self.step :: self.step, -region.x % self.step :: self.step])
