import os
from pathlib import Path

import pytest

from anonymize.batch.walk import Entry, shown, walk

PNG = b"\x89PNG\r\n\x1a\n"


def make(root: Path, *names: str, content: bytes = b"") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def kinds(entries: list[Entry]) -> dict[str, str]:
    return {entry.name: entry.kind for entry in entries}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


class TestTree:
    def test_empty(self, root: Path, out: Path) -> None:
        assert walk(root, out) == []

    def test_everything_below_by_name_and_content(self, root: Path, out: Path) -> None:
        make(root, "b/c/film.MP4", "a.jpg", "notes.txt", ".hidden/x.webm")
        make(root, "b/scan", "b/wrong.mp4", content=PNG)
        assert [(entry.name, entry.kind, entry.output) for entry in walk(root, out)] == [
            (".hidden/x.webm", "film", ".hidden/x.webm"),
            ("a.jpg", "picture", "a.jpg"),
            ("b/c/film.MP4", "film", "b/c/film.MP4"),
            ("b/scan", "picture", "b/scan.png"),
            ("b/wrong.mp4", "picture", "b/wrong.mp4.png"),
            ("notes.txt", "other", "notes.txt"),
        ]

    def test_a_suffix_that_cannot_be_written_gets_another(self, root: Path, out: Path) -> None:
        make(root, "a.mts", "b.wmv")
        assert [entry.output for entry in walk(root, out)] == ["a.mts.mp4", "b.wmv.mp4"]

    @pytest.mark.parametrize(
        "name", ["a b.mp4", 'it\'s "q".mp4', "new\nline.mp4", "-o.mp4", "ä🎬.mp4", os.fsdecode(b"\xff\xfe.mp4")]
    )
    def test_strange_names(self, root: Path, out: Path, name: str) -> None:
        make(root, f"{name}.d/{name}")
        assert walk(root, out) == [Entry(f"{name}.d/{name}", "film", f"{name}.d/{name}")]

    def test_the_output_inside_and_the_state_of_runs_are_left_out(self, root: Path) -> None:
        make(root, "a.mp4", "out/a.mp4", "old/.anonymize/x.mp4")
        assert kinds(walk(root, root / "out")) == {"a.mp4": "film"}

    def test_what_is_no_file_is_skipped(self, root: Path, out: Path) -> None:
        os.mkfifo(root / "pipe.mp4")
        assert kinds(walk(root, out)) == {"pipe.mp4": "skipped"}

    def test_a_folder_that_cannot_be_read_is_told(self, root: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make(root, "a.mp4", "shut/b.mp4")
        scandir = os.scandir

        def denied(path: Path) -> object:
            if Path(path).name == "shut":
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(os, "scandir", denied)
        entries = walk(root, out)
        assert kinds(entries) == {"a.mp4": "film", "shut": "failed"}
        assert "Permission denied" in entries[1].note


class TestLinks:
    def test_out_of_the_folder_is_not_followed(self, root: Path, out: Path, tmp_path: Path) -> None:
        make(tmp_path, "secret.mp4", "far/b.mp4")
        (root / "file.mp4").symlink_to(tmp_path / "secret.mp4")
        (root / "relative.mp4").symlink_to("../secret.mp4")
        (root / "folder").symlink_to(tmp_path / "far")
        (root / "twice.mp4").symlink_to("relative.mp4")
        entries = walk(root, out)
        assert kinds(entries) == dict.fromkeys(["file.mp4", "folder", "relative.mp4", "twice.mp4"], "skipped")
        assert {entry.note for entry in entries} == {"a link out of the folder"}

    def test_inside_files_are_files_and_folders_are_left_out(self, root: Path, out: Path) -> None:
        make(root, "a/film.mp4")
        (root / "same.mp4").symlink_to("a/film.mp4")
        (root / "b").symlink_to("a")
        assert kinds(walk(root, out)) == {"a/film.mp4": "film", "b": "skipped", "same.mp4": "film"}

    def test_circles_and_links_to_nowhere(self, root: Path, out: Path) -> None:
        (root / "a").mkdir()
        (root / "a" / "up").symlink_to("..")
        (root / "x.mp4").symlink_to("y.mp4")
        (root / "y.mp4").symlink_to("x.mp4")
        (root / "gone.mp4").symlink_to("nothing")
        assert kinds(walk(root, out)) == dict.fromkeys(["a/up", "gone.mp4", "x.mp4", "y.mp4"], "skipped")

    def test_into_the_output_is_not_read_again(self, root: Path) -> None:
        make(root, "out/a.mp4")
        (root / "a.mp4").symlink_to("out/a.mp4")
        assert kinds(walk(root, root / "out")) == {"a.mp4": "skipped"}

    def test_a_folder_that_is_a_link_itself(self, root: Path, out: Path, tmp_path: Path) -> None:
        make(root, "a.mp4")
        (tmp_path / "link").symlink_to(root)
        assert kinds(walk(tmp_path / "link", out)) == {"a.mp4": "film"}


class TestCollisions:
    def test_the_file_whose_own_name_it_is_keeps_it(self, root: Path, out: Path) -> None:
        make(root, "a.mts", "a.mts.mp4")
        first, second = walk(root, out)
        assert (first.kind, second.kind) == ("failed", "film")
        assert "a.mts.mp4" in first.note

    def test_names_that_differ_in_case_only(self, root: Path, out: Path) -> None:
        make(root, "A.mp4", "a.mp4", "b.mp4", "e\u0301.mp4", "é.mp4")
        assert set(kinds(walk(root, out)).values()) == {"film"}
        assert [entry.kind for entry in walk(root, out, ignores_case=True)] == 2 * ["failed"] + ["film"] + 2 * [
            "failed"
        ]


@pytest.mark.parametrize(
    ("name", "line"),
    [("", ""), ("ä b.mp4", "ä b.mp4"), ("a\nb", "a\\nb"), (os.fsdecode(b"\xff"), "\\xff"), ("\x1b[2J", "\\x1b[2J")],
)
def test_shown(name: str, line: str) -> None:
    assert shown(name) == line
