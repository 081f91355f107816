import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from anonymize.core.types import Detections, RegionMask, Tracks
from anonymize.generate.layers import Scaled
from anonymize.generate.zoo.network import SURFACE, ZooGeneratorConfig, ZooGeneratorNetwork

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
SIZE = (120, 160)
TINY = ZooGeneratorConfig(channels=(4, 6, 8), embedding=4, latent=12, size_hw=(36, 20))


@dataclass
class Reference:
    """What the original software computed from parameters that the recipe makes."""

    parameters: dict[str, torch.Tensor]
    inputs: dict[str, torch.Tensor]
    arrays: dict[str, np.ndarray]
    step: int
    """Every which pixel of the picture is kept."""


def read_recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe", FIXTURES / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(recipe: ModuleType, name: str, shape: list[int]) -> torch.Tensor:
    if name.endswith("resample_filter"):  # a constant, not drawn: binomial coefficients
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        return torch.outer(taps, taps)
    return torch.from_numpy(recipe.generator_parameter(name, shape))


@pytest.fixture
def reference() -> Callable[[str], Reference]:
    """ "cse" is the reference vector that was given. "no cse" was made in the same way from the same software, from its
    configuration `fdh/styleganL_nocse` and the same recipe."""

    def read(name: str) -> Reference:
        recipe = read_recipe()
        shapes: dict[str, Any] = json.loads((FIXTURES / "generator_stylegan.json").read_text())["parameters"]
        file, step = FIXTURES / "generator_stylegan.npz", 2
        if name == "no cse":
            shapes["from_rgb.weight"] = [64, 4, 1, 1]
            file, step = Path(__file__).parent / "generator_without_cse.npz", 8
        parameters = {name: make(recipe, name, shape) for name, shape in shapes.items()}
        inputs = {name: torch.from_numpy(value) for name, value in recipe.generator_inputs().items()}
        return Reference(parameters, inputs, dict(np.load(file)), step)

    return read


def network(config: ZooGeneratorConfig = TINY) -> ZooGeneratorNetwork:
    """A small one with random parameters, always the same."""
    torch.manual_seed(0)
    made = ZooGeneratorNetwork(config)
    for module in made.modules():
        if isinstance(module, Scaled) and module.bias is not None:
            torch.nn.init.normal_(module.bias, std=0.1 / getattr(module, "rate", 1.0))
    made.style_net.w_avg.normal_()
    return made.eval().requires_grad_(False)


def crowd(rectangles: Sequence[tuple[int, int, int, int]], surface: str = SURFACE) -> Tracks:
    """Tracks 1, 2, ... with these masks (xyxy)."""
    rng, n = torch.Generator().manual_seed(0), len(rectangles)
    found = Detections(
        SIZE,
        np.array(rectangles, np.float32).reshape(-1, 4),
        np.full(n, 0.9, np.float32),
        tuple(RegionMask(x, y, np.ones((b - y, r - x), np.bool_)) for x, y, r, b in rectangles),
        np.ones(n, np.bool_),
        torch.randn(n, TINY.embedding, 14, 14, generator=rng),
        torch.rand(n, 14, 14, generator=rng),
        surface,
    )
    return Tracks(found, np.arange(1, n + 1), np.zeros(n, np.bool_))


def checkpoint(path: Path, state: Mapping[str, Any], key: str = "EMA_generator", **beside: Any) -> Path:
    torch.save({key: state, **beside}, path)
    return path
