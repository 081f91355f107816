import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from anonymize.core.errors import OptionError
from anonymize.generate.build import load_network
from anonymize.generate.network import Discriminator, GeneratorConfig
from anonymize.lab.train import dataset_reader, generator
from anonymize.lab.train.cli import app
from anonymize.lab.train.dataset_reader import GeneratorBatch
from anonymize.lab.train.generator import GeneratorOptions, GeneratorTraining
from anonymize.lab.train.generator_losses import (
    Augmentation,
    colour_distance,
    epsilon_penalty,
    feature_distances,
    gradient_penalty,
    kl_divergence,
    locked,
)

CONFIG = GeneratorConfig(
    size_hw=(16, 8),
    channels=(4, 6, 8),
    judge_channels=(4, 6, 8),
    latent=12,
    mapping_layers=2,
    embedding=4,
    known=16,
    centers=3,
)
OPTIONS = GeneratorOptions(
    steps=6,
    batch_size=2,
    warmup=2,
    feature_weights=(1.0, 1.0, 1.0, 0.0),
    r1_every=2,
    workers=0,
    log_every=1,
    colour_steps=300,
    colour_people=8,
)
BASELINE = {
    "appearance_mapper": False,
    "co_modulation": False,
    "improved_conditioning": False,
    "judge_pose": False,
    "parts": 0,
}


