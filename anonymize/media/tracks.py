"""The tracks beside the picture: sound and subtitles copied packet by packet, or sound from samples."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np

from anonymize.core.errors import MediaError, OptionError
from anonymize.core.types import FloatArray
from anonymize.media.disguise import DisguisedTrack
from anonymize.media.film import FilmInfo, fraction
from anonymize.media.metadata import copy_tags, data_name, describe, other_pictures
from anonymize.media.voice import VoiceChange

SUBTITLE_REACH = 60
"""Seconds before `--start` from which on a subtitle that is still shown is found."""
INTERLEAVING = 30
"""Seconds past `--end` where packets of the film before it are no longer looked for."""


class Tracks(Protocol):
    """What accompanies the picture. `mux_until` keeps pace with it, so nothing piles up."""

    warnings: list[str]
    stripped: list[str]

    def mux_until(self, time: Fraction | None) -> None:
        """Write all packets up to a time of the output in seconds; None for all that are left."""

    def close(self) -> None:
        """Release what is held open."""


QUICKTIME_LANGUAGES = {
    "ces": "cze", "cym": "wel", "deu": "ger", "ell": "gre", "eus": "baq", "fas": "per", "fra": "fre", "hye": "arm",
    "isl": "ice", "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur", "nld": "dut", "ron": "rum", "slk": "slo",
    "sqi": "alb", "zho": "chi",
}  # fmt: skip
"""Languages for which libav's QuickTime muxer knows the older name of ISO 639-2 only."""


