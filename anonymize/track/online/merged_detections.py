"""Detections that show no person of their own: a part of somebody, somebody once more, or several people at once.

Their pixels belong to those whom they show, and are covered with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from anonymize.core.types import BoolArray, FloatArray, RegionMask
from anonymize.track.geometry import Boxes, box_share, pair_mask_overlap, rows_of, share_in_any
from anonymize.track.online.association import Group

PART_OF = 0.6
"""A detection with so much of it in others, which are surer, may be a part of these people."""
ABOVE = 0.2
"""... unless so much of its height is above them, who are surely people: it probably has a head of its own."""
MEMBER_OF = 0.8
"""... may be several people, each with so much of them in it ..."""
TWICE_IOU = 0.5
"""... or, if it overlaps one of them so much, that one once more."""
EXPECTED_IN = 0.5
"""Somebody missing, with so much of them where such a detection shows none of its owners, is in it as well ..."""
DIP_SECONDS = 0.35
"""... and so they are while it is not found for so long."""
DIVIDED_AT = 256
"""Cells along the longer side in which a mask is divided among people."""


def owners(found: Group, scores: FloatArray, sure: float, certain: float = np.inf) -> dict[int, list[int]]:
    """Whose pixels each detection shows that is no person of its own.

    It may be a part of a person whom a surer detection shows (unless it rises above them, see `ABOVE`), or that person
    once more; then it has one owner. Or it is several people at once, each of whom a surer detection shows; then it has
    all of these. An unsure one may only be a part: what else it shows may be all that is found of somebody who is known
    to be there.

    Args:
        found: The detections.
        scores: [M] float32.
        sure: Detections of a lower score show nobody several times, nor several people.
        certain: Detections of this score and above are people.

    Returns:
        Owners, which have none themselves, by the detection.
    """
    surer = (scores[None] > scores[:, None]) & (scores < certain)[:, None]
    boxes_within = box_share(found.boxes, found.boxes)
    i, j = np.nonzero(surer & ((boxes_within > PART_OF / 2) | (boxes_within.T > MEMBER_OF / 2)))
    if not len(i):
        return {}
    within, holds, alike = (np.zeros((len(scores), len(scores)), np.float32) for _ in range(3))
    alike[i, j], within[i, j] = pair_mask_overlap(found.boxes[i], found.grids[i], found.boxes[j], found.grids[j])
    _, holds[i, j] = pair_mask_overlap(found.boxes[j], found.grids[j], found.boxes[i], found.grids[i])
    shown: dict[int, list[int]] = {}
    for one in sorted(set(i.tolist()), key=lambda one: -scores[one]):  # owners are surer, so theirs are known by then
        held = [k for k in rows_of(holds[one] > MEMBER_OF).tolist() if k not in shown]
        members = found[np.array(held, np.int64)]
        if scores[one] >= sure and len(held) > 1 and _explained(found, one, members) > PART_OF:
            shown[one] = held
            continue
        twice = (scores[one] >= sure) & (holds[one] > MEMBER_OF) & (alike[one] > TWICE_IOU)
        part = (within[one] > PART_OF) & ~(_rises_above(found.boxes[one], found.boxes) & (scores >= sure))
        share = np.maximum(np.where(twice, holds[one], 0), np.where(part, within[one], 0))
        best = int(share.argmax())
        if share[best]:
            shown[one] = shown.get(best, [best])
    return shown


def _rises_above(box: Boxes, others: Boxes) -> BoolArray:
    """Whether so much of a box [4] is above each of others [N, 4] that it may have a head of its own, [N]."""
    rises: BoolArray = others[:, 1] - box[1] > ABOVE * (box[3] - box[1])
    return rises


def _explained(found: Group, row: int, others: Group) -> float:
    """How much of one of some detections lies in any of some others, in [0, 1]."""
    return share_in_any(found.boxes[row], found.grids[row], others.boxes, others.grids)


@dataclass(frozen=True, eq=False)
class Joint:
    """A detection that shows no person of its own.

    Attributes:
        mask: Its pixels.
        owners: Those of its owners, by themselves.
        score: Of the detection.
    """

    mask: RegionMask
    owners: Sequence[RegionMask]
    score: float


@dataclass(frozen=True, eq=False)
class Companion:
    """Somebody who was seen apart before and now is found only together with somebody else; it is not known who.

    All pixels of such a detection are its owners'. These are nobody's in particular besides, so that they stay covered
    if the owners are to be shown. Nobody is followed by them: how far somebody is still in them is a guess.

    Attributes:
        mask: Their pixels.
        score: Of the detection.
        found_seconds: When it was found.
        known_seconds: When somebody who had been seen apart was last expected in it.
    """

    mask: RegionMask
    score: float
    found_seconds: float
    known_seconds: float


def companions(
    joint: Sequence[Joint],
    missing: Sequence[RegionMask],
    before: Sequence[Companion],
    seconds: float,
    memory_seconds: float,
) -> list[Companion]:
    """Who is in the detections of a frame besides their owners.

    Args:
        joint: Detections that show no person of their own.
        missing: Where people should be who are not found by themselves.
        before: Companions of the frame before.
        seconds: Time of the frame.
        memory_seconds: For so long after somebody was last expected in it, what is left is theirs.
    """
    likely = [Companion(mask, 0.0, seconds, seconds) for mask in missing]
    likely += [one for one in before if seconds - one.known_seconds <= memory_seconds]
    found, again = [], set[Companion]()
    for one in joint:
        left = one.mask.without(one.owners)
        inside = [other for other in likely if other.mask.share_in(left) > EXPECTED_IN]
        again |= set(inside)
        shares = divide(left, [*one.owners, *(other.mask for other in inside)])[len(one.owners) :]
        for other, share in zip(inside, shares, strict=True):
            found.append(Companion(share, one.score, seconds, other.known_seconds))
    return found + [one for one in before if one not in again and seconds - one.found_seconds <= DIP_SECONDS]


def divide(mask: RegionMask, among: Sequence[RegionMask]) -> list[RegionMask]:
    """The pixels of a mask, each with the nearest of some other masks; one mask for each of these.

    Which is nearest is looked up on a grid of at most `DIVIDED_AT` cells along a side.
    """
    left, top = min(m.x for m in (mask, *among)), min(m.y for m in (mask, *among))
    right, bottom = (max(m.box_xyxy[side] for m in (mask, *among)) for side in (2, 3))
    step = max(1, -(-max(right - left, bottom - top) // DIVIDED_AT))
    shape = -(-(bottom - top) // step), -(-(right - left) // step)
    least, nearest = np.full(shape, np.inf, np.float32), np.zeros(shape, np.int64)
    for k, other in enumerate(among if len(among) > 1 else ()):
        outside = np.ones(shape, np.uint8)
        x, y = other.x - left, other.y - top
        cells = other.mask[-y % step :: step, -x % step :: step]
        rows, columns = -(-y // step), -(-x // step)
        outside[rows : rows + cells.shape[0], columns : columns + cells.shape[1]] -= cells
        far = cv2.distanceTransform(outside, cv2.DIST_L2, 3)
        nearest[far < least] = k
        least = np.minimum(least, far)
    rows_of_mask, columns_of_mask = (
        (np.arange(size) + start) // step
        for size, start in zip(mask.mask.shape, (mask.y - top, mask.x - left), strict=True)
    )
    whose = nearest[np.ix_(rows_of_mask, columns_of_mask)]
    shares = [RegionMask.from_full(mask.mask & (whose == k)) for k in range(len(among))]
    return [RegionMask(mask.x + share.x, mask.y + share.y, share.mask) for share in shares]
