"""Masks as run lengths in COCO's compressed text form, which pycocotools reads as well.

Runs go down the columns, from left to right, and begin with the pixels that are not the mask's. Each length, from the
third on less the one two before it, is written in groups of five bits, the lowest first, a sixth bit telling that more
follow; 48 is added, so that all is printable.
"""

from __future__ import annotations

import numpy as np

from anonymize.core.errors import AnonymizeError
from anonymize.core.types import BoolArray, RegionMask

_ZERO = 48


def encode(region: RegionMask, size_hw: tuple[int, int]) -> str:
    """A mask in a frame of this size as text; only its runs are looked at, so a large frame costs no more."""
    height, width = size_hw
    runs: list[int] = []
    columns = np.flatnonzero(
        np.diff(_padded(region.mask.T), axis=1)
    )  # [w, h + 2] flattened: where a run begins or ends
    if columns.size == 0:
        return _text([height * width])
    column, row = np.divmod(columns, region.mask.shape[0] + 1)
    starts = ((region.x + column) * height + region.y + row).tolist()
    last = 0
    for begin, end in zip(starts[::2], starts[1::2], strict=True):
        if runs and begin == last:  # Goes on at the top of the next column.
            runs[-1] += end - begin
        else:
            runs += [begin - last, end - begin]
        last = end
    if last < height * width:
        runs.append(height * width - last)
    return _text(runs)


def decode(text: str, size_hw: tuple[int, int]) -> RegionMask:
    """The mask of a text, without empty rows and columns around.

    Raises:
        AnonymizeError: The text is no mask of this size.
    """
    height, width = size_hw
    runs = np.array(_lengths(text), np.int64)
    if runs.size == 0 or (runs < 0).any() or runs.sum() != height * width:
        raise AnonymizeError(f"a mask does not fill the frame of {width} x {height} pixels")
    bounds = np.cumsum(runs)
    starts, ends = bounds[0:-1:2], bounds[1::2]
    filled = starts[: len(ends)] < ends
    starts, ends = starts[: len(ends)][filled], ends[filled]
    if starts.size == 0:
        return RegionMask(0, 0, np.zeros((0, 0), np.bool_))
    left, right = int(starts[0] // height), int((ends[-1] - 1) // height) + 1
    part = np.zeros((right - left) * height, np.bool_)
    for start, end in zip((starts - left * height).tolist(), (ends - left * height).tolist(), strict=True):
        part[start:end] = True
    tight = RegionMask.from_full(np.ascontiguousarray(part.reshape(right - left, height).T))
    return RegionMask(tight.x + left, tight.y, tight.mask)


def _padded(columns: BoolArray) -> BoolArray:
    """Columns [w, h] with a False before and after each."""
    return np.pad(columns, ((0, 0), (1, 1)))


def _text(runs: list[int]) -> str:
    letters = bytearray()
    for k, length in enumerate(runs):
        value = length - runs[k - 2] if k > 2 else length
        while True:
            low = value & 31
            value >>= 5
            more = value != (-1 if low & 16 else 0)
            letters.append(low + _ZERO + (32 if more else 0))
            if not more:
                break
    return letters.decode("ascii")


def _lengths(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        group = ord(letter) - _ZERO
        if not 0 <= group < 64 or shift > 60:
            raise AnonymizeError("a mask's counts are not in COCO's compressed form")
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            if group & 16:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift:
        raise AnonymizeError("a mask's counts end early")
    return runs
