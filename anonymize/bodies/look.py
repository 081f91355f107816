"""What an avatar looks like: a map from z, standard normal, to shape, skin, hair and clothes.

Every property hangs on numbers of z of its own (`PARTS`), so that two z that differ little give two people who do, and
z = 0 is the mean person, toward whom a truncation pulls. A choice among kinds takes the share of the standard normal
distribution below the number: the likeliest kinds lie in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from anonymize.bodies import shading
from anonymize.bodies.body import JOINT, load_body
from anonymize.bodies.people import CLOTHES, HAIR, SKIN_TONES, Mesh, Wardrobe, linear, outfit_parts
from anonymize.bodies.shading import Material

PARTS: dict[str, int] = {
    "sex": 1,
    "shape": 10,
    "age": 1,
    "skin": 1,
    "skin_tint": 2,
    "hair_kind": 1,
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
UPPER_KINDS = (("outfit", 0.22), ("shirt", 0.5), ("jacket", 0.18), ("coat", 0.1))
LOWER_KINDS = (("trousers", 0.86), ("skirt", 0.14))
HAIR_LONG = ("bob01", "ponytail01", "long01", "bob02", "braid01", "short03")
HAIR_SHORT = ("crop", "short02", "short04", "short01", "afro01", "bald")
HAIR_TONES = ((20, 17, 15), (38, 28, 22), (64, 45, 32), (96, 68, 44), (150, 112, 70), (196, 164, 112))
GREY_HAIR = (150, 147, 144)
PATTERNS = (
    (shading.GRADIENT, 0.04),
    (shading.DOTS, 0.04),
    (shading.CHECKS, 0.06),
    (shading.PLAIN, 0.68),
    (shading.STRIPES, 0.1),
    (shading.LOGO, 0.08),
)


@dataclass(frozen=True, eq=False)
class Look:
    """A person in every detail but the pose.

    Attributes:
        z: [LATENT] float64.
    """

    z: np.ndarray

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
        mean, spread = adult_shapes()[int(self.female)]
        offsets = torch.from_numpy(self.numbers("shape").clip(-2.2, 2.2)).float()
        return mean + spread @ offsets

    @cached_property
    def joints(self) -> Tensor:
        """[J, 3] at rest, metres."""
        body = load_body()
        return body.joints + torch.einsum("r,rjc->jc", self.shape, body.joint_components)

    @cached_property
    def mesh(self) -> Mesh:
        """For close views."""
        return dress(self, low=False)

    @cached_property
    def coarse(self) -> Mesh:
        """For distant views."""
        return dress(self, low=True)


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


def cloth_colour(numbers: np.ndarray, *, lightness: float = 42.0, spread: float = 24.0) -> tuple[float, float, float]:
    """Linear RGB of 3 numbers of z: lightness, and the two axes of CIE Lab, mostly muted, sometimes strong."""
    level = float(np.clip(lightness + spread * numbers[0], 6, 94))
    a, b = (float(5 * n + 5 * n**3) for n in numbers[1:].clip(-2.2, 2.2))
    return lab_to_linear(level, a, b)


def cloth_numbers(colour: np.ndarray, *, lightness: float = 42.0, spread: float = 24.0) -> np.ndarray:
    """The 3 numbers of z of which `cloth_colour` makes a linear RGB colour [3], about."""
    level, a, b = linear_to_lab(colour)
    numbers = [(level - lightness) / spread]
    for value in (a, b):
        roots = np.roots([5, 0, 5, -value])
        numbers.append(float(roots[np.abs(roots.imag).argmin()].real))
    return np.array(numbers)


def lab_to_linear(level: float, a: float, b: float) -> tuple[float, float, float]:
    """CIE Lab (D65) to linear sRGB; colours out of its range become greyer."""
    for muted in np.linspace(1, 0, 11):
        fy = (level + 16) / 116
        f = np.array([fy + muted * a / 500, fy, fy - muted * b / 200])
        xyz = np.where(f > 6 / 29, f**3, (f - 16 / 116) / 7.787) * WHITE
        rgb = np.linalg.solve(TO_XYZ, xyz)
        if rgb.min() >= 0.002 and rgb.max() <= 1:
            break
    r, g, b_ = (float(v) for v in rgb.clip(0.002, 1))
    return r, g, b_


def linear_to_lab(colour: np.ndarray) -> np.ndarray:
    """Linear sRGB [3] to CIE Lab (D65)."""
    ratio = TO_XYZ @ colour.clip(1e-4, 1) / WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # IEC 61966-2-1
WHITE = TO_XYZ.sum(1)


def between(table: Sequence[tuple[int, int, int]], at: float) -> np.ndarray:
    """sRGB [3] of a table of colours at a place in [0, len - 1]."""
    place = float(np.clip(at, 0, len(table) - 1))
    low = min(int(place), len(table) - 2)
    return np.array(table[low]) * (low + 1 - place) + np.array(table[low + 1]) * (place - low)


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


def dress(look: Look, *, low: bool) -> Mesh:
    """The person's mesh, fine or coarse."""
    w = Wardrobe(np.random.default_rng(0), look.shape, low)
    materials: list[Material] = []

    def add(material: Material) -> int:
        materials.append(material)
        return len(materials) - 1

    eye = w.model.eyes.mean(0)
    hair = hair_colour(look)
    skin_row = add(
        Material(
            skin_colour(look), hair, shading.SKIN, gloss=0.05, grain=0.01, anchor=(0.0, float(eye[1]), float(eye[2]))
        )
    )
    darker = (0.6 * hair[0], 0.6 * hair[1], 0.6 * hair[2])
    hair_row = add(Material(hair, darker, shading.BARS, 90.0, folds=0.5, gloss=0.12, grain=0.1))
    put_on(w, look, add)
    hat = put_on_hat(w, look, add)
    grow_hair(w, look, hair_row, hat)
    return w.finish(skin_row, torch.tensor([m.row() for m in materials], dtype=torch.float32))


