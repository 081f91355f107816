"""The light that falls on an avatar and the film that it is seen on, estimated from what is round it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from anonymize.bodies.shading import Light
from anonymize.core.types import BoolArray, FloatArray, Replacement, UInt8Array

GAMMA = 2.2
ALBEDO = 0.32
"""Share of the light that the surroundings throw back on average."""
COLOURED = 0.6
"""Share of the surroundings' tint that is the light's, not theirs."""
SUN_SHARE = 0.4
"""Share of the light that comes from one side."""
MOST_BLUR_PX = 2.0
SAME_LIGHT = 1.5
"""Light that is so many times as strong is another one."""
FEWEST_PIXELS = 400
FEWEST_SAMPLES = 50
"""Of the pixels that light is read from; with fewer it counts as unknown."""
AROUND = 0.6
"""Share of the person's longer side round the rectangle that is looked at."""
FILM_PX = 256
"""Blur and noise are read from the middle, so many pixels along a side."""
COLOURFUL_FROM = 18.0
"""Difference of the channels, of 255, that a tenth of the pixels of a coloured film exceed."""
LOOKED_AT_PX = 120
"""Light is read from so many pixels along the longer side."""
LINEAR = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)
BLURS = np.linspace(0, MOST_BLUR_PX, 21)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is known of the light and of the film where an avatar is drawn.

    Attributes:
        ambient: [3] linear RGB, irradiance from all around.
        ground: [3] linear RGB, thrown back by the ground.
        side: In [-1, 1], from where the light comes: -1 left, 1 right.
        blur_px: Standard deviation of the film's blur.
        noise: Standard deviation of the film's noise, of 255.
        colourful: In [0, 1]: 0 where the film is grey, as infrared cameras make it.
    """

    ambient: FloatArray
    ground: FloatArray
    side: float
    blur_px: float
    noise: float
    colourful: float = 1.0

    def blended(self, before: Surroundings, share: float) -> Surroundings:
        """Between this and what was known before, of which a share in [0, 1] is kept."""

        def mix(one: FloatArray, other: FloatArray) -> FloatArray:
            return np.asarray((1 - share) * one + share * other, np.float32)

        return Surroundings(
            mix(self.ambient, before.ambient),
            mix(self.ground, before.ground),
            (1 - share) * self.side + share * before.side,
            (1 - share) * self.blur_px + share * before.blur_px,
            (1 - share) * self.noise + share * before.noise,
            (1 - share) * self.colourful + share * before.colourful,
        )

    def near(self, other: Surroundings) -> bool:
        """Whether the light may be the same, a little later; after a cut it is not."""
        level, before = float(self.ambient.mean()), float(other.ambient.mean())
        return max(level, before) < SAME_LIGHT * min(level, before)

    @property
    def light(self) -> Light:
        """The light in the axes of the camera: x to the right, z up, -y towards it."""
        direction = np.array([0.8 * self.side, -0.55, 0.75])
        direction /= np.linalg.norm(direction)
        x, y, z = (float(v) for v in direction)

        def rgb(colour: FloatArray) -> tuple[float, float, float]:
            r, g, b = (float(v) for v in colour)
            return r, g, b

        return Light(
            (x, y, z),
            rgb(SUN_SHARE * 1.3 * self.ambient),
            rgb((1 - SUN_SHARE) * self.ambient * 1.15),
            rgb((1 - SUN_SHARE) * self.ground),
        )

    @property
    def shadow(self) -> float:
        """Opacity of the shadow right under the feet."""
        return 0.45

    def filmed(self, picture: FloatArray, *, seed: tuple[int, ...]) -> Replacement:
        """An avatar as the film would show it: blurred and noisy.

        Args:
            picture: [h, w, 4], display colours in [0, 1] times alpha, and alpha.
            seed: Of the noise.
        """
        if self.blur_px > 0.2:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), self.blur_px), np.float32)
        alpha = picture[..., 3:]
        colour = 255 * picture[..., :3] / np.maximum(alpha, 1e-3)
        if self.colourful < 1:
            grey = colour @ np.array([0.3, 0.59, 0.11], np.float32)
            colour = grey[..., None] + self.colourful * (colour - grey[..., None])
        if self.noise > 0.3:
            rng = np.random.default_rng(seed)
            colour = colour + self.noise * rng.standard_normal(colour.shape[:2], np.float32)[..., None]
        pixels: UInt8Array = np.clip(np.rint(colour), 0, 255).astype(np.uint8)
        return Replacement(pixels, np.clip(np.rint(255 * alpha[..., 0]), 0, 255).astype(np.uint8))


def surroundings(image: UInt8Array, hidden: BoolArray, box_xyxy: tuple[int, ...]) -> Surroundings:
    """Light and film round a person.

    Args:
        image: [H, W, 3] uint8 RGB.
        hidden: [H, W] bool, what must not be looked at.
        box_xyxy: The person's rectangle.
    """
    left, top, right, bottom = box_xyxy
    margin = round(AROUND * max(right - left, bottom - top)) + 8
    rows = slice(max(0, top - margin), min(image.shape[0], bottom + margin))
    columns = slice(max(0, left - margin), min(image.shape[1], right + margin))
    part, known = image[rows, columns], ~hidden[rows, columns]
    if np.count_nonzero(known) < FEWEST_PIXELS:
        part, known = image, ~hidden
    if np.count_nonzero(known) < FEWEST_PIXELS:
        return unknown_surroundings()
    step = max(1, round(max(part.shape[:2]) / LOOKED_AT_PX))
    few, few_known = part[::step, ::step], known[::step, ::step]
    if np.count_nonzero(few_known) < FEWEST_SAMPLES:
        return unknown_surroundings()
    linear = LINEAR[few]
    mean = mean_light(linear, few_known)
    level = float(mean.mean())
    tint = (mean / max(level, 1e-4)) ** COLOURED
    ambient = level / ALBEDO * tint
    low = np.zeros_like(few_known)
    low[round(0.7 * len(low)) :] = True
    below = mean_light(linear, few_known & low) if np.count_nonzero(few_known & low) > FEWEST_PIXELS // 4 else mean
    half = few.shape[1] // 2
    sides = [linear[:, s].mean(2)[few_known[:, s]] for s in (slice(0, half), slice(half, None))]
    side = 0.0
    if min(len(s) for s in sides) > FEWEST_PIXELS // 4:
        dark, bright = (float(s.mean()) for s in sides)
        side = float(np.clip(1.5 * (bright - dark) / max(bright + dark, 1e-4), -1, 1))
    chroma = np.ptp(few[few_known].astype(np.float32), axis=1)
    colourful = float(np.clip(np.quantile(chroma, 0.9) / COLOURFUL_FROM, 0, 1))
    blur, noise = film_of(part, known)
    return Surroundings(
        ambient.clip(0.02, 1.6).astype(np.float32),
        (below / ALBEDO * 0.45).clip(0.01, 0.8).astype(np.float32),
        side,
        blur,
        noise,
        colourful,
    )


def unknown_surroundings() -> Surroundings:
    """Those of which too little can be seen: a grey light."""
    grey = np.full(3, 0.6, np.float32)
    return Surroundings(grey, 0.5 * grey, 0.0, 0.6, 1.0)


def mean_light(linear: FloatArray, known: BoolArray) -> FloatArray:
    """Mean colour [3] of what is known, very bright spots (lamps, sky) cut off; black if nothing is."""
    values = linear[known]
    if not len(values):
        return np.zeros(3, np.float32)
    ceiling = np.quantile(values.mean(1), 0.9)
    return np.asarray(np.minimum(values, ceiling).mean(0), np.float32)


def film_of(part: UInt8Array, known: BoolArray) -> tuple[float, float]:
    """Blur (standard deviation, pixels) and noise (of 255) of a part of a picture.

    Blur: squared differences over one and over two pixels are as 1 to 2 at a sharp edge, as 1 to 4 on a slope. Noise:
    the median of a second difference in both directions (Immerkaer 1996), which edges hardly touch.
    """
    rows, columns = (slice(max(0, (n - FILM_PX) // 2), (n + FILM_PX) // 2) for n in part.shape[:2])
    if np.count_nonzero(known[rows, columns]) > FEWEST_PIXELS * 4:
        part, known = part[rows, columns], known[rows, columns]
    grey = np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), np.float32)
    inner = np.asarray(cv2.erode(known.astype(np.uint8), np.ones((5, 5), np.uint8))).astype(np.bool_)
    if np.count_nonzero(inner) < FEWEST_PIXELS:
        return 0.6, 1.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    rough = np.asarray(cv2.filter2D(grey, -1, kernel), np.float32)[inner]
    noise = float(np.median(np.abs(rough)) / 0.6745 / 6)
    one = (grey[:, 1:-1] - grey[:, :-2]) ** 2
    two = (grey[:, 2:] - grey[:, :-2]) ** 2
    edges = inner[:, 1:-1] & (two > (6 * noise + 8) ** 2)
    if np.count_nonzero(edges) < FEWEST_PIXELS // 8:
        return 0.6, noise
    ratio = float((one[edges].mean() - 2 * noise**2) / max(float(two[edges].mean() - 2 * noise**2), 1e-3))
    return float(np.interp(-ratio, -sharpness(), BLURS)), noise


@cache
def sharpness() -> FloatArray:
    """The ratio of squared differences over one and two pixels at an edge, for each of `BLURS`."""
    from math import erf

    x = np.arange(-12, 13, dtype=np.float64)
    ratios = []
    for blur in BLURS:
        total = np.zeros(2)
        for offset in np.linspace(0, 1, 8, endpoint=False):
            # a pixel is a mean over its width, about a blur of 0.29
            sigma = float(np.hypot(blur, 0.29)) * 2**0.5
            edge = np.array([0.5 * (1 + erf((v - offset) / sigma)) for v in x])
            total += [np.square(edge[1:-1] - edge[:-2]).sum(), np.square(edge[2:] - edge[:-2]).sum()]
        ratios.append(total[0] / total[1])
    return np.asarray(ratios, np.float32)
