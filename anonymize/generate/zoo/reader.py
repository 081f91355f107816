"""Reads DeepPrivacy2's `.ckpt` checkpoints without trusting them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anonymize.core.errors import WeightsError
from anonymize.core.parameters import load_strictly, read_torch
from anonymize.generate.zoo.network import ZooGeneratorConfig, ZooGeneratorNetwork

STATES = ("EMA_generator", "running_average_generator")
"""Keys that the generator's parameters lie under, the first that is there counts."""
HARMLESS: list[Any] = [(OrderedDict, "easydict.EasyDict")]
"""Files that training wrote keep its counters in an `EasyDict`, which is read as a plain container."""
CENTERS = "w_centers"
INNER_CENTERS = f"style_net.{CENTERS}"


def load_generator(path: Path) -> ZooGeneratorNetwork:
    """The generator of a checkpoint, with its centres of w where it has any.

    Raises:
        WeightsError: The file is missing, damaged, unsafe to read or of another model; all names and shapes that
            differ are listed.
    """
    return build_network(*read_checkpoint(path), path)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], Tensor | None]:
    """Parameters by name and the centres [K, latent] of w, float32; nothing in the file is executed.

    Raises:
        WeightsError: See `load_generator`.
    """
    content = read_torch(path, HARMLESS)
    whole = content if isinstance(content, Mapping) else {}
    state: Any = next((whole[key] for key in STATES if key in whole), None)
    if not isinstance(state, Mapping) or not state:
        raise WeightsError(f"{path} is no checkpoint of DeepPrivacy2: it has none of {', '.join(STATES)}")
    parameters: dict[str, Tensor] = {}
    for name, value in [*state.items(), *((INNER_CENTERS, whole[key]) for key in whole if key == CENTERS)]:
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{path} is no checkpoint of DeepPrivacy2: {name!r} is no tensor")
        parameters.setdefault(name, value.float())
    return parameters, parameters.pop(INNER_CENTERS, None)


def build_network(
    parameters: Mapping[str, Tensor], centers: Tensor | None = None, source: object = "the checkpoint"
) -> ZooGeneratorNetwork:
    """The network that parameters belong to.

    Args:
        parameters: By name, float32; become the network's own.
        centers: [K, latent], of w; None for plain truncation.
        source: Where they come from, for the error.

    Raises:
        WeightsError: Names or shapes differ from those of every known layout; all that differ are listed.
    """
    with torch.device("meta"):  # the parameters are the checkpoint's own
        network = ZooGeneratorNetwork(ZooGeneratorConfig.of(parameters))
    load_strictly(network, parameters, source)
    if centers is not None:
        latent = network.config.latent
        if centers.ndim != 2 or not len(centers) or centers.shape[1] != latent:
            raise WeightsError(f"{source}: {CENTERS} is {tuple(centers.shape)} instead of (any number, {latent})")
        network.style_net.w_centers = centers
    return network.eval().requires_grad_(False)
