from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from anonymize.core.errors import AnonymizeError, CorruptFrameError, MediaError, OptionError
from anonymize.core.types import Frame
from anonymize.media import is_film, open_film
from anonymize.media.orientation import Orientation

LOSSLESS = {"codec": "ffv1", "name": "in.mkv", "pixel_format": "yuv444p"}


def times(path: Path, **options: float | bool) -> list[Fraction]:
    with open_film(path, **options) as film:
        return [frame.pts * frame.time_base for frame in film]


def number_of(frame: Frame, picture) -> int:
    """Which of the first pictures a frame shows."""
    return int(np.argmin([np.abs(frame.image.astype(int) - picture(n, (48, 64))).mean() for n in range(40)]))


def test_frames_in_order(make_film, picture) -> None:
    with open_film(make_film(frames=12)) as film:
        frames = list(film)
        assert film.info.frames == 12 and film.info.size_hw == (48, 64) and film.info.rate == 25
        assert film.corrupt_frames == 0 and film.warnings == []
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(n, 25) for n in range(12)]
    assert all(frame.image.flags.c_contiguous and frame.edited is None for frame in frames)
    errors = [np.abs(f.image.astype(int) - picture(f.index, (48, 64))).mean() for f in frames]
    assert max(errors) < 6


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv"])
def test_a_varying_frame_rate(make_film, name: str) -> None:
    pts = [0, 30, 90, 100, 160, 1000, 1010, 1500]
    path = make_film(name=name, frames=8, pts=pts, time_base=Fraction(1, 1000))
    assert times(path) == [Fraction(n, 1000) for n in pts]


def test_the_rate_of_an_uneven_film_is_its_mean(make_film) -> None:
    path = make_film(frames=5, pts=[0, 40, 41, 80, 159], time_base=Fraction(1, 1000))
    with open_film(path) as film:
        assert 20 < film.info.rate < 50


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_has_no_presentation_times_but_frames_come_in_order(make_film, picture, codec: str) -> None:
    path = make_film(name="in.avi", codec=codec, frames=20)
    with open_film(path) as film:
        frames = list(film)
    assert [frame.pts for frame in frames] == list(range(20))
    assert [number_of(frame, picture) for frame in frames] == list(range(20))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("flip_x", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
def test_turned_upright(make_film, picture, transposed: bool, flip_x: bool, flip_y: bool) -> None:
    orientation = Orientation(transposed, flip_x, flip_y)
    path = make_film(frames=1, matrix=orientation.display_matrix)
    with open_film(path) as film:
        (frame,) = film
        assert film.info.orientation == orientation
        assert film.info.size_hw == frame.size_hw == orientation.size((48, 64))
        assert film.info.stored_size_hw == (48, 64)
    expected = orientation.upright(picture(0, (48, 64)))
    assert np.abs(frame.image.astype(int) - expected).mean() < 6


def test_ten_bits_are_looked_at_in_eight(make_film, picture) -> None:
    with open_film(make_film(pixel_format="yuv420p10le", frames=3)) as film:
        frames = list(film)
    assert frames[0].source.format.name == "yuv420p10le"
    assert np.abs(frames[0].image.astype(int) - picture(0, (48, 64))).mean() < 6


@pytest.mark.parametrize("colour_range", [1, 2])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_matrix_and_range_are_honoured(tmp_path: Path, matrix: int, colour_range: int) -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[...] = 200, 30, 40
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "1"})
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        video.codec_context.colorspace, video.codec_context.color_range = matrix, colour_range
        frame = av.VideoFrame.from_ndarray(red, "rgb24").reformat(
            format="yuv420p", dst_colorspace={1: 1, 6: 5, 9: 9}[matrix], dst_color_range=colour_range
        )
        out.mux(video.encode(frame))
        out.mux(video.encode(None))
    with open_film(path) as film:
        (read,) = film
        assert (film.info.colour.matrix, film.info.colour.full_range) == (matrix, colour_range == 2)
    assert np.abs(read.image.astype(int) - red).max() <= 5


@pytest.mark.parametrize("pixel_format", ["bgr0", "gray", "yuv422p10le", "yuv444p16le", "yuva420p"])
def test_other_pixel_formats(make_film, picture, pixel_format: str) -> None:
    with open_film(make_film(name="in.mkv", codec="ffv1", pixel_format=pixel_format, frames=2)) as film:
        image = next(iter(film)).image
    expected = picture(0, (48, 64)).astype(int)
    if pixel_format == "gray":
        expected = (expected @ [0.299, 0.587, 0.114])[..., None].repeat(3, axis=2)
    assert np.abs(image - expected).mean() < 8


