from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from anonymize import anonymize_image, anonymize_video, build, cli, pipeline
from anonymize.core.errors import AnonymizeError, OptionError, WeightsError
from anonymize.core.resources import DETECTOR, GENERATOR, weights_path
from anonymize.core.types import Detections, RegionMask, UInt8Array
from anonymize.generate import predictor
from anonymize.generate.avatar import AvatarGenerator
from anonymize.generate.build import save_weights
from anonymize.generate.latents import draw_latent
from anonymize.generate.network import GeneratorConfig, GeneratorNetwork
from anonymize.options import DetectOptions, DrawOptions, Options

TINY = GeneratorConfig(
    size_hw=(36, 20), channels=(4, 6, 8), judge_channels=(4, 6, 8), latent=12, mapping_layers=2, embedding=4, centers=3
)  # fmt: skip


class Bodies:
    """A detector that finds `people` boxes with a body surface, the first of them larger, everywhere alike."""

    def __init__(self, people: int = 2, surface: str | None = "anny") -> None:
        self.people, self.surface = people, surface

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        return [self._detect((image.shape[0], image.shape[1])) for image in images]

    def _detect(self, size_hw: tuple[int, int]) -> Detections:
        n, (height, width) = self.people, size_hw
        masks = [
            RegionMask(4 + k * width // 4, 8 + 4 * k, np.ones((height // 2 - 4 * k, width // 6), np.bool_))
            for k in range(n)
        ]
        boxes = np.array([mask.box_xyxy for mask in masks], np.float32).reshape(-1, 4)
        draw = torch.Generator().manual_seed(0)
        return Detections(
            size_hw,
            boxes,
            np.full(n, 0.9, np.float32),
            tuple(masks),
            np.full(n, self.surface is not None),
            torch.randn(n, TINY.embedding, 14, 14, generator=draw),
            torch.ones(n, 14, 14),
            self.surface or "anny",
        )


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = GeneratorNetwork(TINY)
    with torch.no_grad():
        first = torch.stack([draw_latent(0, 1 + track, TINY.latent) for track in range(TINY.centers)])
        network.w_centers.copy_(network.mapping(network.prior(first)))  # each of the first tracks has its own
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, network, {})
    return path


@pytest.fixture
def film(tmp_path: Path, make_film: Callable[..., Path]) -> Path:
    return make_film(tmp_path / "in.mp4", frames=10)


def read(path: Path) -> np.ndarray:
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def save_picture(path: Path, seed: int = 0) -> Path:
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (96, 128, 3), np.uint8))
    return path


def test_a_work_depends_on_the_embedded_weights_that_have_a_part_in_it(weights: Path) -> None:
    detector, generator = weights_path(DETECTOR), weights_path(GENERATOR)

    def files(detector: str | None = None, **draw: Any) -> list[Path]:
        return build.weights_files(Options(draw=DrawOptions(**draw), detect=DetectOptions(detector_weights=detector)))

    assert files() == [detector]
    assert files(mode="generate") == [detector, generator]
    assert files("zoo:mask-rcnn-r50", mode="generate") == [detector, generator]
    assert files("zoo", mode="blur") == []
    assert files("detectron2", weights=str(weights)) == [detector, weights]
    assert files(str(weights), weights="zoo") == [weights]


