"""Whatever goes wrong with one file, the others are done, and nothing partial or foreign-looking is left."""

import multiprocessing
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from anonymize import pipeline
from anonymize.batch import BatchReport, anonymize_folder
from anonymize.batch.manifest import Manifest
from anonymize.compose.generated import Canvas
from anonymize.core import files
from anonymize.core.errors import MediaError
from anonymize.media import FilmReader, FilmWriter

Tree = Callable[[Path], dict[str, bytes]]
Run = Callable[..., BatchReport]


class BoomError(RuntimeError):
    """Thrown into a stage."""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(folder: Path, out: Path, doubles: ModuleType) -> Run:
    return lambda **more: anonymize_folder(folder, out, build_detector=doubles.build_band, weights=[], **more)


@pytest.fixture
def permissions(tmp_path: Path) -> None:
    """Skips where the system denies this user nothing."""
    path = tmp_path / "shut"
    path.touch(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read and write everything")


def states(report: BatchReport) -> dict[str, str]:
    return {outcome.name: outcome.state for outcome in report.outcomes}


def after(count: int, error: Exception) -> Callable[..., None]:
    """Raises at the given call and those that follow, until it is told to stop."""
    calls = 0

    def raise_later(*_: object, **__: object) -> None:
        nonlocal calls
        calls += 1
        if calls >= count:
            raise error

    return raise_later


def break_read(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    iterate = FilmReader.__iter__

    def broken(reader: FilmReader) -> Iterator[Any]:
        for number, frame in enumerate(iterate(reader)):
            if number == 2 and reader.info.path is not None and reader.info.path.name == "one.mp4":
                raise error
            yield frame

    monkeypatch.setattr(FilmReader, "__iter__", broken)


def break_function(owner: object, name: str) -> Callable[[pytest.MonkeyPatch, Exception], None]:
    def apply(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        function, fail = getattr(owner, name), after(3, error)

        def broken(*arguments: Any, **options: Any) -> Any:
            if current == ["one.mp4"]:
                fail()
            return function(*arguments, **options)

        current: list[str] = []
        follow_file(monkeypatch, current)
        monkeypatch.setattr(owner, name, broken)

    return apply


def follow_file(monkeypatch: pytest.MonkeyPatch, current: list[str]) -> None:
    """Keep the name of the film that is worked on."""
    open_film = pipeline.open_film

    def opened(path: Path, **options: Any) -> FilmReader:
        current[:] = [path.name]
        return open_film(path, **options)

    monkeypatch.setattr(pipeline, "open_film", opened)


def break_detect(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    import doubles

    break_function(doubles.BandDetector, "_detect")(monkeypatch, error)


def break_track(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    track = pipeline.PeopleTracker.track

    def broken(tracker: Any, frames: Any) -> Iterator[Any]:
        for number, item in enumerate(track(tracker, frames)):
            if number == 2 and current == ["one.mp4"]:
                raise error
            yield item

    current: list[str] = []
    follow_file(monkeypatch, current)
    monkeypatch.setattr(pipeline.PeopleTracker, "track", broken)


STAGES = {
    "read": break_read,
    "detect": break_detect,
    "track": break_track,
    "compose": break_function(Canvas, "frame"),
    "write": break_function(FilmWriter, "write"),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("error", [BoomError("a\nb"), MemoryError(), OSError(28, "No space left on device")])
def test_an_exception_in_a_stage(
    stage: str, error: Exception, run: Run, out: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        STAGES[stage](patch, error)
        report = run()
    assert states(report) == {"a/b/two.mkv": "done", "a/three.png": "done", "one.mp4": "failed"}
    assert report.failed == 1
    assert tree(out).keys() == {"a/b/two.mkv", "a/three.png"}
    assert ("No space left" if isinstance(error, OSError) else type(error).__name__) in report.table()
    assert report.table().count("\n") == 4
    assert states(run()) == {"a/b/two.mkv": "unchanged", "a/three.png": "unchanged", "one.mp4": "done"}


def test_a_disk_that_is_full_for_good(run: Run, out: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be noted, so nothing is begun."""
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "begin", after(1, MediaError("cannot write: No space left on device")))
        report = run()
    assert set(states(report).values()) == {"failed"}
    assert tree(out) == {}
    assert set(states(run()).values()) == {"done"}


def test_a_disk_that_is_full_when_a_result_is_to_be_noted(
    run: Run, out: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result counts as not made, and is made again."""
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "finish", after(1, MediaError("cannot write: No space left on device")))
        assert set(states(run()).values()) == {"failed"}
    before = tree(out)
    assert set(states(run()).values()) == {"done"}
    assert tree(out) == before


def test_a_disk_that_is_full_when_the_run_begins(
    run: Run, out: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", after(1, OSError(28, "No space left on device")))
        with pytest.raises(MediaError, match="No space left"):
            run()
    assert tree(out) == {}


def small_files_only(source: Path, output: Path, log: Path) -> None:
    import doubles

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    report = anonymize_folder(source, output, build_detector=doubles.build_band, weights=[])
    log.write_text("\n".join(f"{outcome.name} {outcome.state}: {outcome.note}" for outcome in report.outcomes))


def test_the_system_refuses_to_write_more(
    folder: Path, out: Path, tmp_path: Path, doubles: ModuleType, tree: Tree, make_film: Callable[..., Path], run: Run
) -> None:
    """A real limit, which libav meets in its own code."""
    make_film(folder / "large.mp4", frames=40, size_hw=(240, 320))
    context, log = multiprocessing.get_context("forkserver"), tmp_path / "log"
    context.set_forkserver_preload(["doubles", "anonymize.batch.folder", "anonymize.pipeline"])
    process = context.Process(target=small_files_only, args=(folder, out, log))
    process.start()
    process.join()
    lines = log.read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "a/b/two.mkv done",
        "a/three.png done",
        "large.mp4 failed",
        "one.mp4 done",
    ]
    assert "File too large" in lines[2]
    assert tree(out).keys() == {"a/b/two.mkv", "a/three.png", "one.mp4"}
    assert states(run())["large.mp4"] == "done"


def test_an_input_that_changes_while_it_is_read(run: Run, folder: Path, out: Path) -> None:
    def grow(progress: object) -> None:
        with (folder / "one.mp4").open("ab") as file:
            file.write(b"\0")

    report = run(progress=grow)
    assert states(report)["one.mp4"] == "failed"
    assert "has changed" in report.table()
    assert not (out / "one.mp4").exists()


def test_an_input_that_disappears(run: Run, folder: Path) -> None:
    report = run(progress=lambda _: (folder / "one.mp4").unlink(missing_ok=True))
    assert states(report) == {"a/b/two.mkv": "done", "a/three.png": "done", "one.mp4": "failed"}


@pytest.mark.parametrize("damage", [b"", b"no film", None])
def test_an_input_that_is_damaged(run: Run, folder: Path, out: Path, damage: bytes | None) -> None:
    data = (folder / "one.mp4").read_bytes()
    (folder / "one.mp4").write_bytes(data[: len(data) // 2] if damage is None else damage)
    assert states(run()) == {"a/b/two.mkv": "done", "a/three.png": "done", "one.mp4": "failed"}
    assert not (out / "one.mp4").exists()


def test_an_output_that_cannot_be_made(folder: Path) -> None:
    with pytest.raises(MediaError, match="cannot make the folder"):
        anonymize_folder(folder, "/proc/anonymize-test")


def test_a_folder_stands_where_a_result_belongs(run: Run, out: Path) -> None:
    (out / "one.mp4").mkdir(parents=True)
    (out / "a").write_text("a file where a folder belongs")
    assert set(states(run()).values()) == {"failed"}


@pytest.mark.usefixtures("permissions")
def test_unreadable_files_and_folders(run: Run, folder: Path) -> None:
    (folder / "one.mp4").chmod(0)
    (folder / "a" / "b").chmod(0)
    try:
        report = run()
    finally:
        (folder / "a" / "b").chmod(0o755)
    assert states(report) == {"a/b": "failed", "a/three.png": "done", "one.mp4": "failed"}
    assert report.table().count("Permission denied") == 2


@pytest.mark.usefixtures("permissions")
def test_a_read_only_output(run: Run, out: Path) -> None:
    out.mkdir()
    out.chmod(0o555)
    with pytest.raises(MediaError, match="Permission denied"):
        run()


@pytest.mark.usefixtures("permissions")
def test_a_read_only_folder_of_the_output(run: Run, out: Path, tree: Tree) -> None:
    (out / "a").mkdir(parents=True)
    (out / "a").chmod(0o555)
    report = run()
    assert states(report) == {"a/b/two.mkv": "failed", "a/three.png": "failed", "one.mp4": "done"}
    (out / "a").chmod(0o755)
    assert tree(out).keys() == {"one.mp4"}
