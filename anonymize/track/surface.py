"""Surface predictions (CSE) of the people of a frame, also of those whom the detector missed in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from anonymize.track.moments import Moment, Sighting
from anonymize.types import BoolArray, Detections

NEAR_SECONDS = 0.15
"""A prediction of another frame fits no longer after this time: people take a step."""


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
    embeddings = model.embeddings.new_zeros((len(sources), *model.embeddings.shape[1:]))
    segmentations = model.segmentations.new_zeros((len(sources), *model.segmentations.shape[1:]))
    for k, source in enumerate(sources):
        found = source.moment.found
        if has_cse[k] and found is not None and found.embeddings is not None and found.segmentations is not None:
            embeddings[k] = found.embeddings[source.row].to(embeddings)
            segmentations[k] = found.segmentations[source.row].to(segmentations)
    return has_cse, embeddings, segmentations


def _has_surface(source: Sighting) -> bool:
    return source.moment.found is not None and source.moment.found.embeddings is not None


def _usable(source: Sighting, moment: Moment) -> bool:
    found: Detections | None = source.moment.found
    if found is None or source.row < 0 or found.embeddings is None or not found.has_cse[source.row]:
        return False
    return abs(source.moment.seconds - moment.seconds) <= NEAR_SECONDS
