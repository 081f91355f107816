from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from anonymize.core.types import UInt8Array
from anonymize.review.follow import follow, straight_parts


def scene(places: list[tuple[float, float, float]], hidden: range = range(0)) -> Iterator[UInt8Array]:
    """Frames 240 x 320 with a textured square; left, top and side in each."""
    draw = np.random.default_rng(1)
    ground = cv2.GaussianBlur(draw.integers(0, 255, (240, 320, 3)).astype(np.uint8), (0, 0), 4)
    texture = cv2.resize(draw.integers(0, 255, (10, 10, 3)).astype(np.uint8), (60, 60), interpolation=cv2.INTER_CUBIC)
    for number, (left, top, side) in enumerate(places):
        matrix = np.array([[side / 60, 0, left], [0, side / 60, top]])
        image = ground.copy()
        if number not in hidden:
            cv2.warpAffine(texture, matrix, (320, 240), dst=image, borderMode=cv2.BORDER_TRANSPARENT)
        noise = draw.normal(0, 3, image.shape)
        yield np.clip(image + noise, 0, 255).astype(np.uint8)


def box_of(left: float, top: float, side: float) -> np.ndarray:
    return np.array([left, top, left + side, top + side])


@pytest.mark.parametrize("grow", [0.0, 0.5, -0.4])
def test_it_goes_where_the_square_goes(grow: float) -> None:
    places = [(40 + 3.0 * k, 60 + 20 * np.sin(k / 6), 60 + grow * k) for k in range(50)]
    found = list(follow(scene(places), box_of(*places[0]), 50))
    assert len(found) == 50
    for number, (box, place) in enumerate(zip(found, places, strict=True)):
        assert box is not None, number
        assert np.abs(box - box_of(*place)).max() < 5, (number, box, place)


def test_lost_it_says_so_and_does_not_wander() -> None:
    places = [(40 + 2.0 * k, 60.0, 60.0) for k in range(30)]
    found = list(follow(scene(places, hidden=range(15, 30)), box_of(*places[0]), 30))
    assert all(box is not None for box in found[:15])
    assert all(box is None for box in found[16:])


def test_it_is_lost_where_it_leaves_the_picture() -> None:
    places = [(200 + 6.0 * k, 60.0, 60.0) for k in range(30)]
    found = list(follow(scene(places), box_of(*places[0]), 30))
    assert found[-1] is None


def test_no_frame_more_than_asked_for() -> None:
    assert len(list(follow(scene([(40, 60, 60)] * 9), box_of(40, 60, 60), 4))) == 4


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_straight_parts_hold_each_frame_once_and_stay_near(count: int) -> None:
    way = np.stack([box_of(10 + 2.0 * k, 50 + 15 * np.sin(k / 5), 40 + k % 2 * 0.2) for k in range(count)])
    parts = straight_parts(way, 7)
    frames = [number for part in parts for number in range(part["first"], part["last"] + 1)]
    assert frames == list(range(7, 7 + count))
    assert len(parts) <= max(2, count / 3)
    for part in parts:
        start, stop = np.array(part["box"]), np.array(part.get("box_last", part["box"]))
        for number in range(part["first"], part["last"] + 1):
            share = (number - part["first"]) / max(1, part["last"] - part["first"])
            assert np.abs(start + (stop - start) * share - way[number - 7]).max() < 1.2


def test_what_stands_still_is_one_part() -> None:
    [part] = straight_parts(np.tile(box_of(1, 2, 30), (9, 1)), 0)
    assert part == {"first": 0, "last": 8, "box": [1, 2, 31, 32]}