def fabric(look: Look, part: str, *, fancy: bool = False, lightness: float = 42.0) -> Material:
    """A cloth of a property's colour; `fancy` with the look's pattern."""
    kind, scale = shading.PLAIN, 10.0
    anchor = (0.0, 0.0, 0.0)
    phase = 10 + 3 * float(look.numbers("phase")[0])
    if fancy:
        kind = int(choice(look.share("upper_pattern"), (PATTERNS[3], *PATTERNS[:3], *PATTERNS[4:])))  # type: ignore[call-overload]
        scale = 10 * 4.5 ** look.share("pattern_scale")
        if kind == shading.LOGO:
            scale, anchor = 4 + 4 * look.share("pattern_scale"), (0.0, 0.0, 1.3)
        elif kind == shading.GRADIENT:
            scale, anchor = 7.0, (0.0, 0.0, 1.1)
    return Material(
        colour=cloth_colour(look.numbers(part), lightness=lightness),
        second=cloth_colour(look.numbers("pattern_colour"), lightness=55),
        pattern=kind,
        scale=scale,
        folds=0.35 + 0.6 * look.share("folds"),
        gloss=0.02,
        grain=0.03,
        phase=phase,
        anchor=anchor,
    )


def put_on(w: Wardrobe, look: Look, add: object) -> None:
    """Upper and lower garment, and shoes."""
    assert callable(add)
    arm, leg, z = w.region("arm"), w.region("leg"), w.region("z")
    head = w.region("head").astype(bool)
    throat = w.model.joints[JOINT["neck"]]
    round_neck = (w.base.vertices[:, :2] - throat[:2]).norm(dim=1).numpy()  # a collar is a ring about the neck
    trunk = (arm == -1) & (leg == -1) & ~head
    upper = str(choice(look.share("upper"), (UPPER_KINDS[1], UPPER_KINDS[0], *UPPER_KINDS[2:])))
    skirt = look.female and choice(look.share("lower"), LOWER_KINDS) == "skirt"
    top_row = add(fabric(look, "upper_colour", fancy=True))
    bottom_row = add(fabric(look, "lower_colour", lightness=28))
    wrinkle, _ = shading.waves(w.base.vertices, torch.full((len(z),), float(look.numbers("phase")[1])), 9.0)
    crease = wrinkle.numpy()
    if upper == "outfit" and not skirt:
        stem = "female" if look.female else "male"
        names = [n for n in w.model.garment_names if n.startswith(f"outfit.{stem}") and "elegantsuit01" not in n]
        if not look.female:
            names.append("outfit.male_elegantsuit01")
        name = names[min(int(look.share("hem") * len(names)), len(names) - 1)]
        lower = torch.from_numpy(outfit_parts(name, w.low))
        row = top_row if "elegantsuit" in name or "worksuit" in name else bottom_row
        w.baked(name, torch.where(lower > 0, row, top_row), CLOTHES, puff=0.002 + 0.005 * look.share("ease"))
    else:
        width = 0.01 + 0.02 * look.share("lower_ease")
        if skirt:
            w.shell(np.minimum(np.where(trunk, 0.1, np.where(leg > -1, 0.25 - leg, -0.1)), 1.05 - z), 0.004, bottom_row)
            w.baked(
                "skirt.long", bottom_row, CLOTHES, puff=0.004 + width, hem=0.3 + 0.5 * (1 - look.share("lower_length"))
            )
        else:
            short = look.share("lower_length") > 0.86
            length = 0.5 if short else 0.97 + 0.03 * look.share("flare")
            ease = width * (0.6 + (0.3 + 0.7 * look.share("flare")) * np.clip(leg, 0, 1)) + 0.3 * width * crease
            ease = np.where(leg > -1, ease, 0.004)
            field = np.where(leg > -1, 0.8 * (length - leg), np.where(trunk, 1.06 - z, -0.1))
            w.shell(field, np.maximum(ease, 0.003), bottom_row)
        sleeve = 1.0 if upper != "shirt" or look.share("sleeve") > 0.45 else 0.3 + 0.3 * look.share("sleeve")
        thick = 0.006 + 0.012 * look.share("ease") + {"jacket": 0.01, "coat": 0.012}.get(upper, 0.0)
        hem = 0.9 + 0.09 * look.share("hem")
        neck = (1.46 if upper == "shirt" else 1.5) + 0.03 * look.share("neckline")
        ease = np.where(arm > -1, 0.8 * thick, thick) + 0.35 * thick * crease
        # looser below the chest, as gravity has it, and over what is worn below
        ease = ease + np.where(trunk, 0.6 * thick * np.clip(1.35 - z, 0, 0.4) / 0.4, 0) + 0.005
        ease = ease + np.where(z < 1.1, 0.6 * width, 0)
        collar = np.minimum(np.maximum(neck - z, round_neck - 0.075 - 0.03 * look.share("neckline")), 1.57 - z)
        field = np.where((leg > -1) & (leg >= 0.25), -0.1, np.minimum(z - hem, collar))
        field = np.where(arm > -1, 0.6 * (sleeve - arm), field)
        w.shell(field, np.maximum(ease, 0.005), top_row)
        if upper in ("jacket", "coat"):  # open in front, over something else
            inner = add(fabric(look, "inner_colour", lightness=60))
            band = 0.015 + 0.05 * look.share("neckline")
            middle = band * np.clip((z - 0.9) / 0.5, 0.3, 1.2) - np.abs(w.base.vertices[:, 0].numpy())
            depth = w.region("depth")
            opening = np.where((trunk | head) & (w.base_normals[:, 1].numpy() < 0) & (depth < 0.2), middle, -0.05)
            w.shell(np.minimum(opening, field), ease + 0.004, inner)
        if upper == "coat":
            w.baked("skirt.long", top_row, CLOTHES, puff=thick + width + 0.006, hem=0.45 + 0.25 * look.share("hem"))
    names = [n for n in w.model.garment_names if n.startswith("shoes")]
    shoe = replace(fabric(look, "shoe_colour", lightness=30), folds=0.1, gloss=0.15)
    w.baked(names[min(int(look.share("shoes") * len(names)), len(names) - 1)], add(shoe), CLOTHES)


