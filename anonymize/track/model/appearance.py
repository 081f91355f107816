"""Appearance: colour and texture of body parts.

A part is found by the surface prediction (CSE), so that the same sleeve is compared with the same sleeve whatever the
pose and the view. Where there is no surface, a grid over the mask stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from anonymize.core.types import BoolArray, Detections, FloatArray, IntArray, UInt8Array
from anonymize.track.config import BODY_PART_GROUPS, FEATURES, GRID_HW, GROUPS, MASK_CELLS, SLOTS, TrackerConfig


@dataclass(frozen=True, eq=False)
class PartTable:
    """The body part that an embedding belongs to.

    Attributes:
        embedding: [L, D] float32, of landmarks of the body surface, evenly spread in this order (farthest first).
        parts: [L] int64, body part 1 to 24 of each, after BodyPix.
        surface: Name of the surface, as in `Detections.surface`.
    """

    embedding: FloatArray
    parts: IntArray
    surface: str = "anny"

    def __post_init__(self) -> None:
        if self.embedding.ndim != 2 or self.parts.shape != self.embedding.shape[:1]:
            raise ValueError(
                f"embedding and parts must be [L, D] and [L], got {self.embedding.shape}, {self.parts.shape}"
            )

    def look_up(self, values: torch.Tensor, landmarks: int) -> IntArray:
        """Group of parts 0 to 7 of each embedding [K, D], by the nearest of so many landmarks."""
        table = torch.from_numpy(self.embedding[:landmarks]).to(values)
        likeness = values @ torch.nn.functional.normalize(table, dim=1).T
        # a tenth of the time that PyTorch takes for it on CPUs
        groups: IntArray = np.array(BODY_PART_GROUPS)[self.parts[:landmarks]][likeness.cpu().numpy().argmax(1)]
        return groups


@dataclass(frozen=True, eq=False)
class Appearance:
    """Appearance of N detections or tracks.

    Attributes:
        values: [N, 17, 5] float32: 8 groups of parts and 9 cells of the grid; lightness, red-green, yellow-blue,
            deviation of the lightness, mean difference of neighbours; each scaled by how much it tells.
        weights: [N, 17] float32, share of the person's points in each; 0 where none is seen.
    """

    values: FloatArray
    weights: FloatArray

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: IntArray | npt.NDArray[np.bool_] | slice) -> Appearance:
        return Appearance(self.values[rows], self.weights[rows])

    @classmethod
    def unknown(cls, count: int) -> Appearance:
        """N appearances of which nothing is known."""
        return cls(np.zeros((count, SLOTS, FEATURES), np.float32), np.zeros((count, SLOTS), np.float32))

    @classmethod
    def concatenate(cls, parts: Sequence[Appearance]) -> Appearance:
        """Several appearances one below the other."""
        if not parts:
            return cls.unknown(0)
        return cls(np.concatenate([one.values for one in parts]), np.concatenate([one.weights for one in parts]))

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """[N] whether anything is known of each."""
        seen: npt.NDArray[np.bool_] = np.asarray((self.weights > 0).any(1))
        return seen

    def distance(self, other: Appearance, min_shared: float) -> FloatArray:
        """Mean difference of colour and texture over the parts seen of both, [N, M] float32 from 0.

        Args:
            other: M appearances.
            min_shared: Share of their points that two must show of the same parts; NaN where they do not.
        """
        if not other.weights.any():
            return np.full((len(self), len(other)), np.nan, np.float32)
        shared = np.minimum(self.weights[:, None], other.weights[None])  # [N, M, 17]
        have = [(one.weights[:, :GROUPS] > 0).any(1) for one in (self, other)]
        by_part = np.logical_and.outer(have[0], have[1])
        shared[by_part, GROUPS:] = 0
        shared[shared.sum(2) < min_shared] = 0
        shared = np.sqrt(shared)  # small parts count for more than their size
        difference = np.linalg.norm(self.values[:, None] - other.values[None], axis=3)
        total = shared.sum(2)
        with np.errstate(invalid="ignore", divide="ignore"):
            distance: FloatArray = np.where(total > 0, (shared * difference).sum(2) / total, np.nan).astype(np.float32)
        return distance

    def blend(self, rows: IntArray, new: Appearance, rate: FloatArray) -> None:
        """Move rows [K] towards a new view of each by a share `rate` [K], in place (exponential moving average)."""
        old, weight = self.weights[rows], new.weights
        pace = rate[:, None] * np.minimum(1, weight / np.maximum(old, 1e-6))
        share = np.where(old > 0, pace, weight > 0)[..., None]
        self.values[rows] += share * (new.values - self.values[rows])
        self.weights[rows] = np.where(old > 0, old + rate[:, None] * (weight - old) * (weight > 0), weight)


def describe(
    image: UInt8Array, found: Detections, table: PartTable | None, grids: BoolArray, config: TrackerConfig
) -> Appearance:
    """The appearance of N detections in a frame.

    Args:
        image: [H, W, 3] uint8 RGB.
        found: The detections.
        table: Body parts of embeddings; None if unknown.
        grids: [N, 28, 14] bool, their masks read at points of their boxes.
        config: Thresholds.
    """
    if not len(found):
        return Appearance.unknown(0)
    height, width = found.size_hw
    rows_hw, columns_hw = GRID_HW
    boxes = found.boxes_xyxy
    step = (boxes[:, 2:] - boxes[:, :2]) / (columns_hw, rows_hw)
    x = boxes[:, :1] + step[:, :1] * (np.arange(columns_hw) + 0.5)  # [N, 14]
    y = boxes[:, 1:2] + step[:, 1:] * (np.arange(rows_hw) + 0.5)  # [N, 28]
    columns, rows = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    colours = image[rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None]].astype(np.float32) / 255
    unknown = np.array([not mask.mask.size for mask in found.masks], np.bool_)  # only the box is known
    inside = _shrink(grids | unknown[:, None, None])
    red, green, blue = colours.transpose(3, 0, 1, 2)
    light = (red + green + blue) / 3  # a mean over so few takes ten times as long
    rough = np.zeros_like(light)
    rough[:, 1:] = np.abs(np.diff(light, axis=1))
    opponent = [light, red - green, (red + green) / 2 - blue]
    features = np.stack([*opponent, light**2, rough, np.ones_like(light)], 3).reshape(len(found), -1, 6)
    slots = np.broadcast_to(_mask_cells(), inside.shape)
    sums = _sum_by_slot(slots, inside, features)
    parts = _parts(found, inside, table, config)
    if parts is not None:
        sums += _sum_by_slot(parts, inside & (parts >= 0), features)
    count = sums[..., 5:]
    means = sums[..., :5] / np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(means[..., 3] - means[..., 0] ** 2, 0))
    tints = means[..., 1:3] / (means[..., :1] + config.tint_offset)
    values = np.concatenate([means[..., :1], tints, deviation[..., None], means[..., 4:5]], 2) * config.feature_scale
    total = np.maximum(inside.reshape(len(found), -1).sum(1), 1)
    return Appearance(values.astype(np.float32), (count[..., 0] / total[:, None]).astype(np.float32))


def _mask_cells() -> IntArray:
    """Slot of each point [28, 14] by its place in the mask."""
    rows, columns = (np.arange(size) * MASK_CELLS // size for size in GRID_HW)
    return rows[:, None] * MASK_CELLS + columns[None] + GROUPS


def _shrink(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """[N, 28, 14] masks without their rim, which shows background as well; whole where none would be left."""
    small = inside.copy()
    small[:, 1:] &= inside[:, :-1]
    small[:, :-1] &= inside[:, 1:]
    columns = small.copy()
    small[..., 1:] &= columns[..., :-1]
    small[..., :-1] &= columns[..., 1:]
    kept: npt.NDArray[np.bool_] = np.where(np.asarray(small.any((1, 2)))[:, None, None], small, inside)
    return kept


def _sum_by_slot(slots: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_], features: FloatArray) -> FloatArray:
    """Sums [N, 17, F] of the features [N, P, F] of the points inside, by slot [N, rows, columns]."""
    n, _, f = features.shape
    chosen = inside.reshape(n, -1)
    key = (np.arange(n)[:, None] * SLOTS + slots.reshape(n, -1))[chosen]
    values = features[chosen]
    sums = [np.bincount(key, values[:, i], minlength=n * SLOTS) for i in range(f)]
    return np.stack(sums, 1).reshape(n, SLOTS, f).astype(np.float32)


def _parts(
    found: Detections, inside: npt.NDArray[np.bool_], table: PartTable | None, config: TrackerConfig
) -> npt.NDArray[np.int64] | None:
    """Group of parts at each point [N, 28, 14], -1 where there is none."""
    if table is None or found.embeddings is None or found.segmentations is None or found.surface != table.surface:
        return None
    if not found.has_cse.any() or found.embeddings.shape[1] != table.embedding.shape[1]:
        return None
    size = found.embeddings.shape[-1]
    if all(size % points == 0 for points in GRID_HW):  # slices copy nothing
        v, u = (slice(size // points // 2, None, size // points) for points in GRID_HW)
        body, values = found.segmentations[:, v, u], found.embeddings[:, :, v, u]
    else:
        rows, columns = (
            torch.from_numpy(((np.arange(points) + 0.5) * size / points).astype(np.int64)).to(found.embeddings.device)
            for points in GRID_HW
        )
        body, values = found.segmentations[:, rows[:, None], columns], found.embeddings[:, :, rows[:, None], columns]
    chosen = inside & (body > config.min_body_probability).cpu().numpy() & found.has_cse[:, None, None]
    values = values.permute(0, 2, 3, 1)[torch.from_numpy(chosen).to(values.device)]
    parts = np.full(inside.shape, -1, np.int64)
    parts[chosen] = table.look_up(values.float(), config.part_landmarks)
    return parts
