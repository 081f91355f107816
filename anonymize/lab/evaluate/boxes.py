"""How well people are boxed on real pictures: average precision, people found by height, false alarms."""

from __future__ import annotations

import contextlib
import io
import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anonymize.core.boxes import box_iou, box_share
from anonymize.core.errors import BackendError
from anonymize.core.types import FloatArray
from anonymize.lab.train.box_teachers import ScoredBoxes
from anonymize.lab.train.pictures import BoxedPicture

HEIGHT_BINS_PX = (0, 24, 40, 80, 1 << 20)
FOUND_IOU = 0.5
IN_IGNORED = 0.5
"""Share of a box inside an ignored one from which on it is no false alarm."""


@dataclass
class BoxScores:
    """Collects pictures, then computes the figures.

    Args:
        score: People of a lower score count in the average precision only.
    """

    score: float
    images: list[dict[str, Any]] = field(default_factory=list)
    truths: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)
    best_iou: list[float] = field(default_factory=list)
    false_alarms: int = 0

    def add_picture(self, picture: BoxedPicture, found: ScoredBoxes) -> None:
        """Take one picture; what only teachers found there counts neither way.

        Args:
            picture: With boxes of weight 1 where people drew them.
            found: By the detector, down to low scores.
        """
        drawn = picture.weights == 1
        self.add(picture.boxes[drawn], np.concatenate([picture.boxes[~drawn], picture.open_boxes]), found)

    def add(self, truth: FloatArray, ignored: FloatArray, found: ScoredBoxes) -> None:
        """Take one picture: boxes of its people [K, 4], places that may hold others [M, 4], and what was found."""
        number = len(self.images) + 1
        self.images.append({"id": number})
        for crowd, boxes in ((0, truth), (1, ignored)):
            for box in boxes.tolist():
                self.truths.append(
                    _coco(number, box) | {"id": len(self.truths) + 1, "iscrowd": crowd, "area": _area(box)}
                )
        self.results += [
            _coco(number, box) | {"score": score}
            for box, score in zip(found.xyxy.tolist(), found.scores.tolist(), strict=True)
        ]
        sure = found.xyxy[found.scores >= self.score]
        scores = found.scores[found.scores >= self.score]
        iou = box_iou(sure, truth)
        taken = np.zeros(len(truth), np.bool_)
        for row in np.argsort(-scores).tolist():
            free = np.where(taken, 0.0, iou[row]) if len(truth) else np.zeros(1)
            if free.max() >= FOUND_IOU:
                taken[int(free.argmax())] = True
            elif not len(ignored) or box_share(sure[row : row + 1], ignored).max() < IN_IGNORED:
                self.false_alarms += 1
        self.heights += (truth[:, 3] - truth[:, 1]).tolist()
        self.best_iou += np.where(taken, 1.0, 0.0).tolist()

    def summary(self) -> dict[str, float]:
        """All figures, by name.

        Raises:
            BackendError: pycocotools is not installed.
        """
        heights, found = np.array(self.heights), np.array(self.best_iou)
        figures = {"pictures": float(len(self.images)), "people": float(len(heights)), "score": self.score}
        figures["box_ap"], figures["box_ap50"] = average_precision(self.images, self.truths, self.results)
        for low, high in itertools.pairwise(HEIGHT_BINS_PX):
            chosen = (heights >= low) & (heights < high)
            if chosen.any():
                label = f"found_{low}_to_{high}_px" if high < 1 << 20 else f"found_from_{low}_px"
                figures[label] = float(found[chosen].mean())
        figures["false_alarms_per_picture"] = self.false_alarms / max(1, len(self.images))
        return figures


def _coco(picture: int, box: list[float]) -> dict[str, Any]:
    left, top, right, bottom = box
    return {"image_id": picture, "category_id": 1, "bbox": [left, top, right - left, bottom - top]}


def _area(box: list[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def average_precision(
    images: list[dict[str, Any]], truths: list[dict[str, Any]], results: list[dict[str, Any]], kind: str = "bbox"
) -> tuple[float, float]:
    """AP and AP50 of COCO (Lin et al. 2014), by pycocotools.

    Raises:
        BackendError: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise BackendError("evaluation needs pycocotools: pip install 'anonymize[eval]'") from error
    if not results or not truths:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):  # the library reports progress on stdout
        truth = COCO()
        truth.dataset = {"images": images, "annotations": truths, "categories": [{"id": 1, "name": "person"}]}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])
