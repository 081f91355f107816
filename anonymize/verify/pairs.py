"""The frames of two films that belong together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from anonymize.core.errors import AnonymizeError, MediaError, OptionError
from anonymize.core.types import Frame
from anonymize.media import FilmReader, SequenceReader, is_image, open_film, read_image, result_name
from anonymize.media.sequence import check_one_sequence

Kind = Literal["film", "picture", "sequence"]

SAME_TIME = 0.5
"""Frames of two films belong together if they are less than this share of a frame's duration apart; containers round
times differently."""


class MismatchError(AnonymizeError, ValueError):
    """Two files cannot be the original and its anonymized copy."""


def pair_frames(
    original: Path,
    output: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
) -> Iterator[tuple[float, Frame, Frame]]:
    """Read two films, two pictures or two folders of pictures side by side.

    Args:
        original: The film or picture with people in it, or the folder of a sequence.
        output: Its anonymized copy.
        start: The copy begins here in the original, in seconds.
        end: ... and ends before this.
        fps: Of a sequence, pictures per second; None for the default.

    Yields:
        Seconds since the copy's first frame, the original's frame, the copy's frame.

    Raises:
        MismatchError: The files differ in kind, size, number of frames or times.
        MediaError: One of them cannot be read.
        OptionError: Pictures have no start or end.
    """
    kind = check_kinds(original, output)
    if kind == "sequence":
        yield from _sequence_pairs(original, output, start, end, fps)
        return
    if fps is not None:
        raise OptionError("a rate (--fps) is for folders of pictures")
    if kind == "film":
        with open_film(original, start=start, end=end) as before, open_film(output) as after:
            yield from _film_pairs(original, output, before, after)
        return
    if start is not None or end is not None:
        raise OptionError("a picture has no --start or --end")
    pictures = read_image(original), read_image(output)
    _check_sizes(original, output, *(picture.size_hw for picture in pictures))
    yield 0.0, *pictures


def check_kinds(original: Path, output: Path) -> Kind:
    """What both files are.

    Raises:
        MediaError: One of them is not there.
        MismatchError: They are the same file, or one is a film and the other a picture.
        OptionError: One is a folder with more than one sequence.
    """
    for path in (original, output):
        if not path.exists():
            raise MediaError(f"cannot read {path}: No such file or directory")
    if original.samefile(output):
        raise MismatchError(f"{original} and {output} are the same file")
    kinds = [_kind(path) for path in (original, output)]
    if kinds[0] != kinds[1]:
        raise MismatchError(f"{original} is a {kinds[0]} but {output} is a {kinds[1]}")
    if kinds[0] == "sequence":
        for path in (original, output):
            check_one_sequence(path)
    return kinds[0]


def _kind(path: Path) -> Kind:
    if path.is_dir():
        return "sequence"
    return "picture" if is_image(path) else "film"


def _sequence_pairs(
    original: Path, output: Path, start: float | None, end: float | None, fps: float | None
) -> Iterator[tuple[float, Frame, Frame]]:
    before = SequenceReader(original, start=start, end=end, fps=fps)
    after = SequenceReader(output, fps=fps)
    for name, other in zip([result_name(name) for name in before.names], after.names, strict=False):
        if name != other:
            raise MismatchError(f"the pictures do not belong together: {other} of {output} stands where {name} should")
    yield from _film_pairs(original, output, before, after)


def _film_pairs(
    original: Path, output: Path, before: FilmReader | SequenceReader, after: FilmReader | SequenceReader
) -> Iterator[tuple[float, Frame, Frame]]:
    _check_sizes(original, output, before.info.size_hw, after.info.size_hw)
    tolerance = SAME_TIME / float(before.info.rate)
    origins: tuple[float, float] | None = None
    for count, (old, new) in enumerate(zip_longest(before, after)):
        if old is None or new is None:
            shorter, longer = (original, output) if old is None else (output, original)
            raise MismatchError(f"{shorter} ends after {count} frames, {longer} goes on: a frame is missing")
        origins = origins or (old.pts_seconds, new.pts_seconds)
        times = old.pts_seconds - origins[0], new.pts_seconds - origins[1]
        if abs(times[0] - times[1]) > tolerance:
            raise MismatchError(
                f"the frames do not belong together: number {count + 1} is at {times[0]:.3f} s in {original} "
                f"but at {times[1]:.3f} s in {output}"
            )
        yield times[0], old, new


def _check_sizes(original: Path, output: Path, before: tuple[int, int], after: tuple[int, int]) -> None:
    if before != after:
        sizes = [f"{width} x {height}" for height, width in (before, after)]
        raise MismatchError(f"{original} is {sizes[0]} but {output} is {sizes[1]}")
