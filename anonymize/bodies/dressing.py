"""From a look to a mesh: what the person wears, and of what cloth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from anonymize.bodies import shading
from anonymize.bodies.body import load_body
from anonymize.bodies.colours import DARK_SHOES, TROUSERS, WHITE_SHOES, cloth_colour
from anonymize.bodies.garments import Top, wear_hood, wear_skirt, wear_top, wear_trousers
from anonymize.bodies.hair import grow_hair, put_on_hat
from anonymize.bodies.look import Look, choice, hair_colour, skin_colour
from anonymize.bodies.shading import Material
from anonymize.bodies.wardrobe import CLOTHES, Mesh, Wardrobe

# from the lightest to the warmest, so that z = 0 is the usual
UPPER_KINDS = (
    ("tank", 0.04),
    ("tshirt", 0.27),
    ("polo", 0.06),
    ("shirt", 0.15),
    ("sweater", 0.16),
    ("hoodie", 0.12),
    ("jacket", 0.14),
    ("coat", 0.06),
)
LOWER_KINDS = (("skirt", 0.07), ("slim", 0.2), ("jeans", 0.4), ("chinos", 0.2), ("wide", 0.07), ("dress", 0.06))
PATTERNS = (
    (shading.PLAIN, 0.74),
    (shading.STRIPES, 0.08),
    (shading.LOGO, 0.08),
    (shading.CHECKS, 0.06),
    (shading.DOTS, 0.02),
    (shading.GRADIENT, 0.02),
)
DENIM = ((-0.9, 0.0, -0.9), (0.0, -0.1, -1.1), (0.7, -0.1, -1.0))
Add = Callable[[Material], int]


def in_order(share: float, kinds: tuple[tuple[str, float], ...]) -> str:
    """The kind on whose part of [0, 1] a share falls."""
    for kind, probability in kinds:
        if share < probability:
            return kind
        share -= probability
    return kinds[-1][0]


def dress(look: Look, *, low: bool, more: Callable[[Wardrobe, Add], None] | None = None) -> Mesh:
    """The person's mesh, fine or coarse, with what `more` puts on."""
    w = Wardrobe(look.shape, low)
    materials: list[Material] = []

    def add(material: Material) -> int:
        materials.append(material)
        return len(materials) - 1

    eye = load_body().eyes.mean(0)
    hair = hair_colour(look)
    flesh = Material(skin_colour(look), hair, shading.SKIN, gloss=0.03, anchor=(0.0, float(eye[1]), float(eye[2])))
    skin_row = add(flesh)
    hair_row = add(Material(hair, (0.5 * hair[0], 0.5 * hair[1], 0.5 * hair[2]), shading.HAIR, gloss=0.1))
    put_on(w, look, add)
    hat = put_on_hat(w, look, lambda part: add(fabric(look, part)))
    grow_hair(w, look, hair_row, hat)
    if more is not None:
        more(w, add)
    return w.finish(skin_row, torch.tensor([m.row() for m in materials], dtype=torch.float32))


@lru_cache(maxsize=64)
def mesh_of(look: Look, *, low: bool) -> Mesh:
    """The mesh of a look, coarse for distant views; the last ones are kept."""
    return dress(look, low=low)


def fabric(
    look: Look, part: str, *, fancy: bool = False, lightness: float = 48.0, spread: float = 22.0, detail: int = 0
) -> Material:
    """A cloth of a property's colour; `fancy` with the look's pattern."""
    kind, scale = shading.PLAIN, 10.0
    anchor = (0.0, 0.0, 0.0)
    phase = 10 + 3 * float(look.numbers("phase")[0])
    if fancy:
        kind = int(choice(look.share("upper_pattern"), PATTERNS))  # type: ignore[call-overload]
        scale = 12 * 3.5 ** look.share("pattern_scale")
        if kind == shading.LOGO:
            scale, anchor = 4 + 4 * look.share("pattern_scale"), (0.0, 0.0, 1.34)
        elif kind == shading.GRADIENT:
            scale, anchor = 7.0, (0.0, 0.0, 1.1)
    return Material(
        colour=cloth_colour(look.numbers(part), lightness=lightness, spread=spread),
        second=cloth_colour(look.numbers("pattern_colour"), lightness=60),
        pattern=kind,
        scale=scale,
        folds=0.55 + 0.45 * look.share("folds"),
        grain=0.05,
        phase=phase,
        anchor=anchor,
        detail=detail,
    )