def put_on_hat(w: Wardrobe, look: Look, add: object) -> bool:
    """A cap, beanie or hood, of one in eight."""
    assert callable(add)
    share = look.share("hat")
    if 0.06 < share < 0.94:
        return False
    row = add(fabric(look, "hat_colour"))
    scalp, face_z, depth = w.region("scalp"), w.region("face_z"), w.region("depth")
    head = w.region("head").astype(bool)
    if share < 0.03:
        w.shell(np.where(head, np.maximum(scalp + 0.03, depth - 0.075), -0.01), 0.026, row)
    else:
        w.shell(np.minimum(scalp, face_z - 0.03), 0.018 if share < 0.5 else 0.015, row)
    return True


def grow_hair(w: Wardrobe, look: Look, row: int, hat: bool) -> None:
    """Hair, and the beard of some men."""
    names = HAIR_LONG if look.female else HAIR_SHORT
    name = str(choice(look.share("hair_kind"), [(n, 1 / len(names)) for n in names]))
    if name != "bald" or look.share("age") < 0.5:
        w.shell(w.region("scalp"), 0.007, row, HAIR, cover=False)
        if name not in ("crop", "bald") and not (hat and name in ("afro01", "short01", "short02")):
            w.baked(f"hair.{name}", row, HAIR, puff=0.003)
    if not look.female and look.share("beard") > 0.72:
        face_z, depth = w.region("face_z"), w.region("depth")
        beard = np.minimum(np.minimum(-0.075 - face_z, face_z + 0.15), 0.08 - depth)
        w.shell(np.where(w.region("head") > 0, beard, -0.01), 0.004, row, HAIR, cover=False)


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
        put("sleeve", -0.5 if seen.bare_arms else 0.5)
    if seen.lower is not None:
        put("lower_colour", *cloth_numbers(seen.lower, lightness=28))
        put("lower_length", 1.6 if seen.bare_legs else 0.0)
    if seen.shoes is not None:
        put("shoe_colour", *cloth_numbers(seen.shoes, lightness=30))
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
