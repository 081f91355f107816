from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from anonymize.generate.build import save_weights
from anonymize.generate.network import GeneratorConfig, GeneratorNetwork
from anonymize.types import Detections, RegionMask, UInt8Array

TINY = GeneratorConfig(
    size_hw=(36, 20), channels=(4, 6, 8), judge_channels=(4, 6, 8), latent=12, mapping_layers=2, embedding=4, centers=3
)


class Walkers:
    """A detector that finds two people with a body surface; the first walks to the right, the second stands."""

    surface = "anny"

    def __init__(self) -> None:
        self.seen = 0

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        return [self._detect((image.shape[0], image.shape[1])) for image in images]

    def _detect(self, size_hw: tuple[int, int]) -> Detections:
        number, self.seen = self.seen, self.seen + 1
        masks = tuple(self.mask(k, number) for k in range(2))
        boxes = np.array([m.box_xyxy for m in masks], np.float32) + np.float32(1 / 3)
        draw = torch.Generator().manual_seed(number)
        body = torch.zeros(2, 112, 112)
        body[:, 10:100, 30:90] = 1
        return Detections(
            size_hw,
            boxes,
            np.array([0.9, 0.8], np.float32),
            masks,
            np.array([True, number != 3]),
            torch.randn(2, TINY.embedding, 112, 112, generator=draw),
            body,
        )

    @staticmethod
    def mask(person: int, number: int) -> RegionMask:
        oval = np.add.outer(np.linspace(-1, 1, 50) ** 2, np.linspace(-1, 1, 24) ** 2) < 1
        return RegionMask(4 + 2 * number if person == 0 else 90, 10 + 20 * person, oval)


@pytest.fixture
def walkers() -> type[Walkers]:
    return Walkers


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = GeneratorNetwork(TINY)
    network.w_centers.copy_(torch.randn_like(network.w_centers))
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, network, {})
    return path


@pytest.fixture
def film(tmp_path: Path, make_film: Callable[..., Path]) -> Path:
    return make_film(tmp_path / "in.mp4", frames=11)


@pytest.fixture
def read() -> Callable[[Path], np.ndarray]:
    def decode(path: Path) -> np.ndarray:
        with av.open(path) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])

    return decode
