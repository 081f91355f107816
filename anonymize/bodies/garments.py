"""What people wear, cut from a few measures: tops, jackets, coats, trousers, shorts, skirts, dresses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anonymize.bodies.drape import ANGLES
from anonymize.bodies.wardrobe import CLOTHES, Wardrobe

SHOULDER_Z, SEAT_Z = 1.3, 0.985
"""Heights on the mean adult between which rings hang from the shoulders and from where they reach below the seat."""
SLEEVE_FROM, LEG_FROM = 0.24, 0.26
SIDES = ("L", "R")


@dataclass(frozen=True)
class Top:
    """Anything that hangs from the shoulders.

    Attributes:
        ease: Metres from what is under it.
        cling: Metres that it draws in per metre below what it rests on; negative for what flares.
        hem: Height on the mean adult where it ends, metres.
        sleeve: Where sleeves end, 0 at the shoulder, 0.5 at the elbow, 1 at the wrist; below 0.1 none.
        neck: Radius of the neckline, metres; 0.1 is close.
        vee: Metres that the neckline reaches down in front.
        opening: Metres that the front stands open on either side; 0 for closed.
        rib: Whether hem and cuffs are drawn in.
        collar: Height of the collar, metres.
        tail: Metres that the hem hangs lower at the front and back.
    """

    ease: float = 0.01
    cling: float = 0.2
    hem: float = 0.9
    sleeve: float = 1.0
    neck: float = 0.105
    vee: float = 0.0
    opening: float = 0.0
    rib: bool = False
    collar: float = 0.0
    tail: float = 0.0


def ruffled(radius: np.ndarray, amount: float, seed: int, waves: int = 5) -> np.ndarray:
    """Radii [n, ANGLES] with soft bulges of some metres."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(ANGLES) / ANGLES
    place = np.linspace(0, 1, len(radius))[:, None]
    bulge = np.zeros_like(radius)
    for _ in range(5):
        k, f = rng.integers(1, waves + 1), rng.uniform(2, 14)
        bulge += np.sin(k * angle + rng.uniform(0, 6.3) + 1.5 * np.sin(f * place + rng.uniform(0, 6.3))) * np.sin(
            f * place + rng.uniform(0, 6.3)
        )
    swollen: np.ndarray = radius + amount * 0.5 * (bulge + 1)
    return swollen


def neckline(w: Wardrobe, top: Top) -> np.ndarray:
    """Positive where the body in use is covered as far as the neck is concerned, [N] about metres."""
    x, y, z = w.base.vertices.numpy().T
    behind = np.where(y > -0.03, 1.5, 1.0) * (y + 0.03)  # necklines are higher at the back
    away = np.sqrt(x**2 + behind**2 + (0.75 * (z - 1.555)) ** 2)
    field = np.minimum(away - top.neck, 1.6 - z)
    if top.vee > 0:
        notch = 1.5 - top.vee
        wedge = np.abs(x) - 0.45 * (top.neck / max(top.vee, 0.05)) * np.maximum(z - notch, 0)
        field = np.where((y < -0.03) & (z > notch), np.minimum(field, wedge), field)
    covered: np.ndarray = np.where(w.region("head").astype(bool), np.minimum(field, 1.585 - z), field)
    return covered


def top_radii(w: Wardrobe, top: Top, seed: int) -> dict[str, np.ndarray]:
    """Radii of the cloth round trunk and arms, [places, directions] float32 metres, by the limb's name."""
    radii = {}
    for name, one in w.limbs.items():
        if name.startswith("leg"):
            continue
        if name.startswith("arm"):
            ease = np.full(len(one.places), 0.75 * top.ease)
            cling = 0.1 if top.ease > 0.012 else 0.25
            radius = one.hung(w.worn[name] + ease[:, None], cling)
            radius = ruffled(radius, 0.35 * top.ease, seed + len(name))
            if top.rib:
                end = np.clip((one.places - (top.sleeve - 0.09)) / 0.06, 0, 1)[:, None]
                radius = radius * (1 - end) + (w.worn[name] + 0.004) * end
        else:
            heights = -one.places
            # the looser the cloth, the later it follows the back and the waist
            radius = one.hung(w.worn[name] + top.ease, top.cling)
            radius = ruffled(radius, 0.5 * top.ease, seed)
            if top.rib:
                end = np.clip((top.hem + 0.09 - heights) / 0.06, 0, 1)[:, None]
                radius = radius * (1 - end) + np.minimum(radius, w.worn[name] + 0.008) * end
        radii[name] = radius.astype(np.float32)
    return radii


