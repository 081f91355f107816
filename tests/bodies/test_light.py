"""Light and film estimated from the surroundings."""

import cv2
import numpy as np
import pytest

from anonymize.bodies import light

HIDDEN = np.zeros((240, 320), np.bool_)
BOX = (120, 40, 200, 220)


def scene(blur: float = 0.0, noise: float = 0.0) -> np.ndarray:
    """Grey fields with sharp borders, filmed."""
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(40, 200, (12, 16)), np.ones((20, 20))).astype(np.float32)
    fine = cv2.GaussianBlur(image, (0, 0), blur) if blur else image
    fine = fine + noise * rng.standard_normal(fine.shape)
    return np.repeat(np.clip(fine, 0, 255).astype(np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize("blur", [0.7, 1.0, 1.5])
def test_the_blur_of_the_film_is_found(blur: float) -> None:
    assert light.surroundings(scene(blur), HIDDEN, BOX).blur_px == pytest.approx(blur, abs=0.25)


def test_a_sharp_film_is_sharp() -> None:
    assert light.surroundings(scene(), HIDDEN, BOX).blur_px < 0.35


@pytest.mark.parametrize("noise", [3.0, 8.0])
def test_the_noise_of_the_film_is_found(noise: float) -> None:
    assert light.surroundings(scene(1.0, noise), HIDDEN, BOX).noise == pytest.approx(noise, rel=0.3)


def test_what_is_hidden_has_no_part() -> None:
    image, hidden = scene(), HIDDEN.copy()
    hidden[60:200, 100:220] = True
    other = image.copy()
    other[hidden] = 255
    one, two = (light.surroundings(i, hidden, BOX) for i in (image, other))
    np.testing.assert_array_equal(one.ambient, two.ambient)
    assert (one.side, one.blur_px, one.noise) == (two.side, two.blur_px, two.noise)


def test_light_comes_from_the_bright_side_in_the_place_s_colour() -> None:
    image = np.full((240, 320, 3), (60, 40, 20), np.uint8)
    image[:, 160:] = (180, 120, 60)
    found = light.surroundings(image, HIDDEN, BOX)
    assert found.side > 0.3 and found.light.direction[0] > 0
    assert found.ambient[0] > found.ambient[1] > found.ambient[2]
    dark = light.surroundings(image // 3, HIDDEN, BOX)
    assert dark.ambient.mean() < 0.3 * found.ambient.mean()


def test_all_hidden_gives_a_grey_light() -> None:
    found = light.surroundings(scene(), ~HIDDEN, BOX)
    assert np.ptp(found.ambient) == 0


def test_an_avatar_is_filmed_like_the_film() -> None:
    picture = np.zeros((40, 40, 4), np.float32)
    picture[:, 20:] = (0.5, 0.5, 0.5, 1)
    flat = np.full(3, 0.5, np.float32)
    plain = light.Surroundings(flat, flat, 0.0, 0.0, 0.0).filmed(picture, seed=(1,))
    assert plain.alpha is not None and set(np.unique(plain.alpha)) == {0, 255}
    grainy = light.Surroundings(flat, flat, 0.0, 1.5, 6.0)
    seen = grainy.filmed(picture, seed=(1,))
    assert seen.alpha is not None and 20 < seen.alpha[20, 19] < 200
    assert 4 < seen.image[:, 26:].astype(float).std() < 8
    np.testing.assert_array_equal(seen.image, grainy.filmed(picture, seed=(1,)).image)


def test_what_the_samples_miss_gives_a_grey_light() -> None:
    """1080 pixels of the last column are known, none of which lies on the grid that is looked at."""
    hidden = np.ones((1080, 1920), np.bool_)
    hidden[:, 1919] = False
    image = np.full((1080, 1920, 3), (200, 20, 20), np.uint8)
    found = light.surroundings(image, hidden, (800, 200, 1000, 900))
    assert np.ptp(found.ambient) == 0 and np.isfinite(found.ground).all()


def test_the_mean_of_no_light_is_a_number() -> None:
    assert light.mean_light(np.ones((4, 4, 3), np.float32), np.zeros((4, 4), np.bool_)).tolist() == [0, 0, 0]
