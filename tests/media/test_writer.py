from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from anonymize.core.errors import AnonymizeError, MediaError, OptionError
from anonymize.core.types import Frame
from anonymize.media import FilmWriter, open_film, write_film
from anonymize.media.orientation import Orientation

MAGENTA = (255, 0, 255)
LARGE = (288, 384)
"""libx264 with threads does not give the same bytes each time for pictures of a few lines."""
BOX = slice(8, 24), slice(12, 41)


def transcode(
    source: Path, output: Path, edit: Callable[[Frame], Frame] = lambda frame: frame, cut: Any = None, **options: Any
) -> FilmWriter:
    with open_film(source, **(cut or {})) as film, FilmWriter(output, film, **options) as writer:
        for frame in film:
            writer.write(edit(frame))
    return writer


def paint_box(frame: Frame) -> Frame:
    edited = np.zeros(frame.size_hw, bool)
    edited[BOX] = True
    image = frame.image.copy()
    image[edited] = MAGENTA
    return frame.with_edit(image, edited)


def frames_of(path: Path) -> list[Frame]:
    with open_film(path) as film:
        return list(film)


def times(frames: list[Frame]) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in frames]


def packets_of(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """Time and bytes of the packets of each track of a kind."""
    with av.open(str(path)) as film:
        tracks = {s.index: [] for s in film.streams if s.type == kind}
        for packet in film.demux():
            if packet.stream.index in tracks and packet.size:
                tracks[packet.stream.index].append((packet.pts * packet.time_base, bytes(packet)))
    return list(tracks.values())


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)))


# What is kept


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "out.m4v"])
@pytest.mark.parametrize(("pts", "base"), [([0, 1, 2, 3, 4, 5], 25), ([0, 31, 90, 101, 160, 999], 1000)])
def test_timestamps_are_kept(make_film, tmp_path: Path, name: str, pts: list[int], base: int) -> None:
    source = make_film(frames=6, pts=pts, time_base=Fraction(1, base))
    transcode(source, tmp_path / name)
    assert times(frames_of(tmp_path / name)) == [Fraction(n, base) for n in pts]


def test_ntsc_timestamps_are_kept(make_film, tmp_path: Path) -> None:
    source = make_film(frames=9, time_base=Fraction(1001, 30000))
    for name in ("out.mp4", "out.avi"):
        transcode(source, tmp_path / name)
        assert times(frames_of(tmp_path / name)) == [Fraction(1001 * n, 30000) for n in range(9)]


def test_matroska_rounds_to_milliseconds(make_film, tmp_path: Path) -> None:
    source = make_film(frames=6, pts=[0, 1, 2, 3, 7, 8], time_base=Fraction(1001, 30000))
    transcode(source, tmp_path / "out.mkv")
    pairs = zip(times(frames_of(tmp_path / "out.mkv")), times(frames_of(source)), strict=True)
    assert all(abs(ours - theirs) <= Fraction(1, 2000) for ours, theirs in pairs)


def test_the_last_frame_keeps_its_duration(make_film, tmp_path: Path) -> None:
    source = make_film(frames=3, pts=[0, 40, 1000], time_base=Fraction(1, 1000))
    durations = []
    for path in (source, tmp_path / "out.mp4"):
        if path != source:
            transcode(source, path)
        with av.open(str(path)) as film:
            stream = film.streams.video[0]
            durations.append(stream.duration * stream.time_base)
    assert durations[0] == durations[1]


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "out.webm"])
@pytest.mark.parametrize(
    "orientation", [Orientation(True, False, True), Orientation(True, True, False), Orientation(False, True, True)]
)
def test_a_turned_film_stays_turned(make_film, tmp_path: Path, name: str, orientation: Orientation) -> None:
    source = make_film(frames=3, matrix=orientation.display_matrix)
    transcode(source, tmp_path / name, paint_box)
    with open_film(tmp_path / name) as film:
        assert film.info.orientation == orientation
        assert film.info.size_hw == orientation.size((48, 64))
        frame = next(iter(film))
    original = frames_of(source)[0].image
    inner = slice(BOX[0].start + 2, BOX[0].stop - 2), slice(BOX[1].start + 2, BOX[1].stop - 2)
    assert np.abs(frame.image[inner].astype(int) - MAGENTA).max() < 12
    outside = np.ones(frame.size_hw, bool)
    outside[BOX[0].start - 4 : BOX[0].stop + 4, BOX[1].start - 4 : BOX[1].stop + 4] = False
    assert psnr(frame.image[outside], original[outside]) > 35