def wear_top(w: Wardrobe, top: Top, material: int, *, seed: int = 0, cover: bool = True) -> None:
    """Put a top on."""
    arm, leg, z = w.region("arm"), w.region("leg"), w.region("z")
    radii = top_radii(w, top, seed)
    laid = w.laid(radii, top.ease)

    def front(points: np.ndarray) -> np.ndarray:
        """Negative where the front stands open."""
        wide = top.opening * (0.6 + 0.9 * np.clip(1.1 - points[:, 2], -0.3, 0.6))
        gap: np.ndarray = np.maximum(np.abs(points[:, 0]) - wide, points[:, 1] + 0.02)
        return gap

    level = front if top.opening > 0 else None
    trunk = np.minimum(neckline(w, top), z - max(top.hem, SEAT_Z - 0.015))
    trunk = np.where(leg > 0.1, -0.05, trunk)
    field = np.where(arm > -1, 0.6 * (min(top.sleeve, SLEEVE_FROM + 0.08) - arm), trunk)
    if top.sleeve < 0.1:
        field = np.where(arm > -1, 0.6 * (top.sleeve - 0.05 - arm), field)
    if level is not None:
        field = np.where(arm > -1, field, np.minimum(field, level(w.base.vertices.numpy())))
    field = np.where(w.region("head").astype(bool) & (z > 1.6), -0.05, field)
    if cover:
        inside = (arm > -1) & (arm < top.sleeve - 0.04) | (leg > -1) & (z > top.hem + 0.03) & (arm == -1)
        if top.opening == 0:
            w.hidden |= inside
    # above the ring of the hips the body's own mesh, pushed out; sleeves and skirts are tubes
    shoulders = np.where(arm > -1, field, np.minimum(field, z - (SHOULDER_Z - 0.1)))
    w.cloth(laid, shoulders, material, cover=False)
    if cover:
        w.hidden |= (field > 0.015) & ((arm > -1) | (z > top.hem + 0.02))
    line(w, np.where(arm > -1, np.minimum(field, 0.4 - arm), np.minimum(field, z - 1.15)), material)
    w.tube("trunk", radii["trunk"], -SHOULDER_Z, -top.hem, material, level=level, tail=top.tail)
    if top.sleeve > SLEEVE_FROM:
        for side in SIDES:
            w.tube(f"arm.{side}", radii[f"arm.{side}"], SLEEVE_FROM, top.sleeve, material)
    w.thickness = np.where(field > 0, w.thickness + top.ease, w.thickness).astype(np.float32)
    for name, radius in radii.items():
        ends = w.limbs[name].places
        reached = ends < (-top.hem if name == "trunk" else top.sleeve)
        w.worn[name] = np.where(reached[:, None], radius, w.worn[name])
    if top.collar > 0:
        wear_collar(w, top, material)


def line(w: Wardrobe, field: np.ndarray, material: int) -> None:
    """Cloth right on the body under where a garment's pieces meet, which strong bends may pull apart."""
    w.cloth(w.base_rest + 0.002 * w.base_normals, field - 0.012, material, cover=False)


def wear_collar(w: Wardrobe, top: Top, material: int) -> None:
    """A band that lies round the neck and on the shoulders beside it."""
    x, y, z = w.base.vertices.numpy().T
    away = np.sqrt(x**2 + (y + 0.03) ** 2 + (0.75 * (z - 1.555)) ** 2)
    field = np.minimum(away - (top.neck - 0.025), top.neck + top.collar - away)
    field = np.where(w.region("arm") > -1, -0.05, np.minimum(field, 1.6 - z))
    field = np.minimum(field, np.maximum(np.abs(x) - 0.018 - 0.5 * top.opening, y + 0.04))
    rise = top.ease + 0.012 + 0.6 * np.maximum(top.neck - away, 0)
    w.cloth(w.laid({}, rise), field, material, cover=False)