def batch(seed: int, config: GeneratorConfig = CONFIG, count: int = 2) -> GeneratorBatch:
    rng = torch.Generator().manual_seed(seed)
    size = config.size_hw
    pictures = torch.rand(count, 3, *size, generator=rng) * 2 - 1
    mask = torch.zeros(count, 1, *size)
    mask[:, :, 4:12, 2:6] = 1
    body = mask.clone()
    body[:, :, :6] = 0
    embedding = torch.randn(count, config.embedding, *size, generator=rng) * body
    condition = torch.cat([pictures * (1 - mask), mask, embedding, body, torch.zeros_like(mask)], 1)
    appearance = torch.cat([pictures * mask, mask, embedding, body], 1)
    return GeneratorBatch(pictures, condition, appearance, torch.tensor([True, False] * (count // 2)))


def training(folder: Path, config: GeneratorConfig = CONFIG, options: GeneratorOptions = OPTIONS) -> GeneratorTraining:
    return GeneratorTraining(folder, options, config, "cpu")


class Batches:
    """Stands in for a dataset: each step's batch depends on the step alone."""

    table = SimpleNamespace(embedding=np.eye(4, dtype=np.float32).repeat(3, 0))
    has_pairs = True

    def batch(self, rng: object, count: int) -> GeneratorBatch:
        return batch(int(rng.integers(1000)), count=count)  # type: ignore[attr-defined]


def test_the_divergence_of_a_standard_normal_is_0() -> None:
    assert kl_divergence(torch.zeros(3, 8), torch.zeros(3, 8)) == 0
    assert kl_divergence(torch.full((1, 8), 2.0), torch.zeros(1, 8)) == pytest.approx(8 * 4 / 2)
    assert kl_divergence(torch.zeros(1, 8), torch.ones(1, 8)) > 0


def test_no_gradient_reaches_the_locked_discriminator(tmp_path: Path) -> None:
    trained = training(tmp_path)
    losses, made, _ = trained.generator_losses(batch(0), trained.showing(batch(0).condition))
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None for p in trained.discriminator.parameters())
    assert all(p.requires_grad for p in trained.discriminator.parameters()), "unlocked again"
    assert not made.requires_grad
    for part in ("encoder", "mapping", "mapper", "co_modulation", "bottom", "levels"):
        gradients = [p.grad for p in getattr(trained.generator, part).parameters()]
        assert any(g is not None and bool(g.abs().sum() > 0) for g in gradients), part


def test_no_gradient_of_the_discriminator_reaches_the_generator(tmp_path: Path) -> None:
    trained = training(tmp_path)
    show = trained.showing(batch(0).condition)
    _, made, real_scores = trained.generator_losses(batch(0), show)
    losses = trained.discriminator_losses(batch(0), show, made, real_scores)
    assert {"discriminator", "epsilon", "r1"} == set(losses)
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None for p in trained.generator.parameters())


def test_a_lock_ends_with_an_error_too() -> None:
    discriminator = Discriminator(CONFIG)
    with pytest.raises(RuntimeError), locked(discriminator):
        raise RuntimeError
    assert all(p.requires_grad for p in discriminator.parameters())


@pytest.mark.parametrize(
    "switches",
    [
        {},
        BASELINE,
        {"improved_conditioning": False},
        {"appearance_mapper": False},
        {**BASELINE, "appearance_mapper": True},
        {**BASELINE, "parts": 3},
    ],
)
def test_losses_are_finite(switches: dict[str, bool], tmp_path: Path) -> None:
    trained = training(tmp_path, dataclasses.replace(CONFIG, **switches))
    for step in range(4):
        values = trained.train_step(batch(step))
        assert all(torch.isfinite(torch.tensor(v)) for v in values.values()), values
        assert ("r1" in values) == (step % 2 == 0)
        assert ("kl" in values) == ("features" in values) == (trained.generator.mapper is not None)


def test_resuming_gives_the_same_state_as_not_stopping(tmp_path: Path) -> None:
    straight = training(tmp_path / "straight")
    for step in range(5):
        straight.train_step(batch(step))
    stopped = training(tmp_path / "stopped")
    for step in range(2):
        stopped.train_step(batch(step))
    stopped.save()
    torch.randn(17)  # whatever happened in between
    resumed = training(tmp_path / "stopped")
    assert resumed.step == 2
    for step in range(2, 5):
        resumed.train_step(batch(step))
    for name, module in straight._modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(resumed._modules[name].state_dict()[key], value), f"{name}.{key}"
    for name, optimizer in straight.optimizers.items():
        states = optimizer.state_dict()["state"], resumed.optimizers[name].state_dict()["state"]
        for row, entry in states[0].items():
            assert all(torch.equal(value, states[1][row][key]) for key, value in entry.items()), f"{name} {row}"


def test_training_logs_saves_previews_and_exports(tmp_path: Path) -> None:
    trained = training(tmp_path)
    trained.run(Batches())  # type: ignore[arg-type]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert (tmp_path / "preview-000006.png").exists()
    exported = load_network(tmp_path / "generator.safetensors")
    assert exported.config == CONFIG
    assert exported.w_centers.std(0).max() > 0
    torch.testing.assert_close(exported.w_mean, trained.averaged.w_mean, rtol=1e-3, atol=1e-3)


def test_colours_are_learnt_before_pictures(tmp_path: Path) -> None:
    class Red(Batches):
        def batch(self, rng: object, count: int) -> GeneratorBatch:
            people = super().batch(rng, count)
            people.appearance[:, 0] = 0.8 * people.appearance[:, -1]
            return people

    trained = training(tmp_path, options=dataclasses.replace(OPTIONS, colour_matching=100.0))
    network = trained.averaged
    trained.learn_colours(Red())  # type: ignore[arg-type]
    trained.fill_latent_queue(Red())  # type: ignore[arg-type]
    with torch.no_grad():
        reddest = network.colours_of(network.mapping(network.prior(torch.randn(100, 12))))[..., 0].amax(1)
    assert reddest.median().item() == pytest.approx(0.8, abs=0.2)
    assert trained.step == 0


def test_the_prior_follows_what_the_mapper_reads(tmp_path: Path) -> None:
    trained = training(tmp_path)
    trained.latent_queue.push(torch.randn(7, 12) * 3 + 2)
    trained._fit_prior()
    assert torch.equal(trained.averaged.prior.factor, torch.eye(12)), "too few people yet"
    trained.latent_queue.push(torch.full((12, 12), -50.0))
    people = torch.randn(16, 12) * 3 + 2
    trained.latent_queue.push(people)
    trained._fit_prior()
    for network in (trained.generator, trained.averaged):
        z = network.prior(torch.randn(5000, 12))
        torch.testing.assert_close(z.mean(0), people.mean(0), rtol=0, atol=0.3)
        torch.testing.assert_close(z.std(0), people.std(0, unbiased=False), rtol=0.1, atol=0)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    training(tmp_path).save()
    with pytest.raises(OptionError, match="another network"):
        training(tmp_path, dataclasses.replace(CONFIG, co_modulation=False))
    with pytest.raises(OptionError, match="feature_weights needs 4"):
        training(tmp_path / "other", options=dataclasses.replace(OPTIONS, feature_weights=(1.0,)))


def test_a_checkpoint_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    trained = training(tmp_path)
    trained.save()
    state = torch.load(trained.checkpoint, weights_only=True)
    del state["latent_queue"]
    torch.save(state, trained.checkpoint)
    with pytest.raises(OptionError, match="holds no latent_queue"):
        training(tmp_path)
    with pytest.raises(OptionError, match="holds no latent_queue"):
        GeneratorTraining(tmp_path / "other", OPTIONS, CONFIG, "cpu", trained.checkpoint)


def test_a_training_begins_with_that_of_smaller_pictures(tmp_path: Path) -> None:
    small = training(tmp_path / "small", CONFIG.halved(1))
    small.train_step(shrunk(batch(0)))
    small.save()
    grown = GeneratorTraining(tmp_path / "grown", OPTIONS, CONFIG, "cpu", small.checkpoint)
    assert grown.step == 0
    for name in ("bottom.weight", "encoder.looks.1.weight", "mapper.out.weight"):
        assert torch.equal(grown.generator.state_dict()[name], small.averaged.state_dict()[name]), name
    assert all(torch.isfinite(torch.tensor(v)) for v in grown.train_step(batch(1)).values())
    with pytest.raises(OptionError, match="not of this one at any size"):
        GeneratorTraining(tmp_path / "other", OPTIONS, dataclasses.replace(CONFIG, latent=8), "cpu", small.checkpoint)
    (tmp_path / "damaged.pt").write_bytes(b"no checkpoint")
    with pytest.raises(OptionError, match="is no checkpoint"):
        GeneratorTraining(tmp_path / "other", OPTIONS, CONFIG, "cpu", tmp_path / "damaged.pt")


def test_a_training_begins_with_that_of_larger_pictures(tmp_path: Path) -> None:
    full = training(tmp_path / "full")
    full.save()
    small = GeneratorTraining(tmp_path / "small", OPTIONS, CONFIG.halved(1), "cpu", full.checkpoint)
    for name, value in small.generator.state_dict().items():
        assert torch.equal(value, full.averaged.state_dict()[name]), name
    assert all(torch.isfinite(torch.tensor(v)) for v in small.train_step(shrunk(batch(1))).values())


def test_a_training_begins_with_exported_weights(tmp_path: Path) -> None:
    first = training(tmp_path / "first")
    first.export(tmp_path / "generator.safetensors")
    second = GeneratorTraining(tmp_path / "second", OPTIONS, CONFIG, "cpu", tmp_path / "generator.safetensors")
    assert second.seconds == 0
    for network in (second.generator, second.averaged):
        for name, value in first.averaged.state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-3, atol=1e-3)
    assert not second.latent_queue.complete, "the queue is filled anew"


