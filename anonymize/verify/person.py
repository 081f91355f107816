"""One person of the original looked up in the output."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from anonymize.compose.cover import grow_region
from anonymize.core.types import BoolArray, Detections, FloatArray, UInt8Array
from anonymize.verify.body import BodyParts
from anonymize.verify.similarity import MIN_KNOWN, Similarity, compare, shift

WORKING_SIZE = 160
"""Longer side of a person in the compared pictures, pixels; smaller people are compared as they are."""
VISIBLE = 0.87
"""Mean similarity from which a person counts as left visible. Measured on two rendered films of 20 people with the
embedded detector, whose masks reach into the background: people left as they were 0.89 to 1.00 where they stand free,
from 0.7 where others stand before them; covered people 0.84 at most, in a crowd 0.92 (one of 570)."""
SAME_PATCH = 0.9
"""Similarity of the most similar patch from which a person counts as left in part. Measured at scores from 0.6:
the same people after CRF 28 and 36, a shift by a pixel and other colours 0.96 to 1.00; blurred, in blocks, painted
over, replaced by noise 0.26 to 0.73. A patch of background in the mask is as similar."""
FLAT_DISTANCE = 2.3
"""Colour difference that is just noticeable (Mahy et al. 1994); a person without structure is the same below it."""
MARGIN = 0.1
"""Surroundings that windows may look at, over the person's longer side."""
RIM = 0.01
"""Outlines are right to some pixels; so much of the longer side is left out, as what lies there may be background."""
MIN_CORE = 0.2
"""A person too thin for that is looked at as a whole: this share of the mask must be left."""
MIN_PART_KNOWN = 0.05


@dataclass(frozen=True, slots=True)
class PartCheck:
    """A part of a person's body.

    Attributes:
        similarity: Mean structural similarity, in [-1, 1]; None where the original has no structure there.
        appearance_distance: Mean CIELAB colour difference of its pixels (CIE 1976); 2.3 is just noticeable.
    """

    similarity: float | None
    appearance_distance: float


@dataclass(frozen=True, slots=True)
class PersonCheck:
    """A person found in the original, and whether the output still shows them.

    Attributes:
        box_xyxy: Left, top, right, bottom in pixels.
        score: The detector's, in [0, 1].
        similarity: Of the person's most similar patch, in [-1, 1].
        overall: Mean similarity over the person, in [-1, 1]; what the verdict hangs on.
        appearance_distance: Mean CIELAB colour difference over the person.
        visible: Whether the person looks as in the original.
        partly: Whether some of the person does, or of the background that was taken for the person.
        parts: By name of the part of the body, or of the cell of a 3 x 3 grid where the surface is unknown.
        plate: Whether it is no person but a number plate.
    """

    box_xyxy: tuple[int, int, int, int]
    score: float
    similarity: float
    overall: float
    appearance_distance: float
    visible: bool
    partly: bool
    parts: dict[str, PartCheck]
    plate: bool = False


def check_person(
    original: UInt8Array,
    output: UInt8Array,
    fit: FloatArray,
    found: Detections,
    person: int,
    parts: BodyParts,
    *,
    in_part: bool = False,
    visible_from: float = VISIBLE,
) -> PersonCheck:
    """Compare one person's place in two frames.

    Args:
        original: [H, W, 3] uint8 RGB.
        output: [H, W, 3] uint8 RGB.
        fit: [3, 2] float32, gain and offset that take the output's colours back to the original's.
        found: The people of the original; the person's mask must not be empty.
        person: Which of them.
        parts: Divides people into parts.
        in_part: Who is left in part counts as visible.
        visible_from: Mean similarity from which the person is visible.
    """
    person_region = found.masks[person]
    longer_side = max(person_region.mask.shape)
    region = grow_region(person_region, max(4, round(MARGIN * longer_side)), found.size_hw)
    view, mask = region.slices, region.mask
    scale = min(1.0, WORKING_SIZE / longer_side)
    before = _shrink(original[view].astype(np.float32), scale)
    after = _shrink(np.clip(output[view] * fit[:, 0] + fit[:, 1], 0, 255).astype(np.float32), scale)
    core = _shrink(_without_rim(mask).astype(np.float32), scale) > 0
    alike = compare(_luma(before), _luma(after), core)
    difference = _colour_difference(before, shift(after, *alike.shift_xy))
    distance = _mean(difference, core)
    divided = parts.divide(found, person, mask, (region.x, region.y))
    checks = {}
    for name, part in divided.items():
        place = (_shrink(part.astype(np.float32), scale) > 0.5) & core
        if place.any():
            checks[name] = PartCheck(_part_similarity(alike, place), _mean(difference, place))
    structured = alike.known >= MIN_KNOWN
    partly = alike.peak >= SAME_PATCH if structured else distance <= FLAT_DISTANCE
    visible = alike.overall >= visible_from if structured else distance <= FLAT_DISTANCE
    return PersonCheck(
        box_xyxy=person_region.box_xyxy,
        score=float(found.scores[person]),
        similarity=alike.peak,
        overall=alike.overall,
        appearance_distance=distance,
        visible=visible or (in_part and partly),
        partly=partly,
        parts=checks,
    )


def _without_rim(mask: BoolArray) -> BoolArray:
    """The inner pixels of a mask [h, w]; all of it if hardly any are left. The frame's border is no rim."""
    _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
    radius = max(1, round(RIM * max(width, height)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    core = cv2.erode(mask.astype(np.uint8), disc, borderType=cv2.BORDER_CONSTANT, borderValue=1).astype(np.bool_)
    return core if np.count_nonzero(core) >= MIN_CORE * np.count_nonzero(mask) else mask


def _shrink(picture: FloatArray, scale: float) -> FloatArray:
    if scale == 1:
        return picture
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _luma(picture: FloatArray) -> FloatArray:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)


def _colour_difference(before: FloatArray, after: FloatArray) -> FloatArray:
    """CIE 1976 colour difference of each pixel [h, w] of two pictures [h, w, 3] RGB in [0, 255]."""
    pictures = (np.ascontiguousarray(picture) / np.float32(255) for picture in (before, after))
    lab = [cv2.cvtColor(picture, cv2.COLOR_RGB2LAB) for picture in pictures]
    difference: FloatArray = np.linalg.norm(lab[0] - lab[1], axis=2).astype(np.float32)
    return difference


def _mean(values: FloatArray, where: BoolArray) -> float:
    return float(values[where].mean()) if where.any() else 0.0


def _part_similarity(alike: Similarity, place: BoolArray) -> float | None:
    weight = float(alike.weights[place].sum())
    if weight < MIN_PART_KNOWN * np.count_nonzero(place):
        return None
    return float((alike.values[place] * alike.weights[place]).sum()) / weight
