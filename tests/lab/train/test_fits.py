import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from anonymize.bodies import articulation
from anonymize.bodies.body import JOINT, joint_transforms, load_body
from anonymize.bodies.poses import gait, random_pose, rotations, standing
from anonymize.core.body_surface import PART_NAMES
from anonymize.core.errors import MediaError, WeightsError
from anonymize.core.types import UInt8Array
from anonymize.lab.train import fitting
from anonymize.lab.train.blazepose import Answer
from anonymize.lab.train.cli import app
from anonymize.lab.train.fits import (
    MAP,
    Fits,
    Labels,
    Limits,
    Mirrored,
    agreement,
    drawn,
    dressed,
    fit_folder,
    fit_people,
    load_fits,
    load_labels,
    look_mirrored,
    save_poses,
    upright,
)

SIDE = 200.0
CENTRE = (150.0, 120.0)


def turned(degrees: float) -> torch.Tensor:
    """Rotation about the body's z axis, 0 facing the camera."""
    return articulation.exponential(torch.tensor([0.0, 0.0, float(np.radians(degrees))]))


def posture(degrees: float, pose: dict[str, tuple[float, float, float]]) -> fitting.Posture:
    turns = torch.from_numpy(rotations(pose))
    turns[0] = turned(degrees) @ turns[0]
    body = load_body()
    camera = torch.tensor([[120.0, 128.0, 128.0]])
    return fitting.Posture(turns[None], torch.zeros(1, len(body.joint_components)), camera, torch.zeros(1))


def write_labels(folder: Path, degrees: tuple[float, ...]) -> None:
    """What BlazePose would say of people of known pose."""
    body = load_body()
    landmarks, world, masks = [], [], []
    for angle in degrees:
        truth = posture(angle, gait(0.2))
        moved = joint_transforms(body.joints, body.parents, truth.rotations)
        places = articulation.to_camera(fitting.keypoints().posed(truth.shape, moved) - body.joints[0])[0].numpy()
        pixels = (places * 120 + 128 - 128) * SIDE / 256
        pixels[:, :2] += CENTRE
        landmarks.append(np.concatenate([pixels, np.ones((33, 2))], 1))
        world.append(places - places[23:25].mean(0))
        masks.append(np.packbits(drawn(truth, size=256)[0].numpy() >= 0))
    count = len(degrees)
    np.savez_compressed(
        folder / "blazepose.npz",
        picture=np.array(["a.webp"] * count),
        box=np.arange(count, dtype=np.int16),
        crop=np.tile(np.array([*CENTRE, SIDE], np.float32), (count, 1)),
        landmarks=np.array(landmarks, np.float16),
        world=np.array(world, np.float16),
        presence=np.ones(count, np.float16),
        inside=np.ones(count, np.float16),
        fill=np.ones(count, np.float16),
        masks=np.array(masks),
    )
    boxes = [[50.0, 20.0, 250.0, 220.0]] * count
    (folder / "boxes.json").write_text(json.dumps({"a.webp": {"size_wh": [300, 240], "boxes_xyxy": boxes}}))


def test_swings_and_twists_come_back() -> None:
    turns = torch.tensor([[0.3, -0.7, 0.5], [-2.5, 0.4, -1.0], [0.0, 0.0, 0.2]])
    still = torch.zeros(3, 1)
    matrices = articulation.exponential(torch.cat([turns[:, :2], still], 1)) @ articulation.exponential(
        torch.cat([still, still, turns[:, 2:]], 1)
    )
    torch.testing.assert_close(articulation.swing_twist(matrices), turns, atol=1e-4, rtol=0)


def test_pairs_are_mirrored() -> None:
    rest = fitting.keypoints().rest
    assert (rest[[1, 2, 3, 7, 9, *range(11, 33, 2)], 0] > 0).all(), "odd numbers from 11 on are left"
    flip = torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(rest[11::2], rest[12::2] * flip, atol=1e-3, rtol=0)
    torch.testing.assert_close(rest[[1, 2, 3]], rest[[4, 5, 6]] * flip, atol=1e-3, rtol=0)