def test_what_is_lost_of_hdr_is_told(make_film) -> None:
    screen = "master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    options = {"x265-params": f"log-level=none:{screen}"}
    path = make_film(codec="libx265", pixel_format="yuv420p10le", frames=3, options=options)
    with open_film(path) as film:
        assert len(film.warnings) == 1 and "HDR" in film.warnings[0]


def test_one_frame(make_film) -> None:
    assert times(make_film(frames=1)) == [0]


# From start to end


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv", "in.avi"])
@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [
        (None, None, range(40)),
        (None, 0.4, range(10)),
        (0.0, None, range(40)),
        (0.2, None, range(5, 40)),
        (1.1, 1.3, range(28, 33)),  # 1.1 s lies between frames 27 and 28; 1.3 s between 32 and 33.
        (1.12, 1.16, range(28, 29)),
        (0.01, 99.0, range(1, 40)),
    ],
)
def test_start_and_end(make_film, picture, name: str, start: float | None, end: float | None, kept: range) -> None:
    path = make_film(name=name, frames=40, options={"g": "10"})
    with open_film(path, start=start, end=end) as film:
        frames = list(film)
        assert film.info.frames is not None and abs(film.info.frames - len(kept)) <= 1
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(n, 25) for n in range(len(kept))]
    assert [frame.index for frame in frames] == list(range(len(kept)))
    for frame, number in zip(frames, kept, strict=True):
        assert number_of(frame, picture) == number


def test_a_cut_of_frames_at_uneven_times(make_film) -> None:
    pts = [0, 30, 90, 100, 160, 1000, 1010, 1500]
    path = make_film(frames=8, pts=pts, time_base=Fraction(1, 1000))
    assert times(path, start=0.1, end=1.01) == [Fraction(n, 1000) for n in (0, 60, 900)]


@pytest.mark.parametrize(
    ("start", "end"), [(-1.0, None), (None, -1.0), (2.0, 1.0), (1.0, 1.0), (float("nan"), None), (float("inf"), None)]
)
def test_cuts_that_make_no_sense(make_film, start: float | None, end: float | None) -> None:
    with pytest.raises(OptionError):
        open_film(make_film(), start=start, end=end)


def test_a_start_after_the_end_of_the_film(make_film) -> None:
    with pytest.raises(MediaError, match="ends before --start 9"):
        open_film(make_film(), start=9)


# Bad input: one line each