class CopiedTracks:
    """Sound and subtitles of a film, as the same packets; the sound with other voices where that is asked for.

    Reads the file a second time, in the thread of the writer: what the picture's look-ahead holds back never queues
    here. Where the film is cut, whole packets of sound that begin within it are kept, at their exact place (so the
    sound begins up to one packet, some 20 ms, after the first picture); subtitles are clipped.

    Tracks that the container cannot hold: sound is an error, because a film without its sound is not what was asked
    for; subtitles and data are left out with a warning, and so is what libav cannot name.

    Attributes:
        warnings: Tracks that were left out, one line each.
        stripped: Metadata that was left out, one line each.
    """

    def __init__(self, info: FilmInfo, output: Any, *, audio: str, keep_metadata: bool) -> None:
        if info.path is None:
            raise ValueError("a film that is drawn has no tracks to copy")
        self.warnings: list[str] = []
        self.stripped: list[str] = []
        self._info = info
        self._output = output
        self._input = av.open(str(info.path.absolute()), "r", container_options={"protocol_whitelist": "file"})
        try:
            picture = self._input.streams[info.track]
            kinds = {"subtitle": True, "audio": audio != "drop", "data": keep_metadata, "attachment": keep_metadata}
            self._voices = VoiceChange() if audio == "disguise" else None
            self._copies = {
                stream.index: copy
                for stream in self._input.streams
                if kinds.get(stream.type) and (copy := self._add(stream, keep_metadata)) is not None
            }
            self.warnings += other_pictures(self._input, picture)
            if keep_metadata:
                copy_tags(self._input, output)
                copy_tags(picture, output.streams.video[0])
                output.set_chapters(self._chapters())
            else:
                self.stripped += describe(self._input, picture)
            self._unfinished = [copy for copy in self._copies.values() if isinstance(copy, DisguisedTrack)]
            for stream in self._input.streams:
                if stream.index not in self._copies:
                    stream.discard = av.stream.Discard.all
            self._packets = self._read()
            self._next = next(self._packets, None)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._input.close()

    def mux_until(self, time: Fraction | None) -> None:
        try:
            while self._next is not None:
                source, packet = self._next
                stamp = packet.dts if packet.dts is not None else packet.pts
                if time is not None and stamp * fraction(packet.time_base) > time:
                    return
                copy = self._copies[source]
                if isinstance(copy, DisguisedTrack):
                    copy.mux(packet)
                else:
                    copy.place(packet)
                    self._output.mux_one(packet)
                self._next = next(self._packets, None)
            while self._unfinished:
                self._unfinished.pop().flush()
        except av.error.InvalidDataError as error:
            raise MediaError(f"cannot read {self._info.path} to its end: it is cut short or damaged") from error

    def _add(self, stream: Any, keep_metadata: bool) -> _Copy | DisguisedTrack | None:
        container = self._output.format.name
        name = stream.codec_context.name if stream.codec_context is not None else data_name(stream)
        if stream.type in {"audio", "subtitle"} and stream.codec_context is None:
            self.warnings.append(f"{stream.type} track {stream.index} is of an unknown kind and is left out")
            return None
        if stream.type == "data" and "timecode" in stream.metadata:
            return None  # The muxer writes it anew from the picture's tag.
        disguised = None
        if stream.type == "audio" and self._voices is not None:
            disguised = DisguisedTrack(stream, self._output, self._info, self._voices)
        elif not _holds(container, stream):
            suffix = f".{container.split(',')[0]}".replace("matroska", "mkv")
            if stream.type == "audio":
                raise MediaError(f"{suffix} cannot hold the sound ({name}); use .mkv, or --audio drop")
            kind = "subtitles" if stream.type == "subtitle" else stream.type
            self.warnings.append(f"{suffix} cannot hold the {kind} of track {stream.index} ({name}); they are left out")
            return None
        target = self._output.add_stream_from_template(stream) if disguised is None else disguised.target
        target.disposition = stream.disposition
        target.metadata.clear()
        if stream.language:
            names = QUICKTIME_LANGUAGES if container == "mov" else {}
            target.metadata["language"] = names.get(stream.language, stream.language)
        if keep_metadata:
            copy_tags(stream, target)
        return disguised or _Copy(stream, target)

    def _read(self) -> Iterator[tuple[int, Any]]:
        """Packets within the cut, at their time in the output, each with the number of its track in the input."""
        info = self._info
        if not self._copies:
            return
        if info.shift:
            with suppress(av.error.FFmpegError):
                self._input.seek(int(max(Fraction(0), info.begins - SUBTITLE_REACH) * 1_000_000))
        for packet in self._input.demux([self._input.streams[index] for index in self._copies]):
            index, base = packet.stream.index, fraction(packet.time_base)
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is None:
                continue
            begin = stamp * base
            if info.ends is not None and begin > info.ends + INTERLEAVING:
                return
            if not self._is_wanted(packet, begin):
                continue
            offset = round(info.shift / base)
            packet.pts = None if packet.pts is None else packet.pts - offset
            packet.dts = None if packet.dts is None else packet.dts - offset
            yield index, packet

    def _is_wanted(self, packet: Any, begin: Fraction) -> bool:
        """Whether a packet lies within the cut; a subtitle is shortened to it."""
        info = self._info
        if info.ends is not None and begin >= info.ends:
            return False
        if isinstance(self._copies[packet.stream.index], DisguisedTrack):
            return True  # It is cut to the sample.
        if packet.stream.type != "subtitle":
            return not info.shift or begin >= info.begins
        if packet.stream.name == "mov_text" and packet.size == 2:
            return False  # The empty text between two others, which the muxer writes by itself.
        return self._clip(packet)

    def _chapters(self) -> list[Any]:
        """The chapters within the cut, at their time in the output."""
        kept: list[Any] = []
        for chapter in self._input.chapters():
            base = fraction(chapter["time_base"])
            shift, limit = round(self._info.shift / base), self._info.ends
            start, end = max(0, chapter["start"] - shift), chapter["end"] - shift
            end = end if limit is None else min(end, round(limit / base) - shift)
            if start < end:
                kept.append({**chapter, "start": start, "end": end})
        return kept

    def _clip(self, packet: Any) -> bool:
        """Shorten a subtitle to the part of it within the cut; False where there is none."""
        info, base = self._info, fraction(packet.time_base)
        if packet.pts is None or not packet.duration:
            return not info.shift or packet.pts is None or packet.pts * base >= info.begins
        begin, end = packet.pts, packet.pts + packet.duration
        if info.shift:
            begin = max(begin, round(info.begins / base))
        if info.ends is not None:
            end = min(end, round(info.ends / base))
        if begin >= end:
            return False
        if (begin, end) != (packet.pts, packet.pts + packet.duration):
            packet.pts = packet.dts = begin
            packet.duration = end - begin
        return True


