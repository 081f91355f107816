"""Surface predictions (CSE) of the people of a frame, also of those that the detector missed in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor

from anonymize.core.types import BoolArray, Detections
from anonymize.track.config import TrackerConfig
from anonymize.track.model.frame_state import FrameState, Observation


def gather(
    frame: FrameState,
    sources: Sequence[Observation],
    before: Sequence[Observation | None],
    config: TrackerConfig,
) -> tuple[BoolArray, Tensor | None, Tensor | None]:
    """Surface predictions of people in a frame, steadied: what was handed on for them before is blended in.

    Args:
        frame: The frame.
        sources: [N] the observation of each person, or the nearest one.
        before: [N] the observation in the frame before, if its prediction covers the same picture; see `still`.
        config: Thresholds.

    Returns:
        Whether each has a usable prediction [N], embeddings [N, D, S, S] and segmentations [N, S, S], zero where there
        is none; None if the detector predicts no surface.
    """
    has_cse = np.array([_usable(o, frame, config) for o in sources], np.bool_)
    own = frame.detections
    if not any(before) and _are_detections(sources, frame):
        return has_cse, own.embeddings, own.segmentations
    models = (_planes(found) for found in (own, *(o.at.found for o in sources)))
    model = next((planes for planes in models if planes is not None), None)
    if model is None:
        return np.zeros(len(sources), np.bool_), None, None
    # they are large: each is written once, where it is to be
    embeddings, segmentations = (planes.new_empty((len(sources), *planes.shape[1:])) for planes in model)
    for k, (usable, source, earlier) in enumerate(zip(has_cse, sources, before, strict=True)):
        out = embeddings[k], segmentations[k]
        _write(out, source if usable else None, earlier, config.surface_ema_weight)
        if usable and source.at is frame:
            frame.surfaces[source.row] = out
    return has_cse, embeddings, segmentations


def _are_detections(sources: Sequence[Observation], frame: FrameState) -> bool:
    """Whether some observations are all detections of a frame, in order."""
    return [o.row if o.at is frame else -1 for o in sources] == list(range(len(frame.detections)))


def _write(out: tuple[Tensor, Tensor], source: Observation | None, earlier: Observation | None, weight: float) -> None:
    """Write the prediction of an observation, with a weight against what was handed on before, if it was; else zero."""
    if source is None:
        for plane in out:
            plane.zero_()
        return
    now = _prediction(source)
    if earlier is None:
        for plane, new in zip(out, now, strict=True):
            plane.copy_(new)
        return
    past = earlier.at.surfaces.get(earlier.row) or _prediction(earlier)
    for plane, new, old in zip(out, now, past, strict=True):
        torch.lerp(old.to(plane), new.to(plane), weight, out=plane)


def _planes(found: Detections | None) -> tuple[Tensor, Tensor] | None:
    """Embeddings [N, D, S, S] and segmentations [N, S, S] of a frame's detections, if there are any."""
    if found is None or found.embeddings is None or found.segmentations is None:
        return None
    return found.embeddings, found.segmentations


def _prediction(observation: Observation) -> tuple[Tensor, Tensor]:
    """Embedding [D, S, S] and segmentation [S, S] of an observation that has them."""
    planes = _planes(observation.at.found)
    assert planes is not None
    embeddings, segmentations = planes
    return embeddings[observation.row], segmentations[observation.row]


def still(own: Observation, before: Sequence[Observation], config: TrackerConfig) -> Observation | None:
    """The last observation before of a person who has not moved for `surface_seconds`, if both have a prediction.

    What differs in their predictions is noise.

    Args:
        own: The person now.
        before: The observations before, in order of time.
        config: Thresholds.
    """
    if not before or not own.found or not all(_usable(o, own.at, config) for o in (own, before[-1])):
        return None
    lately = takewhile(lambda o: own.seconds - o.seconds <= config.surface_seconds, reversed(before))
    return before[-1] if own.frames_as([*lately][-1], config.still_iou) else None


def _usable(source: Observation, frame: FrameState, config: TrackerConfig) -> bool:
    """Whether an observation has a prediction that fits a frame."""
    found: Detections | None = source.at.found
    if found is None or not source.found or found.embeddings is None or not found.has_cse[source.row]:
        return False
    return abs(source.seconds - frame.seconds) <= config.surface_seconds
