"""Whether a film's file is as long as its own structure says.

libav plays the beginning of a film that was cut off and says nothing of the rest. These formats tell their length in
their outermost headers, so a copy that did not finish is known before the first frame is decoded.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_BOXES_THAT_MATTER = {b"mdat", b"moov", b"moof"}


def is_cut_short(path: Path) -> bool:
    """Whether an MP4, MOV, Matroska, WebM or AVI file ends before its end; False for what cannot be known."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == _EBML:
            return _matroska(file, size)
        if head[:4] == b"RIFF" and len(head) == 12:
            return int.from_bytes(head[4:8], "little") + 8 > size and head[4:8] != b"\xff\xff\xff\xff"
        if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"}:
            return _boxes(file, size)
    return False


def _boxes(file: BinaryIO, size: int) -> bool:
    """ISO/IEC 14496-12, 4.2: boxes of a 32-bit size and a name; size 1 means that a 64-bit size follows, 0 the rest."""
    start = 0
    while start + 8 <= size:
        file.seek(start)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 0:
            return False
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:
            return False
        start += length
        if start > size and header[4:8] in _BOXES_THAT_MATTER:
            return True
    return False


def _matroska(file: BinaryIO, size: int) -> bool:
    """RFC 8794: the EBML header, then one segment; a live recording's segment has no known size."""
    file.seek(4)
    header = _length(file)
    if header is None:
        return False
    file.seek(header, 1)
    if file.read(4) != _SEGMENT:
        return False
    segment = _length(file)
    return segment is not None and file.tell() + segment > size


def _length(file: BinaryIO) -> int | None:
    """A variable-length integer: the zero bits it begins with count the bytes that follow; all ones is unknown."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    more = 8 - first[0].bit_length()
    bits = 7 * (more + 1)
    value = int.from_bytes(first + file.read(more), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value
