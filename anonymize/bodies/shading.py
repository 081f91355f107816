"""Colours: materials with procedural patterns, light, and the shading of visible fragments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from numpy.random import Generator
from torch import Tensor

# kinds of pattern; all are functions of the position on the canonical body, so that they move with it
PLAIN, STRIPES, BARS, CHECKS, DOTS, BLOTCHES, GRADIENT, LOGO, SKIN, BRICKS, WINDOWS, PLANKS = range(12)
COLUMNS = 18


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    Attributes:
        colour, second: Linear RGB in [0, 1]; the pattern mixes them.
        pattern: One of the kinds above.
        scale: Repetitions of the pattern per metre.
        angle: Turn of the pattern about the body's front, radians.
        folds: Strength of folds in the cloth, 0 to 1.
        gloss: Strength of the highlight.
        grain: Spread of fine variations of brightness.
        phase: Shifts patterns and folds.
        anchor: Canonical position that the pattern is measured from (a logo's centre, the eyes for skin), metres.
    """

    colour: tuple[float, float, float]
    second: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pattern: int = PLAIN
    scale: float = 10.0
    angle: float = 0.0
    folds: float = 0.0
    gloss: float = 0.0
    grain: float = 0.02
    phase: float = 0.0
    anchor: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def row(self) -> list[float]:
        numbers = (self.pattern, self.scale, self.angle, self.folds, self.gloss, self.grain, self.phase)
        row = [*self.colour, *self.second, *numbers, *self.anchor]
        return row + [0.0] * (COLUMNS - len(row))


@dataclass(frozen=True)
class Light:
    """A sun or lamp and what comes from all around.

    Attributes:
        direction: Unit vector towards the light.
        sun, sky, ground: Linear RGB strength of the light, of what comes from above, and of what comes from below.
    """

    direction: tuple[float, float, float]
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]

    @property
    def shadow_strength(self) -> float:
        """Share of the light on level ground that a shadow takes away, 0 to 1."""
        sun = sum(self.sun) * max(self.direction[2], 0.05)
        return sun / (sun + sum(self.sky))


def random_light(rng: Generator, *, indoor: bool = False) -> Light:
    """Sun, overcast sky, dusk, or lamps."""
    import numpy as np

    azimuth, height = float(rng.uniform(0, 2 * np.pi)), float(np.radians(rng.uniform(18, 75)))
    direction = (
        float(np.cos(azimuth) * np.cos(height)),
        float(np.sin(azimuth) * np.cos(height)),
        float(np.sin(height)),
    )
    kind = rng.random()
    warm = float(rng.uniform(0, 0.25))
    strength = float(rng.uniform(0.5, 1.1))
    if indoor:
        sun, sky, tint = strength * 0.35, float(rng.uniform(0.45, 0.8)), (1 + 0.6 * warm, 1.0, 1 - 1.2 * warm)
        sun_tint = tint
    elif kind < 0.5:
        sun, sky, tint = strength, float(rng.uniform(0.25, 0.45)), (0.92, 1.0, 1.12)
        sun_tint = (1 + warm, 1.0, 1 - warm)
    elif kind < 0.9:
        sun, sky, tint = strength * 0.12, float(rng.uniform(0.55, 0.95)), (0.98, 1.0, 1.04)
        sun_tint = (1.0, 1.0, 1.0)
    else:
        sun, sky, tint = strength * 0.3, float(rng.uniform(0.12, 0.3)), (1.05, 1.0, 0.95)
        sun_tint = (1.2, 1.0, 0.75)
    bounce = float(rng.uniform(0.25, 0.5))

    def scaled(k: float, c: tuple[float, float, float]) -> tuple[float, float, float]:
        return (k * c[0], k * c[1], k * c[2])

    return Light(
        direction, scaled(sun, sun_tint), scaled(sky, tint), scaled(bounce * (sky + 0.4 * sun), (1, 0.97, 0.93))
    )