def test_aspect_ratio_and_colour_tags_are_kept(make_film, tmp_path: Path) -> None:
    context = {
        "color_range": 1, "color_primaries": 9, "color_trc": 16, "colorspace": 9,
        "sample_aspect_ratio": Fraction(4, 3),
    }  # fmt: skip
    source = make_film(frames=2, pixel_format="yuv420p10le", context=context)
    for name, codec in (("a.mp4", "libx264"), ("b.mkv", "libx265"), ("c.mp4", "libsvtav1"), ("d.mov", "libx265")):
        transcode(source, tmp_path / name, codec=codec)
        with open_film(tmp_path / name) as film:
            assert film.info.sample_aspect_ratio == Fraction(4, 3)
            tags = film.info.colour
            assert (tags.range, tags.primaries, tags.transfer, tags.matrix) == (1, 9, 16, 9)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9"])
def test_full_range_stays_full(make_film, tmp_path: Path, codec: str) -> None:
    source = make_film(frames=2, pixel_format="yuvj420p", context={"color_range": 2, "colorspace": 1})
    transcode(source, tmp_path / "out.mkv", paint_box, codec=codec)
    before, after = frames_of(source)[0], frames_of(tmp_path / "out.mkv")[0]
    with open_film(tmp_path / "out.mkv") as film:
        assert film.info.colour.full_range and film.info.colour.matrix == 1
    assert psnr(before.image[30:], after.image[30:]) > 35
    assert np.abs(after.image[12:20, 16:36].astype(int) - MAGENTA).max() < 12


@pytest.mark.parametrize(
    ("codec", "depth"), [("libx264", 10), ("libx265", 10), ("libsvtav1", 10), ("libvpx-vp9", None)]
)
def test_ten_bits(make_film, tmp_path: Path, codec: str, depth: int | None) -> None:
    source = make_film(frames=3, pixel_format="yuv420p10le")
    writer = transcode(source, tmp_path / "out.mkv", paint_box, codec=codec)
    with open_film(tmp_path / "out.mkv") as film:
        frame = next(iter(film))
        stored = 10 if film.info.pixel_format.endswith("10le") else 8
    if depth is not None:
        assert stored == depth and writer.warnings == []
    else:  # Some builds of libvpx have more than 8 bits.
        assert writer.warnings == ([] if stored == 10 else [f"{codec} stores 8 bits per sample, the film has 10"])
    assert np.abs(frame.image[12:20, 16:36].astype(int) - MAGENTA).max() < 12
    assert psnr(frame.image[30:], frames_of(source)[0].image[30:]) > 35


@pytest.mark.parametrize(
    ("codec", "pixel_format"),
    [("libx264", "yuv444p"), ("libx265", "yuv444p"), ("libsvtav1", "yuv420p"), ("libvpx-vp9", "yuv420p")],
)
def test_odd_sizes(make_film, tmp_path: Path, codec: str, pixel_format: str) -> None:
    source = make_film(name="in.mkv", codec="libvpx-vp9", size_hw=(71, 97), frames=3)
    writer = transcode(source, tmp_path / "out.mp4", paint_box, codec=codec)
    with open_film(tmp_path / "out.mp4") as film:
        assert film.info.pixel_format == pixel_format
        frame = next(iter(film))
    assert frame.size_hw == (71, 97)
    assert any("odd" in warning for warning in writer.warnings) == (pixel_format == "yuv444p")
    assert np.abs(frame.image[12:20, 16:36].astype(int) - MAGENTA).max() < 12


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p", "bgr0", "gray", "yuva420p"])
def test_other_formats_become_420(make_film, tmp_path: Path, pixel_format: str) -> None:
    source = make_film(name="in.mkv", codec="ffv1", pixel_format=pixel_format, frames=2)
    writer = transcode(source, tmp_path / "out.mp4", crf=4)
    with open_film(tmp_path / "out.mp4") as film:
        assert film.info.pixel_format == "yuv420p"
    assert psnr(frames_of(tmp_path / "out.mp4")[0].image, frames_of(source)[0].image) > 30
    assert writer.warnings == (["transparency is not kept"] if pixel_format == "yuva420p" else [])


