"""Real pictures whose people are boxed: `boxes.json`, and beside it what teachers say of the people and the places."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from anonymize.core.boxes import box_iou
from anonymize.core.errors import OptionError
from anonymize.core.types import BoolArray, FloatArray, UInt8Array
from anonymize.lab.train.bank import NO_LANDMARK, Cutout, held_out
from anonymize.lab.train.blazepose import CROP
from anonymize.lab.train.composites import Boxed, Sample, Size
from anonymize.lab.train.fits import Limits, load_fits

MIN_DEEPLAB = 0.5
"""A mask is trusted when it agrees with its box (`Limits`) and DeepLab sees people on this share of it."""
DEEPLAB_FROM_PX = 150.0
"""Side of the crop from which DeepLab is asked."""
SURE_TEACHER = 0.5
"""Boxes of the teachers of at least this score are taught, with the score as weight; fainter ones are left open."""
FAINT_TEACHER = 0.15
SAME_BOX_IOU = 0.4
SHORTER_SIDE, LONGER_SIDE = 384, 704
FITTED_WEIGHT = 4.0
"""Pictures of which the surface of a person is known come this many times as often: they are few."""
SCALES = (0.5, 1.7)
"""Factors on the size at which a picture is looked at when the detector is used."""
QUARTER_SCALES = (0.35, 0.8)
QUARTERS_SHARE = 0.2
VISIBLE_SHARE = 0.2
"""A person of whom the crop holds less is left open."""
MIN_CUTOUT_HW = (80, 40)
GREY = 114


@dataclass(frozen=True, eq=False)
class PersonMask:
    """What is known of one person's pixels, in a square crop of the picture.

    Attributes:
        center_xy: [2], centre of the crop in pixels of the picture.
        side: Of the crop, in pixels of the picture.
        bits: [8192] uint8, `np.unpackbits` gives the mask [256, 256].
        landmarks: [S, S] int16 over the crop, nearest landmark of the body surface, -1 unknown; None without a fit.
    """

    center_xy: tuple[float, float]
    side: float
    bits: UInt8Array
    landmarks: np.ndarray | None = None

    def mask(self) -> BoolArray:
        """[256, 256] bool."""
        return np.unpackbits(self.bits).reshape(CROP, CROP).astype(np.bool_)

    def to_picture(self, side: int = CROP) -> np.ndarray:
        """Affine map [2, 3] from the pixels of the crop, `side` along its side, to those of the picture."""
        scale = self.side / side
        return np.array(
            [[scale, 0, self.center_xy[0] - self.side / 2], [0, scale, self.center_xy[1] - self.side / 2]], np.float64
        )


@dataclass(frozen=True, eq=False)
class BoxedPicture:
    """A picture, the boxes of its people, and where others may be.

    Attributes:
        path: Of the picture.
        boxes: [K, 4] float32, xyxy.
        weights: [K] float32, 1 where a person drew the box, else the teachers' score.
        open_boxes: [M, 4] float32, places of which it is not known whether they show a person.
        masks: What is known of each person's pixels.
    """

    path: Path
    boxes: FloatArray
    weights: FloatArray
    open_boxes: FloatArray
    masks: tuple[PersonMask | None, ...]

    @property
    def fitted(self) -> bool:
        """Whether the body surface of one of the people is known."""
        return any(mask is not None and mask.landmarks is not None for mask in self.masks)

    def read(self) -> UInt8Array:
        """The picture [H, W, 3] uint8 RGB.

        Raises:
            OptionError: It cannot be read.
        """
        return read_rgb(self.path)


def read_rgb(path: Path) -> UInt8Array:
    """A picture [H, W, 3] uint8 RGB.

    Raises:
        OptionError: It cannot be read.
    """
    image = cv2.imread(str(path))
    if image is None:
        raise OptionError(f"cannot read {path}")
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def load_pictures(folder: Path, *, held_out_only: bool = False, limit: int | None = None) -> list[BoxedPicture]:
    """The boxed pictures of a folder.

    Args:
        folder: Holds `pictures/`; `boxes.json`, {name: {"boxes_xyxy": [N, 4], ...}}, where people drew boxes; and if at
            hand `teacher_boxes.json` (`label_boxes`), `blazepose.npz` (`label_people`, made from these boxes) and
            `fits.npz`. At least one kind of boxes.
        held_out_only: The pictures kept out of training by a hash of the name, instead of all others.
        limit: So many only.

    Raises:
        OptionError: There are no boxes.
    """
    drawn = _read_json(folder / "boxes.json")
    taught = _read_json(folder / "teacher_boxes.json")
    if not drawn and not taught:
        raise OptionError(f"{folder} has neither boxes.json nor teacher_boxes.json")
    masks = _load_masks(folder)
    pictures: list[BoxedPicture] = []
    for name in sorted(set(drawn) | set(taught)):
        if held_out(Path(name).stem) != held_out_only or len(pictures) == limit:
            continue
        boxes = np.array(drawn.get(name, {}).get("boxes_xyxy", []), np.float32).reshape(-1, 4)
        boxes, weights, open_boxes = with_teachers(boxes, taught.get(name, {}))
        known = tuple(masks.get((name, row)) for row in range(len(boxes)))
        pictures.append(BoxedPicture(folder / "pictures" / name, boxes, weights, open_boxes, known))
    return pictures


def with_teachers(boxes: FloatArray, taught: dict[str, list[object]]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Boxes that were drawn [K, 4], then those that teachers found besides.

    Returns:
        Boxes, their weights, and the places that stay open, see `BoxedPicture`.
    """
    found = np.array(taught.get("boxes_xyxy", []), np.float32).reshape(-1, 4)
    scores = np.array(taught.get("scores", []), np.float32)
    if len(boxes) and len(found):
        new = box_iou(found, boxes).max(1) < SAME_BOX_IOU
        found, scores = found[new], scores[new]
    sure, faint = scores >= SURE_TEACHER, (scores >= FAINT_TEACHER) & (scores < SURE_TEACHER)
    weights = np.concatenate([np.ones(len(boxes), np.float32), scores[sure]])
    return np.concatenate([boxes, found[sure]]), weights, found[faint]


