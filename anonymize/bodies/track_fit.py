"""Fits bodies along tracks: frame by frame as they arrive, smoothed over those before and after when they are drawn.

A silhouette and a pose in the picture fit two bodies: the one, and its mirror image in depth with left for right, who
looks the other way. One frame's surface tells the two apart badly; so both stay possible, and a fixed-lag smoother
(Viterbi's recursion over the two, with the frames that have arrived) decides for the track. Poses are then smoothed by
local regression, which frames that contradict their neighbours have little part in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anonymize.bodies.articulation import exponential
from anonymize.bodies.body import JOINTS
from anonymize.bodies.fit import (
    OTHER_SIDE,
    Before,
    BodyFitter,
    BodyPose,
    Observation,
    flipped,
    pose_landmarks,
    rotation_vector,
)
from anonymize.core.masks import add_to
from anonymize.core.types import BoolArray, FloatArray, IntArray, Tracks

Matrix = npt.NDArray[np.float64]

MARGIN = 0.25
"""Share of a person's size round the mask in which it is known where they may be."""
MUCH_MORE = 1.6
"""A person whom the border cut off is fitted from nothing again once the box is so many times as large, or whole."""
LOST_AFTER = 15
"""Frames after which a track is fitted anew."""
TURN_SIGMA, ROOT_SIGMA, SCALE_SIGMA, PLACE_SIGMA_M = 0.3, 0.2, 0.04, 0.06
"""How much a person's pose may change in a frame: radians of joints and of the body, share of the size, metres."""
TURN_NOISE, ROOT_NOISE, SCALE_NOISE, PLACE_NOISE_M = 0.05, 0.05, 0.015, 0.01
"""Changes of a smoothed pose of this size are half noise; units as above."""
INERTIA = 0.6
"""Share of a joint's last turn by which it is thought to turn on."""
SIDE_WEIGHT = 0.3
"""Of a frame's evidence which of the two bodies it shows: frames after each other err together."""
STEP_M = 0.15
"""Standard deviation of a joint's way from frame to frame, and how much of a step of all joints is believed."""
STEP_WEIGHT = 3.0
SMOOTH_FRAMES, REST_FRAMES = 1.2, 6.0
"""Standard deviation of the weights of neighbouring frames: where the body moves, and where it rests."""
HEADING_FRAMES, FEWEST_FRAMES = 8, 5
"""Frames before and after in which a person's way is looked at, and how many of them are needed."""
HEADING_WEIGHT = 8.0
"""People who walk face where they go: concentration of the directions (von Mises)."""
LEAST_WAY_M = 0.35
"""Who goes less far stands."""
MOST_ZOOM, MOST_PAN = 0.04, 0.15
"""Logarithm of the area, and share of the width, by which the picture may change meanwhile."""
PERSON_M, FOCAL = 1.7, 1.1
"""A person's height, and the focal length in widths of the picture: both guessed."""
DEPTH_NOISE = 0.05
"""Share of the distance that is half noise: sizes change with the pose, too."""
REACH_FRAMES = 12
"""Frames before and after that are looked at."""
ODD_M = 0.12
"""A frame whose joints are farther than this from those of its neighbours (median) counts little."""
BODY = [j for j, name in enumerate(JOINTS) if name.partition(".")[0] not in ("fingers", "toes")]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A person's body in one frame.

    Attributes:
        pose: [1], as fitted; its mirror image (`flipped`) is as possible.
        joints: [J, 3] metres, in rest axes as the camera sees them, from the root.
        costs: [2], of the pose and of its mirror image in this frame alone.
        total: [2], lowest costs of the track up to this frame that end in one or the other.
        box: [4] xyxy of the mask.
        change: [1, J, 3] radians, how the joints turned since the frame before; 0 where that is not known.
        begun_px: Area of the box when the track was fitted from nothing, if the frame's border cut it then; else 0.
        frame: Number of the frame.
        age: Frames of the track that were fitted before, without a break.
    """

    pose: BodyPose
    joints: FloatArray
    costs: FloatArray
    total: FloatArray
    box: FloatArray
    change: Tensor
    begun_px: float
    frame: int
    age: int

    def places(self) -> FloatArray:
        """[2, J, 3], the joints of the pose and of its mirror image."""
        return np.stack([self.joints, self.joints[OTHER_SIDE] * np.array([1, -1, 1], np.float32)])


@dataclass(eq=False)
class Moment:
    """The people of one frame.

    Attributes:
        tracks: They.
        rows: To whom bodies are to be fitted; none once they are.
        frame: Its number.
        place: [3, 3], takes its pixels to a ground that does not move with the camera.
        boxes: [4] float32 xyxy of the masks, by track.
        fitted: By track.
    """

    tracks: Tracks
    rows: Sequence[int]
    frame: int
    place: Matrix
    boxes: dict[int, FloatArray]
    fitted: dict[int, Fitted] = field(default_factory=dict)

    def cuts(self, track: int) -> bool:
        """Whether the frame's border cuts a person off."""
        return not whole(self.boxes[track][None], self.tracks.detections.size_hw)[0]

    def area_px(self, track: int) -> float:
        """Of a person's box."""
        left, top, right, bottom = self.boxes[track].tolist()
        return float((right - left) * (bottom - top))