def test_one_frame(make_film, tmp_path: Path) -> None:
    transcode(make_film(frames=1), tmp_path / "out.mp4")
    assert len(frames_of(tmp_path / "out.mp4")) == 1


# Transparent where nobody is


def plain_transcode(source: Path, output: Path) -> None:
    with av.open(str(source)) as film, av.open(str(output), "w") as out:
        read: Any = film.streams.video[0]
        stream: Any = out.add_stream("libx264", rate=25, options={"crf": "18", "preset": "medium"})
        stream.height, stream.width, stream.pix_fmt = read.height, read.width, "yuv420p"
        stream.codec_context.time_base = read.time_base
        stream.codec_context.thread_type = "AUTO"
        for frame in film.decode(read):
            frame.pict_type = 0
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def test_without_edits_the_film_is_a_plain_transcode(make_film, tmp_path: Path) -> None:
    source = make_film(frames=20, size_hw=LARGE)
    ours, theirs = tmp_path / "ours.mp4", tmp_path / "theirs.mp4"
    transcode(source, ours)
    plain_transcode(source, theirs)
    assert [data for _, data in packets_of(ours, "video")[0]] == [data for _, data in packets_of(theirs, "video")[0]]


def test_frames_without_edits_are_as_good_as_a_plain_transcode(make_film, tmp_path: Path) -> None:
    source = make_film(frames=30, size_hw=LARGE)
    ours, theirs = tmp_path / "ours.mp4", tmp_path / "theirs.mp4"
    transcode(source, ours, lambda frame: paint_box(frame) if 10 <= frame.index < 20 else frame)
    plain_transcode(source, theirs)
    triples = list(zip(frames_of(source), frames_of(ours), frames_of(theirs), strict=True))
    for part in (triples[:10], triples[20:]):
        quality = [
            np.mean([psnr(s.image, other.image) for s, *both in part for other in both[n : n + 1]]) for n in (0, 1)
        ]
        assert quality[0] >= quality[1] - 0.1


def test_an_empty_edit_is_no_edit(make_film, tmp_path: Path) -> None:
    source = make_film(frames=5, size_hw=LARGE)
    transcode(source, tmp_path / "a.mp4")
    transcode(source, tmp_path / "b.mp4", lambda f: f.with_edit(np.zeros_like(f.image), np.zeros(f.size_hw, bool)))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_unmarked_changes_of_the_image_are_not_written(make_film, tmp_path: Path) -> None:
    def redraw(frame: Frame) -> Frame:
        edited = np.zeros(frame.size_hw, bool)
        edited[BOX] = True
        return frame.with_edit(np.full_like(frame.image, 255), edited)

    source = make_film(frames=2)
    transcode(source, tmp_path / "out.mp4", redraw, crf=4)
    before, after = frames_of(source)[0].image, frames_of(tmp_path / "out.mp4")[0].image
    assert after[BOX].min() > 235
    assert psnr(after[32:], before[32:]) > 38


def test_same_input_same_output(make_film, tmp_path: Path) -> None:
    source = make_film(frames=10, sound=("aac",), size_hw=LARGE)
    for name in ("1.mkv", "2.mkv", "1.mp4", "2.mp4"):
        transcode(source, tmp_path / name, paint_box)
    for suffix in ("mkv", "mp4"):
        assert (tmp_path / f"1.{suffix}").read_bytes() == (tmp_path / f"2.{suffix}").read_bytes()


