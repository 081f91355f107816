"""A long film cut at key frames, so that several look for its people at once.

One tracker goes through the whole film, in order, with what was found in its segments. So tracks hold across the cuts,
and the result is that of the uncut film, bit for bit where the detector finds the same in batches of another size.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Protocol

import av

from anonymize.core.errors import MediaError
from anonymize.core.types import Detections, Frame
from anonymize.detect.predictor import Detector
from anonymize.media import open_film
from anonymize.pipeline import detect

SEGMENT_SECONDS = 5.0
"""A segment is at least this long. What was found in one waits in memory until its turn: with a surface, about 0.8 MB
for each person of each frame."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a film, between key frames.

    Attributes:
        begin: Time of its first frame in the file, in units of the film's time base.
        start: The same as `open_film` wants it; None where the film's wanted part begins.
        end: Where it ends, as `open_film` wants it; None where the film's wanted part ends.
    """

    begin: int
    start: Fraction | float | None
    end: Fraction | float | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found in a frame.

    Attributes:
        pts: Time of the frame in the file.
        checksum: Of the picture, so that nothing is ever drawn into another one.
        found: The people, on the CPU.
    """

    pts: int
    checksum: int
    found: Detections = field(repr=False)


class Helpers(Protocol):
    """Others who may look at segments."""

    def ask(self, number: int) -> bool:
        """Have a segment looked at; False where too many are being looked at."""
        ...

    def take(self, number: int) -> Sequence[Seen] | None:
        """What was found in a segment, and wait for it; None where it was not looked at and will not be."""
        ...


@dataclass(frozen=True, slots=True)
class CutFilm:
    """A film and how it is cut; can be sent to others.

    Attributes:
        path: The film.
        shift: Time in the file of what has the time 0 in the result, in units of the film's time base.
        segments: At least one.
    """

    path: Path
    shift: int
    segments: tuple[Segment, ...]

    @classmethod
    def cut(cls, path: Path, *, start: float | None = None, end: float | None = None, seconds: float) -> CutFilm:
        """Cut a film at its key frames. All packets are read, none is decoded.

        Args:
            path: The film.
            start: Where it is to begin, in seconds.
            end: Where it is to stop, in seconds.
            seconds: Shortest length of a segment.

        Raises:
            MediaError: It cannot be read.
        """
        with open_film(path, start=start, end=end, tolerate_corrupt=True) as film:
            info = film.info
        begins = [round(info.begins / info.time_base)]
        try:
            with av.open(str(path.absolute()), container_options={"protocol_whitelist": "file"}) as container:
                stream = container.streams[info.track]
                origin = (stream.start_time or 0) * info.time_base
                for packet in container.demux(stream):
                    pts = packet.pts
                    if pts is None or not packet.is_keyframe:
                        continue
                    if info.ends is not None and pts * info.time_base >= info.ends:
                        continue
                    if (pts - begins[-1]) * info.time_base >= seconds:
                        begins.append(pts)
        except (av.error.FFmpegError, OSError) as error:
            raise MediaError(f"cannot read {path}: {error.strerror}") from error
        cuts = [pts * info.time_base - origin for pts in begins[1:]]
        segments = map(Segment, begins, [start, *cuts], [*cuts, end])
        return cls(path, round(info.shift / info.time_base), tuple(segments))

    def look(self, number: int, detector: Detector) -> list[Seen]:
        """Find the people of a segment.

        Raises:
            AnonymizeError: It cannot be decoded.
        """
        segment = self.segments[number]
        with open_film(self.path, start=segment.start, end=segment.end) as film:
            shift = round(film.info.shift / film.info.time_base)
            return [Seen(frame.pts + shift, _checksum(frame), _kept(found)) for frame, found in detect(film, detector)]


def detect_shared(
    frames: Iterable[Frame], detector: Detector, film: CutFilm, helpers: Helpers
) -> Iterator[tuple[Frame, Detections]]:
    """A stage that finds the people of each frame, or takes what others have found in its segment.

    Args:
        frames: The film's frames.
        detector: For segments that were not looked at in advance.
        film: How it is cut.
        helpers: The others. Whatever is not, or not exactly, what they looked at is looked at here.
    """
    begins = [segment.begin for segment in film.segments]
    asked = 0
    for number, part in groupby(frames, lambda frame: max(0, bisect_right(begins, frame.pts + film.shift) - 1)):
        asked = max(asked, number + 1)
        while asked < len(begins) and helpers.ask(asked):
            asked += 1
        seen = helpers.take(number)
        if seen is None:
            yield from detect(part, detector)
        else:
            yield from _join(part, seen, film.shift, detector)


def _join(
    frames: Iterable[Frame], seen: Sequence[Seen], shift: int, detector: Detector
) -> Iterator[tuple[Frame, Detections]]:
    by_pts = {each.pts: each for each in seen}
    for frame in frames:
        known = by_pts.get(frame.pts + shift)
        if known is not None and known.checksum == _checksum(frame):
            yield frame, known.found
        else:
            yield from detect([frame], detector)


def _checksum(frame: Frame) -> int:
    """CRC-32 of a frame's picture."""
    return zlib.crc32(frame.image.data)


def _kept(found: Detections) -> Detections:
    """Detections that can be sent: on the CPU, and without the rest of the batch that they are views of."""
    embeddings, segmentations = found.embeddings, found.segmentations
    return replace(
        found,
        embeddings=None if embeddings is None else embeddings.cpu().clone(),
        segmentations=None if segmentations is None else segmentations.cpu().clone(),
    )
