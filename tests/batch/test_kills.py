"""Runs killed at random moments and begun again end as if nothing had happened."""

import multiprocessing
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from anonymize.batch import anonymize_folder
from anonymize.batch.manifest import Manifest
from anonymize.options import FolderOptions

Tree = Callable[[Path], dict[str, bytes]]

FILMS = 30
KILLS = 10


@pytest.fixture
def films(tmp_path: Path, make_film: Callable[..., Path]) -> Path:
    """30 films in nested folders."""
    root = tmp_path / "in"
    for number in range(FILMS):
        path = root / f"{number % 3}" / f"{number % 5} x" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < 3:
            make_film(path, frames=4 + 3 * number, size_hw=(48, 64), sound=number == 0)
        else:
            shutil.copy(root / f"{number % 3}" / f"{number % 3} x" / f"{number % 3}.mp4", path)
    return root


@pytest.fixture
def context(doubles: ModuleType) -> multiprocessing.context.ForkServerContext:
    """Processes that start at once, because they are copies of one that has loaded everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["doubles", "anonymize.batch.folder", "anonymize.pipeline"])
    first = context.Process(target=time.time)  # Waits for the loading.
    first.start()
    first.join()
    return context


def run(source: Path, output: Path, log: Path) -> None:
    """One run; notes the films that it finds done."""
    import doubles

    report = anonymize_folder(source, output, build_detector=doubles.build_slow, weights=[])
    log.write_text(" ".join(outcome.state for outcome in report.outcomes))


def finished(output: Path) -> set[str]:
    """Results that the manifest calls done, which are then complete."""
    path = output / ".anonymize" / "manifest.jsonl"
    copy = output.parent / "manifest-copy.jsonl"
    if not path.exists():
        return set()
    shutil.copy(path, copy)
    with Manifest(copy) as manifest:
        return {done.output for done in manifest.all_done}


def test_killed_ten_times(
    films: Path, tmp_path: Path, tree: Tree, context: multiprocessing.context.ForkServerContext
) -> None:
    undisturbed, output, log = tmp_path / "undisturbed", tmp_path / "out", tmp_path / "log"
    process = context.Process(target=run, args=(films, undisturbed, log))
    began = time.monotonic()
    process.start()
    process.join()
    seconds = time.monotonic() - began
    expected = tree(undisturbed)
    assert len(expected) == FILMS

    chance, done_before = random.Random(6), set[str]()
    for _ in range(KILLS):
        process = context.Process(target=run, args=(films, output, log))
        process.start()
        time.sleep(chance.uniform(0, 1.4 * seconds / KILLS))
        process.kill()
        process.join()
        results = {name: data for name, data in tree(output).items() if ".partial" not in name}
        assert all(data == expected[name] for name, data in results.items()), "a file that is not complete"
        done = finished(output)
        assert done_before <= done <= results.keys(), "work was lost"
        assert len(results) - len(done) <= 1
        done_before = done
    assert done_before, "no run got anywhere"

    process = context.Process(target=run, args=(films, output, log))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert tree(output) == expected, "the results, and nothing partial beside them"
    assert log.read_text().split().count("unchanged") == len(done_before)


def test_killed_with_worker_processes(
    films: Path, tmp_path: Path, doubles: ModuleType, tree: Tree, context: multiprocessing.context.ForkServerContext
) -> None:
    """The processes of a killed run end by themselves, and the next run waits for that."""
    for path in sorted(films.rglob("*.mp4"))[8:]:
        path.unlink()
    output, log = tmp_path / "out", tmp_path / "log"
    process = context.Process(target=run_with_workers, args=(films, output))
    process.start()
    deadline = time.monotonic() + 60
    while not finished(output) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.join()
    done = finished(output)
    assert 0 < len(done) < 8
    run(films, output, log)
    assert log.read_text().split().count("unchanged") == len(done)
    anonymize_folder(films, tmp_path / "undisturbed", build_detector=doubles.build_band, weights=[])
    assert tree(output) == tree(tmp_path / "undisturbed")


def run_with_workers(source: Path, output: Path) -> None:
    import doubles

    anonymize_folder(source, output, folder=FolderOptions(workers=2), build_detector=doubles.build_slow, weights=[])
