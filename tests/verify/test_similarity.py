import cv2
import numpy as np
import pytest

from anonymize.core.types import BoolArray, FloatArray, UInt8Array
from anonymize.verify.similarity import MIN_KNOWN, compare, fit_colours

RNG = np.random.default_rng(0)


def texture(seed: int, size_hw: tuple[int, int] = (120, 80)) -> FloatArray:
    values = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=size_hw).astype(np.float32), (0, 0), 2)
    return np.asarray(128 + 35 * values / values.std(), np.float32)


def everywhere(picture: FloatArray) -> BoolArray:
    return np.ones(picture.shape, np.bool_)


def test_a_picture_is_the_same_as_itself() -> None:
    picture = texture(1)
    alike = compare(picture, picture, everywhere(picture))
    assert alike.peak == pytest.approx(1, abs=1e-4)
    assert alike.overall == pytest.approx(1, abs=1e-4)
    assert alike.shift_xy == (0, 0)


def test_another_picture_is_not() -> None:
    alike = compare(texture(1), texture(2), everywhere(texture(1)))
    assert alike.peak < 0.75
    assert abs(alike.overall) < 0.2


@pytest.mark.parametrize("shift_xy", [(1, 0), (-1, 1), (0, -1)])
def test_a_shift_is_undone(shift_xy: tuple[int, int]) -> None:
    picture = texture(1)
    moved = np.roll(picture, shift_xy, axis=(1, 0))
    alike = compare(picture, moved, everywhere(picture))
    assert alike.shift_xy == (-shift_xy[0], -shift_xy[1])
    assert alike.peak > 0.99


def test_one_patch_left_as_it_was_is_enough() -> None:
    original, changed = texture(1), texture(2)
    changed[10:40, 20:50] = original[10:40, 20:50]
    alike = compare(original, changed, everywhere(original))
    assert alike.peak > 0.95
    assert alike.overall < 0.4


def test_flat_places_are_known_to_tell_nothing() -> None:
    flat = np.full((60, 40), 90, np.float32) + RNG.normal(0, 0.5, (60, 40)).astype(np.float32)
    assert compare(flat, flat, everywhere(flat)).known < MIN_KNOWN


def test_an_empty_mask_is_no_error() -> None:
    picture = texture(1)
    assert compare(picture, picture, np.zeros(picture.shape, np.bool_)).peak == 0


@pytest.fixture
def frame() -> UInt8Array:
    channels = [texture(seed, (200, 300)) for seed in (1, 2, 3)]
    return np.clip(np.stack(channels, axis=2), 0, 255).astype(np.uint8)


def test_colours_are_fitted_although_a_third_of_the_frame_was_painted_over(frame: UInt8Array) -> None:
    gains, offsets = np.array([0.8, 0.95, 1.1]), np.array([12, 0, -6])
    changed = np.clip(frame * gains + offsets, 0, 255).astype(np.uint8)
    changed[:, :100] = 0
    fit = fit_colours(frame, changed)
    np.testing.assert_allclose(fit[:, 0], 1 / gains, atol=0.03)
    np.testing.assert_allclose(fit[:, 1], -offsets / gains, atol=4)


def test_flat_frames_have_no_gain() -> None:
    flat = np.full((50, 50, 3), 90, np.uint8)
    np.testing.assert_allclose(fit_colours(flat, flat + np.uint8(7)), [[1, -7]] * 3, atol=1e-3)
