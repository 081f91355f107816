"""How much boxes, motion and appearance say for two being one person."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anonymize.core.boxes import box_areas, box_common, box_share
from anonymize.core.types import BoolArray, FloatArray
from anonymize.track.config import TrackerConfig
from anonymize.track.geometry import centre_distance

Boxes = npt.NDArray[np.float64]
Seconds = npt.NDArray[np.float64]


def alike_sized(known: Boxes, found: Boxes, config: TrackerConfig) -> BoolArray:
    """Whether boxes [N, 4] and [M, 4] have about the same height, [N, M]."""
    heights = [boxes[:, 3] - boxes[:, 1] for boxes in (known, found)]
    ratio = np.maximum(heights[0][:, None], 1) / np.maximum(heights[1][None], 1)
    alike: BoolArray = (ratio < config.max_height_ratio) & (ratio > 1 / config.max_height_ratio)
    return alike


def crowding(boxes: Boxes, others: Boxes) -> FloatArray:
    """How much each of some boxes [N, 4] covers of each of the others [M, 4], or is covered by it, [N, M] in [0, 1].

    A box is not its own neighbour.
    """
    least = np.minimum.outer(box_areas(boxes), box_areas(others))
    share = box_common(boxes, others) / np.maximum(least, 1)
    same = (boxes[:, None] == others[None]).all(2)
    crowded: FloatArray = np.where(same, 0, share).astype(np.float32)
    return crowded


def trust(views: FloatArray, config: TrackerConfig) -> FloatArray:
    """How far an appearance is believed that was seen clearly so often, in [0, 1]."""
    return np.minimum((1 + views) / (1 + config.well_known_views), 1)


def likeness(distance: FloatArray, trusted: FloatArray, config: TrackerConfig) -> FloatArray:
    """Likeness of appearances, [N, M] in [0, 1]; 0.5 where nothing is known and at `same_distance`.

    Args:
        distance: [N, M] of tracks and detections; NaN where they cannot be compared.
        trusted: [N] in [0, 1], see `trust`.
        config: Thresholds.
    """
    like = np.exp2(-((distance / config.same_distance) ** 2)).astype(np.float32)
    return np.where(np.isnan(distance), np.float32(0.5), 0.5 + (like - 0.5) * trusted[:, None])


def motion_evidence(
    expected: Boxes,
    deviation: Seconds,
    extents: Boxes,
    leaving: BoolArray,
    absent: Seconds,
    found: Boxes,
    config: TrackerConfig,
) -> FloatArray:
    """Evidence of the motion for missing tracks and new detections being one person, [N, M, 2] float32.

    Log-likelihood ratios of one person against two: near to the prediction at first (Student's t, since people turn),
    anywhere within reach after some seconds, minus infinity beyond it. The second is without the rule that near the
    border people leave and others enter.

    Args:
        expected: [N, 4] where the tracks are predicted.
        deviation: [N] of these centres, in heights.
        extents: [N, 4] all that the tracks took up lately, moved to there: a person who comes out from behind something
            shows little at first.
        leaving: [N] whether the tracks were last found at the border.
        absent: [N] seconds since then.
        found: [M, 4] the new detections.
        config: Thresholds.
    """
    apart = centre_distance(expected, found)
    emerging = config.reid_emerging_share < box_share(found, extents).T
    alike = alike_sized(expected, found, config) | alike_sized(extents, found, config)
    distance = np.where(emerging, np.minimum(apart, config.reid_emerging_heights), apart).astype(np.float64)
    variance = config.reid_drift_heights**2 + deviation.astype(np.float32).astype(np.float64)[:, None] ** 2
    seconds = absent.astype(np.float32)[:, None]
    near = np.log(config.reid_area_heights2 / (2 * np.pi * variance)) - 2 * np.log1p(distance**2 / (2 * variance))
    near[~(alike | emerging)] -= config.reid_size_penalty
    at_border = (leaving & (seconds[:, 0] > config.max_dip_seconds))[:, None]
    bounded = np.where(at_border, np.minimum(near, config.max_reid_leaving), near)
    with np.errstate(divide="ignore"):
        anywhere = np.log(np.minimum(seconds / config.reid_forgotten_seconds, 1)) - config.reid_penalty
    within = apart < config.reid_reach_heights + config.reid_speed_heights * seconds
    said = [np.minimum(np.logaddexp(one, anywhere), config.max_reid_motion) for one in (bounded, near)]
    evidence: FloatArray = np.stack([np.where(within, one, -np.inf) for one in said], 2).astype(np.float32)
    return evidence
