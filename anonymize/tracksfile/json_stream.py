"""Reading a JSON object whose last value is a long array, one entry of the array at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

CHUNK = 1 << 16
_SPACE = " \t\r\n"


class JsonStream:
    """A JSON object on its way through a window; however the text is laid out, one value is held at a time.

    Args:
        file: The text.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text, self._at, self._more = "", 0, True
        self._decoder = json.JSONDecoder()

    def head(self, last: str) -> dict[str, Any]:
        """The members before the one called `last`, whose array is then to be read by `entries`.

        Raises:
            ValueError: The text is no such object.
        """
        members: dict[str, Any] = {}
        self._expect("{")
        while True:
            name = self._value()
            self._expect(":")
            if name == last:
                return members
            if not isinstance(name, str) or name in members:
                raise ValueError(f"{name!r} is no name of a member, or comes twice")
            members[name] = self._value()
            self._expect(",")

    def entries(self) -> Iterator[Any]:
        """The entries of the last member's array.

        Raises:
            ValueError: The text is no such array, or the object goes on after it.
        """
        self._expect("[")
        if self._peek() == "]":
            self._at += 1
        else:
            while True:
                yield self._value()
                if self._peek() == "]":
                    self._at += 1
                    break
                self._expect(",")
        self._expect("}")
        if self._peek():
            raise ValueError("something follows after the end")

    def _peek(self) -> str:
        """The next character that is no space; empty at the end of the text."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._fill():
                return ""

    def _expect(self, character: str) -> None:
        found = self._peek()
        if found != character:
            raise ValueError(f"{character!r} is missing before {found!r}" if found else f"{character!r} is missing")
        self._at += 1

    def _value(self) -> Any:
        if not self._peek():
            raise ValueError("it ends early")
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except ValueError:
                if not self._fill():
                    raise
                continue
            if end == len(self._text) and self._fill():  # A number may go on.
                continue
            self._at = end
            return value

    def _fill(self) -> bool:
        """Read on, as much as is held already at least, so that a long value is not tried too often."""
        if not self._more:
            return False
        rest = self._text[self._at :]
        chunk = self._file.read(max(CHUNK, len(rest)))
        self._more = bool(chunk)
        self._text, self._at = rest + chunk, 0
        return self._more