def _read_json(path: Path) -> dict[str, dict[str, list[object]]]:
    return json.loads(path.read_text()) if path.exists() else {}


def load_poses(folder: Path) -> dict[tuple[str, int], FloatArray]:
    """BlazePose's landmarks [33, 5] of the people whose mask is trusted, by picture and row of its boxes."""
    with np.load(folder / "blazepose.npz") as data:
        names, rows, landmarks = data["picture"], data["box"], data["landmarks"]
        return {(str(names[i]), int(rows[i])): landmarks[i].astype(np.float32) for i in np.flatnonzero(_trusted(data))}


def _trusted(poses: Mapping[str, np.ndarray]) -> BoolArray:
    """Which people of a `blazepose.npz` pass the check of their mask."""
    limits = Limits()
    sure: BoolArray = (
        (poses["presence"] > limits.presence) & (poses["inside"] >= limits.inside) & (poses["fill"] >= limits.fill)
    )
    if "deeplab" in poses:  # which finds no small people
        sure &= (poses["deeplab"] >= MIN_DEEPLAB) | (poses["crop"][:, 2] < DEEPLAB_FROM_PX)
    return sure


def _load_masks(folder: Path) -> dict[tuple[str, int], PersonMask]:
    """Trusted masks of `blazepose.npz` by picture and row of its boxes, with the landmarks of `fits.npz`."""
    path = folder / "blazepose.npz"
    if not path.exists():
        return {}
    with np.load(path) as data:
        trusted = _trusted(data)
        names, rows, crops, bits = data["picture"], data["box"], data["crop"], data["masks"]
    landmarks: dict[int, np.ndarray] = {}
    if (folder / "fits.npz").exists():
        fits = load_fits(folder / "fits.npz")
        landmarks = {int(fits.row[i]): fits.landmarks[i] for i in np.flatnonzero(fits.kept)}
    return {
        (str(names[i]), int(rows[i])): PersonMask(
            (float(crops[i, 0]), float(crops[i, 1])), float(crops[i, 2]), bits[i], landmarks.get(int(i))
        )
        for i in np.flatnonzero(trusted)
    }


class Pictures:
    """Crops of boxed pictures at random scales, as samples."""

    def __init__(self, pictures: Sequence[BoxedPicture], mirrored_landmarks: np.ndarray) -> None:
        self.pictures = pictures
        self._mirrored = mirrored_landmarks
        shares = np.array([FITTED_WEIGHT if picture.fitted else 1.0 for picture in pictures])
        self._shares = shares / shares.sum()

    def sample(self, rng: Generator, size_hw: Size) -> Sample:
        """A part of a picture of `size_hw`, or of four pictures side by side (Bochkovskiy et al. 2020)."""
        if rng.random() >= QUARTERS_SHARE:
            return self._crop(rng, size_hw, SCALES)
        half = size_hw[0] // 2, size_hw[1] // 2
        return side_by_side([self._crop(rng, half, QUARTER_SCALES) for _ in range(4)])

    def _crop(self, rng: Generator, size_hw: Size, scales: tuple[float, float]) -> Sample:
        picture = self.pictures[int(rng.choice(len(self.pictures), p=self._shares))]
        image = picture.read()
        height, width = image.shape[:2]
        usual = min(SHORTER_SIDE / min(height, width), LONGER_SIDE / max(height, width))
        scale = usual * float(np.exp(rng.uniform(*np.log(scales))))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        y, x = (_start(rng, have, want) for have, want in zip((size[1], size[0]), size_hw, strict=True))
        to_sample = np.array([[size[0] / width, 0, -x], [0, size[1] / height, -y]], np.float64)
        return cut(image.astype(np.uint8), (x, y), size_hw, picture, to_sample, rng.random() < 0.5, self._mirrored)


