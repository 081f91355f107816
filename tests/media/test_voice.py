import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from anonymize.core.errors import MediaError
from anonymize.media import FilmWriter, open_film
from anonymize.media.voice import FORMANT_SEMITONES, PITCH_SEMITONES, VoiceChange, VoiceChanger

RATE = 16_000
HERTZ = 120


def speech(seconds: float, rate: int = RATE) -> np.ndarray:
    """[1, N] float32: a vowel of a voice of 120 Hz, with formants at 700, 1,200 and 2,600 Hz."""
    time = np.arange(int(rate * seconds)) / rate
    sound = np.zeros_like(time)
    for number in range(1, int(rate / 2 / HERTZ)):
        near = sum(1 / (1 + ((number * HERTZ - formant) / 100) ** 2) for formant in (700, 1200, 2600))
        sound += (near + 0.01) * np.sin(2 * np.pi * number * HERTZ * time + number**2)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)[None]


def pitch_of(sound: np.ndarray, lowest: float, highest: float, rate: int = RATE) -> float:
    """Hertz, from the peak of the autocorrelation between two frequencies."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 4 * len(sound))) ** 2
    likeness = np.fft.irfft(spectrum)[: len(sound)]
    least = int(rate / highest)
    at = least + int(np.argmax(likeness[least : int(rate / lowest)]))
    left, middle, right = likeness[at - 1 : at + 2]
    return float(rate / (at + 0.5 * (left - right) / (left - 2 * middle + right)))


def change(seed: int) -> VoiceChange:
    return VoiceChange(random.Random(seed).uniform)


def changed(sound: np.ndarray, by: VoiceChange, step: int = 1000, rate: int = RATE) -> np.ndarray:
    changer = VoiceChanger(by, len(sound), rate)
    parts = [changer.feed(sound[:, at : at + step]) for at in range(0, sound.shape[1], step)]
    return np.concatenate([*parts, changer.flush()], axis=1)


@pytest.mark.parametrize("seed", range(10))
def test_the_pitch_moves_by_the_amount_that_was_drawn(seed: int) -> None:
    by, sound = change(seed), speech(3)
    out = changed(sound, by)
    assert out.shape == sound.shape
    for at in (0.5, 1.5, 2.5):
        [factor] = by.pitch(np.array([at]))
        assert abs(12 * np.log2(factor)) > PITCH_SEMITONES[0] - 1
        part = out[0, int((at - 0.05) * RATE) : int((at + 0.05) * RATE)]
        expected = HERTZ * factor
        assert pitch_of(part, HERTZ / 1.6, HERTZ * 1.6) == pytest.approx(expected, rel=0.01)


def test_the_formants_move_by_an_amount_of_their_own() -> None:
    class OnlyFormants(VoiceChange):
        def pitch(self, seconds: Any) -> Any:
            return np.ones_like(seconds)

        def formants(self, seconds: Any) -> Any:
            return np.full_like(seconds, 1.2)

    sound = speech(2)
    out = changed(sound, OnlyFormants())
    assert pitch_of(out[0, RATE // 2 : RATE], 80, 200) == pytest.approx(HERTZ, rel=0.005)

    def loudest(sound: np.ndarray, least: float, most: float) -> float:
        """Frequency of the loudest harmonic in a range."""
        part = sound[0, RATE // 2 : RATE // 2 + RATE]
        loud = np.abs(np.fft.rfft(part * np.hanning(RATE)))
        return float(least + np.argmax(loud[int(least) : int(most)]))

    assert loudest(sound, 2000, 4000) == pytest.approx(2600, abs=HERTZ)
    assert loudest(out, 2000, 4000) == pytest.approx(2600 * 1.2, abs=HERTZ)


def test_a_change_by_nothing_is_none() -> None:
    class Nothing(VoiceChange):
        def pitch(self, seconds: Any) -> Any:
            return np.ones_like(seconds)

        formants = pitch

    sound = speech(1)
    assert np.abs(changed(sound, Nothing()) - sound).max() < 1e-4


def test_each_draw_is_another_within_its_range_and_drifts() -> None:
    times = np.linspace(0, 60, 61)
    curves = [(12 * np.log2(by.pitch(times)), 12 * np.log2(by.formants(times))) for by in map(change, range(40))]
    pitches, formants = (np.array(each) for each in zip(*curves, strict=True))
    for found, (least, most) in ((pitches, PITCH_SEMITONES), (formants, FORMANT_SEMITONES)):
        assert np.abs(found).min() >= least - 0.75
        assert np.abs(found).max() <= most + 0.75
        assert {-1, 1} == set(np.sign(found[:, 0]))
        assert (np.ptp(found, axis=1) > 0.5).all()
        assert (np.abs(np.diff(found, axis=1)) < 1).all(), "slowly"
    two = VoiceChange(), VoiceChange()
    assert two[0].pitch(times)[0] != two[1].pitch(times)[0], "by the system's random numbers"


@pytest.mark.parametrize("samples", [0, 1, 500, 4097])
def test_short_sounds_keep_their_length(samples: int) -> None:
    sound = speech(1)[:, :samples]
    assert changed(sound, change(0), step=300).shape == sound.shape


def test_the_chunks_do_not_matter() -> None:
    sound = np.concatenate([speech(1), -speech(1)])
    assert np.abs(changed(sound, change(1), step=77) - changed(sound, change(1), step=9999)).max() < 1e-6


def sound_of(path: Path) -> tuple[np.ndarray, Fraction, int]:
    """The first track's samples [N], the time of the first one and the rate."""
    with av.open(str(path)) as film:
        frames = list(film.decode(audio=0))
        samples = np.concatenate([frame.to_ndarray().reshape(-1, frame.samples)[0] for frame in frames])
        if samples.dtype == np.int16:
            samples = samples / 32768
        return samples, Fraction(frames[0].pts * frames[0].time_base), frames[0].sample_rate


