"""What an avatar looks like: a map from z, standard normal, to shape, skin, hair and clothes.

Every property hangs on numbers of z of its own (`PARTS`), so that two z that differ little give two people who do, and
z = 0 is the mean person, toward whom a truncation pulls. A choice among kinds takes the share of the standard normal
distribution below the number: the likeliest kinds lie in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from anonymize.bodies.body import load_body
from anonymize.bodies.colours import (
    DARK_SHOES,
    GREY_HAIR,
    HAIR_TONES,
    SKIN_TONES,
    TROUSERS,
    between,
    cloth_numbers,
    linear,
    linear_to_lab,
)

PARTS: dict[str, int] = {
    "sex": 1,
    "shape": 10,
    "age": 1,
    "skin": 1,
    "skin_tint": 2,
    "hair_kind": 1,
    "hair_volume": 1,
    "hair_tone": 1,
    "hair_tint": 1,
    "beard": 1,
    "upper": 1,
    "sleeve": 1,
    "ease": 1,
    "hem": 1,
    "neckline": 1,
    "upper_colour": 3,
    "upper_pattern": 1,
    "pattern_scale": 1,
    "pattern_colour": 3,
    "lower": 1,
    "lower_length": 1,
    "lower_ease": 1,
    "flare": 1,
    "lower_colour": 3,
    "inner_colour": 3,
    "folds": 1,
    "shoes": 1,
    "shoe_colour": 3,
    "hat": 1,
    "hat_colour": 3,
    "phase": 2,
}
"""Numbers of z that each property hangs on, in order."""
LATENT = sum(PARTS.values())


@dataclass(frozen=True, eq=False)
class Look:
    """A person in every detail but the pose.

    Attributes:
        z: [LATENT] float64.
        body: [R] shape coefficients of the body, where it is not that of z.
    """

    z: np.ndarray
    body: Tensor | None = None

    def __post_init__(self) -> None:
        if self.z.shape != (LATENT,):
            raise ValueError(f"z must be [{LATENT}], got {self.z.shape}")

    @classmethod
    def of(cls, z: Tensor) -> Look:
        """The look of z [LATENT] float."""
        return cls(z.detach().cpu().double().numpy())

    def numbers(self, part: str) -> np.ndarray:
        """The numbers of z that a property hangs on."""
        start, stop = span(part)
        return self.z[start:stop]

    def number(self, part: str) -> float:
        """The only number that a property hangs on."""
        return float(self.numbers(part)[0])

    def share(self, part: str) -> float:
        """The number as a share of all people, in (0, 1)."""
        return normal_share(self.number(part))

    @property
    def female(self) -> bool:
        return self.number("sex") > 0

    @property
    def old(self) -> bool:
        """Grey."""
        return self.share("age") > 0.85

    @cached_property
    def shape(self) -> Tensor:
        """[R] shape coefficients of the body."""
        if self.body is not None:
            return self.body
        mean, spread = adult_shapes()[int(self.female)]
        offsets = torch.from_numpy(self.numbers("shape").clip(-2.2, 2.2)).float()
        return mean + spread @ offsets

    @cached_property
    def joints(self) -> Tensor:
        """[J, 3] at rest, metres."""
        body = load_body()
        return body.joints + torch.einsum("r,rjc->jc", self.shape, body.joint_components)


def span(part: str) -> tuple[int, int]:
    """First number of z that a property hangs on, and the one after the last."""
    start = 0
    for name, count in PARTS.items():
        if name == part:
            return start, start + count
        start += count
    raise KeyError(part)


def normal_share(number: float) -> float:
    """Share of the standard normal distribution below a number."""
    return 0.5 * (1 + math.erf(number / math.sqrt(2)))


def normal_number(share: float) -> float:
    """The number with this share of the standard normal distribution below it."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(min(max(share, 1e-3), 1 - 1e-3))


