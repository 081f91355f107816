import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from anonymize.core.body_surface import load_surface
from anonymize.core.errors import OptionError, WeightsError
from anonymize.detect.build import load_network
from anonymize.detect.network import DetectorConfig
from anonymize.lab.train.bank import held_out
from anonymize.lab.train.detector import DetectorTraining, TrainingOptions, imagenet_parameters, load_bank
from anonymize.lab.train.loader import Batches
from anonymize.lab.train.losses import SurfaceTargets, jitter

CONFIG = DetectorConfig(channels=8, merged=8, wide=8)
OPTIONS = TrainingOptions(steps=4, batch_size=2, size_hw=(64, 96), warmup=2, workers=0, log_every=1, save_every=100)
CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Photos of a made-up person in the layout of Clothing Co-Parsing, the same boxed, and an empty picture."""
    rng = np.random.default_rng(0)
    for name in ("photos", "labels", "teacher"):
        (tmp_path / "ccp" / name).mkdir(parents=True)
    names = [n for n in (f"{i:04d}" for i in range(40)) if not held_out(n)][:5]
    for name in names:
        image = rng.integers(0, 255, (90, 60, 3), dtype=np.uint8)
        labels = np.zeros((90, 60), np.uint8)
        labels[8:84, 18:42] = 13
        cv2.imwrite(str(tmp_path / f"ccp/photos/{name}.webp"), image)
        cv2.imwrite(str(tmp_path / f"ccp/labels/{name}.png"), labels)
        cv2.imwrite(str(tmp_path / f"ccp/teacher/{name}.png"), labels)
    (tmp_path / "boxed" / "street").mkdir(parents=True)
    (tmp_path / "boxed/street/pictures").symlink_to(tmp_path / "ccp/photos")
    boxes = {f"{name}.webp": {"boxes_xyxy": [[18, 8, 42, 84]] if name != names[0] else []} for name in names}
    (tmp_path / "boxed/street/boxes.json").write_text(json.dumps(boxes))
    return tmp_path


def training(
    folder: Path, options: TrainingOptions = OPTIONS, vertex_embedding: torch.Tensor | None = None
) -> DetectorTraining:
    return DetectorTraining(folder, options, CONFIG, load_surface(), CPU, vertex_embedding)


def test_a_folder_without_photos_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no photos"):
        load_bank(tmp_path, load_surface())


def test_every_loss_is_finite_and_reaches_its_part_of_the_network(data: Path, tmp_path: Path) -> None:
    trained = training(tmp_path / "run")
    batch = next(iter(Batches(load_bank(data, load_surface()), (64, 96), 4, seed=(0,))))
    losses = trained.losses(batch.to(CPU))
    assert all(torch.isfinite(value) for value in losses.values()), losses
    torch.stack(list(losses.values())).sum().backward()
    for part in ("backbone", "pyramid", "box_heads", "person_map", "region_head"):
        gradients = [p.grad for p in getattr(trained.network, part).parameters()]
        assert any(g is not None and bool(g.abs().sum() > 0) for g in gradients), part
    assert trained.network.vertex_embedding.grad is not None


def test_training_logs_saves_previews_and_exports(data: Path, tmp_path: Path) -> None:
    trained = training(tmp_path / "run")
    trained.run(load_bank(data, load_surface()))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert (tmp_path / "run" / "preview-000004.png").exists()
    assert load_network(tmp_path / "run" / "detector.safetensors").config.vertices == 1024


def test_a_stopped_training_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    batches = Batches(load_bank(data, load_surface()), (64, 96), 2, seed=(0,))
    stream = iter(batches)
    first = training(tmp_path / "run")
    first.network.train()
    first.train_step(next(stream))
    first.save()
    second = training(tmp_path / "run")
    second.network.train()
    assert second.step == 1
    batch = next(stream)
    for trained in (first, second):
        torch.manual_seed(7)
        trained.train_step(batch)
    for name, value in first.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], value, msg=name)
    for name, value in first.averaged.state_dict().items():
        torch.testing.assert_close(second.averaged.state_dict()[name], value, msg=name)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    training(tmp_path).save()
    with pytest.raises(OptionError, match="another network"):
        DetectorTraining(tmp_path, OPTIONS, replace(CONFIG, merged=16), load_surface(), CPU)


def test_the_length_of_a_training_is_told_once() -> None:
    for steps, minutes in ((None, None), (10, 5.0)):
        with pytest.raises(OptionError, match="in steps or in minutes"):
            TrainingOptions(steps=steps, minutes=minutes)


def test_a_stretch_ends_early_and_the_next_goes_on(data: Path, tmp_path: Path) -> None:
    bank = load_bank(data, load_surface())
    first = training(tmp_path / "run", replace(OPTIONS, stretch_minutes=0.0))
    first.run(bank)
    assert first.step == 1
    second = training(tmp_path / "run")
    second.run(bank)
    assert second.step == 4
    assert second.seconds > first.seconds


def test_a_training_by_minutes_ends_with_them_at_the_lowest_rate(data: Path, tmp_path: Path) -> None:
    trained = training(tmp_path / "run", replace(OPTIONS, steps=None, minutes=0.02))
    trained.run(load_bank(data, load_surface()))
    assert trained.seconds >= 1.2
    assert trained.progress == 1
    assert trained.learning_rate() <= 0.011 * OPTIONS.learning_rate


def test_what_is_frozen_stays_and_the_rest_is_learnt(data: Path, tmp_path: Path) -> None:
    trained = training(tmp_path / "run")
    before = {name: value.clone() for name, value in trained.network.state_dict().items()}
    trained.run(load_bank(data, load_surface()))
    after = trained.network.state_dict()
    for name in ("stem.0.weight", "stages.1.1.project.0.weight", "stages.5.2.depthwise.0.weight"):
        torch.testing.assert_close(after[f"backbone.{name}"], before[f"backbone.{name}"], rtol=0, atol=0)
    statistics = [name for name in before if name.startswith("backbone.") and name.endswith("running_mean")]
    for name in statistics:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=0)
    for name in ("backbone.stages.5.2.project.0.weight", "box_heads.0.score.weight", "pyramid.merge.0.weight"):
        assert (after[name] - before[name]).abs().max() > 0, name


def test_the_rate_warms_up_and_falls(tmp_path: Path) -> None:
    trained = training(tmp_path, TrainingOptions(steps=1000, warmup=100))
    rates = []
    for trained.step in (0, 99, 550, 999):
        rates.append(trained.learning_rate())
    assert rates[0] < rates[2] < rates[1]
    assert rates[3] < 0.02 * rates[1]


def test_jitter_keeps_boxes_near() -> None:
    boxes = torch.tensor([[10.0, 20, 50, 100]]).repeat(100, 1)
    moved = (jitter(boxes) - boxes).abs()
    assert moved.max() <= 0.12 * 80
    assert moved.max() > 0


def test_soft_targets_are_distributions_that_peak_at_the_landmark() -> None:
    surface = load_surface()
    targets = SurfaceTargets.build(
        torch.from_numpy(surface.geodesics_cm), torch.from_numpy(surface.landmark_parts), CPU
    )
    torch.testing.assert_close(targets.closeness.sum(1), torch.ones(1024))
    assert (targets.closeness.argmax(1) == torch.arange(1024)).all()
    torch.testing.assert_close(targets.parts.sum(0), torch.ones(1024))


def test_a_training_begins_with_other_weights_but_its_own_surface(tmp_path: Path) -> None:
    earlier = training(tmp_path / "earlier")
    earlier.averaged.load_state_dict({n: v + 1 for n, v in earlier.network.state_dict().items()})
    earlier.export(tmp_path / "earlier.safetensors")
    later = training(tmp_path / "later")
    table = later.network.vertex_embedding.clone()
    later.start_from(load_network(tmp_path / "earlier.safetensors").state_dict())
    stem = "backbone.stem.0.weight"
    torch.testing.assert_close(
        later.averaged.state_dict()[stem], earlier.averaged.state_dict()[stem], atol=1e-2, rtol=1e-2
    )
    torch.testing.assert_close(later.network.vertex_embedding, table)


def test_weights_of_another_network_are_no_beginning(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="another network"):
        training(tmp_path).start_from({"stem": torch.zeros(3)})


def test_a_training_keeps_the_surface_of_other_weights(data: Path, tmp_path: Path) -> None:
    kept = torch.nn.functional.normalize(torch.randn(1024, 16), dim=1)
    trained = training(tmp_path / "run", vertex_embedding=kept)
    trained.run(load_bank(data, load_surface()))
    torch.testing.assert_close(trained.averaged.vertex_embedding, kept, rtol=0, atol=0)


def test_a_training_begins_with_imagenet(tmp_path: Path) -> None:
    trained = training(tmp_path)
    parameters = imagenet_parameters()
    trained.start_from_imagenet(parameters)
    for network in (trained.network, trained.averaged):
        torch.testing.assert_close(network.backbone.stem[0].weight, parameters["_conv_stem.weight"])
