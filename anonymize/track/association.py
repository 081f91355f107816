"""Who is who: people known from before are assigned to what is found in a frame.

The two steps of ByteTrack (Zhang et al. 2022): first the sure detections, then, for those who are left, the unsure
ones. After them somebody who was out of sight for a moment comes back near to where they should be. Who was out of
sight for longer is known again by looks, once the newcomer has been seen for as long as the look-ahead allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from anonymize.track.geometry import box_iou, centre_distance, pair_mask_iou
from anonymize.types import BoolArray, FloatArray, IntArray

Boxes = npt.NDArray[np.float64]
Seconds = npt.NDArray[np.float64]
Pairs = list[tuple[int, int]]

MIN_OVERLAP = 0.15
MIN_OVERLAP_UNSURE = 0.35
LOOKS_WEIGHT = 0.35  # against overlap
# distances of looks
SAME_LOOKS = 0.06  # two are as likely one person as two
BACK_LOOKS = 0.05  # somebody is known again after an absence
OTHER_LOOKS = 0.08  # nobody changes that much, if seen for a while
CHANGED_LOOKS = 0.1  # nobody changes that much from frame to frame
NOT_THEM_LOOKS = 0.25  # it is somebody else, wherever they are
BETTER_LOOKS = 1.7  # somebody else who looks this many times more alike speaks against it as well
BACK_RATIO = 0.75  # ... of everybody else's distance, it may be at most
BACK_REACH = (1.5, 3.0)  # how far somebody can have gone, in heights: at once and a second
MOTION_REACH = (0.35, 0.4)  # ... if only the motion tells that it is them
MOTION_SECONDS = 1.5
BLIND_SECONDS, BLIND_SHARE = 0.7, 0.3  # ... and the looks tell nothing: sooner and nearer
MIN_INSIDE = 0.6
INSIDE_SECONDS = 1.0
AT_ONCE_SECONDS = 0.35  # who was missing for longer than this is looked at for a while first
SIZE_RATIO = 1.6


@dataclass(frozen=True, eq=False)
class Group:
    """People of one side of an assignment.

    Attributes:
        boxes: [N, 4] float64 xyxy, where they are or are expected.
        grids: [N, 28, 14] bool, their masks seen through the boxes.
    """

    boxes: Boxes
    grids: BoolArray

    def __getitem__(self, rows: IntArray) -> Group:
        return Group(self.boxes[rows], self.grids[rows])


def overlap(known: Group, found: Group) -> FloatArray:
    """Mean of box and mask IoU, [N, M] float32."""
    total = box_iou(known.boxes, found.boxes)
    i, j = np.nonzero(total > 0.05)
    if len(i):
        total[i, j] += pair_mask_iou(known.boxes[i], known.grids[i], found.boxes[j], found.grids[j])
    total /= 2
    return total


def assign(score: FloatArray, allowed: BoolArray) -> Pairs:
    """Pairs (row, column) of the largest total score (Kuhn 1955), [N, M] each, among the allowed ones."""
    if not allowed.any():
        return []
    rows, columns = linear_sum_assignment(np.where(allowed, score + 1, 0), maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]


def likeness(distance: FloatArray) -> FloatArray:
    """Looks of every pair in [0, 1]; where nothing is known as for two who are as likely one person as two."""
    like: FloatArray = np.exp2(-((distance / SAME_LOOKS) ** 2)).astype(np.float32)
    return np.where(np.isnan(distance), np.float32(0.5), like)


def pair_sure(known: Group, found: Group, looks: FloatArray) -> Pairs:
    """First step: people seen lately and sure detections; `looks` is the distance of their looks [N, M]."""
    common = overlap(known, found)
    allowed = common > MIN_OVERLAP
    allowed &= ~((looks > CHANGED_LOOKS) & (common < 0.6)) & ~(looks > NOT_THEM_LOOKS)
    return assign(common + LOOKS_WEIGHT * likeness(looks), allowed)


def pair_unsure(known: Group, found: Group) -> Pairs:
    """Second step: the rest of the people and the detections of a low score, which are often half hidden."""
    common = overlap(known, found)
    return assign(common, common > MIN_OVERLAP_UNSURE)


@dataclass(frozen=True, eq=False)
class Absence:
    """How people were missing when others appeared, [N, M] float32 each.

    Attributes:
        apart: From where the one was expected to the other, in heights; infinite where the one was not missing.
        inside: Share of the other's box that lies where the one should have come to: whoever comes out from behind
            something shows little of themselves at first.
        alike_sized: Whether the two have about the same height.
        seconds: For how long the one had been missing.
    """

    apart: FloatArray
    inside: FloatArray
    alike_sized: BoolArray
    seconds: FloatArray

    @classmethod
    def of(cls, known: Boxes, extents: Boxes, found: Boxes, seconds: Seconds) -> Absence:
        """Compare boxes.

        Args:
            known: [N, 4] where the missing are expected.
            extents: [N, 4] all that they took up lately, moved to there.
            found: [M, 4].
            seconds: [N] how long they are missing.
        """
        heights = [boxes[:, 3] - boxes[:, 1] for boxes in (known, found)]
        ratio = np.maximum(heights[0][:, None], 1) / np.maximum(heights[1][None], 1)
        low = np.maximum(extents[:, None, :2], found[None, :, :2])
        high = np.minimum(extents[:, None, 2:], found[None, :, 2:])
        area = np.maximum((found[:, 2:] - found[:, :2]).prod(1), 1)
        return cls(
            centre_distance(known, found),
            (np.clip(high - low, 0, None).prod(2) / area).astype(np.float32),
            (ratio < SIZE_RATIO) & (ratio > 1 / SIZE_RATIO),
            np.broadcast_to(seconds[:, None], ratio.shape).astype(np.float32),
        )

    @classmethod
    def none(cls, people: int, newcomers: int) -> Absence:
        """Nobody was missing."""
        shape = people, newcomers
        far, nothing = np.full(shape, np.inf, np.float32), np.zeros(shape, np.float32)
        return cls(far, nothing, np.zeros(shape, np.bool_), nothing.copy())

    def __getitem__(self, key: tuple[int, int]) -> tuple[float, float, bool, float]:
        return float(self.apart[key]), float(self.inside[key]), bool(self.alike_sized[key]), float(self.seconds[key])

    def __setitem__(self, key: tuple[int, int], value: tuple[float, float, bool, float]) -> None:
        self.apart[key], self.inside[key], self.alike_sized[key], self.seconds[key] = value

    def near(self, looks: FloatArray, most: FloatArray | float, backed: BoolArray | bool = True) -> BoolArray:
        """Who may be one by their motion, [N, M].

        Args:
            looks: [N, M] distance of their looks.
            most: Looks further apart speak against it.
            backed: [N, M] where the looks speak for it; elsewhere they have to be nearer and sooner.
        """
        reach = MOTION_REACH[0] + MOTION_REACH[1] * self.seconds
        limit = np.where(backed, MOTION_SECONDS, BLIND_SECONDS)
        close = (self.apart < np.where(backed, reach, reach * BLIND_SHARE)) & self.alike_sized & (self.seconds < limit)
        close |= (self.inside > MIN_INSIDE) & (self.seconds < np.where(backed, INSIDE_SECONDS, INSIDE_SECONDS / 2))
        kept: BoolArray = close & ~(looks > most)
        return kept

    def fit(self, looks: FloatArray) -> FloatArray:
        """How well two fit that may be one, by looks and motion, [N, M] in [0, 2]."""
        apart = np.where(self.inside > MIN_INSIDE, np.minimum(self.apart, MOTION_REACH[0]), self.apart)
        return (likeness(looks) + 1 / (1 + apart)).astype(np.float32)


def pair_returned(absence: Absence, looks: FloatArray) -> Pairs:
    """Third step: people who have been missing for a moment, and sure detections near where they should be."""
    return assign(absence.fit(looks), absence.near(looks, CHANGED_LOOKS) & (absence.seconds < AT_ONCE_SECONDS))


def distinct(looks: FloatArray, met: BoolArray, new: IntArray) -> BoolArray:
    """Whether nobody else looks nearly as much like a newcomer, [N, M].

    Two who look alike to a third one are told apart by nothing, unless the two may themselves be one person.

    Args:
        looks: [N, M] distance of the looks of all people and newcomers; infinite between one and oneself.
        met: [N, N] who of the people were seen together.
        new: [M] which of the people are the newcomers.
    """
    known = np.where(np.isnan(looks), np.inf, looks)
    rivals = met[:, :, None] | met[new].T[None]  # [N, N, M]
    others = np.where(rivals, known[None], np.inf)
    others[np.arange(len(met)), np.arange(len(met))] = np.inf
    others = others.min(axis=1, initial=np.inf)  # [N, M]
    unlike: BoolArray = known < BACK_RATIO * others
    return unlike


def alike(looks: FloatArray, absence: Absence, unlike: BoolArray, limit: FloatArray) -> BoolArray:
    """Whether somebody who was missing may be who appeared later, by looks alone.

    Args:
        looks: See `distinct`.
        absence: How they were missing.
        unlike: [N, M] where nobody else looks nearly as much like the newcomer.
        limit: [M] distance of looks up to which a newcomer can be the same person.
    """
    return unlike & (looks < limit) & (absence.apart < BACK_REACH[0] + BACK_REACH[1] * absence.seconds)