def _start(rng: Generator, have: int, want: int) -> int:
    """Where a crop of `want` begins in `have` pixels; below 0 where it is larger."""
    return int(rng.integers(min(0, have - want), max(0, have - want) + 1))


def cut(
    image: UInt8Array,
    start_xy: tuple[int, int],
    size_hw: Size,
    picture: BoxedPicture,
    to_sample: np.ndarray,
    flip: bool,
    mirrored_landmarks: np.ndarray,
) -> Sample:
    """A part of a scaled picture with its people.

    Args:
        image: [h, w, 3] uint8 RGB, the scaled picture.
        start_xy: Where the part begins; may lie outside.
        size_hw: Of the part.
        picture: What is known of the picture.
        to_sample: [2, 3], from the picture's pixels to the part's.
        flip: Mirror the part.
        mirrored_landmarks: [L] int16.
    """
    sample = Sample.of(np.full((*size_hw, 3), GREY, np.uint8))
    x, y = start_xy
    inside = (
        slice(max(0, y), min(image.shape[0], y + size_hw[0])),
        slice(max(0, x), min(image.shape[1], x + size_hw[1])),
    )
    part = image[inside]
    sample.image[inside[0].start - y :, inside[1].start - x :][: part.shape[0], : part.shape[1]] = part
    for box in _moved(picture.open_boxes, to_sample):
        left, top, right, bottom = np.rint(_clipped(box, size_hw)).astype(int)
        sample.ignore[top:bottom, left:right] = True
    boxes = _moved(picture.boxes, to_sample)
    for number, row in enumerate(np.argsort(boxes[:, 3], kind="stable")[:250].tolist(), 1):
        _add_person(sample, number, boxes[row], float(picture.weights[row]), picture.masks[row], to_sample)
    return mirror(sample, mirrored_landmarks) if flip else sample


def _add_person(
    sample: Sample, number: int, box: FloatArray, weight: float, mask: PersonMask | None, to_sample: np.ndarray
) -> None:
    height, width = sample.instances.shape
    clipped = _clipped(box, (height, width))
    left, top, right, bottom = clipped
    if right - left < 1 or bottom - top < 1:
        return
    shown = float((clipped[2:] - clipped[:2]).prod() / max(1e-6, (box[2:] - box[:2]).prod()))
    rows, columns = slice(int(top), int(np.ceil(bottom))), slice(int(left), int(np.ceil(right)))
    if shown < VISIBLE_SHARE:
        sample.ignore[rows, columns] = True
        return
    if mask is not None:
        _draw_mask(sample, number, clipped, mask, to_sample)
    sample.people.append(Boxed(number, (left, top, right, bottom), weight, mask is not None))


def _draw_mask(sample: Sample, number: int, box: FloatArray, mask: PersonMask, to_sample: np.ndarray) -> None:
    """Write a person's pixels and landmarks into the sample, a little over the box."""
    margin = 0.08 * float((box[2:] - box[:2]).max()) + 2
    height, width = sample.instances.shape
    left, top = (max(0, int(v)) for v in box[:2] - margin)
    right, bottom = (min(limit, int(np.ceil(v))) for v, limit in zip(box[2:] + margin, (width, height), strict=True))
    place = slice(top, bottom), slice(left, right)
    size = right - left, bottom - top
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], np.float64)

    def warp(side: int) -> np.ndarray:
        """From the centres of the crop's pixels to those of the place."""
        square = np.vstack([mask.to_picture(side), [0, 0, 1]])
        whole: np.ndarray = shift @ np.vstack([to_sample, [0, 0, 1]]) @ square
        whole[:2, 2] += 0.5 * (whole[:2, 0] + whole[:2, 1]) - 0.5
        return whole[:2]

    values = cv2.warpAffine(mask.mask().astype(np.uint8) * 255, warp(CROP), size, flags=cv2.INTER_LINEAR)
    own = values > 127
    sample.instances[place][own] = number
    sample.landmarks[place][own] = NO_LANDMARK
    if mask.landmarks is not None:
        side = mask.landmarks.shape[0]
        found = cv2.warpAffine(mask.landmarks + 1, warp(side), size, flags=cv2.INTER_NEAREST).astype(np.int16) - 1
        sample.landmarks[place][own] = found[own]


