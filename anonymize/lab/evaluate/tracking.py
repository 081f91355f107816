"""How well people are followed: CLEAR MOT (Bernardin, Stiefelhagen 2008) and identity metrics (Ristani et al. 2016)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anonymize.core.boxes import box_iou
from anonymize.core.errors import OptionError

MIN_IOU = 0.5
COLUMNS = 7  # frame, ID, left, top, width, height, confidence; more are not looked at

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackingScores:
    """Figures of one film.

    Attributes:
        mota: 1 less misses, false alarms and switches, per true box; at most 1, may be negative.
        idf1: F1 of the boxes that have the right identity, in [0, 1].
        idp, idr: Precision and recall of the same.
        recall, precision: Of the boxes, whatever the identity.
        switches: How often a true person goes on under another ID.
        fragmentations: How often a true person is lost and found again.
        misses, false_positives: Boxes.
        people: True people.
        boxes: True boxes.
    """

    mota: float
    idf1: float
    idp: float
    idr: float
    recall: float
    precision: float
    switches: int
    fragmentations: int
    misses: int
    false_positives: int
    people: int
    boxes: int

    @property
    def switches_per_person(self) -> float:
        return self.switches / max(1, self.people)

    def table(self) -> str:
        """One figure a line."""
        lines = [f"{name:16} {getattr(self, name):.4f}" for name in _SHARES]
        return "\n".join(lines + [f"{name:16} {getattr(self, name)}" for name in _COUNTS])


_SHARES = ("mota", "idf1", "idp", "idr", "recall", "precision")
_COUNTS = ("switches", "fragmentations", "misses", "false_positives", "people", "boxes")
_METRICS = {
    "mota": "mota",
    "idf1": "idf1",
    "idp": "idp",
    "idr": "idr",
    "recall": "recall",
    "precision": "precision",
    "switches": "num_switches",
    "fragmentations": "num_fragmentations",
    "misses": "num_misses",
    "false_positives": "num_false_positives",
    "people": "num_unique_objects",
    "boxes": "num_objects",
}


def read_mot(path: Path, *, min_confidence: float = -np.inf) -> Rows:
    """A MOTChallenge text file.

    Args:
        path: Lines of frame, ID, left, top, width, height, confidence and more, frames from 1.
        min_confidence: Rows below are left out; the truth marks what is not to be counted with 0.

    Returns:
        [K, 6] float64: frame, ID, left, top, width, height.

    Raises:
        OptionError: The file cannot be read as such.
    """
    try:
        text = path.read_text()
        rows = [line.split(",")[:COLUMNS] for line in text.splitlines() if line.strip()]
        table = np.array([[float(value) for value in row] for row in rows], np.float64).reshape(-1, COLUMNS)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise OptionError(f"{path} is no MOTChallenge text: {error}") from error
    return table[table[:, 6] >= min_confidence, :6]


def score(truth: Rows, result: Rows, *, min_iou: float = MIN_IOU) -> TrackingScores:
    """Compare tracks with the truth.

    Args:
        truth: [K, 6] frame, ID, left, top, width, height; at least one row.
        result: [M, 6] the same.
        min_iou: Boxes that overlap less are not the same person.
    """
    with warnings.catch_warnings():
        # the package uses what newer releases of numpy and pandas announce to change
        warnings.simplefilter("ignore")
        import motmetrics

        events = motmetrics.MOTAccumulator(auto_id=False)
        for number in np.union1d(truth[:, 0], result[:, 0]):
            there, here = (rows[rows[:, 0] == number] for rows in (truth, result))
            # the package's own overlap needs numpy 1
            overlap = box_iou(*(np.concatenate([r[:, 2:4], r[:, 2:4] + r[:, 4:6]], axis=1) for r in (there, here)))
            distances = np.where(overlap >= min_iou, 1 - overlap.astype(np.float64), np.nan)
            ids = [rows[:, 1].astype(np.int64).tolist() for rows in (there, here)]
            events.update(*ids, distances, frameid=int(number))
        figures: dict[str, Any] = motmetrics.metrics.create().compute(
            events, metrics=list(_METRICS.values()), return_dataframe=False
        )
    values: dict[str, Any] = {
        name: int(figures[metric]) if name in _COUNTS else float(figures[metric]) for name, metric in _METRICS.items()
    }
    return TrackingScores(**values)


def evaluate(truth: Path, result: Path, *, min_iou: float = MIN_IOU) -> TrackingScores:
    """Compare two MOTChallenge text files.

    Raises:
        OptionError: One of them cannot be read, or the truth is empty.
    """
    rows = read_mot(truth, min_confidence=1e-9)
    if not len(rows):
        raise OptionError(f"{truth} holds no people to compare with")
    return score(rows, read_mot(result), min_iou=min_iou)
