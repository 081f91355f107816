import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import anonymize.pipeline
from anonymize.cli import app

from .test_page import Checker


@pytest.fixture
def run(walking_detector: type, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr(anonymize.pipeline, "build_detector", lambda **_: walking_detector())
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


def test_a_page_is_written_about_a_film(
    tmp_path: Path, make_film: Callable[..., Path], run: Callable[..., Result]
) -> None:
    film, page = make_film(tmp_path / "in <1>.mp4"), tmp_path / "page.html"
    result = run(film, "-o", tmp_path / "out.mp4", "--mode", "solid", "--report", page)
    assert result.exit_code == 0, result.output
    checker = Checker.check(page.read_text())
    text = " ".join(checker.text)
    for words in ("out.mp4", "in <1>.mp4", "solid", "Track 1", "detector-embedded.safetensors", "1.20 s"):
        assert words in text, words
    assert checker.seen.count("img") == 1


def test_a_page_is_written_about_a_picture(tmp_path: Path, run: Callable[..., Result]) -> None:

    cv2.imwrite(str(tmp_path / "in.png"), np.full((96, 128, 3), 90, np.uint8))
    result = run(tmp_path / "in.png", "-o", tmp_path / "out.png", "--report", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "tracks" in Checker.check((tmp_path / "page.html").read_text()).ids


def test_pages_that_cannot_be_written_stop_the_work_before_it_begins(
    tmp_path: Path, make_film: Callable[..., Path], run: Callable[..., Result]
) -> None:
    film, output = make_film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    there = tmp_path / "there.html"
    there.write_text("mine")
    for page, code, message in (
        (there, 1, "exists"),
        (tmp_path / "none" / "page.html", 1, "no folder"),
        (output, 2, "the same file"),
        (film, 1, "it is the input"),
    ):
        result = run(film, "-o", output, "--report", page)
        assert result.exit_code == code, result.output
        assert message in result.stderr
        assert not output.exists()
    assert there.read_text() == "mine"
    result = run(tmp_path, "-o", tmp_path / "out", "--report", tmp_path / "page.html")
    assert result.exit_code == 2
    assert "not a folder" in result.stderr


def test_without_a_page_nothing_is_gathered(
    tmp_path: Path, make_film: Callable[..., Path], run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        sys.exit("called")

    monkeypatch.setattr("anonymize.report.FilmReport.add", never)
    assert run(make_film(tmp_path / "in.mp4"), "-o", tmp_path / "out.mp4").exit_code == 0
