import numpy as np
import torch

from anonymize.bodies import random_person, render_person
from anonymize.bodies.body import JOINT, JOINTS, joint_transforms, load_body
from anonymize.bodies.people import ACCESSORY, NOTHING
from anonymize.bodies.poses import (
    angles_of,
    gait,
    random_activity,
    random_pose,
    real,
    real_poses,
    rotations,
    standing,
    stride,
)
from anonymize.core.body_surface import load_surface


def test_the_rest_pose_moves_nothing() -> None:
    body = load_body()
    still = torch.eye(3).expand(1, len(JOINT), 3, 3)
    moved = joint_transforms(body.joints, body.parents, still)[0]
    torch.testing.assert_close(moved, torch.eye(3, 4).expand_as(moved), atol=1e-5, rtol=0)


def test_poses_turn_without_stretching() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        turns = rotations(random_pose(rng))
        np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.tile(np.eye(3), (len(turns), 1, 1)), atol=1e-4)
        np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-4)


def test_angles_are_those_of_the_turns() -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        turns = rotations(random_pose(rng))
        angles = {name: (a, b, c) for name, (a, b, c) in zip(JOINTS, angles_of(turns).tolist(), strict=True)}
        np.testing.assert_allclose(rotations(angles), turns, atol=1e-4)


def test_real_poses_are_drawn_only_when_asked_for() -> None:
    without = [random_pose(np.random.default_rng(seed)) for seed in range(5)]
    assert without == [random_pose(np.random.default_rng(seed), real_share=0) for seed in range(5)]
    kinds = {random_activity(np.random.default_rng(seed), real_share=1)[0] for seed in range(60)}
    assert kinds == {"real", "sitting"}


def test_real_poses_stand_on_their_feet() -> None:
    rng, body = np.random.default_rng(3), load_body()
    assert len(real_poses()) > 500 and (real_poses()[:, JOINT["root"], 2] == 0).all()
    turns = torch.from_numpy(np.stack([rotations(real(rng)) for _ in range(100)]))
    moved = joint_transforms(body.joints, body.parents, turns)
    head, foot = (moved[:, j] @ torch.cat([body.joints[j], torch.ones(1)]) for j in (JOINT["head"], JOINT["ankle.L"]))
    assert ((head - foot)[:, 2] > 0.5).float().mean() > 0.95


def test_left_and_right_legs_take_turns() -> None:
    assert gait(0.0)["hip.L"] == gait(0.5)["hip.R"]
    assert 1.0 < stride() < 1.8 < stride(True)


def test_people_stand_upright_on_the_ground() -> None:
    rng = np.random.default_rng(1)
    person = random_person(rng)
    for coarse in (False, True):
        vertices, _ = person.posed(standing(rng), coarse=coarse)
        assert vertices[:, 2].min() == 0
        assert abs(float(vertices[:, 2].max()) - person.height_m) < 0.25


def test_truth_lies_on_the_right_part_of_the_body() -> None:
    surface = load_surface()
    for seed in range(3):
        rng = np.random.default_rng(seed)
        drawn = render_person(rng, height_px=64, pose=standing(rng), heading_degrees=0, camera_height_m=1.5)
        inside = drawn.alpha > 127
        assert drawn.image.shape == (*drawn.alpha.shape, 3) and inside.mean() > 0.1
        assert ((drawn.pixel_class != NOTHING) == (drawn.alpha > 0)).all()
        known = inside & (drawn.vertex >= 0)
        assert (drawn.pixel_class[inside & (drawn.vertex < 0)] == ACCESSORY).all(), "only bags are no body"
        rows, _ = np.nonzero(known)
        heights = surface.vertices[drawn.vertex[known], 2]
        assert np.corrcoef(rows, heights)[0, 1] < -0.9, "heads are above feet"


def test_same_seed_same_person() -> None:
    first, second = (render_person(np.random.default_rng(5), height_px=48) for _ in range(2))
    assert (first.image == second.image).all() and (first.vertex == second.vertex).all()
