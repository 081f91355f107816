import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from anonymize import anonymize_video, cli, two_pass
from anonymize.api import detect_film, render_film
from anonymize.build import make_generator
from anonymize.core.errors import AnonymizeError, OptionError
from anonymize.core.types import PLATES_AFTER, Detections, RegionMask
from anonymize.generate.avatar import AvatarGenerator
from anonymize.generate.base import TrackGenerator
from anonymize.options import DrawOptions

Read = Callable[[Path], np.ndarray]
MAGENTA = (255, 0, 255)
FAST: dict[str, Any] = {"device": "cpu"}


def generating(weights: Path) -> dict[str, Any]:
    return {"mode": "generate", "weights": weights, "seed": 3, **FAST}


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The file after a change by hand, laid out as an editor may leave it."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=1))
    return path


def painted(image: np.ndarray) -> np.ndarray:
    return np.abs(image.astype(int) - MAGENTA).max(axis=2) < 60


@pytest.fixture
def solid(film: Path, walkers: Any) -> Path:
    """Tracks of the film, to be painted."""
    path = film.with_name("tracks.json")
    detect_film(film, path, mode="solid", color="ff00ff", detector=walkers(), **FAST)
    return path


class TestSame:
    """Rendering what was detected is what the plain way gives, bit for bit."""

    @pytest.mark.parametrize("name", ["tracks.json", "tracks.json.gz"])
    @pytest.mark.parametrize("mode", ["blur", "pixelate", "generate"])
    def test_without_an_edit(self, mode: str, name: str, film: Path, weights: Path, walkers: Any) -> None:
        options = generating(weights) if mode == "generate" else {"mode": mode, **FAST}
        plain, rendered, tracks = (film.with_name(n) for n in ("plain.mp4", "rendered.mp4", name))
        first = anonymize_video(film, plain, detector=walkers(), **options)
        detect_film(film, tracks, detector=walkers(), **options)
        second = render_film(film, tracks, rendered, device="cpu")
        assert plain.read_bytes() == rendered.read_bytes()
        assert (first.frames, first.people, first.frames_with_people) == (11, 2, 11)
        assert (second.frames, second.people, second.frames_with_people) == (11, 2, 11)
        assert (tracks.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")

    def test_when_every_other_frame_is_looked_at(self, film: Path, weights: Path, walkers: Any) -> None:
        options = {**generating(weights), "detect_every": 2}
        plain, rendered, tracks = (film.with_name(n) for n in ("plain.mp4", "rendered.mp4", "t.json"))
        detector = walkers()
        summary = anonymize_video(film, plain, detector=detector, **options)
        assert (summary.frames, summary.people, summary.frames_with_people) == (11, 2, 11)
        assert detector.seen == 6
        detect_film(film, tracks, detector=walkers(), **options)
        assert json.loads(tracks.read_text())["settings"]["detect_every"] == 2
        render_film(film, tracks, rendered, device="cpu")
        assert plain.read_bytes() == rendered.read_bytes()

    def test_from_the_tracks_of_the_plain_way_and_of_a_part(self, film: Path, weights: Path, walkers: Any) -> None:
        options = {**generating(weights), "start": 0.25, "end": 0.85}
        plain, rendered, tracks = (film.with_name(n) for n in ("plain.mp4", "rendered.mp4", "t.json"))
        anonymize_video(film, plain, detector=walkers(), tracks=tracks, **options)
        detect_film(film, film.with_name("d.json"), detector=walkers(), **options)
        assert tracks.read_bytes() == film.with_name("d.json").read_bytes()
        assert render_film(film, tracks, rendered, device="cpu").frames < 8
        assert plain.read_bytes() == rendered.read_bytes()

    @pytest.mark.parametrize("mode", ["solid", "generate"])
    def test_with_a_body_that_is_more_than_the_mask(
        self, mode: str, film: Path, weights: Path, walkers: Any, read: Read
    ) -> None:
        """What must be covered is made from the same in each way and mode: mask, surface, score, whether filled."""

        class Half(walkers):  # type: ignore[misc]
            def _detect(self, size_hw: tuple[int, int]) -> Detections:
                found: Detections = super()._detect(size_hw)
                if self.seen in (5, 6):
                    return found[[0]]
                upper = tuple(RegionMask(m.x, m.y, m.mask[: m.mask.shape[0] // 2]) for m in found.masks)
                return replace(found, masks=upper)

        options = generating(weights) if mode == "generate" else {"mode": mode, "color": "ff00ff", **FAST}
        plain, rendered, tracks = (film.with_name(n) for n in ("plain.mp4", "rendered.mp4", "t.json"))
        anonymize_video(film, plain, detector=Half(), **options)
        detect_film(film, tracks, detector=Half(), **options)
        if mode == "generate":  # a chosen action changes how a person is drawn, not what is covered
            edited(tracks, lambda c: [track.update(action="solid") for track in c["tracks"]])
            solid = {"mode": "solid", "color": "ff00ff", "seed": None, "weights": "embedded"}
            edited(tracks, lambda c: c["settings"].update(solid))
        render_film(film, tracks, rendered, device="cpu")
        if mode == "solid":
            assert plain.read_bytes() == rendered.read_bytes()
        whole = walkers.mask(0, 0)
        legs = slice(whole.y + 27, whole.y + 40), slice(whole.x + 8, whole.x + 18)
        assert painted(read(rendered)[0])[legs].mean() > 0.9

    def test_laid_out_by_an_editor(self, film: Path, solid: Path) -> None:
        for name in ("a.mp4", "b.mp4"):
            render_film(film, solid, film.with_name(name), device="cpu")
            edited(solid, lambda content: None)
        assert film.with_name("a.mp4").read_bytes() == film.with_name("b.mp4").read_bytes()


class TestEdits:
    @pytest.mark.parametrize("action", ["keep", "drop"])
    def test_a_person_is_shown(self, action: str, film: Path, solid: Path, walkers: Any, read: Read) -> None:
        edited(solid, lambda content: content["tracks"][0].update(action=action))
        summary = render_film(film, solid, film.with_name("o.mp4"), device="cpu")
        assert summary.people == 1
        for number, image in enumerate(read(film.with_name("o.mp4"))):
            shown, covered = (walkers.mask(k, number) for k in range(2))
            assert painted(image)[shown.slices][shown.mask].mean() < 0.3, number  # Where nobody stands before them.
            assert painted(image)[covered.slices][covered.mask].mean() > 0.9, number

    def test_one_is_blurred_and_one_is_painted(self, film: Path, solid: Path, walkers: Any, read: Read) -> None:
        edited(solid, lambda content: content["tracks"][0].update(action="blur"))
        render_film(film, solid, film.with_name("o.mp4"), device="cpu")
        image, original = read(film.with_name("o.mp4"))[0], read(film)[0]
        blurred, filled = (walkers.mask(k, 0) for k in range(2))
        assert painted(image)[filled.slices][filled.mask].mean() > 0.9
        assert painted(image)[blurred.slices].mean() == 0
        assert np.abs(image[blurred.slices].astype(int) - original[blurred.slices]).mean() > 5

    def test_a_box_is_added_and_moves(self, film: Path, solid: Path, read: Read) -> None:
        box = {"first": 2, "last": 6, "box": [40, 82, 60, 96], "box_last": [60, 82, 80, 96], "action": "solid"}
        edited(solid, lambda content: content["boxes"].append(box))
        assert render_film(film, solid, film.with_name("o.mp4"), device="cpu").people == 3
        for number, image in enumerate(read(film.with_name("o.mp4"))):
            left = 40 + 5 * (number - 2)
            there = painted(image)[84:94, left + 2 : left + 18].mean()
            assert there > 0.9 if 2 <= number <= 6 else there == 0, number

    def test_one_track_takes_another_seed_and_another_an_identity(
        self, film: Path, weights: Path, walkers: Any, read: Read, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(two_pass, "build_detector", lambda **_: walkers())
        tracks = film.with_name("t.json")
        detect_film(film, tracks, detector=walkers(), **generating(weights))
        cv2.imwrite(str(film.with_name("who.png")), np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8))
        render_film(film, tracks, film.with_name("before.mp4"), device="cpu")
        before = read(film.with_name("before.mp4"))
        for name, change in {"seed": {"seed": 9}, "who": {"identity": "who.png"}}.items():
            content = json.loads(tracks.read_text())
            content["tracks"][1].update(change)
            film.with_name(f"{name}.json").write_text(json.dumps(content))
            summary = render_film(film, film.with_name(f"{name}.json"), film.with_name(f"{name}.mp4"), device="cpu")
            assert [("who.png shows 2 people" in w) for w in summary.warnings] == ([True] if name == "who" else [])
            after = read(film.with_name(f"{name}.mp4"))
            changes = [np.abs(after[0] - before[0].astype(int))[walkers.mask(k, 0).slices].mean() for k in range(2)]
            assert changes[1] > 3 * changes[0], changes

    def test_one_track_gets_an_avatar_where_the_generator_is_a_file(
        self, film: Path, weights: Path, walkers: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[DrawOptions] = []

        def make(options: DrawOptions, *_: object, seed: int | None = None) -> TrackGenerator:
            asked.append(options)
            if options.mode == "generate":
                return make_generator(options, torch.device("cpu"), walkers, seed=seed)
            return AvatarGenerator(torch.ones(1024, walkers()._detect((96, 128)).embeddings.shape[1]), truncation=0.7)

        monkeypatch.setattr(two_pass, "make_generator", make)
        tracks = film.with_name("t.json")
        detect_film(film, tracks, detector=walkers(), **generating(weights))
        edited(tracks, lambda content: content["tracks"][0].update(action="avatar"))
        assert render_film(film, tracks, film.with_name("o.mp4"), device="cpu").frames == 11
        assert [(each.mode, each.weights) for each in asked if each.mode == "avatar"] == [("avatar", "embedded")]
        assert [Path(each.weights) for each in asked if each.mode == "generate"] == [weights]

    def test_generating_needs_surfaces(self, film: Path, solid: Path) -> None:
        edited(solid, lambda content: content["tracks"][0].update(action="generate"))
        with pytest.raises(OptionError, match="--mode generate"):
            render_film(film, solid, film.with_name("o.mp4"), device="cpu")
        assert not film.with_name("o.mp4").exists()


class TestPlates:
    """Number plates beside the people, with a class of their own in the file."""

    @pytest.mark.parametrize("mode", ["blur", "solid", "generate"])
    def test_they_are_covered_in_every_frame_in_one_pass_as_in_two(
        self, mode: str, film: Path, weights: Path, plated_walkers: Any, read: Read
    ) -> None:
        options = generating(weights) if mode == "generate" else {"mode": mode, **FAST}
        plain, rendered, tracks = (film.with_name(n) for n in ("plain.mp4", "rendered.mp4", "t.json"))
        summary = anonymize_video(film, plain, detector=plated_walkers(), plates=True, **options)
        detect_film(film, tracks, detector=plated_walkers(), plates=True, **options)
        again = render_film(film, tracks, rendered, device="cpu")
        assert plain.read_bytes() == rendered.read_bytes()
        assert (summary.people, summary.plates) == (again.people, again.plates) == (2, 1)
        left, top, right, bottom = map(int, plated_walkers.plate)
        for number, image in enumerate(read(plain)):  # one colour; the coder and a person in front leave a little
            inside = image[top + 2 : bottom - 2, left + 4 : right - 4].astype(float)
            assert np.median(np.abs(inside - np.median(inside, axis=(0, 1)))) < 4, number
        entry = json.loads(tracks.read_text())["tracks"][-1]
        assert entry["id"] == PLATES_AFTER + 1
        assert entry["class"] == "plate"
        assert entry["action"] == ("blur" if mode == "generate" else mode)

    def test_people_are_the_same_with_and_without(self, film: Path, plated_walkers: Any, walkers: Any) -> None:
        files = film.with_name("with.json"), film.with_name("without.json")
        detect_film(film, files[0], detector=plated_walkers(), plates=True, mode="blur", **FAST)
        detect_film(film, files[1], detector=walkers(), mode="blur", **FAST)
        both, people = (json.loads(path.read_text()) for path in files)
        assert both["tracks"][:2] == people["tracks"]
        for one, other in zip(both["frames"], people["frames"], strict=True):
            assert [each for each in one["people"] if each["id"] <= PLATES_AFTER] == other["people"]

    @pytest.mark.parametrize(
        ("change", "shown"),
        [
            (lambda c: c["tracks"][2].update(action="keep"), True),
            (lambda c: c["tracks"][2].update(action="drop"), True),
            (lambda c: c["tracks"][2].update(action="solid"), False),
        ],
    )
    def test_they_are_edited_like_people(
        self, change: Callable[[Any], object], shown: bool, film: Path, plated_walkers: Any, read: Read
    ) -> None:
        tracks, out = film.with_name("t.json"), film.with_name("o.mp4")
        detect_film(film, tracks, detector=plated_walkers(), plates=True, mode="solid", color="ff00ff", **FAST)
        render_film(film, edited(tracks, change), out, device="cpu")
        left, top, right, bottom = map(int, plated_walkers.plate)
        inside = painted(read(out)[0])[top + 1 : bottom, left + 1 : right]
        assert inside[:, 20:].all() == (not shown)

    def test_never_cover_leaves_a_plate(self, film: Path, plated_walkers: Any, read: Read) -> None:
        regions, out = film.with_name("r.json"), film.with_name("o.mp4")
        corners = [[30, 60], [100, 60], [100, 95], [30, 95]]
        content = {"format": "anonymize-regions", "version": 1, "regions": [{"polygon": corners}]}
        regions.write_text(json.dumps(content))
        summary = anonymize_video(
            film, out, detector=plated_walkers(), plates=True, mode="solid", color="ff00ff", never_cover=regions, **FAST
        )
        assert (summary.people, summary.plates) == (2, 0)
        assert not painted(read(out)[0])[82:86, 70:86].any()

    def test_boxes_beside_plates_are_no_plates(self, film: Path, plated_walkers: Any) -> None:
        tracks = film.with_name("t.json")
        detect_film(film, tracks, detector=plated_walkers(), plates=True, mode="blur", **FAST)
        edited(tracks, lambda c: c["boxes"].append({"first": 0, "last": 3, "box": [0, 0, 20, 20]}))
        assert render_film(film, tracks, film.with_name("o.mp4"), device="cpu").plates == 1

    def test_files_of_the_version_before_are_read(self, film: Path, solid: Path, read: Read) -> None:
        def older(content: dict[str, Any]) -> None:
            content["version"] = 1
            del content["settings"]["plates"]
            for track in content["tracks"]:
                del track["class"]

        first = render_film(film, solid, film.with_name("new.mp4"), device="cpu")
        second = render_film(film, edited(solid, older), film.with_name("old.mp4"), device="cpu")
        assert (first.people, first.plates) == (second.people, second.plates) == (2, 0)
        assert film.with_name("new.mp4").read_bytes() == film.with_name("old.mp4").read_bytes()

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda c: c["tracks"][2].update(action="generate"), "is a plate, whose action is one of blur"),
            (lambda c: c["tracks"][0].update({"class": "plate"}), "are above 1000000"),
            (lambda c: c["tracks"][2].pop("class"), "are above 1000000"),
            (lambda c: c["tracks"][2].update({"class": "sign"}), "'sign', which is not one of person, plate"),
        ],
    )
    def test_what_makes_no_sense(
        self, change: Callable[[Any], object], told: str, film: Path, plated_walkers: Any
    ) -> None:
        tracks = film.with_name("t.json")
        detect_film(film, tracks, detector=plated_walkers(), plates=True, mode="blur", **FAST)
        with pytest.raises(AnonymizeError, match=told):
            render_film(film, edited(tracks, change), film.with_name("o.mp4"), device="cpu")


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content.pop(name)


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda c: c.update(version=3), "version 3"),
            (lambda c: c.update(format="x"), "no tracks file"),
            (without("film"), "'film' is missing"),
            (without("boxes"), "'boxes' is missing"),
            (lambda c: c["settings"].pop("seed"), "'seed' is missing"),
            (lambda c: c["settings"].update(speed=1), "speed"),
            (lambda c: c["settings"].update(mode="gauss"), "gauss"),
            (lambda c: c["film"].update(frames=10), "says 10"),
            (lambda c: c["film"].update(size_hw=[1, 2]), "frame 0"),
            (lambda c: c["film"].update(sha256="0"), "another film"),
            (lambda c: c["tracks"].pop(), "track 2 has no entry"),
            (lambda c: c["tracks"].append(c["tracks"][0]), "twice"),
            (lambda c: c["tracks"][0].update(action="hide"), "'hide'"),
            (lambda c: c["tracks"][0].update(seed=1), "actions generate and avatar"),
            (lambda c: c["tracks"][0].update(acton="keep"), "'acton'"),
            (lambda c: c["boxes"].append({"first": 3, "last": 1, "box": [0, 0, 1, 1]}), "before it begins"),
            (lambda c: c["boxes"].append({"first": 0, "last": 1, "box": [5, 0, 1, 1]}), "left, top"),
            (lambda c: c["boxes"].append({"first": 0, "last": 1, "box": [0, 0, 1]}), "4 numbers"),
            (lambda c: c["frames"].pop(), "film has more"),
            (lambda c: c["frames"].append(c["frames"][0]), "more frames"),
            (lambda c: c["frames"][4].update(pts=-5), "frame 4"),
            (lambda c: c["frames"][4].pop("people"), "frame 4: 'people' is missing"),
            (lambda c: c["frames"][4]["people"][0].update(box=["a", 0, 1, 2]), "frame 4"),
            (lambda c: c["frames"][4]["people"][0].update(box=[0, 1, 2]), "frame 4"),
            (lambda c: c["frames"][4]["people"][0]["mask"].update(counts="05"), "frame 4"),
            (lambda c: c["frames"][4]["people"][0].update(surface="!"), "frame 4"),
        ],
    )  # fmt: skip
    def test_one_line_and_no_file(
        self, change: Callable[[dict[str, Any]], object], told: str, film: Path, solid: Path
    ) -> None:
        edited(solid, change)
        with pytest.raises(AnonymizeError) as error:
            render_film(film, solid, film.with_name("o.mp4"), device="cpu")
        assert told in str(error.value)
        assert "\n" not in str(error.value)
        assert sorted(p.name for p in film.parent.iterdir()) == ["in.mp4", "tracks.json"]

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
    @pytest.mark.parametrize("packed", [False, True])
    def test_a_file_that_is_cut_off(self, packed: bool, share: float, film: Path, solid: Path) -> None:
        content = gzip.compress(solid.read_bytes(), mtime=0) if packed else solid.read_bytes()
        solid.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(AnonymizeError, match=r"tracks\.json"):
            render_film(film, solid, film.with_name("o.mp4"), device="cpu")
        assert not film.with_name("o.mp4").exists()

    def test_no_file_or_no_text(self, film: Path, solid: Path) -> None:
        with pytest.raises(AnonymizeError, match="cannot read"):
            render_film(film, film.with_name("gone.json"), film.with_name("o.mp4"))
        solid.write_bytes(bytes(range(256)))
        with pytest.raises(AnonymizeError, match=r"tracks\.json"):
            render_film(film, solid, film.with_name("o.mp4"))

    @pytest.mark.parametrize("name", ["t.txt", "t.coco.json", "t.xml", "in.mp4"])
    def test_a_name_that_cannot_be_rendered(self, name: str, film: Path, walkers: Any) -> None:
        with pytest.raises(OptionError):
            detect_film(film, film.with_name(name), detector=walkers(), mode="blur")

    def test_a_detector_that_breaks_leaves_no_file(self, film: Path, walkers: Any) -> None:
        class Breaking(walkers):  # type: ignore[misc]
            def detect(self, images: Any) -> Any:
                if self.seen > 5:
                    raise RuntimeError("broken")
                return super().detect(images)

        with pytest.raises(RuntimeError, match="broken"):
            detect_film(film, film.with_name("t.json"), detector=Breaking(), mode="blur", device="cpu")
        with pytest.raises(RuntimeError, match="broken"):
            anonymize_video(
                film, film.with_name("o.mp4"), tracks=film.with_name("t.json"), detector=Breaking(), mode="blur"
            )
        assert [p.name for p in film.parent.iterdir()] == ["in.mp4"]


class TestCommands:
    def run(self, *arguments: object) -> Any:
        return CliRunner().invoke(cli.app, [str(each) for each in arguments])

    def test_detect_and_render(self, film: Path, walkers: Any, monkeypatch: pytest.MonkeyPatch, read: Read) -> None:
        monkeypatch.setattr(two_pass, "build_detector", lambda **_: walkers())
        tracks, out = film.with_name("t.json.gz"), film.with_name("o.mp4")
        result = self.run("detect", film, "-o", tracks, "--mode", "solid", "--color", "ff00ff", "--device", "cpu")
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(f"{tracks}: 11 frames, 11 with people, 2 tracks")
        assert self.run("detect", film, "-o", tracks).exit_code == 1
        result = self.run("render", film, tracks, "-o", out)
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(f"{out}: 11 frames, 11 with people, 2 tracks")
        assert painted(read(out)[0]).mean() > 0.1

    def test_wrong_film(self, film: Path, solid: Path, make_film: Callable[..., Path]) -> None:
        other = make_film(film.with_name("other.mp4"), frames=10)
        result = self.run("render", other, solid, "-o", film.with_name("o.mp4"))
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "another film" in result.stderr
