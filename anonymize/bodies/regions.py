"""Where on the body its vertices lie."""

from __future__ import annotations

from functools import cache

import numpy as np

from anonymize.bodies.body import JOINT, load_body


@cache
def regions() -> dict[str, np.ndarray]:
    """Where on the body each vertex lies, [V] each: `arm` and `leg` run 0 at the shoulder or hip, 0.5 at elbow or knee,
    1 at wrist or ankle, beyond on hand or foot, -1 elsewhere; `z` height; `scalp` > 0 inside the hairline (metres)."""
    body = load_body()
    points, parts = body.surface.vertices, body.surface.parts
    joints = body.joints.numpy()

    def along(names: tuple[str, str, str], side: str) -> np.ndarray:
        a, b, c = (joints[JOINT[f"{n}.{side}"]] for n in names)
        first = ((points - a) @ (b - a)) / ((b - a) @ (b - a))
        second = ((points - b) @ (c - b)) / ((c - b) @ (c - b))
        result: np.ndarray = np.where(second > 0, 0.5 + 0.5 * second, 0.5 * np.minimum(first, 1))
        return result

    left = points[:, 0] >= 0
    arm = np.where(left, along(("shoulder", "elbow", "wrist"), "L"), along(("shoulder", "elbow", "wrist"), "R"))
    leg = np.where(left, along(("hip", "knee", "ankle"), "L"), along(("hip", "knee", "ankle"), "R"))
    arm = np.where(
        (parts >= 3) & (parts <= 12), np.where((parts == 11) | (parts == 12), np.maximum(arm, 1.02), arm), -1
    )
    leg = np.where(parts >= 15, np.where(parts >= 23, np.maximum(leg, 1.02), leg), -1)
    eye = body.eyes.mean(0)
    scalp = points[:, 2] - eye[2] - (0.058 - 0.8 * np.clip(points[:, 1] - eye[1] - 0.015, 0, 0.18))
    head = (parts == 1) | (parts == 2)
    return {
        "arm": arm,
        "leg": leg,
        "z": points[:, 2],
        "scalp": np.where(head, scalp, -0.05),
        "head": head,
        "face_z": points[:, 2] - eye[2],
        "depth": points[:, 1] - eye[1],
    }
