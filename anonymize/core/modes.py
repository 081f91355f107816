"""What becomes of people in the picture."""

from __future__ import annotations

from typing import Literal, get_args

ReplaceMode = Literal["generate", "avatar"]
CoverMode = Literal["blur", "pixelate", "solid"]
Mode = Literal[ReplaceMode, CoverMode]

REPLACING: tuple[str, ...] = get_args(ReplaceMode)
"""Modes, and actions of a track, that put another person in each one's place."""
COVERING: tuple[CoverMode, ...] = get_args(CoverMode)
"""Modes, and actions of a track, that hide people."""
