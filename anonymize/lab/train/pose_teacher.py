"""Masks and landmarks of boxed people by BlazePose, as `blazepose.npz` beside their boxes.

Given one person's crop it tells that person from others who overlap them, and left from right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from anonymize.core.types import FloatArray
from anonymize.lab.train.blazepose import CROP, BlazePose, cut
from anonymize.lab.train.pictures import load_pictures
from anonymize.lab.train.teachers import Teachers

CROP_FACTOR = 1.25
"""Side of the crop over the longer side of the box."""
MIN_SIDE_PX = 40


def crop_of(box: FloatArray) -> FloatArray:
    """The square crop round a box [4]: [3] float32, column and row of its centre and its side."""
    center, side = (box[:2] + box[2:]) / 2, CROP_FACTOR * (box[2:] - box[:2]).max()
    return np.array([*center, side], np.float32)


def agreement(mask: np.ndarray, box: FloatArray, crop: FloatArray) -> tuple[float, float]:
    """Share of a mask [256, 256] that lies inside the box, and share of the box that the mask's extent spans."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return 0.0, 0.0
    low, high = ((corner - crop[:2]) * CROP / crop[2] + CROP / 2 for corner in (box[:2], box[2:]))
    left, top = np.maximum(0, np.rint(low)).astype(int)
    right, bottom = np.minimum(CROP, np.rint(high)).astype(int)
    inside = float(mask[top:bottom, left:right].sum() / mask.sum())
    extent = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    common = np.clip(np.minimum(extent[2:], (right, bottom)) - np.maximum(extent[:2], (left, top)), 0, None).prod()
    return inside, float(common / max(1, (right - left) * (bottom - top)))


def label_people(folder: Path, teachers: Path, *, limit: int | None = None) -> int:
    """Write `blazepose.npz` for the boxed people of a folder (see `load_pictures`), all of at least `MIN_SIDE_PX`.

    Args:
        folder: Holds `pictures/` and boxes.
        teachers: Folder of the teachers' files; DeepLab says what share of each mask shows people.
        limit: At most about so many people.

    Returns:
        How many people were labelled.
    """
    model, second = BlazePose(teachers / "pose_landmark_heavy.tflite"), Teachers(teachers)
    names = ("picture", "box", "crop", "landmarks", "world", "presence", "masks", "inside", "fill", "deeplab")
    columns: dict[str, list[object]] = {name: [] for name in names}
    everything = load_pictures(folder) + load_pictures(folder, held_out_only=True)
    for picture in tqdm(everything, desc="poses", unit="picture", disable=None):
        if limit is not None and len(columns["box"]) >= limit:
            break
        large = [row for row, box in enumerate(picture.boxes) if (box[2:] - box[:2]).max() >= MIN_SIDE_PX]
        if not large:
            continue
        image = picture.read()
        somewhere = second.person(image)
        for row in large:
            box = picture.boxes[row]
            crop = crop_of(box)
            answer = model(cut(image, crop))
            landmarks = answer.landmarks
            landmarks[:, :3] *= crop[2] / CROP
            landmarks[:, :2] += crop[:2] - crop[2] / 2
            inside, fill = agreement(answer.mask, box, crop)
            mask = np.packbits(answer.mask.reshape(-1))
            agreed = (
                float(cut(np.dstack([somewhere] * 3), crop)[..., 0][answer.mask].mean()) if answer.mask.any() else 0.0
            )
            values = (
                picture.path.name, row, crop, landmarks, answer.world, answer.presence, mask, inside, fill, agreed
            )  # fmt: skip
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
    arrays: dict[str, Any] = {name: np.array(column) for name, column in columns.items()}
    np.savez_compressed(folder / "blazepose.npz", **arrays)
    return len(columns["box"])
