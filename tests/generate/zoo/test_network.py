"""The reference vectors that DeepPrivacy2 computed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anonymize.generate.latents import truncate
from anonymize.generate.zoo.network import ZooGeneratorConfig
from anonymize.generate.zoo.reader import build_network, load_generator

from .conftest import TINY, checkpoint, network

TOLERANCE = 1e-5
"""Of the largest value; 1e-3 is asked for."""


def difference(mine: torch.Tensor, truth: np.ndarray) -> float:
    assert mine.shape == truth.shape
    return float(np.abs(mine.numpy() - truth).max() / np.abs(truth).max())


@torch.inference_mode()
def test_the_reference_is_met(reference: Any, tmp_path: Path) -> None:
    given = reference("cse")
    file = checkpoint(tmp_path / "fdh.ckpt", given.parameters)
    mine = load_generator(file)
    file.unlink()
    assert mine.config == ZooGeneratorConfig()
    inputs = given.inputs
    condition = torch.cat([inputs[name] for name in ("condition", "mask", "embedding", "E_mask")], 1)
    mean = mine.style_net.centers()
    for _ in range(2):
        w = mine.style_net(inputs["z"])
        assert difference(w, given.arrays["w"]) < TOLERANCE
        assert difference(truncate(w, mean, 0.5), given.arrays["w_truncated_0.5"]) < TOLERANCE
        maps = mine.encode(condition)
        assert difference(maps[-1][:, :16], given.arrays["encoder_out"]) < TOLERANCE
        mine.fold()
    for name, style in (("img", w), ("img_t0", mean)):
        picture = mine(condition, style)[:, :, :: given.step, :: given.step]
        assert difference(picture, given.arrays[name]) < TOLERANCE


@torch.inference_mode()
def test_the_reference_without_cse_is_met(reference: Any) -> None:
    given = reference("no cse")
    mine = build_network(given.parameters).fold()
    assert mine.config == ZooGeneratorConfig(embedding=0) and mine.config.surface is None
    condition = torch.cat([given.inputs["condition"], given.inputs["mask"]], 1)
    for name, w in (("img", mine.style_net(given.inputs["z"])), ("img_t0", mine.style_net.centers())):
        picture = mine(condition, w)[:, :, :: given.step, :: given.step]
        assert difference(picture, given.arrays[name]) < TOLERANCE


@pytest.mark.parametrize("embedding", [4, 0])
@torch.inference_mode()
def test_the_configuration_is_read_off_the_parameters(embedding: int) -> None:
    config = ZooGeneratorConfig(TINY.channels, embedding, TINY.latent)
    assert ZooGeneratorConfig.of(network(config).state_dict()) == config


@torch.inference_mode()
def test_known_colours_stay_and_unknown_ones_have_no_part() -> None:
    mine = network()
    condition = torch.randn(2, TINY.condition_channels, *TINY.size_hw)
    condition[:, 3] = (condition[:, 3] > 0).float()
    condition[:, :3] *= condition[:, 3:4]
    made = mine(condition, torch.randn(2, TINY.latent))
    known = condition[:, 3:4].bool().expand(-1, 3, -1, -1)
    torch.testing.assert_close(made[known], condition[:, :3][known], rtol=0, atol=0)
    assert (made[~known] != 0).any()
