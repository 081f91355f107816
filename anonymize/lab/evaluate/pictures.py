"""How good a generator's pictures are: FID, FID-CLIP and LPIPS (thesis 4.11, tables 5.1 and 5.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from anonymize.core.errors import OptionError
from anonymize.core.types import BoolArray, FloatArray
from anonymize.generate.build import load_network
from anonymize.generate.network import GeneratorBase
from anonymize.lab.evaluate.intervals import Estimate, jackknife
from anonymize.lab.evaluate.making import Maker
from anonymize.lab.evaluate.picture_networks import Describer, Judge, PictureNetworks, in_batches
from anonymize.lab.train.dataset import SIZE
from anonymize.lab.train.dataset_reader import People

COLUMNS = ("FID", "FID-CLIP", "LPIPS", "LPIPS reconstructed", "LPIPS diversity")


def load_models(models: Mapping[str, Path]) -> tuple[dict[str, GeneratorBase], int]:
    """Generators by name, and how often the dataset's crops are halved for them.

    Raises:
        WeightsError: A file cannot be read.
        OptionError: Their pictures differ in size, which no figure would bear.
    """
    networks = {name: load_network(path) for name, path in models.items()}
    sizes = {network.config.size_hw for network in networks.values()}
    if len(sizes) > 1:
        raise OptionError(f"models of different sizes cannot be compared: {sorted(sizes)}")
    return networks, (SIZE[0] // next(iter(sizes))[0]).bit_length() - 1


def measure(
    models: Mapping[str, Path], data: Path, networks: PictureNetworks, limit: int | None = None
) -> dict[str, Any]:
    """Figures of generators on the held-out people of a dataset.

    Args:
        models: Weights of generators by name.
        data: Dataset of `anonymize dataset`.
        networks: Describe pictures.
        limit: At most so many pictures.

    Returns:
        `networks`, `pictures`, and `rows`: by model and column an `Estimate`, None where there is none.

    Raises:
        WeightsError: Weights cannot be read.
        OptionError: There are too few people, or the models' pictures differ in size.
    """
    generators, halvings = load_models(models)
    people = People(data, held_out=True, halvings=halvings)
    makers = {name: Maker(generator, people, limit) for name, generator in generators.items()}
    rows = next(iter(makers.values())).rows
    if len(rows) < 3:
        raise OptionError(f"{data} holds {len(rows)} held-out people: too few for a distribution")
    return {
        "networks": networks.names,
        "pictures": len(rows),
        "rows": {name: measure_one(maker, networks) for name, maker in makers.items()},
    }


def measure_one(maker: Maker, networks: PictureNetworks) -> dict[str, Estimate | None]:
    """Figures of one generator by column, see `measure`; z is drawn twice for each picture, without truncation."""
    rows, count = maker.rows, len(maker.rows)
    who = [maker.people.notes[row].identity for row in rows]
    true = [maker.sample(row)[0] for row in rows]
    first, second = (list(maker.make(rows, maker.draw(count, i * count))) for i in (0, 1))
    rebuilt = list(maker.make(rows, maker.read(rows))) if maker.network.config.appearance_mapper else None
    return {
        "FID": _fid(networks.fid, true, first, who),
        "FID-CLIP": _fid(networks.clip, true, first, who) if networks.clip else None,
        "LPIPS": _lpips(networks.lpips, true, first, who),
        "LPIPS reconstructed": _lpips(networks.lpips, true, rebuilt, who) if rebuilt else None,
        "LPIPS diversity": _lpips(networks.lpips, first, second, who),
    }


class _Given(nn.Module):
    """Stands where torchmetrics has Inception, for features that are there already."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid(real: FloatArray, made: FloatArray) -> float:
    """Frechet distance of two sets of features [N, D] and [M, D], by torchmetrics (Heusel et al. 2017)."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Given(real.shape[1]))
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(made), real=False)
    return float(metric.compute())


def _fid(network: Describer, real: Sequence[Tensor], made: Sequence[Tensor], who: Sequence[str]) -> Estimate:
    described = [np.concatenate([network.describe(b) for b in in_batches(pictures)]) for pictures in (real, made)]

    def figure(kept: BoolArray) -> float:
        return fid(described[0][kept], described[1][kept])

    return jackknife(figure, who)


def _lpips(network: Judge, first: Sequence[Tensor], second: Sequence[Tensor], who: Sequence[str]) -> Estimate:
    pairs = zip(in_batches(first), in_batches(second), strict=True)
    distances = np.concatenate([network.distances(a, b) for a, b in pairs])
    return jackknife(lambda kept: float(distances[kept].mean()), who)


def figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """What `measure` found, as JSON values."""
    rows = {
        name: {column: value.figures() if value else None for column, value in row.items()}
        for name, row in found["rows"].items()
    }
    return {**found, "rows": rows}


def table(found: Mapping[str, Any]) -> str:
    """What `measure` found, as Markdown."""
    networks = "; ".join(f"{figure} by {name}" for figure, name in found["networks"].items() if name)
    lines = [
        f"{found['pictures']} held-out pictures; {networks}; ± is the 95 % interval, people left out in turn. Figures "
        "of other networks or pictures do not compare",
        "",
        f"| | {' | '.join(COLUMNS)} |",
        "|---|" + "---|" * len(COLUMNS),
    ]
    lines += [
        f"| {name} | {' | '.join(str(row[column] or '-') for column in COLUMNS)} |"
        for name, row in found["rows"].items()
    ]
    return "\n".join(lines)