def test_the_prior_remembers_those_read_from_other_pictures(tmp_path: Path) -> None:
    trained = training(tmp_path)
    paired = dataclasses.replace(batch(0), paired=torch.tensor([False, True]))
    alone = dataclasses.replace(batch(0), paired=torch.tensor([False, False]))
    trained.train_step(paired)
    assert trained.latent_queue.pushed == 1
    trained.train_step(alone)
    assert trained.latent_queue.pushed == 1
    assert trained.latent_queue.z[0].abs().sum() > 0
    assert not trained.latent_queue.z[1:].any()


def test_more_people_than_there_is_room_for_leave_the_last(tmp_path: Path) -> None:
    trained = training(tmp_path)
    z = torch.arange(40.0)[:, None].expand(-1, 12)
    trained.latent_queue.push(z)
    assert sorted(trained.latent_queue.z[:, 0].tolist()) == list(range(24, 40))
    assert trained.latent_queue.complete


def test_without_pairs_z_stays_normal(tmp_path: Path) -> None:
    class Loners(Batches):
        has_pairs = False

    trained = training(tmp_path)
    trained.fill_latent_queue(Loners())  # type: ignore[arg-type]
    assert not trained.latent_queue.complete
    assert torch.equal(trained.averaged.prior.factor, torch.eye(12))