def choice(share: float, kinds: Sequence[tuple[object, float]]) -> object:
    """The kind of those with their probabilities that a share in [0, 1] falls on; the first has the middle.

    The others lie to the right and to the left of it in turn, so that z = 0 is the first kind.
    """
    order = [*kinds[::-1][: len(kinds) // 2], kinds[0], *kinds[1 : len(kinds) - len(kinds) // 2]]
    below = sum(p for _, p in order[: len(kinds) // 2])
    # shifted, so that the middle of the first kind is at one half
    at = (share - 0.5 + below + kinds[0][1] / 2) % 1.0
    for kind, probability in order:
        if at < probability:
            return kind
        at -= probability
    return order[-1][0]


@cache
def adult_shapes() -> tuple[tuple[Tensor, Tensor], ...]:
    """Mean [R] and spread [R, 10] of the shapes of men and of women, from 18 years on."""
    body = load_body()
    result = []
    for female in (False, True):
        rows = body.shapes[torch.from_numpy((body.shape_female == female) & (body.shape_years >= 18))]
        mean = rows.mean(0)
        _, sizes, axes = torch.linalg.svd(rows - mean, full_matrices=False)
        count = PARTS["shape"]
        # the sign of an axis is chosen, lest it differ between libraries
        signs = axes[:count].sum(1).sign()
        result.append((mean, (axes[:count] * (signs * sizes[:count] / len(rows) ** 0.5)[:, None]).T))
    return tuple(result)


def skin_colour(look: Look) -> tuple[float, float, float]:
    """Linear RGB of the skin."""
    tone = between(SKIN_TONES, (len(SKIN_TONES) - 1) * look.share("skin"))
    tint = look.numbers("skin_tint").clip(-2, 2)
    return linear(tuple((tone + 4 * tint[0] + np.array([3, 0, -3]) * tint[1]).clip(5, 250)))


def hair_colour(look: Look) -> tuple[float, float, float]:
    """Linear RGB of the hair."""
    tone = (len(HAIR_TONES) - 1) * look.share("hair_tone") ** 1.6
    if look.share("skin") > 0.6:
        tone *= 0.25
    colour = between(HAIR_TONES, tone)
    if look.old:
        colour = 0.25 * colour + 0.75 * np.array(GREY_HAIR)
    return linear(tuple((colour + np.array([6, 0, -4]) * look.number("hair_tint")).clip(6, 240)))


@dataclass(frozen=True, eq=False)
class Seen:
    """What a picture shows of a person, linear RGB [3] each as under white light; None where it is not seen.

    Attributes:
        skin, hair, upper, lower, shoes: Colours.
        bare_arms, bare_legs: Whether forearms and calves have the skin's colour rather than the clothes'.
        shape: [SHAPES] fitted shape coefficients, about.
    """

    skin: np.ndarray | None
    hair: np.ndarray | None
    upper: np.ndarray | None
    lower: np.ndarray | None
    shoes: np.ndarray | None
    bare_arms: bool
    bare_legs: bool
    shape: np.ndarray


def z_of(seen: Seen) -> Tensor:
    """z [LATENT] float32 of a person who looks like what was seen; all that was not seen is as of the mean person."""
    z = np.zeros(LATENT)

    def put(part: str, *numbers: float) -> None:
        start, stop = span(part)
        z[start:stop] = numbers

    fitted = len(seen.shape)
    likeliest = np.inf
    for female, (mean, spread) in enumerate(adult_shapes()):
        own, axes = mean.numpy()[:fitted], spread.numpy()[:fitted]
        # ridge: the prior of z is standard normal, that of what was fitted has about the spread of half a unit
        offsets = np.linalg.solve(axes.T @ axes + 0.25 * np.eye(axes.shape[1]), axes.T @ (seen.shape - own))
        cost = float(np.square(seen.shape - own - axes @ offsets).sum() / 0.25 + np.square(offsets).sum())
        if cost < likeliest:
            likeliest = cost
            put("shape", *offsets.clip(-2, 2))
            put("sex", 1.0 if female else -1.0)
    shares = np.linspace(0.01, 0.99, 99)
    if seen.skin is not None:
        put("skin", normal_number(nearest_share("skin", seen.skin, shares, z)))
    if seen.hair is not None:
        put("hair_tone", normal_number(nearest_share("hair_tone", seen.hair, shares, z)))
    if seen.upper is not None:
        put("upper_colour", *cloth_numbers(seen.upper))
        # a T-shirt or a sweater
        put("upper", normal_number(0.2 if seen.bare_arms else 0.6))
    if seen.lower is not None:
        put("lower_colour", *cloth_numbers(seen.lower, **TROUSERS))
        put("lower", normal_number(0.77))  # neither denim nor a skirt
        put("lower_length", 1.2 if seen.bare_legs else 0.0)
    if seen.shoes is not None:
        put("shoe_colour", *cloth_numbers(seen.shoes, **DARK_SHOES))
    return torch.from_numpy(z).float()


def nearest_share(part: str, colour: np.ndarray, shares: np.ndarray, z: np.ndarray) -> float:
    """The share of a property for which skin or hair comes nearest to a linear colour."""
    aim = linear_to_lab(colour)
    off = []
    for share in shares.tolist():
        tried = z.copy()
        tried[span(part)[0]] = normal_number(share)
        made = (skin_colour if part == "skin" else hair_colour)(Look(tried))
        off.append(float(np.square(linear_to_lab(np.array(made)) - aim).sum()))
    return float(shares[int(np.argmin(off))])
