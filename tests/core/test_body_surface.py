import numpy as np

from anonymize.core.body_surface import load_surface


def test_the_surface_is_whole_and_small() -> None:
    surface = load_surface()
    count = len(surface.vertices)
    assert 5_000 <= count <= 14_000 and surface.faces.max() < count
    assert 1.5 < surface.vertices[:, 2].max() < 2.0 and surface.vertices[:, 2].min() < 0.01, (
        "metres, feet on the ground"
    )
    assert set(np.unique(surface.parts)) == set(range(1, 25))
    assert len(np.unique(surface.landmarks)) == 1024


def test_geodesics_are_a_metric_along_the_body() -> None:
    surface = load_surface()
    distance = surface.geodesics_cm
    assert (distance == distance.T).all() and (np.diag(distance) == 0).all()
    points = surface.vertices[surface.landmarks]
    straight = 100 * np.linalg.norm(points[:, None] - points[None], axis=2)
    assert (distance >= straight - 0.2).all(), "no path is shorter than the straight line"
    a, b, c = np.random.default_rng(0).integers(0, 1024, (3, 2000))
    assert (distance[a, c] <= distance[a, b] + distance[b, c] + 0.3).all()


def test_left_and_right_are_swapped_by_the_mirror() -> None:
    surface = load_surface()
    mirrored = surface.vertices[surface.mirror] * np.array([-1, 1, 1])
    assert np.linalg.norm(mirrored - surface.vertices, axis=1).mean() < 0.01
    hands = surface.parts == 11
    assert (surface.parts[surface.mirror[hands]] == 12).mean() > 0.98


def test_a_landmark_is_its_own_nearest() -> None:
    surface = load_surface()
    assert (surface.landmark_of_vertex[surface.landmarks] == np.arange(1024)).mean() > 0.99
    np.testing.assert_allclose(surface.vertex_landmark_weights.sum(1), 1, atol=1e-5)
