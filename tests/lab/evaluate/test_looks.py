import numpy as np
import pytest
import torch

from anonymize.lab.evaluate.looks import PARTS, Observer, apart, frechet_distance

from .doubles import Eyes


@pytest.fixture
def observer() -> Observer:
    torch.manual_seed(0)
    return Observer(Eyes())


def test_one_set_is_no_distance_from_itself() -> None:
    values = np.random.default_rng(0).normal(size=(200, 6))
    assert frechet_distance(values, values) == pytest.approx(0, abs=1e-5)


def test_shifted_sets_are_the_square_of_the_shift_apart() -> None:
    values = np.random.default_rng(0).normal(size=(200, 6))
    assert frechet_distance(values, values + 2) == pytest.approx(6 * 4, rel=1e-4)


def test_wider_sets_differ_in_their_deviations() -> None:
    values = np.random.default_rng(0).normal(size=(100_000, 2))
    assert frechet_distance(values, 3 * values) == pytest.approx(2 * 4, rel=0.05)


def test_parts_that_one_of_both_does_not_show_are_left_out() -> None:
    first, second = np.zeros((2, PARTS, 3)), np.zeros((2, PARTS, 3))
    second[:, 0] = (3, 4, 0)
    first[0, 1:], second[1, 2:] = np.nan, np.nan
    np.testing.assert_allclose(apart(first, second), [5, 2.5])


def test_people_who_share_no_part_have_no_distance() -> None:
    assert np.isnan(apart(np.full((1, PARTS, 3), np.nan), np.zeros((1, PARTS, 3))))[0]


def test_colours_are_those_of_each_part(observer: Observer) -> None:
    picture, parts = torch.full((3, 64, 48), 0.3), np.zeros((64, 48), np.int64)
    picture[:, 10:30, 10:30] = torch.tensor([1.0, -1.0, -1.0])[:, None, None]
    picture[:, 30:50, 10:30] = 1.0
    parts[10:30, 10:30], parts[30:50, 10:30], parts[0, 0] = 1, 2, 3
    looks = observer.looks([(picture, parts)])
    np.testing.assert_allclose(looks.colours[0, 0], (53.24, 80.09, 67.2), atol=0.3)  # red in CIE Lab
    np.testing.assert_allclose(looks.colours[0, 1], (100, 0, 0), atol=0.3)
    assert np.isnan(looks.colours[0, 2:]).all(), "one pixel is too few"
    assert np.isnan(looks.features[0, 2:]).all()
    assert np.isfinite(looks.features[0, :2]).all()


def test_what_lies_off_the_body_does_not_count(observer: Observer) -> None:
    parts = np.zeros((64, 48), np.int64)
    parts[16:48, 16:32] = 1
    first, second = torch.zeros(3, 64, 48), torch.zeros(3, 64, 48)
    second[:, :, :2] = 1
    a, b = observer.looks([(first, parts)]), observer.looks([(second, parts)])
    np.testing.assert_array_equal(a.colours, b.colours)
    assert not np.array_equal(a.whole, b.whole), "the Frechet distance looks at all"
