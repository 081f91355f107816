from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from anonymize.compose import covers_of
from anonymize.core.types import PersonRequest
from anonymize.generate.build import build_network, load_network, save_weights
from anonymize.generate.layered import LayeredNetwork, composite, with_place
from anonymize.generate.network import MASK, GeneratorConfig, GeneratorNetwork, grow
from anonymize.generate.predictor import EmbeddedGenerator

from .conftest import SIZE, TINY, negative, people

LAYERED = replace(TINY, alpha=True, parts=6, features=5)


@pytest.fixture
def layered() -> LayeredNetwork:
    torch.manual_seed(0)
    return LayeredNetwork(LAYERED).eval().requires_grad_(False)


def condition(config: GeneratorConfig = LAYERED, count: int = 2) -> torch.Tensor:
    """Random places and surfaces; the middle is covered, and the body is in the middle of it."""
    rng = torch.Generator().manual_seed(0)
    planes = torch.randn(count, config.condition_channels, *config.size_hw, generator=rng)
    height, width = config.size_hw
    planes[:, MASK] = 0
    planes[:, MASK, height // 6 : -height // 6, width // 6 : -width // 6] = 1
    planes[:, -2:] = 0
    planes[:, -2, height // 3 : -height // 3, width // 3 : -width // 3] = 1
    planes[:, MASK + 1 : -2] *= planes[:, -2:-1]
    return planes


def test_alpha_is_nothing_outside_of_the_cover_and_at_first_the_body(layered: LayeredNetwork) -> None:
    given = condition()
    made = layered(given, torch.randn(2, LAYERED.latent))
    assert made.shape == (2, 4, *LAYERED.size_hw)
    alpha, cover, body = made[:, 3], given[:, MASK], given[:, -2]
    assert alpha[cover == 0].abs().max() == 0
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert alpha[body == 1].mean() > 0.8
    assert alpha[(cover == 1) & (body == 0)].mean() < 0.3


def test_z_changes_the_person_and_the_layers_lie_over_the_place(layered: LayeredNetwork) -> None:
    given, z = condition(), torch.randn(2, LAYERED.latent)
    made, other = layered(given, layered.mapping(z)), layered(given, layered.mapping(-z))
    body = given[:, -2:-1].expand(-1, 3, -1, -1) > 0
    assert (made[:, :3] - other[:, :3])[body].abs().mean() > 0.01
    behind = torch.rand(2, 3, *LAYERED.size_hw)
    shown = composite(made, behind)
    outside = (given[:, MASK : MASK + 1] == 0).expand(-1, 3, -1, -1)
    assert torch.equal(shown[outside], behind[outside])


def test_a_grown_network_makes_what_the_smaller_one_made() -> None:
    """On pictures enlarged by repeating pixels, away from edges, which are softened over pixels of another size."""
    config = replace(LAYERED, size_hw=(64, 32), channels=(4, 6, 8, 8, 8), judge_channels=(4, 6, 8, 8, 8))
    torch.manual_seed(0)
    small, large = LayeredNetwork(config.halved(1)), LayeredNetwork(config)
    grow(large, small.state_dict(), 1)
    given, w = condition(config.halved(1)), torch.randn(2, config.latent)
    with torch.no_grad():
        first = small(given, w)
        second = large(given.repeat_interleave(2, 2).repeat_interleave(2, 3), w)
    second = torch.nn.functional.avg_pool2d(second, 2)
    assert (first - second).abs().median() < 0.02
    with pytest.raises(Exception, match="another network"):
        grow(large, {"unknown": torch.zeros(1)}, 1)


def test_what_the_mapper_reads_is_the_person_alone(layered: LayeredNetwork) -> None:
    seen = torch.randn(1, LAYERED.appearance_channels, *LAYERED.size_hw)
    seen[:, -1] = seen[:, MASK] = condition(count=1)[:, -2]
    seen[:, :MASK] *= seen[:, MASK : MASK + 1]
    seen[:, MASK + 1 : -1] *= seen[:, -1:]
    mean, log_variance = layered.read(seen)
    assert mean.shape == log_variance.shape == (1, LAYERED.latent)
    brighter = seen.clone()
    brighter[:, :MASK] = 0.9 * seen[:, MASK : MASK + 1]
    assert not torch.allclose(layered.read(brighter)[0], mean)
    with pytest.raises(ValueError, match="mapper"):
        LayeredNetwork(replace(LAYERED, appearance_mapper=False)).read(seen)


def test_weights_come_back_as_the_same_kind_of_network(layered: LayeredNetwork, tmp_path: Path) -> None:
    save_weights(tmp_path / "layers.safetensors", layered, {})
    back = load_network(tmp_path / "layers.safetensors")
    assert isinstance(back, LayeredNetwork)
    assert back.config == LAYERED
    assert isinstance(build_network(TINY), GeneratorNetwork)
    with pytest.raises(ValueError, match="parts"):
        LayeredNetwork(replace(LAYERED, parts=0))


def test_a_place_is_filled_from_its_border_alone() -> None:
    given = condition()
    given[:, :MASK] = 0.25 * (1 - given[:, MASK : MASK + 1])
    filled = with_place(given)
    torch.testing.assert_close(filled[:, :MASK], torch.full_like(filled[:, :MASK], 0.25), rtol=0, atol=1e-3)
    assert torch.equal(filled[:, MASK:], given[:, MASK:])


def test_no_pixel_of_a_person_reaches_the_replacement(layered: LayeredNetwork) -> None:
    tracks = people([(20, 20, 50, 100), (45, 30, 75, 110)])
    covers = covers_of(tracks)
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    other = image
    hidden = np.zeros(SIZE, np.bool_)
    for cover in covers:
        hidden[cover.slices] |= cover.mask
        other = negative(other, cover)
    generator = EmbeddedGenerator(layered)
    boxes = generator.place(tracks, covers)
    made = []
    for picture in (image, other):
        [person] = generator.generate([PersonRequest(picture, hidden, boxes[0], tracks, 0, covers[0])])
        made.append(person)
    assert made[0].alpha is not None
    assert made[0].alpha.any()
    np.testing.assert_array_equal(made[0].image, made[1].image)
    np.testing.assert_array_equal(made[0].alpha, made[1].alpha)
