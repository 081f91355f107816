"""What people look like: colour and texture of their body parts.

A part is found through the surface prediction (CSE), so that the same sleeve is compared with the same sleeve whatever
the pose and the view. Where there is no surface, a grid over the mask stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from anonymize.core.types import BoolArray, Detections, FloatArray, IntArray, UInt8Array
from anonymize.track.geometry import GRID_HW

ROWS, COLUMNS = GRID_HW  # points that are looked at, over a person's box
LANDMARKS = 128  # enough to tell the parts apart; they are spread evenly over the body
FEATURES = 5  # three of colour, two of texture
GRID = 3
MIN_SHARED = 0.2  # share of their points that two people must show of the same parts, or nothing can be said
COLOUR_SCALE = (0.35, 0.7, 0.7, 0.25, 0.25)  # light and shade change the lightness of a person, hardly the tint
DARK = 0.4  # added to the lightness that tints are divided by: dark colours have little tint
BODY_THRESHOLD = 0.5

# head, upper arms, lower arms, hands, torso, thighs, calves, feet; left and right, front and back are one, or a person
# who turns round would be another one. Index: body part after BodyPix, 0 none.
GROUPS = np.array([-1, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7])
PARTS = int(GROUPS.max()) + 1
SLOTS = PARTS + GRID * GRID

_GRID_CELL = (np.arange(ROWS)[:, None] * GRID // ROWS) * GRID + np.arange(COLUMNS)[None] * GRID // COLUMNS + PARTS


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

    def look_up(self, values: torch.Tensor) -> IntArray:
        """Group of parts 0 to 7 of each embedding [K, D]."""
        table = torch.from_numpy(self.embedding[:LANDMARKS]).to(values)
        likeness = values @ torch.nn.functional.normalize(table, dim=1).T
        # a tenth of the time that PyTorch takes for it on CPUs
        groups: IntArray = GROUPS[self.parts[:LANDMARKS]][likeness.cpu().numpy().argmax(1)]
        return groups


@dataclass(frozen=True, eq=False)
class Looks:
    """Appearance of N people.

    Attributes:
        values: [N, 17, 5] float32: 8 groups of parts and 9 cells of the grid; lightness, red-green, yellow-blue,
            deviation of the lightness, mean difference of neighbours; each scaled by how much it tells.
        weights: [N, 17] float32, share of the person's points in each; 0 where it is not seen.
    """

    values: FloatArray
    weights: FloatArray

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: IntArray | npt.NDArray[np.bool_] | slice) -> Looks:
        return Looks(self.values[rows], self.weights[rows])

    @classmethod
    def unknown(cls, count: int) -> Looks:
        """People of whom nothing has been seen."""
        return cls(np.zeros((count, SLOTS, FEATURES), np.float32), np.zeros((count, SLOTS), np.float32))

    @classmethod
    def of(cls, looks: Sequence[Looks]) -> Looks:
        """All of several lots of people."""
        if not looks:
            return cls.unknown(0)
        return cls(np.concatenate([some.values for some in looks]), np.concatenate([some.weights for some in looks]))

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """[N] whether anything has been seen of each."""
        seen: npt.NDArray[np.bool_] = np.asarray((self.weights > 0).any(1))
        return seen

    def distance(self, other: Looks) -> FloatArray:
        """How different two lots of people look, [N, M] float32 from 0, over the parts seen of both; NaN if none is."""
        if not other.weights.any():
            return np.full((len(self), len(other)), np.nan, np.float32)
        shared = np.minimum(self.weights[:, None], other.weights[None])  # [N, M, 17]
        have = [(looks.weights[:, :PARTS] > 0).any(1) for looks in (self, other)]
        by_part = np.logical_and.outer(have[0], have[1])
        shared[by_part, PARTS:] = 0
        shared[shared.sum(2) < MIN_SHARED] = 0
        shared = np.sqrt(shared)  # small parts count for more than their size
        difference = np.linalg.norm(self.values[:, None] - other.values[None], axis=3)
        total = shared.sum(2)
        with np.errstate(invalid="ignore", divide="ignore"):
            distance: FloatArray = np.where(total > 0, (shared * difference).sum(2) / total, np.nan).astype(np.float32)
        return distance

    def blend(self, rows: IntArray, new: Looks, rate: FloatArray) -> None:
        """Move the looks of people `rows` [K] towards what is seen of them now, by a share `rate` [K], in place."""
        old, weight = self.weights[rows], new.weights
        pace = rate[:, None] * np.minimum(1, weight / np.maximum(old, 1e-6))
        share = np.where(old > 0, pace, weight > 0)[..., None]
        self.values[rows] += share * (new.values - self.values[rows])
        self.weights[rows] = np.where(old > 0, old + rate[:, None] * (weight - old) * (weight > 0), weight)


def describe(image: UInt8Array, found: Detections, table: PartTable | None, grids: BoolArray) -> Looks:
    """The looks of people in a frame.

    Args:
        image: [H, W, 3] uint8 RGB.
        found: The people.
        table: Body parts of embeddings; None if unknown.
        grids: [N, 28, 14] bool, their masks seen through their boxes.
    """
    if not len(found):
        return Looks.unknown(0)
    height, width = found.size_hw
    boxes = found.boxes_xyxy
    step = (boxes[:, 2:] - boxes[:, :2]) / (COLUMNS, ROWS)
    x = boxes[:, :1] + step[:, :1] * (np.arange(COLUMNS) + 0.5)  # [N, 14]
    y = boxes[:, 1:2] + step[:, 1:] * (np.arange(ROWS) + 0.5)  # [N, 28]
    columns, rows = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    colours = image[rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None]].astype(np.float32) / 255
    unknown = np.array([not mask.mask.size for mask in found.masks], np.bool_)  # whose box is all that is known
    inside = _shrink(grids | unknown[:, None, None])
    red, green, blue = colours.transpose(3, 0, 1, 2)
    light = (red + green + blue) / 3  # a mean over so few takes ten times as long
    rough = np.zeros_like(light)
    rough[:, 1:] = np.abs(np.diff(light, axis=1))
    opponent = [light, red - green, (red + green) / 2 - blue]
    features = np.stack([*opponent, light**2, rough, np.ones_like(light)], 3).reshape(len(found), -1, 6)
    slots = np.broadcast_to(_GRID_CELL, inside.shape)
    sums = _sum_by_slot(slots, inside, features)
    parts = _parts(found, inside, table)
    if parts is not None:
        sums += _sum_by_slot(parts, inside & (parts >= 0), features)
    count = sums[..., 5:]
    means = sums[..., :5] / np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(means[..., 3] - means[..., 0] ** 2, 0))
    tints = means[..., 1:3] / (means[..., :1] + DARK)
    values = np.concatenate([means[..., :1], tints, deviation[..., None], means[..., 4:5]], 2) * COLOUR_SCALE
    total = np.maximum(inside.reshape(len(found), -1).sum(1), 1)
    return Looks(values.astype(np.float32), (count[..., 0] / total[:, None]).astype(np.float32))


def _shrink(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """[N, 28, 14] masks without their rim, which shows background as well; whole where nothing would stay."""
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


def _parts(found: Detections, inside: npt.NDArray[np.bool_], table: PartTable | None) -> npt.NDArray[np.int64] | None:
    """Group of parts at each point [N, 28, 14], -1 where there is none."""
    if table is None or found.embeddings is None or found.segmentations is None or found.surface != table.surface:
        return None
    if not found.has_cse.any() or found.embeddings.shape[1] != table.embedding.shape[1]:
        return None
    size = found.embeddings.shape[-1]
    if size % ROWS == 0 and size % COLUMNS == 0:  # slices copy nothing
        v, u = slice(size // ROWS // 2, None, size // ROWS), slice(size // COLUMNS // 2, None, size // COLUMNS)
        body, values = found.segmentations[:, v, u], found.embeddings[:, :, v, u]
    else:
        rows = torch.from_numpy(((np.arange(ROWS) + 0.5) * size / ROWS).astype(np.int64)).to(found.embeddings.device)
        columns = torch.from_numpy(((np.arange(COLUMNS) + 0.5) * size / COLUMNS).astype(np.int64)).to(rows.device)
        body, values = found.segmentations[:, rows[:, None], columns], found.embeddings[:, :, rows[:, None], columns]
    chosen = inside & (body > BODY_THRESHOLD).cpu().numpy() & found.has_cse[:, None, None]
    values = values.permute(0, 2, 3, 1)[torch.from_numpy(chosen).to(values.device)]
    parts = np.full(inside.shape, -1, np.int64)
    parts[chosen] = table.look_up(values.float())
    return parts
