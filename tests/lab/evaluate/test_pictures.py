"""Tables 5.1 and 5.3: figures whose true values are known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import alexnet
from typer.testing import CliRunner

from anonymize.cli import app
from anonymize.core.errors import WeightsError
from anonymize.lab.evaluate.making import Maker
from anonymize.lab.evaluate.picture_networks import (
    LearnedJudge,
    MapDescriber,
    MapJudge,
    OnnxDescriber,
    PictureNetworks,
    load_picture_networks,
)
from anonymize.lab.evaluate.pictures import fid, figures, measure_one, table

from .doubles import Eyes
from .test_generator import Crowd, Painter


def test_a_set_is_at_no_distance_from_itself() -> None:
    features = np.random.default_rng(0).normal(size=(200, 16))
    assert fid(features, features) == pytest.approx(0, abs=1e-6)


def test_shifted_and_scaled_normal_features_have_the_distance_of_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    features, shift = rng.normal(size=(500, 8)), rng.normal(size=8)
    assert fid(features, features + shift) == pytest.approx(np.square(shift).sum(), rel=1e-6)
    scales = rng.uniform(0.5, 2, 8)
    white = np.linalg.qr(features - features.mean(0))[0] * np.sqrt(499)  # covariance 1
    wanted = np.square(shift).sum() + np.square(1 - scales).sum()
    assert fid(white, white * scales + shift) == pytest.approx(wanted, rel=1e-6)


@pytest.fixture(scope="module")
def alexnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("lpips") / "alexnet.pth"
    torch.save({name: value for name, value in alexnet().state_dict().items() if name.startswith("features.")}, path)
    return path


def test_equal_pictures_look_equal_and_others_do_not(alexnet_file: Path) -> None:
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    for judge in (LearnedJudge(alexnet_file), MapJudge(Eyes())):
        np.testing.assert_allclose(judge.distances(pictures, pictures), 0, atol=1e-9)
        near = judge.distances(pictures, (pictures + 0.02).clamp(0, 1))
        assert (near > 0).all() and (near < judge.distances(pictures, pictures.flip(0))).all()


def test_lpips_reads_the_backbone_that_it_is_given(alexnet_file: Path) -> None:
    judge, state = LearnedJudge(alexnet_file), torch.load(alexnet_file, weights_only=True)
    own = dict(judge._network.net.named_parameters())
    assert len(own) == 10
    for name, value in own.items():
        torch.testing.assert_close(value.data, state[f"features.{name.split('.', 1)[1]}"])


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("never",))


def test_hostile_and_wrong_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"features.0.weight": Hostile()}, tmp_path / "hostile.pth")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "small.pth")
    (tmp_path / "text.onnx").write_text("no network")
    for make, name in ((LearnedJudge, "hostile.pth"), (LearnedJudge, "small.pth"), (LearnedJudge, "none.pth")):
        with pytest.raises(WeightsError, match=name):
            make(tmp_path / name)
    assert "never" not in capsys.readouterr().out
    pytest.importorskip("onnxruntime")
    for name in ("text.onnx", "none.onnx"):
        with pytest.raises(WeightsError, match=name):
            OnnxDescriber(tmp_path / name)


def test_without_files_a_named_network_stands_in() -> None:
    names = load_picture_networks(None, None, None).names
    assert names["FID"] == "EfficientNet-Lite0 (ImageNet)"
    assert names["FID-CLIP"] is None
    assert names["LPIPS"] == "EfficientNet-Lite0 (ImageNet), channels unweighted"


def networks() -> PictureNetworks:
    torch.manual_seed(0)
    eyes = Eyes()
    return PictureNetworks(MapDescriber(eyes), None, MapJudge(eyes))


def test_a_generator_that_copies_is_perfect_and_all_alike() -> None:
    figures = measure_one(Maker(Painter(peeps=True), Crowd()), networks())  # type: ignore[arg-type]
    assert figures["FID"] is not None and figures["FID"].value == pytest.approx(0, abs=1e-9)
    assert figures["LPIPS"] is not None and figures["LPIPS"].value == pytest.approx(0, abs=1e-9)
    assert figures["LPIPS diversity"] is not None and figures["LPIPS diversity"].value == pytest.approx(0, abs=1e-9)
    assert figures["FID-CLIP"] is None


def test_a_generator_that_reads_looks_rebuilds_them_and_random_people_differ() -> None:
    figures = measure_one(Maker(Painter(), Crowd(), limit=24), networks())  # type: ignore[arg-type]
    made, rebuilt = figures["LPIPS"], figures["LPIPS reconstructed"]
    assert rebuilt is not None and rebuilt.value == pytest.approx(0, abs=1e-9)
    assert made is not None and made.value > 0.001 and 0 < made.margin < made.value
    assert figures["LPIPS diversity"] is not None and figures["LPIPS diversity"].value > 0.001


def test_without_an_appearance_mapper_nothing_is_rebuilt() -> None:
    painter = Painter()
    painter.config.appearance_mapper = False
    row = measure_one(Maker(painter, Crowd(), limit=12), networks())  # type: ignore[arg-type]
    assert row["LPIPS reconstructed"] is None
    found = {"networks": networks().names, "pictures": 12, "rows": {"base": row}}
    assert "| base | " in table(found) and "| - |" in table(found) and "FID by none" in table(found)
    assert json.loads(json.dumps(figures(found)))["rows"]["base"]["LPIPS reconstructed"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--inception", "none.onnx"], "there is no file none.onnx"),
        (["--lpips", "none.pth"], "none.pth is no checkpoint"),
        (["--json", "nowhere/x.json"], "there is no folder nowhere"),
        ([], "no weights"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    model = tmp_path / "no weights.safetensors"
    model.write_text("nothing")
    result = CliRunner().invoke(app, ["evaluate", "pictures", str(model), "--data", str(tmp_path), *arguments])
    assert result.exit_code in (1, 2)
    assert words in result.stderr and result.stderr.count("\n") == 1
