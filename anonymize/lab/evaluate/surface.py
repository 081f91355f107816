"""How right the body surface is: on rendered people point by point, on real ones at the joints that BlazePose sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from anonymize.bodies.body import JOINT, load_body
from anonymize.core.body_surface import BodySurface
from anonymize.core.boxes import box_iou
from anonymize.core.types import BoolArray, Detections, FloatArray, IntArray
from anonymize.lab.train.pictures import BoxedPicture

BLAZEPOSE_JOINTS = {
    11: "shoulder.L", 12: "shoulder.R", 13: "elbow.L", 14: "elbow.R", 15: "wrist.L", 16: "wrist.R",
    23: "hip.L", 24: "hip.R", 25: "knee.L", 26: "knee.R", 27: "ankle.L", 28: "ankle.R",
}  # fmt: skip
LIMBS = ("elbow", "wrist", "knee", "ankle")
LIMB_PARTS = (*range(3, 13), *range(15, 25))
"""Body parts, 1 to 24, of arms, hands, legs and feet."""
NEAR_CM = 15.0
SURE = 0.8
SAME_PERSON_IOU = 0.5
AROUND = 1.5
"""Points of the surface this many times as far from a joint as the nearest one lie round it."""
MIDDLE_CM = 2.0
"""Points nearer to the middle of the body are neither left nor right."""


def sides(surface: BodySurface) -> IntArray:
    """[L] int64 of each landmark: 1 left, -1 right, 0 in the middle."""
    x = surface.vertices[surface.landmarks, 0] * 100
    return np.where(x > MIDDLE_CM, 1, np.where(x < -MIDDLE_CM, -1, 0)).astype(np.int64)


def rings(surface: BodySurface) -> dict[int, IntArray]:
    """Landmarks of the surface that lie round each of BlazePose's joints."""
    joints, points = load_body().joints.numpy(), surface.vertices[surface.landmarks]
    found = {}
    for number, name in BLAZEPOSE_JOINTS.items():
        distance = np.linalg.norm(points - joints[JOINT[name]], axis=1)
        found[number] = np.flatnonzero(distance <= AROUND * distance.min()).astype(np.int64)
    return found


def read_landmarks(found: Detections, row: int, points_xy: FloatArray, table: torch.Tensor) -> IntArray:
    """Landmark [P] of the surface at some pixels [P, 2] of a person, -1 outside of the box.

    Args:
        found: With embeddings.
        row: Which person.
        points_xy: Pixels of the picture.
        table: [L, D] float, unit vectors.
    """
    if found.embeddings is None:
        return np.full(len(points_xy), -1, np.int64)
    box, size = found.boxes_xyxy[row], found.embeddings.shape[-1]
    cells = np.floor((points_xy - box[:2]) / np.maximum(1e-6, box[2:] - box[:2]) * size).astype(int)
    inside = ((cells >= 0) & (cells < size)).all(1)
    x, y = cells[inside].T
    values = found.embeddings[row].float().cpu()[:, y, x].T  # [P, D]
    read = np.full(len(points_xy), -1, np.int64)
    read[inside] = (torch.nn.functional.normalize(values, dim=1) @ table.T).argmax(dim=1).numpy()
    return read


@dataclass
class JointScores:
    """Collects joints of real people, then computes the figures.

    Args:
        surface: That the detector refers to.
        table: [L, D] float, the detector's embedding of the surface's landmarks.
    """

    surface: BodySurface
    table: torch.Tensor
    errors_cm: list[float] = field(default_factory=list)
    swapped: list[bool] = field(default_factory=list)
    people: int = 0

    def __post_init__(self) -> None:
        self.table = torch.nn.functional.normalize(self.table.detach().float().cpu(), dim=1)
        self._rings, self._sides = rings(self.surface), sides(self.surface)

    def add_picture(
        self, picture: BoxedPicture, poses: Mapping[tuple[str, int], FloatArray], found: Detections
    ) -> None:
        """Take the people of one picture whose pose is known.

        Args:
            picture: Kept out of training.
            poses: BlazePose's landmarks [33, 5] of the people whose mask is trusted, by picture and row of its boxes.
            found: By the detector, at the score that a user would have.
        """
        for row, box in enumerate(picture.boxes):
            if (picture.path.name, row) in poses:
                self.add(found, box, poses[picture.path.name, row])

    def add(self, found: Detections, box: FloatArray, landmarks: FloatArray) -> None:
        """Take one person: the box [4] and BlazePose's landmarks [33, 5] (x, y, z, visibility, presence)."""
        iou = box_iou(box[None], found.boxes_xyxy)[0] * found.has_cse if len(found) else np.zeros(1)
        if iou.max() < SAME_PERSON_IOU:
            return
        row = int(iou.argmax())
        self.people += 1
        sure = [j for j in self._rings if landmarks[j, 3:].min() > SURE and _covers(found, row, landmarks[j, :2])]
        read = read_landmarks(found, row, landmarks[sure, :2].reshape(-1, 2), self.table)
        for joint, landmark in zip(sure, read.tolist(), strict=True):
            if landmark < 0:
                continue
            name, _, side = BLAZEPOSE_JOINTS[joint].partition(".")
            self.errors_cm.append(float(self.surface.geodesics_cm[landmark, self._rings[joint]].min()))
            if name in LIMBS:
                self.swapped.append(self._sides[landmark] == (-1 if side == "L" else 1))

    def summary(self) -> dict[str, float]:
        """All figures, by name."""
        figures = {"people": float(self.people), "joints": float(len(self.errors_cm))}
        if self.errors_cm:
            errors = np.array(self.errors_cm)
            figures |= {
                "joint_error_median_cm": float(np.median(errors)),
                "within_15_cm": float((errors < NEAR_CM).mean()),
            }
        if self.swapped:
            figures["left_for_right"] = float(np.mean(self.swapped))
        return figures


def _covers(found: Detections, row: int, point_xy: FloatArray) -> bool:
    region = found.masks[row]
    x, y = int(point_xy[0]) - region.x, int(point_xy[1]) - region.y
    return bool(0 <= y < region.mask.shape[0] and 0 <= x < region.mask.shape[1] and region.mask[y, x])


def swapped_limbs(true: IntArray, read: IntArray, surface: BodySurface) -> BoolArray:
    """Whether left was taken for right, [P'] bool of those points [P] of arms and legs that have a side."""
    side = sides(surface)
    limb = np.isin(surface.landmark_parts[true], LIMB_PARTS) & (side[true] != 0) & (read >= 0)
    swapped: BoolArray = side[read[limb]] == -side[true[limb]]
    return swapped
