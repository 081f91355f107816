"""What is known of a film before its frames are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from anonymize.core.errors import MediaError
from anonymize.core.types import Frame
from anonymize.media.colour import matrix_or_default
from anonymize.media.orientation import Orientation

FILM_SUFFIXES = frozenset(
    ".3gp .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .webm .wmv".split()  # noqa: SIM905
)
UNSPECIFIED = 2
"""H.273's code for primaries, transfer and matrix that are not specified."""
LIMITED, FULL = 1, 2
"""libav's codes for the range of code values."""


@dataclass(frozen=True, slots=True)
class ColourTags:
    """How a film's samples are meant, in the codes of Rec. ITU-T H.273; 0 is a range that is not specified."""

    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED

    @property
    def full_range(self) -> bool:
        return self.range == FULL


@dataclass(frozen=True, slots=True)
class FilmInfo:
    """What is known of a film before its frames are read.

    Attributes:
        size_hw: Height and width of the upright picture.
        time_base: Seconds per unit of a frame's `pts`.
        rate: Frames per second, a guess where the rate varies. Timestamps depend on it in AVI only.
        frames: Expected number of frames, None where the container does not tell; for progress only.
        path: The file; None for a film that is drawn rather than read.
        track: Number of the picture's track in the file.
        orientation: How the stored picture is turned to be upright.
        pixel_format: libav's name of the stored pixel format.
        colour: How the samples are meant.
        sample_aspect_ratio: Width over height of a stored pixel, None where it is not told.
        begins: Time of the first frame in the file, seconds. With `--start` it becomes 0 in the output.
        shift: Seconds to subtract from a time of the file to get a time of the output.
        ends: Time in the file where the film is cut off, seconds; None for its end.
    """

    size_hw: tuple[int, int]
    time_base: Fraction
    rate: Fraction
    frames: int | None = None
    path: Path | None = None
    track: int = 0
    orientation: Orientation = field(default_factory=Orientation)
    pixel_format: str = "yuv420p"
    colour: ColourTags = field(default_factory=ColourTags)
    sample_aspect_ratio: Fraction | None = None
    begins: Fraction = Fraction(0)
    shift: Fraction = Fraction(0)
    ends: Fraction | None = None

    @property
    def stored_size_hw(self) -> tuple[int, int]:
        return self.orientation.size(self.size_hw)

    @property
    def matrix(self) -> int:
        """The matrix that converts to and from RGB, the default where the film names none."""
        return matrix_or_default(self.colour.matrix, min(self.stored_size_hw))


def fraction(value: Any) -> Fraction:
    """libav's rational, 0 where it is unset."""
    return Fraction(value.numerator, value.denominator) if value else Fraction(0)


def check_size(frame: Frame, size_hw: tuple[int, int]) -> None:
    """Refuse a frame that has another size than its film.

    Raises:
        MediaError: It has.
    """
    if frame.size_hw != size_hw:
        (height, width), (now_height, now_width) = size_hw, frame.size_hw
        raise MediaError(
            f"the picture changes its size at {frame.pts_seconds:.3f} s, "
            f"from {width}x{height} to {now_width}x{now_height}"
        )
