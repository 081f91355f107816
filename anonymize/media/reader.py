"""Films in: decoding, turning upright, and noticing what is damaged."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.video.reformatter
import numpy as np

from anonymize.core.errors import CorruptFrameError, MediaError
from anonymize.core.files import check_input
from anonymize.core.formats import cut_of, is_image
from anonymize.core.types import Frame, UInt8Array
from anonymize.media.expected import ExpectedFrames
from anonymize.media.film import FILM_SUFFIXES, FULL, LIMITED, ColourTags, FilmInfo, fraction
from anonymize.media.integrity import is_cut_short
from anonymize.media.orientation import Orientation
from anonymize.media.sequence import SequenceReader

PLAYLISTS = {"concat", "dash", "hls", "hls,applehttp", "imf"}
"""Formats that name other files, which were not asked for."""
SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
"""swscale's number for a matrix of H.273."""


def is_film(path: Path | str) -> bool:
    """Whether a path looks like a film: by its suffix, unless the file turns out to be a picture."""
    return Path(path).suffix.lower() in FILM_SUFFIXES and not is_image(path)


def open_film(
    path: Path | str,
    *,
    start: float | Fraction | None = None,
    end: float | Fraction | None = None,
    tolerate_corrupt: bool = False,
    sequence: bool = False,
    fps: float | None = None,
) -> FilmReader | SequenceReader:
    """Open a film and decode its first frame, so that what cannot be read is known at once.

    Args:
        path: The film; the folder of a sequence.
        start: Drop the frames before this many seconds after the film's first frame. The first frame that is kept
            gets the time 0, and sound and subtitles move with it.
        end: Stop before this many seconds after the film's first frame.
        tolerate_corrupt: Drop frames that cannot be decoded, and count them, instead of failing.
        sequence: The film is the pictures of a folder.
        fps: Pictures per second of a sequence; None for the default.

    Raises:
        MediaError: There is no such film, or it cannot be read; one line says why.
        OptionError: `start`, `end` or `fps` make no sense.
    """
    if sequence:
        return SequenceReader(path, start=start, end=end, tolerate_corrupt=tolerate_corrupt, fps=fps)
    return FilmReader(path, start=start, end=end, tolerate_corrupt=tolerate_corrupt)