def test_bad_input(make_film, tmp_path: Path) -> None:
    film = make_film().read_bytes()
    files = {
        "missing.mp4": None,
        "empty.mp4": b"",
        "text.mp4": b"Once upon a time there was no film.\n" * 50,
        "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "concat.mp4": b"ffconcat version 1.0\nfile 'in.mp4'\n",
        "noise.mp4": np.random.default_rng(0).bytes(5000),
        "short.mp4": film[: len(film) // 2],
        "shorter.mp4": film[:30],
        "head.mp4": film[:4],
        "no:such:protocol.mp4": b"text",
    }
    for name, data in files.items():
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(MediaError) as caught, open_film(path) as opened:
            list(opened)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(MediaError, match="folder"):
        open_film(tmp_path)


def test_sound_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(MediaError, match=r"no moving picture, only sound"):
        open_film(path)


def test_a_picture_with_a_film_suffix(make_film, picture, tmp_path: Path) -> None:
    path = tmp_path / "picture.mp4"
    av.VideoFrame.from_ndarray(picture(0, (48, 64)), "rgb24").to_image().save(path, "png")
    with pytest.raises(MediaError, match="a picture, not a film"):
        open_film(path)


def test_a_colon_in_the_name_is_no_protocol(make_film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_film().rename(tmp_path / "http:film.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(times(Path("http:film.mp4"))) == 12


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv", "in.avi"])
def test_cut_short(make_film, name: str) -> None:
    path = make_film(name=name, codec="mpeg4" if name == "in.avi" else "libx264", options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(MediaError, match="cut short"):
        open_film(path)


def test_cut_short_but_tolerated(make_film) -> None:
    path = make_film(name="in.mkv", frames=40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with open_film(path, tolerate_corrupt=True) as film:
        frames = list(film)
        assert 10 < len(frames) < 40
        assert any("cut short" in warning for warning in film.warnings)


def corrupt(path: Path, number: int) -> None:
    """Overwrite the inside of one packet of the picture."""
    with av.open(str(path)) as film:
        packets = [p for p in film.demux(video=0) if p.size]
        start, size = packets[number].pos, packets[number].size
    data = bytearray(path.read_bytes())
    data[start + 6 : start + size] = bytes(b ^ 0x5A for b in data[start + 6 : start + size])
    path.write_bytes(data)


@pytest.mark.parametrize("number", [0, 5, 11, 29])
def test_a_frame_that_cannot_be_decoded(make_film, number: int) -> None:
    path = make_film(frames=30, options={"bf": "0", "g": "10"})
    corrupt(path, number)
    message = rf"a frame at {number / 25:.3f} s cannot be decoded"
    with pytest.raises(CorruptFrameError, match=message) as caught, open_film(path) as film:
        list(film)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [0, 5, 29])
def test_a_frame_that_cannot_be_decoded_is_dropped(make_film, number: int) -> None:
    path = make_film(frames=30, options={"bf": "0", "g": "10"})
    corrupt(path, number)
    with open_film(path, tolerate_corrupt=True) as film:
        frames = list(film)
        assert len(frames) + film.corrupt_frames == 30
        assert 1 <= film.corrupt_frames <= 10
    kept = {frame.pts * frame.time_base for frame in frames}
    assert Fraction(number, 25) not in kept


def test_damage_in_avi_moves_no_other_frame(make_film, picture) -> None:
    path = make_film(name="in.avi", codec="mjpeg", pixel_format="yuvj420p", frames=12, context={"color_range": 2})
    with av.open(str(path)) as film:
        packet = [p for p in film.demux(video=0) if p.size][5]
    data = bytearray(path.read_bytes())
    at = data.index(bytes(packet))
    data[at : at + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    with pytest.raises(CorruptFrameError), open_film(path) as film:
        list(film)
    with open_film(path, tolerate_corrupt=True) as film:
        frames = list(film)
        assert film.corrupt_frames == 1
    assert [frame.pts for frame in frames] == [n for n in range(12) if n != 5]
    assert [number_of(frame, picture) for frame in frames] == [n for n in range(12) if n != 5]


def test_damage_in_bidirectional_frames(make_film) -> None:
    path = make_film(frames=30, options={"bf": "3", "g": "15"})
    corrupt(path, 7)
    with pytest.raises(CorruptFrameError), open_film(path) as film:
        list(film)
    with open_film(path, tolerate_corrupt=True) as film:
        assert len(list(film)) + film.corrupt_frames == 30
        assert film.corrupt_frames >= 1


def test_damage_before_the_cut_that_is_not_needed(make_film) -> None:
    path = make_film(frames=40, options={"bf": "2", "g": "10", "keyint_min": "10", "sc_threshold": "0"})
    corrupt(path, 3)
    assert len(times(path, start=1.0)) == 15


@pytest.mark.parametrize("tolerant", [False, True])
def test_a_cut_of_a_film_without_true_key_frames(make_film, tolerant: bool) -> None:
    path = make_film(frames=40, options={"x264-params": "intra-refresh=1:keyint=8"})
    with open_film(path, start=0.5, tolerate_corrupt=tolerant) as film:
        assert len(list(film)) == 27
        assert film.corrupt_frames == 0


def test_a_missing_frame_is_noticed(make_film) -> None:
    # The decoder says nothing of an HEVC packet that is empty but for its header; the frame just does not come.
    path = make_film(name="in.mkv", codec="libx265", frames=20)
    with av.open(str(path)) as film:
        packets = [p for p in film.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    packet = packets[10]
    at = data.index(bytes(packet))
    data[at + 4] = 0xFE  # A reserved kind of unit, which decoders skip.
    path.write_bytes(data)
    with pytest.raises(CorruptFrameError), open_film(path) as film:
        list(film)


def test_every_error_is_ours(make_film) -> None:
    """Random damage never ends in another exception."""
    path = make_film(frames=10, sound=("aac",))
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(25):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 20):
            broken[at] = rng.integers(0, 256)
        path.write_bytes(broken)
        for tolerant in (False, True):
            try:
                with open_film(path, tolerate_corrupt=tolerant) as film:
                    list(film)
            except AnonymizeError as error:
                assert "\n" not in str(error)


def test_is_film(make_film, tmp_path: Path) -> None:
    assert is_film(make_film()) and is_film("a.MKV") and is_film("a.webm")
    assert not is_film("a.png") and not is_film("a.txt") and not is_film("a")
    disguised = tmp_path / "a.mp4"
    disguised.write_bytes(b"\x89PNG\r\n\x1a\nxxxx")
    assert not is_film(disguised)