class TrackFitter:
    """Fits bodies to the people of a film.

    Args:
        vertex_embedding: [L, D] float, the detector's embedding of the surface's landmarks.
    """

    def __init__(self, vertex_embedding: Tensor) -> None:
        self.fitter = BodyFitter(vertex_embedding)
        self._moments: deque[Moment] = deque()
        self._last: dict[int, Fitted] = {}
        self._frames = 0
        self._place: Matrix = np.eye(3)

    def arrive(self, tracks: Tracks, rows: Sequence[int]) -> None:
        """Take in the next frame.

        Args:
            tracks: Its people.
            rows: To whom bodies are to be fitted.
        """
        self._frames += 1
        if tracks.camera is not None:
            self._place = self._place @ np.linalg.inv(np.vstack([tracks.camera, (0, 0, 1)]))
        masks = tracks.detections.masks
        boxes = {int(tracks.ids[row]): np.array(masks[row].box_xyxy, np.float32) for row in rows}
        self._moments.append(Moment(tracks, rows, self._frames, self._place, boxes))

    def poses(self, tracks: Tracks) -> dict[int, BodyPose]:
        """The smoothed pose [1] of each person, by row, of a frame that has arrived; frames in their order.

        What is older than the smoothing needs is forgotten.
        """
        now = self._arrived(tracks)
        assert now is not None
        while self._moments[0].frame < now.frame - REACH_FRAMES:
            self._moments.popleft()
        for moment in self._moments:
            if moment.rows and moment.frame <= now.frame + REACH_FRAMES:
                self._fit(moment)
        return {row: self._smoothed(k, now) for row, k in enumerate(tracks.ids.tolist()) if k in now.fitted}

    def _fit(self, moment: Moment) -> None:
        tracks, frame = moment.tracks, moment.frame
        rows, moment.rows = moment.rows, ()
        self._last = {k: one for k, one in self._last.items() if frame - one.frame <= LOST_AFTER}
        seen = {row: observation for row in rows if (observation := self.observe(tracks, row)) is not None}
        known = [row for row in seen if int(tracks.ids[row]) in self._last]
        fresh = [row for row in seen if row not in known]
        for some in (known, fresh):
            if not some:
                continue
            heading = np.stack([self._heading(int(tracks.ids[row]), moment) for row in some])
            both = replace(Observation.cat([seen[row] for row in some]), heading=torch.from_numpy(heading))
            if some is fresh:
                fit = self.fitter.begin(both)
            else:
                fit = self.fitter.follow(both, Before.cat([self._before(moment, row) for row in some]))
                # what was fitted to a head alone may be a wrong body of the wrong size, from which no step leads on
                begun = [k for k, row in enumerate(some) if self._shows_more(int(tracks.ids[row]), moment)]
                if begun:
                    fit = fit.or_better(begun, self.fitter.begin(both[begun]))
            joints = pose_landmarks(fit.pose).joint.numpy()
            costs = fit.costs.numpy()
            for k, (row, found) in enumerate(zip(some, fit.found.tolist(), strict=True)):
                track = int(tracks.ids[row])
                begun_px = self._begun_px(track, moment)
                before = self._last.pop(track, None)
                if found:
                    fitted = fitted_after(
                        before, fit.pose[[k]], joints[k], costs[k], moment.boxes[track], frame, begun_px
                    )
                    moment.fitted[track] = self._last[track] = fitted

    def _shows_more(self, track: int, now: Moment) -> bool:
        """Whether much more of a track is seen than when it was fitted from nothing."""
        last = self._last.get(track)
        if last is None or not last.begun_px:
            return last is None
        return not now.cuts(track) or now.area_px(track) > MUCH_MORE * last.begun_px

    def _begun_px(self, track: int, now: Moment) -> float:
        """See `Fitted.begun_px`."""
        if self._shows_more(track, now):
            return now.area_px(track) if now.cuts(track) else 0.0
        return self._last[track].begun_px

    def _heading(self, track: int, now: Moment) -> FloatArray:
        """Where a person goes, and so faces, times how sure that is; see `Observation.heading`."""
        near = [m for m in self._moments if track in m.boxes and abs(m.frame - now.frame) <= HEADING_FRAMES]
        back = np.linalg.inv(now.place)
        moves = [back @ m.place for m in near]
        boxes = np.stack([m.boxes[track] for m in near])
        return heading_of(boxes, np.stack(moves), np.array([m.frame for m in near]), now.tracks.detections.size_hw)

    def has_arrived(self, tracks: Tracks) -> bool:
        """Whether a frame has been taken in."""
        return self._arrived(tracks) is not None

    def begin_anew(self, track: int) -> None:
        """A track's pose was wrong: the next frame that arrives says nothing of the ones before."""
        self._last.pop(track, None)

    def observe(self, tracks: Tracks, row: int) -> Observation | None:
        """What is seen of one person; None where that is too little."""
        found = tracks.detections
        mask = found.masks[row]
        if found.embeddings is None or not mask.area:
            return None
        return self.fitter.observe(
            found.boxes_xyxy[row],
            mask.mask,
            (mask.x, mask.y),
            possible(tracks, row, round(MARGIN * max(mask.mask.shape))),
            found.embeddings[row],
        )

    def _arrived(self, tracks: Tracks) -> Moment | None:
        return next((moment for moment in self._moments if moment.tracks.ids is tracks.ids), None)

    def _before(self, moment: Moment, row: int) -> Before:
        track = int(moment.tracks.ids[row])
        last, box = self._last[track], moment.boxes[track]
        frames = float(moment.frame - last.frame)
        shift = torch.from_numpy(((box - last.box)[:2] + (box - last.box)[2:]) / 2)
        pose = replace(last.pose, turns=last.pose.turns + INERTIA * last.change)
        if last.total[0] > last.total[1]:
            pose = flipped(pose)
        camera = pose.camera.clone()
        camera[:, 1:] += shift

        def sigma(one: float) -> Tensor:
            return torch.tensor([one * frames**0.5])

        return Before(
            pose=replace(pose, camera=camera),
            turn_sigma=sigma(TURN_SIGMA),
            root_sigma=sigma(ROOT_SIGMA),
            shape_sigma=torch.tensor([1 / (1 + last.age)]),
            scale_sigma=sigma(SCALE_SIGMA),
            place_sigma=sigma(PLACE_SIGMA_M),
        )

    def _smoothed(self, track: int, now: Moment) -> BodyPose:
        near = [m for m in self._moments if track in m.fitted and abs(m.frame - now.frame) <= REACH_FRAMES]
        here = near.index(now)
        several = [m.fitted[track] for m in near]
        sides = likeliest_sides(several, here)
        poses = BodyPose.cat([flipped(f.pose) if side else f.pose for f, side in zip(several, sides, strict=True)])
        back = np.linalg.inv(now.place)
        poses = replace(poses, camera=carried(poses.camera, [back @ m.place for m in near]))
        joints = np.stack([f.places()[side] for f, side in zip(several, sides, strict=True)])
        frames = np.array([m.frame - now.frame for m in near], np.float64)
        return smoothed(poses, here, frames, trust_of(joints, frames))


