"""Colours of skin, hair and cloth, sRGB and CIE Lab."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

Colour = tuple[float, float, float]

# sRGB 0..255; sampled between neighbours
SKIN_TONES = (
    (238, 205, 182),
    (228, 188, 158),
    (222, 174, 138),
    (198, 144, 104),
    (158, 105, 72),
    (112, 72, 48),
    (72, 46, 32),
)
HAIR_TONES = ((20, 17, 15), (38, 28, 22), (64, 45, 32), (96, 68, 44), (150, 112, 70), (196, 164, 112))
GREY_HAIR = (150, 147, 144)
# what people wear in streets: many dark, grey, blue and white things, some strong colours
CLOTHES_COLOURS = (
    (24, 24, 27), (38, 38, 44), (58, 60, 66), (92, 94, 98), (136, 136, 138), (182, 182, 180),
    (232, 230, 226), (246, 246, 244),
    (28, 36, 66), (44, 62, 110), (70, 96, 142), (112, 144, 186), (158, 184, 212), (110, 28, 32),
    (172, 36, 40), (206, 88, 72),
    (224, 150, 158), (66, 92, 60), (92, 110, 74), (38, 70, 58), (130, 170, 120), (122, 92, 64), (168, 136, 98),
    (208, 186, 150),
    (226, 208, 176), (228, 188, 62), (226, 124, 40), (96, 62, 112), (166, 126, 178), (36, 132, 140), (80, 52, 36),
    (214, 56, 118),
)  # fmt: skip


# lightness and its spread of cloths (`cloth_colour`)
TROUSERS = {"lightness": 34.0, "spread": 18.0, "chroma": 0.7}
DARK_SHOES = {"lightness": 24.0, "spread": 10.0, "chroma": 0.35}
WHITE_SHOES = {"lightness": 78.0, "spread": 8.0, "chroma": 0.35}


def linear(colour: tuple[float, ...]) -> Colour:
    """sRGB 0..255 to linear 0..1."""
    r, g, b = ((c / 255) ** 2.2 for c in colour)
    return (r, g, b)


def pick(rng: Generator, palette: tuple[tuple[int, int, int], ...], spread: float = 9) -> Colour:
    """A colour of a palette, varied a little."""
    base = np.array(palette[int(rng.integers(len(palette)))], float)
    r, g, b = np.clip(base + rng.normal(0, spread) + rng.normal(0, spread / 2, 3), 4, 252)
    return linear((r, g, b))


ADULT = 0.75


def cloth_colour(
    numbers: np.ndarray, *, lightness: float = 48.0, spread: float = 22.0, chroma: float = 1.0, blue: float = 0.0
) -> Colour:
    """Linear RGB of 3 numbers of z: lightness, and the two axes of CIE Lab.

    The spread of lightness and the chroma for a distance r of the two, r (2.5 + 3.1 r^2), are those of 1,226 photos of
    garments (`assets/README.md`): half of them have a chroma below 8, a tenth one above 42; three quarters of that
    are taken, for many of the photos show children's clothes.

    Args:
        numbers: [3], standard normal.
        lightness, spread: Mean and standard deviation of the lightness, 0 to 100.
        chroma: Factor on the chroma.
        blue: How much bluer, in units of Lab's b.
    """
    level = float(np.clip(lightness + spread * numbers[0], 9, 93))
    pair = numbers[1:].clip(-2.6, 2.6)
    a, b = (float(v) for v in ADULT * chroma * pair * (2.5 + 3.1 * min(float(pair @ pair), 7.0)))
    return lab_to_linear(level, a, b - blue)


def cloth_numbers(
    colour: np.ndarray, *, lightness: float = 48.0, spread: float = 22.0, chroma: float = 1.0
) -> np.ndarray:
    """The 3 numbers of z of which `cloth_colour` makes a linear RGB colour [3], about."""
    level, a, b = linear_to_lab(colour)
    strength = float(np.hypot(a, b)) / (ADULT * chroma)
    roots = np.roots([3.1, 0, 2.5, -strength])
    size = float(roots[np.abs(roots.imag).argmin()].real)
    pair = np.array([a, b]) * (size / max(float(np.hypot(a, b)), 1e-6))
    return np.array([(level - lightness) / spread, *pair])


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
