"""How far a figure could be off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from anonymize.core.types import BoolArray

GROUPS = 10
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure, and half the width of its confidence interval of 95 %."""

    value: float
    margin: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ± {self.margin:.2g}"

    def figures(self) -> dict[str, float]:
        """As JSON values."""
        return {"value": self.value, "margin_95": self.margin}


def jackknife(figure: Callable[[BoolArray], float], who: Sequence[str]) -> Estimate:
    """A figure of some pictures with its confidence interval, by leaving out groups of people in turn.

    The delete-a-group jackknife (Kott 2001). Pictures of one person stay together, as they are not independent. Unlike
    the bootstrap it draws no picture twice, which would shrink the spread that FID measures.

    Args:
        figure: Of those rows [N] that are True.
        who: [N] whom each picture shows.
    """
    people = {name: number for number, name in enumerate(dict.fromkeys(who))}
    groups = min(GROUPS, len(people))
    group = np.array([people[name] % groups for name in who])
    value = figure(np.ones(len(who), np.bool_))
    if groups < 2:
        return Estimate(value, float("nan"))
    without = np.array([figure(group != k) for k in range(groups)])
    error = np.sqrt((groups - 1) / groups * np.square(without - without.mean()).sum())
    return Estimate(value, float(student.ppf((1 + CONFIDENCE) / 2, groups - 1) * error))
