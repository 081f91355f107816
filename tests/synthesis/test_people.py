import numpy as np
import torch

from anonymize.synthesis import load_surface, random_person, render_person
from anonymize.synthesis.body import JOINT, joint_transforms, load_body
from anonymize.synthesis.people import ACCESSORY, NOBODY
from anonymize.synthesis.poses import gait, random_pose, rotations, standing, stride


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
        assert ((drawn.pixel_class != NOBODY) == (drawn.alpha > 0)).all()
        known = inside & (drawn.vertex >= 0)
        assert (drawn.pixel_class[inside & (drawn.vertex < 0)] == ACCESSORY).all(), "only bags are no body"
        rows, _ = np.nonzero(known)
        heights = surface.vertices[drawn.vertex[known], 2]
        assert np.corrcoef(rows, heights)[0, 1] < -0.9, "heads are above feet"


def test_same_seed_same_person() -> None:
    first, second = (render_person(np.random.default_rng(5), height_px=48) for _ in range(2))
    assert (first.image == second.image).all() and (first.vertex == second.vertex).all()
