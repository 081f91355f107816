"""Bodies along tracks, of which the truth is known."""

import dataclasses

import numpy as np
import torch

from anonymize.bodies import fit, track_fit
from anonymize.bodies.articulation import exponential, to_camera
from anonymize.bodies.body import JOINT, JOINTS
from anonymize.bodies.track_fit import Fitted, Moment, TrackFitter
from anonymize.core.types import Detections, RegionMask, Tracks

TABLE = torch.from_numpy(np.random.default_rng(0).standard_normal((1024, 16)).astype(np.float32))
NO_TRACKS = Tracks(Detections.empty((300, 400)), np.zeros(0, np.int64), np.zeros(0, np.bool_))


def walker(phase: float, yaw: float = 0.3) -> fit.BodyPose:
    """A person who walks, [1]."""
    turns = torch.zeros(1, len(JOINTS), 3)
    swing = float(np.sin(phase))
    for side, sign in (("L", 1.0), ("R", -1.0)):
        turns[:, JOINT[f"hip.{side}"], 0] = -0.5 * sign * swing - 0.2
        turns[:, JOINT[f"knee.{side}"], 0] = 0.4
        turns[:, JOINT[f"elbow.{side}"], 0] = -0.6
    root = exponential(torch.tensor([[0.0, 0.0, yaw]]))
    return fit.BodyPose(root, turns, torch.zeros(1, fit.SHAPES), torch.tensor([[4.7, 200.0, 150.0]]))


def film(poses: list[fit.BodyPose], costs: list[tuple[float, float]]) -> list[Moment]:
    moments, before = [], None
    for k, (pose, cost) in enumerate(zip(poses, costs, strict=True)):
        joints = fit.pose_landmarks(pose).joint[0].numpy()
        before = track_fit.fitted_after(
            before, pose, joints, np.array(cost, np.float32), np.zeros(4, np.float32), k + 1
        )
        moments.append(Moment(NO_TRACKS, (), k + 1, np.eye(3), {}, {7: before}))
    return moments


def smoothed(moments: list[Moment], k: int) -> fit.BodyPose:
    fitter = TrackFitter(TABLE)
    fitter._moments.extend(moments)
    return fitter._smoothed(7, moments[k])


def facing(pose: fit.BodyPose) -> float:
    """1 for a person who looks into the camera, -1 for one who looks away."""
    return float(pose.root[0, 1, 1])


def test_the_other_body_looks_the_same_but_for_left_and_right() -> None:
    pose = dataclasses.replace(walker(1.0), turns=walker(1.0).turns + 0.1)
    one, other = fit.pose_landmarks(pose), fit.pose_landmarks(fit.flipped(pose))
    mirrored = to_camera(other.joint)[0, fit.OTHER_SIDE]
    torch.testing.assert_close(to_camera(one.joint)[0, :, :2], mirrored[:, :2], atol=5e-3, rtol=0)
    torch.testing.assert_close(to_camera(one.joint)[0, :, 2], -mirrored[:, 2], atol=5e-3, rtol=0)
    assert facing(pose) > 0.5 > -0.5 > facing(fit.flipped(pose))
    twice = fit.flipped(fit.flipped(pose))
    torch.testing.assert_close(twice.root, pose.root)
    torch.testing.assert_close(twice.turns, pose.turns)


def test_which_way_a_person_faces_is_decided_for_the_track() -> None:
    """Two frames that say the opposite, one of them the first, are overruled; so is a body that was fitted turned."""
    poses = [walker(0.6 * k) for k in range(12)]
    poses[6] = fit.flipped(poses[6])
    costs = [(0.0, 6.0)] * 12
    costs[0] = costs[4] = (9.0, 0.0)
    costs[6] = (5.0, 0.0)
    moments = film(poses, costs)
    assert all(facing(smoothed(moments, k)) > 0.5 for k in range(12))


def test_a_frame_that_contradicts_its_neighbours_is_overruled() -> None:
    poses = [walker(0.0) for _ in range(11)]
    wrong = poses[5].turns.clone()
    wrong[:, JOINT["shoulder.L"], 0] += 1.5
    wrong[:, JOINT["hip.R"], 0] -= 1.0
    poses[5] = dataclasses.replace(poses[5], turns=wrong, camera=poses[5].camera + torch.tensor([[0.0, 20.0, 0.0]]))
    found = smoothed(film(poses, [(0.0, 6.0)] * 11), 5)
    assert float((found.turns - poses[4].turns).abs().max()) < 0.2
    assert abs(float(found.camera[0, 1]) - 200) < 3


def test_who_stands_does_not_tremble_and_who_walks_keeps_their_stride() -> None:
    rng = torch.Generator().manual_seed(0)

    def shaken(pose: fit.BodyPose) -> fit.BodyPose:
        noise = 0.05 * torch.randn(pose.turns.shape, generator=rng)
        place = torch.randn(pose.camera.shape, generator=rng) * torch.tensor([0.01, 1.0, 1.0])
        return dataclasses.replace(pose, turns=pose.turns + noise, camera=pose.camera + place)

    still = film([shaken(walker(0.0)) for _ in range(30)], [(0.0, 6.0)] * 30)
    places = torch.stack([smoothed(still, k).camera[0, 1:] for k in range(8, 22)])
    assert float(places.std(0).max()) < 0.4
    knee, hip = JOINT["knee.L"], JOINT["hip.L"]
    walking = [walker(0.5 * k) for k in range(30)]
    moments = film([shaken(pose) for pose in walking], [(0.0, 6.0)] * 30)
    error = [
        float((smoothed(moments, k).turns - walking[k].turns)[0, [hip, knee], 0].abs().max()) for k in range(8, 22)
    ]
    assert np.mean(error) < 0.08


