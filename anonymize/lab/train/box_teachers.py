"""Boxes of people by public detectors that are used for labelling only: person-detection-0303 and YOLOX-nano, fused.

The first finds small people, the second finds people in rare poses; a box that both agree on is rarely wrong. Needs
openvino and onnxruntime, and the teachers' files; the trainer itself reads only what `anonymize train label` wrote.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from anonymize.core.boxes import box_iou
from anonymize.core.errors import BackendError, WeightsError
from anonymize.core.files import whole_file
from anonymize.core.types import FloatArray, UInt8Array

YOLOX_SIDE = 416
YOLOX_STRIDES = (8, 16, 32)
GREY = 114
LOWEST_SCORE = 0.1
SAME_BOX_IOU = 0.55


class ScoredBoxes(NamedTuple):
    """Boxes of one picture.

    Attributes:
        xyxy: [N, 4] float32, pixels of the picture.
        scores: [N] float32 in [0, 1].
    """

    xyxy: FloatArray
    scores: FloatArray


class BoxTeachers:
    """Both detectors behind one call.

    Args:
        folder: Holds `person-detection-0303-fp16-int8.xml` with its `.bin`, and `yolox_nano.onnx`.
        threads: Of each detector.

    Raises:
        BackendError: openvino or onnxruntime is not installed.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        try:
            import openvino
        except ImportError as error:
            raise BackendError("labelling needs: pip install 'anonymize[label]'") from error
        core = openvino.Core()
        network = core.read_model(folder / "person-detection-0303-fp16-int8.xml")
        self._intel = core.compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": threads})
        self.yolox = Yolox(folder / "yolox_nano.onnx", threads=threads)

    def boxes(self, image: UInt8Array) -> ScoredBoxes:
        """People of [H, W, 3] uint8 RGB; the score is the mean of both detectors', 0 for one that found nothing."""
        return fuse([self.intel(image), self.yolox(image)])

    def intel(self, image: UInt8Array) -> ScoredBoxes:
        """What person-detection-0303 finds."""
        canvas, scale = letterbox(image, (720, 1280), 0)
        result = self._intel(canvas[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32))
        boxes = np.asarray(result["boxes"], np.float32)
        people = boxes[(np.asarray(result["labels"]) == 0) & (boxes[:, 4] >= LOWEST_SCORE)]
        return ScoredBoxes(people[:, :4] / scale, people[:, 4])


