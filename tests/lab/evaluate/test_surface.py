"""The surface at the joints of real people, by hand."""

import numpy as np
import pytest
import torch

from anonymize.core.body_surface import load_surface
from anonymize.core.types import Detections, RegionMask
from anonymize.lab.evaluate.surface import BLAZEPOSE_JOINTS, JointScores, rings, sides, swapped_limbs

SIZE_HW = (120, 120)
BOX = np.array([10, 10, 110, 110], np.float32)
LEFT_KNEE, RIGHT_KNEE = 25, 26


@pytest.fixture(scope="module")
def table() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(1024, 16), dim=1)


def person(landmark: int, table: torch.Tensor) -> Detections:
    """One person whose surface is one landmark all over."""
    embedding = table[landmark][:, None, None].expand(16, 8, 8)[None].clone()
    mask = RegionMask(10, 10, np.ones((100, 100), np.bool_))
    return Detections(
        SIZE_HW, BOX[None], np.ones(1, np.float32), (mask,), np.ones(1, np.bool_), embedding, torch.ones(1, 8, 8)
    )


def pose(joint: int) -> np.ndarray:
    landmarks = np.zeros((33, 5), np.float32)
    landmarks[joint] = (60, 60, 0, 0.99, 0.99)
    return landmarks


def test_joints_have_points_of_their_side_round_them() -> None:
    surface = load_surface()
    side = sides(surface)
    for joint, landmarks in rings(surface).items():
        name, _, letter = BLAZEPOSE_JOINTS[joint].partition(".")
        assert len(landmarks) >= 2
        if name != "hip":
            assert (side[landmarks] == (1 if letter == "L" else -1)).all(), name


@pytest.mark.parametrize(("joint", "right"), [(LEFT_KNEE, True), (RIGHT_KNEE, False)])
def test_a_left_knee_is_no_right_knee(joint: int, right: bool, table: torch.Tensor) -> None:
    surface = load_surface()
    scores = JointScores(surface, table)
    scores.add(person(int(rings(surface)[LEFT_KNEE][0]), table), BOX, pose(joint))
    figures = scores.summary()
    assert figures["joints"] == 1
    assert figures["within_15_cm"] == right
    assert figures["left_for_right"] == (not right)


def test_people_who_are_not_found_and_joints_out_of_sight_do_not_count(table: torch.Tensor) -> None:
    scores = JointScores(load_surface(), table)
    scores.add(Detections.empty(SIZE_HW), BOX, pose(LEFT_KNEE))
    scores.add(person(0, table), BOX + 90, pose(LEFT_KNEE))
    scores.add(person(0, table), BOX, np.zeros((33, 5), np.float32))
    assert scores.summary() == {"people": 1.0, "joints": 0.0}


def test_swapped_limbs_are_those_on_the_other_side() -> None:
    surface = load_surface()
    rings_of = rings(surface)
    left, right = int(rings_of[LEFT_KNEE][0]), int(rings_of[RIGHT_KNEE][0])
    swapped = swapped_limbs(np.array([left, left, right]), np.array([left, right, -1]), surface)
    assert swapped.tolist() == [False, True]
