"""What tells people in pictures apart: networks for re-identification, and the tracker's own appearance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from anonymize.core.errors import BackendError, WeightsError
from anonymize.core.types import Detections, FloatArray, RegionMask, UInt8Array
from anonymize.detect.predictor import Detector
from anonymize.lab.evaluate.osnet import load_osnet
from anonymize.pipeline import part_table
from anonymize.track import TrackerConfig
from anonymize.track.config import FEATURES, SLOTS
from anonymize.track.geometry import mask_grids
from anonymize.track.model.appearance import Appearance, describe

SIZE_HW = (256, 128)
"""Of the pictures that networks see which leave it open."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
QUERIES_AT_ONCE = 16  # of the tracker's appearance, whose distances take much memory


class Reidentifier(Protocol):
    """Describes pictures of one person each and compares descriptions."""

    name: str

    def describe(self, pictures: Sequence[UInt8Array]) -> FloatArray:
        """Descriptions [N, D] float32 of pictures [H, W, 3] uint8 RGB; sizes may differ."""
        ...

    def distances(self, queries: FloatArray, gallery: FloatArray) -> FloatArray:
        """[N, M] float32, how different descriptions [N, D] and [M, D] are; NaN where nothing can be said."""
        ...


class EmbeddingNetwork:
    """A network that turns a picture into a vector; the distance is one minus the cosine.

    Args:
        name: What it is called.
        run: Vectors [N, D] of pictures [N, 3, h, w] float32.
        size_hw: Height and width that pictures are brought to.
        imagenet: Pictures are RGB normalised as for ImageNet; else BGR in [0, 255].
        batch: Pictures at once.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[FloatArray], FloatArray],
        size_hw: tuple[int, int] = SIZE_HW,
        *,
        imagenet: bool,
        batch: int = 16,
    ) -> None:
        self.name = name
        self._run, self._size_hw, self._imagenet, self._batch = run, size_hw, imagenet, batch

    def describe(self, pictures: Sequence[UInt8Array]) -> FloatArray:
        """See `Reidentifier`; vectors of length 1."""
        parts = [
            self._run(np.stack([self._prepare(picture) for picture in pictures[start : start + self._batch]]))
            for start in range(0, len(pictures), self._batch)
        ]
        vectors = np.concatenate(parts).reshape(len(pictures), -1).astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: FloatArray = vectors / np.maximum(lengths, 1e-12)
        return unit

    def distances(self, queries: FloatArray, gallery: FloatArray) -> FloatArray:
        """See `Reidentifier`."""
        distances: FloatArray = 1 - queries @ gallery.T
        return distances

    def _prepare(self, picture: UInt8Array) -> FloatArray:
        shrinks = picture.shape[0] > self._size_hw[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = np.asarray(cv2.resize(picture, self._size_hw[::-1], interpolation=method), np.float32)
        prepared = (resized / 255 - IMAGENET_MEAN) / IMAGENET_STD if self._imagenet else resized[..., ::-1]
        return np.ascontiguousarray(prepared.transpose(2, 0, 1), np.float32)


class TrackerAppearance:
    """The appearance that the tracker compares people by: colour and texture of the parts of the body.

    It needs no other file than the detector's. Where the detector finds no person, the whole picture is looked at.
    """

    name = "the tracker's appearance"

    def __init__(self, detector: Detector) -> None:
        self._detector, self._parts = detector, part_table(detector)

    def describe(self, pictures: Sequence[UInt8Array]) -> FloatArray:
        """See `Reidentifier`; values and weights of `Appearance`, flat."""
        looks = []
        for picture, found in zip(pictures, self._detector.detect(pictures), strict=True):
            areas = [mask.area for mask in found.masks]
            person = found[[int(np.argmax(areas))]] if any(areas) else _whole(found.size_hw)
            grids = mask_grids(person.masks, person.boxes_xyxy)
            looks.append(describe(picture, person, self._parts, grids, TrackerConfig()))
        joined = Appearance.concatenate(looks)
        return np.concatenate([joined.values.reshape(len(pictures), -1), joined.weights], 1)

    def distances(self, queries: FloatArray, gallery: FloatArray) -> FloatArray:
        """See `Reidentifier`."""
        known = _looks(gallery)
        starts = range(0, len(queries), QUERIES_AT_ONCE)
        return np.concatenate(
            [_looks(queries[i : i + QUERIES_AT_ONCE]).distance(known, TrackerConfig.min_shared_share) for i in starts]
        )


def _looks(rows: FloatArray) -> Appearance:
    count = SLOTS * FEATURES
    return Appearance(rows[:, :count].reshape(-1, SLOTS, FEATURES), rows[:, count:])


def _whole(size_hw: tuple[int, int]) -> Detections:
    """A person of whom nothing is known, all over the picture."""
    box = np.array([[0, 0, size_hw[1], size_hw[0]]], np.float32)
    nothing = RegionMask(0, 0, np.zeros((0, 0), np.bool_))
    return Detections(size_hw, box, np.ones(1, np.float32), (nothing,), np.zeros(1, np.bool_))


def load_reidentifier(path: Path) -> EmbeddingNetwork:
    """A network for re-identification.

    Args:
        path: `.onnx` and checkpoints of Torchreid's OSNet (`.pth`, `.tar`, `.pt`) see RGB normalised as for ImageNet;
            `.xml`, OpenVINO's format with its `.bin` beside it, sees BGR in [0, 255], as Open Model Zoo's networks do.

    Raises:
        WeightsError: The file is missing, damaged, unsafe to read or of another kind.
        BackendError: The package that runs it is not installed.
    """
    if not path.is_file():
        raise WeightsError(f"there is no file {path}")
    if path.suffix == ".xml":
        return _openvino(path)
    if path.suffix == ".onnx":
        return _onnx(path)
    if path.suffix not in (".pth", ".tar", ".pt"):
        raise WeightsError(f"{path} is none of .onnx, .xml (OpenVINO), .pth, .tar, .pt (Torchreid's OSNet)")
    network = load_osnet(path)

    def run(pictures: FloatArray) -> FloatArray:
        with torch.inference_mode():
            vectors: FloatArray = network(torch.from_numpy(pictures)).numpy()
        return vectors

    return EmbeddingNetwork(path.name, run, imagenet=True)


def _openvino(path: Path) -> EmbeddingNetwork:
    try:
        import openvino
    except ImportError as error:
        raise BackendError(f"{path} needs OpenVINO: pip install openvino") from error
    try:
        model = openvino.Core().read_model(path)
        shape = model.input(0).partial_shape
        fixed = [None if side.is_dynamic else side.get_length() for side in shape]
        size_hw, batch = _input_size(path, fixed)
        compiled = openvino.Core().compile_model(model, "CPU")
    except RuntimeError as error:
        raise WeightsError(f"{path} is no network that OpenVINO reads") from error
    return EmbeddingNetwork(path.stem, lambda x: np.asarray(compiled(x)[0]), size_hw, imagenet=False, batch=batch)


def _onnx(path: Path) -> EmbeddingNetwork:
    run, size_hw, batch = open_onnx(path)
    return EmbeddingNetwork(path.name, run, size_hw, imagenet=True, batch=batch)


def open_onnx(
    path: Path, size_hw: tuple[int, int] = SIZE_HW
) -> tuple[Callable[[FloatArray], FloatArray], tuple[int, int], int]:
    """A network that turns pictures into vectors.

    Args:
        path: `.onnx`.
        size_hw: Height and width of the pictures, where the file leaves them open.

    Returns:
        Gives vectors [N, D] of pictures [N, 3, h, w]; h and w; the largest N.

    Raises:
        WeightsError: The file is damaged or of another kind.
        BackendError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(f"{path} needs ONNX Runtime: pip install onnxruntime") from error
    try:
        session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common type of their own
        raise WeightsError(f"{path} is no network that ONNX Runtime reads") from error
    [first, *others] = session.get_inputs()
    if others:
        raise WeightsError(f"{path} has {1 + len(others)} inputs instead of a picture")
    shape = [side if isinstance(side, int) else None for side in first.shape]
    size_hw, batch = _input_size(path, shape, size_hw)
    return lambda x: session.run(None, {first.name: x})[0], size_hw, batch


def _input_size(
    path: Path, shape: Sequence[int | None], size_hw: tuple[int, int] = SIZE_HW
) -> tuple[tuple[int, int], int]:
    """Height and width of the pictures that a network sees, and how many at once."""
    if len(shape) != 4 or shape[1] not in (3, None):
        raise WeightsError(f"{path} sees {list(shape)} instead of pictures [N, 3, H, W]")
    return (shape[2] or size_hw[0], shape[3] or size_hw[1]), shape[0] or 16
