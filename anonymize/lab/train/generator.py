"""Training of the thesis' generators, which paint the whole cover: `anonymize train stylegan`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from anonymize.core.device import low_precision_context
from anonymize.core.errors import OptionError
from anonymize.core.resources import DETECTOR, weights_path
from anonymize.detect.build import load_network as load_detector
from anonymize.generate.build import load_network, save_weights
from anonymize.generate.latents import cluster
from anonymize.generate.network import MASK, Discriminator, GeneratorConfig, GeneratorNetwork, grow, merge
from anonymize.lab.train.dataset_reader import GeneratorBatch, People, PeopleBatches
from anonymize.lab.train.detector import Log
from anonymize.lab.train.generator_losses import (
    Augmentation,
    PerceptualDistance,
    colour_distance,
    discriminator_loss,
    epsilon_penalty,
    feature_distances,
    generator_loss,
    gradient_penalty,
    kl_divergence,
    locked,
)

M = TypeVar("M", bound=nn.Module)
BETAS, DISCRIMINATOR_BETAS = (0.5, 0.99), (0.0, 0.99)
LATENT_PARTS = ("mapping", "mapper", "palette", "parts")
WEIGHTS = ".safetensors"
DRAWN_FOR_CENTERS = 8192
RANDOM_IN_PREVIEW = 4
COLOUR_BATCH = 128
FIT_EVERY = 50
FULL_PIXELS = 288 * 160
SEED_STRIDE = 1_000_003
"""Between the seeds of two trainings, so that their steps do not share random numbers."""


@dataclass(frozen=True)
class GeneratorOptions:
    """How the generator is trained.

    Attributes:
        steps: Length of the cosine schedule; a resumed training may name another.
        batch_size: People a step.
        learning_rate: Of Adam at the top of the schedule. The thesis has 0.001 for tens of millions of pictures
            (5.2); to get anywhere in a thousand steps, parameters of unit variance need ten times as much.
        latent_rate: Share of it for what makes and maps z, as in StyleGAN, where it is 0.01.
        discriminator_rate: Share of it for the discriminator.
        warmup: Steps from 0 to `learning_rate`.
        ema: Decay of the averaged generator, which is what is exported.
        feature_weights: Weight of the feature maps of each resolution, that of 288 x 160 first; the last is that after
            the coarsest level's own convolution (thesis' row "more FM resolutions": the first five).
        feature_normalised: See `feature_distances`.
        feature_matching, kl: Weights of the losses (thesis 5.2.1: 5 and 0.01).
        colour_matching: Weight of the difference of colours, see `colour_distance`.
        perceptual: Weight of the difference of the detector's features, see `PerceptualDistance`.
        colour_steps: Steps before the first in which z learns to carry the colours of people alone, see
            `learn_colours`.
        colour_people: People it learns from.
        pairs: Factor on the feature matching of people whose z was read from another picture (thesis 7.2.1).
        r1: Weight of the gradient penalty (gamma of StyleGAN2) at 288 x 160; less for smaller pictures, by their share
            of pixels.
        r1_every: Steps from one gradient penalty to the next (lazy regularisation).
        epsilon: Weight of the epsilon penalty.
        r1_share: Share of the batch that the gradient penalty looks at.
        augmentation: Strength of what the discriminator sees changed, 0 for none.
        mapped: Share of the people made from z that the mapper read, see `GeneratorTraining.generator_losses`.
        compile: Compile the networks (`torch.compile`): a minute or two at the start, steps half as long on CPUs.
        seed: Of the initial parameters, the pictures and all noise.
        workers: Processes that read pictures; 0 reads them in the training's own.
        log_every, save_every: In steps.
        minutes: Stop (with a checkpoint) after so many minutes; None for no limit.
    """

    steps: int = 100_000
    batch_size: int = 32
    learning_rate: float = 1e-3
    latent_rate: float = 0.1
    discriminator_rate: float = 0.3
    warmup: int = 100
    ema: float = 0.999
    feature_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
    feature_normalised: bool = True
    feature_matching: float = 5.0
    kl: float = 0.01
    colour_matching: float = 10.0
    perceptual: float = 10.0
    colour_steps: int = 2500
    colour_people: int = 2048
    pairs: float = 1.0
    r1: float = 1.0
    r1_every: int = 16
    r1_share: float = 0.25
    epsilon: float = 1e-3
    augmentation: float = 0.3
    mapped: float = 0.75
    compile: bool = False
    seed: int = 0
    workers: int = 1
    log_every: int = 20
    save_every: int = 250
    minutes: float | None = None


class LatentQueue(nn.Module):
    """z of the people read last, the oldest making room for the newest."""

    def __init__(self, latent: int, people: int) -> None:
        super().__init__()
        self.z: Tensor
        self.pushed: Tensor
        self.register_buffer("z", torch.zeros(people, latent))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.long))

    @property
    def complete(self) -> bool:
        """Whether as many people were met as there is room for."""
        return int(self.pushed) >= len(self.z)

    def push(self, z: Tensor) -> None:
        """Keep z [N, latent]."""
        z = z[-len(self.z) :]
        rows = (self.pushed + torch.arange(len(z), device=z.device)) % len(self.z)
        self.z[rows] = z.detach().float()
        self.pushed += len(z)


@dataclass(frozen=True, eq=False)
class Showing:
    """How the discriminator sees one batch: real and made pictures with the same noise in the hole, changed alike.

    What differs between the two is then the people alone, for the scores as for the features.
    """

    discriminator: Discriminator
    condition: Tensor
    noise: Tensor
    augmentation: Augmentation

    def __call__(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The discriminator's inputs for pictures [B', 3, H, W] of the batch's first people."""
        few = len(pictures)
        told = self.discriminator.condition_on(pictures, self.condition[:few], self.noise[:few])
        return self.augmentation.first(few)(pictures, told)


