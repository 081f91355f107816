"""Films out: edited pixels into the decoder's own pictures, encoded, with all that accompanies them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.video.reformatter
import numpy as np
import numpy.typing as npt

from anonymize.core.errors import MediaError, OptionError
from anonymize.core.files import PartialFile
from anonymize.core.formats import codec_for, container_of
from anonymize.core.types import FloatArray, Frame, UInt8Array
from anonymize.media.colour import paint
from anonymize.media.encoders import Encoder, pick_encoder
from anonymize.media.film import FULL, LIMITED, UNSPECIFIED, ColourTags, FilmInfo, check_size, fraction
from anonymize.media.integrity import is_cut_short
from anonymize.media.reader import SWS_MATRIX, FilmReader
from anonymize.media.sequence import SequenceReader, SequenceWriter
from anonymize.media.tracks import CopiedTracks, EncodedSound, NoTracks, Tracks


class FilmWriter:
    """Writes a film that differs from another one only where frames say so. Use it in a `with`.

    A frame goes to the encoder as the decoder gave it, in its own samples; only pixels where `frame.edited` is True are
    converted from `frame.image`. A film without edits is therefore encoded exactly as by a plain transcode.

    The file appears under its name when the `with` ends well; on any error, and on an interrupt, nothing is left.

    What containers cannot hold is said before the first frame. Matroska and WebM keep time in milliseconds, so finer
    timestamps are rounded to the nearest one. AVI has neither varying frame rates nor rotation: both are errors.

    Attributes:
        warnings: What differs from the input against its wish, one line each.
        stripped: Metadata that was left out because it may identify a person, one line each.
    """

    def __init__(
        self,
        path: Path | str,
        film: FilmReader | FilmInfo,
        *,
        codec: str = "libx264",
        crf: int = 18,
        preset: str | None = None,
        audio: str = "copy",
        keep_metadata: bool = False,
        overwrite: bool = False,
        sound: tuple[FloatArray, int] | None = None,
    ) -> None:
        """Set up; nothing is written before the `with`.

        Args:
            path: The output; its suffix chooses the container: mp4, m4v, mov, mkv, webm or avi.
            film: Where the frames come from.
            codec: libx264, libx265, libsvtav1, libvpx-vp9 or h264_nvenc. WebM cannot hold the default and gets
                libvpx-vp9 instead.
            crf: Constant quality, lower is better.
            preset: Speed preset of the encoder.
            audio: "copy" or "drop"; "disguise" encodes it anew with other voices, see `voice.py`.
            keep_metadata: Keep what may identify: tags, data tracks, attachments, chapters. Cover pictures and further
                picture tracks are never kept, because they show people as they are.
            overwrite: Replace an existing file.
            sound: Samples [N] or [N, channels] float in [-1, 1] and their rate, for a film without a file.

        Raises:
            OptionError: An option has a value that is not supported.
        """
        self.path = Path(path)
        self.info = film.info if isinstance(film, FilmReader) else film
        self.warnings: list[str] = []
        self.stripped: list[str] = []
        self._container_name = container_of(self.path)
        if audio not in {"copy", "drop", "disguise"}:
            raise OptionError(f"audio must be copy, drop or disguise, not {audio}")
        used = codec_for(self._container_name, codec)
        if used != codec:
            self.warnings.append(f"WebM cannot hold H.264; encoded with {used}")
        self._encoder = pick_encoder(used, crf, preset)
        self._options = self._encoder.options(crf, preset)
        self._audio, self._sound = audio, sound
        self._keep_metadata, self._overwrite = keep_metadata, overwrite
        self._frames = 0
        self._durations: dict[int, int] = {}  # By time, of the frames that the encoder holds.

    def __enter__(self) -> FilmWriter:
        self._file = PartialFile(self.path, source=self.info.path, overwrite=self._overwrite)
        self._tracks: Tracks = NoTracks()
        self._container: Any = None
        try:
            self._open()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard()
            return
        try:
            if self._frames == 0:
                raise MediaError(f"cannot write {self.path}: there are no frames")
            self._encode(None)
            with self._errors_of_libav():
                self._tracks.mux_until(None)
                self._container.close()
            self._tracks.close()
            if is_cut_short(self._file.partial):
                raise MediaError(f"cannot write {self.path}: the file came out too short")
            self._file.commit()
        except BaseException:
            self._discard()
            raise

    def write(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            MediaError: It cannot be written: a full disk, another size than the film's, a time that AVI cannot hold.
        """
        check_size(frame, self.info.size_hw)
        picture = self._picture(frame)
        time = frame.pts * frame.time_base
        picture.pts = round(time / self._time_base)
        picture.time_base = self._time_base
        if self._container_name == "avi" and abs(picture.pts * self._time_base - time) > frame.time_base:
            raise MediaError("AVI cannot hold a varying frame rate; use .mp4, .mov or .mkv")
        duration = frame.source.duration if frame.source is not None else 0
        if duration:
            self._durations[picture.pts] = round(duration * frame.time_base / self._time_base)
        picture.pict_type = 0  # The source's choice of key frames is not the encoder's.
        self._encode(picture)
        self._frames += 1

    def _open(self) -> None:
        """Open encoder and container, so that what they refuse is known before the first frame."""
        info, name = self.info, str(self._container_name)
        options = {} if name in {"mp4", "mov"} else {"avoid_negative_ts": "disabled"}  # MP4 has edit lists for that.
        if self._keep_metadata and name in {"mp4", "mov"}:
            options["movflags"] = "use_metadata_tags"
        # Without the bitexact flag Matroska draws a random number, and the same input gives another output.
        options["fflags"] = "+bitexact"
        with self._errors_of_libav():
            self._container = av.open(str(self._file.partial.absolute()), "w", format=name, container_options=options)
        self._time_base = 1 / info.rate if name == "avi" else info.time_base
        self._stream = self._add_picture_track(self._encoder)
        if self._sound is not None:
            self._tracks = EncodedSound(self._container, *self._sound)
        elif info.path is not None:
            self._tracks = CopiedTracks(info, self._container, audio=self._audio, keep_metadata=self._keep_metadata)
        self.warnings += self._tracks.warnings
        self.stripped += self._tracks.stripped
        try:
            with self._errors_of_libav():
                self._container.start_encoding()
        except MediaError as error:
            if isinstance(error.__cause__, av.error.ArgumentError):
                raise _not_held(self.path, self._encoder) from error
            raise

    def _add_picture_track(self, encoder: Encoder) -> Any:
        info, avi = self.info, self._container_name == "avi"
        if avi and info.orientation != type(info.orientation)():
            raise MediaError("AVI cannot hold the film's rotation; use .mp4, .mov or .mkv")
        size_hw = info.stored_size_hw
        pixel_format, warnings = encoder.pixel_format(info.pixel_format, size_hw)
        self.warnings += warnings
        try:
            stream: Any = self._container.add_stream(encoder.name, rate=info.rate.limit_denominator(1 << 20))
        except ValueError as error:
            raise _not_held(self.path, encoder) from error
        stream.disposition = av.stream.Disposition.default
        context = stream.codec_context
        context.options = dict(self._options)
        context.height, context.width = size_hw
        context.pix_fmt = pixel_format
        context.time_base = self._time_base
        context.thread_type = "AUTO"  # PyAV's own choice would cut each H.264 picture into slices.
        if avi:
            context.max_b_frames = 0  # AVI has no presentation times.
        if info.sample_aspect_ratio:
            context.sample_aspect_ratio = info.sample_aspect_ratio
        colour = _stored_colour(info)
        context.color_range, context.color_primaries = colour.range, colour.primaries
        context.color_trc, context.colorspace = colour.transfer, colour.matrix
        if encoder.name == "libx265" and self._container_name in {"mp4", "mov"}:
            context.codec_tag = "hvc1"  # Apple's players know no other.
        if not avi and info.orientation != type(info.orientation)():
            stream.set_display_matrix(info.orientation.display_matrix)
        try:
            context.open()
        except av.error.FFmpegError as error:
            reason = " (it needs an NVIDIA GPU)" if "nvenc" in encoder.name else ""
            raise MediaError(f"{encoder.name} cannot encode {size_hw[1]}x{size_hw[0]} here{reason}") from error
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._full_range = colour.full_range
        self._depth = av.VideoFormat(pixel_format).components[0].bits
        self._pixel_format = pixel_format
        return stream

    def _picture(self, frame: Frame) -> av.VideoFrame:
        """The picture to encode: the source's samples, and the edited pixels from the image."""
        image = self.info.orientation.stored(frame.image)
        if frame.source is None:
            picture = av.VideoFrame(image.shape[1], image.shape[0], self._pixel_format)
            self._paint(picture, image, None)
            return picture
        picture = self._in_stored_format(frame.source)
        if frame.edited is not None and frame.edited.any():
            picture.make_writable()  # The decoder may still predict from its own copy.
            self._paint(picture, image, self.info.orientation.stored(frame.edited))
        return picture

    def _in_stored_format(self, source: av.VideoFrame) -> av.VideoFrame:
        """The same samples in the encoder's pixel format; range and matrix stay as they are."""
        if source.format.name == self._pixel_format:
            return source
        colour_range = FULL if self._full_range else LIMITED
        rgb = av.VideoFormat(source.format.name).is_rgb
        return self._reformatter.reformat(
            source,
            format=self._pixel_format,
            src_colorspace=SWS_MATRIX[self.info.matrix],
            dst_colorspace=SWS_MATRIX[self.info.matrix],
            src_color_range=FULL if rgb else colour_range,
            dst_color_range=colour_range,
        )

    def _paint(self, picture: av.VideoFrame, image: UInt8Array, mask: npt.NDArray[np.bool_] | None) -> None:
        paint(
            [_samples(plane, self._depth) for plane in picture.planes],
            image,
            mask,
            matrix=self.info.matrix,
            full_range=self._full_range,
            depth=self._depth,
        )

    def _encode(self, picture: av.VideoFrame | None) -> None:
        with self._errors_of_libav():
            for packet in self._stream.encode(picture):
                # Without it the last frame would last as long as the one before it. Not told to the encoder, because
                # libx264 encodes otherwise then.
                packet.duration = self._durations.pop(packet.pts, packet.duration)
                if picture is None and self._frames <= 2:
                    packet.dts = packet.pts  # libx265 gives a random number to films that end before its delay.
                self._tracks.mux_until(packet.dts * fraction(packet.time_base))
                self._container.mux_one(packet)

    def _errors_of_libav(self) -> _Wrapped:
        return _Wrapped(self.path)

    def _discard(self) -> None:
        """Let go of everything, whatever state it is in, and leave no file."""
        for part in (self._container, self._tracks):
            try:
                if part is not None:
                    part.close()
            except (av.error.FFmpegError, OSError):  # The disk may be full; the file goes anyway.
                pass
        self._file.discard()