class _Copy:
    """One track on its way from one container to the other."""

    def __init__(self, source: Any, target: Any) -> None:
        self._target = target
        context = source.codec_context
        self._samples = Fraction(1, context.sample_rate) if source.type == "audio" and context.sample_rate else None
        self._frame_size = int(context.frame_size or 0) if source.type == "audio" else 0
        self._due: int | None = None
        self._last: Fraction | None = None

    def place(self, packet: Any) -> None:
        """Give a packet its track and its time there."""
        finest = fraction(self._target.time_base)
        if self._samples and self._frame_size and finest < fraction(packet.time_base) and packet.pts is not None:
            self._refine(packet)
        base = fraction(packet.time_base)
        packet.stream = self._target
        if packet.dts is not None:
            # Some films have times that go back or stand still, which no muxer takes.
            if self._last is not None and packet.dts * base <= self._last:
                packet.dts = int((self._last + max(base, finest)) / base)
                packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
            self._last = packet.dts * base

    def _refine(self, packet: Any) -> None:
        """Count samples where the source rounded its times, as Matroska does to milliseconds."""
        assert self._samples is not None
        slack = fraction(packet.time_base)
        time = packet.pts * slack
        pts = round(time / self._samples)
        if self._due is not None and abs(self._due * self._samples - time) <= slack:
            pts = self._due
        self._due = pts + self._frame_size
        packet.pts = packet.dts = pts
        packet.duration = self._frame_size
        packet.time_base = self._samples


class EncodedSound:
    """Sound from samples, encoded while the film is written.

    Args:
        output: The container.
        samples: [N] or [N, channels] float in [-1, 1]; one or two channels.
        sample_rate: Samples per second.
    """

    def __init__(self, output: Any, samples: FloatArray, sample_rate: int) -> None:
        self.warnings: list[str] = []
        self.stripped: list[str] = []
        samples = samples[:, None] if samples.ndim == 1 else samples
        if samples.ndim != 2 or samples.shape[1] not in {1, 2}:
            raise OptionError(f"sound must be [N] or [N, 1 or 2], not {samples.shape}")
        self._samples = np.asarray(samples, np.float32)
        self._layout = "mono" if samples.shape[1] == 1 else "stereo"
        self._rate = sample_rate
        self._output = output
        codec = {"webm": "libopus", "avi": "pcm_s16le"}.get(output.format.name, "aac")
        self._stream = output.add_stream(codec, rate=48_000 if codec == "libopus" else sample_rate)
        self._stream.codec_context.layout = self._layout
        if codec != "pcm_s16le":
            self._stream.codec_context.bit_rate = 64_000 * samples.shape[1]
        self._at: int | None = 0

    def close(self) -> None:
        """Nothing is held open."""

    def mux_until(self, time: Fraction | None) -> None:
        while self._at is not None and (time is None or Fraction(self._at, self._rate) <= time):
            chunk = self._samples[self._at : self._at + 1024]
            if len(chunk) == 0:
                self._output.mux(self._stream.encode(None))
                self._at = None
                return
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk.T), "fltp", self._layout)
            frame.sample_rate = self._rate
            frame.pts = self._at
            frame.time_base = Fraction(1, self._rate)
            self._output.mux(self._stream.encode(frame))
            self._at += len(chunk)


class NoTracks:
    """A film of pictures only."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.stripped: list[str] = []

    def close(self) -> None:
        """Nothing is held open."""

    def mux_until(self, time: Fraction | None) -> None:
        """There is nothing to write."""


def _holds(container: str, stream: Any) -> bool:
    """Whether a container takes a track. The surest way to know is to try, in memory."""
    with suppress(av.error.FFmpegError, ValueError), av.open(io.BytesIO(), "w", format=container) as trial:
        trial.add_stream_from_template(stream)
        trial.start_encoding()
        return True
    return False
