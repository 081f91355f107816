import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from anonymize.core.errors import OptionError
from anonymize.generate.build import load_network
from anonymize.generate.layered import LayeredNetwork
from anonymize.generate.network import GeneratorConfig
from anonymize.lab.train.dataset_reader import LayeredBatch
from anonymize.lab.train.layered import LayeredOptions, LayeredTraining, cut_heads, heads_of
from anonymize.lab.train.projected import SCALE_CHANNELS

CONFIG = GeneratorConfig(
    size_hw=(64, 32),
    channels=(4, 6, 8, 8, 8),
    judge_channels=(4, 6, 8, 8, 8),
    latent=12,
    embedding=4,
    known=16,
    centers=3,
    parts=5,
    features=4,
    alpha=True,
)
OPTIONS = LayeredOptions(minutes=1e6, batch_size=2, warmup=5, log_every=1, save_every=4, colour_steps=20)


def batch(seed: int, size_hw: tuple[int, int] = (32, 16), count: int = 2) -> LayeredBatch:
    rng = torch.Generator().manual_seed(seed)
    height, width = size_hw

    def plane(margin: float) -> torch.Tensor:
        mask = torch.zeros(count, 1, height, width)
        y, x = round(margin * height), round(margin * width)
        mask[:, :, y:-y, x:-x] = 1
        return mask

    body, cover = plane(0.3), plane(0.15)
    places = torch.rand(count, 3, height, width, generator=rng) - 0.5
    person = torch.rand(count, 3, 1, 1, generator=rng) * 2 - 1
    pictures = body * person + (1 - body) * places
    embedding = torch.randn(count, CONFIG.embedding, height, width, generator=rng) * body
    return LayeredBatch(
        pictures=pictures,
        alpha=body,
        places=places,
        placed=torch.arange(count) % 2 == 0,
        cover=cover,
        others=torch.zeros_like(cover),
        surface=torch.cat([embedding, body, torch.zeros_like(body)], 1),
        appearance=torch.cat([pictures * body, body, embedding, body], 1),
        paired=torch.ones(count, dtype=torch.bool),
        heads=torch.tensor([[-0.4, -0.4, 0.4, 0.0], [0.0] * 4]).repeat(count, 1)[:count],
    )


class Crowd:
    """Stands in for a dataset."""

    table = SimpleNamespace(embedding=np.eye(4, dtype=np.float32).repeat(3, 0))

    def __init__(self, halvings: int = 1) -> None:
        self.size = (64 >> halvings, 32 >> halvings)

    def layered_batch(self, rng: Any, count: int) -> LayeredBatch:
        return batch(int(rng.integers(1000)), self.size, count)


class FewFeatures(torch.nn.Module):
    """Stands in for the frozen features: random convolutions."""

    def __init__(self) -> None:
        super().__init__()
        sizes = zip((3, *SCALE_CHANNELS), SCALE_CHANNELS, strict=False)
        self.steps = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 3, 2, 1) for a, b in sizes)
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for step in self.steps:
            x = step(x).relu()
            maps.append(x)
        return maps


def training(folder: Path, **changes: Any) -> LayeredTraining:
    options = {k: v for k, v in changes.items() if k in LayeredOptions.__dataclass_fields__}
    config = {k: v for k, v in changes.items() if k not in options}
    return LayeredTraining(
        folder, dataclasses.replace(OPTIONS, **options), dataclasses.replace(CONFIG, **config), "cpu", FewFeatures()
    )


def test_people_are_rebuilt_better_and_better(tmp_path: Path) -> None:
    trained = training(tmp_path, learning_rate=0.02, perceptual=0.0)
    losses = [trained.train_step(batch(step % 4)) for step in range(120)]
    for name in ("colours", "alpha"):
        first, last = (np.mean([values[name] for values in part]) for part in (losses[:8], losses[-8:]))
        assert last < 0.75 * first, name
    assert "discriminator" not in losses[0], "first there is reconstruction alone"
    assert trained.fallbacks == 0


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"appearance_mapper": False},
        {"co_modulation": False},
        {"judge_pose": False, "improved_conditioning": False},
        {"factor": 2.0},
    ],
)
def test_all_stages_have_finite_losses(switches: dict[str, Any], tmp_path: Path) -> None:
    trained = training(tmp_path, **switches)
    mapped = switches.get("appearance_mapper", True)
    for stage, size in enumerate([(32, 16), (32, 16), (64, 32)]):
        if stage:
            trained.enter(stage)
        for step in range(2):
            values = trained.train_step(batch(step, size))
            assert all(math.isfinite(v) for v in values.values()), values
            assert ("discriminator" in values) == ("fool" in values) == (stage > 0)
            assert ("kl" in values) == mapped
    assert trained.config == trained.full_config


