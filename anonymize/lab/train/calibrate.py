"""Scores that are probabilities: how often a box of a score is right, on pictures kept out of training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from tqdm import tqdm

from anonymize.core.boxes import box_iou
from anonymize.core.errors import OptionError
from anonymize.core.types import BoolArray, FloatArray
from anonymize.detect.network import DetectorNetwork
from anonymize.detect.predictor import EmbeddedDetector
from anonymize.lab.train.box_teachers import ScoredBoxes
from anonymize.lab.train.pictures import BoxedPicture

LOWEST_SCORE = 0.01
RIGHT_IOU = 0.5
OPEN_IOU = 0.3
"""A box that meets a place of which nothing is known tells nothing."""


def right_boxes(found: ScoredBoxes, picture: BoxedPicture) -> tuple[BoolArray, BoolArray]:
    """Which boxes are the best of their person, and which tell anything, [N] bool each."""
    iou = box_iou(found.xyxy, picture.boxes)
    right, taken = np.zeros(len(found.scores), np.bool_), np.zeros(len(picture.boxes), np.bool_)
    for row in np.argsort(-found.scores).tolist():
        free = np.where(taken, 0.0, iou[row])
        if free.size and free.max() >= RIGHT_IOU:
            right[row] = taken[int(free.argmax())] = True
    unknown = box_iou(found.xyxy, picture.open_boxes).max(1, initial=0) >= OPEN_IOU
    return right, right | ~unknown


def platt(logits: FloatArray, right: BoolArray) -> tuple[float, float]:
    """Scale and shift of logits [N] that make their sigmoid most likely the probability of `right` [N] (Platt 1999)."""
    sign = np.where(right, 1.0, -1.0)

    def loss(values: np.ndarray) -> float:
        return float(np.logaddexp(0, -sign * (values[0] * logits + values[1])).mean())

    scale, shift = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x.tolist()
    return scale, shift


def calibrate(network: DetectorNetwork, pictures: Iterable[BoxedPicture]) -> None:
    """Set the scale and the shift of the network's scores.

    Args:
        network: Its configuration is replaced.
        pictures: Kept out of training.

    Raises:
        OptionError: There is nothing to learn from.
    """
    network.config = replace(network.config, score_scale=1.0, score_shift=0.0)
    detector = EmbeddedDetector(network, score=LOWEST_SCORE)
    logits: list[FloatArray] = []
    right: list[BoolArray] = []
    for picture in tqdm(pictures, desc="calibrate", unit="picture", disable=None):
        (people,) = detector.detect([picture.read()])
        found = ScoredBoxes(people.boxes_xyxy, people.scores.clip(1e-6, 1 - 1e-6))
        good, known = right_boxes(found, picture)
        logits.append((np.log(found.scores) - np.log1p(-found.scores))[known])
        right.append(good[known])
    everything = np.concatenate(right) if right else np.zeros(0, np.bool_)
    if not everything.any() or everything.all():
        raise OptionError("the pictures show too few people, or too few mistakes, to calibrate scores on")
    scale, shift = platt(np.concatenate(logits), everything)
    network.config = replace(network.config, score_scale=scale, score_shift=shift)
