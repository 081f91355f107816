"""Training of the generator of layers: `anonymize train generator`.

Three stages: reconstruction at half size, where z is read from the person; then a projected discriminator joins
(`anonymize.lab.train.projected`); then both at full size. A guard takes the training back to its last good parameters,
at a lower rate, when it diverges, and slows the discriminator down while it wins.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm

from anonymize.core.device import low_precision_context
from anonymize.core.errors import OptionError
from anonymize.generate.build import save_weights
from anonymize.generate.latents import cluster
from anonymize.generate.layered import LayeredNetwork, composite
from anonymize.generate.network import MASK, GeneratorConfig, grow
from anonymize.generate.palette import surroundings
from anonymize.lab.train.dataset_reader import LayeredBatch, LayeredBatches, People
from anonymize.lab.train.detector import Log
from anonymize.lab.train.generator import LatentQueue, load_checkpoint
from anonymize.lab.train.generator_losses import Augmentation, colour_distance, kl_divergence, locked
from anonymize.lab.train.guard import Guard
from anonymize.lab.train.parallel import average_gradients, average_numbers, share_parameters
from anonymize.lab.train.projected import (
    ProjectedDiscriminator,
    hinge_loss,
    lead,
    perceptual_distance,
    realism_loss,
)

BETAS, DISCRIMINATOR_BETAS = (0.5, 0.99), (0.0, 0.99)
LATENT_PARTS = ("mapping", "mapper", "texture", "parts")
SEED_STRIDE = 1_000_003
DRAWN_FOR_CENTERS = 8192
COLOUR_BATCH, COLOUR_PEOPLE = 64, 512
FIT_EVERY = 50
HEAD_PX = 64
"""Size at which heads are looked at."""
TRUE_PLACE = 0.5
"""Share of the people whose true place is known who are made in front of it, as before a clean plate; the others in
front of one that is filled from its border."""
STAGES = 3
LEAST_NORM = 1e-6
"""Norm of the gradients below which the layers are saturated, and nothing is learnt any more."""
PREVIEWED = 8


@dataclass(frozen=True)
class LayeredOptions:
    """How the generator of layers is trained.

    Attributes:
        minutes: Length of the schedule, of one process' time.
        stretch_minutes: Stop after so many of them, to go on later; None to go through.
        stage_ends: Shares of the schedule at which the first two stages end.
        batch_size: People a step and process at half size; half as many at full size.
        learning_rate: Of Adam at the top of the schedule, for parameters of unit variance (`Scaled`).
        latent_rate: Share of it for what makes and maps z.
        discriminator_rate: Learning rate of the discriminators.
        warmup: Steps from 0 to `learning_rate`, of each stage.
        ema: Decay of the averaged generator, which is what is exported.
        colours, perceptual, alpha, kl: Weights of the reconstruction's losses.
        head: Weight of what is seen in heads, over that in the whole.
        adversarial: Weight of the discriminators.
        augmentation: Strength of what the discriminators see changed.
        mapped: Share of the people made from z that the mapper read, once there is a discriminator.
        lead: Lead of the discriminators (see `lead`) from which their rate falls.
        colour_steps: Steps before the first in which z learns to carry the colours of people alone.
        seed: Of the initial parameters, the pictures and all noise.
        log_every, save_every: In steps.
    """

    minutes: float = 480.0
    stretch_minutes: float | None = None
    stage_ends: tuple[float, float] = (0.35, 0.75)
    batch_size: int = 12
    learning_rate: float = 8e-3
    latent_rate: float = 0.1
    discriminator_rate: float = 4e-4
    warmup: int = 100
    ema: float = 0.998
    colours: float = 10.0
    perceptual: float = 10.0
    alpha: float = 5.0
    kl: float = 0.002
    head: float = 0.5
    adversarial: float = 1.0
    augmentation: float = 0.3
    mapped: float = 0.6
    lead: float = 0.6
    colour_steps: int = 1000
    seed: int = 0
    log_every: int = 20
    save_every: int = 250


class LayeredTraining:
    """The state of one training: generator, its average, discriminators, their optimisers, the stage and the step.

    Args:
        folder: Checkpoint, log and previews go here; a checkpoint found there is gone on with.
        options: See `LayeredOptions`.
        config: Shape of the generator at full size.
        device: Where to train.
        features: Maps of `SCALE_CHANNELS` at the strides of `SCALES`, see `FrozenFeatures`; not trained.
        rank: Of this process, see `anonymize.lab.train.parallel`; only the first writes files.

    Raises:
        OptionError: The checkpoint in `folder` is of another network, or the config is of no generator of layers.
    """

    def __init__(
        self,
        folder: Path,
        options: LayeredOptions,
        config: GeneratorConfig,
        device: torch.device | str,
        features: nn.Module,
        rank: int = 0,
    ) -> None:
        if not config.alpha:
            raise OptionError("the network has no alpha")
        torch.manual_seed(options.seed)
        self.folder, self.options, self.full_config, self.rank = folder, options, config, rank
        self.device = torch.device(device)
        self.features = self._to(features)
        self.queue = LatentQueue(config.latent, config.known).to(self.device)
        self.step, self.seconds, self.pictures = 0, 0.0, 0
        self.rate_factor = self.discriminator_factor = 1.0
        self.fallbacks = 0
        self.guard = Guard()
        self._build(0)
        self.fresh = not self.checkpoint.exists()
        if not self.fresh:
            self._resume()
        self._keep()

    def _to(self, module: Any) -> Any:
        return module.to(self.device, memory_format=torch.channels_last)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds."""
        return {
            "generator": self.generator,
            "averaged": self.averaged,
            "discriminator": self.discriminator,
            "head_discriminator": self.head_discriminator,
            "queue": self.queue,
        }

    def _build(self, stage: int) -> None:
        """New networks of a stage."""
        self.stage = stage
        self.config = self.full_config if stage == STAGES - 1 else self.full_config.halved(1)
        told = self.told_of(torch.zeros(1, self.config.condition_channels, 1, 1)).shape[1]
        self.generator: LayeredNetwork = self._to(LayeredNetwork(self.config))
        self.averaged: LayeredNetwork = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.discriminator: ProjectedDiscriminator = self._to(ProjectedDiscriminator(told))
        self.head_discriminator: ProjectedDiscriminator = self._to(ProjectedDiscriminator(told))
        self._optimizers()

    def _optimizers(self) -> None:
        options = self.options
        latent = [p for n, p in self.generator.named_parameters() if n.partition(".")[0] in LATENT_PARTS]
        known = {id(p) for p in latent}
        rest = [p for p in self.generator.parameters() if id(p) not in known]
        groups = [{"params": rest, "share": 1.0}, {"params": latent, "share": options.latent_rate}]
        self.discriminator_parameters = [
            p for j in (self.discriminator, self.head_discriminator) for p in j.parameters() if p.requires_grad
        ]
        self.optimizers = {
            "generator": torch.optim.Adam(groups, betas=BETAS, fused=True),
            "discriminator": torch.optim.Adam(self.discriminator_parameters, betas=DISCRIMINATOR_BETAS, fused=True),
        }

    def enter(self, stage: int) -> None:
        """Go on to a stage, with what was learnt so far; optimisers begin anew."""
        was = {name: module.state_dict() for name, module in self.modules.items()}
        smaller = self.config
        self._build(stage)
        if smaller == self.config:
            self.generator.load_state_dict(was["generator"])
            self.averaged.load_state_dict(was["averaged"])
        else:
            grow(self.generator, was["averaged"], 1)
            self.averaged.load_state_dict(self.generator.state_dict())
            self.discriminator.load_state_dict(was["discriminator"])
            self.head_discriminator.load_state_dict(was["head_discriminator"])
        share_parameters(self.discriminator)
        share_parameters(self.head_discriminator)
        share_parameters(self.generator)
        share_parameters(self.averaged)
        self.guard = Guard()
        self.entered = self.step
        self._keep()

    def _resume(self) -> None:
        state = load_checkpoint(self.checkpoint, self.device)
        if GeneratorConfig.from_dict(json.loads(state["config"])) != self.full_config:
            raise OptionError(f"{self.checkpoint} is of another network; choose another folder")
        progress = json.loads(state["progress"])
        self._build(progress["stage"])
        self._load(state)
        self.step, self.seconds, self.pictures = (progress[name] for name in ("step", "seconds", "pictures"))
        self.entered, self.fallbacks = progress["entered"], progress["fallbacks"]
        self.rate_factor, self.discriminator_factor = progress["rate_factor"], progress["discriminator_factor"]

    def _state(self) -> dict[str, Any]:
        return {name: module.state_dict() for name, module in self.modules.items()} | {
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        }

    def _load(self, state: dict[str, Any]) -> None:
        for name, module in self.modules.items():
            module.load_state_dict(state[name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])

    entered = 0
    """The step at which the stage began."""

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.checkpoint.with_suffix(".tmp")
        names = (
            "step",
            "seconds",
            "pictures",
            "stage",
            "entered",
            "fallbacks",
            "rate_factor",
            "discriminator_factor",
        )
        progress = {name: getattr(self, name) for name in names}
        config = json.dumps(self.full_config.to_dict())
        torch.save(self._state() | {"config": config, "progress": json.dumps(progress)}, temporary)
        temporary.replace(self.checkpoint)

    def _keep(self) -> None:
        """Remember the state of now as a good one."""
        self._good = copy.deepcopy(self._state())

    def _fall_back(self) -> None:
        self._load(copy.deepcopy(self._good))
        self.rate_factor *= 0.3
        self.fallbacks += 1
        self.guard.again()
        tqdm.write(
            f"step {self.step}: diverged; back to the last good parameters, at {self.rate_factor:.2g} of the rate"
        )

    @property
    def progress(self) -> float:
        """Share of the schedule that is done, in [0, 1]."""
        return min(1.0, self.seconds / max(1e-9, 60 * self.options.minutes))

    def learning_rate(self) -> float:
        """Linear warm-up in each stage, half a cosine down to 5 % over the schedule (Loshchilov and Hutter 2017)."""
        warm = min(1.0, (self.step - self.entered + 1) / max(1, self.options.warmup))
        top = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * self.progress))
        return self.options.learning_rate * warm * top * self.rate_factor

    def train_step(self, batch: LayeredBatch) -> dict[str, float]:
        """One step of all networks and of the average; returns the losses."""
        torch.manual_seed((self.options.seed * 64 + self.rank) * SEED_STRIDE + self.step)
        rate = self.learning_rate()
        for group in self.optimizers["generator"].param_groups:
            group["lr"] = rate * group["share"]
        batch = batch.to(self.device)
        losses, seen = self.generator_losses(batch)
        watched = sum(losses[name].item() for name in ("colours", "perceptual", "alpha") if name in losses)
        watched, norm = self._descend("generator", losses, list(self.generator.parameters()), watched)
        values = {name: value.item() for name, value in losses.items()} | {"rate": rate}
        if seen is not None:
            values |= self._discriminator_step(seen)
        self._average()
        if self.step % FIT_EVERY == 0 and self.queue.complete:
            for network in (self.generator, self.averaged):
                network.prior.fit(self.queue.z)
        self.step += 1
        self.pictures += len(batch)
        if self.guard.diverged(watched if norm > LEAST_NORM else math.nan):
            self._fall_back()
        elif self.step % (self.options.save_every // 2) == 0 and self.guard.good:
            self._keep()
        return values

    def _discriminator_step(self, seen: Seen) -> dict[str, float]:
        """One step of the discriminators, on the features that the generator was judged by."""
        for group in self.optimizers["discriminator"].param_groups:
            group["lr"] = (
                self.options.discriminator_rate
                * self.discriminator_factor
                * min(1.0, (self.step - self.entered + 1) / 100)
            )
        losses, leads = {}, []
        with self._low_precision():
            for name, discriminator, real, made, told in seen:
                scores = discriminator(real, told), discriminator([m.detach() for m in made], told)
                losses[name] = hinge_loss(*scores)
                leads.append(lead(*(([s.detach() for s in each]) for each in scores)))
        ahead, _ = self._descend(
            "discriminator", losses, self.discriminator_parameters, float(torch.stack(leads).mean())
        )
        self._ahead += 0.02 * (ahead - self._ahead)
        towards = 0.98 if self._ahead > self.options.lead else 1 / 0.98
        self.discriminator_factor = min(1.0, max(0.01, self.discriminator_factor * towards))
        return {name: value.item() for name, value in losses.items()} | {
            "lead": self._ahead,
            "discriminator_factor": self.discriminator_factor,
        }

    _ahead = 0.0

    def generator_losses(self, batch: LayeredBatch) -> tuple[dict[str, Tensor], Seen | None]:
        """Weighted losses of the generator, and what the discriminators are to see; None in the first stage.

        The first part of the batch is made from z that the mapper read, the rest from z drawn from its prior.
        """
        options, count = self.options, len(batch)
        adversarial = self.stage > 0
        known = count
        if adversarial:
            known = math.ceil(options.mapped * count)
        losses: dict[str, Tensor] = {}
        with torch.no_grad():
            plate = torch.rand(count, device=self.device) < TRUE_PLACE
            condition, behind = condition_of(batch, plate)
            cover = batch.cover * (1 - batch.others)
        with self._low_precision():
            if self.generator.mapper is not None:
                mean, log_variance = self.generator.read(batch.appearance[:known])
                z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
                losses["kl"] = options.kl * kl_divergence(mean, log_variance)
                self.queue.push(z.detach())
            else:
                known, z = 0, torch.zeros(0, self.config.latent, device=self.device)
            drawn = torch.randn(count - known, self.config.latent, device=self.device)
            z = torch.cat([z, self.generator.prior(drawn).float()])
            layers = self.generator(condition, self.generator.mapping(z)).float()
            made = composite(layers, behind)
            losses["alpha"] = options.alpha * masked_mean((layers[:, 3:] - batch.alpha).abs(), cover, known)
            losses["colours"] = options.colours * colour_distance(made[:known], batch.pictures[:known], cover[:known])
            plain = torch.cat([self.told_of(condition), cover], 1)
            pictures, views, told = batch.pictures, made, plain
            if adversarial:  # real and made pictures are changed alike, and what is told of them
                change = Augmentation.draw(count, self.device, options.augmentation)
                views, told = change(made, plain)
                pictures, _ = change(batch.pictures, plain[:, :3])
            heads = heads_of(batch.heads)
            close = [cut_heads(p, heads) for p in (batch.pictures, made, plain)]
            with torch.no_grad():
                real = self.features(_last(pictures)), self.features(_last(close[0]))
            seen = self.features(_last(views)), self.features(_last(close[1]))
            whole = perceptual_distance([m[:known] for m in seen[0]], [m[:known] for m in real[0]], told[:known, -1:])
            losses["perceptual"] = options.perceptual * whole
            heads_known = int((heads.rows < known).sum())
            if heads_known:
                maps = ([m[:heads_known] for m in each[1]] for each in (seen, real))
                head = perceptual_distance(next(maps), next(maps), close[2][:heads_known, -1:])
                losses["head"] = options.perceptual * options.head * head
            if not adversarial:
                return losses, None
            shown: Seen = [("discriminator", self.discriminator, real[0], seen[0], told[:, :-1].detach())]
            if len(heads.rows):
                shown.append(
                    ("head_discriminator", self.head_discriminator, real[1], seen[1], close[2][:, :-1].detach())
                )
            for name, discriminator, _, made_maps, knows in shown:
                with locked(discriminator):
                    weight = options.adversarial * (options.head if name == "head_discriminator" else 1.0)
                    losses["fool" if name == "discriminator" else "fool_head"] = weight * realism_loss(
                        discriminator(made_maps, knows)
                    )
        return losses, shown

    def told_of(self, condition: Tensor) -> Tensor:
        """What the discriminators are told beside the picture, [B, C, H, W]: place, body and embedding.

        They are not told the cover (`improved_conditioning`, thesis 4.10), unless that is off.
        """
        told = [condition[:, :MASK], condition[:, -2:-1]]
        if self.config.judge_pose:
            told.append(condition[:, MASK + 1 : -2])
        if not self.config.improved_conditioning:
            told.append(condition[:, MASK : MASK + 1])
        return torch.cat(told, 1)

    def _descend(
        self, name: str, losses: dict[str, Tensor], parameters: list[nn.Parameter], also: float
    ) -> tuple[float, float]:
        """A step of an optimiser on the mean gradients of all processes.

        Returns:
            The mean of `also`, and the norm of the gradients of the optimiser's first group.
        """
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        mean = average_gradients(parameters, also)
        gradients = [p.grad for p in optimizer.param_groups[0]["params"] if p.grad is not None]
        first = nn.utils.get_total_norm(gradients)
        norm = nn.utils.clip_grad_norm_(parameters, 100.0)
        if bool(torch.isfinite(norm)):  # a single bad batch must not end hours of training
            optimizer.step()
        return mean, float(first)

    def _low_precision(self) -> torch.autocast:
        return low_precision_context(self.device)

    @torch.no_grad()
    def _average(self) -> None:
        since = self.step - self.entered if self.stage == 0 else self.step
        decay = min(self.options.ema, (1 + since) / (10 + since))
        for mean, value in zip(self.averaged.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)

    def learn_colours(self, people: People) -> None:
        """Let z carry the mean colours of people from the mapper to the texture, before there are any pictures.

        Minutes of small matrices save hours of pictures: the decoder begins with colours that follow z.
        """
        options, network = self.options, self.generator
        if network.mapper is None or not options.colour_steps:
            return
        torch.manual_seed(options.seed)
        network.parts.spread(torch.from_numpy(people.table.embedding).to(self.device))
        rng = np.random.default_rng([options.seed, options.seed])
        seen = []
        for _ in tqdm(range(0, COLOUR_PEOPLE, 32), desc="colours of people", disable=None):
            looks = people.layered_batch(rng, 32).appearance.to(self.device)
            with torch.no_grad():
                seen.append(network.parts.mean_colours(looks[:, :3], looks[:, 4:-1], looks[:, -1:] * looks[:, 3:4]))
        known = torch.cat(seen)
        modules = [network.mapper.colours, network.mapper.out, network.mapping, network.texture]
        adam = torch.optim.Adam([p for m in modules for p in m.parameters()], 1e-3, (0.0, 0.99), fused=True)
        for _ in tqdm(range(options.colour_steps), desc="colours", unit="step", disable=None):
            given = known[torch.randint(len(known), (COLOUR_BATCH,), device=self.device)]
            mean, log_variance = network.mapper.from_colours(given)
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            made = network.colours_of(network.mapping(z))
            distance = ((made - given[..., :3]).abs().mean(2) * given[..., 3]).sum() / given[..., 3].sum()
            loss = options.colours * distance + options.kl * kl_divergence(mean, log_variance)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        self.averaged.load_state_dict(network.state_dict())

    def stage_due(self) -> int:
        """The stage that the schedule is in."""
        return sum(self.progress >= end for end in self.options.stage_ends)

    def run(self, open_people: Callable[[int], People]) -> None:
        """Train to the end of the schedule or of the stretch; checkpoints, log and previews on the way.

        Args:
            open_people: The dataset at half of its size so many times.
        """
        options = self.options
        log = Log(self.folder) if self.rank == 0 else None
        if log is not None:
            (self.folder / "options.json").write_text(json.dumps(asdict(options), indent=1))
        first, late = self.seconds, False
        people = open_people(1 if self.stage < STAGES - 1 else 0)
        if self.fresh:
            if self.rank == 0:
                self.learn_colours(people)
            share_parameters(self.generator)
            share_parameters(self.averaged)
            self._keep()
        while self.progress < 1 and not late:
            if self.stage_due() > self.stage:
                self.enter(self.stage + 1)
                if self.stage == STAGES - 1:
                    people = open_people(0)
            late = self._run_stage(people, log, first)
        if self.rank == 0:
            self.export(self.folder / "generator.safetensors")

    def _run_stage(self, people: People, log: Log | None, first: float) -> bool:
        """Train to the end of the stage; whether the stretch is over."""
        options = self.options
        size = options.batch_size if self.stage < STAGES - 1 else max(1, options.batch_size // 2)
        stream = LayeredBatches(people, size, seed=(options.seed, self.step, self.rank))
        batches: Iterator[LayeredBatch] = iter(DataLoader(stream, batch_size=None, num_workers=0))
        preview = people.layered_batch(np.random.default_rng(options.seed), PREVIEWED)
        late = False
        with tqdm(desc=f"stage {self.stage + 1}", unit="step", disable=None) as bar:
            while not late and self.progress < 1 and self.stage_due() == self.stage:
                began = time.monotonic()
                values = self.train_step(next(batches))
                bar.update()
                (mean,) = average_numbers([time.monotonic() - began])
                self.seconds += mean
                late = options.stretch_minutes is not None and self.seconds - first >= 60 * options.stretch_minutes
                if log is None:
                    continue
                if self.step % options.log_every == 0:
                    told = {"pictures": self.pictures, "seconds": self.seconds, "stage": self.stage}
                    log.write(self.step, values | told | {"fallbacks": self.fallbacks})
                if self.step % options.save_every == 0 or self.progress >= 1 or late:
                    self.save()
                    self.write_preview(preview)
        return late

    @torch.no_grad()
    def write_preview(self, batch: LayeredBatch) -> None:
        """One row a person as PNG: condition, made with the z read, alpha, made with two drawn z, truth."""
        batch = batch.to(self.device)
        condition, _ = condition_of(batch, torch.arange(len(batch), device=self.device) % 2 == 0)
        rng = torch.Generator().manual_seed(1)
        body = condition[:, -2:-1]
        columns = [condition[:, :3] * (1 - 0.5 * body) + 0.5 * body * condition[:, MASK + 1 : MASK + 4].tanh()]
        drawn = [self.averaged.prior(torch.randn(1, self.config.latent, generator=rng).to(self.device)) for _ in "ab"]
        latents = [z.expand(len(batch), -1) for z in drawn]
        with self._low_precision():
            if self.averaged.mapper is not None:
                latents.insert(0, self.averaged.read(batch.appearance)[0])
            for z in latents:
                layers = self.averaged(condition, self.averaged.mapping(z)).float()
                columns.append(composite(layers, condition[:, :3]))
        columns += [layers[:, 3:].expand(-1, 3, -1, -1) * 2 - 1, batch.pictures]
        sheet = torch.cat([c.float() for c in columns], 2).permute(2, 0, 3, 1).flatten(1, 2)  # [6 H, B W, 3]
        pixels = ((sheet + 1) * 127.5).clamp(0, 255).byte().cpu().numpy()
        cv2.imwrite(str(self.folder / f"preview-{self.step:06d}.png"), np.ascontiguousarray(pixels[..., ::-1]))

    @torch.no_grad()
    def export(self, path: Path) -> None:
        """Write the averaged network, with the mean and the centres of its w, as a weights file (half precision)."""
        rng = torch.Generator().manual_seed(self.options.seed)
        z = torch.randn(DRAWN_FOR_CENTERS, self.config.latent, generator=rng)
        w = self.averaged.mapping(self.averaged.prior(z.to(self.device))).float()
        self.averaged.w_mean.copy_(w.mean(0))
        self.averaged.w_centers.copy_(cluster(w, self.config.centers))
        notes = {"steps": str(self.step), "seconds": f"{self.seconds:.0f}", "pictures": str(self.pictures)}
        save_weights(path, self.averaged, notes)


Seen = list[tuple[str, ProjectedDiscriminator, list[Tensor], list[Tensor], Tensor]]
"""Name, discriminator, features of real and made pictures, and what it is told."""


def condition_of(batch: LayeredBatch, plate: Tensor) -> tuple[Tensor, Tensor]:
    """The generator's input, and the place [B, 3, H, W] that its layers are put on.

    Behind the person's own pixels nothing of them is known; elsewhere the place is the picture's.

    Args:
        batch: The people.
        plate: [B] bool, who is made in front of their true place, if it is known; the others in front of one that is
            filled from its border.
    """
    padding = batch.surface[:, -1:]
    filled = surroundings(batch.pictures, (1 - batch.cover) * (1 - padding))
    shown = (plate & batch.placed).view(-1, 1, 1, 1)
    seen = torch.where(shown, batch.places, filled) * (1 - padding)
    condition = torch.cat([seen, batch.cover, batch.surface], 1)
    own = (batch.alpha > 0).to(filled.dtype)
    behind = torch.where(batch.placed.view(-1, 1, 1, 1), batch.places, own * filled + (1 - own) * batch.pictures)
    return condition, behind


@dataclass(frozen=True, eq=False)
class Heads:
    """Where heads are: rows [N] int64 of the batch and grids [N, HEAD_PX, HEAD_PX, 2] of `grid_sample`."""

    rows: Tensor
    grids: Tensor


def heads_of(boxes: Tensor) -> Heads:
    """The heads of a batch's boxes [B, 4], see `LayeredBatch.heads`."""
    rows = boxes.any(1).nonzero()[:, 0]
    low, high = boxes[rows, :2], boxes[rows, 2:]
    theta = torch.zeros(len(rows), 2, 3, device=boxes.device)
    theta[:, 0, 0], theta[:, 1, 1] = ((high - low) / 2).unbind(1)
    theta[:, :, 2] = (high + low) / 2
    size = [len(rows), 1, HEAD_PX, HEAD_PX]
    grids = F.affine_grid(theta, size, align_corners=False) if len(rows) else theta.new_zeros(0, HEAD_PX, HEAD_PX, 2)
    return Heads(rows, grids)


def cut_heads(planes: Tensor, heads: Heads) -> Tensor:
    """The heads in planes [B, C, H, W], [N, C, HEAD_PX, HEAD_PX]."""
    if not len(heads.rows):
        return planes.new_zeros(0, planes.shape[1], HEAD_PX, HEAD_PX)
    return F.grid_sample(planes[heads.rows].float(), heads.grids, padding_mode="border", align_corners=False)


def masked_mean(values: Tensor, mask: Tensor, count: int) -> Tensor:
    """Mean of the first samples' values [B, 1, H, W] where the mask is."""
    return (values * mask)[:count].sum() / mask[:count].sum().clamp(min=1.0)


def _last(pictures: Tensor) -> Tensor:
    return pictures.contiguous(memory_format=torch.channels_last)
