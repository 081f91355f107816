"""How a film's pictures are turned between the file and the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to lay a stored picture upright: transpose it first, then mirror it.

    Attributes:
        transposed: Rows become columns.
        flip_x: Then mirrored left to right.
        flip_y: Then mirrored top to bottom.
    """

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def from_display_matrix(cls, matrix: bytes) -> Orientation:
        """Read the display matrix of MP4 (ISO/IEC 14496-12, 6.2.2), nine little-endian int32 a b u c d v x y w.

        A stored point (x, y) is shown at (a x + c y, b x + d y). A slanted picture, which no camera writes, is taken
        as it is stored.
        """
        a, b, _, c, d, *_ = np.frombuffer(matrix, "<i4", 9).tolist()
        if a == d == 0 and b and c:
            return cls(transposed=True, flip_x=c < 0, flip_y=b < 0)
        if b == c == 0 and a and d:
            return cls(flip_x=a < 0, flip_y=d < 0)
        return cls()

    @classmethod
    def from_exif(cls, value: int) -> Orientation:
        """Read EXIF's tag 0x0112, 1 to 8; all else counts as upright."""
        transposed, flip_x, flip_y = {
            2: (False, True, False),
            3: (False, True, True),
            4: (False, False, True),
            5: (True, False, False),
            6: (True, True, False),
            7: (True, True, True),
            8: (True, False, True),
        }.get(value, (False, False, False))
        return cls(transposed, flip_x, flip_y)

    @property
    def display_matrix(self) -> tuple[int, ...]:
        """The matrix that `from_display_matrix` reads, in 16.16 and 2.30 fixed point."""
        x, y = (-1 if self.flip_x else 1) << 16, (-1 if self.flip_y else 1) << 16
        return (0, y, 0, x, 0, 0, 0, 0, 1 << 30) if self.transposed else (x, 0, 0, 0, y, 0, 0, 0, 1 << 30)

    def size(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Height and width after turning, either way."""
        return size_hw[::-1] if self.transposed else size_hw

    def upright(self, stored: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Turn [H, W, ...] as it is stored to how it is shown. A view, no copy."""
        return self._flip(stored.swapaxes(0, 1) if self.transposed else stored)

    def stored(self, upright: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Undo `upright`. A view, no copy."""
        flipped = self._flip(upright)
        return flipped.swapaxes(0, 1) if self.transposed else flipped

    def _flip(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        step: Any = slice(None, None, -1)
        keep: Any = slice(None)
        flipped: npt.NDArray[Scalar] = array[step if self.flip_y else keep, step if self.flip_x else keep]
        return flipped
