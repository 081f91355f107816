"""What becomes of people in the picture."""

from __future__ import annotations

from typing import Literal, get_args

from anonymize.core.errors import OptionError

ReplaceMode = Literal["generate", "avatar"]
CoverMode = Literal["blur", "pixelate", "solid"]
Mode = Literal[ReplaceMode, CoverMode]

REPLACING: tuple[str, ...] = get_args(ReplaceMode)
"""Modes, and actions of a track, that put another person in each one's place."""
COVERING: tuple[CoverMode, ...] = get_args(CoverMode)
"""Modes, and actions of a track, that hide people."""


def parse_color(text: str) -> tuple[int, int, int]:
    """Read RRGGBB in hexadecimal, with or without a leading "#".

    Raises:
        OptionError: The text is something else.
    """
    digits = text.removeprefix("#")
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError as error:
        raise OptionError(f"colour {text!r} is not of the form RRGGBB, such as ff00ff") from error
    return red, green, blue