# Sound and subtitles


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_two_tracks_of_sound_are_the_same_packets(make_film, tmp_path: Path, name: str) -> None:
    source = make_film(frames=25, sound=("aac", "aac"))
    writer = transcode(source, tmp_path / name)
    before, after = packets_of(source, "audio"), packets_of(tmp_path / name, "audio")
    assert len(after) == 2
    assert [[data for _, data in track] for track in before] == [[data for _, data in track] for track in after]
    slack = Fraction(1, 2000) if name.endswith("mkv") else 0
    assert all(
        abs(a - b) <= slack for x, y in zip(before, after, strict=True) for (a, _), (b, _) in zip(x, y, strict=True)
    )
    assert times(frames_of(tmp_path / name)) == times(frames_of(source))
    with av.open(str(tmp_path / name)) as film:
        languages = [stream.language for stream in film.streams.audio]
    assert languages == ["eng", "ger" if name.endswith("mov") else "deu"]
    assert writer.warnings == []


def test_sound_out_of_matroska_is_evenly_spaced(make_film, tmp_path: Path) -> None:
    source = make_film(name="in.mkv", frames=25, sound=("aac",))
    transcode(source, tmp_path / "out.mp4")
    (before,), (after,) = packets_of(source, "audio"), packets_of(tmp_path / "out.mp4", "audio")
    assert [data for _, data in before] == [data for _, data in after]
    assert {b - a for (a, _), (b, _) in pairwise(after[:-1])} == {Fraction(1024, 48000)}
    assert max(abs(a - b) for (a, _), (b, _) in zip(before, after, strict=True)) <= Fraction(1, 1000)


@pytest.mark.parametrize(
    ("source_name", "kind", "name"),
    [
        ("in.mkv", "subrip", "out.mkv"),
        ("in.mkv", "ass", "out.mkv"),
        ("in.mp4", "mov_text", "out.mp4"),
        ("in.mp4", "mov_text", "out.mov"),
        ("in.webm", "webvtt", "out.webm"),
    ],
)
def test_subtitles_are_the_same_packets(make_film, tmp_path: Path, source_name: str, kind: str, name: str) -> None:
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    source = make_film(name=source_name, codec=codec, frames=25, subtitles=kind)
    transcode(source, tmp_path / name)
    before, after = packets_of(source, "subtitle"), packets_of(tmp_path / name, "subtitle")
    assert before == after and len(before[0]) >= 2
    with av.open(str(tmp_path / name)) as film:
        assert film.streams.subtitles[0].language == ("dut" if name.endswith("mov") else "nld")


def test_webm(make_film, tmp_path: Path) -> None:
    source = make_film(name="in.webm", codec="libvpx-vp9", frames=12, sound=("libopus",))
    writer = transcode(source, tmp_path / "out.webm", paint_box)
    assert writer.warnings == ["WebM cannot hold H.264; encoded with libvpx-vp9"]
    assert packets_of(source, "audio") == packets_of(tmp_path / "out.webm", "audio")
    assert times(frames_of(source)) == times(frames_of(tmp_path / "out.webm"))
    with av.open(str(tmp_path / "out.webm")) as film:
        assert film.streams.video[0].codec_context.name == "vp9"


def test_avi(make_film, tmp_path: Path) -> None:
    source = make_film(name="in.avi", codec="mpeg4", frames=12, sound=("pcm_s16le",))
    transcode(source, tmp_path / "out.avi", paint_box)
    before, after = packets_of(source, "audio")[0], packets_of(tmp_path / "out.avi", "audio")[0]
    assert b"".join(data for _, data in before) == b"".join(data for _, data in after)
    assert times(frames_of(source)) == times(frames_of(tmp_path / "out.avi"))


