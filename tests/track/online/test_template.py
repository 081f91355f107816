"""Template matching."""

import cv2
import numpy as np
import pytest

from anonymize.track.online.template import find
from tests.track.scenes import CONFIG

SIZE = (120, 160)


def texture(seed: int, size_hw: tuple[int, int] = SIZE, cell: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (size_hw[0] // cell, size_hw[1] // cell, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def box(*values: float) -> np.ndarray:
    return np.array([values], np.float64)


def test_a_person_who_went_on_is_found() -> None:
    before, after, person = texture(1), texture(1), texture(3, (64, 32))
    before[30:94, 20:52] = person
    after[30:94, 24:56] = person
    found = find(before, box(20, 30, 52, 94)[0], after, box(20, 30, 52, 94)[0], CONFIG)
    assert found == pytest.approx(box(24, 30, 56, 94)[0], abs=1.5)


def test_a_person_who_is_gone_is_not() -> None:
    before, person = texture(1), texture(3, (64, 32))
    before[30:94, 20:52] = person
    assert find(before, box(20, 30, 52, 94)[0], texture(1), box(20, 30, 52, 94)[0], CONFIG) is None


def test_a_blank_picture_shows_no_person() -> None:
    blank = np.zeros((*SIZE, 3), np.uint8)
    assert find(blank, box(20, 30, 52, 94)[0], blank, box(20, 30, 52, 94)[0], CONFIG) is None


def moved(
    before: np.ndarray, after: np.ndarray, at: tuple[int, int, int, int], expected: tuple[int, int, int, int]
) -> bool:
    """Whether a person at a box of one picture is found at another box of another one."""
    found = find(before, box(*at)[0], after, box(*expected)[0], CONFIG)
    return found is not None


def drawn(person: np.ndarray, left: int, top: int = 30, size_hw: tuple[int, int] = SIZE) -> np.ndarray:
    """A person before a pattern."""
    image = texture(1, size_hw)
    image[top : top + len(person), left : left + person.shape[1]] = person
    return image


@pytest.mark.parametrize(("size_hw", "found"), [((22, 24), False), ((28, 14), True), ((28, 10), False)])
def test_few_pixels_look_like_everything(size_hw: tuple[int, int], found: bool) -> None:
    height, width = size_hw
    image = drawn(texture(3, (64, 32), cell=4)[:height, :width], 20)
    at = (20, 30, 20 + width, 30 + height)
    assert moved(image, image, at, at) == found


@pytest.mark.parametrize(("width", "found"), [(13, False), (20, True)])
def test_a_sliver_is_mostly_wall(width: int, found: bool) -> None:
    image = drawn(texture(3, (80, 32))[:, :width], 20)
    at = (20, 30, 20 + width, 110)
    assert moved(image, image, at, at) == found


@pytest.mark.parametrize(("contrast", "found"), [(0.06, False), (0.18, True)])
def test_a_person_of_one_colour_cannot_be_told_from_others(contrast: float, found: bool) -> None:
    """The grey values of the pattern deviate by about 55, times the contrast."""
    person = (128 + contrast * (texture(3, (64, 32)).astype(float) - 128)).astype(np.uint8)
    image, at = drawn(person, 20), (20, 30, 52, 94)
    assert moved(image, image, at, at) == found


@pytest.mark.parametrize(("share", "found"), [(0.4, True), (0.75, False)])
def test_a_person_must_look_the_same(share: float, found: bool) -> None:
    """With another pattern mixed in, of little contrast so that the colours are the same."""
    one, other = (128 + 0.3 * (texture(seed, (64, 32)).astype(float) - 128) for seed in (3, 4))
    mixed = ((1 - share) * one + share * other).astype(np.uint8)
    at = (20, 30, 52, 94)
    assert moved(drawn(one.astype(np.uint8), 20), drawn(mixed, 20), at, at) == found


@pytest.mark.parametrize(("brighter", "found"), [(11, True), (18, False)])
def test_a_person_must_have_the_same_colours(brighter: int, found: bool) -> None:
    person = np.minimum(texture(3, (64, 32)), 230)
    at = (20, 30, 52, 94)
    assert moved(drawn(person, 20), drawn(person + np.uint8(brighter), 20), at, at) == found


@pytest.mark.parametrize(("shift", "found"), [(7, True), (11, False)])
def test_a_person_is_looked_for_nearby(shift: int, found: bool) -> None:
    """Up to 12 % of the height, 64 pixels, from where it is expected."""
    person, at = texture(3, (64, 32)), (20, 30, 52, 94)
    assert moved(drawn(person, 20), drawn(person, 20 + shift), at, at) == found


@pytest.mark.parametrize(("side", "found"), [(5, True), (11, False)])
def test_the_sides_of_a_box_show_background(side: int, found: bool) -> None:
    """Of 32 columns 6 on each side do not count."""
    person, other = texture(3, (64, 32)), texture(5, (64, 32))
    changed = person.copy()
    changed[:, :side], changed[:, 32 - side :] = other[:, :side], other[:, 32 - side :]
    at = (20, 30, 52, 94)
    assert moved(drawn(person, 20), drawn(changed, 20), at, at) == found


@pytest.mark.parametrize(("outside", "found"), [(6, True), (14, False)])
def test_most_of_a_template_must_lie_in_the_frame(outside: int, found: bool) -> None:
    """At the left border, where 6 of its 40 columns, or 14, are beyond it."""
    person, place = texture(3, (64, 40)), texture(1)
    before = drawn(person, 60)
    after = place.copy()
    after[30:94, : 40 - outside] = person[:, outside:]
    assert moved(before, after, (60, 30, 100, 94), (-outside, 30, 40 - outside, 94)) == found


@pytest.mark.parametrize(("cell", "found"), [(1, False), (16, True)])
def test_a_template_is_a_small_picture(cell: int, found: bool) -> None:
    """Of 40 rows: of 256 rows a fine, pale pattern is grey in it, a coarse one is not."""
    pale = (128 + 0.4 * (texture(3, (256, 128), cell=cell).astype(float) - 128)).astype(np.uint8)
    image = drawn(pale, 20, size_hw=(320, 320))
    at = (20, 30, 148, 286)
    assert moved(image, image, at, at) == found
