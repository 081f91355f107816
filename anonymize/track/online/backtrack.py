"""Frames in which the detector was unsure of somebody or missed them: they are followed by their picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anonymize.track.geometry import OUTLINE, mask_grids, move_mask, rows_of
from anonymize.track.model.appearance import Looks
from anonymize.track.model.frame_state import Box, Moment, Sighting
from anonymize.track.online.association import Group, overlap
from anonymize.track.online.template import find

PICTURE_SECONDS = 0.5
"""For so long somebody is followed by their picture alone."""
BACK_OVERLAP = 0.3


def retrace(sighting: Sighting, since: float, waiting: Sequence[Moment]) -> list[Sighting]:
    """Follow somebody who has just been found back into the frames before.

    Args:
        sighting: Where they are found.
        since: Time up to which they need not be followed.
        waiting: The frames that have not left yet, in order of time.

    Returns:
        Where they were, the latest first.
    """
    found: list[Sighting] = []
    now = known = sighting
    for before in reversed(waiting):
        if before.seconds <= since:
            break
        if before.seconds >= now.moment.seconds:
            continue
        expected = now.box_at(before)
        earlier = _unsure_before(expected, now, before)
        if earlier is not None:
            known = earlier
        elif known.moment.seconds - before.seconds <= PICTURE_SECONDS:
            earlier = seen_by_picture(known, before, expected)
        if earlier is None:
            break
        found.append(earlier)
        now = earlier
    return found


def sighting_of(
    moment: Moment, row: int, looks: Looks | None = None, *, sudden: bool = False, unlike: bool = False
) -> Sighting:
    """Somebody as a detection of a moment shows them; see `Sighting`."""
    assert moment.found is not None
    box = moment.found.boxes_xyxy[row].astype(np.float64)
    return Sighting(moment, box, moment.found.masks[row], float(moment.found.scores[row]), row, sudden, looks, unlike)


def seen_by_picture(known: Sighting, moment: Moment, expected: Box) -> Sighting | None:
    """Somebody known from one moment, as they are found by their picture in another one."""
    if known.moment.frame is None or moment.frame is None:
        return None
    centre, half = (expected[:2] + expected[2:]) / 2, (known.box[2:] - known.box[:2]) / 2
    expected = np.concatenate([centre - half, centre + half])
    box = find(known.moment.frame.image, known.box, moment.frame.image, expected)
    if box is None:
        return None
    mask = move_mask(known.mask, known.box, box, moment.frame.size_hw)
    return Sighting(moment, box, mask, known.score) if mask.area else None


def _unsure_before(expected: Box, now: Sighting, before: Moment) -> Sighting | None:
    """The free detection of an earlier moment that continues a person to there."""
    if before.found is None:
        return None
    free = rows_of(before.free)
    if not len(free):
        return None
    boxes = before.found.boxes_xyxy[free].astype(np.float64)
    known = Group(expected[None], mask_grids([now.mask], now.box[None], error=OUTLINE))
    common = overlap(known, Group(boxes, mask_grids([before.found.masks[j] for j in free], boxes, error=OUTLINE)))[0]
    best = int(common.argmax())
    if common[best] < BACK_OVERLAP:
        return None
    before.free[free[best]] = False
    return sighting_of(before, int(free[best]))
