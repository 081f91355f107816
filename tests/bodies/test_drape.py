"""Clothes: rings round limbs, folds, and what of the body is covered."""

import numpy as np
import pytest
import torch

from anonymize.bodies.body import JOINT, joint_transforms, load_body
from anonymize.bodies.drape import ANGLES, limb, places_of
from anonymize.bodies.dressing import UPPER_KINDS, in_order, mesh_of
from anonymize.bodies.folds import SEGMENTS, Bend, folded, wrapped
from anonymize.bodies.look import LATENT, Look, normal_number, span
from anonymize.bodies.poses import rotations, standing
from anonymize.bodies.raster import rasterize
from anonymize.bodies.shading import JEANS, PLACKET, sewn
from anonymize.bodies.wardrobe import CLOTHES, SKIN


@pytest.mark.parametrize("name", ["trunk", "arm.L", "arm.R", "leg.L", "leg.R"])
def test_rings_are_round_the_body(name: str) -> None:
    body = load_body()
    one = limb(name, body.surface.vertices, body.joints.numpy())
    along = places_of(name)
    inner = np.flatnonzero((along > one.places[2]) & (along < one.places[-3]))
    points = body.surface.vertices[inner]
    around = one.ring_points(one.radius, along[inner], one.polar(points, along[inner]))
    centres = np.stack([np.interp(along[inner], one.places, one.centres[:, c]) for c in range(3)], 1)
    beyond = np.linalg.norm(points - centres, axis=1) - np.linalg.norm(around - centres, axis=1)
    assert np.quantile(beyond, 0.95) < 0.012, "but for a few vertices, the body is inside"


def test_cloth_that_does_not_cling_hangs_straight() -> None:
    body = load_body()
    one = limb("trunk", body.surface.vertices, body.joints.numpy())
    straight, clinging = one.hung(one.radius, 0.0), one.hung(one.radius, 5.0)
    assert straight.shape == (len(one.places), ANGLES)
    assert (straight >= one.radius).all() and (clinging >= one.radius).all()
    assert (np.diff(straight, axis=0)[1:-1] > -0.01).all()
    assert clinging.mean() < straight.mean()


@pytest.mark.parametrize("kind", [kind for kind, _ in UPPER_KINDS])
@pytest.mark.parametrize("female", [False, True])
def test_chest_and_hips_are_clothed(kind: str, female: bool) -> None:
    z = np.zeros(LATENT)
    edges = np.cumsum([0.0, *(share for _, share in UPPER_KINDS)])
    row = [name for name, _ in UPPER_KINDS].index(kind)
    z[span("upper")[0]] = normal_number((edges[row] + edges[row + 1]) / 2)
    z[span("sex")[0]] = 1.0 if female else -1.0
    look = Look(z)
    assert in_order(look.share("upper"), UPPER_KINDS) == kind
    for low in (False, True):
        mesh = mesh_of(look, low=low)
        for sign in (1, -1):  # from the front and from behind
            points = torch.stack(
                [100 + 60 * mesh.vertices[:, 0], 120 - 60 * mesh.vertices[:, 2], 5 + sign * mesh.vertices[:, 1]], 1
            )
            seen = rasterize(points, mesh.faces, (130, 200))
            place = seen.interpolate(mesh.canonical, mesh.faces)
            middle = (place[:, 0].abs() < 0.12) & (place[:, 2] > 0.85) & (place[:, 2] < 1.35)
            assert (mesh.pixel_class[seen.face][middle] == CLOTHES).float().mean() > 0.99
            assert (mesh.pixel_class[seen.face][place[:, 2] > 1.7] == SKIN).any() or sign < 0


def test_folds_bump_normals_and_follow_the_pose() -> None:
    rng = np.random.default_rng(0)
    body = load_body()
    points = torch.from_numpy(body.surface.vertices)
    normals = torch.nn.functional.normalize(points - points.mean(0), dim=1)
    transforms = joint_transforms(body.joints, body.parents, torch.from_numpy(rotations(standing(rng)))[None])[0]
    bend = Bend.of(transforms)
    assert bend.turns.shape == (len(SEGMENTS), 3, 3) and 0 <= float(bend.bends.min()) <= float(bend.bends.max()) <= 1
    still = torch.zeros(len(points))
    bumped, heights, across, along = folded(points, normals, still + 1, still, bend)
    torch.testing.assert_close(bumped.norm(dim=1), still + 1)
    assert (bumped - normals).norm(dim=1).mean() > 0.05 and heights.shape == across.shape == along.shape
    flat, *_ = folded(points, normals, still, still, bend)
    torch.testing.assert_close(flat, normals, atol=1e-5, rtol=0)


def test_segments_lie_on_their_limbs() -> None:
    joints = load_body().joints
    names = ("chest", "shoulder.L", "elbow.R", "hip.L", "knee.R")
    ends = {"chest": "neck", "shoulder.L": "elbow.L", "elbow.R": "wrist.R", "hip.L": "knee.L", "knee.R": "ankle.R"}
    middles = torch.stack([(joints[JOINT[name]] + joints[JOINT[ends[name]]]) / 2 for name in names])
    segment = wrapped(middles)[4]
    assert [SEGMENTS[int(k)] for k in segment] == list(names)


def test_seams_darken_where_they_run() -> None:
    points = torch.tensor([[0.017, -0.1, 1.2], [0.1, 0.1, 1.2], [0.0, -0.1, 1.2]])
    factor = sewn(torch.tensor([PLACKET, PLACKET, 0]), points)
    assert float(factor[0]) < 0.9 and factor[1:].tolist() == [1.0, 1.0]
    assert sewn(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3)).shape == (0,)
    assert float(sewn(torch.tensor([JEANS]), torch.tensor([[0.13, -0.1, 0.72]]))[0]) > 1.2
