"""Training of the embedded detector from scratch: `anonymize train detector`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from anonymize.detect.build import load_network, save_weights
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.detect.predictor import EmbeddedDetector
from anonymize.errors import OptionError, WeightsError
from anonymize.synthesis.surface import BodySurface
from anonymize.train.bank import cut_out, load_backgrounds, load_photos, paint_over
from anonymize.train.composites import Bank
from anonymize.train.loader import Composites
from anonymize.train.losses import (
    Batch,
    SurfaceTargets,
    box_losses,
    mask_loss,
    person_map_losses,
    proposal_losses,
    smooth_embedding,
    surface_losses,
)
from anonymize.train.rendered import load_rendered, load_scenes

LOSS_WEIGHTS = {
    "person": 1.0,
    "dice": 0.5,
    "objectness": 1.0,
    "proposal": 1.0,
    "class": 1.0,
    "box": 1.5,
    "mask": 1.0,
    "body": 0.5,
    "vertex": 0.5,
    "part": 0.25,
}


@dataclass(frozen=True)
class TrainingOptions:
    """How the detector is trained.

    Attributes:
        steps: Length of the cosine schedule; a resumed training may name another.
        batch_size: Pictures a step.
        size_hw: Size of the training pictures, multiples of 32.
        learning_rate: Of AdamW at the top of the schedule.
        warmup: Steps from 0 to `learning_rate`.
        weight_decay: Of AdamW.
        ema: Decay of the averaged parameters, which are what is exported.
        keep_surface: Keep the embedding of the surface's vertices as it is, see `DetectorTraining.start_from`.
        seed: Of the initial parameters and the pictures.
        workers: Processes that make pictures; 0 makes them in the training's own.
        mask_people, surface_people: About so many people a picture reach the mask and CSE losses at most.
        log_every, save_every: In steps.
        minutes: Stop (with a checkpoint) after so many minutes; None for no limit.
    """

    steps: int = 60_000
    batch_size: int = 8
    size_hw: tuple[int, int] = (288, 512)
    learning_rate: float = 1.5e-3
    warmup: int = 300
    weight_decay: float = 0.03
    ema: float = 0.998
    keep_surface: bool = False
    seed: int = 0
    workers: int = 1
    mask_people: float = 3.0
    surface_people: float = 1.5
    log_every: int = 20
    save_every: int = 250
    minutes: float | None = None


def load_bank(data: Path, surface: BodySurface, *, limit: int | None = None) -> Bank:
    """Read all training material below a folder into memory.

    Args:
        data: Holds `ccp/` (photos, labels, teacher), and if at hand `backgrounds/` (pictures without people),
            `cutouts/` and `scenes/` (rendered by `anonymize.synthesis`).
        surface: Body surface of the rendered people.
        limit: Read so many photos only.

    Raises:
        OptionError: There are no photos.
    """
    cv2.setNumThreads(1)  # before its first use: worker processes hang on threads they inherit by a fork
    photos = load_photos(data / "ccp")[:limit]
    return Bank(
        photos=photos,
        real=[cut_out(photo) for photo in photos if photo.trusted],
        rendered=load_rendered(data / "cutouts", surface),
        streets=[paint_over(photo) for photo in photos if photo.trusted],
        others=load_backgrounds(data / "backgrounds"),
        scenes=load_scenes(data / "scenes", surface),
        mirrored_landmarks=surface.mirrored_landmarks,
    )


class DetectorTraining:
    """The state of one training: network, optimiser, averaged network, step.

    Args:
        folder: Checkpoint, log and previews go here; a checkpoint found there is gone on with.
        options: See `TrainingOptions`.
        config: Shape of the network; must equal that of a checkpoint gone on with.
        surface: Body surface that the CSE head learns.
        device: Where to train.

    Raises:
        OptionError: The checkpoint in `folder` is of another network, or of a training that does not keep its surface
            while this one does, or the other way round.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainingOptions,
        config: DetectorConfig,
        surface: BodySurface,
        device: torch.device,
    ) -> None:
        torch.manual_seed(options.seed)
        self.folder, self.options, self.device, self.surface = folder, options, device, surface
        self.config = replace(config, vertices=len(surface.landmarks), surface=surface.name)
        self.network = DetectorNetwork(self.config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        first = smooth_embedding(surface.geodesics_cm, self.config.embedding)
        self.network.vertex_embedding.data.copy_(torch.from_numpy(first))
        self.network.vertex_embedding.requires_grad_(not options.keep_surface)
        averaged = DetectorNetwork(self.config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged: DetectorNetwork = averaged.eval().requires_grad_(False)
        self.averaged.load_state_dict(self.network.state_dict())
        table = self.network.vertex_embedding
        decayed = [p for p in self.network.parameters() if p.ndim > 1 and p is not table]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": options.weight_decay},
                {"params": others, "weight_decay": 0.0},
                {"params": [table], "weight_decay": 0.0, "slower": 0.1},  # it begins near its end
            ],
            lr=options.learning_rate,
        )
        self.targets = SurfaceTargets.build(
            torch.from_numpy(surface.geodesics_cm), torch.from_numpy(surface.landmark_parts), device
        )
        self.step = 0
        self.seconds = 0.0
        if self.checkpoint.exists():
            self._resume()

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if DetectorConfig.from_dict(json.loads(state["config"])) != self.config:
            raise OptionError(f"{self.checkpoint} is of another network; choose another folder")
        if state.get("keep_surface", False) != self.options.keep_surface:
            kept = "keeps no surface" if self.options.keep_surface else "keeps the surface of other weights"
            raise OptionError(f"the training of {self.checkpoint} {kept}; choose another folder")
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def start_from(self, weights: Path) -> None:
        """Take the parameters of another training.

        Not those of the surface, whose meaning differs by training, unless it is kept (`TrainingOptions.keep_surface`):
        then a generator that was trained with the earlier detector fits the later one as well.

        Raises:
            WeightsError: The file is no weights file of this network.
        """
        own_surface = () if self.options.keep_surface else ("vertex_embedding", "cse_head.")
        earlier = load_network(weights).state_dict()
        own = self.network.state_dict()
        if {n: v.shape for n, v in earlier.items()} != {n: v.shape for n, v in own.items()}:
            raise WeightsError(f"{weights} is of another network")
        for network in (self.network, self.averaged):
            network.load_state_dict(own | {n: v for n, v in earlier.items() if not n.startswith(own_surface)})

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(
            {
                "config": json.dumps(self.config.to_dict()),
                "network": self.network.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "keep_surface": self.options.keep_surface,
                "step": self.step,
                "seconds": self.seconds,
            },
            temporary,
        )
        temporary.replace(self.checkpoint)

    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine down to 1 % (Loshchilov and Hutter 2017)."""
        options = self.options
        if self.step < options.warmup:
            return options.learning_rate * (self.step + 1) / options.warmup
        progress = min(1.0, (self.step - options.warmup) / max(1, options.steps - options.warmup))
        return options.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Every loss of a batch, unweighted."""
        low = torch.bfloat16
        context = torch.autocast(self.device.type, low) if self.device.type in {"cpu", "cuda"} else nullcontext()
        with context:
            pictures = batch.pictures.contiguous(memory_format=torch.channels_last)
            pyramid, logits, merged = self.network.features(pictures)
            losses = person_map_losses(logits, batch)
            proposal, proposals = proposal_losses(self.network, pyramid, batch)
            losses |= proposal | box_losses(self.network, pyramid, proposals, batch)
            count, options = len(batch.boxes), self.options
            losses |= mask_loss(self.network, pyramid, batch, options.mask_people * count)
            losses |= surface_losses(self.network, merged, batch, self.targets, options.surface_people * count)
        return losses

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One step of the optimiser and of the average; returns the losses."""
        rate = self.learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("slower", 1.0)
        losses = self.losses(batch.to(self.device))
        total = torch.stack([LOSS_WEIGHTS[name] * value for name, value in losses.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        if bool(torch.isfinite(norm)):  # a single bad batch must not end hours of training
            self.optimizer.step()
        self._average()
        self.step += 1
        values = {name: value.item() for name, value in losses.items()}
        return values | {"total": total.item(), "gradient": norm.item(), "rate": rate}

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.options.ema, (1 + self.step) / (10 + self.step))
        pairs = list(zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True))
        means, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(means), list(values), self.step)
        for mean, value in pairs:
            if not mean.is_floating_point():
                mean.copy_(value)

    def run(self, bank: Bank) -> None:
        """Train until `steps` or `minutes` are reached; checkpoints, log and previews on the way."""
        options = self.options
        stream = Composites(bank, options.size_hw, options.batch_size, seed=options.seed + self.step)
        loader: DataLoader[Batch] = DataLoader(stream, batch_size=None, num_workers=options.workers)
        log = Log(self.folder)
        rng = np.random.default_rng(options.seed + 1)
        preview = [bank.sample(rng, options.size_hw).image for _ in range(6)]
        began = time.monotonic()
        already = self.seconds
        self.network.train()
        batches: Iterator[Batch] = iter(loader)
        with tqdm(initial=self.step, total=options.steps, desc="detector", unit="step", disable=None) as progress:
            while self.step < options.steps:
                values = self.train_step(next(batches))
                self.seconds = already + time.monotonic() - began
                progress.update()
                if self.step % options.log_every == 0:
                    log.write(self.step, values | {"seconds": self.seconds})
                late = options.minutes is not None and time.monotonic() - began > 60 * options.minutes
                if self.step % options.save_every == 0 or self.step == options.steps or late:
                    self.save()
                    self.write_preview(preview)
                if late:
                    break
        self.export(self.folder / "detector.safetensors")

    def write_preview(self, pictures: list[Any]) -> None:
        """What the averaged network finds on some pictures, as one PNG."""
        detector = EmbeddedDetector(self.averaged, device=self.device)
        rows = []
        for picture, found in zip(pictures, detector.detect(pictures), strict=True):
            drawn = picture.copy()
            for region in found.masks:
                drawn[region.slices][region.mask] = drawn[region.slices][region.mask] // 2 + np.array(
                    [127, 0, 127], np.uint8
                )
            for box, score in zip(found.boxes_xyxy.astype(int), found.scores, strict=True):
                cv2.rectangle(drawn, box[:2].tolist(), box[2:].tolist(), (255, 255, 0), 1)
                cv2.putText(drawn, f"{score:.2f}", box[:2].tolist(), cv2.FONT_HERSHEY_PLAIN, 0.8, (0, 255, 0))
            rows.append(np.vstack([picture, drawn]))
        half = len(rows) // 2
        sheet = np.vstack([np.hstack(rows[:half]), np.hstack(rows[half : 2 * half])])
        cv2.imwrite(str(self.folder / f"preview-{self.step:06d}.png"), sheet[..., ::-1])

    def export(self, path: Path) -> None:
        """Write the averaged network as a weights file (half precision)."""
        save_weights(path, self.averaged, {"steps": str(self.step), "seconds": f"{self.seconds:.0f}"})


class Log:
    """Losses as lines of JSON, and for TensorBoard where it is installed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "log.jsonl"
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._board = None
        else:
            self._board = SummaryWriter(str(folder))

    def write(self, step: int, values: dict[str, float]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step} | {name: round(value, 5) for name, value in values.items()}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
