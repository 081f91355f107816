"""Frames in which the detector was unsure or missed a track: it is followed back, and by its template."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anonymize.track.config import TrackerConfig
from anonymize.track.geometry import mask_grids, move_mask, rows_of
from anonymize.track.model.frame_state import Box, FrameState, Observation
from anonymize.track.online.association import Shapes, overlap
from anonymize.track.online.template import find


def backtrack(
    observation: Observation, since: float, waiting: Sequence[FrameState], config: TrackerConfig
) -> list[Observation]:
    """Follow a track that has just been found back into the frames before.

    Args:
        observation: Where it is found.
        since: Time up to which it need not be followed.
        waiting: The frames that have not left yet, in order of time.
        config: Thresholds.

    Returns:
        Where it was, the latest first.
    """
    found: list[Observation] = []
    now = known = observation
    for before in reversed(waiting):
        if before.seconds <= since:
            break
        if before.seconds >= now.seconds:
            continue
        expected = now.box_in(before)
        earlier = _unsure_before(expected, now, before, config)
        if earlier is not None:
            known = earlier
        elif known.seconds - before.seconds <= config.template_seconds:
            earlier = match_template(known, before, expected, config)
        if earlier is None:
            break
        found.append(earlier)
        now = earlier
    return found


def match_template(known: Observation, frame: FrameState, expected: Box, config: TrackerConfig) -> Observation | None:
    """A track known from one frame, as its template is found in another one near an expected box [4]."""
    if known.at.frame is None or frame.frame is None:
        return None
    centre, half = (expected[:2] + expected[2:]) / 2, (known.box[2:] - known.box[:2]) / 2
    expected = np.concatenate([centre - half, centre + half])
    box = find(known.at.frame.image, known.box, frame.frame.image, expected, config)
    if box is None:
        return None
    mask = move_mask(known.mask, known.box, box, frame.frame.size_hw)
    return Observation(frame, box, mask, known.score) if mask.area else None


def _unsure_before(expected: Box, now: Observation, before: FrameState, config: TrackerConfig) -> Observation | None:
    """The free detection of an earlier frame that continues a track to there."""
    if before.found is None:
        return None
    free = rows_of(before.free)
    if not len(free):
        return None
    boxes = before.found.boxes_xyxy[free].astype(np.float64)
    known = Shapes(expected[None], mask_grids([now.mask], now.box[None], error=config.mask_error_share))
    grids = mask_grids([before.found.masks[j] for j in free], boxes, error=config.mask_error_share)
    overlaps = overlap(known, Shapes(boxes, grids))[0]
    best = int(overlaps.argmax())
    if overlaps[best] < config.backtrack_overlap:
        return None
    before.free[free[best]] = False
    return Observation.of_detection(before, int(free[best]))
