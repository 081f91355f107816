import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from anonymize.batch import lock
from anonymize.batch.lock import FolderLock
from anonymize.core.errors import AnonymizeError, MediaError

HOLD = """
import sys, time
sys.modules["torch"] = None  # Not needed, and it takes seconds.
import importlib.util
spec = importlib.util.spec_from_file_location("lock", sys.argv[1])
lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lock)
with lock.FolderLock(lock.Path(sys.argv[2])) as held:
    if len(sys.argv) > 3:  # A child that inherits the lock and outlives its parent.
        import os, subprocess
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"], pass_fds=[held.descriptor])
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "out" / ".anonymize").mkdir(parents=True)
    return tmp_path / "out" / ".anonymize" / "lock"


def hold(path: Path, *more: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", textwrap.dedent(HOLD), lock.__file__, str(path), *more]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_another_run_is_refused_at_once_and_named(path: Path) -> None:
    process = hold(path)
    try:
        began = time.monotonic()
        with pytest.raises(AnonymizeError, match=rf"process {process.pid} .* writing to {path.parent.parent}$"):
            FolderLock(path).__enter__()
        assert time.monotonic() - began < 5
    finally:
        end(process)


def test_a_killed_run_does_not_block(path: Path) -> None:
    end(hold(path))
    with FolderLock(path):
        assert str(os.getpid()) in path.read_text()


def test_orphans_of_a_killed_run_are_waited_for(path: Path) -> None:
    end(hold(path, "with child"))
    began = time.monotonic()
    with FolderLock(path):
        assert time.monotonic() - began > 0.2


def test_one_after_the_other(path: Path) -> None:
    for _ in range(2):
        with FolderLock(path):
            pass


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot write"), FolderLock(tmp_path / "none" / "lock"):
        pass
