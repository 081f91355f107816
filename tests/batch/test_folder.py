import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from anonymize import anonymize_video
from anonymize.batch import BatchProgress, BatchReport, Outcome, anonymize_folder
from anonymize.core.errors import AnonymizeError, MediaError, OptionError, WeightsError
from anonymize.options import DrawOptions, EncodeOptions, FolderOptions, Options, RenderOptions

Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(folder: Path, out: Path, doubles: ModuleType, tmp_path: Path) -> Callable[..., BatchReport]:
    weights = tmp_path / "weights"
    weights.write_bytes(b"1")

    def run(**more: Any) -> BatchReport:
        return anonymize_folder(folder, out, **{"build_detector": doubles.build_band, "weights": [weights], **more})

    return run


def states(report: BatchReport) -> dict[str, str]:
    return {outcome.name: outcome.state for outcome in report.outcomes}


ALL_DONE = {"a/b/two.mkv": "done", "a/three.png": "done", "one.mp4": "done"}
ALL_UNCHANGED = dict.fromkeys(ALL_DONE, "unchanged")


class TestTree:
    def test_mirrors_the_folder_and_equals_the_single_film(
        self, run: Callable[..., BatchReport], folder: Path, out: Path, doubles: ModuleType, tree: Tree, tmp_path: Path
    ) -> None:
        report = run()
        assert states(report) == ALL_DONE
        assert (report.failed, report.others, report.frames) == (0, 1, 13)
        assert tree(out).keys() == ALL_DONE.keys()
        anonymize_video(folder / "one.mp4", tmp_path / "single.mp4", detector=doubles.BandDetector())
        assert (out / "one.mp4").read_bytes() == (tmp_path / "single.mp4").read_bytes()

    def test_an_empty_folder(self, tmp_path: Path, out: Path) -> None:
        (tmp_path / "empty").mkdir()
        report = anonymize_folder(tmp_path / "empty", out, weights=[])
        assert report.outcomes == ()
        assert "0 files: nothing to do" in report.table()

    def test_others_are_copied_when_asked_for(
        self, run: Callable[..., BatchReport], folder: Path, out: Path, tree: Tree
    ) -> None:
        assert states(run(folder=FolderOptions(copy_others=True))) == ALL_DONE | {"a/notes.txt": "copied"}
        assert tree(out)["a/notes.txt"] == b"neither"
        assert states(run(folder=FolderOptions(copy_others=True))) == ALL_UNCHANGED | {"a/notes.txt": "unchanged"}
        (folder / "a" / "notes.txt").write_text("changed")
        assert states(run(folder=FolderOptions(copy_others=True)))["a/notes.txt"] == "copied"

    def test_a_film_under_a_strange_name_is_not_copied(
        self, run: Callable[..., BatchReport], folder: Path, out: Path
    ) -> None:
        shutil.copy(folder / "one.mp4", folder / "one.bin")
        report = run(folder=FolderOptions(copy_others=True))
        assert states(report)["one.bin"] == "failed"
        assert not (out / "one.bin").exists()

    @pytest.mark.parametrize("name", ["a b.mp4", 'it\'s "q".mp4', "new\nline.mp4", os.fsdecode(b"\xff\xfe.mp4")])
    def test_strange_names(
        self, run: Callable[..., BatchReport], folder: Path, out: Path, name: str, tree: Tree
    ) -> None:
        (folder / name).mkdir()
        shutil.move(folder / "one.mp4", folder / name / name)
        shutil.rmtree(folder / "a")
        report = run()
        assert states(report) == {f"{name}/{name}": "done"}
        assert tree(out).keys() == {f"{name}/{name}"}
        report.table().encode()
        assert report.table().count("\n") == 2
        assert states(run()) == {f"{name}/{name}": "unchanged"}

    def test_a_link_out_of_the_folder_is_skipped(
        self, run: Callable[..., BatchReport], folder: Path, out: Path, tmp_path: Path
    ) -> None:
        shutil.move(folder / "one.mp4", tmp_path / "secret.mp4")
        (folder / "one.mp4").symlink_to(tmp_path / "secret.mp4")
        report = run()
        assert (states(report)["one.mp4"], report.failed) == ("skipped", 0)
        assert not (out / "one.mp4").exists()

    def test_the_output_inside_the_input(
        self, folder: Path, doubles: ModuleType, tree: Tree, run: Callable[..., BatchReport]
    ) -> None:
        for expected in (ALL_DONE, ALL_UNCHANGED):
            report = anonymize_folder(folder, folder / "out", build_detector=doubles.build_band, weights=[])
            assert states(report) == expected

    def test_a_link_in_the_output_does_not_lead_out_of_it(
        self, run: Callable[..., BatchReport], folder: Path, out: Path, tree: Tree
    ) -> None:
        before = tree(folder)
        out.mkdir()
        (out / "a").symlink_to(folder / "a")
        assert states(run(overwrite=True)) == {
            "a/b/two.mkv": "failed",
            "a/three.png": "failed",
            "one.mp4": "done",
        }
        assert tree(folder) == before


