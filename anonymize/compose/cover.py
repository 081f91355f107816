"""Covering people so that it cannot be undone.

A blurred or pixelated person keeps the colours of the clothes, by which people are recognized across cameras, however
few the cells. So not the person is blurred here but what is around: a cover shows cells of averaged surroundings, and a
fixed pattern of light and dark cells that makes it seen. Nothing of the person but the outline goes into the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anonymize.compose.composer import CoverPainter
from anonymize.core.errors import OptionError
from anonymize.core.modes import COVERING, CoverMode, parse_color
from anonymize.core.types import PLATES_AFTER, UNKNOWN_TRACK, BoolArray, FloatArray, RegionMask, Tracks, UInt8Array

MOST_CELLS = 8
SMALLEST_CELL_PX = 8
"""People of a few pixels have fewer cells, or a cell would be one pixel of theirs."""
RIM_PER_CELL = 1 / 16
PATTERN_LEVELS = 28.0
"""Cells are lighter or darker than the surroundings by up to this: on an even wall a cover would not be seen else."""
PATTERN = np.random.default_rng(0).uniform(-PATTERN_LEVELS, PATTERN_LEVELS, (MOST_CELLS + 1, MOST_CELLS + 1, 1))
"""By row and column of a cell, the same for all people; a rim may need one cell more."""
BLACK = "000000"


class CoverComposer(CoverPainter):
    """Covers every person of a frame; none of their pixels survives.

    Inside a cover each pixel is replaced. The soft rim lies outside of it, so no trace of the person shines through.
    """

    def __init__(self, mode: CoverMode = "blur", *, color: str | None = None) -> None:
        """Choose how people look in the result.

        Args:
            mode: "pixelate": at most 8 cells along the person, of averaged surroundings; "blur": the same smoothed;
                "solid": one colour.
            color: The colour of "solid", RRGGBB in hexadecimal, sRGB; None for black.

        Raises:
            OptionError: The mode or the colour does not exist.
        """
        if mode not in COVERING:
            raise OptionError(f"mode {mode!r} is not one of {', '.join(COVERING)}")
        self._mode = mode
        self.over_background = mode != "solid"
        self._color = parse_color(color or BLACK)

    def draw(self, tracks: Tracks, covers: Sequence[RegionMask], image: UInt8Array, edited: BoolArray) -> None:
        """See `CoverPainter.draw`. Where people overlap, the higher ID is always on top; plates are above people."""
        for person in np.argsort(tracks.ids, kind="stable"):
            region = covers[person]
            for part in pieces(region) if tracks.ids[person] == UNKNOWN_TRACK else [region]:
                if part.area > 0:
                    self._cover(part, image, edited, plate=bool(tracks.ids[person] > PLATES_AFTER))

    def _cover(self, region: RegionMask, image: UInt8Array, edited: BoolArray, *, plate: bool) -> None:
        """Cover one person in `image`, or a number plate, which becomes one cell."""
        if self._mode == "solid":  # Hard rim: the colour is exact wherever it is painted.
            image[region.slices][region.mask] = self._color
            edited[region.slices] |= region.mask
            return
        cell = cell_size(region.mask.shape)
        rim = max(1, round(cell * RIM_PER_CELL))
        region = grow_region(region, 2 * rim, image.shape[:2])
        cell = max(region.mask.shape) if plate else cell
        colours = coarse_colours(image[region.slices], cell, smooth=self._mode == "blur")
        opacity = outward_rim(region.mask, rim)[..., None]
        under = image[region.slices].astype(np.float32)
        image[region.slices] = np.rint(under + opacity * (colours - under)).astype(np.uint8)
        edited[region.slices] |= opacity[..., 0] > 0


def cell_size(size_hw: tuple[int, ...]) -> int:
    """Side in pixels of the square cells for a person of this height and width: at most 8 along the longer side."""
    return max(SMALLEST_CELL_PX, -(-max(size_hw) // MOST_CELLS))


def pieces(region: RegionMask) -> list[RegionMask]:
    """Pixels of several people, where they are far apart: no person is to be given colours of another one.

    Far is an empty cell of the whole, so that a head behind which something stands is no piece of its own with finer
    cells. What is smaller than the smallest cell would show what it is to hide, so it is one with the largest piece.
    """
    height, width = region.mask.shape
    cell = cell_size(region.mask.shape)
    taken = np.logical_or.reduceat(region.mask, np.arange(0, height, cell), axis=0)
    taken = np.logical_or.reduceat(taken, np.arange(0, width, cell), axis=1)
    count, labels = cv2.connectedComponents(taken.view(np.uint8), connectivity=8)
    if count <= 2:
        return [region]
    labels = np.asarray(labels, np.uint8)
    whose = labels[(np.arange(height) // cell)[:, None], np.arange(width) // cell]
    areas = np.bincount(whose[region.mask], minlength=count)
    kept = np.where(areas >= SMALLEST_CELL_PX**2, np.arange(count), areas.argmax()).astype(np.uint8)
    parts = [RegionMask.from_full(region.mask & (kept[whose] == k)) for k in np.unique(kept[1:])]
    return [RegionMask(region.x + part.x, region.y + part.y, part.mask) for part in parts]


def grow_region(region: RegionMask, margin: int, size_hw: tuple[int, ...]) -> RegionMask:
    """The same mask with `margin` more pixels stored on each side, as far as the frame [H, W] goes."""
    x, y = max(0, region.x - margin), max(0, region.y - margin)
    right, bottom = min(size_hw[1], region.box_xyxy[2] + margin), min(size_hw[0], region.box_xyxy[3] + margin)
    mask = np.zeros((bottom - y, right - x), np.bool_)
    mask[region.y - y :, region.x - x :][: region.mask.shape[0], : region.mask.shape[1]] = region.mask
    return RegionMask(x, y, mask)


def coarse_colours(image: UInt8Array, cell: int, *, smooth: bool) -> FloatArray:
    """A picture in cells of averaged colour, lighter and darker by a fixed pattern.

    Args:
        image: [h, w, 3] uint8.
        cell: Side of a cell in pixels; at most 9 of them along either side.
        smooth: Interpolate between the centres of the cells instead of keeping them flat.

    Returns:
        [h, w, 3] float32 in [0, 255].
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // cell), -(-width // cell)
    whole = cv2.copyMakeBorder(image, 0, rows * cell - height, 0, columns * cell - width, cv2.BORDER_REPLICATE)
    grid = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA) + PATTERN[:rows, :columns]
    grid = grid.clip(0, 255).astype(np.float32)
    method = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    colours = np.asarray(cv2.resize(grid, (columns * cell, rows * cell), interpolation=method), np.float32)
    return colours[:height, :width]


def outward_rim(mask: BoolArray, rim: int) -> FloatArray:
    """Opacity [h, w] float32 in [0, 1]: 1 on the whole mask, falling to 0 within 2 `rim` pixels outside of it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
    wide = cv2.dilate(mask.astype(np.float32), disc)
    opacity = np.asarray(cv2.blur(wide, (2 * rim + 1, 2 * rim + 1)), np.float32)
    opacity[opacity < 1 / 255] = 0  # Rounding errors of the running mean are no edit.
    opacity[mask] = 1
    return opacity
