import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from anonymize.core.errors import WeightsError
from anonymize.generate.zoo.network import ZooGeneratorConfig
from anonymize.generate.zoo.reader import load_generator

from .conftest import TINY, checkpoint, network

CENTERS = torch.arange(3.0 * TINY.latent).view(3, TINY.latent)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return dict(network().state_dict())


@pytest.mark.parametrize("key", ["EMA_generator", "running_average_generator"])
def test_the_parameters_are_found(tmp_path: Path, state: Any, key: str) -> None:
    found = load_generator(checkpoint(tmp_path / "x.ckpt", state, key, discriminator={"a": torch.zeros(1)}, step=3))
    assert {n: tuple(v.shape) for n, v in found.state_dict().items()} == {n: tuple(v.shape) for n, v in state.items()}
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    torch.testing.assert_close(found.style_net.centers(), state["style_net.w_avg"][None])


def test_the_average_that_is_meant_comes_first(tmp_path: Path, state: Any) -> None:
    file = checkpoint(tmp_path / "x.ckpt", state, running_average_generator={"other": torch.zeros(1)})
    load_generator(file)


def test_counters_of_the_training_are_no_obstacle(tmp_path: Path, state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are an `easydict.EasyDict`: a dict that keeps its items as attributes too."""
    module = ModuleType("easydict")
    module.EasyDict = type("EasyDict", (dict,), {"__module__": "easydict"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "easydict", module)
    counters = module.EasyDict(next_log_step=0, total_time=1.5)
    counters.total_time = 1.5
    file = checkpoint(tmp_path / "x.ckpt", state, train_state=counters)
    monkeypatch.undo()
    load_generator(file)


def test_half_precision_becomes_single(tmp_path: Path, state: Any) -> None:
    halves = {name: value.half() for name, value in state.items()}
    assert load_generator(checkpoint(tmp_path / "x.ckpt", halves)).to_rgb.weight.dtype == torch.float32


def test_the_centres_lie_beside_or_inside(tmp_path: Path, state: Any) -> None:
    beside = load_generator(checkpoint(tmp_path / "a.ckpt", state, w_centers=CENTERS))
    inside = load_generator(checkpoint(tmp_path / "b.ckpt", state | {"style_net.w_centers": CENTERS}))
    both = load_generator(checkpoint(tmp_path / "c.ckpt", state | {"style_net.w_centers": CENTERS}, w_centers=-CENTERS))
    for found in (beside, inside, both):
        torch.testing.assert_close(found.style_net.centers(), CENTERS)
    with pytest.raises(WeightsError, match=r"w_centers is \(3, 5\) instead of \(any number, 12\)"):
        load_generator(checkpoint(tmp_path / "d.ckpt", state, w_centers=CENTERS[:, :5]))


def test_all_mismatches_are_listed(tmp_path: Path, state: Any) -> None:
    del state["decoder.1.conv0.affine.bias"]
    state["to_rgb.bias"] = torch.zeros(7)
    state["extra"] = torch.zeros(2)
    with pytest.raises(WeightsError) as caught:
        load_generator(checkpoint(tmp_path / "x.ckpt", state))
    for part in (
        "x.ckpt",
        "decoder.1.conv0.affine.bias (8,) is missing",
        "to_rgb.bias is (7,) instead of (3,)",
        "extra (2,) is unknown",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("content", [[], {}, {"EMA_generator": {}}, {"EMA_generator": 1}, {"EMA_generator": {"a": 1}}])
def test_another_layout_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(WeightsError, match="no checkpoint of DeepPrivacy2"):
        load_generator(tmp_path / "x.ckpt")


@pytest.mark.parametrize("shape", [(4,), (4, 5, 1, 1), (4, 1, 1, 1)])
def test_another_network_is_refused(tmp_path: Path, state: Any, shape: tuple[int, ...]) -> None:
    state["from_rgb.weight"] = torch.zeros(shape)
    with pytest.raises(WeightsError, match=r"no generator of the kind|input channels"):
        load_generator(checkpoint(tmp_path / "x.ckpt", state))


class Trap:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return open, (str(self.file), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_file_is_refused_and_does_nothing(tmp_path: Path, state: Any, zipped: bool) -> None:
    trap, file = tmp_path / "trap", tmp_path / "x.ckpt"
    torch.save({"EMA_generator": state, "more": Trap(trap)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="refused") as caught:
        load_generator(file)
    assert "\n" not in str(caught.value)
    assert not trap.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_gives_one_line(tmp_path: Path, state: Any, zipped: bool) -> None:
    file = tmp_path / "x.ckpt"
    torch.save({"EMA_generator": state}, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    for length in (0, 1, 10, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(WeightsError) as caught:
            load_generator(file)
        assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read"):
        load_generator(tmp_path / "none.ckpt")
    with pytest.raises(WeightsError, match="cannot read"):
        load_generator(tmp_path)


def test_the_published_layouts() -> None:
    assert ZooGeneratorConfig().condition_channels == 21
    assert ZooGeneratorConfig(embedding=0).condition_channels == 4