def test_colours_that_were_trained_are_not_learnt_anew(tmp_path: Path) -> None:
    first = training(tmp_path / "first")
    first.run(Batches())  # type: ignore[arg-type]
    weights = tmp_path / "first" / "generator.safetensors"
    nothing = dataclasses.replace(OPTIONS, steps=1, learning_rate=0.0)
    second = GeneratorTraining(tmp_path / "second", nothing, CONFIG, "cpu", weights)
    second.run(Batches())  # type: ignore[arg-type]
    for name in ("parts.anchors", "palette.weight", "mapper.out.weight"):
        was, now = first.averaged.state_dict()[name], second.averaged.state_dict()[name]
        torch.testing.assert_close(now, was, rtol=1e-3, atol=1e-3)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """With a prior that is fitted on the way."""
    straight = training(tmp_path / "straight")
    straight.run(Batches())  # type: ignore[arg-type]
    training(tmp_path / "stopped", options=dataclasses.replace(OPTIONS, minutes=0.0)).run(Batches())  # type: ignore[arg-type]
    resumed = training(tmp_path / "stopped")
    assert 0 < resumed.step < OPTIONS.steps
    resumed.run(Batches())  # type: ignore[arg-type]
    for name, value in straight.averaged.state_dict().items():
        assert torch.equal(resumed.averaged.state_dict()[name], value), name
    assert not torch.equal(straight.averaged.prior.factor, torch.eye(12))


def test_the_perceptual_distance_looks_at_what_was_hidden(tmp_path: Path) -> None:
    distance = training(tmp_path).perceptual
    assert distance is not None
    real = torch.rand(1, 3, 64, 32) * 2 - 1
    hidden = torch.zeros(1, 1, 64, 32)
    hidden[:, :, :8] = 1
    assert distance(real, real, hidden) == 0
    far = real.clone()
    far[:, :, 60:] = 0
    near = real.clone()
    near[:, :, :8] = 0
    assert distance(far, real, hidden) < 0.1 * distance(near, real, hidden)
    made = near.requires_grad_(True)
    distance(made, real, hidden).backward()
    assert made.grad is not None
    assert made.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in distance.parameters())


def shrunk(full: GeneratorBatch) -> GeneratorBatch:
    planes = (torch.nn.functional.avg_pool2d(x, 2) for x in (full.pictures, full.condition, full.appearance))
    return GeneratorBatch(*planes, full.paired)


def test_the_average_follows_slowly(tmp_path: Path) -> None:
    trained = training(tmp_path)
    before = [p.clone() for p in trained.averaged.parameters()]
    trained.step = 10**6
    trained._average()
    assert all(torch.equal(a, b) for a, b in zip(before, trained.averaged.parameters(), strict=True))
    with torch.no_grad():
        for p in trained.generator.parameters():
            p.add_(1)
    trained._average()
    moved = [float((b - a).mean()) for a, b in zip(before, trained.averaged.parameters(), strict=True)]
    torch.testing.assert_close(torch.tensor(moved), torch.full((len(moved),), 1e-3), rtol=2e-2, atol=1e-5)


def test_feature_distances() -> None:
    real = [torch.zeros(2, 3, 4, 4), torch.ones(2, 5, 2, 2)]
    made = [torch.full((2, 3, 4, 4), 2.0), torch.ones(2, 5, 2, 2)]
    torch.testing.assert_close(feature_distances(real, made, normalised=False), torch.tensor([[2.0, 2], [0, 0]]))
    torch.manual_seed(0)
    a, b = [torch.randn(4, 3, 8, 8)], [torch.randn(4, 3, 8, 8)]
    scaled = feature_distances([a[0] * 50], [b[0] * 50], normalised=True)
    torch.testing.assert_close(scaled, feature_distances(a, b, normalised=True), rtol=1e-2, atol=1e-2)


