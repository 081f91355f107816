import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


@dataclass
class Reference:
    """One reference vector: what the original software computed from parameters that the recipe makes."""

    spec: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]
    recipe: ModuleType

    def parameters(self) -> dict[str, torch.Tensor]:
        made = {n: self.recipe.parameter(n, s) for n, s in self.spec["parameters"].items()}
        return {name: torch.from_numpy(value) for name, value in made.items()}

    def image(self) -> npt.NDArray[np.uint8]:
        """RGB, as everywhere in the package."""
        size = self.spec["image"]
        return np.ascontiguousarray(self.recipe.image(size["height"], size["width"], size["seed"])[:, :, ::-1])


@pytest.fixture(scope="session")
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe", FIXTURES / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def reference(recipe: ModuleType) -> Callable[[str], Reference]:
    def read(name: str) -> Reference:
        spec = json.loads((FIXTURES / f"{name}.json").read_text())
        return Reference(spec, dict(np.load(FIXTURES / f"{name}.npz")), recipe)

    return read