def whole(boxes: FloatArray, size_hw: tuple[int, int]) -> BoolArray:
    """[N] bool, which boxes [N, 4] xyxy do not touch the frame's border."""
    height, width = size_hw
    left, top, right, bottom = boxes.T
    inside: BoolArray = (left > 1) & (top > 1) & (right < width - 1) & (bottom < height - 1)
    return inside


def heading_of(boxes: FloatArray, moves: Matrix, frames: IntArray, size_hw: tuple[int, int]) -> FloatArray:
    """Where a person goes, [3] in rest axes as the camera sees them, times how sure it is that they face there.

    Args:
        boxes: [N, 4] xyxy, the person in the frames round one.
        moves: [N, 3, 3], what takes pixels of the other frames to those of that one.
        frames: [N], numbers.
        size_hw: Of the frames.
    """
    unknown, width = np.zeros(3, np.float32), size_hw[1]
    inside = whole(boxes, size_hw)
    turned = np.abs(np.log(np.abs(np.linalg.det(moves[:, :2, :2]))))
    if turned.max() > MOST_ZOOM or np.abs(moves[:, 0, 2]).max() > MOST_PAN * width:
        return unknown  # a camera that drives: what stands still moves as well
    boxes, frames, moves = boxes[inside], frames[inside], moves[inside]
    if len(boxes) < FEWEST_FRAMES:
        return unknown
    tall = boxes[:, 3] - boxes[:, 1]
    middle = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2, np.ones(len(boxes))], 1)
    column = (moves @ middle[..., None])[:, 0, 0]
    time = frames - frames.mean()
    span = float(frames.max() - frames.min()) / float(np.square(time).sum())
    scale = float(np.median(tall)) / PERSON_M
    away = FOCAL * width / scale
    aside = float(time @ column) * span / scale  # metres, by regression
    ahead = -float(time @ np.log(tall)) * span * away
    ahead *= ahead**2 / (ahead**2 + (DEPTH_NOISE * away) ** 2)
    gone = float(np.hypot(aside, ahead))
    if gone < LEAST_WAY_M:
        return unknown
    return np.array([aside, ahead, 0], np.float32) * np.float32(HEADING_WEIGHT / gone)


