"""Samples to batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset

from anonymize.train.composites import MIN_VISIBLE_PX, Bank, Sample
from anonymize.train.losses import Batch


def boxes_of(instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [K, 4] float32 and numbers [K] int64 of the people of an instance map who show enough of themselves."""
    boxes, numbers = [], []
    areas = np.bincount(instances.ravel())
    for number in 1 + np.flatnonzero(areas[1:] >= MIN_VISIBLE_PX):
        own = instances == number
        rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        numbers.append(number)
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(numbers, np.int64)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size, sides a multiple of 8."""
    height, width = samples[0].instances.shape
    cells = (width // 4, height // 4)

    def small(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        cells: np.ndarray = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return cells

    ignore = np.stack([small(s.ignore, (width // 8, height // 8)) for s in samples])
    table = np.pad(ignore.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0))).astype(np.float32)
    found = [boxes_of(s.instances) for s in samples]
    return Batch(
        pictures=torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2),
        person=torch.from_numpy(np.stack([small(s.instances > 0, cells) for s in samples]))[:, None],
        known=torch.from_numpy(np.stack([1 - small(s.ignore, cells) for s in samples]))[:, None],
        ignore_sum=torch.from_numpy(table),
        instances=torch.from_numpy(np.stack([s.instances for s in samples])),
        landmarks=torch.from_numpy(np.stack([s.landmarks for s in samples])),
        parts=torch.from_numpy(np.stack([s.parts for s in samples])),
        boxes=[torch.from_numpy(b) for b, _ in found],
        numbers=[torch.from_numpy(n) for _, n in found],
    )


class Composites(IterableDataset[Batch]):
    """An endless stream of batches; every worker and every start of the training has its own random numbers."""

    def __init__(self, bank: Bank, size_hw: tuple[int, int], batch_size: int, seed: int) -> None:
        self._bank, self._size_hw, self._batch_size, self._seed = bank, size_hw, batch_size, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self._seed, worker.id if worker else 0))
        while True:
            yield collate([self._bank.sample(rng, self._size_hw) for _ in range(self._batch_size)])