def waves(position: Tensor, phase: Tensor, frequency: float, octaves: int = 3) -> tuple[Tensor, Tensor]:
    """Smooth solid noise as a sum of plane waves: value [P] in about [-1, 1] and its gradient [P, 3]."""
    value = torch.zeros_like(phase)
    gradient = torch.zeros_like(position)
    for i in range(octaves * 2):
        k = torch.tensor([1.3 * (i % 3 - 0.9), 0.8 + 0.5 * ((i * 7) % 4 - 1.6), 0.9 * ((i * 5) % 7 - 2.8) / 2])
        k = (k * frequency * (1 + 0.37 * i)).to(position)
        turn = position @ k + phase * (1.7 + i)
        amplitude = 0.55 / (1 + 0.45 * i)
        value = value + amplitude * torch.sin(turn)
        gradient = gradient + (amplitude * torch.cos(turn))[:, None] * k
    return value, gradient


def hashed(cell: Tensor) -> Tensor:
    """A repeatable number in [0, 1) for each integer cell [P, 3]."""
    mixed = torch.sin(cell[:, 0] * 12.9898 + cell[:, 1] * 78.233 + cell[:, 2] * 37.719) * 43758.5453
    return mixed - torch.floor(mixed)


def albedo(table: Tensor, material: Tensor, position: Tensor) -> Tensor:
    """Linear colour [P, 3] of materials [P] (rows of the table [M, C]) at canonical positions [P, 3]."""
    row = table[material]
    first, second, kind, scale, angle = row[:, :3], row[:, 3:6], row[:, 6].long(), row[:, 7], row[:, 8]
    grain, phase, anchor = row[:, 11], row[:, 12], row[:, 13:16]
    local = position - anchor
    c, s = torch.cos(angle), torch.sin(angle)
    x, z = local[:, 0] * c - local[:, 2] * s, local[:, 0] * s + local[:, 2] * c
    around = x + 0.6 * local[:, 1]
    u, v = around * scale + phase, z * scale + phase
    mix = torch.zeros_like(u)
    for pattern in torch.unique(kind).tolist():
        if pattern not in (PLAIN, SKIN):
            here = (kind == pattern).nonzero()[:, 0]
            mix[here] = figure(pattern, u[here], v[here], scale[here], phase[here], local[here])
    colour = first + (second - first) * mix[:, None]
    faces = (kind == SKIN).nonzero()[:, 0]
    colour[faces] = paint_face(first[faces], second[faces], local[faces])
    speckle = hashed(torch.floor(position * 160)) - 0.5
    return (colour * (1 + 2 * grain * speckle)[:, None]).clamp(0, 1)


def figure(pattern: int, u: Tensor, v: Tensor, scale: Tensor, phase: Tensor, local: Tensor) -> Tensor:
    """Share [P] of the second colour in a pattern at repetitions u across and v up; `local` [P, 3] in metres."""
    if pattern == STRIPES:
        return ((v % 1) < 0.3 + 0.3 * (phase % 1)).float()
    if pattern == BARS:
        return ((u % 1) < 0.35).float()
    if pattern == CHECKS:
        return 0.5 * ((u % 1) < 0.4).float() + 0.5 * ((v % 1) < 0.4).float()
    if pattern == DOTS:
        return (((u % 1) - 0.5) ** 2 + ((v % 1) - 0.5) ** 2 < 0.07).float()
    if pattern == BLOTCHES:
        noise, _ = waves(local, phase, 1.0 * 8)
        fine, _ = waves(local * scale[:, None], phase, 1.5)
        return ((noise + fine) > 0.1).float()
    if pattern == GRADIENT:
        return torch.sigmoid(v)
    if pattern == LOGO:
        z = (v - phase) / scale
        x = (u - phase) / scale - 0.6 * local[:, 1]
        inside = (x.abs() < 0.75 / scale) & (z.abs() < 0.4 / scale) & (local[:, 1] < 0)
        letters = ((x * scale * 4 + phase) % 1 < 0.62) & ((z * scale * 2.5) % 1 < 0.8)
        return (inside & letters).float()
    if pattern == BRICKS:
        line = torch.floor(v)
        joint = ((v % 1) < 0.12) | (((u + 0.5 * (line % 2)) % 1) < 0.06)
        return torch.where(joint, 1.0, 0.25 * hashed(torch.stack([torch.floor(u), line, phase], 1)))
    if pattern == WINDOWS:
        hole = ((u % 1 - 0.5).abs() < 0.26) & ((v % 1 - 0.55).abs() < 0.3)
        lit = 0.55 + 0.45 * hashed(torch.stack([torch.floor(u), torch.floor(v), phase], 1))
        return hole.float() * lit
    return 0.6 * ((v % 1) < 0.05).float() + 0.25 * hashed(torch.stack([torch.floor(v), phase, phase], 1))  # PLANKS


