"""Frames of a film in any order, decoded as they are asked for."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Generator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from anonymize.core.errors import MediaError
from anonymize.core.types import Frame, UInt8Array
from anonymize.media import FilmReader
from anonymize.options import ReadOptions

FRAMES_BACK = 12
FRAMES_ON = 48
"""A frame so far ahead of the last one is reached by decoding on, not by a jump to a key frame."""
CACHE_BYTES = 96 << 20
"""Of pictures that wait to be asked for again."""
LONGEST_SIDE = 1280
JPEG_QUALITY = 85


class FilmFrames:
    """A film's frames by their number, from any one on.

    Args:
        path: The film.
        read: Which part of it was read when its tracks were made.
        pts: Time of each frame, as the tracks file has it.

    Raises:
        MediaError: The film cannot be read.
    """

    def __init__(self, path: Path, read: ReadOptions, pts: array[int]) -> None:
        self.path, self._read, self._pts = path, read, pts
        with self._open(read) as film:
            self.time_base, self._shift, self._origin = film.info.time_base, film.info.shift, film.origin
        self._stamp = self._stamp_now()

    def __len__(self) -> int:
        return len(self._pts)

    def seconds(self) -> array[float]:
        """Time of each frame from the first one, in seconds."""
        first, unit = self._pts[0] if self._pts else 0, float(self.time_base)
        return array("d", ((pts - first) * unit for pts in self._pts))

    def check(self) -> None:
        """Find out whether the film is still there.

        Raises:
            MediaError: It is gone, or another file has its name.
        """
        if self._stamp_now() != self._stamp:
            raise MediaError(f"{self.path} has changed since the page was opened")

    def iterate(self, first: int) -> Generator[Frame, None, None]:
        """The frames from one on; `index` is their number in the film. Close the iterator to release the file.

        Raises:
            MediaError: The film cannot be read.
        """
        self.check()
        wanted = self._pts[first] * self.time_base + self._shift
        part = replace(self._read, start=wanted - self._origin) if first else self._read  # type: ignore[arg-type]
        found = yield from self._from(part, first, wanted)
        if not found:  # The container's index leads astray, or its times do not grow.
            yield from self._from(self._read, first, None)

    def _from(self, read: ReadOptions, first: int, wanted: Fraction | None) -> Generator[Frame, None, bool]:
        """The frames from `first` on of a film that is opened at its time `wanted`; None opens it at its beginning.

        Returns:
            Whether the film had a frame at that time.
        """
        with self._open(read) as film:
            moved = round((film.info.shift - self._shift) / self.time_base)
            for frame in film:
                pts = frame.pts + moved
                if wanted is not None and frame.index == 0 and pts * self.time_base + self._shift != wanted:
                    return False
                number = bisect_left(self._pts, pts)
                if number >= first and number < len(self._pts) and self._pts[number] == pts:
                    yield replace(frame, index=number)
        return True

    def _open(self, read: ReadOptions) -> FilmReader:
        return FilmReader(self.path, start=read.start, end=read.end, tolerate_corrupt=read.tolerate_corrupt)

    def _stamp_now(self) -> tuple[int, int]:
        try:
            told = self.path.stat()
        except OSError as error:
            raise MediaError(f"cannot read {self.path}: {error.strerror}") from error
        return told.st_size, told.st_mtime_ns


class Pictures:
    """JPEG pictures of a film's frames, from one decoder that goes on where it is; threads may share it.

    Args:
        frames: The film.
        longest_side: Pictures are shrunk to it, in pixels.
        back: A jump begins so many frames earlier, so that steps back from there need no jump of their own.
    """

    def __init__(self, frames: FilmFrames, *, longest_side: int = LONGEST_SIDE, back: int = FRAMES_BACK) -> None:
        self._frames, self._longest, self._back = frames, longest_side, back
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self._decoder: Generator[Frame, None, None] | None = None
        self._next = 0

    def jpeg(self, number: int) -> bytes:
        """A frame as JPEG.

        Raises:
            MediaError: There is no such frame, or the film cannot be read.
        """
        if not 0 <= number < len(self._frames):
            raise MediaError(f"there is no frame {number}; the last one is {len(self._frames) - 1}")
        self._frames.check()
        with self._lock:
            if number not in self._kept:
                self._decode(number)
            self._kept.move_to_end(number)
            return self._kept[number]

    def close(self) -> None:
        """Release the film."""
        with self._lock:
            self._stop()

    def _decode(self, number: int) -> None:
        """Decode up to a frame; those on the way are kept as well."""
        if self._decoder is None or not self._next <= number <= self._next + FRAMES_ON:
            self._stop()
            self._next = max(0, number - self._back)
            self._decoder = self._frames.iterate(self._next)
        try:
            for frame in self._decoder:
                self._next = frame.index + 1
                if number - frame.index <= self._back:
                    self._keep(frame.index, to_jpeg(shrink(frame.image, self._longest)))
                if frame.index == number:
                    return
        except BaseException:
            self._stop()
            raise
        self._stop()
        raise MediaError(f"{self._frames.path} has no frame {number}")

    def _stop(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None

    def _keep(self, number: int, jpeg: bytes) -> None:
        self._bytes += len(jpeg) - len(self._kept.pop(number, b""))
        self._kept[number] = jpeg
        while self._bytes > CACHE_BYTES and len(self._kept) > self._back + 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest)


def shrink(image: UInt8Array, longest_side: int) -> UInt8Array:
    """A picture [H, W, 3] uint8 whose longer side is at most so many pixels."""
    scale = longest_side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def to_jpeg(image: UInt8Array) -> bytes:
    """A picture [H, W, 3] uint8 RGB as JPEG."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return np.asarray(data).tobytes()