def fitted_after(
    before: Fitted | None,
    pose: BodyPose,
    joints: FloatArray,
    costs: FloatArray,
    box: FloatArray,
    frame: int,
    begun_px: float = 0.0,
) -> Fitted:
    """A body in the frame after `before`, which is None where nothing is known of the track."""
    costs = np.asarray(SIDE_WEIGHT * (costs - costs.min()), np.float32)
    still = torch.zeros_like(pose.turns)
    if before is None:
        return Fitted(pose, joints, costs, costs, box, still, begun_px, frame, 1)
    kept = before.total[0] <= before.total[1] and frame == before.frame + 1
    change = pose.turns - before.pose.turns if kept else still
    fitted = Fitted(pose, joints, costs, costs, box, change, begun_px, frame, before.age + 1)
    total = costs + (before.total[:, None] + steps(before, fitted)).min(0)
    return replace(fitted, total=np.asarray(total - total.min(), np.float32))


def steps(first: Fitted, second: Fitted) -> FloatArray:
    """[2, 2], costs of a change from one of the two bodies of a frame to one of those of a later frame."""
    one, other = first.places()[:, None, BODY], second.places()[None, :, BODY]
    ways = np.square(one - other).sum(3).mean(2) / (STEP_M**2 * max(1, second.frame - first.frame))
    return np.asarray(STEP_WEIGHT * ways / (1 + ways / 10), np.float32)


def likeliest_sides(several: Sequence[Fitted], here: int) -> list[int]:
    """Which of the two bodies it is in each frame: 0 the fitted one, 1 its mirror image.

    Args:
        several: A track's bodies, in the order of the frames.
        here: The one that is drawn now; the way to it is that of all frames before, also of forgotten ones.
    """
    ahead = np.zeros(2, np.float32)
    ways: list[IntArray] = []  # for each frame after this one, from the last to the first: where each side goes on to
    for first, second in zip(several[here:-1][::-1], several[here + 1 :][::-1], strict=True):
        onward = steps(first, second) + (second.costs + ahead)[None]
        ways.append(onward.argmin(1))
        ahead = onward.min(1)
    sides = [0] * len(several)
    sides[here] = int((several[here].total + ahead).argmin())
    for k, way in zip(range(here + 1, len(several)), reversed(ways), strict=True):
        sides[k] = int(way[sides[k - 1]])
    for k in range(here - 1, -1, -1):
        sides[k] = int((several[k].total + steps(several[k], several[k + 1])[:, sides[k + 1]]).argmin())
    return sides


