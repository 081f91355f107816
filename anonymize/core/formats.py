"""What is known of files by their names and first bytes, and which options go with them: all that can be refused before
a library is loaded. Needs the standard library only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from anonymize.core.errors import OptionError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
"""Container of a film that is written, by suffix."""
X264_PRESETS = tuple("ultrafast superfast veryfast faster fast medium slow slower veryslow placebo".split())  # noqa: SIM905
NVENC_PRESETS = tuple("p1 p2 p3 p4 p5 p6 p7 fast medium slow".split())  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class EncoderRange:
    """Which options a video encoder takes.

    Attributes:
        presets: Accepted values of `preset`.
        crf_max: Largest, that is worst, constant quality; the best is 0.
    """

    presets: tuple[str, ...]
    crf_max: int


ENCODER_RANGES = {
    "libx264": EncoderRange(X264_PRESETS, 51),
    "libx265": EncoderRange(X264_PRESETS, 51),
    "libsvtav1": EncoderRange(tuple(str(n) for n in range(14)), 63),
    "libvpx-vp9": EncoderRange(tuple(str(n) for n in range(9)), 63),
    "h264_nvenc": EncoderRange(NVENC_PRESETS, 51),
}
"""By libav's name of the encoder."""


def is_image(path: Path | str) -> bool:
    """Whether a file is a picture, by its first bytes; by its suffix where these do not tell or there is no file."""
    path = Path(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith(SIGNATURES) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def image_suffix(path: Path) -> str:
    """The suffix of a picture that is to be written, in small letters.

    Raises:
        OptionError: It is not one of a picture.
    """
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise OptionError(f"cannot write {path}: the suffix must be one of {', '.join(sorted(IMAGE_SUFFIXES))}")
    return suffix


def container_of(path: Path) -> str:
    """libav's name of the container of a film that is to be written, by its suffix.

    Raises:
        OptionError: The suffix is not one of a film.
    """
    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise OptionError(f"cannot write {path}: the suffix must be one of {', '.join(CONTAINERS)}")
    return container


def codec_for(container: str, codec: str) -> str:
    """The encoder that is used when `codec` is asked for: WebM cannot hold the default, H.264, and gets VP9."""
    return "libvpx-vp9" if container == "webm" and codec == "libx264" else codec


def check_encoding(codec: str, crf: int, preset: str | None) -> None:
    """Check an encoder's name and options.

    Raises:
        OptionError: One of them is not supported.
    """
    known = ENCODER_RANGES.get(codec)
    if known is None:
        raise OptionError(f"no codec {codec}; there are {', '.join(ENCODER_RANGES)}")
    if not 0 <= crf <= known.crf_max:
        raise OptionError(f"crf {crf} is not within 0 to {known.crf_max} of {codec}")
    if preset is not None and preset not in known.presets:
        raise OptionError(f"{codec} has no preset {preset}; there are {', '.join(known.presets)}")


def cut_of(start: float | Fraction | None, end: float | Fraction | None) -> tuple[Fraction | None, Fraction | None]:
    """Beginning and end of a cut, exact, in seconds.

    Raises:
        OptionError: They make no sense.
    """
    begin, stop = _seconds("--start", start), _seconds("--end", end)
    if begin is not None and stop is not None and stop <= begin:
        raise OptionError(f"--end {end:g} is not after --start {start:g}")
    if stop == 0:
        raise OptionError("--end must be above 0")
    return begin, stop


def _seconds(option: str, value: float | Fraction | None) -> Fraction | None:
    if value is None:
        return None
    if not math.isfinite(value) or value < 0:
        raise OptionError(f"{option} must be a number of seconds, not {value:g}")
    return Fraction(str(value))  # 1.1 is meant as eleven tenths, not as the float next to it.
