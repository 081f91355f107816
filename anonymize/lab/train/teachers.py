"""Labels for photos without truth, by public models that are used for labelling only.

Every photo of a folder in the layout of Clothing Co-Parsing gets one 8-bit PNG: 0 background, 1 to 24 BodyPix part of
the person, 25 person of unknown part, 255 do not learn from this pixel. Where the data set has its own labels these are
the truth for the main person; the teachers then only add the parts and find the passers-by, who are not labelled.
Needs onnxruntime and ai-edge-litert, and the teachers' files; the trainer itself reads only the PNGs.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from anonymize.core.errors import BackendError
from anonymize.core.types import FloatArray, UInt8Array

UNKNOWN_PART = 25
IGNORE = 255
DEEPLAB_PERSON = 15


class Teachers:
    """DeepLab v3 (persons) and BodyPix (persons and their parts) behind one call.

    Args:
        folder: Holds `deeplabv3_mnv2_pascal_quant.tflite` and `bodypix_mobilenetv1_050_stride8.onnx`.

    Raises:
        BackendError: onnxruntime or ai-edge-litert is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import onnxruntime
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise BackendError("labelling needs: pip install 'anonymize[label]'") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._bodypix = onnxruntime.InferenceSession(str(folder / "bodypix_mobilenetv1_050_stride8.onnx"), options)
        self._deeplab = Interpreter(str(folder / "deeplabv3_mnv2_pascal_quant.tflite"), num_threads=2)
        self._deeplab.allocate_tensors()

    def parts(self, image: UInt8Array) -> tuple[FloatArray, UInt8Array]:
        """BodyPix on [H, W, 3] RGB: person probability [H, W] and most likely part [H, W], 1 to 24."""
        height, width = image.shape[:2]
        size = (width // 16 * 16 + 1, height // 16 * 16 + 1)
        values = cv2.resize(image, size).astype(np.float32) / 127.5 - 1
        segments, heatmaps = self._bodypix.run(["segments", "part_heatmaps"], {"input": values[None]})
        person = cv2.resize(segments[0, ..., 0], (width, height))
        parts = np.stack([cv2.resize(heatmaps[0, ..., i], (width, height)) for i in range(24)])
        return 1 / (1 + np.exp(-person)), (parts.argmax(axis=0) + 1).astype(np.uint8)

    def person(self, image: UInt8Array) -> UInt8Array:
        """DeepLab on [H, W, 3] RGB: 1 where a person is, [H, W] uint8."""
        height, width = image.shape[:2]
        scale = 513 / max(height, width)
        small = cv2.resize(image, (round(width * scale), round(height * scale)))
        square = np.full((513, 513, 3), 127, np.uint8)
        square[: small.shape[0], : small.shape[1]] = small
        self._deeplab.set_tensor(self._deeplab.get_input_details()[0]["index"], square[None])
        self._deeplab.invoke()
        output = self._deeplab.get_tensor(self._deeplab.get_output_details()[0]["index"])[0]
        labels = output.argmax(axis=-1) if output.ndim == 3 and output.shape[-1] > 1 else output.reshape(513, 513)
        person = (labels[: small.shape[0], : small.shape[1]] == DEEPLAB_PERSON).astype(np.uint8)
        whole: UInt8Array = cv2.resize(person, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
        return whole


def combine(bodypix: FloatArray, parts: UInt8Array, deeplab: UInt8Array, truth: UInt8Array | None) -> UInt8Array:
    """One label map [H, W] from the teachers' answers and, if there is one, the truth (non-zero: main person)."""
    either = (bodypix > 0.3) | (deeplab > 0)
    if truth is None:
        both = ((bodypix > 0.5) & (deeplab > 0)).astype(np.uint8)
        count, components, stats, _ = cv2.connectedComponentsWithStats(both)
        main = np.zeros_like(both)
        if count > 1:
            main = (components == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    else:
        main = cv2.morphologyEx((truth > 0).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    labels = np.where(main > 0, np.where(bodypix > 0.5, parts, UNKNOWN_PART), 0).astype(np.uint8)
    near = cv2.dilate(main, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    # what a teacher calls a person away from the main one is a passer-by; next to it without truth, a doubt
    doubt = either & (main == 0) & ((near == 0) if truth is not None else True)
    labels[cv2.dilate(doubt.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool) & (main == 0)] = IGNORE
    return labels


def label_folder(photos: Path, truths: Path, teachers: Path, output: Path) -> int:
    """Write the label PNG of every photo that has none yet; returns how many were written.

    Args:
        photos: Folder of `NAME.webp`.
        truths: Folder of `NAME.png`, labels of some of the photos.
        teachers: Folder of the teachers' files.
        output: Folder for `NAME.png`; made if missing.
    """
    models = Teachers(teachers)
    output.mkdir(parents=True, exist_ok=True)
    todo = [path for path in sorted(photos.glob("*.webp")) if not (output / f"{path.stem}.png").exists()]
    for path in tqdm(todo, desc="label", unit="photo", disable=None):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        truth = cv2.imread(str(truths / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        if truth is not None and truth.shape != image.shape[:2]:
            truth = cv2.resize(truth, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        bodypix, parts = models.parts(image)
        labels = combine(bodypix, parts, models.person(image), truth)
        cv2.imwrite(str(output / f"{path.stem}.png"), labels)
    return len(todo)
