"""Pictures of a folder as one film, from the command line to the files."""

import json
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from anonymize.api import anonymize_image, anonymize_video, detect_film, render_film
from anonymize.batch import BatchReport, anonymize_folder
from anonymize.cli import app
from anonymize.core.errors import AnonymizeError
from anonymize.core.types import Frame, Tracks
from anonymize.options import Options, ReadOptions
from anonymize.tracksfile.file import TracksFile
from anonymize.verify.pairs import MismatchError, check_kinds, pair_frames

SIZE_HW = (96, 128)
SEQUENCE = Options(read=ReadOptions(sequence=True))


def picture(number: int, size_hw: tuple[int, int] = SIZE_HW, dtype: Any = np.uint8) -> np.ndarray:
    """[H, W, 3] soft moving stripes with noise, which no lossy coder keeps."""
    noise = np.random.default_rng(number).random((*size_hw, 3))
    row = 0.5 + 0.3 * np.sin(np.linspace(0, 6, size_hw[1])[:, None] + number / 8 + np.arange(3))
    return ((row + 0.1 * noise) * np.iinfo(dtype).max).astype(dtype)


def make_sequence(folder: Path, frames: int = 8, suffix: str = ".png", dtype: Any = np.uint8) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(frames):
        assert cv2.imwrite(str(folder / f"{number}{suffix}"), picture(number, dtype=dtype))
    return folder


