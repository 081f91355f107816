"""Generators by name: reads and writes the weights files."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from anonymize.errors import WeightsError
from anonymize.generate.network import GeneratorConfig, GeneratorNetwork
from anonymize.generate.predictor import DEFAULT_TRUNCATION, EmbeddedGenerator
from anonymize.resources import weights_path

FORMAT = "anonymize-generator-1"


def save_weights(path: Path, network: GeneratorNetwork, notes: dict[str, str]) -> None:
    """Write a network as `.safetensors`: parameters in half precision, its configuration and notes as metadata."""
    tensors = {name: value.detach().half().contiguous().cpu() for name, value in network.state_dict().items()}
    metadata = {"format": FORMAT, "config": json.dumps(network.config.to_dict())} | notes
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata)
    temporary.replace(path)


def load_network(path: Path) -> GeneratorNetwork:
    """Read a network written by `save_weights`.

    Raises:
        WeightsError: The file is missing, damaged or of another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read the weights {path}: {error}") from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path} holds no weights of the embedded generator")
    network = GeneratorNetwork(GeneratorConfig.from_dict(json.loads(metadata["config"])))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit the embedded generator: {' '.join(str(error).split())}") from error
    return network


def build_generator(
    weights: str | Path = "embedded",
    *,
    seed: int = 0,
    truncation: float = DEFAULT_TRUNCATION,
    device: torch.device | str = "cpu",
) -> EmbeddedGenerator:
    """A generator ready for use.

    Args:
        weights: "embedded", or the path of a file written by `anonymize train generator`.
        seed: Of the people's looks.
        truncation: t in [0, 1]: 1 for the most diverse people, 0 for one look.
        device: Where to compute.

    Raises:
        WeightsError: The weights cannot be read.
        OptionError: The truncation is out of range.
    """
    path = weights_path("generator-embedded.safetensors") if weights == "embedded" else Path(weights)
    return EmbeddedGenerator(load_network(path), seed=seed, truncation=truncation, device=device)