def test_the_first_guess_faces_as_the_person_does() -> None:
    body = load_body()
    for degrees in (0.0, 90.0, 180.0, -60.0):
        truth = posture(degrees, gait(0.1))
        moved = joint_transforms(body.joints, body.parents, truth.rotations)
        world = articulation.to_camera(fitting.keypoints().posed(truth.shape, moved))
        root, turns = fitting.first_guess(world)
        angle = torch.acos(((torch.trace(root[0].T @ truth.rotations[0, 0]) - 1) / 2).clamp(-1, 1))
        assert angle < 0.5
        assert turns[0, JOINT["knee.L"], 0] >= 0 and turns[0, JOINT["elbow.R"], 0] <= 0


def test_a_known_body_is_found_again(tmp_path: Path) -> None:
    degrees = (0.0, 120.0, 180.0)
    write_labels(tmp_path, degrees)
    fits = fit_folder(tmp_path, tmp_path / "fits.npz", poses=tmp_path / "poses.npz")
    assert fits.kept.all() and (fits.error < 0.03).all() and (fits.overlap > 0.85).all()
    again = load_fits(tmp_path / "fits.npz")
    assert (again.landmarks == fits.landmarks).all() and again.landmarks.dtype == np.int16
    surface = load_body().surface
    for k, angle in enumerate(degrees):
        truth = drawn(posture(angle, gait(0.2)))[0].numpy()
        both = (truth >= 0) & (fits.landmarks[k] >= 0)
        off = surface.geodesics_cm[truth[both], fits.landmarks[k][both]]
        assert both.sum() > 0.9 * (truth >= 0).sum() and np.median(off) < 6
    # the picture pixel of the root joint: the middle of the crop
    np.testing.assert_allclose(fits.camera[:, 1:], np.tile(CENTRE, (3, 1)), atol=2)
    with np.load(tmp_path / "poses.npz") as archive:
        assert archive["angles"].shape == (3, len(JOINT), 3) and archive["angles"].dtype == np.int8


def test_nobody_passes(tmp_path: Path) -> None:
    write_labels(tmp_path, (0.0,))
    fits = fit_folder(tmp_path, tmp_path / "fits.npz", limits=Limits(presence=1.0), poses=tmp_path / "poses.npz")
    assert len(fits) == 0 and load_fits(tmp_path / "fits.npz").landmarks.shape == (0, MAP, MAP)


def test_the_command_says_how_many_are_kept(tmp_path: Path) -> None:
    write_labels(tmp_path, (0.0, 90.0))
    result = CliRunner().invoke(app, ["fit", str(tmp_path), "-o", str(tmp_path / "fits.npz"), "--people", "1"])
    assert result.exit_code == 0 and "1 people fitted, 1 kept" in result.stdout


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "blazepose.npz", other=np.zeros(1))
    for read in (load_labels, load_fits):
        with pytest.raises(WeightsError):
            read(tmp_path / "blazepose.npz")


def test_clothes_get_the_nearest_landmark_and_no_more() -> None:
    body = np.full((8, 8), -1, np.int16)
    body[2:6, 3] = 7
    mask = np.zeros((8, 8), bool)
    mask[3:5] = True
    filled = dressed(body, mask, 2.5)
    assert (filled[3:5, 1:6] == 7).all()
    assert (filled[~mask] == -1).all() and (filled[:, 6:] == -1).all()
    assert (dressed(np.full((8, 8), -1, np.int16), mask, 2.5) == -1).all()


def test_a_back_that_is_a_front_in_the_mirror_is_not_kept(tmp_path: Path) -> None:
    write_labels(tmp_path, (0.0, 0.0, 180.0))
    labels = load_labels(tmp_path / "blazepose.npz")
    boxes = json.loads((tmp_path / "boxes.json").read_text())
    other = np.array([0, 2, 2])
    fits = fit_people(labels, boxes, np.arange(3), Limits(), Mirrored(labels.landmarks[other], labels.world[other]))
    assert fits.kept.tolist() == [True, False, True]
    np.testing.assert_allclose(fits.doubt, [0, 180, 0], atol=3)


def test_limbs_that_are_elsewhere_in_the_mirror_get_no_pixel(tmp_path: Path) -> None:
    write_labels(tmp_path, (0.0,))
    labels = load_labels(tmp_path / "blazepose.npz")
    boxes = json.loads((tmp_path / "boxes.json").read_text())
    landmarks = labels.landmarks.copy()
    landmarks[:, [25, 27]] = landmarks[:, [11, 11]]  # the left leg
    fits = fit_people(labels, boxes, np.arange(1), Limits(), Mirrored(landmarks, labels.world))
    parts = load_body().surface.landmark_parts[fits.landmarks[fits.landmarks >= 0]]
    names = {PART_NAMES[part] for part in parts}
    assert "right_lower_leg_front" in names and "left_lower_leg_front" not in names


