"""The data that crosses a stage's border. This module imports no stage.

Coordinates are pixels of the upright picture: x to the right, y down, (0, 0) the corner of the first pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # Reading and writing films needs no torch, and importing it takes seconds.
    import torch

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


UNKNOWN_TRACK = 0
"""ID of pixels of people of whom it is not known which track they belong to, see `Tracks`."""
PLATES_AFTER = 1_000_000
"""Tracks of a higher ID are number plates: people keep their IDs, and so their looks, with and without plates."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a film on its way through the pipeline.

    Attributes:
        image: [H, W, 3] uint8 RGB, upright (the container's rotation is applied).
        index: Number of the frame in order of presentation, from 0.
        pts: Presentation time in units of `time_base`.
        time_base: Seconds per unit of `pts`.
        edited: [H, W] bool, the pixels of `image` that differ from the source on purpose; None where nothing does.
            The writer takes every other pixel from `source`, so an untouched frame is encoded as it was decoded.
        source: The decoder's own frame (not upright, its own pixel format), opaque to all stages but media.
        background: The frame without its people, as far as that was made; only for composers that draw new ones.
    """

    image: UInt8Array
    index: int = 0
    pts: int = 0
    time_base: Fraction = Fraction(1, 1)
    edited: BoolArray | None = field(default=None, repr=False)
    source: Any = field(default=None, repr=False)
    background: Background | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"image must be [H, W, 3] uint8, got {self.image.shape} {self.image.dtype}")
        if self.edited is not None and self.edited.shape != self.image.shape[:2]:
            raise ValueError(f"edited must be {self.image.shape[:2]}, got {self.edited.shape}")

    def __repr__(self) -> str:
        return f"Frame(index={self.index}, size_hw={self.size_hw}, pts_seconds={self.pts_seconds:.3f})"

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]

    @property
    def pts_seconds(self) -> float:
        return float(self.pts * self.time_base)

    def with_edit(self, image: UInt8Array, edited: BoolArray) -> Frame:
        """The same frame with other pixels where `edited` [H, W] is True; earlier edits stay marked."""
        both = edited if self.edited is None else edited | self.edited
        return replace(self, image=image, edited=both, background=None)


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """A frame in whose covers stands what is behind the people.

    Attributes:
        image: [H, W, 3] uint8 RGB; no pixel of it comes from a frame in which its place was covered.
        changed: [H, W] bool, the pixels that differ from the frame on purpose: the covers and a fringe round them.
    """

    image: UInt8Array = field(repr=False)
    changed: BoolArray = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class RegionMask:
    """A person's pixels, stored for the part of the frame around them only.

    Attributes:
        x, y: Column and row of the frame where the mask's first pixel lies; inside the frame.
        mask: [h, w] bool; lies wholly inside the frame. Empty (0, 0) where there are no pixels.
    """

    x: int
    y: int
    mask: BoolArray = field(repr=False)

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_:
            raise ValueError(f"mask must be [h, w] bool, got {self.mask.shape} {self.mask.dtype}")

    @classmethod
    def from_full(cls, mask: BoolArray) -> RegionMask:
        """Crop a whole frame's mask [H, W] to the rectangle that holds its True pixels."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if rows.size == 0:
            return cls(0, 0, np.zeros((0, 0), np.bool_))
        y, x = int(rows[0]), int(columns[0])
        return cls(x, y, np.ascontiguousarray(mask[y : rows[-1] + 1, x : columns[-1] + 1]))

    @classmethod
    def union(cls, masks: Iterable[RegionMask]) -> RegionMask:
        """The pixels of any of some masks of the same frame."""
        filled = [m for m in masks if m.area]
        if len(filled) < 2:
            return filled[0] if filled else cls(0, 0, np.zeros((0, 0), np.bool_))
        left, top = min(m.x for m in filled), min(m.y for m in filled)
        right, bottom = max(m.box_xyxy[2] for m in filled), max(m.box_xyxy[3] for m in filled)
        mask = np.zeros((bottom - top, right - left), np.bool_)
        for m in filled:
            mask[m.y - top : m.box_xyxy[3] - top, m.x - left : m.box_xyxy[2] - left] |= m.mask
        return cls(left, top, mask)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the region in a frame: `image[region.slices][region.mask] = colour`."""
        return slice(self.y, self.y + self.mask.shape[0]), slice(self.x, self.x + self.mask.shape[1])

    @property
    def box_xyxy(self) -> tuple[int, int, int, int]:
        return self.x, self.y, self.x + self.mask.shape[1], self.y + self.mask.shape[0]

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.mask))

    def common(self, other: RegionMask) -> int:
        """Pixels that are in another mask of the same frame as well."""
        left, top = max(self.x, other.x), max(self.y, other.y)
        (height, width), (other_height, other_width) = self.mask.shape, other.mask.shape
        right, bottom = min(self.x + width, other.x + other_width), min(self.y + height, other.y + other_height)
        if right <= left or bottom <= top:
            return 0
        own = self.mask[top - self.y : bottom - self.y, left - self.x : right - self.x]
        return int(
            np.count_nonzero(own & other.mask[top - other.y : bottom - other.y, left - other.x : right - other.x])
        )

    def share_in(self, other: RegionMask) -> float:
        """Share of the pixels that are in another mask of the same frame as well, in [0, 1]; 0 if it is empty."""
        common = self.common(other)
        return common / self.area if common else 0.0

    def without(self, others: Sequence[RegionMask]) -> RegionMask:
        """The pixels that are in none of some other masks of the same frame; stored for the same rectangle."""
        mask = self.mask.copy()
        for other in others:
            left, top = max(self.x, other.x), max(self.y, other.y)
            right, bottom = (min(a, b) for a, b in zip(self.box_xyxy[2:], other.box_xyxy[2:], strict=True))
            if left < right and top < bottom:
                theirs = other.mask[top - other.y : bottom - other.y, left - other.x : right - other.x]
                mask[top - self.y : bottom - self.y, left - self.x : right - self.x] &= ~theirs
        return RegionMask(self.x, self.y, mask)

    def within(self, box_xyxy: FloatArray) -> RegionMask:
        """The pixels that lie in a box [4], whole pixels of it."""
        left, top = (max(0, int(np.floor(low)) - start) for low, start in zip(box_xyxy, (self.x, self.y), strict=False))
        right, bottom = (
            max(0, int(np.ceil(high)) - start) for high, start in zip(box_xyxy[2:], (self.x, self.y), strict=True)
        )
        return RegionMask(self.x + left, self.y + top, self.mask[top:bottom, left:right])

    def to_full(self, size_hw: tuple[int, int]) -> BoolArray:
        """The mask of the whole frame, [H, W] bool."""
        full = np.zeros(size_hw, np.bool_)
        full[self.slices] = self.mask
        return full


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The people found in one frame. There may be none: `Detections.empty((H, W))`.

    Attributes:
        size_hw: Height and width of the frame.
        boxes_xyxy: [N, 4] float32, left, top, right, bottom.
        scores: [N] float32 in [0, 1].
        masks: N masks of what the person is. What must be covered is more and is made of them in compose, once.
        has_cse: [N] bool, whether the surface prediction is usable. People without are blurred, never generated.
        embeddings: [N, D, S, S] float, CSE embedding at S x S points of the box (D 16; S 56 or 112); any device.
            Rows without CSE are zero. None where the detector predicts no surface; D is 0 where only segmentations
            are kept.
        segmentations: [N, S, S] float, probability that a pixel of the box is body surface; zero where none was found.
        surface: Body mesh that the embeddings refer to: "anny" or "smpl_27554".
        plates: [P, 5] float32, the frame's number plates beside the people: left, top, right, bottom and the score,
            best first. None where they were not looked for.
    """

    size_hw: tuple[int, int]
    boxes_xyxy: FloatArray
    scores: FloatArray
    masks: tuple[RegionMask, ...] = field(repr=False)
    has_cse: BoolArray
    embeddings: torch.Tensor | None = field(default=None, repr=False)
    segmentations: torch.Tensor | None = field(default=None, repr=False)
    surface: str = "anny"
    plates: FloatArray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        n = len(self.masks)
        if self.boxes_xyxy.shape != (n, 4):
            raise ValueError(f"boxes_xyxy must be {(n, 4)}, got {self.boxes_xyxy.shape}")
        for name in ("scores", "has_cse"):
            if getattr(self, name).shape != (n,):
                raise ValueError(f"{name} must be {(n,)}, got {getattr(self, name).shape}")
        if self.embeddings is not None and (self.embeddings.ndim != 4 or len(self.embeddings) != n):
            raise ValueError(f"embeddings must be [{n}, D, S, S], got {tuple(self.embeddings.shape)}")
        if (self.embeddings is None) != (self.segmentations is None):
            raise ValueError("embeddings and segmentations come together")
        if self.has_cse.any() and self.embeddings is None:
            raise ValueError("has_cse is set but there are no embeddings")
        if self.plates is not None and (self.plates.ndim != 2 or self.plates.shape[1] != 5):
            raise ValueError(f"plates must be [P, 5], got {self.plates.shape}")

    @classmethod
    def empty(cls, size_hw: tuple[int, int], surface: str = "anny") -> Detections:
        """No people in a frame of this size."""
        none = np.zeros((0,), np.float32)
        return cls(size_hw, np.zeros((0, 4), np.float32), none, (), np.zeros((0,), np.bool_), surface=surface)

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, keep: BoolArray | IntArray | Sequence[int]) -> Detections:
        """The people picked by a mask [N] bool or by indices, as new detections."""
        chosen = np.asarray(keep)
        indices = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)

        def pick(tensor: torch.Tensor | None) -> torch.Tensor | None:
            if tensor is None:
                return None
            import torch

            return tensor[torch.from_numpy(indices).to(tensor.device)]

        return replace(
            self,
            boxes_xyxy=self.boxes_xyxy[indices],
            scores=self.scores[indices],
            masks=tuple(self.masks[i] for i in indices),
            has_cse=self.has_cse[indices],
            embeddings=pick(self.embeddings),
            segmentations=pick(self.segmentations),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """The people of one frame with their identities.

    Attributes:
        detections: The people; boxes and masks may be smoothed or filled in. Masks are what the people are.
        ids: [N] int64; from 1 on, one ID is one person through the film. 0 (`UNKNOWN_TRACK`) is where
            a person may be whose track is not known; below 0 are regions that are covered in any case. Above
            `PLATES_AFTER` one ID is one number plate; its mask is its box.
        filled: [N] bool, True where the detector missed the person and the tracker filled the gap.
        camera: [2, 3] float64, the camera's motion: takes pixels of the frame before to pixels of this one, as far as
            the background could be followed. None where the camera rests, or nothing is known of it.
        looked_at: Whether the detector looked at the frame; else all people were carried over from other frames.
    """

    detections: Detections
    ids: IntArray
    filled: BoolArray
    camera: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    looked_at: bool = True

    def __post_init__(self) -> None:
        n = len(self.detections)
        if self.ids.shape != (n,) or self.filled.shape != (n,):
            raise ValueError(f"ids and filled must be {(n,)}, got {self.ids.shape} and {self.filled.shape}")

        if self.camera is not None and self.camera.shape != (2, 3):
            raise ValueError(f"camera must be (2, 3), got {self.camera.shape}")

    def __len__(self) -> int:
        return len(self.detections)

    def __getitem__(self, keep: BoolArray) -> Tracks:
        """The people picked by a mask [N] bool."""
        return replace(self, detections=self.detections[keep], ids=self.ids[keep], filled=self.filled[keep])

    @property
    def plates(self) -> BoolArray:
        """[N] bool, which are number plates."""
        return np.asarray(self.ids > PLATES_AFTER)

    def with_masks(self, masks: Mapping[int, RegionMask], scores: FloatArray, filled: BoolArray) -> Tracks:
        """The people and, after them, what has no surface: masks [M] by their IDs, with scores and `filled` [M].

        Empty masks are left out.
        """
        seen = np.array([mask.area > 0 for mask in masks.values()], np.bool_)
        masks = {number: mask for number, mask in masks.items() if mask.area}
        if not masks:
            return self
        found, count = self.detections, len(masks)

        def padded(rows: torch.Tensor | None) -> torch.Tensor | None:
            if rows is None:
                return None
            more = rows.new_zeros((len(rows) + count, *rows.shape[1:]))
            more[: len(rows)] = rows
            return more

        both = replace(
            found,
            boxes_xyxy=np.concatenate(
                [found.boxes_xyxy, np.array([mask.box_xyxy for mask in masks.values()], np.float32)]
            ),
            scores=np.concatenate([found.scores, scores[seen]]),
            masks=(*found.masks, *masks.values()),
            has_cse=np.concatenate([found.has_cse, np.zeros(count, np.bool_)]),
            embeddings=padded(found.embeddings),
            segmentations=padded(found.segmentations),
        )
        ids = np.concatenate([self.ids, np.array(list(masks), np.int64)])
        return replace(self, detections=both, ids=ids, filled=np.concatenate([self.filled, filled[seen]]))


@dataclass(frozen=True, slots=True, eq=False)
class PersonRequest:
    """One person to be generated: everything that a generator may know.

    What the person is, tight, is `tracks.detections.masks[row]`.

    Attributes:
        image: [H, W, 3] uint8 RGB, the frame without its people: in place of those to be generated stands what is
            behind them, seen or guessed.
        hidden: [H, W] bool, where this person was; what the image shows there may be a guess.
        box_xyxy: [4] int64, the rectangle to generate; holds the cover, may leave the frame.
        tracks: The people of the frame.
        row: Which of them.
        cover: What must be covered of this one: the mask and a margin.
    """

    image: UInt8Array = field(repr=False)
    hidden: BoolArray = field(repr=False)
    box_xyxy: IntArray
    tracks: Tracks
    row: int
    cover: RegionMask

    def __post_init__(self) -> None:
        if self.hidden.shape != self.image.shape[:2] or self.hidden.dtype != np.bool_:
            raise ValueError(f"hidden must be {self.image.shape[:2]} bool, got {self.hidden.shape} {self.hidden.dtype}")
        if self.box_xyxy.shape != (4,):
            raise ValueError(f"box_xyxy must be (4,), got {self.box_xyxy.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """A generated person, to be stretched over the rectangle that was asked for.

    Attributes:
        image: [h, w, 3] uint8 RGB.
        alpha: [h, w] uint8, opacity of the person: 255 where they hide what is behind them, 0 where they are not. None
            where the generator does not say what of the picture is the person.
        shadow: [h, w] uint8, opacity of the shadow that the person casts on the ground; None where there is none.
    """

    image: UInt8Array = field(repr=False)
    alpha: UInt8Array | None = field(default=None, repr=False)
    shadow: UInt8Array | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"image must be [h, w, 3] uint8, got {self.image.shape} {self.image.dtype}")
        if self.alpha is not None and (self.alpha.shape != self.image.shape[:2] or self.alpha.dtype != np.uint8):
            raise ValueError(f"alpha must be {self.image.shape[:2]} uint8, got {self.alpha.shape} {self.alpha.dtype}")
        if self.shadow is not None and (self.shadow.shape != self.image.shape[:2] or self.shadow.dtype != np.uint8):
            raise ValueError(f"shadow must be {self.image.shape[:2]} uint8, got {self.shadow.shape}")