def paint_face(colour: Tensor, hair: Tensor, local: Tensor) -> Tensor:
    """Eyes, brows, lips and a tint of cheeks; `local` [P, 3] is measured from the middle between the eyes."""
    x, front, z = local[:, 0].abs(), local[:, 1] < 0.045, local[:, 2]

    def spot(cx: float, cz: float, rx: float, rz: float) -> Tensor:
        return (((x - cx) / rx) ** 2 + ((z - cz) / rz) ** 2 < 1) & front

    lips = spot(0.0, -0.066, 0.024, 0.009)
    colour = torch.where(lips[:, None], colour * colour.new_tensor([0.92, 0.62, 0.62]), colour)
    socket = spot(0.031, 0.002, 0.022, 0.013)
    colour = torch.where(socket[:, None], colour * 0.75, colour)
    white = spot(0.031, 0.0, 0.014, 0.0065)
    colour = torch.where(white[:, None], colour.new_tensor([0.55, 0.53, 0.5]), colour)
    iris = spot(0.031, 0.0, 0.0065, 0.0065)
    colour = torch.where(iris[:, None], colour.new_tensor([0.03, 0.02, 0.015]), colour)
    brow = spot(0.032, 0.021, 0.021, 0.0045)
    return torch.where(brow[:, None], hair * 0.6 + colour * 0.2, colour)


def shade(
    table: Tensor,
    material: Tensor,
    canonical: Tensor,
    normal: Tensor,
    view: Tensor,
    openness: Tensor,
    light: Light,
    lit: Tensor | None = None,
) -> Tensor:
    """Linear radiance of fragments.

    Args:
        table: [M, C] rows of `Material.row()`.
        material: [P] int64.
        canonical: [P, 3], position on the body in the rest pose; patterns and folds follow it.
        normal: [P, 3] world, any length.
        view: [P, 3] from the fragment to the camera, any length.
        openness: [P] in [0, 1], how much of the surroundings reaches the fragment.
        light: The light.
        lit: [P] in [0, 1], how much of the sun reaches the fragment; all by default.

    Returns:
        [P, 3], may exceed 1.
    """
    row = table[material]
    normal = torch.nn.functional.normalize(normal, dim=1)
    view = torch.nn.functional.normalize(view, dim=1)
    # surfaces seen from behind, such as the inside of a coat
    normal = torch.where(((normal * view).sum(1) < 0)[:, None], -normal, normal)
    folds = row[:, 9]
    stretched = canonical * canonical.new_tensor([1.0, 1.0, 0.55])
    creased = (folds > 0).nonzero()[:, 0]
    _, gradient = waves(stretched[creased], row[creased, 12], 14.0)
    normal = torch.nn.functional.normalize(
        normal.index_add(0, creased, gradient * folds[creased, None], alpha=-0.022), dim=1
    )
    towards = canonical.new_tensor(light.direction)
    cosine = (normal @ towards).clamp(min=0)
    if lit is not None:
        cosine = cosine * lit
    up = 0.5 + 0.5 * normal[:, 2]
    sky, ground, sun = (canonical.new_tensor(c) for c in (light.sky, light.ground, light.sun))
    ambient = up[:, None] * sky + (1 - up)[:, None] * ground
    received = ambient * (0.35 + 0.65 * openness)[:, None] + cosine[:, None] * sun
    half = torch.nn.functional.normalize(view + towards, dim=1)
    highlight = (row[:, 10] * (normal * half).sum(1).clamp(min=0) ** 24)[:, None] * sun
    return albedo(table, material, canonical) * received + highlight


def encode(linear: Tensor) -> Tensor:
    """Linear light to display values in [0, 1], with a shoulder instead of clipping."""
    x = linear.clamp(min=0)
    x = torch.where(x > 0.7, 0.7 + 0.3 * torch.tanh((x - 0.7) / 0.6), x)
    return x ** (1 / 2.2)
