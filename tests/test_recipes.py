"""The commands of docs/recipes.md, run as they stand there."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from anonymize.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "recipes.md").read_text()
FRAMES = 3


def commands(title: str) -> list[list[str]]:
    """The words after `anonymize` of each command under a heading."""
    [section] = re.findall(rf"^## {title}.*?\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    lines = [
        line
        for block in re.findall(r"^```\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]
    assert all(line.startswith("anonymize ") for line in lines)
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of the bundled clip, with a tone."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(ROOT / "examples" / "street.mp4")) as source, av.open(str(path), "w") as out:
        video: Any = out.add_stream("libx264", rate=10)
        sound: Any = out.add_stream("aac", rate=16_000, layout="mono")
        out.metadata["location"] = "+52.1+5.1/"
        for number, frame in zip(range(FRAMES), source.decode(video=0), strict=False):
            if number == 0:
                video.width, video.height, video.pix_fmt = frame.width, frame.height, "yuv420p"
            picture = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), "rgb24")
            picture.pts = number
            out.mux(video.encode(picture))
        out.mux(video.encode())
        tone = 0.1 * np.sin(np.arange(16_000 * FRAMES // 10) / 10).astype(np.float32)
        heard = av.AudioFrame.from_ndarray(tone[None], "fltp", "mono")
        heard.sample_rate = 16_000
        out.mux(sound.encode(heard))
        out.mux(sound.encode())
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def run(words: list[str]) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"{words}: {result.output}"
    return result.output


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as film:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]).astype(int)


def test_every_recipe_is_run() -> None:
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    tested = ["A folder of dashcam", "A KITTI sequence", "A film of a camera", "A film from a phone"]
    assert [title.startswith(start) for title, start in zip(titles, tested, strict=True)] == [True] * len(tested)


def test_dashcam(here: Path, clip: Path) -> None:
    (here / "dashcam").mkdir()
    shutil.copy(clip, here / "dashcam" / "front.mp4")
    folder, verify = commands("A folder of dashcam")
    assert "1 done" in run(folder)
    assert "no person is visible" in run(verify)


def test_kitti(here: Path, clip: Path) -> None:
    folder = here / "kitti" / "image_02" / "data"
    folder.mkdir(parents=True)
    for number, image in enumerate(pictures(clip)):
        cv2.imwrite(str(folder / f"{number:010}.png"), image[..., ::-1])
    [command] = commands("A KITTI sequence")
    assert "1 done" in run(command)
    for path in folder.iterdir():
        before = cv2.imread(str(path))
        after = cv2.imread(str(here / "kitti-anonymized" / path.relative_to(here / "kitti")))
        share = (before != after).any(axis=2).mean()
        assert 0.01 < share < 0.5


def test_court(here: Path, clip: Path) -> None:
    shutil.copy(clip, here / "cctv.mp4")
    detect, overview, render = commands("A film of a camera")
    run(detect)
    run(overview)
    tracks = here / "tracks.json"
    text = tracks.read_text()
    assert len(re.findall('"class": "person", "action": "solid"', text)) > 1
    tracks.write_text(re.sub('("id": 1, "class": "person", "action"): "solid"', r'\1: "keep"', text))
    run(render)
    black = [(pictures(here / name).max(axis=-1) < 24).sum() for name in ("cctv.mp4", "evidence.mp4")]
    tracks.write_text(text)
    run([*render, "--overwrite"])
    all_black = (pictures(here / "evidence.mp4").max(axis=-1) < 24).sum()
    assert black[0] < black[1] < all_black


def test_phone(here: Path, clip: Path) -> None:
    shutil.copy(clip, here / "phone.mp4")
    [command] = commands("A film from a phone")
    run(command)
    assert "<img" in (here / "report.html").read_text()
    with av.open(str(here / "phone-anonymized.mp4")) as film:
        assert "location" not in film.metadata
        assert film.streams.audio
