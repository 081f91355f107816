"""A track of sound with other voices: decoded, changed and encoded anew."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from anonymize.core.errors import MediaError
from anonymize.core.types import FloatArray
from anonymize.media.film import FilmInfo, fraction
from anonymize.media.voice import VoiceChange, VoiceChanger

CODECS = {"webm": "libopus", "avi": "pcm_s16le"}
"""What the sound is encoded with, by container."""
OTHER_CODEC = "aac"
OPUS_RATE = 48_000
AAC_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
BITS_A_SECOND = 96_000
"""Of each channel."""
SLACK_SECONDS = Fraction(1, 50)
"""Rounded times of the packets may be off by so much; a gap that is longer is filled with silence."""
CHUNK_SAMPLES = 1024


class DisguisedTrack:
    """One track of sound on its way from one container to the other, with other voices.

    It begins and ends with the film's cut to the sample, and what it says stays at its time: gaps are filled with
    silence, and what overlaps is dropped.

    Args:
        source: The track of the input.
        output: The container.
        info: The film, for its cut.
        change: By how much the voices change, the same for all tracks.

    Attributes:
        target: The track of the output.
    """

    def __init__(self, source: Any, output: Any, info: FilmInfo, change: VoiceChange) -> None:
        codec = CODECS.get(output.format.name, OTHER_CODEC)
        context = source.codec_context
        self._rate = _rate_for(codec, context.sample_rate)
        self._layout = context.layout.name
        self._channels = int(context.layout.nb_channels)
        self._path, self._change = info.path, change
        self._source, self._output = source, output
        try:
            self.target = output.add_stream(codec, rate=self._rate)
            self.target.codec_context.layout = self._layout
            if codec != "pcm_s16le":
                self.target.codec_context.bit_rate = BITS_A_SECOND * self._channels
            self.target.codec_context.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise MediaError(
                f"{codec} cannot hold the sound ({self._layout}, {self._rate} Hz), use --audio drop"
            ) from error
        self._resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self._rate)
        self._first = Fraction(0) if info.shift else None
        self._end = None if info.ends is None else info.ends - info.shift
        self._changer: VoiceChanger | None = None
        self._begin = 0  # In samples of the output, as are the next two.
        self._taken = self._given = 0

    def mux(self, packet: Any) -> None:
        """Change a packet, whose times are those of the output, and write what is ready; None at the end."""
        for at, samples in self._decoded(packet):
            self._take(at, samples)

    def flush(self) -> None:
        """Write what is left, once."""
        self.mux(None)
        if self._changer is not None:
            self._encode(self._changer.flush())
            self._output.mux(self.target.encode(None))

    def _decoded(self, packet: Any) -> Iterator[tuple[Fraction, FloatArray]]:
        """Samples [channels, N] with the time of the first one."""
        try:
            frames = self._source.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            raise MediaError(f"{self._path}: its sound cannot be decoded; --audio drop leaves it out") from error
        for frame in frames:
            for each in self._resampler.resample(frame):
                samples: Any = each.to_ndarray()
                yield (each.pts or 0) * fraction(each.time_base), samples.reshape(self._channels, -1)

    def _take(self, at: Fraction, samples: FloatArray) -> None:
        """Take samples at a time of the output."""
        begin = round(at * self._rate)
        if self._first is not None and begin < 0:
            samples, begin = samples[:, -begin:], 0
        if self._end is not None:
            samples = samples[:, : max(0, round(self._end * self._rate) - begin)]
        if samples.shape[1] == 0:
            return
        if self._changer is None:
            self._begin = begin
            self._changer = VoiceChanger(self._change, self._channels, self._rate, max(0.0, begin / self._rate))
        gap = begin - (self._begin + self._taken)
        if gap > SLACK_SECONDS * self._rate:
            while gap > 0:
                silence = np.zeros((self._channels, min(gap, self._rate)), np.float32)
                self._feed(silence)
                gap -= silence.shape[1]
        elif gap < -SLACK_SECONDS * self._rate:
            samples = samples[:, -gap:]
        self._feed(samples)

    def _feed(self, samples: FloatArray) -> None:
        assert self._changer is not None
        self._taken += samples.shape[1]
        self._encode(self._changer.feed(samples))

    def _encode(self, samples: FloatArray) -> None:
        for at in range(0, samples.shape[1], CHUNK_SAMPLES):
            chunk = np.ascontiguousarray(samples[:, at : at + CHUNK_SAMPLES], np.float32)
            frame = av.AudioFrame.from_ndarray(chunk, "fltp", self._layout)
            frame.sample_rate = self._rate
            frame.pts, frame.time_base = self._begin + self._given, Fraction(1, self._rate)
            self._given += chunk.shape[1]
            self._output.mux(self.target.encode(frame))


def _rate_for(codec: str, rate: int) -> int:
    """The rate to encode at: that of the source where the codec has it, else the next higher one."""
    if codec == "libopus":
        return OPUS_RATE
    if codec == "aac":
        return min((each for each in AAC_RATES if each >= rate), default=AAC_RATES[0])
    return rate
