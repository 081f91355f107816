import os
from dataclasses import replace
from pathlib import Path

import pytest

from anonymize.batch.manifest import Done, Manifest, Stamp
from anonymize.core.errors import AnonymizeError, MediaError

DONE = Done("a.mts", "a.mts.mp4", Stamp(1, 2, "ab"), Stamp(3, 4), "settings", 5, 6, 7.5)
STRANGE = os.fsdecode(b'"\xff\n.mp4')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manifest.jsonl"


def test_nothing_yet(path: Path) -> None:
    with Manifest(path) as manifest:
        assert (manifest.begun, manifest.done("a"), manifest.owns("a")) == ([], None, False)


def test_the_last_step_of_an_output_holds(path: Path) -> None:
    with Manifest(path) as manifest:
        manifest.begin(DONE.output)
        manifest.begin("killed")
        manifest.finish(DONE)
        manifest.begin("failed")
        manifest.give_up("failed")
        manifest.begin(STRANGE)
        manifest.finish(replace(DONE, source=STRANGE, output=STRANGE))
    for _ in range(2):  # Read as written, and as written anew.
        with Manifest(path) as manifest:
            assert manifest.begun == ["killed"]
            assert manifest.done(DONE.output) == DONE
            assert manifest.done(STRANGE) == replace(DONE, source=STRANGE, output=STRANGE)
            assert [manifest.owns(name) for name in (DONE.output, "killed", "failed")] == [True, True, False]


def test_what_is_done_again_is_not_done_meanwhile(path: Path) -> None:
    with Manifest(path) as manifest:
        manifest.finish(DONE)
        manifest.begin(DONE.output)
    with Manifest(path) as manifest:
        assert manifest.done(DONE.output) is None
        assert manifest.owns(DONE.output)


def test_cut_short_at_any_byte_it_never_says_more_than_was_written(path: Path) -> None:
    with Manifest(path) as manifest:
        manifest.begin(DONE.output)
        manifest.finish(DONE)
    data = path.read_bytes()
    header = data.index(b"\n") + 1
    for size in range(header, len(data)):
        path.write_bytes(data[:size])
        with Manifest(path) as manifest:
            assert manifest.done(DONE.output) in ((DONE,) if size >= len(data) - 1 else (None,))
            manifest.begin("next")
        with Manifest(path) as manifest:
            assert "next" in manifest.begun


@pytest.mark.parametrize("text", ["nonsense\n", '{"format": "anonymize-manifest", "version": 2}\n', '["a"]\n'])
def test_another_version_is_refused_and_kept(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(AnonymizeError, match="this version"), Manifest(path):
        pass
    assert path.read_text() == text


def test_a_full_disk_leaves_whole_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with Manifest(path) as manifest:
        manifest.begin("a")
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(MediaError, match="No space left"):
                manifest.begin("b")
        assert path.read_bytes() == before
        assert manifest.begun == ["a"]
        manifest.begin("c")
    with Manifest(path) as manifest:
        assert manifest.begun == ["a", "c"]