def put_on(w: Wardrobe, look: Look, add: Add) -> None:
    """Shoes, trousers or a skirt, and one or two tops."""
    warmth = look.share("upper")
    upper = in_order(warmth, UPPER_KINDS)
    lower = in_order(look.share("lower"), LOWER_KINDS)
    if not look.female:
        lower = {"skirt": "jeans", "dress": "chinos", "slim": "jeans"}.get(lower, lower)
    seed = int(997 * look.share("ease")) + 1
    shoes(w, look, add)
    if lower == "dress" and upper in ("jacket", "coat", "hoodie"):
        lower = "skirt"
    bare = warmth < 0.64 and look.share("lower_length") > 0.72
    if lower not in ("skirt", "dress"):
        bottoms(w, look, add, lower, bare, seed)
    else:
        tights = fabric(look, "lower_colour", lightness=16, spread=5)
        if warmth > 0.5:
            wear_trousers(w, add(replace(tights, folds=0.1)), ease=0.0005, cling=1.0, end=1.0)
        if lower == "skirt":
            row = add(fabric(look, "lower_colour", lightness=34, spread=18))
            hem = 0.28 + 0.4 * (1 - look.share("lower_length"))
            wear_skirt(w, row, ease=0.008, flare=0.35 * look.share("flare") ** 2, hem=hem, seed=seed)
    tops(w, look, add, upper, lower == "dress", seed)


def shoes(w: Wardrobe, look: Look, add: Add) -> None:
    """One of the baked pairs."""
    names = [n for n in w.model.garment_names if n.startswith("shoes")]
    white = look.share("shoes") > 0.7
    colour = cloth_colour(look.numbers("shoe_colour"), **(WHITE_SHOES if white else DARK_SHOES))
    row = add(replace(fabric(look, "shoe_colour"), colour=colour, folds=0.1, gloss=0.06))
    w.baked(names[min(int(look.share("hem") * len(names)), len(names) - 1)], row, CLOTHES, puff=0.004)


def bottoms(w: Wardrobe, look: Look, add: Add, kind: str, bare: bool, seed: int) -> None:
    """Trousers or shorts."""
    cut, ease = look.share("flare"), look.share("lower_ease")
    if kind in ("jeans", "slim"):
        blue = look.numbers("lower_colour")
        shade = DENIM[min(int(3 * look.share("lower_length")), 2)]
        numbers = np.array(shade) + 0.25 * blue.clip(-2, 2)
        dark = float(blue[1])
        colour = cloth_colour(numbers, lightness=32, spread=13)
        if dark > 0.2:  # black, grey or dark blue ones
            colour = cloth_colour(np.array([blue[0], 0.3 * blue[1], 0.3 * blue[2]]), lightness=19, spread=8, blue=2)
        material = replace(fabric(look, "lower_colour"), colour=colour, grain=0.12, detail=shading.JEANS)
    else:
        colour = cloth_colour(look.numbers("lower_colour"), **TROUSERS)
        material = replace(fabric(look, "lower_colour", detail=shading.CHINOS), colour=colour)
    measures = {
        "slim": (0.003 + 0.005 * ease, 0.4, 0.3),
        "jeans": (0.007 + 0.01 * ease, 0.14, 0.2 * cut),
        "chinos": (0.01 + 0.01 * ease, 0.08, 0.3 * cut),
        "wide": (0.018 + 0.012 * ease, 0.0, 0.0),
    }
    loose, cling, taper = measures[kind]
    end = 0.97 + 0.04 * cut
    if bare:
        end, loose, cling, taper = 0.3 + 0.22 * ease, max(loose, 0.016) + 0.006, 0.02, 0.0
    wear_trousers(w, add(material), ease=loose, cling=cling, end=end, taper=taper, seed=seed)


