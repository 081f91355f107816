"""Text that is safe in a page, whatever it says."""

from __future__ import annotations

import html
import os
import unicodedata
from pathlib import Path

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
"""Unicode's categories of characters that show nothing, or turn the text around them."""


def escape(value: object) -> str:
    """A value as text of HTML, in an element or a quoted attribute.

    File names may hold any bytes; what cannot be shown is shown as a replacement character.
    """
    text = os.fsencode(value).decode("utf-8", "replace") if isinstance(value, Path) else str(value)
    shown = "".join(REPLACEMENT if unicodedata.category(c) in UNPRINTABLE else c for c in text)
    return html.escape(shown, quote=True)


def clock(seconds: float) -> str:
    """A time of a film: 7.25 s, 3:05.2 or 1:02:03."""
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    if seconds < 3599.95:
        minutes, rest = divmod(round(seconds, 1), 60)
        return f"{int(minutes)}:{rest:04.1f}"
    minutes, whole = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{whole:02d}"


def count(number: int, noun: str) -> str:
    """A number with its noun, such as 1,204 frames."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
