"""BlazePose (Bazarevsky et al. 2020), a teacher: landmarks in the picture and in space, and the mask, of one person."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from anonymize.core.errors import BackendError
from anonymize.core.types import BoolArray, FloatArray, UInt8Array

CROP = 256  # pixels of the crop's sides
LANDMARKS = 33
PAIRS = ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((k, k + 1) for k in range(11, LANDMARKS, 2)))  # (left, right)
OUTPUTS = {"landmarks": 195, "world": 117, "presence": 1}  # last dimension of each; the mask has four


def swapped() -> np.ndarray:
    """[33] int64, of each landmark the one on the other side."""
    index = np.arange(LANDMARKS)
    for left, right in PAIRS:
        index[left], index[right] = right, left
    return index


@dataclass(frozen=True, eq=False)
class Answer:
    """What BlazePose says of a crop.

    Attributes:
        landmarks: [33, 5] float32: column, row and z in crop pixels, visibility and presence in [0, 1].
        world: [33, 3] float32, metres from the middle of the hips, x right, y down, z away from the camera.
        presence: Whether there is a person, in [0, 1].
        mask: [256, 256] bool, that person's pixels.
    """

    landmarks: FloatArray
    world: FloatArray
    presence: float
    mask: BoolArray

    def mirrored(self) -> Answer:
        """What this says of the mirrored crop."""
        index = swapped()
        landmarks, world = self.landmarks[index], self.world[index] * np.array([-1, 1, 1], np.float32)
        landmarks[:, 0] = CROP - landmarks[:, 0]
        return replace(self, landmarks=landmarks, world=world, mask=self.mask[:, ::-1])


def cut(image: UInt8Array, crop: np.ndarray) -> UInt8Array:
    """The crop [256, 256, 3] of an image [H, W, 3]; `crop` is column and row of its centre and its side, pixels."""
    scale = CROP / float(crop[2])
    matrix = np.array([[scale, 0, CROP / 2 - crop[0] * scale], [0, scale, CROP / 2 - crop[1] * scale]])
    pixels: UInt8Array = cv2.warpAffine(image, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR).astype(np.uint8)
    return pixels


class BlazePose:
    """`pose_landmark_*.tflite` behind one call.

    Args:
        model: The file.
        threads: Of the processor.

    Raises:
        BackendError: ai-edge-litert is not installed.
    """

    def __init__(self, model: Path, *, threads: int = 1) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise BackendError("labelling needs: pip install 'anonymize[label]'") from error
        self._model = Interpreter(str(model), num_threads=threads)
        self._model.allocate_tensors()
        self._input = self._model.get_input_details()[0]["index"]
        details = self._model.get_output_details()
        flat = {int(d["shape"][-1]): d["index"] for d in details if len(d["shape"]) == 2}
        self._outputs = {name: flat[size] for name, size in OUTPUTS.items()}
        self._mask = next(d["index"] for d in details if tuple(d["shape"]) == (1, CROP, CROP, 1))

    def __call__(self, crop: UInt8Array) -> Answer:
        """Look at a crop [256, 256, 3] uint8 RGB."""
        self._model.set_tensor(self._input, crop[None].astype(np.float32) / 255)
        self._model.invoke()
        values = {name: self._model.get_tensor(index).astype(np.float32) for name, index in self._outputs.items()}
        landmarks = values["landmarks"].reshape(-1, 5)[:LANDMARKS]
        landmarks[:, 3:] = 1 / (1 + np.exp(-landmarks[:, 3:]))
        return Answer(
            landmarks=landmarks,
            world=values["world"].reshape(-1, 3)[:LANDMARKS],
            presence=float(values["presence"].ravel()[0]),
            mask=self._model.get_tensor(self._mask)[0, :, :, 0] > 0,
        )
