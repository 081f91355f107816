"""Whether a place shows the same in two pictures, whatever compression, a shift of a pixel or a change of colours do.

The measure is the contrast and structure term of SSIM (Wang et al. 2004, equation 6 with the luminance term left out,
alpha = beta = gamma = 1). Four things make it fit for the question:

- the pictures are compared after an affine fit of each colour channel, and over small shifts, of which the best counts;
- people are brought to one size, so that the finest grain, which encoders change most, does not count;
- windows weigh as much as the original has structure in them: flat cloth looks the same blurred and not;
- a person is as visible as their most visible patch: a face left uncovered is not outvoted by a covered body.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from anonymize.core.types import BoolArray, FloatArray, UInt8Array

SIGMA = 1.5
"""Standard deviation of SSIM's Gaussian window, pixels (Wang et al. 2004)."""
C2 = (0.03 * 255) ** 2
"""SSIM's second constant (Wang et al. 2004)."""
STRUCTURE = 6.0
"""Standard deviation in a window, grey levels, at which it weighs half."""
MAX_SHIFT = 1
PATCH = 1 / 6
"""Side of a patch over the person's longer side: about a head."""
MIN_PATCH_PX = 9
MIN_KNOWN = 0.12
"""A patch counts if its windows weigh this much on average; one without structure tells nothing."""
GAIN_RANGE = (0.5, 2.0)
"""A fit beyond these is none: a person fills the frame and was painted over."""
FIT_PIXELS = 20_000
FIT_ROUNDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """How alike two pictures of one place are.

    Attributes:
        overall: Mean over the mask, weighted by the original's structure, in [-1, 1]; 1 is the same.
        peak: The same over the most similar patch.
        known: Mean weight of the windows in the patch that has most structure, in [0, 1]; below `MIN_KNOWN` the place
            is flat, and the other figures mean nothing.
        shift_xy: Pixels of the working size by which the second picture was moved for this.
        values: [h, w] float32, similarity of the window round each pixel of the working size.
        weights: [h, w] float32, weight of each window, 0 outside of the mask.
    """

    overall: float
    peak: float
    known: float
    shift_xy: tuple[int, int]
    values: FloatArray
    weights: FloatArray


def fit_colours(original: UInt8Array, changed: UInt8Array) -> FloatArray:
    """Affine change of each channel that takes `changed` back to `original`, where most of the frame is the same.

    Least squares over an even grid of pixels, then again over the better half, so that people who were painted over do
    not count.

    Args:
        original: [H, W, 3] uint8.
        changed: [H, W, 3] uint8.

    Returns:
        [3, 2] float32, gain and offset of each channel.
    """
    step = max(1, int(np.sqrt(original.shape[0] * original.shape[1] / FIT_PIXELS)))
    targets = original[::step, ::step].reshape(-1, 3).astype(np.float64)
    sources = changed[::step, ::step].reshape(-1, 3).astype(np.float64)
    keep = np.ones(len(targets), np.bool_)
    gains, offsets = np.ones(3), np.zeros(3)
    for _ in range(FIT_ROUNDS):
        x, y = sources[keep], targets[keep]
        mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
        covariance, variance = ((x - mean_x) * (y - mean_y)).mean(axis=0), x.var(axis=0)
        gains = np.clip((covariance + 1) / (variance + 1), *GAIN_RANGE)  # Flat frames: gain 1.
        offsets = mean_y - gains * mean_x
        errors = np.abs(sources * gains + offsets - targets).max(axis=1)
        keep = errors <= np.median(errors)
    return np.stack([gains, offsets], axis=1).astype(np.float32)


def compare(original: FloatArray, changed: FloatArray, mask: BoolArray) -> Similarity:
    """Compare a place in two pictures over all small shifts; the shift of the highest peak counts.

    Args:
        original: [h, w] float32, luma in grey levels.
        changed: [h, w] float32, luma after the fit of colours.
        mask: [h, w] bool, the person.
    """
    mean = _window(original)
    variance = np.maximum(_window(original * original) - mean * mean, 0)
    weights = np.where(mask, variance / (variance + STRUCTURE**2), 0).astype(np.float32)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    nothing = Similarity(0, 0, 0, (0, 0), np.zeros_like(original), weights)
    if not rows.size:
        return nothing
    patch = max(MIN_PATCH_PX, round(PATCH * (max(np.ptp(rows), np.ptp(columns)) + 1)))
    known = cv2.blur(weights, (patch, patch), borderType=cv2.BORDER_CONSTANT)
    most_known = float(known.max())
    enough = known >= min(MIN_KNOWN, most_known)
    total = max(1e-6, float(weights.sum()))

    changed_mean = _window(changed)
    changed_variance = np.maximum(_window(changed * changed) - changed_mean * changed_mean, 0)
    best: Similarity | None = None
    for dx, dy in _shifts():
        moved, moved_mean, moved_variance = (shift(p, dx, dy) for p in (changed, changed_mean, changed_variance))
        covariance = _window(original * moved) - mean * moved_mean
        values = np.minimum((2 * covariance + C2) / (variance + moved_variance + C2), 1).astype(np.float32)
        seen = cv2.blur(values * weights, (patch, patch), borderType=cv2.BORDER_CONSTANT)
        peak = float((seen[enough] / np.maximum(known[enough], 1e-6)).max())
        if best is None or peak > best.peak:
            overall = float((values * weights).sum()) / total
            best = Similarity(overall, peak, most_known, (dx, dy), values, weights)
    return best or nothing


def _window(picture: FloatArray) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), SIGMA, borderType=cv2.BORDER_REPLICATE), np.float32)


def _shifts() -> list[tuple[int, int]]:
    """All shifts, the smallest first."""
    steps = range(-MAX_SHIFT, MAX_SHIFT + 1)
    return sorted(((dx, dy) for dx in steps for dy in steps), key=lambda s: abs(s[0]) + abs(s[1]))


def shift(picture: FloatArray, dx: int, dy: int) -> FloatArray:
    """A picture [h, w] or [h, w, C] moved to the right and down; what comes in at the rim repeats the rim."""
    if dx == dy == 0:
        return picture
    rows = np.clip(np.arange(picture.shape[0]) - dy, 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(picture.shape[1]) - dx, 0, picture.shape[1] - 1)
    return picture[rows][:, columns]
