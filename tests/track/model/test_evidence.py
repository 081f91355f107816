"""What boxes, motion and appearance say for two being one person."""

import numpy as np
import pytest

from anonymize.track.model.evidence import (
    alike_sized,
    crowding,
    likeness,
    motion_evidence,
    trust,
)
from tests.track.scenes import CONFIG

BOX = np.array([[0.0, 0, 20, 60]])


def evidence(
    apart: float,
    seconds: float,
    *,
    height: float = 60,
    leaving: bool = False,
    extent: tuple[float, ...] = (0, 0, 20, 60),
) -> list[float]:
    """For a track missing at a box of 20 x 60 and a new one so many of these heights to the right."""
    x = 60 * apart
    found = np.array([[x, 30 - height / 2, x + 20, 30 + height / 2]])
    at = np.array([leaving])
    said = motion_evidence(BOX, np.array([0.1]), np.array([extent]), at, np.array([seconds]), found, CONFIG)
    values: list[float] = said[0, 0].tolist()
    return values


def test_no_tracks() -> None:
    none = np.zeros((0, 4))
    said = motion_evidence(none, np.zeros(0), none, np.zeros(0, np.bool_), np.zeros(0), none, CONFIG)
    assert said.shape == (0, 0, 2)


@pytest.mark.parametrize(
    ("apart", "seconds", "said"),
    [
        (0.0, 0.2, 3.5),  # at most
        (0.2, 0.2, 3.339),  # log(15 / (2 pi (0.15^2 + 0.1^2))) - 2 log(1 + 0.2^2 / (2 (0.15^2 + 0.1^2)))
        (1.4, 0.2, -2.153),
        (3.0, 10.0, -0.494),  # anywhere, after more than 3 s
        (3.0, 1.5, -1.181),
        (2.0, 0.2, -2.827),
        (2.3, 0.2, -np.inf),  # farther than 1.5 heights and 3 a second
        (7.0, 2.0, -0.905),
        (8.0, 2.0, -np.inf),
    ],
)
def test_the_nearer_and_the_sooner_the_likelier(apart: float, seconds: float, said: float) -> None:
    assert evidence(apart, seconds) == pytest.approx([said, said], abs=2e-3)


def test_another_size_speaks_against_it_but_not_if_one_comes_out_from_behind_something() -> None:
    assert evidence(0.6, 0.2, height=30)[0] == pytest.approx(-1.716, abs=2e-3)
    assert evidence(0.0, 0.2, height=30) == evidence(0.0, 0.2)


@pytest.mark.parametrize(("right", "emerging"), [(60, False), (65, True)])
def test_a_track_comes_out_from_behind_something_within_its_extent(right: float, emerging: bool) -> None:
    """Of the new box, from 50 to 70, half or three quarters lie in the extent; then 0.35 heights count at most."""
    said = evidence(50 / 60, 0.2, extent=(0, 0, right, 60))
    assert said[0] == pytest.approx(2.182 if emerging else -0.547, abs=2e-3)


@pytest.mark.parametrize(("seconds", "said"), [(0.25, 3.5), (0.5, -0.346)])
def test_where_people_leave_and_others_enter_the_place_alone_is_no_evidence(seconds: float, said: float) -> None:
    assert evidence(0.0, seconds, leaving=True) == pytest.approx([said, 3.5], abs=2e-3)


def test_boxes_of_about_the_same_height() -> None:
    heights = np.array([[0, 0, 20, height] for height in (60, 40, 35, 90, 100)], np.float64)
    assert alike_sized(BOX, heights, CONFIG).tolist() == [[True, True, False, True, False]]


def test_crowding_is_mutual_and_a_box_is_not_its_own_neighbour() -> None:
    boxes = np.array([[0, 0, 20, 60], [5, 30, 15, 60], [100, 0, 120, 60]], np.float64)
    assert crowding(boxes, boxes) == pytest.approx(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    assert crowding(boxes, boxes[:0]).shape == (3, 0)


def test_an_appearance_that_is_hardly_known_counts_for_little() -> None:
    distance = np.array([[0.03], [0.06], [np.nan]], np.float32)
    known, seen_once = (
        likeness(distance, trust(np.full(3, views, np.float32), CONFIG), CONFIG) for views in (9.0, 0.3)
    )
    np.testing.assert_allclose(known[:, 0], [2**-0.25, 0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(seen_once[:, 0], [0.5 + (2**-0.25 - 0.5) * 1.3 / 4, 0.5, 0.5], atol=1e-6)
