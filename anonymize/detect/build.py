"""Detectors by name: reads the weights and puts the parts together."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from anonymize.core.errors import WeightsError
from anonymize.core.parameters import read_safetensors, write_safetensors
from anonymize.core.resources import DETECTOR, PLATES, weights_path
from anonymize.detect.names import DetectorName
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.detect.paired import PairedDetector, PlatedDetector
from anonymize.detect.plates import load_plate_head
from anonymize.detect.predictor import DEFAULT_SCORE, Detector, EmbeddedDetector
from anonymize.downloads.cache import locate

NETWORK = "embedded detector"
FORMAT = "anonymize-detector-2"
SURFACE_FORMATS = ("anonymize-detector-1", FORMAT)
"""Formats of which the surface can be read."""


def save_weights(path: Path, network: DetectorNetwork, notes: dict[str, str]) -> None:
    """Write a network as `.safetensors`: parameters in half precision, its configuration and notes as metadata."""
    metadata = {"format": FORMAT, "config": json.dumps(network.config.to_dict())} | notes
    write_safetensors(path, network.state_dict(), metadata)


def load_network(path: Path) -> DetectorNetwork:
    """Read a network written by `save_weights`.

    Raises:
        WeightsError: The file is missing, damaged or of another model.
    """
    metadata, tensors = read_safetensors(path, [FORMAT], NETWORK)
    network = DetectorNetwork(DetectorConfig.from_dict(json.loads(metadata["config"])))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit the {NETWORK}: {' '.join(str(error).split())}") from error
    return network


def load_vertex_embedding(path: Path) -> torch.Tensor:
    """Embedding [L, D] of the surface's landmarks, which generators are trained with, of any version of the detector.

    Raises:
        WeightsError: The file is missing, damaged or of another model.
    """
    return read_safetensors(path, SURFACE_FORMATS, NETWORK)[1]["vertex_embedding"]


def build_detector(
    weights: str | Path = "embedded",
    *,
    score: float | None = None,
    unsure: float | None = None,
    device: torch.device | str = "cpu",
    plates: bool = False,
) -> Detector:
    """A detector ready for use.

    Args:
        weights: "embedded", the path of a file written by `anonymize train detector`, or networks of others: see
            `anonymize.detect.names`, `anonymize weights` and `build_detectron2_detector`.
        score: People with a score below are left out, in [0, 1]; None for the measured default.
        unsure: People with a score from this to `score` are handed on as well, for a tracker to judge; None for none.
        device: Where to compute.
        plates: Look for number plates too. Beside another detector than the embedded one, the embedded backbone looks
            at each picture once more.

    Raises:
        OptionError: No networks are called so.
        WeightsError: The weights cannot be read, or are not on this machine; or those of the plates belong to another
            detector.
        BackendError: Detectron2 is asked for and not installed.
    """
    name = DetectorName.read(weights)
    if plates and name.family == "embedded":
        return _embedded(device, score=score, unsure=unsure, plates=True)
    people = _people_detector(name, weights, score=score, unsure=unsure, device=device)
    return PlatedDetector(people, _embedded(device, plates=True)) if plates else people


def _people_detector(
    name: DetectorName,
    weights: str | Path,
    *,
    score: float | None,
    unsure: float | None,
    device: torch.device | str,
) -> Detector:
    if name.family == "embedded":
        return _embedded(device, score=score, unsure=unsure)
    if name.family == "file":
        sure = DEFAULT_SCORE if score is None else score
        return EmbeddedDetector(load_network(Path(weights)), device=device, score=sure, unsure=unsure)
    networks = [name.masks] if name.uses_embedded else [name.masks, name.surface]
    masks: Detector
    if name.family == "zoo":
        from anonymize.detect.zoo.predictor import build_zoo_detector  # torchvision takes seconds

        pulled = "zoo" if weights == "zoo" else " ".join(networks)
        files = [locate(network, pull=pulled) for network in networks]
        masks = build_zoo_detector(*files, score=score, device=device)
    else:
        from anonymize.detect.detectron2 import build_detectron2_detector

        masks = build_detectron2_detector("+".join(networks), score=score, device=device)
    return PairedDetector(masks, _embedded(device)) if name.uses_embedded else masks


def _embedded(
    device: torch.device | str, *, score: float | None = None, unsure: float | None = None, plates: bool = False
) -> EmbeddedDetector:
    """The embedded detector, with its head for number plates or without."""
    network = load_network(weights_path(DETECTOR))
    head = load_plate_head(weights_path(PLATES), network.backbone) if plates else None
    sure = DEFAULT_SCORE if score is None else score
    return EmbeddedDetector(network, device=device, score=sure, unsure=unsure, plates=head)
