import cv2
import numpy as np
import pytest

from anonymize.lab.evaluate.steadiness import Mean, Motion, structural_similarity

EVERYWHERE = np.ones((96, 128), np.bool_)


def cloth(seed: int) -> np.ndarray:
    values = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(96, 128, 3)).astype(np.float32), (0, 0), 3)
    return np.clip(128 + 50 * values / values.std(), 0, 255).astype(np.uint8)


def test_a_mean_of_nothing_is_none() -> None:
    assert Mean().value is None
    mean = Mean()
    mean.add(3.0, 2)
    mean.add(1.0)
    assert mean.value == pytest.approx(4 / 3)


def test_equal_pictures_are_wholly_similar() -> None:
    picture = cloth(0)
    np.testing.assert_allclose(structural_similarity(picture, picture), 1, atol=1e-5)
    assert structural_similarity(picture, cloth(1)).mean() < 0.3


def test_what_moves_with_the_picture_has_no_warping_error() -> None:
    before = cloth(0)
    after = np.roll(before, 3, axis=1)
    motion = Motion.between(before, after)
    middle = np.zeros_like(EVERYWHERE)
    middle[16:80, 16:112] = True
    assert motion.known[middle].mean() > 0.9
    total, count = motion.warping_error(before, after, middle)
    assert count == 3 * np.count_nonzero(middle & motion.known)
    assert np.sqrt(total / count) < 0.02
    total, count = motion.warping_error(before, np.roll(before, -3, axis=1), middle)
    assert np.sqrt(total / count) > 0.1


def test_the_error_is_the_difference_where_nothing_moves() -> None:
    picture = cloth(0)
    motion = Motion.between(picture, picture)
    black, grey = np.zeros_like(picture), np.full_like(picture, 51)
    total, count = motion.warping_error(black, grey, EVERYWHERE)
    assert total / count == pytest.approx(0.2**2, rel=1e-4)