def carried(camera: Tensor, moves: Sequence[Matrix]) -> Tensor:
    """Cameras [N, 3] of poses of other frames in this one's pixels.

    Args:
        camera: As of `BodyPose`.
        moves: N times [3, 3], what takes pixels of the other frame to this one's.
    """
    matrix = torch.from_numpy(np.stack(moves)).float()
    place = (matrix @ torch.cat([camera[:, 1:], torch.ones(len(camera), 1)], 1)[..., None])[:, :2, 0]
    grown = torch.linalg.det(matrix[:, :2, :2]).abs().clamp(min=1e-6).log() / 2
    return torch.cat([(camera[:, 0] + grown)[:, None], place], 1)


def trust_of(joints: FloatArray, frames: Matrix) -> Matrix:
    """[W] in [0, 1], how well each frame's joints [W, J, 3] agree with those of the frames round it."""
    trust = np.ones(len(frames))
    for k, frame in enumerate(frames):
        near = np.abs(frames - frame) <= SMOOTH_FRAMES
        if np.count_nonzero(near) > 2:
            middle = np.median(joints[near][:, BODY], axis=0)
            trust[k] = 1 / (1 + np.square(joints[k, BODY] - middle).sum(1).mean() / ODD_M**2)
    return trust


def kernels(frames: Matrix, trust: Matrix) -> tuple[Tensor, Tensor]:
    """Weights [W] whose sums are the pose at frame 0 if the body moves (local quadratic regression), and if it rests.

    Args:
        frames: [W], numbers relative to the one that is drawn.
        trust: [W].
    """
    rest = trust * np.exp(-0.5 * (frames / REST_FRAMES) ** 2)
    weight = trust * np.exp(-0.5 * (frames / SMOOTH_FRAMES) ** 2)
    basis = np.stack([np.ones_like(frames), frames / SMOOTH_FRAMES, (frames / SMOOTH_FRAMES) ** 2], 1)
    normal = basis.T @ (basis * weight[:, None]) + np.diag([1e-6, 0.05, 0.3])
    moving = (np.linalg.solve(normal, basis.T) * weight)[0]
    return torch.from_numpy(moving / moving.sum()).float(), torch.from_numpy(rest / rest.sum()).float()


def smoothed(poses: BodyPose, here: int, frames: Matrix, trust: Matrix) -> BodyPose:
    """The pose [1] of one frame from those of the frames round it: the smaller a change, the more it counts as noise.

    Args:
        poses: [W], cameras in the pixels of that frame.
        here: Row of that frame.
        frames: [W], numbers relative to it.
        trust: [W].
    """
    moving, rest = kernels(frames, trust)

    def between(values: Tensor, noise: float, size: int) -> Tensor:
        """Of values [W, C], groups of `size` of which change together."""
        resting = rest @ values
        change = (moving @ values - resting).view(-1, size)
        square = change.square().sum(1, keepdim=True)
        return resting + (change * square / (square + noise**2)).flatten()

    count = len(poses)
    turned = rotation_vector(poses.root @ poses.root[here].T)
    scale = poses.camera[here, 0].exp()
    place = (poses.camera[:, 1:] - poses.camera[here, 1:]) / scale
    return BodyPose(
        exponential(between(turned, ROOT_NOISE, 3)[None]) @ poses.root[[here]],
        between(poses.turns.flatten(1), TURN_NOISE, 3).view(1, -1, 3),
        (rest @ poses.shape)[None],
        torch.cat(
            [
                between(poses.camera[:, :1], SCALE_NOISE, 1),
                poses.camera[here, 1:] + scale * between(place.view(count, 2), PLACE_NOISE_M, 2),
            ]
        )[None],
    )


def possible(tracks: Tracks, row: int, margin: int) -> BoolArray:
    """Where a person may be, seen or not, [h + 2 m, w + 2 m] round the mask: it, other people, outside of the frame."""
    found = tracks.detections
    mask = found.masks[row]
    height, width = mask.mask.shape
    left, top = mask.x - margin, mask.y - margin
    free = np.ones((height + 2 * margin, width + 2 * margin), np.bool_)
    inner = (
        slice(max(0, -top), max(0, found.size_hw[0] - top)),
        slice(max(0, -left), max(0, found.size_hw[1] - left)),
    )
    free[inner] = False
    for other in found.masks:
        add_to(free, other.mask, other.x - left, other.y - top)
    return free