class TestAgain:
    def test_nothing_is_done_twice(self, run: Callable[..., BatchReport], out: Path, tree: Tree) -> None:
        first = run()
        times = {name: (out / name).stat().st_mtime_ns for name in ALL_DONE}
        second = run()
        assert states(second) == ALL_UNCHANGED
        assert [(outcome.frames, outcome.people) for outcome in second.outcomes] == [
            (outcome.frames, outcome.people) for outcome in first.outcomes
        ]
        assert {name: (out / name).stat().st_mtime_ns for name in ALL_DONE} == times

    def test_a_changed_input(self, run: Callable[..., BatchReport], folder: Path) -> None:
        run()
        data = (folder / "one.mp4").read_bytes()
        (folder / "one.mp4").write_bytes(data + b"\0\0\0\x08free")
        assert states(run()) == ALL_UNCHANGED | {"one.mp4": "done"}

    def test_another_time_of_the_same_content_is_no_change(self, run: Callable[..., BatchReport], folder: Path) -> None:
        run()
        os.utime(folder / "one.mp4", ns=(1, 1))
        assert states(run()) == ALL_UNCHANGED

    def test_other_settings_but_not_their_defaults(self, run: Callable[..., BatchReport]) -> None:
        run()
        assert (
            states(run(options=Options(draw=DrawOptions(mode="avatar"), device="cpu"), overwrite=True)) == ALL_UNCHANGED
        )
        assert states(run(options=Options(draw=DrawOptions(mode="solid")))) == ALL_DONE

    def test_other_weights(self, run: Callable[..., BatchReport], tmp_path: Path) -> None:
        run()
        (tmp_path / "weights").write_bytes(b"2")
        assert states(run()) == ALL_DONE

    def test_a_setting_that_is_a_file_counts_by_its_content(
        self, run: Callable[..., BatchReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        regions = tmp_path / "regions"
        regions.write_text("1")
        options = Options(render=RenderOptions(always_cover=regions))
        from anonymize.batch import folder

        fingerprint = folder._fingerprint
        first = fingerprint(options, [])
        assert fingerprint(options, []) == first
        regions.write_text("2")
        assert fingerprint(options, []) != first

    @pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"spoiled")])
    def test_a_result_that_is_gone_or_spoiled_is_made_again(
        self, run: Callable[..., BatchReport], out: Path, tree: Tree, spoil: Callable[[Path], object]
    ) -> None:
        run()
        before = tree(out)
        spoil(out / "one.mp4")
        assert states(run()) == ALL_UNCHANGED | {"one.mp4": "done"}
        assert tree(out) == before

    def test_what_is_not_ours_is_not_replaced(self, run: Callable[..., BatchReport], out: Path, tree: Tree) -> None:
        out.mkdir()
        (out / "one.mp4").write_text("precious")
        for _ in range(2):  # Having been refused once makes it no more ours.
            report = run()
            assert states(report)["one.mp4"] == "failed"
            assert (out / "one.mp4").read_text() == "precious"
        assert "--overwrite" in report.table()
        assert states(run(overwrite=True))["one.mp4"] == "done"

    def test_a_failed_file_is_tried_again(
        self, run: Callable[..., BatchReport], folder: Path, out: Path, tree: Tree
    ) -> None:
        data = (folder / "one.mp4").read_bytes()
        (folder / "one.mp4").write_bytes(b"no film")
        assert states(run()) == ALL_DONE | {"one.mp4": "failed"}
        (out / "one.mp4").write_text("precious")  # Nobody has promised anything about this name.
        (folder / "one.mp4").write_bytes(data)
        assert states(run())["one.mp4"] == "failed"
        (out / "one.mp4").unlink()
        assert states(run()) == ALL_UNCHANGED | {"one.mp4": "done"}


