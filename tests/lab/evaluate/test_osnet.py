import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anonymize.core.errors import WeightsError
from anonymize.lab.evaluate.osnet import OSNet, load_osnet
from anonymize.lab.evaluate.reid_network import load_reidentifier


def network(instance: bool = False) -> OSNet:
    torch.manual_seed(0)
    return OSNet((16, 64, 96, 128), 32, instance=instance).eval()


@pytest.mark.parametrize("instance", [False, True])
def test_a_checkpoint_comes_back(tmp_path: Path, instance: bool) -> None:
    own = network(instance)
    state = {f"module.{name}": value for name, value in own.state_dict().items()}
    state["module.classifier.weight"] = torch.zeros(751, 32)
    torch.save({"state_dict": state, "epoch": 3, "rank1": np.float64(0.94)}, tmp_path / "model.pth.tar")
    picture = torch.rand(2, 3, 64, 32)
    with torch.inference_mode():
        assert torch.equal(load_osnet(tmp_path / "model.pth.tar")(picture), own(picture))


def test_sizes_are_those_of_the_paper() -> None:
    """2.2 million parameters without the classifier (Zhou et al. 2019, table 1)."""
    count = sum(p.numel() for p in OSNet((64, 256, 384, 512)).parameters())
    assert count == pytest.approx(2.2e6, rel=0.02)


class Call:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("trap"),)


def test_a_hostile_checkpoint_is_refused_and_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Call()}, "zip.pth")
    Path("old.pth").write_bytes(pickle.dumps({"state_dict": Call()}, protocol=2))
    for name in ("zip.pth", "old.pth"):
        with pytest.raises(WeightsError) as caught:
            load_reidentifier(Path(name))
        assert "\n" not in str(caught.value)
        assert not Path("trap").exists()


@pytest.mark.parametrize("content", [{}, [], {"conv1.conv.weight": torch.zeros(16, 3, 7, 7)}])
def test_another_network_is_one_clear_line(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"no OSNet"):
        load_osnet(tmp_path / "x.pth")


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    state = network().state_dict()
    del state["conv5.conv.weight"]
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"conv5\.conv\.weight .* is missing"):
        load_osnet(tmp_path / "x.pth")
