"""Worker processes. Each takes seconds to start, so few are."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from anonymize.batch import BatchProgress, BatchReport, anonymize_folder, engines
from anonymize.batch.engines import THREAD_VARIABLES
from anonymize.core.errors import WeightsError
from anonymize.options import FolderOptions

Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def deaths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in it is a process that will be killed."""
    (tmp_path / "deaths").mkdir()
    monkeypatch.setenv("ANONYMIZE_TEST_DEATHS", str(tmp_path / "deaths"))
    return tmp_path / "deaths"


def states(report: BatchReport) -> dict[str, str]:
    return {outcome.name: outcome.state for outcome in report.outcomes}


def test_a_killed_process_is_replaced_and_its_file_done(
    folder: Path, tmp_path: Path, doubles: ModuleType, deaths: Path, tree: Tree
) -> None:
    """The results are those of one process, nothing partial is left, and the environment is as before."""
    anonymize_folder(folder, tmp_path / "one", build_detector=doubles.build_band, weights=[])
    (deaths / "1").touch()
    before, seen = dict(os.environ), list[BatchProgress]()
    report = anonymize_folder(
        folder,
        tmp_path / "two",
        folder=FolderOptions(workers=2),
        build_detector=doubles.build_fragile,
        weights=[],
        progress=seen.append,
    )
    assert list(deaths.iterdir()) == []
    assert states(report) == {"a/b/two.mkv": "done", "a/three.png": "done", "one.mp4": "done"}
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
    assert seen[-1] == BatchProgress(3, 3, 13)
    assert dict(os.environ) == before
    assert not set(THREAD_VARIABLES) - before.keys() & os.environ.keys()


def test_a_file_that_kills_every_process_is_given_up(
    folder: Path, tmp_path: Path, doubles: ModuleType, deaths: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(folder / "a")
    monkeypatch.setattr(engines, "ATTEMPTS", 2)
    for number in range(2):
        (deaths / str(number)).touch()
    report = anonymize_folder(
        folder, tmp_path / "out", folder=FolderOptions(workers=2), build_detector=doubles.build_fragile, weights=[]
    )
    assert states(report) == {"one.mp4": "failed"}
    assert "2 processes died of it, the last by signal 9" in report.table()
    assert tree(tmp_path / "out") == {}


def test_parts_that_cannot_be_built_end_the_run(folder: Path, tmp_path: Path, doubles: ModuleType) -> None:
    shutil.rmtree(folder / "a")
    with pytest.raises(WeightsError, match="damaged"):
        anonymize_folder(
            folder, tmp_path / "out", folder=FolderOptions(workers=2), build_detector=doubles.build_nothing, weights=[]
        )
