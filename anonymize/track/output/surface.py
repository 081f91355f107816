"""Surface predictions (CSE) of the people of a frame, also of those whom the detector missed in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from anonymize.core.types import BoolArray, Detections
from anonymize.track.model.frame_state import Moment, Sighting

SURFACE_SIZE = 56
"""Cells along a box that surface predictions are kept with at most; no network predicts finer ones."""
NEAR_SECONDS = 0.15
"""A prediction of another frame fits no longer after this time: people take a step."""
NEWS = 0.25
"""Share of the new prediction where somebody stands still."""


def shrink(planes: Tensor) -> Tensor:
    """Square planes [..., S, S] by means of their cells, at most `SURFACE_SIZE` along a side."""
    size = planes.shape[-1]
    if size <= SURFACE_SIZE:
        return planes
    if size != 2 * SURFACE_SIZE:
        return F.adaptive_avg_pool2d(planes, SURFACE_SIZE)
    rows = planes[..., ::2, :] + planes[..., 1::2, :]  # a tenth of the time that the pooling takes on CPUs
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def shrink_surfaces(found: Detections) -> Detections:
    """People with their surface predictions at the size that they are kept with."""
    if found.embeddings is None or found.segmentations is None or found.embeddings.shape[-1] <= SURFACE_SIZE:
        return found
    return replace(found, embeddings=shrink(found.embeddings), segmentations=shrink(found.segmentations))


def gather(
    moment: Moment, sources: Sequence[Sighting], before: Sequence[Sighting | None]
) -> tuple[BoolArray, Tensor | None, Tensor | None]:
    """Surface predictions of people at a moment, steadied: what they were handed on with before is blended in.

    Args:
        moment: The frame.
        sources: [N] the sighting of each person, or the nearest one.
        before: [N] their sighting in the frame before, if its prediction covers the same picture; see `still`.

    Returns:
        Whether each has a usable prediction [N], embeddings [N, D, S, S] and segmentations [N, S, S], zero where there
        is none; None if nobody's detector predicts a surface.
    """
    assert moment.found is not None
    has_cse = np.array([_usable(s, moment) for s in sources], np.bool_)
    own = moment.found
    if own.embeddings is not None and own.segmentations is not None and not any(before):
        rows = np.array([s.row if s.moment is moment else -1 for s in sources], np.int64)
        if np.array_equal(rows, np.arange(len(own))):
            return has_cse, own.embeddings, own.segmentations
    model = own if own.embeddings is not None else next((s.moment.found for s in sources if _has_surface(s)), None)
    if model is None or model.embeddings is None or model.segmentations is None:
        return np.zeros(len(sources), np.bool_), None, None
    # they are large: each is written once, where it is to be
    embeddings = model.embeddings.new_empty((len(sources), *model.embeddings.shape[1:]))
    segmentations = model.segmentations.new_empty((len(sources), *model.segmentations.shape[1:]))
    for k, (usable, source, earlier) in enumerate(zip(has_cse, sources, before, strict=True)):
        out = embeddings[k], segmentations[k]
        if not usable:
            for plane in out:
                plane.zero_()
            continue
        now = _prediction(source)
        past = now if earlier is None else earlier.moment.handed_on.get(earlier.row) or _prediction(earlier)
        for plane, new, old in zip(out, now, past, strict=True):
            if earlier is None:
                plane.copy_(new)
            else:
                torch.lerp(old.to(plane), new.to(plane), NEWS, out=plane)
        if source.moment is moment:
            moment.handed_on[source.row] = out
    return has_cse, embeddings, segmentations


def _prediction(sighting: Sighting) -> tuple[Tensor, Tensor]:
    """Embedding [D, S, S] and segmentation [S, S] of a sighting that has them."""
    found = sighting.moment.found
    assert found is not None and found.embeddings is not None and found.segmentations is not None
    return found.embeddings[sighting.row], found.segmentations[sighting.row]


def still(own: Sighting, before: Sequence[Sighting]) -> Sighting | None:
    """The last sighting before of a person who has not moved for `NEAR_SECONDS`, if it and their own have a prediction.

    What differs in their predictions is noise.

    Args:
        own: The person now.
        before: Their sightings before, in order of time.
    """
    if not before or own.row < 0 or not _usable(own, own.moment) or not _usable(before[-1], own.moment):
        return None
    lately = takewhile(lambda s: own.moment.seconds - s.moment.seconds <= NEAR_SECONDS, reversed(before))
    return before[-1] if own.frames_as([*lately][-1]) else None


def _has_surface(source: Sighting) -> bool:
    return source.moment.found is not None and source.moment.found.embeddings is not None


def _usable(source: Sighting, moment: Moment) -> bool:
    found: Detections | None = source.moment.found
    if found is None or source.row < 0 or found.embeddings is None or not found.has_cse[source.row]:
        return False
    return abs(source.moment.seconds - moment.seconds) <= NEAR_SECONDS
