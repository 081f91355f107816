"""Motion of the camera, and thumbnails."""

import cv2
import numpy as np
import pytest

from anonymize.core.types import RegionMask
from anonymize.track.model.camera_motion import (
    CameraMotion,
    apply_to_boxes,
    identity,
    inverse,
    motion_between,
    then,
)
from anonymize.track.model.thumbnail import Thumbnail
from tests.track.scenes import CONFIG

SIZE = (120, 160)


def texture(seed: int, size_hw: tuple[int, int] = SIZE, cell: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (size_hw[0] // cell, size_hw[1] // cell, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def box(*values: float) -> np.ndarray:
    return np.array([values], np.float64)


def test_transforms() -> None:
    turn = np.array([[0.9, -0.1, 4], [0.1, 0.9, -2]])
    assert then(turn, inverse(turn)) == pytest.approx(identity(), abs=1e-12)
    assert apply_to_boxes(np.array([[1.0, 0, 3], [0, 1, -1]]), box(0, 5, 4, 9)) == pytest.approx(box(3, 4, 7, 8))


def test_a_pan_is_measured_although_a_person_walks_against_it() -> None:
    wide, person = texture(1, (240, 400)), texture(2, (100, 40))
    camera, found = CameraMotion(CONFIG), []
    for k in range(4):
        image = wide[:, 6 * k : 6 * k + 320].copy()
        image[80:180, 60 + 9 * k : 100 + 9 * k] = person
        mask = RegionMask(60 + 9 * k, 80, np.ones((100, 40), np.bool_))
        found.append(camera.update(Thumbnail.of(image, [mask], CONFIG)))
    assert found[0] == pytest.approx(identity())
    for transform in found[1:]:
        assert transform == pytest.approx(np.array([[1, 0, -6], [0, 1, 0]]), abs=0.3)


def test_a_still_or_blank_picture_does_not_move() -> None:
    for image in (texture(1), np.zeros((*SIZE, 3), np.uint8)):
        camera = CameraMotion(CONFIG)
        camera.update(Thumbnail.of(image, [], CONFIG))
        assert np.array_equal(camera.update(Thumbnail.of(image, [], CONFIG)), identity())


def corners(count: int) -> np.ndarray:
    """Places of so many features, [K, 2]."""
    return np.random.default_rng(0).uniform(0, 300, (count, 2)).astype(np.float32)


@pytest.mark.parametrize(("count", "moves"), [(11, False), (14, True)])
def test_few_features_tell_no_motion(count: int, moves: bool) -> None:
    before = corners(count)
    found = motion_between(before, before + np.float32(3), 1.0, CONFIG)
    assert np.array_equal(found, identity()) != moves


@pytest.mark.parametrize(("agreeing", "moves"), [(16, False), (30, True)])
def test_most_features_must_agree(agreeing: int, moves: bool) -> None:
    before = corners(40)
    after = before + np.random.default_rng(1).uniform(-60, 60, before.shape).astype(np.float32)
    after[:agreeing] = before[:agreeing] + 3
    assert np.array_equal(motion_between(before, after, 1.0, CONFIG), identity()) != moves


@pytest.mark.parametrize(("shift", "moves"), [(0.06, False), (0.11, True)])
def test_the_smallest_motion(shift: float, moves: bool) -> None:
    before = corners(40)
    assert np.array_equal(motion_between(before, before + np.float32(shift), 1.0, CONFIG), identity()) != moves


def test_features_are_followed_in_a_small_picture_until_some_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    original = cv2.goodFeaturesToTrack

    def find(picture: np.ndarray, count: int, *args: object, **options: object) -> np.ndarray:
        asked.append((picture.shape[1], count))
        points: np.ndarray = original(picture, count, *args, **options)
        assert len(points) == 80
        return points

    monkeypatch.setattr(cv2, "goodFeaturesToTrack", find)
    image, camera = texture(1, (360, 640)), CameraMotion(CONFIG)
    camera.update(Thumbnail.of(image, [], CONFIG))
    assert asked == [(320, 80)]
    camera.update(Thumbnail.of(image, [RegionMask(0, 0, np.ones((360, 12), np.bool_))], CONFIG))
    assert len(asked) == 1  # few features lie under the person
    monkeypatch.setattr(cv2, "goodFeaturesToTrack", lambda *_, **__: asked.append((0, 0)))
    camera.update(Thumbnail.of(image, [RegionMask(0, 0, np.ones((360, 200), np.bool_))], CONFIG))
    assert len(asked) == 2


def test_a_thumbnail_holds_the_same_pixels_of_frame_and_mask() -> None:
    rng = np.random.default_rng(1)
    image, chosen = rng.integers(0, 255, (50, 1501, 3), dtype=np.uint8), rng.random((20, 31)) > 0.5
    thumbnail = Thumbnail.of(image, [], CONFIG)
    region = RegionMask(700, 11, chosen)
    small = thumbnail.shrunk(region)
    full = region.to_full(image.shape[:2])
    assert thumbnail.step == 3
    assert np.array_equal(thumbnail.picture, image[::3, ::3])
    assert np.array_equal(thumbnail.picture[small.slices][small.mask], image[::3, ::3][full[::3, ::3]])


@pytest.mark.parametrize(("height", "rim"), [(10, 2), (200, 6)])
def test_the_background_begins_beyond_the_outline(height: int, rim: int) -> None:
    """2 pixels from the mask, and 2 % of its longer side."""
    mask = RegionMask(100, 20, np.ones((height, 8), np.bool_))
    background = Thumbnail.of(np.zeros((240, 320, 3), np.uint8), [mask], CONFIG).background
    assert np.flatnonzero(background[25] == 0).tolist() == list(range(100 - rim, 108 + rim))
