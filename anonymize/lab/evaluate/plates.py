"""Number plates found and covered, on pictures kept out of the training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from anonymize.compose import covers_of
from anonymize.core.boxes import box_iou
from anonymize.core.parameters import read_safetensors
from anonymize.core.types import PLATES_AFTER, Detections, FloatArray, Tracks
from anonymize.detect.build import load_network
from anonymize.detect.plates import FORMAT, NETWORK, SURE_PLATE, load_plate_head
from anonymize.detect.predictor import EmbeddedDetector
from anonymize.lab.evaluate.detector import markdown
from anonymize.lab.train.plate_pictures import PlatePicture, load_others, load_plates
from anonymize.verify.verification import plates_of

RIGHT_IOU = 0.5
WIDTHS_PX = (24, 60)
"""Plates of at least this width, in pixels of the picture, are asked for; narrower ones may be found or not."""


@dataclass(frozen=True, eq=False)
class Looked:
    """What was found in a picture.

    Attributes:
        truth: [K, 4] float32, xyxy.
        boxes: [N, 4] float32.
        scores: [N] float32.
        covered: [K] float32, share of each true plate inside the covers of all that was found.
    """

    truth: FloatArray
    boxes: FloatArray
    scores: FloatArray
    covered: FloatArray


def look(detector: EmbeddedDetector, pictures: Sequence[PlatePicture]) -> list[Looked]:
    """Look for plates in pictures."""
    looked = []
    for picture in tqdm(pictures, desc="plates", unit="picture", disable=None):
        image = picture.read()
        size_hw = (image.shape[0], image.shape[1])
        [found] = detector.plates([image])
        sure = plates_of(
            Detections(
                size_hw, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), (), np.zeros(0, np.bool_), plates=found
            )
        )
        ids = PLATES_AFTER + 1 + np.arange(len(sure))
        drawn = np.zeros(size_hw, np.bool_)
        for cover in covers_of(Tracks(sure, ids, np.zeros(len(sure), np.bool_))):
            drawn[cover.slices] |= cover.mask
        shares = [drawn[int(y1) : round(y2), int(x1) : round(x2)].mean() for x1, y1, x2, y2 in picture.boxes.tolist()]
        looked.append(Looked(picture.boxes, found[:, :4], found[:, 4], np.array(shares, np.float32)))
    return looked


def figures_of(looked: Sequence[Looked], score: float) -> dict[str, float]:
    """Recall by width, share of each plate that is covered, and false alarms, of boxes from a score on.

    Each true plate is matched to the best box that is left; a box over a plate too narrow to be asked for is no false
    alarm.
    """
    found: dict[int, list[bool]] = {width: [] for width in WIDTHS_PX}
    covered: list[float] = []
    false_alarms = 0
    for each in looked:
        boxes = each.boxes[each.scores >= score]
        iou = box_iou(each.truth, boxes) if len(boxes) else np.zeros((len(each.truth), 0), np.float32)
        free = np.ones(len(boxes), np.bool_)
        for row in range(len(each.truth)):
            best = int(np.where(free, iou[row], 0).argmax()) if len(boxes) else -1
            right = best >= 0 and free[best] and iou[row, best] >= RIGHT_IOU
            if right:
                free[best] = False
            width = each.truth[row, 2] - each.truth[row, 0]
            for least in WIDTHS_PX:
                if width >= least:
                    found[least].append(bool(right))
            if right and width >= WIDTHS_PX[0]:
                covered.append(float(each.covered[row]))
        narrow = each.truth[:, 2] - each.truth[:, 0] < WIDTHS_PX[0]
        over_narrow = (iou[narrow] > 0).any(0) if narrow.any() else np.zeros(len(boxes), np.bool_)
        false_alarms += int((free & ~over_narrow).sum())
    values: dict[str, float] = {"pictures": len(looked), "score": score}
    for least, hits in found.items():
        if hits:
            values[f"plates from {least} px"] = len(hits)
            values[f"found from {least} px"] = float(np.mean(hits))
    if covered:
        values["covered of found mean"] = float(np.mean(covered))
        values["covered of found wholly"] = float(np.mean(np.array(covered) > 0.995))
    return values | {"false alarms a picture": false_alarms / max(1, len(looked))}


def measure(weights: Path, detector: Path, data: Path, device: torch.device, others: int) -> dict[str, Any]:
    """The figures of a head's weights.

    Args:
        weights: Of the head.
        detector: Weights of the detector that it belongs to.
        data: As for the training.
        device: Where to compute.
        others: Pictures without plates, of each folder, at most.

    Raises:
        AnonymizeError: Weights do not fit, or there are no pictures.
    """
    network = load_network(detector)
    finder = EmbeddedDetector(network, device=device, plates=load_plate_head(weights, network.backbone))
    metadata, _ = read_safetensors(weights, [FORMAT], NETWORK)
    figures: dict[str, Any] = {
        "file": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "backbone": metadata["backbone"],
        "trained": {name: int(metadata[name]) for name in ("steps", "seconds")},
        "default_score": SURE_PLATE,
    }
    sets = {
        "held_out_plates": load_plates(data / "plates", held_out_only=True),
        "held_out_others": load_others(data, others, held_out_only=True),
    }
    for name, pictures in sets.items():
        figures[name] = figures_of(look(finder, pictures), SURE_PLATE)
    return figures


def write_manifest(figures: dict[str, Any], training: dict[str, Any], folder: Path) -> None:
    """Write `plates-embedded.json` and `plates-embedded.md` into a folder."""
    (folder / "plates-embedded.json").write_text(json.dumps(figures | {"training": training}, indent=2) + "\n")
    (folder / "plates-embedded.md").write_text(markdown({k: v for k, v in figures.items() if k != "trained"}))
