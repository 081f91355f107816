"""Trains the head that finds number plates, on the frozen backbone of a detector.

The backbone, which takes most of the time, sees each view once, in a process of its own. What it says waits in a pool,
and is learnt from several times.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from anonymize.detect.backbone import EfficientNetLite
from anonymize.detect.network import cell_centers
from anonymize.detect.plates import PLATE_STRIDES, PlateHead, save_plate_head
from anonymize.detect.runtime import folded
from anonymize.lab.train.detector import Log
from anonymize.lab.train.losses import cell_losses
from anonymize.lab.train.plate_pictures import PlatePicture, PlateViews

BOX_WEIGHT = 2.0
DECAY = 0.998
WARMUP = 50
FIRST_SHARE = 10
"""Training begins when one in so many of the pool's places is taken."""


@dataclass(frozen=True)
class PlateTraining:
    """How the head is trained.

    Attributes:
        minutes: Length of the schedule.
        size: Side of a view, a multiple of 32.
        batch_size: Views a step.
        uses: So often a view is learnt from, about.
        pool: Views that wait.
        learning_rate: At its highest.
        workers: Processes beside this one, in which the backbone looks at views; 0 for none.
        seed: Of views and parameters.
    """

    minutes: float = 12.0
    size: int = 384
    batch_size: int = 8
    uses: int = 16
    pool: int = 600
    learning_rate: float = 2e-3
    workers: int = 1
    seed: int = 0


@dataclass(eq=False)
class SeenView:
    """What the backbone says of a view, and the view's truth.

    Attributes:
        maps: Of the backbone, [C, S / s, S / s] half at strides 4, 8, 16 and 32.
        boxes: [K, 4] float, the plates.
        unknown: [M, 4] float, places that may be plates or not.
    """

    maps: list[Tensor]
    boxes: Tensor
    unknown: Tensor


class SeenViews(IterableDataset[SeenView]):
    """Views without end, as the backbone sees them.

    Args:
        backbone: Is copied.
        plates, others, size: See `PlateViews`.
        seed: Of the views.
    """

    def __init__(
        self,
        backbone: EfficientNetLite,
        plates: list[PlatePicture],
        others: list[PlatePicture],
        size: int,
        seed: int,
    ) -> None:
        self._backbone = folded(backbone)
        self._plates, self._others, self._size, self._seed = plates, others, size, seed

    def __iter__(self) -> Iterator[SeenView]:
        cv2.setNumThreads(1)
        worker = torch.utils.data.get_worker_info()
        if worker is not None:
            torch.set_num_threads(1)
        rng = np.random.default_rng((self._seed, 0 if worker is None else worker.id))
        views = PlateViews(self._plates, self._others, self._size)
        while True:
            yield self.look(views, rng)

    @torch.no_grad()
    def look(self, views: PlateViews, rng: Generator) -> SeenView:
        """The next view."""
        view = views.sample(rng)
        device = next(self._backbone.parameters()).device
        picture = torch.from_numpy(view.image).to(device).permute(2, 0, 1)[None].float() / 255
        maps = self._backbone(picture.contiguous(memory_format=torch.channels_last))
        return SeenView(
            [level[0].half() for level in maps], torch.from_numpy(view.boxes), torch.from_numpy(view.unknown)
        )


def train_plate_head(
    backbone: EfficientNetLite,
    plates: list[PlatePicture],
    others: list[PlatePicture],
    folder: Path,
    options: PlateTraining,
    device: torch.device,
    start: PlateHead | None = None,
) -> PlateHead:
    """Train a head, and write `plates.safetensors` and a log into a folder.

    Args:
        backbone: Of the detector; read, not changed.
        plates: Pictures with plates.
        others: Pictures without.
        folder: For the result; made if it is not there.
        options: See `PlateTraining`.
        device: Where to train.
        start: A head to go on with; None for a new one.
    """
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    log = Log(folder)
    head = (start or PlateHead()).train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged: PlateHead = copy.deepcopy(head).requires_grad_(False)
    optimizer = torch.optim.AdamW(head.parameters(), lr=options.learning_rate, weight_decay=1e-3)
    stream = SeenViews(backbone, plates, others, options.size, options.seed)
    context = "spawn" if options.workers else None  # a forked process hangs in torch's threads
    views = iter(DataLoader(stream, batch_size=None, num_workers=options.workers, multiprocessing_context=context))
    centers = torch.cat([cell_centers((options.size // s, options.size // s), s, device) for s in PLATE_STRIDES])
    pool = [next(views) for _ in range(max(options.batch_size, options.pool // FIRST_SHARE))]
    began, step, made = time.monotonic(), 0, 0
    with tqdm(desc="plates", unit="step", disable=None) as bar:
        while step == 0 or time.monotonic() - began < 60 * options.minutes:
            progress = min(1.0, (time.monotonic() - began) / max(1e-9, 60 * options.minutes))
            while made * options.uses < step * options.batch_size:
                pool[made % options.pool : made % options.pool + 1] = [next(views)]
                made += 1
            batch = [pool[i] for i in rng.choice(len(pool), options.batch_size, replace=False)]
            rate = _rate(options, step, progress)
            for group in optimizer.param_groups:
                group["lr"] = rate
            losses = _losses(head, batch, centers, device)
            optimizer.zero_grad(set_to_none=True)
            (losses["score"] + BOX_WEIGHT * losses["box"]).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(head.parameters(), 10.0)
            optimizer.step()
            _average(averaged, head, step)
            step += 1
            bar.update()
            if step % 20 == 0:
                values = {name: value.item() for name, value in losses.items()}
                log.write(step, values | {"rate": rate, "views": len(pool), "seconds": time.monotonic() - began})
    notes = {"steps": str(step), "seconds": f"{time.monotonic() - began:.0f}"}
    save_plate_head(folder / "plates.safetensors", averaged, backbone, notes)
    averaged.eval()
    return averaged


def _rate(options: PlateTraining, step: int, progress: float) -> float:
    """Linear warm-up, then half a cosine down to 1 % (Loshchilov and Hutter 2017)."""
    warm = min(1.0, (step + 1) / WARMUP)
    return options.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def _losses(head: PlateHead, batch: list[SeenView], centers: Tensor, device: torch.device) -> dict[str, Tensor]:
    maps = [
        torch.stack(level).to(device).float().contiguous(memory_format=torch.channels_last)
        for level in zip(*(each.maps for each in batch), strict=True)
    ]
    logits, boxes = head(maps)
    unknown = torch.stack([_inside(centers, each.unknown.to(device)) for each in batch])
    truths = [each.boxes.to(device) for each in batch]
    return cell_losses(logits, boxes, centers, unknown, truths, [truth.new_ones(len(truth)) for truth in truths])


def _inside(centers: Tensor, boxes: Tensor) -> Tensor:
    """Which of the cells [N, 2] lie in one of the boxes [M, 4], or next to it: [N] bool."""
    away = torch.maximum(boxes[None, :, :2] - centers[:, None], centers[:, None] - boxes[None, :, 2:])  # [N, M, 2]
    return (away.amax(2) < PLATE_STRIDES[0]).any(1)


@torch.no_grad()
def _average(averaged: PlateHead, head: PlateHead, step: int) -> None:
    pairs = list(zip(averaged.state_dict().values(), head.state_dict().values(), strict=True))
    means, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
    average = get_ema_multi_avg_fn(min(DECAY, (1 + step) / (10 + step)))  # type: ignore[no-untyped-call]
    average(list(means), list(values), step)
