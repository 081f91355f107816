"""`anonymize weights ...` as a user calls it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from anonymize.cli import app

RUN = CliRunner()


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_list_tells_licence_and_address() -> None:
    result = RUN.invoke(app, ["weights", "list"])
    assert result.exit_code == 0
    assert "mask-rcnn-x101" in result.stdout
    assert "CC BY-SA 3.0" in result.stdout
    assert "https://" in result.stdout
    lines = result.stdout.splitlines()
    (row,) = (k for k, line in enumerate(lines) if line.startswith("mask-rcnn-r50-v2 "))
    assert "186 MB" in lines[row] and "sha256, its first 8 digits" in lines[row]
    assert "BSD-3-Clause" in lines[row + 1] and lines[row + 2].endswith("73cbd019.pth")


def test_path_of_what_is_missing_is_one_line(tmp_path: Path) -> None:
    assert RUN.invoke(app, ["weights", "path"]).stdout.strip() == str(tmp_path / "anonymize")
    result = RUN.invoke(app, ["weights", "path", "cse-r50"])
    assert result.exit_code == 1
    assert result.stderr.strip().count("\n") == 0
    assert "anonymize weights pull cse-r50" in result.stderr


def test_check_names_what_is_missing() -> None:
    assert RUN.invoke(app, ["weights", "check"]).exit_code == 0
    result = RUN.invoke(app, ["weights", "check", "cse-r50"])
    assert result.exit_code == 1
    assert "missing" in result.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["nobody"], ["cse-r50", "--from", "nowhere.pkl"], ["zoo", "--from", __file__]]
)
def test_wrong_use_of_pull(arguments: list[str]) -> None:
    result = RUN.invoke(app, ["weights", "pull", *arguments])
    assert result.exit_code == 2
    assert result.stderr.startswith("anonymize: ")


def test_a_wrong_file_is_refused() -> None:
    result = RUN.invoke(app, ["weights", "pull", "cse-r50", "--from", __file__])
    assert result.exit_code == 1
    assert "its checksum is another" in result.stderr


def test_a_file_from_elsewhere_is_kept_found_and_watched(tmp_path: Path) -> None:
    source = tmp_path / "copy.pkl"
    source.write_bytes(b"weights")
    pulled = RUN.invoke(app, ["weights", "pull", "mask-rcnn-r50", "--from", str(source)])
    assert pulled.exit_code == 0
    path = RUN.invoke(app, ["weights", "path", "mask-rcnn-r50"])
    assert path.exit_code == 0
    assert Path(path.stdout.strip()).read_bytes() == b"weights"
    assert path.stdout == pulled.stdout
    good = RUN.invoke(app, ["weights", "check", "mask-rcnn-r50"])
    assert (good.exit_code, good.stdout.split()) == (0, ["mask-rcnn-r50", "good"])
    assert "here" in RUN.invoke(app, ["weights", "list"]).stdout

    Path(path.stdout.strip()).write_bytes(b"weightz")
    changed = RUN.invoke(app, ["weights", "check", "mask-rcnn-r50"])
    assert (changed.exit_code, changed.stdout.split()) == (1, ["mask-rcnn-r50", "changed"])


def test_a_film_with_the_zoo_says_what_to_pull(tmp_path: Path) -> None:
    from anonymize.core.errors import WeightsError
    from anonymize.detect.build import build_detector

    with pytest.raises(WeightsError, match="anonymize weights pull zoo"):
        build_detector("zoo")
