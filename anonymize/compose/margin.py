"""What must be covered of the people of a frame: their mask, their body surface, and a margin round both.

A mask says what the person is. Its outline is right to a cell of the network that drew it, and less where the detector
was in doubt; so the cover is larger than the mask by a share of the person's size, and never smaller.
"""

from __future__ import annotations

import numpy as np

from anonymize.compose.cover import pieces
from anonymize.core.masks import fill_holes, grow, paste, tighten
from anonymize.core.types import PLATES_AFTER, UNKNOWN_TRACK, Detections, RegionMask, Tracks

MARGIN, DOUBTFUL_MARGIN = 0.02, 0.05
"""Shares of the person's longer side: a rim that a mask of 28 x 28 cells cannot resolve; and what is added to it where
the place itself is a guess, such as in a gap that the tracker filled."""
MIN_MARGIN_PX = 2
SURE_SCORE, UNSURE_SCORE = 0.6, 0.25
"""From the first on a score leaves no doubt, up to the second all of it."""
PLATE_MARGIN, DOUBTFUL_PLATE_MARGIN = 0.12, 0.2
"""Of a number plate, shares of its longer side: the rim and the frame round the plate, and what its box cuts off; and
the same where the place is a guess."""
HOLE = 0.05
"""Holes of a mask up to this share of the person's area are covered too: more are mistakes than gaps under an arm."""
COVERED_FROM = 0.25
"""A point of the box may be body surface above this: a limb too much is better than a limb left out."""


def covers_of(tracks: Tracks) -> tuple[RegionMask, ...]:
    """What must be covered of each person of a frame; N regions, each of which holds the person's mask.

    Regions that are covered in any case (IDs below 0) are taken as they are.
    """
    found = tracks.detections
    rows = zip(tracks.ids.tolist(), tracks.filled.tolist(), found.scores.tolist(), strict=True)
    covers = []
    for row, (number, filled, score) in enumerate(rows):
        whole = seen_of(found, row)
        if number < UNKNOWN_TRACK or not whole.area:
            covers.append(whole)
            continue
        if number > PLATES_AFTER:
            share = DOUBTFUL_PLATE_MARGIN if filled else PLATE_MARGIN
            covers.append(grow(whole, max(MIN_MARGIN_PX, round(share * max(whole.mask.shape))), found.size_hw))
            continue
        doubt = 1.0 if filled else doubt_of(score)
        people = pieces(whole) if number == UNKNOWN_TRACK else [whole]  # each has a margin of their own size
        people = [fill_holes(person, HOLE) for person in people]
        covers.append(RegionMask.union([with_margin(person, found.size_hw, doubt=doubt) for person in people]))
    return tuple(covers)


def seen_of(found: Detections, row: int) -> RegionMask:
    """The pixels of one person by the mask or by the body surface, stored without empty rows and columns around."""
    mask = found.masks[row]
    if found.segmentations is None or not mask.area:
        return tighten(mask)
    # decided point by point, so that it makes no difference whether probabilities or decisions are handed on
    body = (found.segmentations[row] > COVERED_FROM).float().cpu().numpy()
    return tighten(RegionMask.union([mask, paste(body, found.boxes_xyxy[row], found.size_hw)]))


def tight_mask(found: Detections, row: int) -> RegionMask:
    """The pixels of one person without a margin, small holes filled."""
    return fill_holes(seen_of(found, row), HOLE)


def doubt_of(score: float) -> float:
    """How doubtful a detection of this score is, in [0, 1]."""
    return float(np.clip((SURE_SCORE - score) / (SURE_SCORE - UNSURE_SCORE), 0, 1))


def with_margin(mask: RegionMask, size_hw: tuple[int, int], *, doubt: float = 0.0) -> RegionMask:
    """A mask grown by a share of the person's size, at least `MIN_MARGIN_PX`, inside a frame of `size_hw`.

    The size is the longer side of the mask's rectangle: a standing person's height.

    Args:
        mask: The person, stored without empty rows and columns around.
        size_hw: Size of the frame.
        doubt: In [0, 1]; how doubtful the mask is.
    """
    share = MARGIN + doubt * (DOUBTFUL_MARGIN - MARGIN)
    return grow(mask, max(MIN_MARGIN_PX, round(share * max(mask.mask.shape))), size_hw)
