import numpy as np
import pytest

from anonymize.compose.background import fill_places, inpaint, merged, push_pull
from anonymize.core.types import BoolArray, RegionMask, UInt8Array

SIZE = (120, 160)


def noise(seed: int = 0) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def oval(x: int, y: int, w: int, h: int) -> RegionMask:
    return RegionMask(x, y, np.add.outer(np.linspace(-1, 1, h) ** 2, np.linspace(-1, 1, w) ** 2) <= 1)


def holes() -> dict[str, BoolArray]:
    inner, cut, thin = (np.zeros(SIZE, np.bool_) for _ in range(3))
    inner[30:100, 50:90] = True
    cut[60:, :40] = True
    thin[:, 77] = True
    return {"none": np.zeros(SIZE, np.bool_), "inner": inner, "cut": cut, "thin": thin, "all": np.ones(SIZE, np.bool_)}


@pytest.mark.parametrize("name", holes())
def test_hidden_pixels_have_no_part_in_what_is_inpainted(name: str) -> None:
    hidden, first = holes()[name], noise()
    second = np.where(hidden[..., None], noise(1), first)
    done = inpaint(first, hidden)
    np.testing.assert_array_equal(done, inpaint(second, hidden))
    np.testing.assert_array_equal(done[~hidden], first[~hidden])


def test_an_even_wall_goes_on_and_a_ramp_nearly() -> None:
    hidden = holes()["inner"]
    wall = np.full((*SIZE, 3), (200, 90, 10), np.uint8)
    done = inpaint(np.where(hidden[..., None], np.uint8(0), wall), hidden)
    np.testing.assert_allclose(done, wall, atol=2)
    ramp = np.repeat(np.linspace(40, 220, SIZE[0]).astype(np.uint8)[:, None, None], SIZE[1], 1).repeat(3, 2)
    done = inpaint(np.where(hidden[..., None], np.uint8(0), ramp), hidden)
    assert np.abs(done.astype(int) - ramp).mean(where=hidden[..., None]) < 6


def test_nothing_known_is_grey() -> None:
    assert (inpaint(noise(), holes()["all"]) == 128).all()


def test_push_pull_keeps_samples_and_interpolates() -> None:
    values = np.zeros((17, 33, 1), np.float32)
    weights = np.zeros((17, 33), np.float32)
    values[:, 0], values[:, -1] = 10, 30
    weights[:, (0, -1)] = 1
    done = push_pull(values, weights)[..., 0]
    assert (done[:, 0] == 10).all() and (done[:, -1] == 30).all()
    assert (np.diff(done[8]) > -0.5).all() and 17 < done[8, 16] < 23


def test_no_pixel_of_a_cover_reaches_the_background() -> None:
    covers = [oval(30, 20, 40, 80), oval(60, 30, 30, 80), RegionMask(0, 0, np.zeros((0, 0), np.bool_))]
    hidden = covers[0].to_full(SIZE) | covers[1].to_full(SIZE)
    first = noise()
    second = np.where(hidden[..., None], noise(1), first)
    a, b = fill_places(first, covers), fill_places(second, covers)
    np.testing.assert_array_equal(a.image, b.image)
    assert a.changed[hidden].all()
    np.testing.assert_array_equal(a.image[~a.changed], first[~a.changed])
    assert 0 < (a.changed & ~hidden).sum() < 0.3 * hidden.sum(), "a narrow fringe round the covers changes as well"


def test_what_is_remembered_is_taken_where_it_is_believed() -> None:
    cover = oval(50, 20, 40, 80)
    image = np.full((*SIZE, 3), 50, np.uint8)
    believed = np.zeros(SIZE, np.bool_)
    believed[:60] = True

    def recall(place):  # type: ignore[no-untyped-def]
        return np.full_like(place.image, 200), believed[place.slices]

    done = fill_places(image, [cover], recall).image
    inside = cover.to_full(SIZE)
    assert (done[inside & believed] == 200).all()
    assert done[inside & ~believed].mean() < 170, "the rest is guessed from both"


def test_rectangles_that_touch_are_merged_until_none_do() -> None:
    assert merged([]) == []
    assert merged([(0, 0, 10, 10), (20, 0, 30, 10), (5, 5, 25, 6)]) == [(0, 0, 30, 10)]
    assert sorted(merged([(0, 0, 10, 10), (10, 0, 20, 10)])) == [(0, 0, 10, 10), (10, 0, 20, 10)]