def test_sound_is_dropped_on_demand(make_film, tmp_path: Path) -> None:
    source = make_film(sound=("aac",), subtitles="mov_text")
    transcode(source, tmp_path / "out.mp4", audio="drop")
    assert packets_of(tmp_path / "out.mp4", "audio") == []
    assert len(packets_of(tmp_path / "out.mp4", "subtitle")) == 1


def test_sound_that_the_container_cannot_hold(make_film, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"\.webm cannot hold the sound \(aac\)"):
        transcode(make_film(sound=("aac",)), tmp_path / "out.webm")
    assert names_in(tmp_path) == ["in.mp4"]


def test_subtitles_that_the_container_cannot_hold(make_film, tmp_path: Path) -> None:
    writer = transcode(make_film(name="in.mkv", subtitles="subrip"), tmp_path / "out.mp4")
    assert len(writer.warnings) == 1
    assert ".mp4 cannot hold the subtitles" in writer.warnings[0]
    assert packets_of(tmp_path / "out.mp4", "subtitle") == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_cut_takes_sound_and_subtitles_along(make_film, tmp_path: Path, suffix: str) -> None:
    subtitles = "mov_text" if suffix == "mp4" else "subrip"
    source = make_film(name=f"in.{suffix}", frames=50, sound=("aac",), subtitles=subtitles)
    output = tmp_path / f"out.{suffix}"
    transcode(source, output, cut={"start": 0.2, "end": 0.4})
    assert times(frames_of(output)) == [Fraction(n, 25) for n in range(5)]
    kept = [data for time, data in packets_of(source, "audio")[0] if Fraction(1, 5) <= time < Fraction(2, 5)]
    sound = packets_of(output, "audio")[0]
    assert [data for _, data in sound] == kept
    assert 0 <= sound[0][0] < Fraction(1024, 48000)
    # Shown from 0.1 to 0.25 s and from 0.3 to 0.45 s: what is left of them.
    with av.open(str(output)) as film:
        shown = [
            (float(p.pts * p.time_base), float((p.pts + p.duration) * p.time_base))
            for p in film.demux(subtitles=0)
            if b"Hello" in bytes(p)
        ]
    assert shown == [pytest.approx((0.0, 0.05)), pytest.approx((0.1, 0.2))]


# Metadata

TAGS = {"location": "+52.5200+013.4050/", "creation_time": "2024-05-01T10:00:00.000000Z", "artist": "Somebody"}


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_what_identifies_is_stripped_and_told(make_film, tmp_path: Path, suffix: str) -> None:
    source = make_film(
        name=f"in.{suffix}", tags=TAGS, track_tags={"handler_name": "GoPro AVC", "title": "Me"}, chapters=True,
        attachment=suffix == "mkv", sound=("aac",),
    )  # fmt: skip
    writer = transcode(source, tmp_path / f"out.{suffix}")
    told = " ".join(writer.stripped).lower()
    assert all(word in told for word in ("location", "creation_time", "artist", "1 chapter"))
    assert "attachment font.ttf" in told or suffix != "mkv"
    assert "handler_name" in told or suffix == "mkv"
    data = (tmp_path / f"out.{suffix}").read_bytes()
    secrets = (b"52.52", b"2024-05", b"Somebody", b"GoPro", b"Home", b"font.ttf", b"Lavf")
    assert not [secret for secret in secrets if secret in data and secret != b"Lavf"]
    with av.open(str(tmp_path / f"out.{suffix}")) as film:
        assert film.chapters() == []
        assert {s.type for s in film.streams} == {"video", "audio"}
        assert "creation_time" not in film.metadata and "creation_time" not in film.streams[0].metadata


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_metadata_is_kept_on_demand(make_film, tmp_path: Path, suffix: str) -> None:
    timecode = {} if suffix == "mkv" else {"timecode": "01:00:00:00"}
    source = make_film(
        name=f"in.{suffix}", tags=TAGS | timecode, track_tags={"handler_name": "Camera"}, chapters=True,
        attachment=suffix == "mkv", sound=("aac",),
    )  # fmt: skip
    writer = transcode(source, tmp_path / f"out.{suffix}", keep_metadata=True)
    assert writer.stripped == []
    with av.open(str(tmp_path / f"out.{suffix}")) as film:
        tags = {key.lower(): value for key, value in film.metadata.items()}
        assert tags["location"] == TAGS["location"] and tags["artist"] == "Somebody"
        assert tags["creation_time"].startswith("2024-05-01T10:00:00")
        assert len(film.chapters()) == 1
        handler = {key.lower(): value for key, value in film.streams.video[0].metadata.items()}["handler_name"]
        assert handler == "Camera"
        if timecode:
            assert film.streams.video[0].metadata["timecode"] == "01:00:00:00"
        if suffix == "mkv":
            assert film.streams.attachments[0].data == b"not really a font"