def test_penalties() -> None:
    assert epsilon_penalty(torch.tensor([3.0, -1.0])) == 5
    pictures = torch.randn(2, 3, 4, 4, requires_grad=True)
    scores = (2 * pictures).sum((1, 2, 3))
    assert gradient_penalty(pictures, scores) == pytest.approx(4 * 48)


def test_augmentation_moves_picture_and_condition_together() -> None:
    torch.manual_seed(0)
    augmentation = Augmentation.draw(64, torch.device("cpu"))
    where = torch.zeros(64, 1, 24, 16)
    where[:, :, 8:16, 4:12] = 1
    pictures = where.expand(-1, 3, -1, -1)
    _, told = augmentation(pictures, torch.cat([pictures, where], 1))
    moved = augmentation.move(where)
    assert torch.equal(told[:, 3:], moved)
    assert (moved != where).any()
    assert augmentation.move(torch.ones(64, 1, 24, 16)).mean() > 0.6
    changed, told = augmentation(pictures, torch.cat([pictures, where], 1))
    torch.testing.assert_close(changed, told[:, :3])
    nothing = Augmentation.draw(2, torch.device("cpu"), 0.0)
    torch.testing.assert_close(nothing(pictures[:2], told[:2])[0], pictures[:2])


def test_the_augmentation_lets_gradients_through() -> None:
    pictures = torch.randn(2, 3, 24, 16, requires_grad=True)
    made, _ = Augmentation.draw(2, torch.device("cpu"))(pictures, torch.zeros(2, 4, 24, 16))
    made.square().sum().backward()
    assert pictures.grad is not None
    assert (pictures.grad != 0).float().mean() > 0.5


def test_colours_are_compared_where_hidden() -> None:
    hidden = torch.zeros(1, 1, 16, 8)
    hidden[:, :, 4:12, 2:6] = 1
    real = torch.randn(1, 3, 16, 8)
    elsewhere = real + torch.randn_like(real) * (1 - hidden)
    assert colour_distance(elsewhere, real, hidden) == 0
    brighter = real + 0.5 * hidden
    assert colour_distance(brighter, real, hidden).item() == pytest.approx(0.5, rel=0.02)


class TestCommand:
    def config(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> GeneratorConfig:
        """The network that the command trains with some options."""
        asked: list[GeneratorConfig] = []

        def begin(output: Path, options: Any, config: GeneratorConfig, *others: Any) -> Any:
            asked.append(config)
            return SimpleNamespace(run=lambda people: None)

        people = SimpleNamespace(table=SimpleNamespace(embedding=np.zeros((3, 4)), name="anny"))
        monkeypatch.setattr(dataset_reader, "People", lambda *_, **__: people)
        monkeypatch.setattr(generator, "GeneratorTraining", begin)
        result = CliRunner().invoke(app, ["stylegan", str(tmp_path), "-o", str(tmp_path), *options])
        assert result.exit_code == 0, result.output
        return asked[0]

    def test_the_baseline_is_built_upon_by_the_switches_that_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = self.config(tmp_path, monkeypatch)
        assert whole == GeneratorConfig(embedding=4)
        plain = self.config(tmp_path, monkeypatch, "--baseline")
        assert plain == GeneratorConfig(embedding=4, **BASELINE)
        mapped = self.config(tmp_path, monkeypatch, "--baseline", "--appearance-mapper", "--parts", "8")
        assert mapped == dataclasses.replace(plain, appearance_mapper=True, parts=8)
        assert self.config(tmp_path, monkeypatch, "--no-co-modulation") == dataclasses.replace(
            whole, co_modulation=False
        )

    @pytest.mark.parametrize("options", [("--seed", "-1"), ("--minutes", "-1"), ("--no-such", "0")])
    def test_numbers_out_of_range_are_wrong_use(self, options: tuple[str, ...], tmp_path: Path) -> None:
        for command in ("generator", "stylegan", "detector"):
            assert CliRunner().invoke(app, [command, str(tmp_path), "-o", str(tmp_path), *options]).exit_code == 2
