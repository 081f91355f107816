import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from anonymize import anonymize_image, anonymize_video, cli, pipeline
from anonymize.api import detect_film, render_film
from anonymize.core.errors import AnonymizeError
from anonymize.core.types import Detections, Frame, RegionMask, Tracks
from anonymize.selection.regions import Region, apply_regions, read_regions

SIZE = (40, 60)
SQUARE = ((10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0))


def write(path: Path, *regions: dict[str, Any], **members: Any) -> Path:
    path.write_text(json.dumps({"format": "anonymize-regions", "version": 1, "regions": list(regions)} | members))
    return path


def person(*corners: int) -> tuple[Frame, Tracks]:
    left, top, right, bottom = corners
    mask = RegionMask(left, top, np.ones((bottom - top, right - left), np.bool_))
    box, score = np.array([corners], np.float32), np.array([0.9], np.float32)
    found = Detections(SIZE, box, score, (mask,), np.zeros(1, np.bool_))
    frame = Frame(np.zeros((*SIZE, 3), np.uint8), pts=5, time_base=Fraction(1, 10))
    return frame, Tracks(found, np.array([4]), np.zeros(1, np.bool_))


class TestRegion:
    def test_a_polygon_covers_what_its_outline_holds(self) -> None:
        mask = Region(SQUARE).mask(SIZE).to_full(SIZE)
        assert mask[10:20, 10:20].all()
        assert not mask[:9].any()
        assert not mask[22:].any()

    def test_one_outside_of_the_picture_covers_nothing(self) -> None:
        assert Region(((-9, -9), (-5, -9), (-5, -5))).mask(SIZE).area == 0

    @pytest.mark.parametrize(
        ("start", "end", "there"), [(None, None, 1), (0.5, 0.5, 1), (None, 0.4, 0), (0.6, None, 0), (0.2, 0.9, 1)]
    )
    def test_times_are_kept(self, start: float | None, end: float | None, there: int) -> None:
        [(_, tracks)] = apply_regions([person(40, 30, 45, 35)], [Region(SQUARE, start, end)], [])
        assert tracks.ids.tolist() == [4, -1][: 1 + there]

    def test_an_offset_is_added(self) -> None:
        region = Region(SQUARE, 3.4, 3.6)
        assert len(next(apply_regions([person(40, 30, 45, 35)], [region], [], 3.0))[1]) == 2
        assert len(next(apply_regions([person(40, 30, 45, 35)], [region], []))[1]) == 1

    @pytest.mark.parametrize(
        ("corners", "stays"), [((12, 12, 18, 18), 0), ((15, 12, 25, 18), 1), ((5, 5, 30, 30), 1), ((30, 30, 40, 39), 1)]
    )
    def test_only_who_is_wholly_inside_is_no_person(self, corners: tuple[int, int, int, int], stays: int) -> None:
        [(_, tracks)] = apply_regions([person(*corners)], [], [Region(SQUARE)])
        assert len(tracks) == stays

    def test_places_of_whoever_it_may_be_stay_unless_all_are_inside(self) -> None:
        for corners, stays in (((10, 10, 20, 20), 0), ((10, 10, 20, 22), 1)):
            frame, tracks = person(*corners)
            nobody = Tracks(tracks.detections, np.zeros(1, np.int64), np.ones(1, np.bool_))
            [(_, kept)] = apply_regions([(frame, nobody)], [], [Region(SQUARE)])
            assert len(kept) == stays

    def test_what_is_always_covered_wins(self) -> None:
        [(_, tracks)] = apply_regions([person(12, 12, 18, 18)], [Region(SQUARE)], [Region(SQUARE)])
        assert tracks.ids.tolist() == [-1]