@pytest.fixture
def film(tmp_path: Path, make_film: Callable[..., Path]) -> Path:
    """Two seconds of pictures with silence, in which a tone sounds from 0.6 to 0.9 and from 1.4 to 1.7 s."""
    silent = make_film(name="silent.mkv", frames=50, subtitles="srt")
    tone = np.zeros(48_000 * 2, np.float32)
    for begin in (0.6, 1.4):
        at = int(begin * 48_000)
        tone[at : at + 14_400] = speech(0.3, 48_000)[0]
    path = tmp_path / "film.mkv"
    with av.open(str(silent)) as source, av.open(str(path), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        stream = out.add_stream("aac", rate=48_000, layout="mono")
        stream.metadata["language"] = "deu"
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
        for at in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, at : at + 1024].copy(), "fltp", "mono")
            frame.sample_rate, frame.pts = 48_000, at
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def disguised(source: Path, output: Path, **part: float) -> Path:
    with open_film(source, **part) as film, FilmWriter(output, film, audio="disguise") as writer:
        for frame in film:
            writer.write(frame)
    return output


def onsets(path: Path) -> list[float]:
    """Times at which a tone begins."""
    samples, begin, rate = sound_of(path)
    width = rate // 100
    loud = np.abs(samples[: len(samples) // width * width]).reshape(-1, width).max(axis=1) > 0.05
    starts = [n for n in np.flatnonzero(loud) if not loud[max(0, n - 10) : n].any()]
    return [float(begin) + n / 100 for n in starts]


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov", "out.webm", "out.avi"])
def test_a_film_keeps_length_sync_and_the_rest(tmp_path: Path, film: Path, name: str) -> None:
    out = disguised(film, tmp_path / name)
    assert onsets(out) == pytest.approx([0.6, 1.4], abs=0.04), "within a frame of 25 a second"
    before, after = sound_of(film), sound_of(out)
    assert len(after[0]) / after[2] + after[1] == pytest.approx(len(before[0]) / before[2] + before[1], abs=0.04)
    with av.open(str(film)) as old, av.open(str(out)) as new:
        if name != "out.avi":
            assert [stream.language for stream in new.streams.audio] == ["ger" if name == "out.mov" else "deu"]
        if name == "out.mkv":
            kinds = [stream.type for stream in new.streams]
            assert kinds == [stream.type for stream in old.streams]
            texts = [[bytes(p) for p in film.demux(subtitles=0) if p.size] for film in (old, new)]
            assert texts[0] == texts[1]


def test_a_part_of_a_film(tmp_path: Path, film: Path) -> None:
    out = disguised(film, tmp_path / "out.mkv", start=1, end=1.6)
    assert onsets(out) == pytest.approx([0.4], abs=0.04)
    samples, begin, rate = sound_of(out)
    assert float(begin) == pytest.approx(0, abs=0.04)
    assert len(samples) / rate == pytest.approx(0.6, abs=0.04)


def test_two_runs_differ(tmp_path: Path, film: Path) -> None:
    first, second = (sound_of(disguised(film, tmp_path / name))[0] for name in ("1.avi", "2.avi"))
    original = sound_of(film)[0]
    inside = slice(int(0.65 * 48_000), int(0.85 * 48_000))
    pitches = [pitch_of(sound[inside], HERTZ / 1.6, HERTZ * 1.6, 48_000) for sound in (original, first, second)]
    assert pitches[0] == pytest.approx(HERTZ, rel=0.01)
    assert len({round(pitch, 2) for pitch in pitches}) == 3


def test_a_gap_in_the_sound_stays_one(tmp_path: Path, make_film: Callable[..., Path]) -> None:
    """Half a second of sound, one second without any packet, and the rest."""
    whole, path = make_film(name="whole.mkv", frames=50, sound=("aac",)), tmp_path / "gap.mkv"
    with av.open(str(whole)) as source, av.open(str(path), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size and not (packet.stream.type == "audio" and 0.5 <= packet.pts * packet.time_base < 1.5):
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    samples, begin, rate = sound_of(disguised(path, tmp_path / "out.avi"))
    loud = [np.abs(samples[int((at - float(begin)) * rate) :][: rate // 20]).max() for at in (0.3, 1.0, 1.7)]
    assert loud[0] > 0.1
    assert loud[1] < 0.001
    assert loud[2] > 0.1


def test_sound_that_cannot_be_decoded_leaves_no_file(tmp_path: Path, film: Path) -> None:
    path = tmp_path / "broken.mkv"
    with av.open(str(film)) as source, av.open(str(path), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                copy = av.Packet(b"\x9a" * 40) if packet.stream.type == "audio" else packet
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.stream = streams[packet.stream.index]
                out.mux(copy)
    with pytest.raises(MediaError, match="its sound cannot be decoded; --audio drop"):
        disguised(path, tmp_path / "out.mp4")
    assert not list(tmp_path.glob("*out*"))
