"""Poses: gait cycles, standing, sitting, cycling, reaching, random ones within the joints' limits, and real ones.

A pose gives each joint three angles in degrees, (forward, side, twist): forward swings the limb to the front, side
moves it away from the body, twist turns it outward. Arms are measured from hanging down.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.random import Generator

from anonymize.bodies.body import JOINT, JOINTS, load_body
from anonymize.core.body_surface import load_asset

Angles = dict[str, tuple[float, float, float]]

ANGLE_STEP = 1.5  # degrees per unit of the asset `poses.npz`

# share of the cycle from heel strike -> degrees (after the curves of Perry and Burnfield, Gait Analysis, 2010)
WALK = {
    "hip": ((0, 0.12, 0.3, 0.5, 0.62, 0.75, 0.88, 1), (28, 22, 4, -14, -8, 14, 28, 28)),
    "knee": ((0, 0.13, 0.4, 0.5, 0.62, 0.72, 0.85, 0.96, 1), (-4, -18, -5, -9, -38, -60, -36, -4, -4)),
    "ankle": ((0, 0.07, 0.3, 0.46, 0.62, 0.75, 0.9, 1), (0, -6, 6, 10, -18, -4, 1, 0)),
}
RUN = {
    "hip": ((0, 0.2, 0.38, 0.5, 0.7, 0.85, 1), (38, 10, -18, -10, 35, 52, 38)),
    "knee": ((0, 0.15, 0.35, 0.5, 0.68, 0.85, 1), (-18, -42, -22, -60, -105, -55, -18)),
    "ankle": ((0, 0.15, 0.36, 0.5, 0.75, 1), (4, 20, -22, -15, 0, 4)),
}
# (lowest, highest) for forward, side, twist
LIMITS = {
    "shoulder": ((-40, 160), (2, 110), (-40, 40)),
    "elbow": ((0, 135), (0, 0), (-20, 20)),
    "wrist": ((-30, 30), (-15, 15), (0, 0)),
    "hip": ((-15, 80), (0, 35), (-15, 30)),
    "knee": ((-120, 0), (0, 0), (0, 0)),
    "ankle": ((-25, 15), (-5, 5), (-5, 15)),
}


def turn(axis: int, degrees: float) -> np.ndarray:
    """Rotation matrix [3, 3] about axis 0, 1 or 2, right-handed."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def aligning(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Smallest rotation that takes one direction to another, [3, 3]."""
    a, b = source / np.linalg.norm(source), target / np.linalg.norm(target)
    v, c = np.cross(a, b), float(a @ b)
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    matrix: np.ndarray = np.eye(3) + k + k @ k / (1 + c)
    return matrix


@cache
def hanging() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each side, the turns of shoulder and elbow that let a straight arm hang down from the rest pose."""
    joints = load_body().joints.numpy().astype(np.float64)
    result = {}
    for side in "LR":
        shoulder, elbow, wrist = (joints[JOINT[f"{n}.{side}"]] for n in ("shoulder", "elbow", "wrist"))
        first = aligning(elbow - shoulder, np.array([0, 0, -1.0]))
        straight = aligning(first @ (wrist - elbow), np.array([0, -0.12, -1.0]))
        result[side] = (first, first.T @ straight @ first)
    return result


def rotations(angles: Angles) -> np.ndarray:
    """Turn of every joint relative to its parent in the rest pose's axes, [J, 3, 3] float32."""
    out = np.tile(np.eye(3), (len(JOINTS), 1, 1))
    for name in JOINTS:
        base, _, side = name.partition(".")
        forward, aside, twist = angles.get(name, angles.get(base, (0.0, 0.0, 0.0)))
        sign = -1.0 if side == "R" else 1.0
        # what hangs swings forward by a negative turn about x, what stands (the trunk) by a positive one
        matrix = turn(2, sign * twist) @ turn(1, -sign * aside) @ turn(0, -forward if side else forward)
        if base in ("shoulder", "elbow", "wrist", "fingers"):
            hang, bend = hanging()[side]
            if base == "shoulder":
                matrix = matrix @ hang
            else:
                whole = hang @ bend if base == "elbow" else hang
                matrix = bend @ whole.T @ matrix @ whole if base == "elbow" else hang.T @ matrix @ hang
        out[JOINT[name]] = matrix
    return out.astype(np.float32)


