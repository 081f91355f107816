"""Detections that show no person of their own: a part of a person, a person once more, or several people at once.

Their pixels belong to the detections of these people, their owners, and are covered with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from anonymize.core.boxes import box_share
from anonymize.core.types import FloatArray, RegionMask
from anonymize.track.config import TrackerConfig
from anonymize.track.geometry import pair_mask_overlap, rows_of, share_in_any
from anonymize.track.model.frame_state import OccludedTrack
from anonymize.track.online.association import Shapes


def owners(found: Shapes, scores: FloatArray, config: TrackerConfig) -> dict[int, list[int]]:
    """The owners of the detections that show no person of their own.

    A detection may be a part of a person whom a surer detection shows (unless it rises above that one, see
    `head_share`), or the same person once more; then it has one owner. Or it shows several people at once, each of whom
    a surer detection shows; then it has all of these. One of a low score may only be a part: what else it shows may be
    all that is found of a track. A certain detection is a person.

    Args:
        found: The detections.
        scores: [M] float32.
        config: Thresholds.

    Returns:
        Owners, which have none themselves, by the detection.
    """
    sure = scores >= config.min_sure_score
    surer = (scores[None] > scores[:, None]) & (scores < config.certain_score)[:, None]
    boxes_within = box_share(found.boxes, found.boxes)
    i, j = np.nonzero(surer & ((boxes_within > config.part_share / 2) | (config.member_share / 2 < boxes_within.T)))
    if not len(i):
        return {}
    within, holds, alike = (np.zeros((len(scores), len(scores)), np.float32) for _ in range(3))
    alike[i, j], within[i, j] = pair_mask_overlap(found.boxes[i], found.grids[i], found.boxes[j], found.grids[j])
    _, holds[i, j] = pair_mask_overlap(found.boxes[j], found.grids[j], found.boxes[i], found.grids[i])
    shown: dict[int, list[int]] = {}
    for one in sorted(set(i.tolist()), key=lambda one: -scores[one]):  # owners are surer, so theirs are known by then
        held = [k for k in rows_of(holds[one] > config.member_share).tolist() if k not in shown]
        members = found[np.array(held, np.int64)]
        if sure[one] and len(held) > 1 and _explained(found, one, members) > config.part_share:
            shown[one] = held
            continue
        twice = sure[one] & (holds[one] > config.member_share) & (alike[one] > config.duplicate_iou)
        above = found.boxes[:, 1] - found.boxes[one, 1]
        head = above > config.head_share * (found.boxes[one, 3] - found.boxes[one, 1])
        part = (within[one] > config.part_share) & ~(head & sure)
        share = np.maximum(np.where(twice, holds[one], 0), np.where(part, within[one], 0))
        best = int(share.argmax())
        if share[best]:
            shown[one] = shown.get(best, [best])
    return shown


def _explained(found: Shapes, row: int, others: Shapes) -> float:
    """Share of one of some detections that lies in any of some others, in [0, 1]."""
    return share_in_any(found.boxes[row], found.grids[row], others.boxes, others.grids)


@dataclass(frozen=True, eq=False)
class MergedDetection:
    """A detection that shows no person of its own.

    Attributes:
        mask: Its pixels.
        owners: The masks of its owners, found by themselves.
        score: Of the detection.
    """

    mask: RegionMask
    owners: Sequence[RegionMask]
    score: float


def occluded_tracks(
    merged: Sequence[MergedDetection],
    missing: Sequence[RegionMask],
    before: Sequence[OccludedTrack],
    seconds: float,
    config: TrackerConfig,
) -> list[OccludedTrack]:
    """The tracks that are in the merged detections of a frame besides their owners.

    Args:
        merged: Detections that show no person of their own.
        missing: Where tracks should be that are not found by themselves.
        before: The occluded tracks of the frame before; each stays for `memory_seconds` after it was last expected.
        seconds: Time of the frame.
        config: Thresholds.
    """
    likely = [OccludedTrack(mask, 0.0, seconds, seconds) for mask in missing]
    likely += [one for one in before if seconds - one.known_seconds <= config.memory_seconds]
    found, again = [], set[OccludedTrack]()
    for one in merged:
        left = one.mask.without(one.owners)
        inside = [other for other in likely if other.mask.share_in(left) > config.occluded_share]
        again |= set(inside)
        masks = [*one.owners, *(other.mask for other in inside)]
        shares = divide(left, masks, config.max_divide_cells)[len(one.owners) :]
        for other, share in zip(inside, shares, strict=True):
            found.append(OccludedTrack(share, one.score, seconds, other.known_seconds))
    return found + [o for o in before if o not in again and seconds - o.found_seconds <= config.max_dip_seconds]


def divide(mask: RegionMask, among: Sequence[RegionMask], max_cells: int) -> list[RegionMask]:
    """The pixels of a mask, each with the nearest of some other masks; one mask for each of these.

    Which is nearest is looked up on a grid of at most `max_cells` cells along a side.
    """
    left, top = min(m.x for m in (mask, *among)), min(m.y for m in (mask, *among))
    right, bottom = (max(m.box_xyxy[side] for m in (mask, *among)) for side in (2, 3))
    step = max(1, -(-max(right - left, bottom - top) // max_cells))
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
