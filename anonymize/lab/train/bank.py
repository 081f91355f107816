"""What composites are made of: people cut out with their truth, and backgrounds without people."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anonymize.core.errors import OptionError
from anonymize.core.types import BoolArray, UInt8Array
from anonymize.lab.train.teachers import IGNORE, UNKNOWN_PART

NO_LANDMARK = -1
# BodyPix parts, 1 to 24, as they are named when the picture is mirrored
MIRRORED_PARTS = np.arange(256, dtype=np.uint8)
for left, right in (
    (1, 2),
    (3, 5),
    (4, 6),
    (7, 9),
    (8, 10),
    (11, 12),
    (15, 17),
    (16, 18),
    (19, 21),
    (20, 22),
    (23, 24),
):
    MIRRORED_PARTS[left], MIRRORED_PARTS[right] = right, left


@dataclass(frozen=True, eq=False)
class Cutout:
    """One person without their surroundings.

    Attributes:
        image: [h, w, 3] uint8 RGB.
        alpha: [h, w] uint8, 255 where the person is.
        landmarks: [h, w] int16, nearest landmark of the body surface, -1 unknown; None for real people.
        parts: [h, w] uint8, BodyPix part 1 to 24, 0 unknown; None where there are landmarks.
    """

    image: UInt8Array
    alpha: UInt8Array
    landmarks: np.ndarray | None = None
    parts: UInt8Array | None = None


@dataclass(frozen=True, eq=False)
class Photo:
    """A whole photo with one main person.

    Attributes:
        image: [h, w, 3] uint8 RGB.
        labels: [h, w] uint8: 0 background, 1 to 24 part, 25 person of unknown part, 255 not to be learnt from.
        trusted: Whether the outline is truth (True) or a teacher's opinion.
    """

    image: UInt8Array
    labels: UInt8Array
    trusted: bool

    @property
    def person(self) -> BoolArray:
        return (self.labels > 0) & (self.labels < IGNORE)


def held_out(name: str) -> bool:
    """Whether a photo is kept out of training to measure on: about one in ten, by a hash of the name."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 == 0


def load_photos(folder: Path, *, held_out_only: bool = False) -> list[Photo]:
    """The photos of Clothing Co-Parsing with their label PNGs.

    Args:
        folder: Holds `photos/*.webp`, `labels/*.png` (the data set's own) and `teacher/*.png`
            (written by `anonymize train label`).
        held_out_only: The labelled photos kept out of training, instead of all others.

    Raises:
        OptionError: There are no photos.
    """
    photos = []
    for path in sorted((folder / "teacher").glob("*.png")):
        trusted = (folder / "labels" / path.name).exists()
        if (held_out(path.stem) and trusted) != held_out_only:
            continue
        image = cv2.imread(str(folder / "photos" / f"{path.stem}.webp"))
        labels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None or labels is None:
            continue
        photo = Photo(cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8), labels.astype(np.uint8), trusted)
        if photo.person.mean() > 0.03:
            photos.append(photo)
    if not photos:
        raise OptionError(f"{folder}: no photos with labels; write the labels by `anonymize train label`")
    return photos


def cut_out(photo: Photo) -> Cutout:
    """The main person of a photo, the outline softened by a pixel."""
    person = photo.person.astype(np.uint8)
    rows, columns = np.flatnonzero(person.any(axis=1)), np.flatnonzero(person.any(axis=0))
    box = slice(max(0, rows[0] - 2), rows[-1] + 3), slice(max(0, columns[0] - 2), columns[-1] + 3)
    alpha = cv2.GaussianBlur(cv2.erode(person[box], np.ones((2, 2), np.uint8)) * 255, (3, 3), 0)
    labels = photo.labels[box]
    parts = np.where(labels < UNKNOWN_PART, labels, 0).astype(np.uint8)
    return Cutout(photo.image[box], alpha.astype(np.uint8), parts=parts)


def paint_over(photo: Photo) -> UInt8Array:
    """The photo's street without its people: the hole is filled at low resolution, then given back some grain."""
    hole = cv2.dilate((photo.labels > 0).astype(np.uint8), np.ones((13, 13), np.uint8))
    height, width = hole.shape
    small = cv2.resize(photo.image, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    small_hole = cv2.resize(hole, (width // 4, height // 4), interpolation=cv2.INTER_NEAREST)
    filled = cv2.resize(cv2.inpaint(small, small_hole, 4, cv2.INPAINT_TELEA), (width, height))
    detail = photo.image.astype(np.int16) - cv2.GaussianBlur(photo.image, (0, 0), 5)
    grain = np.roll(detail, width // 2, axis=1) * (np.roll(hole, width // 2, axis=1) == 0)[..., None]
    filled = np.clip(filled + grain, 0, 255)
    return np.where(hole[..., None] > 0, filled, photo.image).astype(np.uint8)


def load_backgrounds(folder: Path) -> list[UInt8Array]:
    """All pictures of a folder (recursively), as [h, w, 3] uint8 RGB, at most 720 px high; none shows people."""
    pictures = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in {".jpg", ".jpeg", ".png", ".webp"}:
            continue
        image = cv2.imread(str(path))
        if image is None:
            continue
        if image.shape[0] > 720:
            scale = 720 / image.shape[0]
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pictures.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8))
    return pictures