def tops(w: Wardrobe, look: Look, add: Add, kind: str, dress_too: bool, seed: int) -> None:
    """A top, or a jacket or coat over one."""
    if kind in ("jacket", "coat"):
        outerwear(w, look, add, kind, seed)
        return
    top = top_cut(look, kind)
    if dress_too:
        hem_z = 0.35 + 0.35 * (1 - look.share("lower_length"))
        top = replace(top, hem=hem_z, cling=-0.15 * look.share("flare"), tail=0.0)
    fancy = kind in ("tshirt", "polo", "shirt", "sweater", "tank") or dress_too
    row = add(fabric(look, "upper_colour", fancy=fancy, detail=DETAILS.get(kind, 0)))
    wear_top(w, top, row, seed=seed)
    if kind == "hoodie":
        wear_hood(w, top, row)


DETAILS = {
    "polo": shading.PLACKET_SHORT,
    "shirt": shading.PLACKET,
    "hoodie": shading.KANGAROO,
    "sweater": shading.KNIT,
}
"""What is sewn onto which top."""


def top_cut(look: Look, kind: str) -> Top:
    """How a top without a jacket is cut."""
    ease, neck, hem = look.share("ease"), look.share("neckline"), look.share("hem")
    fitted = 0.25 if look.female else 0.0
    cling = 0.05 + fitted + 0.3 * (1 - ease)
    low = 0.93 - 0.07 * hem
    sleeve = {"tank": 0.02, "tshirt": 0.27 + 0.14 * look.share("sleeve"), "polo": 0.33}.get(kind, 0.99)
    if kind == "shirt" and look.share("sleeve") > 0.75:
        sleeve = 0.62
    top = Top(ease=0.007 + 0.012 * ease, cling=cling, hem=low, sleeve=sleeve, neck=0.1 + 0.015 * neck, tail=0.01 * hem)
    if kind == "tank":
        top = replace(top, neck=0.135)
    if look.female and kind in ("tshirt", "sweater", "tank"):
        top = replace(top, neck=top.neck + 0.02 * neck, vee=0.1 if neck > 0.7 else 0.0)
    if kind in ("polo", "shirt"):
        top = replace(top, collar=0.035, vee=0.06, neck=0.098, tail=0.03 if kind == "shirt" else 0.01)
    if kind == "sweater":
        top = replace(top, ease=top.ease + 0.006, rib=True, neck=0.098)
    if kind == "hoodie":
        top = replace(top, ease=0.016 + 0.014 * ease, cling=0.05, rib=True, neck=0.1)
    return top


def outerwear(w: Wardrobe, look: Look, add: Add, kind: str, seed: int) -> None:
    """A jacket or a coat, and what is worn below it."""
    ease, neck, hem = look.share("ease"), look.share("neckline"), look.share("hem")
    fitted = 0.25 if look.female else 0.0
    inner = Top(ease=0.007, cling=0.25, hem=0.92, sleeve=0.2, neck=0.1, vee=0.0)
    wear_top(w, inner, add(fabric(look, "inner_colour", lightness=60, spread=24)), seed=seed + 3)
    opened = look.share("pattern_scale")
    opening = 0.0 if opened < 0.45 else 0.012 + 0.09 * (opened - 0.45)
    outer = Top(
        ease=0.014 + 0.012 * ease,
        cling=0.04 + fitted * 0.5,
        hem=(0.48 + 0.25 * (1 - hem)) if kind == "coat" else 0.93 - 0.07 * hem + 0.02,
        sleeve=1.0,
        neck=0.11,
        vee=0.16 if opening > 0 else 0.05,
        opening=opening,
        rib=kind == "jacket" and neck > 0.6,
        collar=0.04 + 0.02 * neck,
    )
    row = add(fabric(look, "upper_colour", lightness=34, spread=17, detail=shading.ZIP))
    wear_top(w, outer, row, seed=seed)
    if kind == "jacket" and look.share("sleeve") > 0.7:
        wear_hood(w, outer, row)
