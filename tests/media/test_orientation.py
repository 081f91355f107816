from itertools import product
from struct import pack

import numpy as np
import pytest

from anonymize.media.orientation import Orientation

ALL = [Orientation(*flags) for flags in product((False, True), repeat=3)]


@pytest.mark.parametrize("orientation", ALL)
def test_turning_there_and_back(orientation: Orientation) -> None:
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    upright = orientation.upright(stored)
    assert upright.shape[:2] == orientation.size((2, 3))
    assert (orientation.stored(upright) == stored).all()
    assert Orientation.from_display_matrix(pack("<9i", *orientation.display_matrix)) == orientation


def test_the_eight_differ() -> None:
    stored = np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert len({orientation.upright(stored).tobytes() for orientation in ALL}) == 8


def test_a_phone_held_upright() -> None:
    # MP4 of a phone turned by 90 degrees: the stored left edge is the upright top.
    matrix = pack("<9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    assert Orientation.from_display_matrix(matrix).upright(stored).tolist() == [[4, 1], [5, 2], [6, 3]]


def test_a_slanted_matrix_changes_nothing() -> None:
    slanted = pack("<9i", 46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)
    assert Orientation.from_display_matrix(slanted) == Orientation()


@pytest.mark.parametrize(
    ("value", "upright"),
    [
        (1, [[1, 2], [3, 4]]),
        (2, [[2, 1], [4, 3]]),
        (3, [[4, 3], [2, 1]]),
        (4, [[3, 4], [1, 2]]),
        (5, [[1, 3], [2, 4]]),
        (6, [[3, 1], [4, 2]]),
        (7, [[4, 2], [3, 1]]),
        (8, [[2, 4], [1, 3]]),
        (99, [[1, 2], [3, 4]]),
    ],
)
def test_exif(value: int, upright: list[list[int]]) -> None:
    assert Orientation.from_exif(value).upright(np.array([[1, 2], [3, 4]])).tolist() == upright
