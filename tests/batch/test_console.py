import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner, Result

from anonymize.batch import folder as batch_folder
from anonymize.cli import app

Tree = Callable[[Path], dict[str, bytes]]


def anonymize(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="anonymize")


@pytest.fixture(autouse=True)
def doubled_parts(monkeypatch: pytest.MonkeyPatch, doubles: ModuleType) -> None:
    defaults = batch_folder.anonymize_folder.__kwdefaults__
    monkeypatch.setitem(defaults, "build_detector", doubles.build_band)


def test_a_table_and_exit_code_0(folder: Path, tmp_path: Path, tree: Tree) -> None:
    result = anonymize(folder, "-o", tmp_path / "out", "--copy-others")
    assert result.exit_code == 0, result.stderr
    assert tree(tmp_path / "out").keys() == {"a/b/two.mkv", "a/notes.txt", "a/three.png", "one.mp4"}
    assert result.stdout.splitlines()[-1].startswith("4 files: 3 done, 1 copied; 13 frames, ")
    assert result.stderr == ""


def test_a_failure_is_exit_code_1(folder: Path, tmp_path: Path, tree: Tree) -> None:
    (folder / "one.mp4").write_bytes(b"no film")
    result = anonymize(folder, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "2 done, 1 failed" in result.stdout
    quiet = anonymize(folder, "-o", tmp_path / "out", "--quiet")
    assert (quiet.exit_code, quiet.stdout) == (1, "")
    assert quiet.stderr.startswith("anonymize: one.mp4: ")
    assert quiet.stderr.count("\n") == 1


def test_settings_reach_the_files(folder: Path, tmp_path: Path, tree: Tree) -> None:
    results = []
    for mode in ("blur", "solid"):
        anonymize(folder, "-o", tmp_path / mode, "--mode", mode)
        results.append(tree(tmp_path / mode))
    assert all(results[0][name] != results[1][name] for name in results[0])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["in/one.mp4", "-o", "x.mp4", "--workers", "2"], 2),
        (["in/one.mp4", "-o", "x.mp4", "--engine", "ray"], 2),
        (["in/one.mp4", "-o", "x.mp4", "--copy-others"], 2),
        (["in", "-o", "in"], 2),
        (["in", "-o", "out", "--workers", "0"], 2),
        (["in", "-o", "out", "--engine", "moon"], 2),
        (["in", "-o", "out", "--ray-address", "local"], 2),
        (["in", "-o", "in/one.mp4"], 1),
        (["in", "-o", "/proc/nowhere"], 1),
    ],
)
def test_wrong_use(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    result = anonymize(*arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr


def test_a_real_process(tmp_path: Path) -> None:
    """Without a file to do it needs no detector."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "gone\n.mp4").symlink_to(tmp_path)
    command = [sys.executable, "-m", "anonymize", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "gone\\n.mp4" in done.stdout
    assert "skipped: a link out of the folder" in done.stdout
