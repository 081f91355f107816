"""How well bodies are fitted to people in rendered films, of whom the truth is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from anonymize.bodies.articulation import to_camera
from anonymize.bodies.body import JOINT
from anonymize.bodies.fit import BodyPose, pose_landmarks, project
from anonymize.bodies.track_fit import REACH_FRAMES, TrackFitter
from anonymize.core.body_surface import load_surface
from anonymize.core.boxes import box_iou
from anonymize.core.types import UNKNOWN_TRACK, Detections, FloatArray, Frame, RegionMask, Tracks
from anonymize.detect.predictor import EmbeddedDetector
from anonymize.lab.synthesis.film import Motion, render_film
from anonymize.lab.synthesis.scene import Scene
from anonymize.pipeline import build_tracker, detect

SEED, FPS, PEOPLE = 101, 10, 4
MOTIONS: tuple[Motion, ...] = ("still", "hand")
"""What the camera does, in turn."""
JOINTS = tuple(
    JOINT[f"{name}.{side}"] for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in "LR"
)
"""Looked at, left and right in turn."""
LIMBS = tuple(k for k in range(len(JOINTS)) if k not in (0, 1, 6, 7))
SAME_PERSON_IOU = 0.5
HEIGHT_PX = 200.0
"""Of the person in whose pixels jitter is given."""
CELLS = 56


@dataclass
class FitScores:
    """What was counted.

    Attributes:
        people: Pairs of a person and a frame.
        flat_cm, solid_cm: Distances of joints that show the person, in the picture, and in space from the mean joint.
        swapped: Of each pair of limbs, whether left is where right is.
        jitter_px: Change of a joint's error from frame to frame, pixels of a person of a height of 200.
    """

    people: int = 0
    flat_cm: list[FloatArray] = field(default_factory=list)
    solid_cm: list[FloatArray] = field(default_factory=list)
    swapped: list[FloatArray] = field(default_factory=list)
    jitter_px: list[FloatArray] = field(default_factory=list)

    def figures(self) -> dict[str, float | int | None]:
        """The measures by name; None where there was nothing to measure."""

        def quantile(values: Sequence[FloatArray], share: float) -> float | None:
            return float(np.quantile(np.concatenate(values), share)) if any(len(v) for v in values) else None

        return {
            "people": self.people,
            "joint_error_median_cm": quantile(self.flat_cm, 0.5),
            "joint_error_95_cm": quantile(self.flat_cm, 0.95),
            "joint_error_in_space_median_cm": quantile(self.solid_cm, 0.5),
            "limbs_swapped": float(np.concatenate(self.swapped).mean()) if self.swapped else None,
            "jitter_median_px": quantile(self.jitter_px, 0.5),
            "jitter_95_px": quantile(self.jitter_px, 0.95),
        }

    def table(self) -> str:
        """The measures as a Markdown table."""
        units = {"cm": "cm", "px": f"pixels at a height of {HEIGHT_PX:.0f}"}
        lines = ["| measure | value |", "|---|---|"]
        for name, value in self.figures().items():
            stem, _, unit = name.rpartition("_")
            said = f"{stem.replace('_', ' ')}, {units[unit]}" if unit in units else name.replace("_", " ")
            lines.append(f"| {said} | {'-' if value is None else f'{value:.3g}'} |")
        return "\n".join(lines)

    def add(self, pose: BodyPose, truth: Truth) -> FloatArray:
        """Count a person of a frame; returns the joints' errors [J, 2] in the picture, pixels at a height of 200."""
        posed = pose_landmarks(pose)
        flat = project(posed.joint, pose.camera)[0, list(JOINTS)].numpy()
        solid = to_camera(posed.joint)[0, list(JOINTS)].numpy()
        solid, true = (places - places.mean(0) for places in (solid, truth.solid))
        error = flat - truth.flat
        self.people += 1
        self.flat_cm.append(np.linalg.norm(error, axis=1)[truth.shown] / truth.metre_px * 100)
        self.solid_cm.append(np.linalg.norm(solid - true, axis=1)[truth.shown] * 100)
        own, other = np.array(LIMBS), np.array(LIMBS) ^ 1
        there, across = (np.linalg.norm(solid[own] - true[which], axis=1) for which in (own, other))
        pairs = there.reshape(-1, 2).sum(1) > across.reshape(-1, 2).sum(1)
        self.swapped.append(pairs.astype(np.float32))
        scaled: FloatArray = (error * (HEIGHT_PX / truth.height_px)).astype(np.float32)
        return scaled


@dataclass(frozen=True, eq=False)
class Truth:
    """A rendered person.

    Attributes:
        box: [4] xyxy.
        flat: [J, 2], joints in the picture, pixels.
        solid: [J, 3], the same in the camera's axes, metres.
        shown: [J] bool, whether the pixel there shows the person.
        metre_px, height_px: Size of a metre at their distance, and of the person.
    """

    box: FloatArray
    flat: FloatArray
    solid: FloatArray
    shown: npt.NDArray[np.bool_]
    metre_px: float
    height_px: float


