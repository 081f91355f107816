"""Masks and landmarks of boxed people by BlazePose (Bazarevsky et al. 2020), which is used for labelling only.

Given one person's crop it tells that person from others who overlap them, and left from right. Needs ai-edge-litert
and the teacher's file; the trainer itself reads only the `blazepose.npz` that is written here.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from anonymize.errors import BackendError
from anonymize.train.pictures import MASK_SIDE, PersonMask, load_pictures
from anonymize.types import FloatArray, UInt8Array

CROP_FACTOR = 1.25
"""Side of the crop over the longer side of the box."""
POINTS, BODY_POINTS = 39, 33
"""Points that the model gives, and those that are of the body."""
MIN_SIDE_PX = 40


class Pose(NamedTuple):
    """What BlazePose says of one person.

    Attributes:
        landmarks: [33, 5] float32: x, y in pixels of the picture, z on the same scale, visibility and presence in [0, 1].
        world: [33, 3] float32, metres, the middle of the hips at the origin.
        presence: How sure it is that the crop shows a person, in [0, 1].
        mask: [256, 256] bool over the crop.
    """

    landmarks: FloatArray
    world: FloatArray
    presence: float
    mask: np.ndarray


class PoseTeacher:
    """BlazePose on crops.

    Args:
        folder: Holds `pose_landmark_heavy.tflite`.
        threads: Of the interpreter.

    Raises:
        BackendError: ai-edge-litert is not installed.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise BackendError("labelling needs: pip install 'anonymize[label]'") from error
        self._model = Interpreter(str(folder / "pose_landmark_heavy.tflite"), num_threads=threads)
        self._model.allocate_tensors()
        self._input = self._model.get_input_details()[0]["index"]
        sizes = {int(np.prod(d["shape"])): d["index"] for d in self._model.get_output_details()}
        self._outputs = [sizes[n] for n in (5 * POINTS, 3 * POINTS, 1, MASK_SIDE**2)]

    def pose(self, image: UInt8Array, crop: PersonMask) -> Pose:
        """Landmarks and mask of the person in a crop of [H, W, 3] uint8 RGB."""
        to_picture = crop.to_picture()
        inverse = cv2.invertAffineTransform(to_picture)
        inverse[:, 2] += 0.5 * (inverse[:, 0] + inverse[:, 1]) - 0.5
        square = cv2.warpAffine(image, inverse, (MASK_SIDE, MASK_SIDE), flags=cv2.INTER_LINEAR)
        self._model.set_tensor(self._input, square[None].astype(np.float32) / 255)
        self._model.invoke()
        points, world, presence, mask = (self._model.get_tensor(index).reshape(-1) for index in self._outputs)
        landmarks = points.reshape(POINTS, 5)[:BODY_POINTS].astype(np.float32)
        scale = crop.side / MASK_SIDE
        landmarks[:, :3] *= scale
        landmarks[:, :2] += to_picture[:, 2].astype(np.float32)
        landmarks[:, 3:] = 1 / (1 + np.exp(-landmarks[:, 3:]))
        return Pose(
            landmarks,
            world.reshape(POINTS, 3)[:BODY_POINTS].astype(np.float32),
            float(presence[0]),
            mask.reshape(MASK_SIDE, MASK_SIDE) > 0,
        )


def crop_of(box: FloatArray) -> PersonMask:
    """The square crop round a box [4]; nothing is known of its pixels."""
    center = (box[:2] + box[2:]) / 2
    side = CROP_FACTOR * float((box[2:] - box[:2]).max())
    return PersonMask((float(center[0]), float(center[1])), side, np.zeros(0, np.uint8))


def agreement(mask: np.ndarray, box: FloatArray, crop: PersonMask) -> tuple[float, float]:
    """Share of a mask [256, 256] that lies inside the box, and share of the box that the mask's extent spans."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return 0.0, 0.0
    scale = MASK_SIDE / crop.side
    low = (box[:2] - crop.center_xy) * scale + MASK_SIDE / 2
    high = (box[2:] - crop.center_xy) * scale + MASK_SIDE / 2
    left, top = np.maximum(0, np.rint(low)).astype(int)
    right, bottom = np.minimum(MASK_SIDE, np.rint(high)).astype(int)
    inside = float(mask[top:bottom, left:right].sum() / mask.sum())
    extent = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    common = np.clip(np.minimum(extent[2:], (right, bottom)) - np.maximum(extent[:2], (left, top)), 0, None).prod()
    return inside, float(common / max(1, (right - left) * (bottom - top)))


def label_people(folder: Path, teachers: Path, *, limit: int | None = None) -> int:
    """Write `blazepose.npz` for the boxed people of a folder (see `load_pictures`), all of at least `MIN_SIDE_PX`.

    Args:
        folder: Holds `pictures/` and boxes.
        teachers: Folder of the teacher's file.
        limit: At most so many people.

    Returns:
        How many people were labelled.
    """
    model = PoseTeacher(teachers)
    rows: dict[str, list[object]] = {
        n: []
        for n in ("picture", "box", "crop", "landmarks", "world", "presence", "masks", "inside", "fill")
    }
    pictures = load_pictures(folder)
    for picture in tqdm(pictures, desc="poses", unit="picture", disable=None):
        large = [i for i, box in enumerate(picture.boxes) if (box[2:] - box[:2]).max() >= MIN_SIDE_PX]
        if not large:
            continue
        image = picture.read()
        for row in large:
            box = picture.boxes[row]
            crop = crop_of(box)
            pose = model.pose(image, crop)
            inside, fill = agreement(pose.mask, box, crop)
            values = (
                picture.path.name, row, (*crop.center_xy, crop.side), pose.landmarks, pose.world, pose.presence,
                np.packbits(pose.mask.reshape(-1)), inside, fill,
            )  # fmt: skip
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
        if limit is not None and len(rows["box"]) >= limit:
            break
    np.savez_compressed(folder / "blazepose.npz", **{name: np.array(column) for name, column in rows.items()})
    return len(rows["box"])
