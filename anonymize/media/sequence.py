"""Sequences in and out: the pictures of one folder as a film."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType

from anonymize.core.errors import MediaError, OptionError
from anonymize.core.files import PartialFolder
from anonymize.core.formats import cut_of, is_image
from anonymize.core.types import Frame
from anonymize.media.film import FILM_SUFFIXES, FilmInfo
from anonymize.media.images import Picture, read_image, read_size, result_name, write_image

DEFAULT_FPS = 10.0
"""Pictures per second where no rate is given; that of KITTI."""


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts names as people count: "9.png" before "10.png"; equal numbers by their text, "1.png" after "01.png"."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(part), part) if part.isascii() and part.isdigit() else (1, 0, part) for part in parts)


def pictures_in(folder: Path | str) -> list[str]:
    """Names of the pictures right in a folder, in natural order. Links that lead out of the folder are none.

    Raises:
        MediaError: The folder cannot be read.
    """
    folder = Path(folder)
    try:
        real = folder.resolve()
        names = [
            path.name
            for path in folder.iterdir()
            if path.is_file() and (not path.is_symlink() or path.resolve().parent == real) and is_image(path)
        ]
    except OSError as error:
        raise MediaError(f"cannot read {folder}: {error.strerror}") from error
    return sorted(names, key=natural_key)


def check_one_sequence(folder: Path | str) -> None:
    """Refuse a folder with anything to anonymize beside the pictures right in it, where that would go unnoticed.

    Raises:
        OptionError: There are films, or pictures in other folders.
    """
    folder = Path(folder)
    for root, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(root) / name for name in sorted(names)):
            if (path.parent != folder and is_image(path)) or path.suffix.lower() in FILM_SUFFIXES:
                raise OptionError(f"{folder} is more than one sequence, as it holds {path}; do one at a time")


class SequenceReader:
    """Iterates over the pictures of a folder as frames of a film. Use it in a `with`, once.

    The pictures are taken in natural order of their names, at an even rate: a missing number is no gap in time.

    Attributes:
        path: The folder.
        info: What is known of the film.
        names: Of the pictures that are read, in order.
        corrupt_frames: Pictures that could not be read and were dropped so far.
        warnings: What the user should know, one line each.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        start: float | Fraction | None = None,
        end: float | Fraction | None = None,
        tolerate_corrupt: bool = False,
        fps: float | None = None,
    ) -> None:
        """List the pictures and read their sizes, so that what cannot be a sequence is known at once.

        Args:
            path: The folder.
            start: Leave out the pictures before this many seconds; the first one that is kept gets the time 0.
            end: Leave out the pictures from this many seconds on.
            tolerate_corrupt: Drop pictures that cannot be read, and count them, instead of failing.
            fps: Pictures per second, above 0; None for `DEFAULT_FPS`.

        Raises:
            MediaError: The folder has no pictures, or pictures of different sizes.
            OptionError: `start`, `end` or `fps` make no sense.
        """
        self.path = Path(path)
        self.corrupt_frames = 0
        self.warnings: list[str] = []
        self._tolerant = tolerate_corrupt
        fps = DEFAULT_FPS if fps is None else fps
        if not 0 < fps < math.inf:
            raise OptionError(f"--fps must be above 0, not {fps:g}")
        rate = Fraction(str(fps))
        if not self.path.is_dir():
            raise MediaError(f"cannot read {self.path}: it is no folder, as a sequence is")
        begin, stop = cut_of(start, end)
        begin = begin or Fraction(0)
        names = pictures_in(self.path)
        if not names:
            raise MediaError(f"{self.path} has no pictures")
        first = -int(-begin * rate // 1)  # Rounded up.
        self.names = names[first : None if stop is None else -int(-stop * rate // 1)]
        if not self.names:
            raise MediaError(f"{self.path} ends before --start {float(begin):g}")
        self.info = FilmInfo(
            size_hw=self._size(),
            time_base=1 / rate,
            rate=rate,
            frames=len(self.names),
            path=self.path,
            begins=first / rate,
            shift=first / rate,
            ends=stop,
        )

    def __enter__(self) -> SequenceReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def __iter__(self) -> Iterator[Frame]:
        """Read one picture after the other.

        Raises:
            MediaError: A picture cannot be read, and that is not tolerated, or it has another size than the first.
        """
        index = 0
        for number, name in enumerate(self.names):
            try:
                frame = read_image(self.path / name)
            except MediaError:
                if not self._tolerant:
                    raise
                self.corrupt_frames += 1
                continue
            self._check_size(name, frame.size_hw, self.info.size_hw)
            yield replace(frame, index=index, pts=number, time_base=self.info.time_base)
            index += 1

    def _size(self) -> tuple[int, int]:
        """Height and width of all pictures, by what their files say."""
        size: tuple[int, int] | None = None
        for name in self.names:
            own = read_size(self.path / name)
            if own is not None and size is not None:
                self._check_size(name, own, size)
            size = size or own
        if size is None:
            size = read_image(self.path / self.names[0]).size_hw
        return size

    def _check_size(self, name: str, own: tuple[int, int], first: tuple[int, int]) -> None:
        if own != first:
            raise MediaError(
                f"{self.path} is no sequence: {name} is {own[1]}x{own[0]}, the pictures before it are "
                f"{first[1]}x{first[0]}; each size needs a folder of its own"
            )


class SequenceWriter:
    """Writes the frames of a sequence as pictures under their own names. Use it in a `with`.

    A picture keeps its format, bit depth, transparency and colour profile, see `write_image`. The pictures get their
    names when the `with` ends well; on any error, and on an interrupt, nothing is left.

    Attributes:
        warnings: What differs from the input against its wish, one line each.
        stripped: Always empty: what `write_image` leaves out is among the warnings.
    """

    def __init__(
        self, path: Path | str, film: SequenceReader, *, keep_metadata: bool = False, overwrite: bool = False
    ) -> None:
        """Set up; nothing is written before the `with`.

        Args:
            path: The folder of the results; made if missing.
            film: Where the frames come from.
            keep_metadata: Keep EXIF (place, device, time).
            overwrite: Replace existing pictures.
        """
        self.path = Path(path)
        self.warnings: list[str] = []
        self.stripped: list[str] = []
        self._film = film
        self._keep_metadata, self._overwrite = keep_metadata, overwrite
        self._frames = 0

    def __enter__(self) -> SequenceWriter:
        names = [result_name(name) for name in self._film.names]
        for name in _twice(names):
            raise MediaError(f"two pictures of {self._film.path} would both become {name}")
        self._folder = PartialFolder(self.path, names, source=self._film.path, overwrite=self._overwrite)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                if self._frames == 0:
                    raise MediaError(f"cannot write {self.path}: there are no pictures")
                self._folder.commit()
        finally:
            self._folder.discard()

    def write(self, frame: Frame) -> None:
        """Write one picture.

        Raises:
            MediaError: It cannot be written: a full disk, or a frame that is of no picture.
        """
        if not isinstance(frame.source, Picture):
            raise MediaError(f"cannot write {self.path}: a frame is of no picture")
        path = self._folder.partial / result_name(frame.source.path.name)
        for note in write_image(path, frame, keep_metadata=self._keep_metadata):
            if note not in self.warnings:
                self.warnings.append(note)
        self._frames += 1


def _twice(names: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
