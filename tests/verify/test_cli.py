import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import anonymize.detect.build
from anonymize.cli import app
from anonymize.media import open_film, write_image

from .conftest import Truth, Walk
from .test_verification import blurred

Save = Callable[..., Path]


@pytest.fixture
def run(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Calls `anonymize verify` with a detector that knows the truth."""

    def build(**options: Any) -> Truth:
        assert options["score"] == 0.3
        return Truth(walk)

    monkeypatch.setattr(anonymize.detect.build, "build_detector", build)
    return lambda *arguments: CliRunner().invoke(app, ["verify", *map(str, arguments)])


def test_somebody_visible_is_exit_3_with_the_times(
    walk: Walk, run: Callable[..., Result], save: Save, tmp_path: Path
) -> None:
    output = walk.changed(blurred)
    output[4] = walk.frames[4]
    result = run(save(walk.frames, "original.mp4"), save(output, "output.mp4"), "--json", tmp_path / "out.json")
    assert result.exit_code == 3, result.output
    assert "a person is visible in 1 frames, look at 0.400 s" in result.stdout
    assert "VISIBLE" in result.stdout
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["format"] == "anonymize-verify-1"
    assert written["look_at"] == [{"start": 0.4, "end": 0.4, "frames": 1}]
    assert [p["seconds"] for p in written["people"] if p["verdict"] == "visible"] == [0.4]
    assert (written["frames"], written["people_found"], written["people_visible"]) == (10, 10, 1)
    assert set(written["people"][0]["parts"]) >= {"top centre", "middle centre"}


def test_nobody_visible_is_exit_0(walk: Walk, run: Callable[..., Result], save: Save) -> None:
    original, output = save(walk.frames, "original.mp4"), save(walk.changed(blurred), "output.mp4")
    result = run(original, output)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "no person is visible (10 people in 10 frames looked up)"
    assert "covered" in result.stdout
    assert run(original, output, "--quiet").stdout.splitlines() == result.stdout.splitlines()[-1:]


def test_errors_are_one_line_and_exit_1(walk: Walk, run: Callable[..., Result], save: Save, tmp_path: Path) -> None:
    original, short = save(walk.frames, "original.mp4"), save(walk.frames[:9], "short.mp4")
    for output, message in ((short, "ends after 9 frames"), (tmp_path / "none.mp4", "No such file")):
        result = run(original, output, "--json", tmp_path / "out.json")
        assert result.exit_code == 1
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "out.json").exists()
    assert not list(tmp_path.glob("*partial*"))


def test_json_never_replaces_a_film(walk: Walk, run: Callable[..., Result], save: Save) -> None:
    original, output = save(walk.frames, "original.mp4"), save(walk.frames, "output.mp4")
    before = original.read_bytes()
    result = run(original, output, "--json", original)
    assert result.exit_code == 1
    assert "it is the input" in result.stderr
    assert original.read_bytes() == before


def test_usage() -> None:
    result = CliRunner().invoke(app, ["verify", "--help"], prog_name="anonymize")
    usage = result.stdout.splitlines()[0]
    assert usage.startswith("Usage: anonymize verify [OPTIONS]")
    assert usage.index("ORIGINAL") < usage.index("OUTPUT")
    assert CliRunner().invoke(app, ["verify", "a.mp4"]).exit_code == 2


def test_as_a_process_with_the_shipped_detector(tmp_path: Path) -> None:
    film = Path(__file__).resolve().parents[2] / "examples" / "street.mp4"
    with open_film(film) as reader:
        frame = next(iter(reader))
    pictures = [tmp_path / "original.png", tmp_path / "output.png"]
    for picture in pictures:
        write_image(picture, frame)
    command = [sys.executable, "-m", "anonymize", "verify", *map(str, pictures)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 3, result.stderr
    assert "look at 0.000 s" in result.stdout.splitlines()[-1]
    assert result.stderr == ""