def angles_of(turns: np.ndarray) -> np.ndarray:
    """The angles [J, 3] in degrees of which `rotations` makes these turns [J, 3, 3]; forward, side, twist."""
    out = np.zeros((len(JOINTS), 3), np.float32)
    for j, name in enumerate(JOINTS):
        base, _, side = name.partition(".")
        matrix = turns[j].astype(np.float64)
        if base in ("shoulder", "elbow", "wrist", "fingers"):
            hang, bend = hanging()[side]
            whole = hang @ bend
            if base == "shoulder":
                matrix = matrix @ hang.T
            else:
                matrix = whole @ bend.T @ matrix @ whole.T if base == "elbow" else hang @ matrix @ hang.T
        sign = -1.0 if side == "R" else 1.0
        forward = np.arctan2(matrix[2, 1], matrix[2, 2])
        aside = np.arcsin(np.clip(-matrix[2, 0], -1, 1))
        twist = np.arctan2(matrix[1, 0], matrix[0, 0])
        out[j] = np.degrees([-forward if side else forward, -sign * aside, sign * twist])
    return out


def gait(
    phase: float, *, run: bool = False, vigour: float = 1.0, arms: float = 1.0, lean: float = 0.0, elbow: float = 18.0
) -> Angles:
    """One moment of walking or running.

    Args:
        phase: Share of the cycle; at 0 the left heel touches the ground.
        run: Running rather than walking.
        vigour: Factor on the legs' swing; the stride length follows (`stride`).
        arms: Factor on the arms' swing; 0 for hands in pockets.
        lean: Degrees that the trunk leans forward.
        elbow: Degrees that the elbows are bent on average.
    """
    curves = RUN if run else WALK
    pose: Angles = {}
    for side, offset in (("L", 0.0), ("R", 0.5)):
        moment = (phase + offset) % 1.0
        hip, knee, ankle = (float(np.interp(moment, *curves[n])) for n in ("hip", "knee", "ankle"))
        pose[f"hip.{side}"] = (hip * vigour, 2.0, 3.0)
        pose[f"knee.{side}"] = (knee * (0.4 + 0.6 * vigour), 0.0, 0.0)
        pose[f"ankle.{side}"] = (ankle * vigour, 0.0, 0.0)
        swing = -np.cos(2 * np.pi * moment)
        pose[f"shoulder.{side}"] = (((42 if run else 20) * swing - (8 if run else 2)) * arms, 7.0, 0.0)
        bent = 85 + 15 * swing if run else elbow + 12 * max(swing, 0) * arms
        pose[f"elbow.{side}"] = (float(bent), 0.0, 0.0)
        pose[f"fingers.{side}"] = (35.0, 0.0, 0.0)
    sway = float(np.cos(2 * np.pi * phase))
    pose["root"] = (lean + (6 if run else 0), 2 * float(np.sin(2 * np.pi * phase)), -5 * sway)
    pose["chest"] = (2.0, 0.0, 9 * sway)
    pose["neck"] = (-lean / 2, 0.0, -3 * sway)
    return pose


@cache
def stride(run: bool = False, vigour: float = 1.0) -> float:
    """Metres that one cycle covers for the mean adult so that the foot on the ground stays there."""
    import torch

    from anonymize.bodies.body import joint_transforms, load_body

    body = load_body()
    first, last = (0.06, 0.3) if run else (0.08, 0.46)
    turns = np.stack([rotations(gait(p, run=run, vigour=vigour)) for p in (first, last)])
    moved = joint_transforms(body.joints, body.parents, torch.from_numpy(turns))
    foot = torch.cat([body.joints[JOINT["ankle.L"]], torch.ones(1)])
    positions = moved[:, JOINT["ankle.L"]] @ foot  # [2, 3]
    return abs(float(positions[1, 1] - positions[0, 1])) / (last - first)


def standing(rng: Generator) -> Angles:
    """Standing at ease, with what hands do: hanging, in pockets, crossed, phone, hip, pointing, carrying, waving."""
    shift = float(rng.uniform(-1, 1))
    pose: Angles = {
        "hip.L": (float(rng.normal(2, 4)), 3 + 3 * abs(shift), float(rng.uniform(0, 14))),
        "hip.R": (float(rng.normal(2, 4)), 3 + 3 * abs(shift), float(rng.uniform(0, 14))),
        "knee.L": (-max(0.0, 14 * shift), 0, 0),
        "knee.R": (-max(0.0, -14 * shift), 0, 0),
        "root": (float(rng.normal(0, 2)), 3 * shift, 0),
        "spine": (float(rng.normal(2, 4)), -3 * shift, float(rng.normal(0, 4))),
        "head": (float(rng.normal(5, 10)), float(rng.normal(0, 5)), float(rng.normal(0, 22))),
        "fingers": (float(rng.uniform(15, 50)), 0, 0),
    }
    for side in "LR":
        pose[f"shoulder.{side}"] = (float(rng.normal(3, 7)), float(rng.uniform(5, 14)), float(rng.normal(0, 8)))
        pose[f"elbow.{side}"] = (float(rng.uniform(8, 28)), 0, 0)
    pose.update(hands(rng))
    return pose