def test_chapters_follow_the_cut(make_film, tmp_path: Path) -> None:
    source = make_film(name="in.mkv", frames=50, chapters=True)  # One chapter, from 0 to 0.2 s.
    transcode(source, tmp_path / "a.mkv", keep_metadata=True, cut={"start": 0.12})
    transcode(source, tmp_path / "b.mkv", keep_metadata=True, cut={"start": 0.4})
    with av.open(str(tmp_path / "a.mkv")) as film:
        (chapter,) = film.chapters()
        assert (chapter["start"] * chapter["time_base"], chapter["end"] * chapter["time_base"]) == (0, Fraction(2, 25))
    with av.open(str(tmp_path / "b.mkv")) as film:
        assert film.chapters() == []


def test_nothing_to_strip(make_film, tmp_path: Path) -> None:
    assert transcode(make_film(sound=("aac",)), tmp_path / "out.mp4").stripped == []


def test_further_pictures_are_never_copied(make_film, tmp_path: Path) -> None:
    source = make_film()
    both = tmp_path / "both.mkv"
    with av.open(str(source)) as film, av.open(str(both), "w") as out:
        read = film.streams.video[0]
        targets = [out.add_stream_from_template(read), out.add_stream_from_template(read)]
        for packet in film.demux(read):
            for target in targets if packet.size else ():
                packet.stream = target
                out.mux(packet)
    writer = transcode(both, tmp_path / "out.mkv", keep_metadata=True)
    assert writer.warnings == ["picture track 1 is left out; only the first one is kept"]
    assert len(packets_of(tmp_path / "out.mkv", "video")) == 1


# The file is there whole or not at all


def test_nothing_is_there_before_the_end(make_film, tmp_path: Path) -> None:
    with open_film(make_film()) as film, FilmWriter(tmp_path / "out.mp4", film) as writer:
        for frame in film:
            writer.write(frame)
            assert not (tmp_path / "out.mp4").exists()
    assert names_in(tmp_path) == ["in.mp4", "out.mp4"]
    assert (tmp_path / "out.mp4").stat().st_mode == (tmp_path / "in.mp4").stat().st_mode


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, MediaError])
@pytest.mark.parametrize("written", [0, 5])
def test_an_error_leaves_no_file(make_film, tmp_path: Path, error: type[BaseException], written: int) -> None:
    with (
        pytest.raises(error),
        open_film(make_film(sound=("aac",))) as film,
        FilmWriter(tmp_path / "out.mp4", film) as w,
    ):
        for frame in film:
            if frame.index == written:
                raise error
            w.write(frame)
    assert names_in(tmp_path) == ["in.mp4"]


def test_no_frames(make_film, tmp_path: Path) -> None:
    with (
        pytest.raises(MediaError, match="no frames"),
        open_film(make_film()) as film,
        FilmWriter(tmp_path / "o.mp4", film),
    ):
        pass
    assert names_in(tmp_path) == ["in.mp4"]


