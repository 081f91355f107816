import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from anonymize import __version__, cli, pipeline
from anonymize.cli import app

ROOT = Path(__file__).resolve().parents[1]


def anonymize(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="anonymize")


def one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1


def frame_count(path: Path) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture
def film(tmp_path: Path, make_film: Callable[..., Path]) -> Path:
    return make_film(tmp_path / "in.mp4")


@pytest.fixture(autouse=True)
def doubled_detector(monkeypatch: pytest.MonkeyPatch, walking_detector: Callable[..., Any]) -> list[dict[str, Any]]:
    """The commands find one walking box; the list holds how the detector was asked for."""
    asked: list[dict[str, Any]] = []

    def build(**options: Any) -> Any:
        asked.append(options)
        return walking_detector()

    monkeypatch.setattr(pipeline, "build_detector", build)
    return asked


class TestUse:
    def test_version(self) -> None:
        result = anonymize("--version")
        assert (result.exit_code, result.stdout) == (0, f"anonymize {__version__}\n")

    def test_help_names_every_option_of_the_readme(self) -> None:
        result = anonymize("--help")
        assert result.exit_code == 0
        assert "Usage: anonymize [OPTIONS]" in result.stdout
        readme = (ROOT / "README.md").read_text()
        for option in set(re.findall(r"^ {2}(?:-\w, )?(--[\w-]+)", result.stdout, re.MULTILINE)) - {"--help"}:
            assert f"`{option}" in readme or f" {option}" in readme, f"{option} is not in the README"

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["in.mp4"],
            ["in.mp4", "-o", "out.mp4", "--mode", "gauss"],
            ["in.mp4", "-o", "out.mp4", "--score", "1.5"],
            ["in.mp4", "-o", "out.mp4", "--device", "tpu"],
            ["in.mp4", "-o", "out.mp4", "--color", "pink", "--mode", "solid"],
            ["in.mp4", "-o", "out.mp4", "--start", "-1"],
            ["in.mp4", "-o", "out.mp4", "--start", "2", "--end", "1"],
            ["in.mp4", "-o", "out.mp4", "--end", "0"],
            ["in.mp4", "-o", "out.mp4", "--audio", "loud"],
            ["in.mp4", "-o", "out.mp4", "--no-such-option"],
            ["in.mp4", "too.mp4", "-o", "out.mp4"],
        ],
    )
    def test_wrong_use_is_told_with_exit_code_2(
        self, arguments: list[str], film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        result = anonymize(*arguments)
        assert result.exit_code == 2, result.output
        assert not arguments or result.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]

    def test_a_sub_command_comes_first_and_a_file_of_its_name_is_reached_by_its_folder(
        self, tmp_path: Path, make_film: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "other_command.py").write_text(
            textwrap.dedent(
                """
                import typer

                app = typer.Typer()

                @app.callback()
                def group() -> None: ...

                @app.command()
                def detector(steps: int = 3) -> None:
                    print(f"trained {steps}")
                """
            )
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(cli.SUBCOMMANDS, "train", ("other_command", "Train things."))
        monkeypatch.setitem(cli.SUBCOMMANDS, "broken", ("no_such_module", "Needs an extra."))
        monkeypatch.chdir(tmp_path)
        assert anonymize("train", "detector", "--steps", 5).stdout == "trained 5\n"
        assert "Train things." in anonymize("--help").stdout
        assert "Usage: anonymize train" in anonymize("train", "--help").stdout
        broken = anonymize("broken")
        assert broken.exit_code == 1
        assert one_line(broken.stderr)
        assert "no_such_module" in broken.stderr

        make_film(tmp_path / "in.mp4").rename(tmp_path / "train")
        result = anonymize("./train", "-o", "out.mp4")
        assert result.exit_code == 0, result.stderr
        assert frame_count(tmp_path / "out.mp4") == 12


class TestFilm:
    def test_done(self, film: Path, tmp_path: Path, doubled_detector: list[dict[str, Any]]) -> None:
        out = tmp_path / "out.mp4"
        result = anonymize(film, "-o", out, "--score", 0.25, "--device", "cpu")
        assert result.exit_code == 0, result.stderr
        assert frame_count(out) == 12
        assert one_line(result.stdout)
        assert result.stdout.startswith(f"{out}: 12 frames, 12 with people")
        assert "frames/s" in result.stdout
        assert doubled_detector[0]["score"] == 0.25
        assert str(doubled_detector[0]["device"]) == "cpu"

    def test_options_come_before_or_after(self, film: Path, tmp_path: Path) -> None:
        assert anonymize("--mode", "pixelate", "-o", tmp_path / "out.mp4", film).exit_code == 0

    def test_quiet_prints_nothing(self, film: Path, tmp_path: Path) -> None:
        result = anonymize(film, "-o", tmp_path / "out.mp4", "-q")
        assert (result.exit_code, result.output) == (0, "")

    def test_start_and_end(self, film: Path, tmp_path: Path) -> None:
        result = anonymize(film, "-o", tmp_path / "out.mp4", "--start", 0.25, "--end", 0.85)
        assert result.exit_code == 0, result.stderr
        assert frame_count(tmp_path / "out.mp4") in (6, 7)

    def test_solid_colour(self, film: Path, tmp_path: Path, walking_detector: Any) -> None:
        assert anonymize(film, "-o", tmp_path / "o.mp4", "--mode", "solid", "--color", "00ff00").exit_code == 0
        with av.open(tmp_path / "o.mp4") as container:
            image = next(container.decode(video=0)).to_ndarray(format="rgb24")
        mask = walking_detector.mask(0, image.shape[:2])
        assert np.abs(np.median(image[mask.slices], axis=(0, 1)) - (0, 255, 0)).max() < 12

    def test_sound_is_kept_or_dropped(self, film: Path, tmp_path: Path) -> None:
        for choice, streams in (("copy", 1), ("drop", 0)):
            out = tmp_path / f"{choice}.mp4"
            assert anonymize(film, "-o", out, "--audio", choice).exit_code == 0
            with av.open(out) as container:
                assert len(container.streams.audio) == streams

    def test_a_picture(self, tmp_path: Path) -> None:
        source = tmp_path / "in.png"
        save_picture(source)
        result = anonymize(source, "-o", tmp_path / "out.png")
        assert result.exit_code == 0, result.stderr
        assert result.stdout.startswith(f"{tmp_path / 'out.png'}: 1 frame, 1 with people")

    def test_a_picture_has_no_start(self, tmp_path: Path) -> None:
        save_picture(tmp_path / "in.png")
        assert anonymize(tmp_path / "in.png", "-o", tmp_path / "out.png", "--start", 1).exit_code == 2


def save_picture(path: Path) -> None:
    import cv2

    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8))


