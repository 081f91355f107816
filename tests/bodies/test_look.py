"""Looks from z."""

import numpy as np
import pytest
import torch

from anonymize.bodies import colours
from anonymize.bodies import look as looks
from anonymize.bodies.dressing import mesh_of
from anonymize.bodies.look import LATENT, Look


def drawn(seed: int) -> Look:
    return Look.of(torch.randn(LATENT, generator=torch.Generator().manual_seed(seed)))


def test_same_z_same_person() -> None:
    one, other = drawn(1), drawn(1)
    one_mesh, other_mesh = (mesh_of(look, low=True) for look in (one, other))
    torch.testing.assert_close(one_mesh.table, other_mesh.table, atol=0, rtol=0)
    torch.testing.assert_close(one_mesh.vertices, other_mesh.vertices, atol=0, rtol=0)


def test_people_differ() -> None:
    shirts = {tuple(colours.cloth_colour(drawn(k).numbers("upper_colour"))) for k in range(20)}
    assert len(shirts) == 20
    assert {drawn(k).female for k in range(20)} == {False, True}


def test_a_little_of_z_changes_a_little() -> None:
    z = drawn(3).z
    near = Look(z + 1e-3)
    torch.testing.assert_close(near.shape, Look(z).shape, atol=0.01, rtol=0)
    np.testing.assert_allclose(looks.skin_colour(near), looks.skin_colour(Look(z)), atol=0.01)


@pytest.mark.parametrize("seed", range(6))
def test_both_meshes_are_whole(seed: int) -> None:
    person = drawn(seed)
    for mesh in (mesh_of(person, low=False), mesh_of(person, low=True)):
        assert int(mesh.faces.max()) < len(mesh.vertices) and int(mesh.material.max()) < len(mesh.table)
        assert bool(torch.isfinite(mesh.vertices).all()) and bool((mesh.table[:, :6] >= 0).all())
        height = mesh.vertices[:, 2]
        assert 1.2 < float(height.max() - height.min()) < 2.2


def test_z_must_have_all_numbers() -> None:
    with pytest.raises(ValueError, match="z must be"):
        Look(np.zeros(3))


@pytest.mark.parametrize("seed", range(5))
def test_a_colour_that_was_read_is_the_one_that_is_worn(seed: int) -> None:
    numbers = np.random.default_rng(seed).uniform(-0.8, 0.8, 3)
    colour = np.array(colours.cloth_colour(numbers))
    np.testing.assert_allclose(colours.cloth_colour(colours.cloth_numbers(colour)), colour, atol=0.02)


def test_choices_have_their_shares_and_the_first_in_the_middle() -> None:
    kinds = (("a", 0.5), ("b", 0.3), ("c", 0.2))
    picked = [looks.choice(share, kinds) for share in (np.arange(1000) + 0.5) / 1000]
    assert looks.choice(0.5, kinds) == "a"
    for kind, share in kinds:
        assert picked.count(kind) == pytest.approx(1000 * share, abs=2)
