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
