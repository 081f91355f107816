"""Parameters of networks: our own weights files, and checkpoints of others given to our own modules."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from anonymize.core.errors import WeightsError
from anonymize.core.files import whole_file


def read_torch(path: Path, harmless: Sequence[Any] = ()) -> Any:
    """What a file of `torch.save` holds; nothing but tensors, numbers, strings and containers of them is read.

    Args:
        path: The file.
        harmless: More that is read, see `torch.serialization.safe_globals`.

    Raises:
        WeightsError: The file is missing, damaged or unsafe to read.
    """
    try:
        with torch.serialization.safe_globals(list(harmless)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path} is refused: it is damaged or unsafe to read") from error
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror or error}") from error
    except (RuntimeError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise WeightsError(f"{path} is damaged or cut off ({type(error).__name__})") from error


def load_strictly(module: nn.Module, parameters: Mapping[str, Tensor], source: object) -> None:
    """Give a module its parameters and buffers.

    Args:
        module: The network.
        parameters: By name; all of the module's and no other.
        source: Where they come from, for the error.

    Raises:
        WeightsError: Names or shapes differ; all that differ are listed.
    """
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in parameters.items()}
    problems = [f"{name} {shape} is missing" for name, shape in expected.items() if name not in given]
    problems += [f"{name} {shape} is unknown" for name, shape in given.items() if name not in expected]
    problems += [
        f"{name} is {given[name]} instead of {shape}"
        for name, shape in expected.items()
        if name in given and given[name] != shape
    ]
    if problems:
        raise WeightsError(f"{source} does not fit {type(module).__name__}: {'; '.join(problems)}")
    module.load_state_dict(parameters, assign=True)


def write_safetensors(path: Path, parameters: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write parameters as a `.safetensors` file, floats in half precision; folders above it are made.

    Raises:
        MediaError: The file cannot be written.
    """
    tensors = {
        name: (value.detach().half() if value.is_floating_point() else value.detach()).contiguous().cpu()
        for name, value in parameters.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, overwrite=True) as partial:
        save_file(tensors, partial, dict(metadata))


def read_safetensors(path: Path, formats: Sequence[str], network: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and parameters of a `.safetensors` file, floats in single precision.

    Args:
        path: The file.
        formats: What the metadata may have as "format".
        network: What the file should hold, for the error.

    Raises:
        WeightsError: The file is missing, damaged or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read the weights {path}: {error}") from error
    if metadata.get("format") not in formats:
        raise WeightsError(f"{path} holds no weights of the {network}")
    return metadata, {name: v.float() if v.is_floating_point() else v for name, v in tensors.items()}
