"""Values as text that can be shown, whatever they hold. The page's template escapes it."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
"""Unicode's categories of characters that show nothing, or turn the text around them."""


def printable(value: object) -> str:
    """A value as text; what cannot be shown is a replacement character, since file names may hold any bytes."""
    text = os.fsencode(value).decode("utf-8", "replace") if isinstance(value, Path) else str(value)
    return "".join(REPLACEMENT if unicodedata.category(c) in UNPRINTABLE else c for c in text)


def clock(seconds: float) -> str:
    """A time of a film: 7.25 s, 3:05.2 or 1:02:03."""
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    if seconds < 3599.95:
        minutes, rest = divmod(round(seconds, 1), 60)
        return f"{int(minutes)}:{rest:04.1f}"
    minutes, whole = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{whole:02d}"


def span(start: float, end: float) -> str:
    """Two times of a film, such as 7.25 to 9.50 s; one if they read alike."""
    first, last = clock(start), clock(end)
    return first if first == last else f"{first.removesuffix(' s') if last.endswith(' s') else first} to {last}"


def count(number: int, noun: str) -> str:
    """A number with its noun, such as 1,204 frames."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