def truths_of(scene: Scene) -> dict[int, Truth]:
    """The people of a frame, by track."""
    found = {}
    axes = torch.tensor(scene.camera.rotation, dtype=torch.float32)
    for row, actor in enumerate(scene.actors):
        joints = actor.joints()[list(JOINTS)]
        flat = scene.camera.project(joints).numpy()
        x, y = (np.floor(flat[:, k]).astype(int) for k in (0, 1))
        inside = (x >= 0) & (y >= 0) & (x < scene.instances.shape[1]) & (y < scene.instances.shape[0])
        shown = inside.copy()
        shown[inside] = scene.instances[y[inside], x[inside]] == row + 1
        found[int(scene.track_ids[row])] = Truth(
            scene.boxes_xyxy[row],
            flat[:, :2],
            (joints @ axes.T).numpy(),
            shown,
            scene.camera.focal_px / float(flat[:, 2].mean()),
            float(scene.heights_px[row]),
        )
    return found


def true_tracks(scene: Scene, table: Tensor) -> Tracks:
    """The people of a frame as a perfect detector and tracker would have them.

    Args:
        scene: The frame.
        table: [L, D] float, unit vectors: embedding of the surface's landmarks.
    """
    surface, count = load_surface(), len(scene)
    embeddings = torch.zeros(count, table.shape[1], CELLS, CELLS)
    height, width = scene.instances.shape
    steps = (np.arange(CELLS) + 0.5) / CELLS
    for row, box in enumerate(scene.boxes_xyxy):
        x = np.floor(box[0] + steps * (box[2] - box[0])).astype(int).clip(0, width - 1)
        y = np.floor(box[1] + steps * (box[3] - box[1])).astype(int).clip(0, height - 1)
        vertices = scene.vertices[y[:, None], x[None]]
        own = (scene.instances[y[:, None], x[None]] == row + 1) & (vertices >= 0)
        landmarks = surface.landmark_of_vertex[np.where(own, vertices, 0)]
        embeddings[row] = (table[torch.from_numpy(landmarks)] * torch.from_numpy(own)[..., None]).permute(2, 0, 1)
    people = Detections(
        (height, width),
        scene.boxes_xyxy,
        np.ones(count, np.float32),
        tuple(RegionMask.from_full(scene.instances == row + 1) for row in range(count)),
        np.ones(count, np.bool_),
        embeddings,
        (embeddings.abs().amax(1) > 0).float(),
    )
    return Tracks(people, scene.track_ids, np.zeros(count, np.bool_))


def measure(
    detector: EmbeddedDetector, *, films: int, frames: int, true_surface: bool = False, lookahead: int = REACH_FRAMES
) -> FitScores:
    """Fit bodies to the people of rendered films.

    Args:
        detector: Finds them.
        films: How many.
        frames: Of each.
        true_surface: Take masks, surfaces and tracks from the truth: what the fit alone loses.
        lookahead: Frames after the one that is smoothed that have arrived.
    """
    scores = FitScores()
    table = torch.nn.functional.normalize(detector.network.vertex_embedding.detach().float().cpu(), dim=1)
    for k in tqdm(range(films), desc="films", unit="film", disable=None):
        scenes = list(render_film(SEED + k, frames, fps=FPS, n_people=PEOPLE, motion=MOTIONS[k % len(MOTIONS)]))
        if true_surface:
            tracked = [true_tracks(scene, table) for scene in scenes]
        else:
            shown = [Frame(scene.image, i, i, Fraction(1, FPS)) for i, scene in enumerate(scenes)]
            tracked = [tracks for _, tracks in build_tracker(detector).track(detect(shown, detector))]
        count(scores, tracked, [truths_of(scene) for scene in scenes], TrackFitter(table), lookahead)
    return scores


@torch.inference_mode()
def count(
    scores: FitScores,
    tracked: Sequence[Tracks],
    truths: Sequence[dict[int, Truth]],
    fitter: TrackFitter,
    lookahead: int,
) -> None:
    """Add a film: the people of its frames, as tracked and in truth."""
    errors: dict[int, FloatArray] = {}
    for tracks, poses, truth in zip(tracked, fitted(tracked, fitter, lookahead), truths, strict=True):
        before, errors = errors, {}
        names = list(truth)
        if not names:
            continue
        overlaps = box_iou(tracks.detections.boxes_xyxy, np.stack([truth[name].box for name in names]))
        for row, pose in poses.items():
            best = int(overlaps[row].argmax())
            if overlaps[row, best] < SAME_PERSON_IOU or names[best] in errors:
                continue
            name = names[best]
            errors[name] = scores.add(pose, truth[name])
            if name in before:
                change = np.linalg.norm(errors[name] - before[name], axis=1)
                scores.jitter_px.append(change[truth[name].shown])


def fitted(tracked: Sequence[Tracks], fitter: TrackFitter, lookahead: int) -> Iterator[dict[int, BodyPose]]:
    """The poses of the people of each frame, by row."""
    arrived = 0
    for k, tracks in enumerate(tracked):
        for ahead in tracked[arrived : k + lookahead + 1]:
            known = (ahead.ids > UNKNOWN_TRACK) & ahead.detections.has_cse
            fitter.arrive(ahead, np.flatnonzero(known).tolist())
        arrived = max(arrived, k + lookahead + 1)
        yield fitter.poses(tracks)
