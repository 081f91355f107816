"""Surface predictions (CSE) of the people of a frame, also of those whom the detector missed in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from anonymize.track.geometry import box_iou
from anonymize.track.moments import Moment, Sighting
from anonymize.types import BoolArray, Detections

NEAR_SECONDS = 0.15
"""A prediction of another frame fits no longer after this time: people take a step."""
STILL_IOU = 0.9
"""Boxes that overlap so much from frame to frame frame the same picture: what differs in the prediction is noise."""


def gather(moment: Moment, sources: Sequence[Sighting]) -> tuple[BoolArray, Tensor | None, Tensor | None]:
    """Surface predictions of people at a moment.

    Args:
        moment: The frame.
        sources: [N] the sighting of each person, or the nearest one.

    Returns:
        Whether each has a usable prediction [N], embeddings [N, D, S, S] and segmentations [N, S, S], zero where there
        is none; None if nobody's detector predicts a surface.
    """
    assert moment.found is not None
    has_cse = np.array([_usable(s, moment) for s in sources], np.bool_)
    own = moment.found
    if own.embeddings is not None and own.segmentations is not None and all(s.moment is moment for s in sources):
        rows = np.array([s.row for s in sources], np.int64)
        if (rows >= 0).all():
            if np.array_equal(rows, np.arange(len(own))):
                return has_cse, own.embeddings, own.segmentations
            chosen = own[rows]
            return has_cse, chosen.embeddings, chosen.segmentations
    model = own if own.embeddings is not None else next((s.moment.found for s in sources if _has_surface(s)), None)
    if model is None or model.embeddings is None or model.segmentations is None:
        return np.zeros(len(sources), np.bool_), None, None
    blank = model.embeddings.new_zeros((1, *model.embeddings.shape[1:]))
    no_body = model.segmentations.new_zeros((1, *model.segmentations.shape[1:]))
    embeddings, segmentations = [], []
    for usable, source in zip(has_cse, sources, strict=True):
        found = source.moment.found
        if usable and found is not None and found.embeddings is not None and found.segmentations is not None:
            embeddings.append(found.embeddings[source.row : source.row + 1].to(blank))
            segmentations.append(found.segmentations[source.row : source.row + 1].to(no_body))
        else:
            embeddings.append(blank)
            segmentations.append(no_body)
    return has_cse, torch.cat(embeddings), torch.cat(segmentations)


def steady(
    embeddings: Tensor | None, segmentations: Tensor | None, around: Sequence[Sequence[Sighting]]
) -> tuple[Tensor | None, Tensor | None]:
    """Predictions of people who stand still, averaged over neighbouring frames; of all others as they are.

    Args:
        embeddings: [N, D, S, S], or None.
        segmentations: [N, S, S], or None.
        around: N times the sightings whose predictions cover the same picture.
    """
    if embeddings is None or segmentations is None or not any(around):
        return embeddings, segmentations
    embeddings, segmentations = embeddings.clone(), segmentations.clone()
    for k, sightings in enumerate(around):
        for n, sighting in enumerate(sightings):
            found = sighting.moment.found
            if found is not None and found.embeddings is not None and found.segmentations is not None:
                embeddings[k].lerp_(found.embeddings[sighting.row].to(embeddings), 1 / (n + 2))
                segmentations[k].lerp_(found.segmentations[sighting.row].to(segmentations), 1 / (n + 2))
    return embeddings, segmentations


def still(own: Sighting, others: Sequence[Sighting]) -> list[Sighting]:
    """Those of the neighbouring sightings of a person in which the person has not moved and has a prediction."""
    if own.row < 0 or not _usable(own, own.moment):
        return []
    near = [s for s in others if _usable(s, own.moment)]
    return [s for s in near if box_iou(s.box_at(own.moment)[None], own.box[None])[0, 0] > STILL_IOU]


def _has_surface(source: Sighting) -> bool:
    return source.moment.found is not None and source.moment.found.embeddings is not None


def _usable(source: Sighting, moment: Moment) -> bool:
    found: Detections | None = source.moment.found
    if found is None or source.row < 0 or found.embeddings is None or not found.has_cse[source.row]:
        return False
    return abs(source.moment.seconds - moment.seconds) <= NEAR_SECONDS
