from collections.abc import Sequence

import numpy as np
import pytest
import torch

from anonymize.compose import covers_of
from anonymize.core.types import Detections, Frame, RegionMask, Tracks, UInt8Array
from anonymize.generate.network import GeneratorConfig, GeneratorNetwork
from anonymize.generate.predictor import EmbeddedGenerator

SIZE = (120, 160)
TINY = GeneratorConfig(
    size_hw=(36, 20), channels=(4, 6, 8), judge_channels=(4, 6, 8), latent=12, mapping_layers=2, embedding=4, centers=3
)


def people(rectangles: Sequence[tuple[int, int, int, int]], has_cse: Sequence[bool] | None = None) -> Tracks:
    """Tracks 1, 2, ... with these masks (xyxy)."""
    rng = torch.Generator().manual_seed(0)
    n = len(rectangles)
    masks = tuple(RegionMask(x, y, np.ones((b - y, r - x), np.bool_)) for x, y, r, b in rectangles)
    found = Detections(
        SIZE,
        np.array(rectangles, np.float32).reshape(-1, 4),
        np.full(n, 0.9, np.float32),
        masks,
        np.ones(n, np.bool_) if has_cse is None else np.array(has_cse),
        torch.randn(n, TINY.embedding, 14, 14, generator=rng),
        torch.rand(n, 14, 14, generator=rng),
    )
    return Tracks(found, np.arange(1, n + 1), np.zeros(n, np.bool_))


def negative(image: UInt8Array, region: RegionMask) -> UInt8Array:
    """A picture in which somebody has the opposite of every colour."""
    image = image.copy()
    image[region.slices][region.mask] = 255 - image[region.slices][region.mask]
    return image


def assert_drawn(frame: Frame, tracks: Tracks) -> None:
    """Every pixel of everybody's cover was replaced."""
    assert frame.edited is not None
    for region in covers_of(tracks):
        assert frame.edited[region.slices][region.mask].all()


@pytest.fixture(scope="session")
def network() -> GeneratorNetwork:
    torch.manual_seed(0)
    network = GeneratorNetwork(TINY)
    network.w_centers.copy_(torch.randn_like(network.w_centers))
    return network


@pytest.fixture
def generator(network: GeneratorNetwork) -> EmbeddedGenerator:
    fresh = GeneratorNetwork(TINY)
    fresh.load_state_dict(network.state_dict())
    return EmbeddedGenerator(fresh)