def hands(rng: Generator) -> Angles:
    """What one or both hands do; nothing in most cases."""
    kind = rng.choice(
        ["none", "phone", "pockets", "hip", "call", "point", "carry", "wave", "crossed"],
        p=[0.44, 0.13, 0.12, 0.05, 0.06, 0.05, 0.07, 0.03, 0.05],
    )
    one = str(rng.choice(["L", "R"]))

    def jitter(mean: float, spread: float = 6.0) -> float:
        return float(rng.normal(mean, spread))

    if kind == "phone":
        pose: Angles = {
            f"shoulder.{one}": (jitter(28), 6, jitter(-12)),
            f"elbow.{one}": (jitter(95), 0, jitter(-15)),
            "head": (jitter(26), 0, jitter(0)),
        }
        if rng.random() < 0.4:
            other = "R" if one == "L" else "L"
            pose |= {f"shoulder.{other}": (jitter(28), 6, jitter(-14)), f"elbow.{other}": (jitter(95), 0, -15)}
        return pose
    if kind == "pockets":
        return {"shoulder": (jitter(-12), 16, 0), "elbow": (jitter(42), 0, jitter(-15))}
    if kind == "hip":
        return {f"shoulder.{one}": (-18, 42, -20), f"elbow.{one}": (jitter(85), 0, -45)}
    if kind == "call":
        return {f"shoulder.{one}": (jitter(40), 25, 0), f"elbow.{one}": (jitter(135, 4), 0, -10)}
    if kind == "point":
        return {f"shoulder.{one}": (jitter(78, 12), jitter(10), 0), f"elbow.{one}": (jitter(15), 0, 0)}
    if kind == "carry":
        return {"shoulder": (jitter(22), 8, -8), "elbow": (jitter(82), 0, -8)}
    if kind == "wave":
        return {f"shoulder.{one}": (jitter(30), jitter(95, 10), 0), f"elbow.{one}": (jitter(80, 15), 0, 60)}
    if kind == "crossed":
        return {"shoulder": (jitter(28, 3), 4, -32), "elbow": (jitter(98, 4), 0, -38)}
    return {}


def walking(rng: Generator, *, run: bool | None = None) -> Angles:
    """A random moment of a gait cycle."""
    runs = bool(rng.random() < 0.15) if run is None else run
    pose = gait(
        float(rng.random()),
        run=runs,
        vigour=float(rng.uniform(0.6, 1.15)),
        arms=float(rng.choice([0.15, 0.6, 1.0, 1.3])),
        lean=float(rng.normal(2, 3)),
        elbow=float(rng.uniform(10, 40)),
    )
    if not runs and rng.random() < 0.4:
        pose.update(hands(rng))
    pose["head"] = (float(rng.normal(3, 8)), float(rng.normal(0, 3)), float(rng.normal(0, 15)))
    return pose


def sitting(rng: Generator) -> Angles:
    """On a chair or a bench."""
    pose: Angles = {
        "root": (float(rng.normal(-5, 8)), 0, 0),
        "spine": (float(rng.normal(8, 8)), float(rng.normal(0, 3)), float(rng.normal(0, 6))),
        "head": (float(rng.normal(8, 10)), float(rng.normal(0, 5)), float(rng.normal(0, 20))),
        "fingers": (30, 0, 0),
    }
    for side in "LR":
        pose[f"hip.{side}"] = (float(rng.normal(84, 7)), float(rng.uniform(3, 16)), float(rng.normal(4, 6)))
        pose[f"knee.{side}"] = (-float(rng.normal(84, 14)), 0, 0)
        pose[f"shoulder.{side}"] = (float(rng.uniform(8, 45)), float(rng.uniform(4, 18)), float(rng.normal(-8, 6)))
        pose[f"elbow.{side}"] = (float(rng.uniform(25, 95)), 0, float(rng.normal(-12, 8)))
    if rng.random() < 0.3:
        pose.update(hands(rng))
    return pose


def cycling(rng: Generator, phase: float | None = None) -> Angles:
    """On a bicycle."""
    lean = float(rng.uniform(8, 38))
    moment = 2 * np.pi * (float(rng.random()) if phase is None else phase)
    pose: Angles = {
        "root": (lean * 0.6, 0, 0),
        "spine": (lean * 0.4, 0, 0),
        "neck": (-lean * 0.5, 0, 0),
        "head": (float(rng.normal(0, 6)), 0, float(rng.normal(0, 12))),
        "shoulder": (58 + 0.2 * lean, 8, -4),
        "elbow": (float(rng.uniform(10, 35)), 0, 0),
        "fingers": (60, 0, 0),
    }
    for side, offset in (("L", 0.0), ("R", np.pi)):
        up = float(np.cos(moment + offset))
        pose[f"hip.{side}"] = (56 + 24 * up + lean * 0.6, 2, 0)
        pose[f"knee.{side}"] = (-(66 + 34 * float(np.cos(moment + offset - 0.6))), 0, 0)
        pose[f"ankle.{side}"] = (8 * up, 0, 0)
    return pose


