"""Samples to batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch.utils.data import IterableDataset

from anonymize.core.types import FloatArray, IntArray
from anonymize.lab.train.composites import MIN_VISIBLE_PX, Sample
from anonymize.lab.train.losses import Batch

SMALLEST_PX = 8
"""Lower people are neither taught nor forbidden."""
HIDDEN_SHARE = 0.6
"""A box that others were pasted over to this share is of a person who cannot be seen."""


class Source(Protocol):
    """What training pictures come from."""

    def sample(self, rng: Generator, size_hw: tuple[int, int]) -> Sample:
        """A random training picture of this size."""
        ...


class People(NamedTuple):
    """The people of one sample as the losses want them.

    Attributes:
        boxes: [K, 4] float32, xyxy.
        weights: [K] float32.
        numbers: [K] int64, value in `instances`; 0 where the mask is not known.
    """

    boxes: FloatArray
    weights: FloatArray
    numbers: IntArray


def people_of(sample: Sample) -> People:
    """Boxes of the people who show enough of themselves; the others' places are marked in `sample.ignore`."""
    areas = np.bincount(sample.instances.ravel(), minlength=256)
    known = {person.number: person for person in sample.people}
    boxes, weights, numbers = [], [], []
    for person in sample.people:
        left, top, right, bottom = person.box_xyxy
        place = slice(int(top), int(np.ceil(bottom))), slice(int(left), int(np.ceil(right)))
        there = sample.instances[place]
        others = float(((there > 0) & (there != person.number)).mean()) if there.size else 1.0
        seen = areas[person.number] >= MIN_VISIBLE_PX if person.masked else others < HIDDEN_SHARE
        if not seen or bottom - top < SMALLEST_PX:
            sample.ignore[place] |= there == 0
            continue
        boxes.append(person.box_xyxy)
        weights.append(person.weight)
        numbers.append(person.number if person.masked else 0)
    for number in np.flatnonzero(areas[1:]) + 1:
        if number in known:
            continue
        own = sample.instances == number
        rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        if areas[number] < MIN_VISIBLE_PX or rows[-1] + 1 - rows[0] < SMALLEST_PX:
            sample.ignore |= own
            continue
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        weights.append(1.0)
        numbers.append(int(number))
    return People(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(weights, np.float32), np.array(numbers, np.int64)
    )


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size, sides a multiple of 8."""
    height, width = samples[0].instances.shape

    def small(mask: np.ndarray, step: int) -> np.ndarray:
        cells: np.ndarray = cv2.resize(
            mask.astype(np.float32), (width // step, height // step), interpolation=cv2.INTER_AREA
        )
        return cells

    found = [people_of(s) for s in samples]
    known = []
    for sample, people in zip(samples, found, strict=True):
        unknown = sample.ignore.copy()
        for box, number in zip(people.boxes, people.numbers, strict=True):
            if number == 0:
                left, top, right, bottom = np.rint(box).astype(int)
                unknown[top:bottom, left:right] = True
        known.append(small(~unknown | (sample.instances > 0), 4))
    return Batch(
        pictures=torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2),
        person=torch.from_numpy(np.stack([small(s.instances > 0, 4) for s in samples]))[:, None],
        known=torch.from_numpy(np.stack(known))[:, None],
        ignore=torch.from_numpy(np.stack([small(s.ignore, 8) for s in samples]))[:, None],
        instances=torch.from_numpy(np.stack([s.instances for s in samples])),
        landmarks=torch.from_numpy(np.stack([s.landmarks for s in samples])),
        parts=torch.from_numpy(np.stack([s.parts for s in samples])),
        boxes=[torch.from_numpy(p.boxes) for p in found],
        weights=[torch.from_numpy(p.weights) for p in found],
        numbers=[torch.from_numpy(p.numbers) for p in found],
    )


class Batches(IterableDataset[Batch]):
    """An endless stream of batches; every worker and every start of the training has its own random numbers."""

    def __init__(self, source: Source, size_hw: tuple[int, int], batch_size: int, seed: tuple[int, ...]) -> None:
        self._source, self._size_hw, self._batch_size, self._seed = source, size_hw, batch_size, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((*self._seed, worker.id if worker else 0))
        while True:
            yield collate([self._source.sample(rng, self._size_hw) for _ in range(self._batch_size)])