def test_the_camera_s_own_motion_is_no_motion_of_the_body() -> None:
    """A camera that pans by 9 pixels a frame, back and forth: the body stays where it is in the scene."""
    moments, total = [], 0.0
    before: Fitted | None = None
    for k in range(15):
        step = 9.0 * (-1) ** k if k else 0.0
        total += step
        pose = dataclasses.replace(walker(0.0), camera=torch.tensor([[4.7, 200.0 + total, 150.0]]))
        place = np.array([[1.0, 0, -total], [0, 1, 0], [0, 0, 1]])
        joints = fit.pose_landmarks(pose).joint[0].numpy()
        before = track_fit.fitted_after(
            before, pose, joints, np.array([0, 6], np.float32), np.zeros(4, np.float32), k + 1
        )
        moments.append(Moment(NO_TRACKS, (), k + 1, place, {}, {7: before}))
    for k in (3, 7, 8):
        true = moments[k].fitted[7].pose.camera
        torch.testing.assert_close(smoothed(moments, k).camera, true, atol=0.05, rtol=0)


def test_frames_arrive_once_and_are_forgotten() -> None:
    fitter = TrackFitter(TABLE)
    mask = RegionMask(40, 20, np.ones((120, 50), np.bool_))
    people = Detections(
        (200, 160),
        np.array([mask.box_xyxy], np.float32),
        np.ones(1, np.float32),
        (mask,),
        np.ones(1, np.bool_),
        TABLE[:56].T[None, :, :, None].repeat(1, 1, 1, 56),
        torch.ones(1, 56, 56),
    )
    several = [Tracks(people, np.array([3]), np.zeros(1, np.bool_)) for _ in range(track_fit.REACH_FRAMES + 6)]
    assert not fitter.has_arrived(several[0])
    for tracks in several:
        fitter.arrive(tracks, [0])
    assert not any(moment.fitted for moment in fitter._moments)
    assert all(fitter.has_arrived(tracks) for tracks in several)
    assert list(fitter.poses(several[0])) == [0]
    fitter.poses(several[-1])
    assert not fitter.has_arrived(several[0]) and len(fitter._moments) == track_fit.REACH_FRAMES + 1


def boxes_of(columns: np.ndarray, heights: np.ndarray) -> np.ndarray:
    return np.stack([columns - 20, 150 - heights / 2, columns + 20, 150 + heights / 2], 1).astype(np.float32)


def test_people_face_where_they_go() -> None:
    """A size of 100 pixels is 1.7 m."""
    frames, still = np.arange(11), np.tile(np.eye(3), (11, 1, 1))
    size, same = (300, 400), np.full(11, 100.0)
    right = track_fit.heading_of(boxes_of(150 + 4.0 * frames, same), still, frames, size)
    np.testing.assert_allclose(right, [track_fit.HEADING_WEIGHT, 0, 0], atol=1e-3)
    nearer = track_fit.heading_of(boxes_of(np.full(11, 200.0), 100 * 1.02**frames), still, frames, size)
    assert nearer[1] < -0.9 * track_fit.HEADING_WEIGHT and abs(nearer[0]) < 1e-3
    for columns, moves in (
        (np.full(11, 200.0), still),  # who stands
        (3 + 4.0 * frames, still),  # cut off by the border
        (150 + 4.0 * frames, still * np.array([1.05, 1.05, 1])[:, None]),  # the camera drives
    ):
        boxes = boxes_of(columns, same)
        boxes[:, 0] = np.maximum(boxes[:, 0], 0)
        assert not track_fit.heading_of(boxes, moves, frames, size).any()


def test_who_comes_into_the_picture_is_fitted_from_nothing_again() -> None:
    fitter = TrackFitter(TABLE)
    begun, begin = [], fitter.fitter.begin

    def noted(seen: fit.Observation) -> fit.Fit:
        begun.append(len(seen))
        return begin(seen)

    fitter.fitter.begin = noted  # type: ignore[method-assign]
    for top, bottom in ((160, 200), (150, 200), (120, 200), (90, 190), (80, 180)):
        mask = RegionMask(40, top, np.ones((bottom - top, 50), np.bool_))
        people = Detections(
            (200, 160),
            np.array([mask.box_xyxy], np.float32),
            np.ones(1, np.float32),
            (mask,),
            np.ones(1, np.bool_),
            TABLE[:56].T[None, :, :, None].repeat(1, 1, 1, 56),
            torch.ones(1, 56, 56),
        )
        tracks = Tracks(people, np.array([3]), np.zeros(1, np.bool_))
        fitter.arrive(tracks, [0])
        begun.append(0)
        fitter.poses(tracks)
    assert begun == [0, 1, 0, 0, 1, 0, 1, 0]


def test_of_two_fits_the_better_one_is_kept() -> None:
    poses = fit.BodyPose.cat([walker(0.0), walker(1.0), walker(2.0)])
    first = fit.Fit(poses, torch.tensor([[1.0, 2.0], [5.0, 6.0], [3.0, 4.0]]))
    other = fit.Fit(fit.BodyPose.cat([walker(3.0), walker(4.0)]), torch.tensor([[4.0, 5.0], [9.0, 9.0]]))
    both = first.or_better([1, 2], other)
    torch.testing.assert_close(both.costs, torch.tensor([[1.0, 2.0], [4.0, 5.0], [3.0, 4.0]]))
    torch.testing.assert_close(both.pose.turns, torch.cat([poses.turns[:1], walker(3.0).turns, poses.turns[2:]]))