def make_lossless_film(path: Path, folder: Path, rate: int) -> Path:
    """The pictures of a folder as a film of the same samples."""
    files = sorted(folder.iterdir(), key=lambda file: int(file.stem))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *SIZE_HW, "bgr0"
        for number, file in enumerate(files):
            image = np.ascontiguousarray(cv2.imread(str(file))[..., ::-1])
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class Seen:
    """What was written, frame by frame."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []
        self.tracks: list[Tracks] = []

    def __call__(self, frame: Frame, tracks: Tracks) -> None:
        self.images.append(frame.image)
        self.tracks.append(tracks)


def test_the_result_is_that_of_the_film_of_the_pictures(tmp_path: Path, walking_detector: Any) -> None:
    """12 pictures at 10 a second, of which one is missed, and the same as a lossless film."""

    class Missing(walking_detector):  # type: ignore[misc]
        def _detect(self, image: np.ndarray) -> Any:
            found = super()._detect(image)
            return found[np.array([self.seen != 6])]

    source = make_sequence(tmp_path / "in", frames=12)
    film = make_lossless_film(tmp_path / "in.mkv", source, rate=10)
    one, other = Seen(), Seen()
    summary = anonymize_video(
        source, tmp_path / "out", mode="blur", sequence=True, fps=10, detector=Missing(), observe=one
    )
    of_film = anonymize_video(film, tmp_path / "out.mkv", mode="blur", detector=Missing(), observe=other)
    assert (summary.frames, summary.people, summary.frames_with_people) == (12, 1, 12)
    assert (of_film.frames, of_film.people, of_film.frames_with_people) == (12, 1, 12)
    assert one.tracks[5].filled.all()
    for number, (image, expected, mine, theirs) in enumerate(
        zip(one.images, other.images, one.tracks, other.tracks, strict=True)
    ):
        assert (image == expected).all()
        assert (mine.ids == theirs.ids).all()
        written = cv2.imread(str(tmp_path / "out" / f"{number}.png"))[..., ::-1]
        assert (written == image).all()
        assert (written != picture(number)[..., ::-1]).any()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_stay_as_they_are_outside_the_people(tmp_path: Path, walking_detector: Any, suffix: str) -> None:
    source = make_sequence(tmp_path / "in", suffix=suffix, dtype=np.uint16)
    seen = Seen()
    anonymize_video(source, tmp_path / "out", mode="solid", sequence=True, detector=walking_detector(), observe=seen)
    for number in range(8):
        before = cv2.imread(str(source / f"{number}{suffix}"), cv2.IMREAD_UNCHANGED)
        after = cv2.imread(str(tmp_path / "out" / f"{number}{suffix}"), cv2.IMREAD_UNCHANGED)
        assert after.dtype == np.uint16
        differs = (before != after).any(axis=2)
        [box] = seen.tracks[number].detections.boxes_xyxy.astype(int)
        rim = 20
        inside = np.zeros_like(differs)
        inside[max(0, box[1] - rim) : box[3] + rim, max(0, box[0] - rim) : box[2] + rim] = True
        assert differs[box[1] : box[3], box[0] : box[2]].all()
        assert not differs[~inside].any()


@pytest.mark.parametrize("keep", [False, True])
def test_exif_as_of_single_pictures(tmp_path: Path, walking_detector: Any, keep: bool) -> None:
    source = make_sequence(tmp_path / "in", frames=2, suffix=".jpg")
    for path in source.iterdir():
        exif = Image.Exif()
        exif[0x0110] = "a camera"
        exif[0x0112] = 6  # Turned by a quarter.
        with Image.open(path) as image:
            image.save(path, exif=exif)
    summary = anonymize_video(
        source, tmp_path / "out", mode="blur", sequence=True, keep_metadata=keep, detector=walking_detector()
    )
    anonymize_image(source / "0.jpg", tmp_path / "0.jpg", mode="blur", keep_metadata=keep, detector=walking_detector())
    with Image.open(tmp_path / "0.jpg") as alone, Image.open(tmp_path / "out" / "0.jpg") as image:
        assert image.getexif() == alone.getexif()
        assert image.size == alone.size
        assert image.quantization == alone.quantization  # type: ignore[attr-defined]
        assert image.size == SIZE_HW, "upright, so width and height have changed places"
        assert image.getexif().get(0x0110) == ("a camera" if keep else None)
    assert summary.warnings == (() if keep else ("left out because it may identify: EXIF",))


def test_detect_edit_render(tmp_path: Path, walking_detector: Any) -> None:
    source = make_sequence(tmp_path / "in")
    tracks = tmp_path / "tracks.json"
    options: dict[str, Any] = {"mode": "solid", "sequence": True, "fps": 5}
    anonymize_video(source, tmp_path / "plain", detector=walking_detector(), **options)
    detect_film(source, tracks, detector=walking_detector(), **options)
    render_film(source, tracks, tmp_path / "rendered")
    for path in (tmp_path / "plain").iterdir():
        assert (tmp_path / "rendered" / path.name).read_bytes() == path.read_bytes()
    contents = json.loads(tracks.read_text())
    assert (contents["settings"]["sequence"], contents["settings"]["fps"]) == (True, 5)
    contents["tracks"][0]["action"] = "keep"
    tracks.write_text(json.dumps(contents))
    render_film(source, tracks, tmp_path / "kept")
    assert all((cv2.imread(str(tmp_path / "kept" / f"{n}.png")) == picture(n)).all() for n in range(8))
    shutil.copy(source / "0.png", source / "8.png")
    with TracksFile(tracks) as stored, pytest.raises(AnonymizeError, match="another film"):
        stored.check_film(source)


def test_memory_holds_a_second_of_pictures_not_all(tmp_path: Path, walking_detector: Any) -> None:
    """Frames that are read but not written yet."""
    source = make_sequence(tmp_path / "in", frames=60)
    written, most = 0, 0
    detector = walking_detector()

    def observe(frame: Frame, tracks: Tracks) -> None:
        nonlocal written, most
        written += 1
        most = max(most, detector.seen - written)

    anonymize_video(source, tmp_path / "out", mode="blur", sequence=True, detector=detector, observe=observe)
    assert written == 60
    assert most < 30


class TestFolders:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        make_sequence(tmp_path / "in", frames=3)
        make_sequence(tmp_path / "in" / "a" / "left", frames=4)
        make_sequence(tmp_path / "in" / "a" / "right", frames=5, suffix=".jpg")
        return tmp_path / "in"

    @pytest.fixture
    def run(self, folder: Path, tmp_path: Path, walking_detector: Any) -> Callable[..., BatchReport]:
        def run(options: Options = SEQUENCE, **more: Any) -> BatchReport:
            more = {"build_detector": lambda options, kind: walking_detector(), "weights": [], **more}
            return anonymize_folder(folder, tmp_path / "out", options, **more)

        return run

    @staticmethod
    def states(report: BatchReport) -> dict[str, tuple[str, int | None]]:
        return {each.name: (each.state, each.frames) for each in report.outcomes}

    def test_each_folder_is_a_sequence(self, run: Callable[..., BatchReport], tmp_path: Path) -> None:
        assert self.states(run()) == {".": ("done", 3), "a/left": ("done", 4), "a/right": ("done", 5)}
        names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.???"))
        assert names == sorted(
            [f"{n}.png" for n in range(3)]
            + [f"a/left/{n}.png" for n in range(4)]
            + [f"a/right/{n}.jpg" for n in range(5)]
        )

    def test_again_only_what_has_changed(self, run: Callable[..., BatchReport], folder: Path, tmp_path: Path) -> None:
        run()
        assert {state for state, _ in self.states(run()).values()} == {"unchanged"}
        (folder / "a" / "left" / "0.png").touch()
        assert {state for state, _ in self.states(run()).values()} == {"unchanged"}, "the same content"
        cv2.imwrite(str(folder / "a" / "left" / "1.png"), picture(77))
        (tmp_path / "out" / "1.png").unlink()
        assert self.states(run()) == {".": ("done", 3), "a/left": ("done", 4), "a/right": ("unchanged", 5)}
        shutil.copy(folder / "a" / "right" / "0.jpg", folder / "a" / "right" / "10.jpg")
        assert self.states(run())["a/right"] == ("done", 6)
        assert {s for s, _ in self.states(run(Options(read=ReadOptions(sequence=True, fps=5)))).values()} == {"done"}

    def test_what_is_not_ours_is_not_replaced(self, run: Callable[..., BatchReport], tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "2.png").write_text("precious")
        report = run()
        assert self.states(report)["."][0] == "failed"
        assert (tmp_path / "out" / "2.png").read_text() == "precious"
        assert not (tmp_path / "out" / "1.png").exists()
        assert self.states(run(overwrite=True))["."][0] == "done"

    def test_after_a_run_over_single_pictures(self, run: Callable[..., BatchReport]) -> None:
        assert len(run(Options()).outcomes) == 12
        assert {state for state, _ in self.states(run()).values()} == {"done"}

    def test_one_that_fails_leaves_nothing_and_the_others(
        self, run: Callable[..., BatchReport], folder: Path, tmp_path: Path
    ) -> None:
        (folder / "a" / "left" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        report = run()
        assert {name: state for name, (state, _) in self.states(report).items()} == {
            ".": "done",
            "a/left": "failed",
            "a/right": "done",
        }
        assert "3.png" in report.failures()[0]
        assert list((tmp_path / "out" / "a" / "left").iterdir()) == []

    def test_what_a_killed_run_left_goes(self, run: Callable[..., BatchReport], tmp_path: Path) -> None:
        """As after a kill in the middle of a sequence: its partial folder, and a manifest that calls it begun."""
        run()
        out = tmp_path / "out"
        with (out / ".anonymize" / "manifest.jsonl").open("a") as manifest:
            manifest.write('{"output": ".", "state": "begun"}\n')
        (out / ".0123abcd.partial").mkdir()
        (out / "0.png").rename(out / ".0123abcd.partial" / "0.png")
        assert self.states(run()) == {".": ("done", 3), "a/left": ("unchanged", 4), "a/right": ("unchanged", 5)}
        assert not list(out.rglob(".*.partial"))
        assert (out / "0.png").exists()

    def test_verify_pairs_by_name(self, run: Callable[..., BatchReport], folder: Path, tmp_path: Path) -> None:
        run()
        source, out = folder / "a" / "left", tmp_path / "out" / "a" / "left"
        pairs = list(pair_frames(source, out, fps=2))
        assert [seconds for seconds, _, _ in pairs] == [0, 0.5, 1, 1.5]
        assert all(old.source.path.name == new.source.path.name for _, old, new in pairs)
        shutil.move(out / "2.png", out / "7.png")
        with pytest.raises(MismatchError, match=r"3\.png of .* stands where 2\.png should"):
            list(pair_frames(source, out))
        (out / "7.png").unlink()
        with pytest.raises(MismatchError):
            list(pair_frames(source, out))
        with pytest.raises(AnonymizeError, match="more than one sequence"):
            check_kinds(folder, tmp_path / "out")


class TestCommand:
    @pytest.fixture
    def call(self) -> Callable[..., Any]:
        return lambda *words: CliRunner().invoke(app, [str(word) for word in words])

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["{film}", "-o", "{out}", "--sequence"], "lie in a folder"),
            (["{folder}", "-o", "{out}", "--fps", "5"], "--sequence"),
            (["{folder}", "-o", "{out}", "--sequence", "--fps", "0"], "fps must be above 0"),
            (["{folder}", "-o", "{out}", "--sequence", "--tracks", "{tracks}"], "more than one sequence"),
            (["detect", "{folder}", "-o", "{tracks}", "--sequence"], "more than one sequence"),
        ],
    )
    def test_wrong_use(self, call: Callable[..., Any], tmp_path: Path, words: Sequence[str], told: str) -> None:
        make_sequence(tmp_path / "in" / "a", frames=1)
        (tmp_path / "film.mp4").write_bytes(b"-")
        places = {name: tmp_path / name for name in ("out",)} | {
            "film": tmp_path / "film.mp4",
            "folder": tmp_path / "in",
            "tracks": tmp_path / "tracks.json",
        }
        result = call(*(word.format(**places) for word in words))
        assert result.exit_code == 2
        assert told in result.stderr
        assert not (tmp_path / "out").exists()

    def test_tracks_report_and_verify(self, call: Callable[..., Any], tmp_path: Path) -> None:
        """The whole program with the embedded networks."""
        source = tmp_path / "in"
        source.mkdir()
        with av.open(str(Path(__file__).parents[1] / "examples" / "street.mp4")) as film:
            for number, frame in zip(range(3), film.decode(video=0), strict=False):
                cv2.imwrite(str(source / f"{number:06}.png"), frame.to_ndarray(format="bgr24"))
        out, page, tracks = tmp_path / "out", tmp_path / "page.html", tmp_path / "tracks.json.gz"
        words = [source, "-o", out, "--sequence", "--mode", "solid", "--report", page, "--tracks", tracks]
        result = call(*words)
        assert result.exit_code == 0, result.output
        assert "3 frames, 3 with people" in result.stdout
        assert sorted(path.name for path in out.iterdir()) == ["000000.png", "000001.png", "000002.png"]
        assert "<td" in page.read_text() or "<dd" in page.read_text()
        with TracksFile(tracks) as stored:
            stored.check_film(source)
        assert call("verify", source, out, "--quiet").exit_code == 0
        assert call("verify", source, shutil.copytree(source, tmp_path / "copy"), "--quiet").exit_code == 3