def empty(folder: Path, film: Path) -> Path:
    (folder / "bad.mp4").write_bytes(b"")
    return folder / "bad.mp4"


def truncated(folder: Path, film: Path) -> Path:
    content = film.read_bytes()
    (folder / "bad.mp4").write_bytes(content[: len(content) // 2])
    return folder / "bad.mp4"


def text(folder: Path, film: Path) -> Path:
    (folder / "bad.mp4").write_text("no film at all\n" * 100)
    return folder / "bad.mp4"


def scrambled(folder: Path, film: Path) -> Path:
    """The header is whole, the pictures are not."""
    content = bytearray(film.read_bytes())
    start = content.index(b"mdat") + 4
    noise = np.random.default_rng(0).integers(0, 256, 4000, np.uint8).tobytes()
    content[start : start + min(4000, len(content) - start - 2000)] = noise[: min(4000, len(content) - start - 2000)]
    (folder / "bad.mp4").write_bytes(content)
    return folder / "bad.mp4"


def audio_only(folder: Path, film: Path) -> Path:
    with av.open(film) as source, av.open(folder / "bad.mp4", "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return folder / "bad.mp4"


def missing(folder: Path, film: Path) -> Path:
    return folder / "missing.mp4"


def empty_picture(folder: Path, film: Path) -> Path:
    (folder / "bad.png").write_bytes(b"")
    return folder / "bad.png"


class TestBadInput:
    @pytest.mark.parametrize(
        "spoil",
        [empty, truncated, text, scrambled, audio_only, missing, empty_picture],
        ids=lambda f: f.__name__,
    )
    def test_one_line_exit_1_no_file(self, spoil: Callable[[Path, Path], Path], film: Path, tmp_path: Path) -> None:
        source = spoil(tmp_path, film)
        before = sorted(tmp_path.iterdir())
        result = anonymize(source, "-o", tmp_path / f"out{source.suffix}")
        assert result.exit_code == 1, result.output
        assert one_line(result.stderr), result.stderr
        assert "internal" not in result.stderr
        assert result.stdout == ""
        assert sorted(tmp_path.iterdir()) == before

    def test_a_missing_folder_for_the_output(self, film: Path, tmp_path: Path) -> None:
        result = anonymize(film, "-o", tmp_path / "no" / "out.mp4")
        assert result.exit_code in (1, 2)
        assert one_line(result.stderr)
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]

    def test_output_equal_to_input_is_refused(self, film: Path) -> None:
        before = film.read_bytes()
        result = anonymize(film, "-o", film, "--overwrite")
        assert result.exit_code in (1, 2)
        assert one_line(result.stderr)
        assert film.read_bytes() == before

    def test_an_existing_output_needs_overwrite(self, film: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.mp4"
        out.write_bytes(b"precious")
        result = anonymize(film, "-o", out)
        assert result.exit_code in (1, 2)
        assert one_line(result.stderr)
        assert out.read_bytes() == b"precious"
        assert anonymize(film, "-o", out, "--overwrite").exit_code == 0
        assert frame_count(out) == 12

    def test_an_unknown_suffix(self, film: Path, tmp_path: Path) -> None:
        result = anonymize(film, "-o", tmp_path / "out.xyz")
        assert result.exit_code in (1, 2)
        assert one_line(result.stderr)
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]

    def test_an_unknown_codec(self, film: Path, tmp_path: Path) -> None:
        result = anonymize(film, "-o", tmp_path / "out.mp4", "--codec", "libnothing")
        assert result.exit_code in (1, 2)
        assert one_line(result.stderr)
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]

    def test_one_frame(self, tmp_path: Path, make_film: Callable[..., Path]) -> None:
        result = anonymize(make_film(tmp_path / "one.mp4", frames=1), "-o", tmp_path / "out.mp4")
        assert result.exit_code == 0, result.stderr
        assert frame_count(tmp_path / "out.mp4") == 1

    def test_an_odd_size_is_kept(self, tmp_path: Path, make_film: Callable[..., Path]) -> None:
        film = make_film(tmp_path / "in.mkv", size_hw=(97, 129), pixel_format="yuv444p")
        result = anonymize(film, "-o", tmp_path / "out.mp4", "--mode", "blur")
        assert result.exit_code == 0, result.stderr
        assert one_line(result.stderr)
        assert "odd" in result.stderr
        with av.open(tmp_path / "out.mp4") as container:
            stream = container.streams.video[0]
            assert (stream.height, stream.width) == (97, 129)

    def test_an_error_within_is_one_line_too(self, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(**_: Any) -> None:
            raise RuntimeError("two\nlines")

        monkeypatch.setattr(pipeline, "build_detector", broken)
        result = anonymize(film, "-o", tmp_path / "out.mp4")
        assert result.exit_code == 1
        assert one_line(result.stderr)
        assert "RuntimeError: two lines" in result.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it as ignored
import numpy as np
from anonymize import cli, pipeline
from anonymize.core.types import Detections

class SlowDetector:
    surface = None

    def detect(self, images):
        print("detecting", flush=True)
        time.sleep({pause})
        return [Detections.empty(image.shape[:2]) for image in images]

pipeline.build_detector = lambda **_: SlowDetector()
cli.main()
"""


def start(pause: float, *arguments: object, **options: Any) -> "subprocess.Popen[str]":
    """The command line as a real process, with a detector that takes its time."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(pause=pause), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


class TestProcess:
    @pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_an_interrupt_ends_all_and_leaves_no_file(
        self, sent: signal.Signals, code: int, tmp_path: Path, make_film: Callable[..., Path]
    ) -> None:
        film = make_film(tmp_path / "in.mp4", frames=100)
        with start(2, film, "-o", tmp_path / "out.mp4") as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.readline()
            process.send_signal(sent)
            _, told = process.communicate(timeout=40)  # all of the film takes longer
        assert process.returncode == code, told
        assert "Traceback" not in told
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]

    def test_a_full_disk(self, tmp_path: Path, make_film: Callable[..., Path]) -> None:
        """A limit on the size of files makes writing fail as a full disk does."""
        resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
        film = make_film(tmp_path / "in.mp4", frames=100, size_hw=(240, 320))
        out = tmp_path / "out.mp4"

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        with start(0.0, film, "-o", out, "--crf", 0, preexec_fn=limit, env=os.environ) as process:
            _, told = process.communicate(timeout=60)
        assert process.returncode == 1, told
        assert one_line(told), told
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]

    def test_the_installed_weights_do_a_real_film(self, tmp_path: Path, make_film: Callable[..., Path]) -> None:
        film = make_film(tmp_path / "in.mp4", frames=5)
        command = [sys.executable, "-m", "anonymize", film, "-o", tmp_path / "out.mp4", "--device", "cpu"]
        process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert process.returncode == 0, process.stderr
        assert process.stdout.startswith(f"{tmp_path / 'out.mp4'}: 5 frames, ")
        assert frame_count(tmp_path / "out.mp4") == 5
