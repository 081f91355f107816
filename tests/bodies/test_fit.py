"""Bodies fitted to a surface of which the truth is known."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from anonymize.bodies import fit
from anonymize.bodies.articulation import exponential
from anonymize.bodies.body import JOINT, JOINTS

UNIT = np.random.default_rng(0).standard_normal((1024, 16)).astype(np.float32)


def pose_of(yaw: float, *, seed: int, scale: float = 110.0, loose: float = 0.5) -> fit.BodyPose:
    """A person who faces `yaw` (radians), in a pose that people have."""
    mean, precision = fit.usual_poses()
    spread = torch.linalg.cholesky(torch.linalg.inv(precision))
    noise = torch.randn(mean.numel(), generator=torch.Generator().manual_seed(seed))
    turns = torch.zeros(1, len(JOINTS), 3)
    turns[:, fit.landmarks().free] = mean + loose * (spread @ noise).view(-1, 3)
    root = exponential(torch.tensor([[0.0, 0.0, yaw]]))
    camera = torch.tensor([[float(np.log(scale)), 200.0, 150.0]])
    return fit.BodyPose(root, turns, torch.zeros(1, fit.SHAPES), camera)


def seen_of(pose: fit.BodyPose, *, mirrored: float = 0.0, noise: float = 0.0, cut_at: float = 1e9) -> fit.Observation:
    """What a detector would say: the landmarks that face the camera, some taken for their mirror images."""
    posed = fit.pose_landmarks(pose)
    points = fit.project(posed.places, pose.camera)[0]
    rng = np.random.default_rng(1)
    front = ((posed.normals[0, :, 1] < -0.2) & (points[:, 1] < cut_at)).nonzero()[:, 0].numpy()
    chosen = rng.choice(front, fit.PIXELS)
    swapped = np.where(rng.random(fit.PIXELS) < mirrored, fit.landmarks().mirror.numpy()[chosen], chosen)
    table = functional.normalize(torch.from_numpy(UNIT), dim=1)[: fit.POINTS]
    embedding = table[swapped] + noise * torch.from_numpy(rng.standard_normal((fit.PIXELS, 16))).float()
    scores = (functional.normalize(embedding, dim=1) @ table.T * fit.SIMILARITY_SCALE).log_softmax(1)
    both = torch.logaddexp(scores + np.log(1 - fit.MIRRORED), scores[:, fit.landmarks().mirror] + np.log(fit.MIRRORED))
    return fit.Observation(
        pixels=points[chosen][None] + torch.from_numpy(rng.normal(0, 1, (1, fit.PIXELS, 2))).float(),
        scores=both[None],
        weights=torch.ones(1, fit.PIXELS),
        field=torch.zeros(1, 3, fit.FIELD, fit.FIELD),
        field_box=torch.tensor([[0.0, 0, 400, 400]]),
        heading=torch.zeros(1, 3),
    )


def errors_cm(found: fit.BodyPose, true: fit.BodyPose) -> np.ndarray:
    """Distances of the joints in the picture, centimetres."""
    places = [fit.project(fit.pose_landmarks(p).joint, p.camera)[0] for p in (found, true)]
    error: np.ndarray = ((places[0] - places[1]).norm(dim=1) / true.camera[0, 0].exp() * 100).numpy()
    return error


@pytest.mark.parametrize("yaw", [0.0, 1.6, 3.1, -2.3])
def test_people_are_found_from_all_sides_though_left_is_taken_for_right(yaw: float) -> None:
    true = pose_of(yaw, seed=int(10 * abs(yaw)))
    found = fit.BodyFitter(torch.from_numpy(UNIT)).begin(seen_of(true, mirrored=0.3, noise=0.05)).pose
    assert np.median(errors_cm(found, true)) < 4
    turned = fit.rotation_vector(found.root @ true.root.transpose(1, 2)).norm()
    assert float(turned) < 0.4


def test_of_who_is_cut_off_the_rest_is_found() -> None:
    true = pose_of(0.4, seed=5)
    found = fit.BodyFitter(torch.from_numpy(UNIT)).begin(seen_of(true, cut_at=150.0)).pose
    upper = [JOINT[n] for n in ("head", "neck", "chest", "shoulder.L", "shoulder.R")]
    assert errors_cm(found, true)[upper].max() < 8


def test_several_people_are_fitted_as_each_alone() -> None:
    fitter = fit.BodyFitter(torch.from_numpy(UNIT))
    seen = [seen_of(pose_of(yaw, seed=3)) for yaw in (0.3, 2.8)]
    together = fitter.begin(fit.Observation.cat(seen)).pose
    for k, one in enumerate(seen):
        torch.testing.assert_close(fitter.begin(one).pose.camera, together[[k]].camera, atol=0.05, rtol=0)


def test_following_starts_from_before_and_arrives() -> None:
    fitter = fit.BodyFitter(torch.from_numpy(UNIT))
    true = pose_of(0.5, seed=7)
    before = dataclasses.replace(true, turns=true.turns + 0.15, camera=true.camera + torch.tensor([[0.0, 6, 3]]))
    loose = torch.tensor([0.5])
    known = fit.Before(before, loose, loose, loose, loose, loose)
    found = fitter.follow(seen_of(true), known)
    assert np.median(errors_cm(found.pose, true)) < 3 < np.median(errors_cm(before, true))
    assert fit.surprise(seen_of(true), found.pose, 0.06) < fit.surprise(seen_of(true), before, 0.06)
    assert found.costs.shape == (1, 2) and float(found.costs[0, 0]) < float(found.costs[0, 1])
    stiff = torch.tensor([1e-3])
    held = fitter.follow(seen_of(true), fit.Before(before, stiff, stiff, stiff, stiff, stiff)).pose
    torch.testing.assert_close(held.camera, before.camera, atol=0.2, rtol=0)
    torch.testing.assert_close(held.turns, before.turns, atol=0.01, rtol=0)


def test_the_derivative_is_that_of_the_landmarks() -> None:
    pose = pose_of(1.1, seed=2)
    pose = dataclasses.replace(pose, shape=torch.linspace(-1, 1, fit.SHAPES)[None])
    slopes = fit.jacobian(pose, fit.pose_landmarks(pose))
    start = fit.project(fit.pose_landmarks(pose).places, pose.camera)
    for column in range(0, slopes.shape[3], 4):
        step = torch.zeros(1, slopes.shape[3])
        step[0, column] = 2e-3
        after = fit.moved(pose, step)
        change = (fit.project(fit.pose_landmarks(after).places, after.camera) - start) / pose.camera[0, 0].exp() / 2e-3
        torch.testing.assert_close(change, slopes[..., column], atol=0.01, rtol=0)


def test_a_body_is_drawn_into_the_mask() -> None:
    """Without any surface, the mask alone moves a body that is beside it."""
    true = pose_of(0.0, seed=4, loose=0.0)
    seen = seen_of(true)
    free = np.zeros((400, 400), np.bool_)
    points = fit.project(fit.pose_landmarks(true).places, true.camera)[0].long().numpy()
    free[points[:, 1], points[:, 0]] = True
    free = np.asarray(cv2.dilate(free.astype(np.uint8), np.ones((11, 11), np.uint8))) > 0
    seen = dataclasses.replace(seen, weights=0 * seen.weights, field=fit.distance_field(free)[None])
    beside = dataclasses.replace(true, camera=true.camera + torch.tensor([[0.0, 12, 0]]))
    pose = beside
    for _ in range(8):
        pose = fit.improve(seen, pose, 0.06)
    assert float((pose.camera - true.camera)[0, 1].abs()) < 6


def test_without_a_surface_a_body_turns_to_where_it_goes() -> None:
    pose = pose_of(0.0, seed=3, loose=0.0)
    heading = 8.0 * torch.tensor([[0.8, -0.6, 0.0]])
    seen = seen_of(pose)
    seen = dataclasses.replace(seen, weights=0 * seen.weights, heading=heading)
    turned = pose
    for _ in range(8):
        turned = fit.improve(seen, turned, 0.06)
    assert float(fit.ahead_of(pose) @ heading.T) < 6 < 7.6 < float(fit.ahead_of(turned) @ heading.T)
    fitter = fit.BodyFitter(torch.from_numpy(UNIT))
    assert float(fitter.cost(seen, turned, 0.06)) < float(fitter.cost(seen, pose, 0.06))
    assert float(fitter.cost(seen, turned, 0.06)) < float(fitter.cost(seen, fit.flipped(turned), 0.06)) - 5


def test_nothing_is_seen_of_who_has_too_few_pixels() -> None:
    fitter = fit.BodyFitter(torch.from_numpy(UNIT))
    box = np.array([10, 10, 30, 60], np.float32)
    mask, free = np.zeros((50, 20), np.bool_), np.ones((60, 30), np.bool_)
    assert fitter.observe(box, mask, (10, 10), free, torch.ones(16, 56, 56)) is None
    mask[:] = True
    seen = fitter.observe(box, mask, (10, 10), free, torch.ones(16, 56, 56))
    assert seen is not None and len(seen) == 1
    assert seen.pixels[0, :, 0].min() >= 10 and seen.pixels[0, :, 1].max() <= 60


@pytest.mark.parametrize("box", [[12, 12, 12, 12], [12, 12, 40, 12.5], [12, 12, np.nan, 40], [12, 12, np.inf, 40]])
def test_nothing_is_seen_in_a_box_without_an_area(box: list[float]) -> None:
    fitter = fit.BodyFitter(torch.from_numpy(UNIT))
    mask, free = np.ones((20, 10), np.bool_), np.ones((30, 20), np.bool_)
    assert fitter.observe(np.array(box, np.float32), mask, (10, 10), free, torch.ones(16, 56, 56)) is None


def test_to_whom_no_body_can_be_fitted_harms_no_other() -> None:
    fitter = fit.BodyFitter(torch.from_numpy(UNIT))
    good = seen_of(pose_of(0.3, seed=3))
    one_place = dataclasses.replace(good, pixels=torch.full_like(good.pixels, 12))
    broken = dataclasses.replace(good, scores=good.scores * torch.nan)
    found = fitter.begin(fit.Observation.cat([one_place, good, broken]))
    assert found.found.tolist()[1:] == [True, False]
    torch.testing.assert_close(found.pose[[1]].camera, fitter.begin(good).pose.camera, atol=0.05, rtol=0)
    loose = torch.tensor([0.5, 0.5])
    before = fit.Before(found.pose[[1, 1]], loose, loose, loose, loose, loose)
    assert fitter.follow(fit.Observation.cat([broken, good]), before).found.tolist() == [False, True]
