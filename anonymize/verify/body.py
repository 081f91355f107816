"""Which part of the body each pixel of a person shows, for reading a comparison."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from anonymize.core.body_surface import PART_NAMES, load_surface
from anonymize.core.types import BoolArray, Detections, IntArray
from anonymize.detect.paired import surface_network
from anonymize.detect.predictor import Detector

SURFACE_SIZE = 56
"""Points per side at which the surface is read; the network computes no more."""
BODY_THRESHOLD = 0.5
GROUPS = ("head", "torso", "arms", "legs")
GROUP_WORDS = {"face": "head", "torso": "torso", "arm": "arms", "hand": "arms", "leg": "legs", "foot": "legs"}
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
MIN_SHARE = 0.02
"""Parts with less of the person's pixels are left out."""


class BodyParts:
    """Divides people into parts: by their surface where it is known, by a grid of 3 x 3 cells where it is not.

    Args:
        landmarks: [L, D] float, embedding of each landmark of the surface; None where no network predicts them.
        surface: Name of the surface that the landmarks lie on.
    """

    def __init__(self, landmarks: torch.Tensor | None = None, surface: str = "anny") -> None:
        self._landmarks = None if landmarks is None else F.normalize(landmarks.detach().float(), dim=1)
        self._surface = surface
        self._groups = _landmark_groups() if landmarks is not None else None

    @classmethod
    def of(cls, detector: Detector) -> BodyParts:
        """The parts as this detector tells them."""
        network = surface_network(detector)
        if network is not None:
            surface, landmarks = load_surface(), network.vertex_embedding
            if len(landmarks) == len(surface.landmarks) and network.config.surface == surface.name:
                return cls(landmarks, surface.name)
        return cls()

    def divide(
        self, found: Detections, person: int, mask: BoolArray, corner_xy: tuple[int, int]
    ) -> dict[str, BoolArray]:
        """The parts of one person.

        Args:
            found: The people of the frame.
            person: Which of them.
            mask: [h, w] bool, the person in a rectangle of the frame.
            corner_xy: Column and row of the frame where the rectangle begins; may lie outside.

        Returns:
            Masks [h, w] bool by name of the part, without those that hardly show.
        """
        by_surface = self._by_surface(found, person, mask, corner_xy)
        parts = _grid(mask) if by_surface is None else by_surface
        least = max(1, MIN_SHARE * np.count_nonzero(mask))
        return {name: part for name, part in parts.items() if np.count_nonzero(part) >= least}

    def _by_surface(
        self, found: Detections, person: int, mask: BoolArray, corner_xy: tuple[int, int]
    ) -> dict[str, BoolArray] | None:
        if self._landmarks is None or self._groups is None or not found.has_cse[person]:
            return None
        if found.embeddings is None or found.segmentations is None or found.surface != self._surface:
            return None
        groups = self._read(found.embeddings[person], found.segmentations[person])  # [S, S]
        left, top, right, bottom = (float(v) for v in found.boxes_xyxy[person])
        height, width = mask.shape
        x = (np.arange(width) + corner_xy[0] + 0.5 - left) / max(1e-6, right - left) * SURFACE_SIZE
        y = (np.arange(height) + corner_xy[1] + 0.5 - top) / max(1e-6, bottom - top) * SURFACE_SIZE
        rows, columns = (np.clip(np.floor(v), 0, SURFACE_SIZE - 1).astype(np.int64) for v in (y, x))
        in_box = ((y >= 0) & (y < SURFACE_SIZE))[:, None] & ((x >= 0) & (x < SURFACE_SIZE))[None]
        labels = np.where(mask & in_box, groups[rows][:, columns], -1)
        return {name: labels == number for number, name in enumerate(GROUPS)}

    def _read(self, embedding: torch.Tensor, body: torch.Tensor) -> IntArray:
        """Number of the part at each point of the box [S, S], -1 off the body; by the nearest landmark."""
        assert self._landmarks is not None
        assert self._groups is not None
        size = (SURFACE_SIZE, SURFACE_SIZE)
        points = F.adaptive_avg_pool2d(embedding.float()[None], size)[0].flatten(1).T  # [S * S, D]
        inside = (F.adaptive_avg_pool2d(body.float()[None, None], size)[0, 0] > BODY_THRESHOLD).cpu().numpy()
        nearest = (F.normalize(points, dim=1) @ self._landmarks.to(points.device).T).argmax(dim=1).cpu().numpy()
        numbers: IntArray = np.where(inside, self._groups[nearest].reshape(size), -1).astype(np.int64)
        return numbers


def _landmark_groups() -> IntArray:
    """[L] int64, index into `GROUPS` of each landmark."""
    words = [next((group for word, group in GROUP_WORDS.items() if word in name), "torso") for name in PART_NAMES]
    return np.array([GROUPS.index(word) for word in words], np.int64)[load_surface().landmark_parts]


def _grid(mask: BoolArray) -> dict[str, BoolArray]:
    """Nine cells over the rectangle of a mask [h, w]."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    parts = {}
    for i, row in enumerate(ROWS):
        for j, column in enumerate(COLUMNS):
            cell = np.zeros_like(mask)
            rows = slice(y + height * i // 3, y + height * (i + 1) // 3)
            columns = slice(x + width * j // 3, x + width * (j + 1) // 3)
            cell[rows, columns] = mask[rows, columns]
            parts[f"{row} {column}"] = cell
    return parts
