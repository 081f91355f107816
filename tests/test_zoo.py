"""The zoo as a user calls it, on checkpoints in the layouts of their publishers."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from anonymize.cli import app
from anonymize.core.types import PersonRequest
from anonymize.detect import build
from anonymize.detect.build import save_weights as save_detector
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.detect.zoo import predictor
from anonymize.downloads.catalog import CATALOG
from anonymize.generate.build import save_weights
from anonymize.generate.network import GeneratorConfig, GeneratorNetwork
from anonymize.generate.predictor import EmbeddedGenerator
from tests.fixtures import recipe

RUN = CliRunner()
FIXTURES = Path(__file__).parent / "fixtures"
NETWORKS = {"mask-rcnn-r50": "mask_r50", "cse-r50": "cse_r50"}
DETECTOR = ["--detector", "zoo:mask-rcnn-r50+cse-r50"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory with a Mask R-CNN and a DensePose CSE of random parameters."""
    folder = tmp_path_factory.mktemp("cache") / "anonymize"
    folder.mkdir()
    for name, file in NETWORKS.items():
        shapes = json.loads((FIXTURES / f"{file}.json").read_text())["parameters"]
        model = {parameter: recipe.parameter(parameter, shape) for parameter, shape in shapes.items()}
        if name == "mask-rcnn-r50":
            model["roi_heads.mask_head.predictor.bias"][0] += 9  # people fill their boxes
        if name == "cse-r50":
            model["roi_heads.box_predictor.cls_score.bias"][0] -= 4.1  # fewer people, or it takes minutes
        (folder / CATALOG[name].file).write_bytes(pickle.dumps({"model": model}))
    return folder.parent


@pytest.fixture
def run(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "in.png"), picture)

    def call(*options: str) -> Result:
        return RUN.invoke(app, [str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), *options])

    return call


def weights(path: Path) -> str:
    """A small embedded generator."""
    save_weights(
        path, GeneratorNetwork(GeneratorConfig(size_hw=(16, 8), channels=(4, 6), judge_channels=(4, 6), latent=8)), {}
    )
    return str(path)


class Trap:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return open, (str(self.file), "w")


def test_its_detector_covers_a_picture(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run(*DETECTOR, "--mode", "solid", "--score", "0.7")
    assert result.exit_code == 0, result.output
    before, after = cv2.imread(str(tmp_path / "in.png")), cv2.imread(str(tmp_path / "out.png"))
    assert (after == 0).all(2).mean() > (before == 0).all(2).mean()


def test_its_surface_with_another_generator_is_refused(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run(*DETECTOR, "--mode", "generate", "--weights", weights(tmp_path / "x.safetensors"))
    assert result.exit_code == 2
    assert "'smpl_27554'" in result.stderr and "'anny'" in result.stderr and "zoo:MASKS" in result.stderr
    assert result.stderr.strip().count("\n") == 0
    assert not (tmp_path / "out.png").exists()


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random embedded detector weights, in place of the package's, whose masks fill their boxes; and a small zoo."""
    torch.manual_seed(0)
    network = DetectorNetwork(DetectorConfig(size=96, max_size=128))
    assert network.region_head.points.bias is not None
    torch.nn.init.constant_(network.region_head.points.bias[:1], 9.0)
    path = tmp_path / "random.safetensors"
    save_detector(path, network, {})
    monkeypatch.setattr(build, "weights_path", lambda _name: path)
    monkeypatch.setattr(predictor, "resized_hw", lambda size, *_: size)
    return path


@pytest.mark.parametrize("name", ["zoo:mask-rcnn-r50", "zoo:mask-rcnn-r50+embedded"])
@pytest.mark.usefixtures("embedded")
def test_a_film_with_its_masks_the_embedded_surface_and_the_embedded_generator(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_film: Callable[..., Path], name: str
) -> None:
    """The whole way: whom the zoo finds reaches the generator with the embedded surface."""
    made: list[PersonRequest] = []
    generate = EmbeddedGenerator._generate

    def watched(self: EmbeddedGenerator, requests: Any) -> Any:
        made.extend(requests)
        return generate(self, requests)

    monkeypatch.setattr(EmbeddedGenerator, "_generate", watched)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    film, out = make_film(tmp_path / "in.mp4", frames=3), tmp_path / "out.mp4"
    result = RUN.invoke(
        app, [str(film), "-o", str(out), "--mode", "generate", "--detector", name, "--score", "0.68", "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    assert out.exists() and "no body surface" not in result.stderr
    assert made
    for request in made:
        found = request.tracks.detections
        assert found.surface == "anny" and found.has_cse[request.row]
        assert found.segmentations is not None and (found.segmentations[request.row] > 0.5).any()


@pytest.mark.parametrize(
    ("name", "pulled"),
    [
        ("zoo:mask-rcnn-x101", "mask-rcnn-x101"),
        ("zoo:mask-rcnn-r50-v2", "mask-rcnn-r50-v2"),
        ("zoo:mask-rcnn-r101+cse-r101", "mask-rcnn-r101 cse-r101"),
    ],
)
def test_masks_that_are_not_here_name_what_to_pull(run: Callable[..., Result], name: str, pulled: str) -> None:
    result = run("--detector", name)
    assert result.exit_code == 1
    assert result.stderr.strip().endswith(f"run: anonymize weights pull {pulled}")
    assert result.stderr.strip().count("\n") == 0


@pytest.mark.parametrize("name", ["embedded", "zoo:mask-rcnn-r50"])
def test_the_zoo_generator_with_the_embedded_surface_is_refused(
    run: Callable[..., Result], tmp_path: Path, name: str
) -> None:
    result = run("--detector", name, "--weights", "zoo")
    assert result.exit_code == 2
    assert "zoo:MASKS+CSE" in result.stderr
    assert result.stderr.strip().count("\n") == 0
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("networks", ["cse-r50+mask-rcnn-r50", "cse-r50", "mask-rcnn-r50+nobody", "mask-rcnn-r50+"])
def test_a_name_that_is_none(run: Callable[..., Result], networks: str) -> None:
    result = run("--detector", f"zoo:{networks}", "--mode", "blur")
    assert result.exit_code == 2
    assert result.stderr.strip().count("\n") == 0


def test_what_is_not_here_names_the_command(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("--weights", "zoo")
    assert result.exit_code == 1
    assert "anonymize weights pull zoo" in result.stderr
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_generator_is_refused_and_does_nothing(
    run: Callable[..., Result], tmp_path: Path, zipped: bool
) -> None:
    trap, file = tmp_path / "trap", tmp_path / "x.ckpt"
    torch.save({"EMA_generator": {}, "more": Trap(trap)}, file, _use_new_zipfile_serialization=zipped)
    result = run("--weights", str(file), "--mode", "generate")
    assert result.exit_code == 1
    assert "refused" in result.stderr
    assert result.stderr.strip().count("\n") == 0
    assert not trap.exists() and not (tmp_path / "out.png").exists()


def test_a_hostile_detector_is_refused_and_does_nothing(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, trap = tmp_path / "anonymize", tmp_path / "trap"
    folder.mkdir()
    for name in NETWORKS:
        (folder / CATALOG[name].file).write_bytes(pickle.dumps({"model": {"weight": Trap(trap)}}))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = run(*DETECTOR, "--mode", "blur")
    assert result.exit_code == 1
    assert "refused" in result.stderr
    assert result.stderr.strip().count("\n") == 0
    assert not trap.exists() and not (tmp_path / "out.png").exists()
