"""Table 5.3 on a tiny dataset, with a budget of seconds."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from anonymize.cli import app
from anonymize.core.body_surface import load_surface
from anonymize.generate.network import Discriminator, GeneratorNetwork, baseline
from anonymize.lab import ablation
from anonymize.lab.ablation import COARSE, FINE, AblationOptions, curves, folder_of, rows_of_table, run
from anonymize.lab.evaluate.picture_networks import MapDescriber, MapJudge, PictureNetworks
from anonymize.lab.train.bank import held_out
from anonymize.lab.train.dataset import ShardWriter, SurfaceTable, rendered_crop

from .evaluate.doubles import Eyes

SURFACE = load_surface()


def write_people(folder: Path) -> None:
    """Made-up rendered people, of whom some are held out."""
    table = SurfaceTable.of(torch.randn(1024, 16, generator=torch.Generator().manual_seed(0)), SURFACE)
    landmarks = SURFACE.landmarks
    with ShardWriter(folder, table) as writer:
        kept = [number for number in range(400) if held_out(str(number))][:8]
        for number in [*kept, *(number for number in range(20) if not held_out(str(number)))]:
            rng = np.random.default_rng(number)
            alpha = np.zeros((120, 60), np.uint8)
            alpha[10:110, 20:40] = 255
            vertex = np.where(alpha > 0, np.broadcast_to(landmarks[np.arange(120) // 20, None], (120, 60)), -1)
            image = np.full((120, 60, 3), rng.integers(0, 256, 3), np.uint8)
            writer.write(rendered_crop(rng, image, alpha, vertex, (), table, SURFACE, str(number), 0))


def test_each_row_adds_one_thing_to_the_one_before() -> None:
    rows = rows_of_table()
    assert [row.name for row in rows] == [
        "StyleGAN baseline", "base", "more FM resolutions", "co-modulation", "improved conditioning", "larger model"
    ]  # fmt: skip
    changes = []
    for before, after in pairwise(rows):
        old, new = before.config.to_dict(), after.config.to_dict()
        changes.append({name for name in old if old[name] != new[name]})
    assert changes == [{"appearance_mapper"}, set(), {"co_modulation"}, {"improved_conditioning"}, {"factor"}]
    assert [row.feature_weights for row in rows[1:3]] == [COARSE, FINE]
    for network in (GeneratorNetwork, Discriminator):
        small, large = (sum(p.numel() for p in network(row.config).parameters()) for row in rows[-2:])
        assert large > 2 * small


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    write_people(folder)
    return folder


def test_all_rows_are_trained_measured_and_gone_on_with(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    eyes = Eyes()
    networks = PictureNetworks(MapDescriber(eyes), None, MapJudge(eyes))
    monkeypatch.setattr(ablation.consistency, "EfficientNetLite0", lambda: eyes)
    tiny = (4, 4, 4, 4, 6, 8)
    small = replace(baseline(), channels=tiny, judge_channels=tiny, latent=12, known=16, centers=3)
    monkeypatch.setattr(ablation, "baseline", lambda: small)
    options = AblationOptions(
        minutes=0.02, batch_size=2, workers=0, halvings=4, device="cpu", people=2, views=2, limit=6
    )
    found = run(people, tmp_path, options, networks)
    assert len(found["trained"]) == 6
    assert all(row["steps"] > 0 and row["minutes"] >= 0.02 for row in found["trained"].values())
    figures = json.loads((tmp_path / "figures.json").read_text())
    for name, row in figures["pictures"]["rows"].items():
        assert (row["LPIPS reconstructed"] is None) == (name == "StyleGAN baseline")
        assert row["FID"]["value"] > 0
        assert figures["consistency"]["rows"][name]["poses"]["colour"]["ratio"] is not None
    assert (tmp_path / "table.md").read_text().count("| larger model |") == 1 + 1 + 4
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None and sheet.shape == (6 * (20 + 18), 2 * 4 * 10, 3)

    before = {path: path.read_bytes() for path in tmp_path.glob("*/checkpoint.pt")}
    monkeypatch.setattr(ablation.GeneratorTraining, "train_step", lambda *_: pytest.fail("the budget is spent"))
    again = run(people, tmp_path, options, networks)
    assert again["trained"] == found["trained"]
    assert len(before) == 6 and all(path.read_bytes() == content for path, content in before.items())


def test_curves_follow_the_logs(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"seconds": 60 * k, "generator": k}) + "\n" for k in range(5)))
    drawn = curves({"a<b": log, "none": tmp_path / "no.jsonl"})
    assert "40.0,260.0" in drawn and "520.0,20.0" in drawn and "a&lt;b" in drawn
    assert folder_of(rows_of_table()[0]) == "stylegan-baseline"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--lpips", "none.pth"], "none.pth is no checkpoint"), ([], "no dataset"), (["--halvings", "9"], "halvings")],
)
def test_wrong_use_is_an_error(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["train", "ablation", str(tmp_path), "-o", str(tmp_path / "run"), *arguments])
    assert result.exit_code in (1, 2) and words in result.stderr
