"""The nearest vertex is that of the full distance matrix."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from anonymize.detect.zoo.nearest import VertexIndex


def on_a_surface(count: int, generator: torch.Generator) -> Tensor:
    """Points of a smooth closed surface on the unit sphere of 16 dimensions."""
    place = F.normalize(torch.randn(count, 3, generator=generator), dim=1)
    waves = place @ (1.5 * torch.randn(3, 8, generator=torch.Generator().manual_seed(9)))
    return F.normalize(torch.cat([waves.sin(), waves.cos()], dim=1), dim=1)


@pytest.mark.parametrize("scale", [1.0, 0.3, 20.0])
@pytest.mark.parametrize("kind", ["surface", "anywhere on the sphere", "of any length", "all the same", "few"])
def test_nearest_is_that_of_the_full_matrix(kind: str, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    anywhere = torch.randn(1500, 16, generator=generator)
    vertices = {
        "surface": on_a_surface(3000, generator),
        "anywhere on the sphere": F.normalize(anywhere, dim=1),
        "of any length": anywhere,
        "all the same": anywhere[:1].repeat(700, 1),
        "few": anywhere[:3],
    }[kind]
    pixels = scale * (on_a_surface(2000, generator) + 0.05 * torch.randn(2000, 16, generator=generator))
    exact = torch.cdist(pixels.double(), vertices.double())
    chosen = exact.gather(1, VertexIndex(vertices)(pixels)[:, None])[:, 0]
    torch.testing.assert_close(chosen, exact.amin(1), rtol=1e-5, atol=1e-5)


def test_no_pixels() -> None:
    assert VertexIndex(torch.eye(5, 16))(torch.zeros(0, 16)).shape == (0,)
