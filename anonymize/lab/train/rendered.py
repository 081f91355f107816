"""Reads the people and scenes that `anonymize.lab.synthesis` rendered for the training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anonymize.core.body_surface import BodySurface
from anonymize.lab.train.bank import NO_LANDMARK, Cutout
from anonymize.lab.train.composites import Sample


def to_landmarks(vertices: np.ndarray, surface: BodySurface) -> np.ndarray:
    """Nearest landmark of each vertex number, int16 of the same shape; -1 where the number is no vertex."""
    known = (vertices >= 0) & (vertices < len(surface.vertices))
    nearest = surface.landmark_of_vertex[np.where(known, vertices, 0).astype(np.int64)]
    return np.where(known, nearest, NO_LANDMARK).astype(np.int16)


def load_rendered(folder: Path, surface: BodySurface) -> list[Cutout]:
    """People written by `python -m anonymize.lab.synthesis.cutouts`; none if the folder is missing."""
    cutouts = []
    for shard in sorted(folder.glob("*.npz")):
        with np.load(shard) as data:
            sizes, starts = data["sizes"], data["starts"]
            image, alpha, landmarks = data["image"], data["alpha"], to_landmarks(data["vertex"], surface)
        for (height, width), start in zip(sizes.tolist(), starts.tolist(), strict=True):
            part = slice(start, start + height * width)
            shape = (height, width)
            cutouts.append(
                Cutout(image[part].reshape(*shape, 3), alpha[part].reshape(shape), landmarks[part].reshape(shape))
            )
    return cutouts


def load_scenes(folder: Path, surface: BodySurface) -> list[Sample]:
    """Scenes written by `python -m anonymize.lab.synthesis.scenes`; none if the folder is missing."""
    scenes = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            for image, instances, vertices in zip(data["image"], data["instances"], data["vertices"], strict=True):
                nothing = np.zeros(instances.shape, np.uint8)
                landmarks = to_landmarks(vertices, surface)
                scenes.append(Sample(image, instances.astype(np.uint8), nothing.astype(np.bool_), landmarks, nothing))
    return scenes