class GeneratorTraining:
    """The state of one training: both networks, their optimisers, the averaged generator, the step.

    All random numbers of a step depend on seed and step alone, so that a stopped training goes on exactly.

    Args:
        folder: Checkpoint, log and previews go here; a checkpoint found there is gone on with.
        options: See `GeneratorOptions`.
        config: Shape of the networks; must equal that of a checkpoint gone on with.
        device: Where to train.
        start: What to begin with: a checkpoint of the same networks at any size (see `grow`), or weights of the
            generator alone (`.safetensors`).

    Raises:
        OptionError: The checkpoint in `folder` or `start` is of another network or version, or there are too few
            feature weights.
        WeightsError: `start` or the embedded detector's weights cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        options: GeneratorOptions,
        config: GeneratorConfig,
        device: torch.device | str,
        start: Path | None = None,
    ) -> None:
        maps = len(config.channels) + 1
        if len(options.feature_weights) < maps:
            raise OptionError(f"feature_weights needs {maps} values, got {len(options.feature_weights)}")
        torch.manual_seed(options.seed)
        self.folder, self.options, self.config, self.device = folder, options, config, torch.device(device)
        self.generator = _to(GeneratorNetwork(config), self.device)
        self.discriminator = _to(Discriminator(config), self.device)
        self.averaged = _to(GeneratorNetwork(config), self.device).eval().requires_grad_(False)
        self.averaged.load_state_dict(self.generator.state_dict())
        self._decode: Callable[..., Tensor] = self.generator.decode
        self._read: Callable[[Tensor], tuple[Tensor, Tensor]] = self.generator.read
        self._discriminate: Callable[..., tuple[Tensor, list[Tensor]]] = self.discriminator.forward
        if options.compile:
            self._decode, self._read = torch.compile(self._decode), torch.compile(self._read)
            self._discriminate = torch.compile(self._discriminate)
        self.latent_queue = LatentQueue(config.latent, config.known).to(self.device)
        self.perceptual: PerceptualDistance | None = None
        if options.perceptual and config.appearance_mapper:
            self.perceptual = _to(PerceptualDistance(load_detector(weights_path(DETECTOR))), self.device)
        share = options.r1_every / (options.r1_every + 1)  # lazy regularisation (StyleGAN2, appendix B)
        latent = [p for name, p in self.generator.named_parameters() if name.partition(".")[0] in LATENT_PARTS]
        known = {id(p) for p in latent}
        pictures = [p for p in self.generator.parameters() if id(p) not in known]
        discriminator = list(self.discriminator.parameters())
        self.optimizers = {
            "generator": _adam([(pictures, 1.0), (latent, options.latent_rate)], BETAS),
            "discriminator": _adam(
                [(discriminator, options.discriminator_rate)],
                (DISCRIMINATOR_BETAS[0] ** share, DISCRIMINATOR_BETAS[1] ** share),
            ),
        }
        self.step = 0
        self.seconds = 0.0
        self.fresh = False
        if self.checkpoint.exists():
            self._resume()
        elif start is not None:
            self._grow(start)
        else:
            self.fresh = True

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "averaged": self.averaged,
            "latent_queue": self.latent_queue,
        }

    def _resume(self) -> None:
        state = load_checkpoint(self.checkpoint, self.device)
        if GeneratorConfig.from_dict(json.loads(state["config"])) != self.config:
            raise OptionError(f"{self.checkpoint} is of another network; choose another folder")
        for name, module in self._modules.items():
            module.load_state_dict(_part(state, name, self.checkpoint))
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.step, self.seconds = state["step"], state["seconds"]

    def _grow(self, start: Path) -> None:
        if start.suffix == WEIGHTS:
            known = load_network(start)
            self._take(self.generator, known.config, known.state_dict(), start)
        else:
            state = load_checkpoint(start, self.device)
            config = GeneratorConfig.from_dict(json.loads(state["config"]))
            self._take(self.generator, config, state["averaged"], start)
            self._take(self.discriminator, config, state["discriminator"], start)
            self.latent_queue.load_state_dict(_part(state, "latent_queue", start))
            self.seconds = state["seconds"]
        self.averaged.load_state_dict(self.generator.state_dict())

    def _take(
        self,
        network: GeneratorNetwork | Discriminator,
        config: GeneratorConfig,
        parameters: Mapping[str, Tensor],
        source: Path,
    ) -> None:
        """Take over the parameters of a network of `config`, which has as many levels, fewer or more."""
        levels = len(self.config.channels), len(config.channels)
        larger, smaller = (self.config, config) if levels[0] >= levels[1] else (config, self.config)
        if len(smaller.channels) < 2 or larger.halved(abs(levels[0] - levels[1])) != smaller:
            raise OptionError(f"{source} is of another network, not of this one at any size")
        own = network.state_dict()
        kept = {name: value for name, value in parameters.items() if levels[0] >= levels[1] or name in own}
        grow(network, kept, max(0, levels[0] - levels[1]))

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.checkpoint.with_suffix(".tmp")
        state = {name: module.state_dict() for name, module in self._modules.items()}
        optimizers = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        progress = {"config": json.dumps(self.config.to_dict()), "step": self.step, "seconds": self.seconds}
        torch.save(state | {"optimizers": optimizers} | progress, temporary)
        temporary.replace(self.checkpoint)

    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine down to 5 % (Loshchilov and Hutter 2017)."""
        options = self.options
        if self.step < options.warmup:
            return options.learning_rate * (self.step + 1) / options.warmup
        progress = min(1.0, (self.step - options.warmup) / max(1, options.steps - options.warmup))
        return options.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))

    def train_step(self, batch: GeneratorBatch) -> dict[str, float]:
        """One step of both networks and of the average; returns the losses."""
        torch.manual_seed(self.options.seed * SEED_STRIDE + self.step)
        rate = self.learning_rate()
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate * group["share"]
        batch = batch.to(self.device)
        show = self.showing(batch.condition)
        losses, made, real_scores = self.generator_losses(batch, show)
        self._descend("generator", losses)
        judgement = self.discriminator_losses(batch, show, made, real_scores)
        self._descend("discriminator", judgement)
        self._average()
        if self.step % FIT_EVERY == 0:
            self._fit_prior()
        self.step += 1
        return {name: value.item() for name, value in (losses | judgement).items()} | {"rate": rate}

    def showing(self, condition: Tensor) -> Showing:
        """Draw how the discriminator sees a batch."""
        noise = torch.randn_like(condition[:, :3])
        augmentation = Augmentation.draw(len(condition), self.device, self.options.augmentation)
        return Showing(self.discriminator, condition, noise, augmentation)

    def generator_losses(self, batch: GeneratorBatch, show: Showing) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Weighted losses of the generator, the made pictures (detached), and the scores of the real ones.

        The first part of the batch is made from z that the mapper read, the rest from z drawn from its prior (all, if
        there is no mapper): both are judged. The real pictures go through the discriminator once for both networks'
        losses: their features are detached, their scores are not.
        """
        options, condition = self.options, batch.condition
        count, losses = len(condition), {}
        with self._low_precision():
            z = self.generator.prior(torch.randn(count, self.config.latent, device=self.device)).float()
            known = math.ceil(options.mapped * count) if self.generator.mapper is not None else 0
            if self.generator.mapper is not None:
                mean, log_variance = self._read(batch.appearance[:known])
                z = torch.cat([_sample(mean, log_variance), z[known:]])
                losses["kl"] = options.kl * kl_divergence(mean, log_variance)
            made = merge(self._decode(condition, self.generator.mapping(z)).float(), condition)
            if known:
                hidden = condition[:known, MASK : MASK + 1]
                distance = colour_distance(made[:known], batch.pictures[:known], hidden)
                losses["colours"] = options.colour_matching * distance
                if self.perceptual is not None:
                    distance = self.perceptual(made[:known], batch.pictures[:known], hidden)
                    losses["perceptual"] = options.perceptual * distance
            real_scores, wanted = self._discriminate(*show(batch.pictures))
            with locked(self.discriminator):
                scores, features = self._discriminate(*show(made))
                losses["generator"] = generator_loss(scores)
                if known:
                    distances = feature_distances(
                        [m[:known] for m in wanted],
                        [m[:known] for m in features],
                        normalised=options.feature_normalised,
                    )
                    weights = torch.tensor(options.feature_weights[-len(distances) :], device=self.device)
                    people = torch.where(batch.paired[:known], options.pairs, 1.0)
                    distance = (weights[:, None] * distances * people).sum(0).mean()  # thesis, equation 4.3
                    losses["features"] = options.feature_matching * distance
        if known:
            self.latent_queue.push(z[:known][batch.paired[:known]])
        return losses, made.detach(), real_scores

    def discriminator_losses(
        self, batch: GeneratorBatch, show: Showing, made: Tensor, real_scores: Tensor
    ) -> dict[str, Tensor]:
        """Weighted losses of the discriminator."""
        options = self.options
        with self._low_precision():
            made_scores, _ = self._discriminate(*show(made))
        losses = {
            "discriminator": discriminator_loss(real_scores, made_scores),
            "epsilon": options.epsilon * epsilon_penalty(real_scores),
        }
        if self.step % options.r1_every == 0:  # in full precision: gradients of gradients are small
            few = math.ceil(options.r1_share * len(batch.pictures))
            pictures = batch.pictures[:few].clone().requires_grad_(True)
            scores, _ = self.discriminator(*show(pictures))
            weight = options.r1 / 2 * options.r1_every * math.prod(pictures.shape[2:]) / FULL_PIXELS
            losses["r1"] = weight * gradient_penalty(pictures, scores)
        return losses

    def _descend(self, name: str, losses: dict[str, Tensor]) -> None:
        optimizer, module = self.optimizers[name], self._modules[name]
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(module.parameters(), 100.0)
        if bool(torch.isfinite(norm)):  # a single bad batch must not end hours of training
            optimizer.step()

    def _low_precision(self) -> torch.autocast:
        return low_precision_context(self.device)

    def learn_colours(self, people: People) -> None:
        """Let z carry the mean colours of people from the mapper to the palette, before there are any pictures.

        Minutes of small matrices save hours of pictures: the decoder begins with colours that follow z.
        """
        options, network, config = self.options, self.generator, self.config
        if network.parts is None or network.mapper is None or not options.colour_steps:
            return
        torch.manual_seed(options.seed)
        network.parts.spread(torch.from_numpy(people.table.embedding).to(self.device))
        rng, start = np.random.default_rng([options.seed, options.seed]), 3 + 1 + config.embedding
        seen = []
        for _ in tqdm(range(0, options.colour_people, options.batch_size), desc="colours of people", disable=None):
            looks = people.batch(rng, options.batch_size).appearance.to(self.device)
            body = looks[:, start : start + 1] * looks[:, MASK : MASK + 1]
            with torch.no_grad():
                seen.append(network.parts.mean_colours(looks[:, :3], looks[:, 4:start], body))
        known = torch.cat(seen)
        modules = [network.mapper.colours, network.mapper.out, network.mapping, network.palette]
        adam = torch.optim.Adam(
            [p for m in modules if m is not None for p in m.parameters()], 1e-3, DISCRIMINATOR_BETAS, fused=True
        )
        for _ in tqdm(range(options.colour_steps), desc="colours", unit="step", disable=None):
            given = known[torch.randint(len(known), (COLOUR_BATCH,), device=self.device)]
            mean, log_variance = network.mapper.from_colours(given)
            made = network.colours_of(network.mapping(_sample(mean, log_variance)))
            distance = ((made - given[..., :3]).abs().mean(2) * given[..., 3]).sum() / given[..., 3].sum()
            loss = options.colour_matching * distance + options.kl * kl_divergence(mean, log_variance)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        self.averaged.load_state_dict(network.state_dict())

    @torch.no_grad()
    def fill_latent_queue(self, people: People) -> None:
        """Read as many people as the prior of z is made of, before the first step.

        Only people read from another picture than the one to be made count: their z tells nothing of a place. Without
        such pairs z stays standard normal.
        """
        if self.generator.mapper is None or self.latent_queue.complete or not people.has_pairs:
            return
        torch.manual_seed(self.options.seed)
        rng = np.random.default_rng([self.options.seed] * 3)
        with tqdm(total=self.config.known, desc="people", disable=None) as progress:
            while not self.latent_queue.complete:
                batch = people.batch(rng, self.options.batch_size).to(self.device)
                with self._low_precision():
                    z = _sample(*self.generator.read(batch.appearance))
                self.latent_queue.push(z[batch.paired])
                progress.update(int(batch.paired.sum()))
        self._fit_prior()

    def _fit_prior(self) -> None:
        if self.latent_queue.complete:
            for network in (self.generator, self.averaged):
                network.prior.fit(self.latent_queue.z)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.options.ema, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.averaged.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)

    def run(self, people: People) -> None:
        """Train until `steps` or `minutes` are reached; checkpoints, log and previews on the way."""
        options = self.options
        if self.fresh:
            self.learn_colours(people)
        self.fill_latent_queue(people)
        stream = PeopleBatches(people, options.batch_size, seed=options.seed, first=self.step)
        loader: DataLoader[GeneratorBatch] = DataLoader(stream, batch_size=None, num_workers=options.workers)
        log = Log(self.folder)
        preview = people.batch(np.random.default_rng(options.seed), min(8, options.batch_size))
        began, already = time.monotonic(), self.seconds
        batches: Iterator[GeneratorBatch] = iter(loader)
        with tqdm(initial=self.step, total=options.steps, desc="generator", unit="step", disable=None) as progress:
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
        self.export(self.folder / "generator.safetensors")

    @torch.no_grad()
    def write_preview(self, batch: GeneratorBatch) -> None:
        """One row a person as PNG: condition, real, reconstruction, then the same random z in every row."""
        batch = batch.to(self.device)
        count = len(batch.pictures)
        rng = torch.Generator().manual_seed(0)
        noise = [torch.randn(1, 1, *s, generator=rng).to(self.device) for s in self.config.noise_sizes]
        noise = [n.expand(count, -1, -1, -1) for n in noise]
        body = batch.condition[:, -2:-1]
        seen = batch.condition[:, :3] + 0.5 * body * (batch.condition[:, MASK : MASK + 1])
        columns = [seen, batch.pictures]
        with self._low_precision():
            latents = [torch.randn(1, self.config.latent, generator=rng) for _ in range(RANDOM_IN_PREVIEW)]
            latents = [self.averaged.prior(z.to(self.device)).expand(count, -1) for z in latents]
            if self.averaged.mapper is not None:
                latents.insert(0, self.averaged.read(batch.appearance)[0])
            columns += [self.averaged(batch.condition, self.averaged.mapping(z), noise) for z in latents]
        sheet = torch.cat([c.float() for c in columns], 3).permute(0, 2, 3, 1).flatten(0, 1)  # [B * H, columns * W, 3]
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
        save_weights(path, self.averaged, {"steps": str(self.step), "seconds": f"{self.seconds:.0f}"})


def _adam(groups: list[tuple[list[nn.Parameter], float]], betas: tuple[float, float]) -> torch.optim.Adam:
    """Adam for groups of parameters, each with its share of the learning rate."""
    return torch.optim.Adam([{"params": p, "share": s} for p, s in groups], betas=betas, fused=True)


def _sample(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Draw from normal distributions so that gradients reach both parameters (Kingma and Welling 2014)."""
    return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)


def _part(state: dict[str, Any], name: str, path: Path) -> Any:
    """A part of a checkpoint.

    Raises:
        OptionError: It is of an earlier version that had none.
    """
    if name not in state:
        raise OptionError(f"{path} is of another version: it holds no {name}; begin with its exported weights instead")
    return state[name]


def _to(module: M, device: torch.device) -> M:
    return module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a training's checkpoint; nothing in it is executed.

    Raises:
        OptionError: It is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, UnpicklingError, EOFError) as error:
        raise OptionError(f"{path} is no checkpoint of a training: {error}") from error
    return state