class TestFile:
    def test_read(self, tmp_path: Path) -> None:
        entry = {"polygon": [[10, 10], [20, 10], [20, 20], [10, 20]], "start": 1, "note": "a poster"}
        assert read_regions(write(tmp_path / "r.json", entry)) == (Region(SQUARE, 1.0, None),)

    @pytest.mark.parametrize(
        "entry",
        [
            {},
            {"polygon": [[1, 1], [2, 2]]},
            {"polygon": [[1, 1], [2, 2], [3]]},
            {"polygon": [[1, 1], [2, 2], ["a", 3]]},
            {"polygon": [[1, 1], [2, 2], [1e9, 3]]},
            {"polygon": [[1, 1], [2, 2], [3, 3]], "start": "now"},
            {"polygon": [[1, 1], [2, 2], [3, 3]], "start": 2, "end": 1},
            {"polygon": [[1, 1], [2, 2], [3, 3]], "begin": 2},
        ],
    )
    def test_an_entry_that_makes_no_sense(self, entry: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(AnonymizeError, match=r"r\.json, region 0"):
            read_regions(write(tmp_path / "r.json", entry))

    @pytest.mark.parametrize("members", [{"version": 2}, {"format": "x"}, {"regions": 1}])
    def test_another_file(self, members: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(AnonymizeError, match=r"r\.json"):
            read_regions(write(tmp_path / "r.json", **members))

    def test_no_file_and_no_json(self, tmp_path: Path) -> None:
        (tmp_path / "r.json").write_text("{")
        for name in ("r.json", "gone.json"):
            with pytest.raises(AnonymizeError, match=name):
                read_regions(tmp_path / name)


class TestFilm:
    def test_places_are_covered_in_their_time(
        self, film: Path, tmp_path: Path, walkers: Any, read: Callable[[Path], np.ndarray]
    ) -> None:
        polygon = [[40, 70], [80, 70], [80, 94], [40, 94]]
        always = write(tmp_path / "always.json", {"polygon": polygon, "start": 0.45})
        never = write(tmp_path / "never.json", {"polygon": [[85, 25], [118, 25], [118, 85], [85, 85]]})
        options: dict[str, Any] = {"always_cover": always, "never_cover": never}
        out = tmp_path / "o.mp4"
        look: dict[str, Any] = {"mode": "solid", "color": "ff00ff", "device": "cpu"}
        assert anonymize_video(film, out, detector=walkers(), **options, **look).people == 1
        for number, image in enumerate(read(out)):
            purple = np.abs(image.astype(int) - (255, 0, 255)).max(axis=2) < 60
            assert (purple[72:92, 42:78].mean() > 0.9) == (number >= 5), number
            assert purple[30:80, 90:114].mean() < 0.1, number
            walker = walkers.mask(0, number)
            assert purple[walker.slices][walker.mask].mean() > 0.9, number
        detect_film(film, tmp_path / "t.json", detector=walkers(), **look)
        render_film(film, tmp_path / "t.json", tmp_path / "r.mp4", device="cpu", **options)
        assert out.read_bytes() == (tmp_path / "r.mp4").read_bytes()

    def test_the_command_and_a_picture(
        self, film: Path, tmp_path: Path, walkers: Any, read: Callable[[Path], np.ndarray], monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(pipeline, "build_detector", lambda **_: walkers())
        always = write(tmp_path / "always.json", {"polygon": [[40, 70], [80, 70], [80, 94], [40, 94]]})
        arguments = [film, "-o", tmp_path / "o.mp4", "--mode", "solid", "--color", "00ff00", "--always-cover", always]
        result = CliRunner().invoke(cli.app, [str(each) for each in arguments])
        assert result.exit_code == 0, result.output
        assert "2 tracks" in result.stdout
        assert np.abs(read(tmp_path / "o.mp4")[0][75:90, 45:75].astype(int) - (0, 255, 0)).mean() < 12
        import cv2

        cv2.imwrite(str(tmp_path / "in.png"), np.zeros((96, 128, 3), np.uint8))
        anonymize_image(
            tmp_path / "in.png", tmp_path / "o.png", mode="solid", color="00ff00", always_cover=always,
            detector=walkers(),
        )  # fmt: skip
        assert (cv2.imread(str(tmp_path / "o.png"))[75:90, 45:75] == (0, 255, 0)).all()
