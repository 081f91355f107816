"""Small real films, made by PyAV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest


@dataclass
class Recipe:
    name: str = "in.mp4"
    frames: int = 12
    size_hw: tuple[int, int] = (48, 64)
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    pts: Sequence[int] | None = None
    time_base: Fraction = Fraction(1, 25)
    sound: tuple[str, ...] = ()
    subtitles: str | None = None
    matrix: Sequence[int] | None = None
    context: dict[str, Any] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    track_tags: dict[str, str] = field(default_factory=dict)
    attachment: bool = False
    chapters: bool = False
    extra_data: bool = False


@pytest.fixture
def make_film(tmp_path: Path) -> Callable[..., Path]:
    """Makes a film as `Recipe` says and returns its path."""

    def make(**wishes: Any) -> Path:
        recipe = Recipe(**wishes)
        _write(tmp_path / recipe.name, recipe)
        return tmp_path / recipe.name

    return make


@pytest.fixture
def picture() -> Callable[[int, tuple[int, int]], np.ndarray]:
    """The picture of a frame as it was before encoding."""
    return draw


def draw(index: int, size_hw: tuple[int, int]) -> np.ndarray:
    """A smooth picture that moves, so that frames can be told apart."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]].astype(np.float64)
    waves = [np.sin(x / 9 + index / 3), np.cos(y / 7 - index / 4), np.sin((x + y) / 13 + index / 5)]
    return (128 + 90 * np.stack(waves, axis=-1)).astype(np.uint8)


def _write(path: Path, recipe: Recipe) -> None:
    seconds = Fraction(recipe.frames if recipe.pts is None else recipe.pts[-1] + 1) * recipe.time_base
    with av.open(str(path), "w") as out:
        out.metadata.update(recipe.tags)
        video: Any = out.add_stream(recipe.codec, rate=25)
        video.height, video.width = recipe.size_hw
        video.pix_fmt = recipe.pixel_format
        video.codec_context.time_base = recipe.time_base
        video.codec_context.options = {"x265-params": "log-level=none", **recipe.options}
        video.metadata.update(recipe.track_tags)
        for name, value in recipe.context.items():
            setattr(video.codec_context, name, value)
        if recipe.matrix is not None:
            video.set_display_matrix(recipe.matrix)
        sound = [out.add_stream(codec, rate=48_000) for codec in recipe.sound]
        for number, stream in enumerate(sound):
            stream.codec_context.layout = "mono"
            stream.metadata["language"] = ("eng", "deu", "fra")[number]
        subtitles = _add_subtitles(out, recipe.subtitles) if recipe.subtitles else None
        if recipe.attachment:
            out.add_attachment("font.ttf", "font/ttf", b"not really a font")
        if recipe.chapters:
            chapter = {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "Home"}}
            out.set_chapters([chapter])
        for index in range(recipe.frames):
            frame = av.VideoFrame.from_ndarray(draw(index, recipe.size_hw), "rgb24").reformat(
                format=recipe.pixel_format
            )
            frame.pts = index if recipe.pts is None else recipe.pts[index]
            frame.time_base = recipe.time_base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for number, stream in enumerate(sound):
            _encode_sound(out, stream, 300 + 200 * number, float(seconds))
        if subtitles is not None:
            for begin in (100, 300):
                packet = av.Packet(b"Hello" if recipe.subtitles != "mov_text" else b"\0\5Hello")
                packet.stream, packet.time_base = subtitles, Fraction(1, 1000)
                packet.pts = packet.dts = begin
                packet.duration = 150
                out.mux(packet)


def _add_subtitles(out: Any, codec: str) -> Any:
    stream = out.add_mux_stream(codec)
    stream.time_base = Fraction(1, 1000)
    stream.metadata["language"] = "nld"
    return stream


def _encode_sound(out: Any, stream: Any, hertz: float, seconds: float) -> None:
    samples = np.sin(np.arange(int(48_000 * seconds)) * (hertz * 2 * np.pi / 48_000)).astype(np.float32) * 0.3
    for at in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + 1024].copy(), "fltp", "mono")
        frame.sample_rate, frame.pts = 48_000, at
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
