import torch

from anonymize.bodies import raster
from anonymize.bodies.raster import rasterize

SQUARE = torch.tensor([[0, 1, 2], [0, 2, 3]])


def square(x: float, size: float, depth: float) -> torch.Tensor:
    return torch.tensor(
        [[x, x, depth], [x + size, x, depth], [x + size, x + size, depth], [x, x + size, depth]], dtype=torch.float32
    )


def test_nothing_draws_nothing() -> None:
    assert len(rasterize(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64), (4, 4))) == 0


def test_a_square_covers_its_pixels_once() -> None:
    found = rasterize(square(2, 3, 1.0), SQUARE, (8, 8))
    expected = [y * 8 + x for y in (2, 3, 4) for x in (2, 3, 4)]
    assert found.pixel.tolist() == expected
    torch.testing.assert_close(found.weights.sum(1), torch.ones(9))


def test_the_nearer_face_wins_whatever_the_order() -> None:
    near, far = square(0, 4, 1.0), square(0, 4, 2.0)
    for first, second, winner in ((near, far, 0), (far, near, 1)):
        found = rasterize(torch.cat([first, second]), torch.cat([SQUARE, SQUARE + 4]), (4, 4))
        assert (found.face // 2 == winner).all() and len(found) == 16
        torch.testing.assert_close(found.depth, torch.ones(16))


def test_interpolation_is_right_in_perspective() -> None:
    # an edge from depth 1 to depth 3: halfway on the screen is a quarter of the way along the edge
    points = torch.tensor([[0.0, 0.0, 1.0], [100.0, 0.0, 3.0], [0.0, 100.0, 1.0], [100.0, 100.0, 3.0]])
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    found = rasterize(points, faces, (100, 100))
    along = found.interpolate(torch.tensor([[0.0], [1.0], [0.0], [1.0]]), faces)[:, 0]
    middle = along[found.pixel == 50 * 100 + 50]
    assert abs(float(middle) - 0.25) < 0.01


def test_pictures_do_not_mix_and_what_lies_outside_is_cut() -> None:
    points = torch.cat([square(-2, 4, 1.0), square(2, 9, 1.0)])
    faces = torch.cat([SQUARE, SQUARE + 4])
    found = rasterize(points, faces, (4, 4), picture_of_face=torch.tensor([0, 0, 1, 1]), pictures=2)
    assert found.pixel.tolist() == [0, 1, 4, 5, 16 + 10, 16 + 11, 16 + 14, 16 + 15]


def test_chunks_change_nothing(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    points, faces = torch.rand(60, 3) * 30 + 0.1, torch.randint(0, 60, (50, 3))
    whole = rasterize(points, faces, (30, 30))
    monkeypatch.setattr(raster, "CHUNK", 37)
    parts = rasterize(points, faces, (30, 30))
    assert (whole.pixel == parts.pixel).all() and (whole.face == parts.face).all()


def test_what_lies_behind_something_near_is_darker_beside_it() -> None:
    wall, bar = square(0, 40, 2.0), square(10, 8, 1.9)
    alone = rasterize(wall, SQUARE, (40, 40)).occlusion((40, 40), 100)
    torch.testing.assert_close(alone, torch.zeros_like(alone), atol=1e-3, rtol=0)
    seen = rasterize(torch.cat([wall, bar]), torch.cat([SQUARE, SQUARE + 4]), (40, 40))
    taken = seen.occlusion((40, 40), 100).view(40, 40)
    assert float(taken[14, 19]) > 0.1 > float(taken[35, 35]) and float(taken[14, 14]) == 0