class FilmReader:
    """Iterates over the frames of a film, in order of presentation; see `open_film`. Use it in a `with`, once.

    What is noticed as damage: a file shorter than its headers say, packets that the container calls corrupt, errors
    and concealment that the decoder reports, and frames that never come out. Codecs with arithmetic coding can turn
    a few wrong bits into a wrong picture that no decoder can tell from a right one.

    Attributes:
        info: What is known of the film.
        corrupt_frames: Frames that could not be decoded and were dropped so far.
        warnings: What the user should know, one line each; complete after the last frame.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        start: float | Fraction | None = None,
        end: float | Fraction | None = None,
        tolerate_corrupt: bool = False,
    ) -> None:
        self.path = Path(path)
        self.corrupt_frames = 0
        self.warnings: list[str] = []
        self._tolerant = tolerate_corrupt
        self._start, self._end = cut_of(start, end)
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._container = self._open()
        try:
            self._stream = self._pick_stream()
            self._time_base = fraction(self._stream.time_base)
            self._origin = (self._stream.start_time or 0) * self._time_base
            self._frames = self._cut()
            first = next(self._frames, None)
            if first is None:
                raise MediaError(
                    f"{self.path} has no frame that can be decoded"
                    if self._start is None
                    else f"{self.path} ends before --start {start:g}"
                )
            self._first = first
            self.info = self._describe(first)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> FilmReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def origin(self) -> Fraction:
        """The time in the file, in seconds, from which `start` and `end` count."""
        return self._origin

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """Decode one frame after the other.

        Raises:
            CorruptFrameError: A frame cannot be decoded, and that is not tolerated.
            MediaError: The file cannot be read on.
        """
        shift = round(self.info.shift / self._time_base)
        index, picture = 0, self._first
        while picture is not None:
            yield Frame(
                self._upright_rgb(picture),
                index=index,
                pts=_pts(picture) - shift,
                time_base=self._time_base,
                source=picture,
            )
            index += 1
            picture = next(self._frames, None)  # type: ignore[assignment]

    def _open(self) -> Any:
        path = self.path
        try:
            if path.is_dir():
                raise MediaError(f"cannot read {path}: it is a folder, which is a film with --sequence only")
            check_input(path)
            if is_cut_short(path):
                if not self._tolerant:
                    raise MediaError(f"cannot read {path}: it is cut short, its end is missing")
                if not self.warnings:  # A start may need a second look at the file.
                    self.warnings.append(f"{path} is cut short, its end is missing")
            # An absolute path cannot be taken for a URL; a playlist in disguise must not reach the network.
            container = av.open(str(path.absolute()), "r", container_options={"protocol_whitelist": "file"})
        except MediaError:
            raise
        except av.error.FFmpegError as error:
            if isinstance(error, av.error.InvalidDataError | av.error.EOFError):
                raise MediaError(f"cannot read {path}: it is not a film, or it is damaged") from error
            raise MediaError(f"cannot read {path}: {error.strerror}") from error
        except OSError as error:
            raise MediaError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise MediaError(f"cannot read {path}: it is not a film, or it is damaged") from error
        kind = container.format.name
        if kind in PLAYLISTS or kind == "image2" or kind.endswith("_pipe"):
            container.close()
            raise MediaError(
                f"cannot read {path}: it is a {'playlist' if kind in PLAYLISTS else 'picture'}, not a film"
            )
        return container

    def _pick_stream(self) -> Any:
        """The film's main picture. A cover picture is no film."""
        streams = [s for s in self._container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            raise MediaError(f"{self.path} has no moving picture, only {self._what_is_there()}")
        best = self._container.streams.best("video")
        stream = best if best in streams else streams[0]
        if stream.codec_context is None:
            raise MediaError(f"cannot read {self.path}: there is no decoder for its pictures")
        stream.codec_context.thread_type = "AUTO"
        stream.codec_context.options = {"err_detect": "crccheck+bitstream+buffer"}
        return stream

    def _what_is_there(self) -> str:
        kinds = {"audio": "sound", "subtitle": "subtitles", "video": "a cover picture"}
        return " and ".join(sorted({kinds.get(s.type, "data") for s in self._container.streams})) or "nothing"

    def _describe(self, first: av.VideoFrame) -> FilmInfo:
        context = self._stream.codec_context
        if first.interlaced_frame:
            self.warnings.append(f"{self.path} is interlaced; it is stored as if it were not")
        if _side_data(first, "MASTERING_DISPLAY_METADATA") or _side_data(first, "CONTENT_LIGHT_LEVEL"):
            self.warnings.append("the brightness of the screen that the HDR film was made on is not kept")
        matrix = _side_data(first, "DISPLAYMATRIX")
        orientation = Orientation.from_display_matrix(matrix) if matrix else Orientation()
        rate = self._rate()
        begins = _pts(first) * self._time_base
        return FilmInfo(
            path=self.path,
            track=self._stream.index,
            size_hw=orientation.size((first.height, first.width)),
            orientation=orientation,
            time_base=self._time_base,
            rate=rate,
            frames=self._expected_frames(rate, begins),
            pixel_format=first.format.name,
            colour=ColourTags(
                range=_range(first) or int(context.color_range),
                primaries=int(first.color_primaries),
                transfer=int(first.color_trc),
                matrix=int(first.colorspace),
            ),
            sample_aspect_ratio=fraction(self._stream.sample_aspect_ratio) or None,
            begins=begins,
            shift=Fraction(0) if self._start is None else begins,
            ends=None if self._end is None else self._origin + self._end,
        )

    def _rate(self) -> Fraction:
        """The even rate that fits the film; the mean where that is another, because then the rate varies."""
        mean, even = fraction(self._stream.average_rate), fraction(self._stream.guessed_rate)
        if mean and even:
            return even if abs(even / mean - 1) < Fraction(1, 10) else mean
        return mean or even or Fraction(25)

    def _expected_frames(self, rate: Fraction, begins: Fraction) -> int | None:
        if self._start is None and self._end is None and self._stream.frames:
            return int(self._stream.frames)
        if self._stream.duration:
            length = Fraction(self._stream.duration * self._time_base)
        elif self._container.duration:
            length = Fraction(self._container.duration, 1_000_000)
        else:
            return None
        if self._end is not None:
            length = min(length, self._end)
        return max(1, round((length - (begins - self._origin)) * rate))

    def _cut(self) -> Iterator[av.VideoFrame]:
        """The frames from start to end, with timestamps that grow."""
        start = self._origin + (self._start or 0)
        end = None if self._end is None else self._origin + self._end
        last: int | None = None
        for frame in self._from(start) if self._start else self._decode():
            if last is not None and _pts(frame) <= last:
                if not any("timestamps" in w for w in self.warnings):
                    self.warnings.append(f"{self.path} has timestamps that do not grow; they were moved apart")
                frame.pts = last + 1
            last = _pts(frame)
            if end is not None and last * self._time_base >= end:
                return
            if self._start is None or last * self._time_base >= start:
                yield frame

    def _from(self, start: Fraction) -> Iterator[av.VideoFrame]:
        """The frames from `start` on, decoded from the key frame before it.

        All frames, where the file's index leads astray, or where the film has no true key frame there.
        """
        frames = self._sought(start)
        try:
            frame = next(frames, None)
            found = frame is not None and _pts(frame) * self._time_base <= start
            while found and frame is not None and _pts(frame) * self._time_base < start:
                frame = next(frames, None)
        except CorruptFrameError:
            found = False
        if not found or self.corrupt_frames:
            frames.close()
            self._container.close()
            self._container = self._open()
            self._stream = self._pick_stream()
            self.corrupt_frames = 0
            frames, frame = self._decode(), None
        if frame is not None:
            yield frame
        yield from frames

    def _sought(self, start: Fraction) -> Generator[av.VideoFrame, None, None]:
        try:
            self._container.seek(math.floor(start / self._time_base), stream=self._stream)
        except av.error.FFmpegError:
            return
        yield from self._decode(sought=True)

    def _decode(self, sought: bool = False) -> Generator[av.VideoFrame, None, None]:
        """The frames as the decoder gives them, without the damaged ones.

        Args:
            sought: The first pictures may lean on others that lie before them; what these give is no damage.
        """
        expected = ExpectedFrames(self._container.format.name, self._stream.codec_context.name, sought=sought)
        for packet in self._packets():
            time = None if packet is None else expected.time_of(packet)
            if packet is not None and time is not None:
                expected.begin(packet, time)
                if packet.is_corrupt:
                    self._damaged(time)
                    continue
                expected.promise(packet, time)
            try:
                pictures = self._stream.decode(packet)
            except av.error.FFmpegError as error:
                if expected.clean_from is not None and not (expected.one_to_one and self._tolerant):
                    self._damaged(expected.next_due(), error)
                continue
            yield from self._undamaged(pictures, expected)
        for lost in expected.missing():
            self._damaged(lost)

    def _undamaged(self, pictures: list[av.VideoFrame], expected: ExpectedFrames) -> Iterator[av.VideoFrame]:
        """The pictures of a packet without the damaged ones; what should have come before them counts as damaged."""
        for picture in pictures:
            for lost in expected.arrive(picture):
                self._damaged(lost)
            if expected.leans_on_missing(picture):
                continue
            if picture.is_corrupt:
                self._damaged(_pts(picture))
            else:
                yield picture

    def _packets(self) -> Iterator[av.Packet[Any] | None]:
        """The picture's packets, then None, which asks the decoder for what it still holds.

        AVI marks a repeated picture by an empty packet, which libav would take for the end.
        """
        try:
            yield from (packet for packet in self._container.demux(self._stream) if packet.size)
        except av.error.FFmpegError as error:
            if not self._tolerant:
                raise MediaError(f"cannot read {self.path} to its end: it is cut short or damaged") from error
            self.warnings.append(f"{self.path} cannot be read to its end")
        yield None

    def _damaged(self, pts: int | None, error: Exception | None = None) -> None:
        if not self._tolerant:
            when = "" if pts is None else f" at {float(pts * self._time_base - self._origin):.3f} s"
            raise CorruptFrameError(
                f"{self.path}: a frame{when} cannot be decoded; --tolerate-corrupt drops such frames"
            ) from error
        self.corrupt_frames += 1

    def _upright_rgb(self, picture: av.VideoFrame) -> UInt8Array:
        full = LIMITED + (self.info.colour.full_range or picture.format.name.startswith("yuvj"))
        rgb = self._reformatter.reformat(
            picture,
            format="rgb24",
            src_colorspace=SWS_MATRIX[self.info.matrix],
            src_color_range=full,
            dst_color_range=FULL,
        )
        return np.ascontiguousarray(self.info.orientation.upright(rgb.to_ndarray()))


def _pts(picture: av.VideoFrame) -> int:
    return picture.pts or 0


def _range(picture: av.VideoFrame) -> int:
    return FULL if picture.format.name.startswith("yuvj") else int(picture.color_range)


def _side_data(picture: av.VideoFrame, name: str) -> bytes | None:
    try:
        side_data: Any = picture.side_data
        return bytes(side_data[name])
    except KeyError:
        return None
