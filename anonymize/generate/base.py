"""What all generators share: where people are placed, batches, one latent code a track."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from anonymize.core.errors import OptionError
from anonymize.core.types import (
    Detections,
    FloatArray,
    IntArray,
    PersonRequest,
    RegionMask,
    Replacement,
    Tracks,
    UInt8Array,
)
from anonymize.generate.crops import contain, crop_box, snap
from anonymize.generate.latents import draw_latent, truncate

T = TypeVar("T")
DEFAULT_TRUNCATION = 0.7
BATCH = 8
STEADINESS = 0.6
"""Share of the last frame's rectangle in this frame's, so that a person's crop does not jump."""
REMEMBERED = 256
"""People whose rectangle and looks are kept; who has not been seen for so many others is forgotten."""


class TrackGenerator(ABC):
    """Makes a new person for each track: same track and seed, same look.

    Args:
        size_hw: Size of a crop.
        latent: Size of z.
        surface: Name of the body surface that the generator was trained for; None if it needs none.
        seed: Of the people's looks.
        truncation: t in [0, 1], toward the mean of all looks, see `truncate`.
        multi_modal: Truncate toward the nearest of the typical looks instead (Mokady et al. 2022).
        identities: z [latent] each; track 1 takes the first, and so on in turn. Without any, z is drawn from
            (seed, track).
        device: Where to compute.

    Raises:
        OptionError: The truncation is out of range.
    """

    def __init__(
        self,
        *,
        size_hw: tuple[int, int],
        latent: int,
        surface: str | None,
        seed: int,
        truncation: float,
        multi_modal: bool,
        identities: Sequence[Tensor],
        device: torch.device | str,
    ) -> None:
        if not 0 <= truncation <= 1:
            raise OptionError(f"truncation must be in [0, 1], got {truncation:g}")
        self.size_hw, self.latent, self.surface = size_hw, latent, surface
        self.seed, self.truncation, self.identities = seed, truncation, list(identities)
        self.multi_modal = multi_modal
        self.device = torch.device(device)
        self._boxes: OrderedDict[int, FloatArray] = OrderedDict()

    def expect(self, tracks: Tracks, covers: Sequence[RegionMask]) -> None:  # noqa: B027 - most look at no frame ahead
        """Look at a frame that will be drawn later; called once a frame, in the frames' order, or not at all."""

    def accept(self, tracks: Tracks, covers: Sequence[RegionMask]) -> Tracks:
        """The people, `has_cse` taken from those who cannot be made; call once a frame, in the frames' order.

        Args:
            tracks: The people of the frame.
            covers: What must be covered of each of them.
        """
        return tracks

    def place(self, tracks: Tracks, covers: Sequence[RegionMask]) -> IntArray:
        """The rectangle that each person of a frame is generated in; call once a frame, in the frames' order.

        Args:
            tracks: The people of the frame.
            covers: What must be covered of each of them.

        Returns:
            [N, 4] int64 xyxy, at least the person's cover; steady along a track. Empty covers have empty rectangles.
        """
        boxes = np.zeros((len(tracks), 4), np.int64)
        for row, (track, region) in enumerate(zip(tracks.ids.tolist(), covers, strict=True)):
            if region.area == 0:
                continue
            box = crop_box(region, tracks.detections.boxes_xyxy[row], self.size_hw)
            if track in self._boxes:
                steady = STEADINESS * self._boxes[track] + (1 - STEADINESS) * box
                box = contain(steady, np.array(region.box_xyxy, np.float32))
            remember(self._boxes, track, box)
            boxes[row] = snap(box)
        return boxes

    @torch.inference_mode()
    def generate(self, requests: Sequence[PersonRequest]) -> list[Replacement]:
        """Make people, in batches across frames.

        Returns:
            For each request a picture, which stretched over `box_xyxy` shows the new person where the request hides the
            frame; with alpha, or, of generators that paint all that is hidden, without, and the frame elsewhere.

        Raises:
            OptionError: The surface predictions are of another kind than the generator was trained for.
        """
        people: list[Replacement] = []
        for start in range(0, len(requests), BATCH):
            made = self._generate(requests[start : start + BATCH]).float()
            people += [to_replacement(person) for person in made]
        return people

    def read_identity(self, image: UInt8Array, detections: Detections) -> tuple[Tensor, int]:
        """z of the most prominent person of a picture, through the appearance mapper.

        Args:
            image: [H, W, 3] uint8 RGB.
            detections: The people in it.

        Returns:
            z [latent] float32 and which of the people was taken: the largest whose surface is known.

        Raises:
            OptionError: There is no person to take, or this generator cannot read pictures.
        """
        raise OptionError("this generator has no appearance mapper, so it cannot take identities from pictures")

    @abstractmethod
    def _generate(self, requests: Sequence[PersonRequest]) -> Tensor:
        """Pictures [B, 3, h, w], about [-1, 1], of at most `BATCH` people; or [B, 4, h, w] with alpha in [0, 1]."""

    def _draw(self, track: int) -> Tensor:
        """z of a track, [1, latent] float32."""
        if self.identities:
            z = self.identities[(track - 1) % len(self.identities)]
        else:
            z = draw_latent(self.seed, track, self.latent)
        return z.to(self.device)[None]

    def _truncate(self, w: Tensor, mean: Tensor, centers: Tensor) -> Tensor:
        """See `truncate`; identities that were asked for stay as they are."""
        return w if self.identities else truncate(w, centers if self.multi_modal else mean[None], self.truncation)

    def _predictions(self, requests: Sequence[PersonRequest], channels: int) -> tuple[Tensor, Tensor]:
        """Embeddings [N, channels, S, S] and body probabilities [N, S, S] of the requested people, float32."""
        embeddings, segmentations = [], []
        for request in requests:
            found = request.tracks.detections
            if found.surface != self.surface:
                raise OptionError(f"the generator was trained for the surface {self.surface!r}, got {found.surface!r}")
            if found.embeddings is None or found.segmentations is None or found.embeddings.shape[1] != channels:
                shape = None if found.embeddings is None else tuple(found.embeddings.shape[1:])
                raise OptionError(f"the generator needs surface embeddings of {channels} channels, got {shape}")
            embeddings.append(found.embeddings[request.row].to(self.device).float())
            segmentations.append(found.segmentations[request.row].to(self.device).float())
        return torch.stack(embeddings), torch.stack(segmentations)


def to_replacement(made: Tensor) -> Replacement:
    """A picture [3, h, w], about [-1, 1], or [4, h, w] with alpha in [0, 1], as 8 bits a value."""
    colours = ((made[:3] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    image = colours.permute(1, 2, 0).contiguous().cpu().numpy()
    if len(made) == 3:
        return Replacement(image)
    return Replacement(image, (made[3] * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy())


def rectangles(requests: Sequence[PersonRequest]) -> tuple[FloatArray, FloatArray]:
    """The people's boxes and the rectangles to generate, [N, 4] float32 xyxy each."""
    boxes = np.stack([r.tracks.detections.boxes_xyxy[r.row] for r in requests])
    return boxes, np.stack([r.box_xyxy for r in requests]).astype(np.float32)


def remember(memory: OrderedDict[int, T], track: int, value: T) -> None:
    """Keep a track's value, and forget the track that was used longest ago if there are too many."""
    memory[track] = value
    memory.move_to_end(track)
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
