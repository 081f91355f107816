"""Generators by name: reads and writes the weights files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from anonymize.core.errors import OptionError, WeightsError
from anonymize.core.parameters import read_safetensors, write_safetensors
from anonymize.core.resources import GENERATOR, weights_path
from anonymize.downloads.cache import locate
from anonymize.generate.base import DEFAULT_TRUNCATION, TrackGenerator
from anonymize.generate.layered import LayeredNetwork
from anonymize.generate.network import GeneratorBase, GeneratorConfig, GeneratorNetwork
from anonymize.generate.predictor import EmbeddedGenerator
from anonymize.generate.zoo.predictor import ZooGenerator
from anonymize.generate.zoo.reader import load_generator

NETWORK = "embedded generator"
FORMAT = "anonymize-generator-1"
CHECKPOINT = ".ckpt"
DETECTORS = {
    "anny": "--detector embedded, zoo:MASKS or detectron2",
    "smpl_27554": "--detector zoo, zoo:MASKS+CSE or detectron2:CONFIG+CSE",
}
"""Detectors that predict a surface, for the error."""


def save_weights(path: Path, network: GeneratorBase, notes: dict[str, str]) -> None:
    """Write a network as `.safetensors`: parameters in half precision, its configuration and notes as metadata."""
    metadata = {"format": FORMAT, "config": json.dumps(network.config.to_dict())} | notes
    write_safetensors(path, network.state_dict(), metadata)


def build_network(config: GeneratorConfig) -> GeneratorBase:
    """A network with random parameters: of layers where it has alpha, else one that paints the whole cover."""
    return LayeredNetwork(config) if config.alpha else GeneratorNetwork(config)


def load_network(path: Path) -> GeneratorBase:
    """Read a network written by `save_weights`.

    Raises:
        WeightsError: The file is missing, damaged or of another model.
    """
    metadata, tensors = read_safetensors(path, [FORMAT], NETWORK)
    network = build_network(GeneratorConfig.from_dict(json.loads(metadata["config"])))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit the {NETWORK}: {' '.join(str(error).split())}") from error
    return network


def build_generator(
    weights: str | Path = "embedded",
    *,
    seed: int = 0,
    truncation: float = DEFAULT_TRUNCATION,
    multi_modal: bool = False,
    identities: Sequence[Tensor] = (),
    device: torch.device | str = "cpu",
) -> TrackGenerator:
    """A generator ready for use.

    Args:
        weights: "embedded"; "zoo" for DeepPrivacy2's, fetched by `anonymize weights pull`; or the path of a file:
            `.ckpt` for a checkpoint of DeepPrivacy2, else one written by `anonymize train generator`.
        seed: Of the people's looks.
        truncation: t in [0, 1]: 1 for the most diverse people, 0 for one look.
        multi_modal: Truncate toward the nearest of some typical looks, so that 0 gives several.
        identities: z [latent] each, which the tracks take in turn instead of drawing theirs.
        device: Where to compute.

    Raises:
        WeightsError: The weights cannot be read, or are not on this machine.
        OptionError: The truncation is out of range.
    """
    file = locate("deep-privacy2", pull="zoo") if weights == "zoo" else Path(weights)
    if file.suffix == CHECKPOINT:
        return ZooGenerator(
            load_generator(file),
            seed=seed,
            truncation=truncation,
            multi_modal=multi_modal,
            identities=identities,
            device=device,
        )
    file = weights_path(GENERATOR) if weights == "embedded" else file
    return EmbeddedGenerator(
        load_network(file),
        seed=seed,
        truncation=truncation,
        multi_modal=multi_modal,
        identities=identities,
        device=device,
    )


def check_pairing(detector_surface: str | None, generator_surface: str | None) -> None:
    """Refuse a generator that would misread the detector's surface; call it before any frame is read.

    Args:
        detector_surface: Name of the body surface that the detector predicts; None if it predicts none: then no person
            is generated, and none can be misread.
        generator_surface: Name of the one that the generator was trained for; None if it needs none.

    Raises:
        OptionError: They do not go together.
    """
    if detector_surface is None or generator_surface is None or generator_surface == detector_surface:
        return
    raise OptionError(
        f"the detector predicts the body surface {detector_surface!r} "
        f"but the generator was trained for {generator_surface!r}; "
        f"take a detector that predicts that one ({DETECTORS.get(generator_surface, 'none is known')}), "
        "or cover people by --mode blur, pixelate or solid"
    )