def test_a_bad_learning_rate_is_survived(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The training falls back to its last good parameters, says so, and goes on at a rate that it can bear."""
    trained = training(tmp_path, learning_rate=1e4, warmup=1)
    steps = [trained.train_step(batch(step % 4)) for step in range(150)]
    assert trained.fallbacks > 0
    assert "diverged; back to the last good parameters" in capsys.readouterr().out
    assert trained.rate_factor < 1
    assert all(p.isfinite().all() for p in trained.generator.parameters())
    last = np.mean([values["colours"] for values in steps[-10:]])
    assert last < 1.2 * steps[0]["colours"], "it ends no worse than it began"


def test_a_discriminator_that_wins_is_slowed_down(tmp_path: Path) -> None:
    trained = training(tmp_path, discriminator_rate=0.02, learning_rate=0.0, lead=0.0)
    trained.enter(1)
    values = [trained.train_step(batch(step % 2)) for step in range(100)]
    assert values[-1]["lead"] > 0
    assert values[-1]["discriminator_factor"] < 1


def test_a_stopped_training_goes_on(tmp_path: Path) -> None:
    trained = training(tmp_path)
    trained.enter(1)
    trained.train_step(batch(0))
    trained.save()
    resumed = training(tmp_path)
    assert (resumed.step, resumed.stage, resumed.pictures) == (1, 1, 2)
    for name, module in trained.modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(resumed.modules[name].state_dict()[key], value), f"{name}.{key}"
    with pytest.raises(OptionError, match="another network"):
        training(tmp_path, latent=8)
    with pytest.raises(OptionError, match="no alpha"):
        LayeredTraining(tmp_path / "other", OPTIONS, dataclasses.replace(CONFIG, alpha=False), "cpu", FewFeatures())


def test_what_was_learnt_at_half_size_is_taken_to_full_size(tmp_path: Path) -> None:
    trained = training(tmp_path)
    trained.train_step(batch(0))
    half = trained.averaged.state_dict()
    trained.enter(1)
    assert torch.equal(trained.averaged.texture.weight, half["texture.weight"])
    trained.enter(2)
    assert trained.generator.config.size_hw == (64, 32)
    assert torch.equal(trained.generator.texture.weight, half["texture.weight"])


def test_a_run_goes_through_its_stages(tmp_path: Path) -> None:
    trained = training(tmp_path, minutes=0.05, stage_ends=(0.3, 0.6))
    trained.run(Crowd)  # type: ignore[arg-type]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == {0, 1, 2}
    assert lines[-1]["pictures"] > 0
    assert sorted(tmp_path.glob("preview-*.png"))
    exported = load_network(tmp_path / "generator.safetensors")
    assert isinstance(exported, LayeredNetwork)
    assert exported.config == CONFIG
    assert exported.w_centers.std(0).max() > 0


def test_a_stretch_ends_early_and_the_next_goes_on(tmp_path: Path) -> None:
    training(tmp_path, minutes=1.0, stretch_minutes=0.0).run(Crowd)  # type: ignore[arg-type]
    resumed = training(tmp_path, minutes=1.0)
    assert resumed.step == 1
    assert not resumed.fresh


def test_heads_are_cut_where_they_are() -> None:
    planes = torch.zeros(2, 1, 64, 32)
    planes[1, :, 16:32, 8:16] = 1
    box = torch.tensor([[0.0] * 4, [-0.5, -0.5, 0.0, 0.0]])
    heads = heads_of(box)
    assert heads.rows.tolist() == [1]
    assert cut_heads(planes, heads).mean() > 0.9
    assert len(cut_heads(planes, heads_of(torch.zeros(2, 4)))) == 0