def test_mirrored_answers_are_mirrored_back(tmp_path: Path) -> None:
    """The teacher here finds everything at the brightest pixel, and the left shoulder a bit to the right of it."""
    write_labels(tmp_path, (0.0,))
    labels = load_labels(tmp_path / "blazepose.npz")
    (tmp_path / "pictures").mkdir()
    image = np.zeros((240, 300, 3), np.uint8)
    image[115:126, 175:186] = 255
    cv2.imwrite(str(tmp_path / "pictures" / "a.webp"), image, [cv2.IMWRITE_WEBP_QUALITY, 101])

    def teacher(crop: UInt8Array) -> Answer:
        rows, columns = np.nonzero(crop[:, :, 0] > 128)
        landmarks = np.zeros((33, 5), np.float32)
        landmarks[:, :2] = columns.mean() + 0.5, rows.mean() + 0.5
        landmarks[11, 0] += 12.8
        return Answer(landmarks, np.ones((33, 3), np.float32), 1.0, np.zeros((256, 256), np.bool_))

    mirrored = look_mirrored(labels, np.arange(1), tmp_path / "pictures", teacher)
    np.testing.assert_allclose(mirrored.landmarks[0, 0, :2], (180, 120), atol=1)
    np.testing.assert_allclose(mirrored.landmarks[0, 12, :2], (170, 120), atol=1)
    np.testing.assert_allclose(mirrored.world[0, 0], (-1, 1, 1))
    with pytest.raises(MediaError):
        look_mirrored(labels, np.arange(1), tmp_path, teacher)


def test_agreement_is_told_in_shares() -> None:
    body, mask = np.zeros((2, 4, 4), bool)
    body[1:3], mask[:2], near = True, True, np.ones((4, 4), bool)
    assert agreement(body, mask, near, body) == (pytest.approx(1 / 3), 1.0, 0.5, 0.5)


def test_who_stands_is_put_in_balance() -> None:
    rng = np.random.default_rng(0)
    turns = rotations(standing(rng))
    tipped = turns.copy()
    tipped[0] = articulation.exponential(torch.tensor([0.4, 0.0, 0.0])).numpy() @ turns[0]
    shape = np.zeros(len(load_body().joint_components), np.float32)
    np.testing.assert_allclose(upright(tipped, shape)[0], upright(turns, shape)[0], atol=0.02)


def test_hidden_limbs_make_no_pose(tmp_path: Path) -> None:
    write_labels(tmp_path, (0.0, 90.0))
    fits = fit_folder(tmp_path, tmp_path / "fits.npz")
    labels = load_labels(tmp_path / "blazepose.npz")
    labels.landmarks[0, 27, 3] = 0.1
    labels.landmarks[1, 25:29, 3] = 0.1
    assert save_poses(tmp_path / "poses.npz", fits, labels) == 1


def test_fits_are_chosen_by_a_mask(tmp_path: Path) -> None:
    write_labels(tmp_path, (0.0, 90.0))
    fits = fit_folder(tmp_path, tmp_path / "fits.npz")
    chosen = fits[np.array([False, True])]
    assert isinstance(chosen, Fits) and len(chosen) == 1 and chosen.row[0] == 1
    assert isinstance(load_labels(tmp_path / "blazepose.npz"), Labels)


def test_limits_of_the_right_side_mirror_the_left() -> None:
    table = articulation.limits()
    left, right = table[:, JOINT["hip.L"]], table[:, JOINT["hip.R"]]
    torch.testing.assert_close(left[2:, 0], right[2:, 0])
    torch.testing.assert_close(left[2, 1:], -right[3, 1:])
    assert (table[2] < table[3])[1:].all()


def test_random_poses_are_within_reach() -> None:
    """The joints' frames are those of the renderer: a drawn pose is a swing and a twist of each joint."""
    turns = torch.from_numpy(rotations(random_pose(np.random.default_rng(0))))
    left, right = articulation.frames()
    vectors = articulation.swing_twist(left.transpose(1, 2) @ turns @ right.transpose(1, 2))
    again = articulation.turned(torch.eye(3)[None], vectors[None])[0]
    torch.testing.assert_close(again[1:], turns[1:], atol=1e-3, rtol=0)