def _moved(boxes: FloatArray, to_sample: np.ndarray) -> FloatArray:
    """Boxes [K, 4] of the picture in the sample's pixels."""
    scale, shift = np.diag(to_sample[:, :2]), to_sample[:, 2]
    moved: FloatArray = (boxes.reshape(-1, 2, 2) * scale + shift).reshape(-1, 4).astype(np.float32)
    return moved


def _clipped(box: FloatArray, size_hw: Size) -> FloatArray:
    limit = np.array([size_hw[1], size_hw[0]] * 2, np.float32)
    inside: FloatArray = np.clip(box, 0, limit)
    return inside


def mirror(sample: Sample, mirrored_landmarks: np.ndarray) -> Sample:
    """The picture in a mirror: a left arm is a right arm."""
    width = sample.instances.shape[1]
    landmarks = sample.landmarks[:, ::-1]
    landmarks = np.where(landmarks >= 0, mirrored_landmarks[np.maximum(landmarks, 0)], NO_LANDMARK)
    return Sample(
        np.ascontiguousarray(sample.image[:, ::-1]),
        np.ascontiguousarray(sample.instances[:, ::-1]),
        np.ascontiguousarray(sample.ignore[:, ::-1]),
        np.ascontiguousarray(landmarks.astype(np.int16)),
        np.ascontiguousarray(sample.parts[:, ::-1]),
        [
            Boxed(p.number, (width - p.box_xyxy[2], p.box_xyxy[1], width - p.box_xyxy[0], p.box_xyxy[3]), *_rest(p))
            for p in sample.people
        ],
    )


def _rest(person: Boxed) -> tuple[float, bool]:
    return person.weight, person.masked


def side_by_side(quarters: Sequence[Sample]) -> Sample:
    """Four samples of one size as one."""
    height, width = quarters[0].instances.shape
    whole = Sample.of(np.empty((2 * height, 2 * width, 3), np.uint8))
    number = 0
    for k, quarter in enumerate(quarters):
        y, x = k // 2 * height, k % 2 * width
        place = slice(y, y + height), slice(x, x + width)
        whole.image[place], whole.ignore[place] = quarter.image, quarter.ignore
        whole.landmarks[place], whole.parts[place] = quarter.landmarks, quarter.parts
        for person in quarter.people:
            if number == 254:
                break
            number += 1
            left, top, right, bottom = person.box_xyxy
            whole.instances[place][quarter.instances == person.number] = number
            whole.people.append(Boxed(number, (left + x, top + y, right + x, bottom + y), *_rest(person)))
    return whole


def cut_outs(pictures: Sequence[BoxedPicture], limit: int) -> list[Cutout]:
    """The first people of some pictures with a trusted mask and boxes of at least `MIN_CUTOUT_HW`, cut out."""
    found: list[Cutout] = []
    for picture in pictures:
        tall = [
            mask
            for box, mask in zip(picture.boxes, picture.masks, strict=True)
            if mask is not None and ((box[2:] - box[:2])[::-1] >= MIN_CUTOUT_HW).all()
        ]
        if not tall:
            continue
        image = picture.read()
        found += [cut_out_person(image, mask) for mask in tall]
        if len(found) >= limit:
            break
    return found


def cut_out_person(image: UInt8Array, mask: PersonMask) -> Cutout:
    """A person by the mask, at the picture's own resolution, the outline softened."""
    side = max(8, round(mask.side))
    to_crop = cv2.invertAffineTransform(mask.to_picture(side))
    to_crop[:, 2] += 0.5 * (to_crop[:, 0] + to_crop[:, 1]) - 0.5
    crop = cv2.warpAffine(image, to_crop, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.resize(mask.mask().astype(np.uint8) * 255, (side, side), interpolation=cv2.INTER_LINEAR)
    rows, columns = np.flatnonzero((soft > 127).any(1)), np.flatnonzero((soft > 127).any(0))
    box = slice(max(0, rows[0] - 1), rows[-1] + 2), slice(max(0, columns[0] - 1), columns[-1] + 2)
    landmarks = None
    if mask.landmarks is not None:
        whole = cv2.resize(mask.landmarks, (side, side), interpolation=cv2.INTER_NEAREST)
        landmarks = np.ascontiguousarray(whole[box])
    no_parts = None if landmarks is not None else np.zeros(soft[box].shape, np.uint8)
    return Cutout(
        np.ascontiguousarray(crop[box], np.uint8),
        np.ascontiguousarray(cv2.erode(soft[box], np.ones((2, 2), np.uint8)), np.uint8),
        landmarks,
        no_parts,
    )
