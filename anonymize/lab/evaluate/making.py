"""What a generator makes in the places of a dataset's people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from anonymize.core.errors import OptionError
from anonymize.generate.latents import draw_latent, draw_noise, truncate
from anonymize.generate.layered import composite
from anonymize.generate.network import GeneratorBase
from anonymize.lab.train.dataset import PersonCrop
from anonymize.lab.train.dataset_reader import LayeredBatch, People
from anonymize.lab.train.layered import condition_of

SEED = 1_000_000
BATCH = 8


class Maker:
    """Held-out people and what a generator makes in their places.

    Args:
        network: The generator.
        people: Held-out people.
        limit: At most so many pictures, spread over the dataset; None for all.

    Attributes:
        rows: The pictures' rows in the dataset.
    """

    def __init__(self, network: GeneratorBase, people: People, limit: int | None = None) -> None:
        self.network, self.people = network.eval().requires_grad_(False), people
        rows = np.arange(len(people))
        if limit is not None and limit < len(rows):
            rows = np.linspace(0, len(rows) - 1, limit).astype(int)
        self.rows: list[int] = rows.tolist()

    def sample(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        """Picture, condition and appearance of a person, always the same."""
        crop: PersonCrop = self.people[row]
        return self.people.sample(np.random.default_rng([SEED, row]), crop, crop)

    def layered(self, rows: Sequence[int]) -> LayeredBatch:
        """The same for a generator of layers."""
        crops = ((row, self.people[row]) for row in rows)
        samples = (
            self.people.layered_sample(np.random.default_rng([SEED, row]), crop, crop, paired=False)
            for row, crop in crops
        )
        return LayeredBatch(*(torch.stack(values) for values in zip(*samples, strict=True)))

    @torch.inference_mode()
    def make(self, rows: Sequence[int], z: Tensor, truncation: float = 1.0) -> Iterator[Tensor]:
        """Pictures [3, h, w] in [-1, 1]."""
        for start in tqdm(range(0, len(rows), BATCH), desc="people", leave=False, disable=None):
            part = rows[start : start + BATCH]
            w = truncate(self.network.mapping(z[start : start + BATCH]), self.network.w_mean[None], truncation)
            if self.network.config.alpha:
                batch = self.layered(part)
                condition, behind = condition_of(batch, torch.zeros(len(part), dtype=torch.bool))
                yield from composite(self.network(condition, w).float(), behind).clamp(-1, 1)
                continue
            condition = torch.stack([self.sample(row)[1] for row in part])
            drawn = [draw_noise(SEED, row, self.network.config.noise_sizes) for row in part]
            noise = [torch.stack(level) for level in zip(*drawn, strict=True)]
            yield from self.network(condition, w, noise).float().clamp(-1, 1)

    @torch.inference_mode()
    def read(self, rows: Sequence[int]) -> Tensor:
        """z [N, latent] of people, by the appearance mapper."""
        if not self.network.config.appearance_mapper:
            raise OptionError("this generator has no appearance mapper")
        if self.network.config.alpha:
            return torch.cat([self.network.read(self.layered([row]).appearance)[0] for row in rows])
        return torch.cat([self.network.read(self.sample(row)[2][None])[0] for row in rows])

    def draw(self, count: int, first: int = 0) -> Tensor:
        """z [count, latent] as the pipeline draws it."""
        noise = torch.stack([draw_latent(SEED, first + i, self.network.config.latent) for i in range(count)])
        with torch.inference_mode():
            z: Tensor = self.network.prior(noise)
        return z