class TestFilm:
    def make(self, film: Path, weights: Path, name: str, detector: Any = None, **options: Any) -> np.ndarray:
        out = film.with_name(name)
        options = {"mode": "generate", "weights": weights, "detector": detector or Bodies(), "device": "cpu"} | options
        anonymize_video(film, out, **options)
        return read(out)

    def test_people_are_replaced_the_same_for_the_same_seed(self, film: Path, weights: Path) -> None:
        original, blurred = read(film), self.make(film, Path("embedded"), "b.mp4", mode="blur")
        made = self.make(film, weights, "one.mp4")
        again = self.make(film, weights, "two.mp4", seed=0)
        other = self.make(film, weights, "three.mp4", seed=7)
        np.testing.assert_array_equal(made, again)
        person = Bodies().detect([original[0]])[0].masks[0]
        for different in (original, blurred, other):
            assert np.abs(made[(5, *person.slices)].astype(int) - different[(5, *person.slices)]).mean() > 3
        outside = np.ones(made.shape[1:3], np.bool_)
        outside[:70, :60] = False
        assert np.abs(made[5].astype(int) - original[5])[outside].mean() < 6

    def test_people_of_several_frames_share_a_batch(
        self, film: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        generate = predictor.EmbeddedGenerator._generate

        def watched(self: Any, requests: Any) -> Any:
            sizes.append(len(requests))
            return generate(self, requests)

        monkeypatch.setattr(predictor.EmbeddedGenerator, "_generate", watched)
        self.make(film, weights, "out.mp4", detector=Bodies(1))
        assert sizes == [4, 4, 2]

    def test_truncation_0_makes_people_alike(self, film: Path, weights: Path) -> None:
        def looks(t: float, multi_modal: bool = False) -> list[torch.Tensor]:
            options = DrawOptions(truncation=t, weights=str(weights), multi_modal=multi_modal)
            generator = build.make_generator(options, torch.device("cpu"), Bodies)
            return [generator._person(track)[0] for track in (1, 2, 3, 4, 5, 6)]  # type: ignore[attr-defined]

        assert len({tuple(w.float().tolist()) for w in looks(0)}) == 1
        assert 1 < len({tuple(w.float().tolist()) for w in looks(0, multi_modal=True)}) <= TINY.centers
        assert len({tuple(w.float().tolist()) for w in looks(1)}) == 6

    def test_an_error_of_the_generator_leaves_no_file(
        self, film: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(self: Any, requests: Any) -> Any:
            raise RuntimeError("out of memory")

        monkeypatch.setattr(predictor.EmbeddedGenerator, "_generate", broken)
        with pytest.raises(RuntimeError, match="out of memory"):
            self.make(film, weights, "out.mp4")
        assert [path.name for path in film.parent.iterdir()] == ["in.mp4"]

    def test_a_generator_of_another_surface_is_refused(self, film: Path, weights: Path) -> None:
        with pytest.raises(AnonymizeError, match="surface"):
            self.make(film, weights, "out.mp4", detector=Bodies(surface="smpl_27554"))

    def test_without_surfaces_people_are_blurred_with_a_warning(self, film: Path, weights: Path) -> None:
        options: dict[str, Any] = {"mode": "generate", "weights": weights, "detector": Bodies(surface=None)}
        summary = anonymize_video(film, film.with_name("out.mp4"), device="cpu", **options)
        assert "no body surface" in " ".join(summary.warnings)

    def test_without_weights_nothing_is_written(self, film: Path) -> None:
        with pytest.raises(WeightsError, match="gone"):
            self.make(film, film.with_name("gone.safetensors"), "out.mp4")
        assert [path.name for path in film.parent.iterdir()] == ["in.mp4"]


class TestIdentity:
    def test_people_take_the_pictures_in_turn(self, film: Path, weights: Path, tmp_path: Path) -> None:
        pictures = [save_picture(tmp_path / f"{k}.png", k) for k in range(2)]
        options = DrawOptions(identity=tuple(pictures), weights=str(weights))
        composer, warnings = build.build_composer(options, Bodies(1), torch.device("cpu"))
        assert warnings == []
        z = composer._generator.identities  # type: ignore[attr-defined]
        assert len(z) == 2
        assert not torch.equal(z[0], z[1])

    def test_of_several_people_the_largest_is_taken_with_a_warning(
        self, film: Path, weights: Path, tmp_path: Path
    ) -> None:
        save_picture(tmp_path / "two.png")
        options: dict[str, Any] = {"mode": "generate", "weights": weights, "identity": [tmp_path / "two.png"]}
        summary = anonymize_video(film, tmp_path / "o.mp4", detector=Bodies(2), device="cpu", **options)
        [warning] = summary.warnings
        assert "two.png shows 2 people; the largest one is taken, x 4 to 25, y 8 to 56" in warning
        source = save_picture(tmp_path / "other.png", 1)
        summary = anonymize_image(source, tmp_path / "o.png", detector=Bodies(2), device="cpu", **options)
        assert summary.warnings == (warning,)

    def test_two_who_are_found_as_one_too_are_not_the_largest(
        self, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Pairs(Bodies):
            def _detect(self, size_hw: tuple[int, int]) -> Detections:
                found = super()._detect(size_hw)[[0, 1, 0]]
                both = RegionMask(4, 8, np.ones((size_hw[0] // 2, 5 * size_hw[1] // 12), np.bool_))
                boxes = np.stack([*found.boxes_xyxy[:2], np.array(both.box_xyxy, np.float32)])
                scores = np.array([0.95, 0.95, build.DEFAULT_SCORE + 0.15], np.float32)
                return replace(found, boxes_xyxy=boxes, scores=scores, masks=(*found.masks[:2], both))

        options = DrawOptions(identity=(save_picture(tmp_path / "two.png"),), weights=str(weights))
        seen: list[Detections] = []
        read_identity = predictor.EmbeddedGenerator.read_identity

        def watched(self: Any, image: Any, detections: Detections) -> Any:
            seen.append(detections)
            return read_identity(self, image, detections)

        monkeypatch.setattr(predictor.EmbeddedGenerator, "read_identity", watched)
        _, [warning] = build.build_composer(options, Pairs(2), torch.device("cpu"))
        assert "two.png shows 2 people" in warning
        [given] = seen  # each by their own pixels
        assert [mask.box_xyxy for mask in given.masks] == [mask.box_xyxy for mask in Bodies(2)._detect((96, 128)).masks]

    def test_what_a_mask_covers_outside_of_the_box_is_not_looked_at(self, weights: Path, tmp_path: Path) -> None:
        class Generous(Bodies):
            def _detect(self, size_hw: tuple[int, int]) -> Detections:
                found = super()._detect(size_hw)
                [mask] = found.masks
                wide = RegionMask(0, 0, np.ones(size_hw, np.bool_))
                wide.mask[tuple(slice(int(a), int(b)) for a, b in found.boxes_xyxy.reshape(2, 2).T[::-1])] = False
                return replace(found, masks=(RegionMask.union([mask, wide]),))

        options = DrawOptions(identity=(save_picture(tmp_path / "one.png"),), weights=str(weights))
        z = [
            build.build_composer(options, finder, torch.device("cpu"))[0]._generator.identities[0]  # type: ignore[attr-defined]
            for finder in (Bodies(1), Generous(1))
        ]
        torch.testing.assert_close(*z)

    def test_the_input_as_an_identity_is_warned_of(self, weights: Path, tmp_path: Path) -> None:
        picture = save_picture(tmp_path / "one.png")
        options: dict[str, Any] = {"weights": weights, "identity": [picture], "detector": Bodies(1), "device": "cpu"}
        copy = tmp_path / "copy.png"
        copy.write_bytes(picture.read_bytes())
        for n, source in enumerate((picture, copy)):
            [warning] = anonymize_image(source, tmp_path / f"o{n}.png", **options).warnings
            assert "one.png is the input itself" in warning
        other = save_picture(tmp_path / "other.png", 1)
        assert anonymize_image(other, tmp_path / "o2.png", **options).warnings == ()

    def test_nobody_in_the_picture(self, film: Path, weights: Path, tmp_path: Path) -> None:
        picture = save_picture(tmp_path / "empty.png")
        with pytest.raises(OptionError, match=r"empty\.png: no person"):
            anonymize_video(
                film, tmp_path / "o.mp4", mode="generate", weights=str(weights), identity=[picture], detector=Bodies(0)
            )

    def test_no_picture(self, film: Path, weights: Path, tmp_path: Path) -> None:
        (tmp_path / "bad.png").write_text("no picture")
        for name in ("bad.png", "missing.png"):
            with pytest.raises(AnonymizeError, match=name):
                anonymize_video(
                    film, tmp_path / "o.mp4", mode="generate", weights=str(weights), identity=[tmp_path / name],
                    detector=Bodies(1),
                )  # fmt: skip
        assert not (tmp_path / "o.mp4").exists()


class TestOptions:
    @pytest.mark.parametrize(
        ("mode", "options"),
        [
            ("generate", {"color": "ff0000"}),
            ("blur", {"color": "ff0000"}),
            ("blur", {"identity": (Path("a.png"),)}),
            ("solid", {"seed": 1}),
            ("pixelate", {"truncation": 0.5}),
            ("blur", {"weights": "a.safetensors"}),
            ("blur", {"multi_modal": True}),
            ("generate", {"truncation": 1.5}),
            ("generate", {"seed": -1}),
            ("gauss", {}),
        ],
    )
    def test_what_does_not_fit_is_refused(self, mode: Any, options: dict[str, Any]) -> None:
        with pytest.raises(OptionError):
            DrawOptions(mode=mode, **options)

    @pytest.mark.parametrize("options", [{"truncation": 0.5}, {"multi_modal": True}])
    def test_an_identity_is_not_truncated(self, options: dict[str, Any]) -> None:
        with pytest.raises(OptionError, match="an identity stays"):
            Options(draw=DrawOptions(identity=(Path("a.png"),), **options))
        assert DrawOptions(identity=(Path("a.png"),), **options).identity  # as stored in a file

    def test_people_are_replaced_by_rendered_ones_by_default(self) -> None:
        options = DrawOptions()
        assert (options.mode, options.weights) == ("avatar", "embedded")
        assert isinstance(build.make_generator(options, torch.device("cpu"), Bodies), AvatarGenerator)

    def test_a_generators_weights_ask_for_generated_people(self, weights: Path) -> None:
        assert DrawOptions(weights=str(weights)).mode == DrawOptions(weights="zoo").mode == "generate"
        with pytest.raises(OptionError, match="not avatar"):
            DrawOptions(mode="avatar", weights=str(weights))

    def test_the_embedded_generator(self) -> None:
        generator = build.make_generator(DrawOptions(mode="generate"), torch.device("cpu"), Bodies)
        assert generator.size_hw == (288, 160)
        assert generator.surface == "anny"


class TestCommand:
    def test_the_options_reach_the_generator(
        self, film: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[dict[str, Any]] = []

        def build(**options: Any) -> Any:
            asked.append(options)
            return Bodies(1)

        monkeypatch.setattr(pipeline, "build_detector", build)

        def run(name: str, *options: object) -> np.ndarray:
            arguments = [film, "-o", tmp_path / name, "--mode", "generate", "--weights", weights, *options]
            result = CliRunner().invoke(cli.app, [str(each) for each in arguments])
            assert result.exit_code == 0, result.output
            return read(tmp_path / name)

        plain = run("a.mp4", "--device", "cpu")
        picture = save_picture(tmp_path / "who.png")
        for name, options in {
            "b.mp4": ("--seed", 5),
            "c.mp4": ("-t", 0),
            "f.mp4": ("-t", 0.5, "--multi-modal"),
            "d.mp4": ("--identity", picture, "--identity", picture),
        }.items():
            assert not np.array_equal(run(name, *options), plain), name
        other = tmp_path / "other.safetensors"
        other.write_bytes(b"read by the double only, which does not")
        run("e.mp4", "--detector", other)
        assert [each["weights"] for each in asked] == ["embedded"] * 5 + [str(other)]

    @pytest.mark.parametrize(
        "options",
        [("--color", "ff0000"), ("-t", 2), ("--seed", -1), ("--mode", "blur", "--identity", "who.png")],
    )
    def test_wrong_use(self, options: tuple[object, ...], film: Path, weights: Path, tmp_path: Path) -> None:
        arguments = [film, "-o", tmp_path / "o.mp4", "--mode", "generate", "--weights", weights, *options]
        assert CliRunner().invoke(cli.app, [str(each) for each in arguments]).exit_code == 2
        assert not (tmp_path / "o.mp4").exists()