def wear_hood(w: Wardrobe, top: Top, material: int) -> None:
    """A hood that lies on the back."""
    x, y, z = w.base.vertices.numpy().T
    away = np.sqrt(x**2 + (y + 0.02) ** 2 + (0.8 * (z - 1.54)) ** 2)
    field = np.minimum(away - 0.06, 0.175 - away)
    field = np.where(w.region("arm") > -1, -0.05, np.minimum(field, np.minimum(1.61 - z, y + 0.075)))
    back = np.clip((y + 0.06) / 0.1, 0, 1)
    rise = (top.ease + 0.012) * np.clip((away - 0.06) / 0.03, 0.1, 1) + 0.045 * back * np.clip(field / 0.04, 0, 1)
    w.cloth(w.laid({}, rise), field, material, CLOTHES, cover=False)


def wear_trousers(
    w: Wardrobe,
    material: int,
    *,
    ease: float,
    cling: float,
    end: float,
    waist: float = 1.07,
    taper: float = 0.0,
    seed: int = 0,
) -> None:
    """Put trousers or shorts on.

    Args:
        w: Who.
        material: Row of the material.
        ease: Metres from the leg.
        cling: Metres that the leg draws in per metre below the seat.
        end: Where they end, 0.5 at the knee, 1 at the ankle.
        waist: Height on the mean adult, metres.
        taper: Share by which the leg's ease has gone at the ankle.
        seed: Of bulges.
    """
    arm, leg, z = w.region("arm"), w.region("leg"), w.region("z")
    head = w.region("head").astype(bool)
    radii = {"trunk": w.limbs["trunk"].hung(w.worn["trunk"] + 0.5 * ease + 0.002, 0.8).astype(np.float32)}
    for side in SIDES:
        one = w.limbs[f"leg.{side}"]
        loose = ease * (1 - taper * np.clip(one.places, 0, 1))[:, None]
        radius = one.hung(w.worn[f"leg.{side}"] + loose, cling)
        stack = np.clip((one.places - 0.85) / 0.15, 0, 1)[:, None]
        radius = ruffled(radius, 0.4 * ease, seed + len(side)) + 0.25 * ease * stack
        radii[f"leg.{side}"] = radius.astype(np.float32)
    laid = w.laid(radii, 0.5 * ease + 0.002)
    trunk = (arm == -1) & (leg == -1) & ~head
    hips = np.where(leg > -1, 0.8 * (LEG_FROM + 0.08 - leg), np.where(trunk, waist - z, -0.1))
    w.cloth(laid, hips, material, cover=False)
    w.hidden |= np.where(leg > -1, 0.8 * (end - leg), np.where(trunk, waist - z, -0.1)) > 0.015
    line(w, np.where(leg > -1, np.minimum(end - leg, 0.4 - leg), hips), material)
    for side in SIDES:
        w.tube(f"leg.{side}", radii[f"leg.{side}"], LEG_FROM, end, material)
    w.thickness = np.where(hips > 0, w.thickness + 0.5 * ease, w.thickness).astype(np.float32)
    heights = -w.limbs["trunk"].places
    below = np.clip((waist + 0.03 - heights) / 0.05, 0, 1)[:, None]
    # the legs stand further out than the hips
    legs = 1.1 * ease * np.clip((1.0 - heights) / 0.1, 0, 1)[:, None] + 0.004
    w.worn["trunk"] = w.worn["trunk"] * (1 - below) + np.maximum(radii["trunk"] + legs, w.worn["trunk"]) * below
    for side in SIDES:
        w.worn[f"leg.{side}"] = radii[f"leg.{side}"]


def wear_skirt(
    w: Wardrobe, material: int, *, ease: float, flare: float, hem: float, waist: float = 1.1, seed: int = 0
) -> None:
    """Put a skirt on that widens by `flare` metres per metre."""
    one = w.limbs["trunk"]
    heights = -one.places
    cling = np.where(heights < 0.97, -flare, 0.9)
    radius = one.hung(w.worn["trunk"] + ease, cling)
    radius = ruffled(radius, (0.02 + 0.25 * max(flare, 0)) * 0.4, seed, waves=9) if flare > 0.05 else radius
    w.tube("trunk", radius.astype(np.float32), -waist, -hem, material)
    z, arm, leg = w.region("z"), w.region("arm"), w.region("leg")
    w.hidden |= (arm == -1) & (z < waist - 0.03) & (z > hem + 0.06) & ((leg == -1) | (z > hem + 0.06))
    reached = (heights < waist) & (heights > hem)
    w.worn["trunk"] = np.where(reached[:, None], radius, w.worn["trunk"])
