import dataclasses

import pytest
import torch
from torch.nn import functional as F

from anonymize.core.errors import OptionError
from anonymize.generate.layers import GAIN, ModulatedConvolution
from anonymize.generate.network import (
    MASK,
    Discriminator,
    GeneratorConfig,
    GeneratorNetwork,
    baseline,
    grow,
)

TINY = GeneratorConfig(
    size_hw=(16, 8),
    channels=(4, 6, 8),
    judge_channels=(4, 6, 8),
    latent=12,
    mapping_layers=2,
    embedding=4,
    parts=5,
    centers=3,
)


def condition(config: GeneratorConfig, count: int = 2) -> torch.Tensor:
    values = torch.randn(count, config.condition_channels, *config.size_hw)
    values[:, MASK] = 0
    values[:, MASK, 4:12, 2:6] = 1
    values[:, :MASK] *= 1 - values[:, MASK : MASK + 1]
    return values


def test_modulation_of_the_batch_is_modulation_of_the_weights() -> None:
    """StyleGAN2, equations 1 and 3, for each sample by itself."""
    layer = ModulatedConvolution(5, 7, 12)
    x, w = torch.randn(3, 5, 6, 4), torch.randn(3, 12)
    fast = layer(x, w)
    for i in range(3):
        weight = layer.scaled() * layer.style(w)[i][None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        slow = F.conv2d(x[i : i + 1], weight, padding=1)
        torch.testing.assert_close(fast[i], GAIN * slow[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {
            "appearance_mapper": False,
            "co_modulation": False,
            "improved_conditioning": False,
            "judge_pose": False,
            "parts": 0,
        },
        {"co_modulation": False},
        {"improved_conditioning": False},
        {"factor": 2.0},
        {"parts": 0},
    ],
)
def test_every_row_of_the_table_runs(switches: dict[str, bool]) -> None:
    config = dataclasses.replace(TINY, **switches)
    network, discriminator = GeneratorNetwork(config), Discriminator(config)
    given = condition(config)
    made = network(given, torch.randn(2, config.latent))
    assert made.shape == (2, 3, *config.size_hw)
    scores, maps = discriminator(made, discriminator.condition_on(made, given, torch.randn_like(made)))
    assert scores.shape == (2,)
    assert [m.shape[-1] for m in maps] == [8, 4, 2, 2]
    assert (network.mapper is None) == (config.appearance_mapper is False)
    assert GeneratorConfig.from_dict(config.to_dict()) == config


def test_what_is_known_stays() -> None:
    network = GeneratorNetwork(TINY)
    given = condition(TINY)
    made = network(given, torch.randn(2, TINY.latent))
    known = given[:, MASK : MASK + 1].expand_as(made) == 0
    torch.testing.assert_close(made[known], given[:, :MASK][known], rtol=0, atol=0)
    assert (made[~known] != 0).all()


def test_same_latent_and_noise_same_picture_and_other_latent_another() -> None:
    network = GeneratorNetwork(TINY)
    for level in network.modules():
        if isinstance(level, ModulatedConvolution) and level.strength is not None:
            torch.nn.init.ones_(level.strength)
    given, w = condition(TINY), torch.randn(2, TINY.latent)
    noise = [torch.randn(2, 1, *size) for size in TINY.noise_sizes]
    torch.testing.assert_close(network(given, w, noise), network(given, w, noise), rtol=0, atol=0)
    assert not torch.equal(network(given, w), network(given, w)), "noise is drawn anew"
    assert not torch.equal(network(given, w, noise), network(given, -w, noise))


def test_folding_changes_nothing() -> None:
    network = GeneratorNetwork(TINY)
    given, z = condition(TINY), torch.randn(2, TINY.latent)
    noise = [torch.randn(2, 1, *size) for size in TINY.noise_sizes]
    before = network(given, network.mapping(z), noise)
    network.fold()
    torch.testing.assert_close(network(given, network.mapping(z), noise), before, rtol=1e-4, atol=1e-5)


def test_the_improved_conditioning_hides_the_mask_of_the_person() -> None:
    config = dataclasses.replace(TINY, judge_pose=False)
    discriminator, given = Discriminator(config), condition(config)
    body = 4 + config.embedding
    given[:, body] = 0
    given[:, body, 6:10, 3:5] = 1
    picture = torch.randn(2, 3, *config.size_hw)
    other = given.clone()
    other[:, MASK] = 1  # another mask of the person
    noise = torch.randn_like(picture)
    told = discriminator.condition_on(picture, given, noise)
    torch.testing.assert_close(discriminator.condition_on(picture, other, noise), told, rtol=0, atol=0)
    inside = given[:, body] > 0
    assert not torch.isclose(told[:, :3].transpose(0, 1)[:, inside], picture.transpose(0, 1)[:, inside]).any()


def test_the_weights_are_small_enough() -> None:
    for config in (GeneratorConfig(), baseline()):
        assert sum(p.numel() for p in GeneratorNetwork(config).parameters()) <= 30e6


def test_a_size_that_does_not_halve_is_refused() -> None:
    with pytest.raises(ValueError, match="divisible by 32"):
        GeneratorConfig(size_hw=(200, 160))


def test_a_grown_network_begins_as_the_smaller_one() -> None:
    config = dataclasses.replace(TINY, size_hw=(32, 16), channels=(3, 4, 6, 8), judge_channels=(3, 4, 6, 8), parts=0)
    tiny = dataclasses.replace(TINY, parts=0)  # the borders of parts are sharper on larger pictures
    assert config.halved(1) == tiny
    small, small_discriminator = GeneratorNetwork(tiny), Discriminator(tiny)
    large, large_discriminator = GeneratorNetwork(config), Discriminator(config)
    grow(large, small.state_dict(), 1)
    grow(large_discriminator, small_discriminator.state_dict(), 1)
    given, z = condition(TINY), torch.randn(2, TINY.latent)
    doubled = F.interpolate(given, scale_factor=2.0, mode="nearest")
    noise = [torch.randn(2, 1, *size) for size in config.noise_sizes]
    little = small.decode(given, small.mapping(z), noise[: len(TINY.noise_sizes)])
    much = large.decode(doubled, large.mapping(z), noise)
    torch.testing.assert_close(much, F.interpolate(little, scale_factor=2, mode="bilinear", align_corners=False))
    told = small_discriminator.condition_on(little, given, torch.randn_like(little))
    scores, _ = small_discriminator(little, told)
    double = [F.interpolate(x, scale_factor=2.0, mode="nearest") for x in (little, told)]
    torch.testing.assert_close(large_discriminator(*double)[0], scores)
    with pytest.raises(OptionError, match="another network"):
        grow(large, GeneratorNetwork(dataclasses.replace(TINY, latent=10)).state_dict(), 1)
    with pytest.raises(ValueError, match="cannot be halved"):
        TINY.halved(2)


def test_a_part_keeps_its_colour_in_another_pose() -> None:
    """The palette depends on w alone: pixels of the same point of the surface get the same of it."""
    network = GeneratorNetwork(dataclasses.replace(TINY, co_modulation=False))
    for level in network.levels:
        torch.nn.init.zeros_(level.colours.weight)
    given, w = condition(TINY, 1), torch.randn(1, 12)
    moved = given.clone()
    given[:, MASK + 1 : -2], moved[:, MASK + 1 : -2] = 0, 0
    given[:, -2], moved[:, -2] = 0, 0
    point = torch.tensor([1.0, -1.0, 1.0, 1.0])
    given[0, MASK + 1 : -2, 4:7, 2:5], given[0, -2, 4:7, 2:5] = point[:, None, None], 1
    moved[0, MASK + 1 : -2, 9:12, 3:6], moved[0, -2, 9:12, 3:6] = point[:, None, None], 1
    here, there = network(given, w)[0, :, 5, 3], network(moved, w)[0, :, 10, 4]
    torch.testing.assert_close(here, there)
    assert (here - network(given, -w)[0, :, 5, 3]).abs().max() > 1e-3


def test_the_mapper_reads_the_colour_of_a_part() -> None:
    network = GeneratorNetwork(TINY)
    assert network.mapper is not None
    for parameter in network.mapper.encoder.parameters():
        torch.nn.init.zeros_(parameter)
    seen = torch.zeros(2, TINY.appearance_channels, *TINY.size_hw)
    seen[:, MASK, 4:8, 2:4] = 1
    seen[:, MASK + 1 : -1, 4:8, 2:4] = 1
    seen[:, -1, 4:8, 2:4] = 1
    seen[0, 0, 4:8, 2:4] = 0.5
    mean, _ = network.read(seen)
    assert (mean[0] - mean[1]).abs().max() > 1e-3


def test_a_network_without_mapper_reads_nothing() -> None:
    config = dataclasses.replace(TINY, appearance_mapper=False)
    with pytest.raises(ValueError, match="no appearance mapper"):
        GeneratorNetwork(config).read(torch.zeros(1, config.appearance_channels, *config.size_hw))


def test_the_place_shows_where_there_is_no_body() -> None:
    """Before the decoder adds anything, hidden pixels off the body have the colour of what surrounds them."""
    network = GeneratorNetwork(TINY)
    for level in network.levels:
        torch.nn.init.zeros_(level.colours.weight)
        torch.nn.init.zeros_(level.colours.bias)
    given = condition(TINY)
    given[:, -2:] = 0
    given[:, :MASK] = 0.25 * (1 - given[:, MASK : MASK + 1])
    made = network(given, torch.randn(2, TINY.latent))
    torch.testing.assert_close(made, torch.full_like(made, 0.25))
    given[:, -1, :4], given[:, :MASK, :4] = 1, 0  # outside of the frame: nothing to learn from
    torch.testing.assert_close(network(given, torch.randn(2, TINY.latent))[:, :, 4:], made[:, :, 4:])