class _Wrapped:
    """Turns libav's errors while writing into ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, av.error.FFmpegError):
            raise MediaError(f"cannot write {self._path}: {error.strerror}") from error


def open_output(
    path: Path | str,
    film: FilmReader | SequenceReader,
    *,
    codec: str = "libx264",
    crf: int = 18,
    preset: str | None = None,
    audio: str = "copy",
    keep_metadata: bool = False,
    overwrite: bool = False,
) -> FilmWriter | SequenceWriter:
    """The writer of a film's result: a film of a film, pictures of a sequence, which have no encoder and no sound.

    The arguments are those of `FilmWriter`.

    Raises:
        OptionError: An option has a value that is not supported.
    """
    if isinstance(film, SequenceReader):
        return SequenceWriter(path, film, keep_metadata=keep_metadata, overwrite=overwrite)
    return FilmWriter(
        path,
        film,
        codec=codec,
        crf=crf,
        preset=preset,
        audio=audio,
        keep_metadata=keep_metadata,
        overwrite=overwrite,
    )


def write_film(
    path: Path | str,
    frames: Iterable[UInt8Array],
    fps: Fraction,
    *,
    audio: FloatArray | None = None,
    sample_rate: int = 48_000,
    codec: str = "libx264",
    crf: int = 18,
    preset: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a film from pictures, as BT.709 in limited range.

    Args:
        path: The output; its suffix chooses the container.
        frames: [H, W, 3] uint8 RGB, all of one size.
        fps: Frames per second.
        audio: [N] or [N, channels] float in [-1, 1]; None for a silent film.
        sample_rate: Samples of `audio` per second.
        codec: As for `FilmWriter`.
        crf: As for `FilmWriter`.
        preset: As for `FilmWriter`.
        overwrite: Replace an existing file.

    Raises:
        MediaError: There are no frames, or the file cannot be written.
    """
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise MediaError(f"cannot write {path}: there are no frames")
    fps = Fraction(fps)
    tags = ColourTags(LIMITED, primaries=1, transfer=1, matrix=1)
    info = FilmInfo(size_hw=first.shape[:2], time_base=1 / fps, rate=fps, colour=tags)
    sound = None if audio is None else (audio, sample_rate)
    with FilmWriter(path, info, codec=codec, crf=crf, preset=preset, overwrite=overwrite, sound=sound) as writer:
        index = 0
        image: UInt8Array | None = first
        while image is not None:
            writer.write(Frame(image, index=index, pts=index, time_base=info.time_base))
            index, image = index + 1, next(pictures, None)


def _stored_colour(info: FilmInfo) -> ColourTags:
    """The film's tags; RGB becomes Y'CbCr in limited range, which must be told."""
    if av.VideoFormat(info.pixel_format).is_rgb:
        return ColourTags(LIMITED, info.colour.primaries, info.colour.transfer, info.matrix)
    return info.colour if info.colour.matrix else replace(info.colour, matrix=UNSPECIFIED)


def _not_held(path: Path, encoder: Encoder) -> MediaError:
    return MediaError(f"{path.suffix} cannot hold what {encoder.name} encodes; use .mkv, or another --codec")


def _samples(plane: Any, depth: int) -> npt.NDArray[Any]:
    """A plane's samples [H, W], writable, without the padding at the end of each line."""
    dtype = np.dtype(np.uint8 if depth == 8 else np.uint16)
    rows = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
    return rows[:, : plane.width]