class TestUse:
    def test_what_contradicts_itself_is_refused(self, folder: Path, out: Path, tmp_path: Path) -> None:
        for output in (folder, folder.parent, folder / "a" / ".."):
            with pytest.raises(OptionError, match="originals"):
                anonymize_folder(folder, output)
        with pytest.raises(MediaError, match="no such folder"):
            anonymize_folder(tmp_path / "none", out)
        with pytest.raises(MediaError, match="not a folder"):
            anonymize_folder(folder, folder / "one.mp4")
        with pytest.raises(OptionError, match="colour 'pink'"):
            anonymize_folder(folder, out, Options(draw=DrawOptions(mode="solid", color="pink")))
        with pytest.raises(OptionError, match="no codec divx"):
            anonymize_folder(folder, out, Options(encode=EncodeOptions(codec="divx")))
        with pytest.raises(OptionError, match="worker"):
            FolderOptions(workers=0)
        with pytest.raises(OptionError, match="engine"):
            FolderOptions(engine="moon")  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="ray"):
            anonymize_folder(folder, out, folder=FolderOptions(ray_address="local"))
        assert not out.exists() or set(out.iterdir()) == {out / ".anonymize"}

    def test_parts_that_cannot_be_built_end_the_run(
        self, run: Callable[..., BatchReport], doubles: ModuleType, out: Path, tree: Tree
    ) -> None:
        with pytest.raises(WeightsError, match="damaged"):
            run(build_detector=doubles.build_nothing)
        assert tree(out) == {}

    def test_two_runs_cannot_share_an_output(self, run: Callable[..., BatchReport]) -> None:
        def second(progress: BatchProgress) -> None:
            with pytest.raises(AnonymizeError, match="another run"):
                run()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(progress=second)
        assert states(run()) == ALL_DONE  # The lock is free again.

    def test_ray_that_is_not_installed(self, run: Callable[..., BatchReport], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "ray", None)
        with pytest.raises(AnonymizeError, match=r"pip install anonymize\[ray\]"):
            run(folder=FolderOptions(engine="ray"))

    def test_progress_counts_files_and_frames(self, run: Callable[..., BatchReport]) -> None:
        seen: list[BatchProgress] = []
        run(progress=seen.append)
        assert seen[-1] == BatchProgress(3, 3, 13)
        assert [step.frames for step in seen] == sorted(step.frames for step in seen)

    def test_the_table_tells_each_file(self, run: Callable[..., BatchReport], folder: Path) -> None:
        (folder / "one.mp4").write_bytes(b"no film")
        report = run(options=Options(draw=DrawOptions(mode="blur")))
        report = replace(
            report, seconds=2.0, outcomes=tuple(replace(outcome, seconds=1.0) for outcome in report.outcomes)
        )
        head, *lines, last = report.table().splitlines()
        assert head.split() == ["file", "frames", "people", "seconds", "state"]
        assert [line.split()[:5] for line in lines[:2]] == [
            ["a/b/two.mkv", "6", "1", "1.0", "done"],
            ["a/three.png", "1", "1", "1.0", "done"],
        ]
        assert lines[2].startswith("one.mp4 ")
        assert "failed: " in lines[2]
        assert last == "3 files: 2 done, 1 failed, 1 neither film nor picture; 7 frames, 2.0 s (3.5 frames/s)"

    def test_an_outcome_without_figures_has_a_line_too(self) -> None:
        report = BatchReport((Outcome("a\nb", "", "skipped", note="a link"),), 0, 0.0)
        assert "a\\nb" in report.table().splitlines()[1]
