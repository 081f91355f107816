"""Voices with another pitch and other formants, by amounts that are drawn at random and change all the time.

A phase vocoder (Laroche and Dolson 1999, with identity phase locking) on the fine structure of the spectrum; its
envelope, from the cepstrum, is moved by an amount of its own. Pure functions and classes on numpy arrays; length and
timing stay to the sample.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

PITCH_SEMITONES = (3.0, 5.0)
"""How far the pitch of a film is moved, up or down."""
FORMANT_SEMITONES = (1.5, 3.0)
"""The same of the formants, about what lies between the vocal tracts of two adults."""
DRIFT_SEMITONES = 0.75
"""How far both wander about that within the film, to either side."""
DRIFT_SECONDS = 3.0
"""Time between two drawn values, of which the curve is a smooth interpolation."""
WINDOW_SECONDS = 0.04
"""Shortest window: two periods of a deep voice and more."""
OVERLAP = 4
"""Windows over each sample."""
LIFTER_SECONDS = 0.0015
"""Cepstrum up to here is the envelope: shorter than a period of any voice."""
FRAMES = 64
"""Windows that are transformed at once."""
QUIET = 1e-9
"""Magnitude that stands for none."""

Array = npt.NDArray[Any]
Draw = Callable[[float, float], float]
"""A random number between two."""


class VoiceChange:
    """How far pitch and formants are moved at each time of a film. Made anew for each film, and never stored.

    Args:
        draw: Draws evenly between two numbers; None for the random numbers of the operating system, which cannot be
            guessed.
    """

    def __init__(self, draw: Draw | None = None) -> None:
        self._draw = draw or secrets.SystemRandom().uniform
        self._pitch = self._both_ways(*PITCH_SEMITONES)
        self._formants = self._both_ways(*FORMANT_SEMITONES)
        self._drift: list[tuple[float, float]] = []

    def pitch(self, seconds: Array) -> Array:
        """Factor of the pitch at times [N] of the film."""
        return self._factors(self._pitch, 0, seconds)

    def formants(self, seconds: Array) -> Array:
        """Factor of the formants at times [N] of the film."""
        return self._factors(self._formants, 1, seconds)

    def _both_ways(self, least: float, most: float) -> float:
        return self._draw(least, most) * (1 if self._draw(-1, 1) < 0 else -1)

    def _factors(self, semitones: float, column: int, seconds: Array) -> Array:
        place = np.maximum(seconds, 0) / DRIFT_SECONDS
        before = place.astype(np.int64)
        while len(self._drift) < int(before.max(initial=0)) + 2:
            drawn = self._draw(-DRIFT_SEMITONES, DRIFT_SEMITONES), self._draw(-DRIFT_SEMITONES, DRIFT_SEMITONES)
            self._drift.append(drawn)
        known = np.array(self._drift)[:, column]
        share = (1 - np.cos(np.pi * (place - before))) / 2
        drift = known[before] * (1 - share) + known[before + 1] * share
        return np.asarray(2 ** ((semitones + drift) / 12))


class VoiceChanger:
    """Changes the sound of one track as it comes: as many samples come out as went in, at the same times.

    Args:
        change: By how much, the same for all tracks of a film.
        channels: Channels of the sound, each of which is changed by itself.
        rate: Samples per second.
        start: Time of the first sample in the film, seconds.
    """

    def __init__(self, change: VoiceChange, channels: int, rate: int, start: float = 0.0) -> None:
        self._change, self._rate, self._start = change, rate, start
        self._size = 2 ** math.ceil(math.log2(max(16.0, WINDOW_SECONDS * rate)))
        self._hop = self._size // OVERLAP
        self._window = np.sqrt(np.hanning(self._size + 1)[:-1])
        self._scale = 2 / OVERLAP  # The squared windows that lie over a sample add up to its inverse.
        self._waiting = np.zeros((channels, self._size - self._hop))
        self._sum = np.zeros((channels, self._size - self._hop))
        self._lead = self._size - self._hop  # Samples of the silence before the first one, which are not given out.
        self._taken = self._given = self._windows = 0
        bins = self._size // 2 + 1
        self._phase = np.zeros((channels, bins))
        self._heard = np.zeros((channels, bins))

    def feed(self, samples: Array) -> Array:
        """Take samples [channels, N] in [-1, 1]; returns those that are ready, [channels, M]."""
        self._taken += samples.shape[1]
        self._waiting = np.concatenate([self._waiting, samples], axis=1)
        ready: list[Array] = []
        while self._waiting.shape[1] >= self._size:
            count = min(FRAMES, (self._waiting.shape[1] - self._size) // self._hop + 1)
            ready.append(self._changed(count))
        return self._out(ready)

    def flush(self) -> Array:
        """The samples that are left, [channels, M]."""
        missing = self._taken - self._given
        silence = np.zeros((len(self._waiting), missing + self._lead + 2 * self._size))
        self._waiting = np.concatenate([self._waiting, silence], axis=1)
        ready: list[Array] = []
        while sum(part.shape[1] for part in ready) < missing + self._lead:
            ready.append(self._changed(1))
        return self._out(ready, missing)

    def _out(self, ready: list[Array], most: int | None = None) -> Array:
        samples = np.concatenate([np.zeros((len(self._waiting), 0)), *ready], axis=1)
        dropped = min(self._lead, samples.shape[1])
        self._lead -= dropped
        samples = samples[:, dropped:][:, :most].clip(-1, 1)
        self._given += samples.shape[1]
        return np.asarray(samples, np.float32)

    def _changed(self, count: int) -> Array:
        """The next `count` windows changed, as `count` hops of samples."""
        size, hop = self._size, self._hop
        windows = np.lib.stride_tricks.sliding_window_view(self._waiting, size, axis=1)[:, : count * hop : hop]
        # Turned so that the middle of the window has the phase 0: the bins of one tone have one phase then.
        turned = np.roll(windows * self._window, size // 2, axis=2)
        spectra = np.fft.rfft(turned, axis=2)  # [channels, count, bins]
        middle = (self._windows + np.arange(count)) * hop + size // 2 - (size - hop)
        seconds = self._start + middle / self._rate
        pitch, formants = self._change.pitch(seconds), self._change.formants(seconds)
        moved = np.stack([self._move(channel, spectra[channel], pitch, formants) for channel in range(len(spectra))])
        sounds = np.roll(np.fft.irfft(moved, size, axis=2), size // 2, axis=2) * self._window * self._scale
        total = np.concatenate([self._sum, np.zeros((len(self._sum), count * hop))], axis=1)
        for number in range(count):
            total[:, number * hop : number * hop + size] += sounds[:, number]
        self._waiting = self._waiting[:, count * hop :]
        self._sum = total[:, count * hop :]
        self._windows += count
        return total[:, : count * hop]

    def _move(self, channel: int, spectra: Array, pitch: Array, formants: Array) -> Array:
        """Spectra [count, bins] of a channel, with the fine structure and the envelope moved by factors [count]."""
        size, hop, bins = self._size, self._hop, spectra.shape[1]
        loud, phase = np.abs(spectra), np.angle(spectra)
        envelope = _envelope(loud, size, max(2, round(LIFTER_SECONDS * self._rate)))
        # Frequency of each bin's tone, in radians a hop, from the phase's advance since the window before.
        expected = 2 * np.pi * np.arange(bins) * hop / size
        advance = np.diff(phase, axis=0, prepend=self._heard[channel][None]) - expected
        frequency = expected + (advance + np.pi) % (2 * np.pi) - np.pi
        self._heard[channel] = phase[-1]

        target = np.arange(bins)
        place = target / pitch[:, None]
        fine = _sample(loud / envelope, place)
        strength = fine * _sample(envelope, target / formants[:, None])
        source = np.minimum(np.rint(place).astype(np.int64), bins - 1)
        advance = np.take_along_axis(frequency, source, axis=1) * pitch[:, None]
        relative = np.take_along_axis(phase, source, axis=1)
        moved = np.empty_like(spectra)
        for number in range(len(spectra)):
            peak = _nearest_peak(strength[number])
            own = self._phase[channel][peak] + advance[number][peak]
            own = own + relative[number] - relative[number][peak]
            self._phase[channel] = np.remainder(own, 2 * np.pi)
            moved[number] = strength[number] * np.exp(1j * own)
        return moved


def _envelope(loud: Array, size: int, lifter: int) -> Array:
    """Smooth envelopes of magnitudes [count, bins], by their first `lifter` cepstral coefficients."""
    cepstrum = np.fft.irfft(np.log(np.maximum(loud, QUIET)), size, axis=1)
    cepstrum[:, lifter : size - lifter + 1] = 0
    return np.asarray(np.exp(np.fft.rfft(cepstrum, axis=1).real))


def _sample(rows: Array, places: Array) -> Array:
    """Values of rows [count, bins] at fractional places [count, bins]; 0 past the last bin."""
    last = rows.shape[1] - 1
    before = np.minimum(places.astype(np.int64), last)
    after = np.minimum(before + 1, last)
    share = places - before
    values = np.take_along_axis(rows, before, 1) * (1 - share) + np.take_along_axis(rows, after, 1) * share
    return np.where(places <= last, values, 0)


def _nearest_peak(strength: Array) -> Array:
    """For each bin [bins] the nearest bin that is louder than its neighbours; itself where there is none."""
    inner = strength[1:-1]
    peaks = 1 + np.flatnonzero((inner > strength[:-2]) & (inner >= strength[2:]))
    if len(peaks) == 0:
        return np.arange(len(strength))
    borders = (peaks[1:] + peaks[:-1] + 1) // 2
    return np.asarray(peaks[np.searchsorted(borders, np.arange(len(strength)), side="right")])