def crouching(rng: Generator) -> Angles:
    """Bending down or squatting, reaching for something."""
    deep = float(rng.uniform(0.2, 1))
    pose: Angles = {
        "root": (25 + 25 * deep, 0, float(rng.normal(0, 8))),
        "spine": (float(rng.uniform(5, 30)), 0, float(rng.normal(0, 8))),
        "head": (float(rng.normal(-5, 12)), 0, float(rng.normal(0, 15))),
        "fingers": (25, 0, 0),
    }
    for side in "LR":
        pose[f"hip.{side}"] = (60 * deep + 40 + float(rng.normal(0, 6)), float(rng.uniform(3, 18)), 8)
        pose[f"knee.{side}"] = (-110 * deep + float(rng.normal(0, 6)), 0, 0)
        pose[f"ankle.{side}"] = (18 * deep, 0, 0)
        pose[f"shoulder.{side}"] = (float(rng.uniform(20, 100)), float(rng.uniform(4, 20)), 0)
        pose[f"elbow.{side}"] = (float(rng.uniform(5, 60)), 0, 0)
    return pose


def free(rng: Generator) -> Angles:
    """Anything within the joints' limits, nearer to the middle than to the ends."""
    pose: Angles = {
        name: (float(rng.normal(6, 9)), float(rng.normal(0, 7)), float(rng.normal(0, 12)))
        for name in ("spine", "chest", "neck", "head")
    }
    for base, limits in LIMITS.items():
        for side in "LR":
            spread = [low + (high - low) * float(rng.beta(1.6, 2.4)) for low, high in limits]
            pose[f"{base}.{side}"] = (spread[0], spread[1], spread[2])
    pose["fingers"] = (float(rng.uniform(5, 70)), 0, 0)
    return pose


@cache
def real_poses() -> np.ndarray:
    """Angles [N, J, 3] float32 in degrees of people in real pictures (`assets/README.md`), not turned about z.

    Raises:
        WeightsError: The asset is missing or damaged.
    """
    angles: np.ndarray = load_asset("bodies", "poses")["angles"].astype(np.float32) * ANGLE_STEP
    return angles


def real(rng: Generator, *, jitter: float = 3.0) -> Angles:
    """A pose of a person in a real picture, or its mirror image, varied by `jitter` degrees."""
    poses = real_poses()
    values = poses[int(rng.integers(len(poses)))] + rng.normal(0, jitter, poses.shape[1:])
    pose: Angles = {}
    mirrored = bool(rng.random() < 0.5)
    for name, (forward, side, twist) in zip(JOINTS, values.tolist(), strict=True):
        base, _, end = name.partition(".")
        if mirrored and end:
            name = f"{base}.{'R' if end == 'L' else 'L'}"
        elif mirrored:
            side, twist = -side, -twist
        pose[name] = (forward, side, twist)
    return pose


def sits(pose: Angles) -> bool:
    """Whether both thighs are lifted and both knees bent as on a chair, and the trunk is upright."""
    hips, knees = ([pose.get(f"{n}.{s}", pose.get(n, (0.0, 0.0, 0.0)))[0] for s in "LR"] for n in ("hip", "knee"))
    root = pose.get("root", (0.0, 0.0, 0.0))
    return min(hips) > 50 and max(hips) < 115 and max(knees) < -40 and abs(root[0]) < 45 and abs(root[1]) < 45


def random_pose(rng: Generator, *, real_share: float = 0.0) -> Angles:
    """What people in streets and rooms do: mostly walk and stand."""
    return random_activity(rng, real_share=real_share)[1]


def random_activity(rng: Generator, *, real_share: float = 0.0) -> tuple[str, Angles]:
    """What a person does ("walking", "standing", "sitting", "crouching", "free", "cycling", "real") and their pose.

    Args:
        rng: Same state, same pose; without real poses nothing more is drawn from it than ever.
        real_share: Share of poses that are a real person's.
    """
    if real_share > 0 and rng.random() < real_share:
        pose = real(rng)
        return "sitting" if sits(pose) else "real", pose
    kinds = (walking, standing, sitting, crouching, free, cycling)
    kind = kinds[int(rng.choice(len(kinds), p=[0.45, 0.3, 0.08, 0.05, 0.09, 0.03]))]
    return kind.__name__, kind(rng)