class Yolox:
    """YOLOX-nano (Ge et al. 2021) behind one call: finds people.

    Args:
        model: The ONNX file.
        threads: Of the processor.

    Raises:
        BackendError: onnxruntime is not installed.
        WeightsError: The file is no such network.
    """

    def __init__(self, model: Path, *, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError("YOLOX needs: pip install 'anonymize[label]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise WeightsError(f"cannot read {model} as ONNX") from error
        shapes = [tuple(node.shape[1:]) for node in (*self._session.get_inputs(), *self._session.get_outputs())]
        cells = sum((YOLOX_SIDE // stride) ** 2 for stride in YOLOX_STRIDES)
        if shapes != [(3, YOLOX_SIDE, YOLOX_SIDE), (cells, 85)]:
            raise WeightsError(f"{model} is no YOLOX-nano of COCO: its input and output have shapes {shapes}")
        self._input = self._session.get_inputs()[0].name

    def __call__(self, image: UInt8Array) -> ScoredBoxes:
        """The people of [H, W, 3] uint8 RGB. The network's outputs are offsets to the cells of three grids."""
        canvas, scale = letterbox(image, (YOLOX_SIDE, YOLOX_SIDE), GREY)
        (raw,) = self._session.run(None, {self._input: canvas[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)})
        values = np.asarray(raw[0], np.float32)
        cells, strides = [], []
        for stride in YOLOX_STRIDES:
            side = YOLOX_SIDE // stride
            y, x = np.mgrid[:side, :side]
            cells.append(np.stack([x, y], -1).reshape(-1, 2))
            strides.append(np.full((side * side, 1), stride))
        grid, stride_of = np.concatenate(cells), np.concatenate(strides)
        center = (values[:, :2] + grid) * stride_of
        size = np.exp(values[:, 2:4]) * stride_of
        scores = values[:, 4] * values[:, 5]
        boxes = np.concatenate([center - size / 2, center + size / 2], 1) / scale
        likely = scores >= LOWEST_SCORE
        return suppress(ScoredBoxes(boxes[likely].astype(np.float32), scores[likely]), 0.65)


def letterbox(image: UInt8Array, size_hw: tuple[int, int], fill: int) -> tuple[UInt8Array, float]:
    """The picture scaled into the upper left of a canvas of this size and grey value, and the scale."""
    height, width = image.shape[:2]
    scale = min(size_hw[0] / height, size_hw[1] / width)
    small = cv2.resize(image, (round(width * scale), round(height * scale)))
    canvas = np.full((*size_hw, 3), fill, np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas, scale


def suppress(found: ScoredBoxes, iou: float) -> ScoredBoxes:
    """Without boxes that overlap one of a higher score by more than `iou`."""
    order = np.argsort(-found.scores)
    overlap = box_iou(found.xyxy, found.xyxy)
    kept: list[int] = []
    for row in order.tolist():
        if not kept or overlap[row, kept].max() <= iou:
            kept.append(row)
    return ScoredBoxes(found.xyxy[kept].reshape(-1, 4), found.scores[kept])


def fuse(found: list[ScoredBoxes]) -> ScoredBoxes:
    """One box a person from several detectors (weighted boxes fusion, Solovyev et al. 2021).

    Boxes of different detectors that overlap by `SAME_BOX_IOU` are averaged by score; the score is the mean over all
    detectors, so that a box of one alone has a part of its score.
    """
    boxes = np.concatenate([f.xyxy for f in found])
    scores = np.concatenate([f.scores for f in found])
    source = np.concatenate([np.full(len(f.scores), i) for i, f in enumerate(found)])
    overlap = box_iou(boxes, boxes)
    free = np.ones(len(scores), np.bool_)
    fused, fused_scores = [], []
    for row in np.argsort(-scores).tolist():
        if not free[row]:
            continue
        group = [row]
        for other in set(source.tolist()) - {int(source[row])}:
            rivals = np.flatnonzero(free & (source == other))
            if rivals.size and overlap[row, rivals].max() >= SAME_BOX_IOU:
                group.append(int(rivals[overlap[row, rivals].argmax()]))
        free[group] = False
        fused.append(np.average(boxes[group], axis=0, weights=scores[group]))
        fused_scores.append(scores[group].sum() / len(found))
    return ScoredBoxes(np.array(fused, np.float32).reshape(-1, 4), np.array(fused_scores, np.float32))


def label_boxes(pictures: Path, teachers: Path, output: Path) -> int:
    """Write what the teachers find in a folder's pictures, those that `output` does not have yet.

    Args:
        pictures: Folder of pictures.
        teachers: Folder of the teachers' files.
        output: JSON of {file name: {"size_wh": [W, H], "boxes_xyxy": [N, 4], "scores": [N]}}.

    Returns:
        How many pictures were labelled.
    """
    known: dict[str, dict[str, object]] = json.loads(output.read_text()) if output.exists() else {}
    todo = [path for path in picture_files(pictures) if path.name not in known]
    models = BoxTeachers(teachers)
    for count, path in enumerate(tqdm(todo, desc="boxes", unit="picture", disable=None), 1):
        image = cv2.imread(str(path))
        if image is None:
            continue
        found = models.boxes(np.asarray(image[..., ::-1], np.uint8))
        known[path.name] = {
            "size_wh": [image.shape[1], image.shape[0]],
            "boxes_xyxy": np.round(found.xyxy, 1).tolist(),
            "scores": np.round(found.scores, 3).tolist(),
        }
        if count % 200 == 0 or count == len(todo):
            with whole_file(output, overwrite=True) as partial:
                partial.write_text(json.dumps(known))
    return len(todo)


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder, by name."""
    return [p for p in sorted(folder.iterdir()) if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}]
