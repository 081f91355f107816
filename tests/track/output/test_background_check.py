"""Whether only the background is to be seen at a place."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from anonymize.core.types import Detections, Frame, RegionMask
from anonymize.track.model.camera_motion import identity
from anonymize.track.model.frame_state import FrameState
from anonymize.track.model.thumbnail import Thumbnail
from anonymize.track.output.background_check import shows_background
from tests.track.scenes import CONFIG

SIZE = (120, 200)
HERE = RegionMask(80, 20, np.ones((80, 40), np.bool_))
STILL = identity()
BEFORE = RegionMask(10, 20, np.ones((80, 40), np.bool_))


def place(width: int = 200) -> np.ndarray:
    small = np.random.default_rng(0).integers(40, 215, (15, width // 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, SIZE[0]), interpolation=cv2.INTER_CUBIC), np.uint8)


def state(index: int, image: np.ndarray, *people: RegionMask, shift: float = 0.0) -> FrameState:
    """A frame in which some people are found; the camera is `shift` pixels to the right of where it was."""
    noise = np.random.default_rng(index).normal(0, 2.5, image.shape)
    frame = Frame((image + noise).clip(0, 255).astype(np.uint8), index, index, Fraction(1, 10))
    boxes = np.array([mask.box_xyxy for mask in people], np.float32).reshape(-1, 4)
    count = len(people)
    found = Detections(image.shape[:2], boxes, np.ones(count, np.float32), people, np.zeros(count, np.bool_))
    where = identity()
    where[0, 2] = shift
    free, thumbnail = np.ones(count, np.bool_), Thumbnail.of(frame.image, people, CONFIG)
    return FrameState(frame, found, index / 10, where if shift else STILL, free, thumbnail)


def drawn(image: np.ndarray, *people: RegionMask, grey: int = 230) -> np.ndarray:
    image = image.copy()
    for mask in people:
        image[mask.slices][mask.mask] = grey
    return image


def around(image: np.ndarray, *people: RegionMask) -> list[FrameState]:
    """A state before and one after."""
    return [state(k, drawn(image, *people), *people) for k in (0, 2)]


def test_a_place_that_looks_as_it_does_without_people_is_empty() -> None:
    assert shows_background(HERE, state(1, place()), around(place(), BEFORE), CONFIG)


@pytest.mark.parametrize("rows", [2, 10, 80])
def test_a_person_who_shows_a_little_is_seen(rows: int) -> None:
    part = RegionMask(HERE.x, HERE.y, np.ones((rows, 40), np.bool_))
    assert not shows_background(HERE, state(1, drawn(place(), part)), around(place(), BEFORE), CONFIG)


@pytest.mark.parametrize(("ground", "grey"), [(100, 120), (15, 21), (15, 25)])
def test_a_person_of_little_contrast_is_seen(ground: int, grey: int) -> None:
    plain = np.full((*SIZE, 3), ground, np.uint8)
    assert not shows_background(HERE, state(1, drawn(plain, HERE, grey=grey)), around(plain, BEFORE), CONFIG)
    assert shows_background(HERE, state(1, plain), around(plain, BEFORE), CONFIG)


def test_a_person_before_a_fine_pattern_is_seen() -> None:
    stripes = np.where(np.arange(SIZE[1])[None, :, None] // 2 % 2, 220, 40).astype(np.uint8)
    image = np.broadcast_to(stripes, (*SIZE, 3)).copy()
    assert not shows_background(HERE, state(1, drawn(image, HERE, grey=130)), around(image, BEFORE), CONFIG)


def test_a_person_who_has_stopped_and_is_overlooked_is_seen() -> None:
    """They are in the later picture as well, where the detector found another person."""
    known = [state(0, drawn(place(), BEFORE), BEFORE), state(2, drawn(place(), HERE, BEFORE), BEFORE)]
    assert not shows_background(HERE, state(1, drawn(place(), HERE)), known, CONFIG)
    assert not shows_background(HERE, state(1, drawn(place(), HERE)), known[1:], CONFIG)


def test_a_place_that_is_never_without_people_tells_nothing() -> None:
    assert not shows_background(HERE, state(1, place()), around(place(), HERE), CONFIG)
    assert not shows_background(HERE, state(1, place()), [], CONFIG)


def test_frames_of_another_size_tell_nothing() -> None:
    assert not shows_background(HERE, state(1, place()), around(place(240), BEFORE), CONFIG)


@pytest.mark.parametrize("mistake", [0, 2, 3])
def test_a_camera_that_turns(mistake: int) -> None:
    wide = place(240)
    known = around(wide[:, :200], BEFORE)
    view = wide[:, 24:224]
    assert shows_background(HERE, state(1, view, shift=24 + mistake), known, CONFIG)
    assert not shows_background(HERE, state(1, drawn(view, HERE), shift=24 + mistake), known, CONFIG)


def test_a_camera_whose_motion_is_wrong_shows_other_things() -> None:
    wide = place(240)
    assert not shows_background(HERE, state(1, wide[:, 24:224], shift=29), around(wide[:, :200], BEFORE), CONFIG)


GREY = np.full((*SIZE, 3), 100, np.uint8)
HALVES = np.kron(np.indices((15, 25)).sum(0) % 2, np.ones((8, 8)))[..., None] * 2 - 1
"""Plus and minus 1 in squares of 8 x 8 pixels."""


def exact(index: int, image: np.ndarray, *people: RegionMask) -> FrameState:
    """A frame without noise."""
    now = state(index, image, *people)
    now.thumbnail = Thumbnail.of(image.astype(np.uint8), people, CONFIG)
    return now


def background(image: np.ndarray, *others: FrameState) -> bool:
    """Whether a picture, at frame 20, shows the background of an empty frame later and some others before."""
    return shows_background(HERE, exact(20, image), [*others, exact(21, GREY)], CONFIG)


@pytest.mark.parametrize(("change", "same"), [(10, True), (15, False)])
def test_pixels_may_differ_by_noise(change: int, same: bool) -> None:
    assert background(GREY + change * HALVES, exact(19, GREY)) == same


@pytest.mark.parametrize(("change", "same"), [(1, True), (3, False)])
def test_a_place_may_hardly_differ_as_a_whole(change: int, same: bool) -> None:
    assert background(GREY + change, exact(19, GREY)) == same


@pytest.mark.parametrize(("side", "same"), [(2, True), (4, False)])
def test_a_spot_of_half_a_percent_is_noise(side: int, same: bool) -> None:
    """The blurred spot is 4 or 6 pixels wide; 0.6 % of the place are 19."""
    spot = RegionMask(100, 60, np.ones((side, side), np.bool_))
    assert background(drawn(GREY, spot, grey=200), exact(19, GREY)) == same


@pytest.mark.parametrize(("columns", "same"), [(7, True), (16, False)])
def test_a_place_that_differs_much_from_one_frame_is_not_compared_with_others(columns: int, same: bool) -> None:
    """Of 40 columns."""
    part = RegionMask(HERE.x, HERE.y, np.ones((80, columns), np.bool_))
    assert background(GREY, exact(19, drawn(GREY, part)), exact(18, GREY)) == same


@pytest.mark.parametrize(("useless", "same"), [(5, True), (6, False)])
def test_a_place_is_compared_with_six_frames(useless: int, same: bool) -> None:
    """Frames that are a little brighter tell nothing."""
    others = [exact(19 - k, GREY + 4) for k in range(useless)]
    assert background(GREY, *others, exact(5, GREY)) == same


def test_frames_that_show_little_of_a_place_do_not_count() -> None:
    """Six of them show 6 of the 40 columns, up to 4 from a person's mask."""
    right = RegionMask(HERE.x + 10, HERE.y, np.ones((80, 30), np.bool_))
    assert background(GREY, *(exact(19 - k, GREY, right) for k in range(6)), exact(5, GREY))


def test_a_place_is_put_together_from_parts() -> None:
    """One frame shows the first 10 columns, another one the others."""
    right = RegionMask(HERE.x + 14, HERE.y, np.ones((80, 26), np.bool_))
    left = RegionMask(HERE.x, HERE.y, np.ones((80, 6), np.bool_))
    assert background(GREY, exact(19, GREY, right), exact(18, GREY, left))