def test_the_input_is_never_overwritten(make_film, tmp_path: Path) -> None:
    source = make_film()
    (tmp_path / "soft.mp4").symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    before = source.read_bytes()
    for name in ("in.mp4", "soft.mp4", "hard.mp4", "../" + tmp_path.name + "/in.mp4"):
        with pytest.raises(MediaError, match="it is the input"):
            transcode(source, tmp_path / name, overwrite=True)
    assert source.read_bytes() == before


def test_an_existing_file_needs_overwrite(make_film, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"precious")
    with pytest.raises(MediaError, match="exists; --overwrite"):
        transcode(make_film(), output)
    assert output.read_bytes() == b"precious"
    with pytest.raises(ZeroDivisionError):
        transcode(make_film(), output, lambda frame: frame if frame.index < 3 else 1 / 0, overwrite=True)
    assert output.read_bytes() == b"precious"
    transcode(make_film(), output, overwrite=True)
    assert len(frames_of(output)) == 12


def test_a_file_that_appears_meanwhile_is_not_overwritten(make_film, tmp_path: Path) -> None:
    def appear(frame: Frame) -> Frame:
        (tmp_path / "out.mp4").write_bytes(b"precious")
        return frame

    with pytest.raises(MediaError, match="exists"):
        transcode(make_film(), tmp_path / "out.mp4", appear)
    assert (tmp_path / "out.mp4").read_bytes() == b"precious"
    assert len(names_in(tmp_path)) == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nowhere/out.mp4", "there is no folder"), ("folder.mp4", "a folder"), ("in.mp4/out.mp4", "there is no folder")],
)
def test_places_that_cannot_be_written(make_film, tmp_path: Path, name: str, reason: str) -> None:
    source = make_film()
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(MediaError, match=reason):
        transcode(source, tmp_path / name, overwrite=True)
    assert names_in(tmp_path) == ["folder.mp4", "in.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(make_film, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(0o500)
    with pytest.raises(MediaError, match="Permission denied"):
        transcode(make_film(), locked / "out.mp4")


@contextmanager
def little_room(size: int) -> Iterator[None]:
    """Writing beyond `size` bytes of a file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.avi"])
@pytest.mark.parametrize("room", [100, 20_000, -100])
def test_a_full_disk(make_film, tmp_path: Path, name: str, room: int) -> None:
    source = make_film(frames=8, size_hw=LARGE, sound=("aac",))
    if room < 0:  # There is room for all but the last bytes.
        transcode(source, tmp_path / name, crf=1, preset="ultrafast")
        room += (tmp_path / name).stat().st_size
        (tmp_path / name).unlink()
    with pytest.raises(MediaError, match="cannot write") as caught, little_room(room):
        transcode(source, tmp_path / name, crf=1, preset="ultrafast")
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == ["in.mp4"]


# Wrong use


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("out.gif", {}, "the suffix must be one of"),
        ("out", {}, "the suffix must be one of"),
        ("out.mp4", {"codec": "h263"}, "no codec h263; there are libx264"),
        ("out.mp4", {"crf": 52}, "crf 52 is not within 0 to 51"),
        ("out.mp4", {"preset": "warp"}, "no preset warp; there are ultrafast"),
        ("out.mp4", {"audio": "louder"}, "audio must be copy, drop or disguise"),
    ],
)
def test_wrong_options(make_film, tmp_path: Path, name: str, options: dict[str, Any], error: str) -> None:
    with pytest.raises(OptionError, match=error):
        transcode(make_film(), tmp_path / name, **options)
    assert names_in(tmp_path) == ["in.mp4"]


@pytest.mark.parametrize(("name", "codec"), [("out.webm", "libx265"), ("out.mov", "libvpx-vp9")])
def test_codecs_that_the_container_cannot_hold(make_film, tmp_path: Path, name: str, codec: str) -> None:
    with pytest.raises(MediaError, match=rf"{Path(name).suffix} cannot hold what {codec} encodes"):
        transcode(make_film(), tmp_path / name, codec=codec)
    assert names_in(tmp_path) == ["in.mp4"]


def test_avi_cannot_hold_everything(make_film, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="rotation"):
        transcode(make_film(matrix=Orientation(True).display_matrix), tmp_path / "out.avi")
    with pytest.raises(MediaError, match="varying frame rate"):
        transcode(make_film(frames=3, pts=[0, 1, 70], time_base=Fraction(1, 1000)), tmp_path / "out.avi")
    assert names_in(tmp_path) == ["in.mp4"]


def test_no_gpu(make_film, tmp_path: Path) -> None:
    try:
        transcode(make_film(size_hw=(240, 320)), tmp_path / "out.mp4", codec="h264_nvenc")
    except AnonymizeError as error:
        assert "h264_nvenc" in str(error)
        assert names_in(tmp_path) == ["in.mp4"]
    else:
        assert len(frames_of(tmp_path / "out.mp4")) == 12


@pytest.mark.parametrize(
    ("codec", "preset"), [("libx264", "ultrafast"), ("libx265", "ultrafast"), ("libsvtav1", "12"), ("libvpx-vp9", "8")]
)
def test_presets_and_quality(make_film, tmp_path: Path, codec: str, preset: str, capfd) -> None:
    source = make_film(frames=6)
    sizes = []
    for crf in (10, 45):
        transcode(source, tmp_path / f"{crf}.mkv", codec=codec, preset=preset, crf=crf)
        sizes.append((tmp_path / f"{crf}.mkv").stat().st_size)
    assert sizes[1] < sizes[0]
    assert capfd.readouterr().err == ""


def test_a_size_that_changes(make_film, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"changes its size at 0\.000 s, from 64x48 to 10x20"):
        transcode(make_film(), tmp_path / "out.mp4", lambda frame: Frame(np.zeros((20, 10, 3), np.uint8)))


# Films from scratch


@pytest.mark.parametrize(
    ("name", "sound"),
    [("a.mp4", "aac"), ("a.webm", "opus"), ("a.mkv", "aac"), ("a.mov", "aac"), ("a.avi", "pcm_s16le")],
)
def test_a_drawn_film(tmp_path: Path, picture, name: str, sound: str) -> None:
    path = tmp_path / name
    tone = 0.3 * np.sin(np.arange(24_000) * 0.05).astype(np.float32)
    write_film(path, (picture(n, (48, 64)) for n in range(25)), Fraction(50), audio=tone, crf=6)
    frames = frames_of(path)
    assert times(frames) == [Fraction(n, 50) for n in range(25)]
    assert psnr(frames[3].image, picture(3, (48, 64))) > 30
    with open_film(path) as film:
        assert film.info.colour.matrix == 1 or name in {"a.webm"}
    with av.open(str(path)) as film:
        stream = film.streams.audio[0]
        assert stream.codec_context.name == sound
        heard = np.concatenate([f.to_ndarray().ravel() for f in film.decode(stream)])
    assert abs(len(heard) / 48_000 - 0.5) < 0.05
    scale = 32768 if heard.dtype == np.int16 else 1
    assert np.sqrt(np.mean((heard / scale) ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.15)


def test_a_drawn_film_in_stereo_at_another_rate(tmp_path: Path, picture) -> None:
    path = tmp_path / "a.mp4"
    sound = np.zeros((22_050, 2), np.float32)
    write_film(path, [picture(n, (48, 64)) for n in range(10)], Fraction(10), audio=sound, sample_rate=22_050)
    with av.open(str(path)) as film:
        assert film.streams.audio[0].codec_context.channels == 2
        assert film.streams.audio[0].codec_context.sample_rate == 22_050


def test_a_drawn_film_without_sound_or_frames(tmp_path: Path, picture) -> None:
    write_film(tmp_path / "a.mp4", [picture(0, (47, 63))], Fraction(30000, 1001))
    assert frames_of(tmp_path / "a.mp4")[0].size_hw == (47, 63)
    with pytest.raises(MediaError, match="no frames"):
        write_film(tmp_path / "b.mp4", [], Fraction(25))
    assert names_in(tmp_path) == ["a.mp4"]
