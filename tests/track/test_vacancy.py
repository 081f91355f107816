"""Whether somebody is to be seen where they should be."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from anonymize.core.types import Detections, Frame, RegionMask
from anonymize.track.model.camera_motion import identity
from anonymize.track.model.frame_state import Moment
from anonymize.track.model.thumbnail import Glance
from anonymize.track.output.background_check import vacant

SIZE = (120, 200)
HERE = RegionMask(80, 20, np.ones((80, 40), np.bool_))
STILL = identity()
BEFORE = RegionMask(10, 20, np.ones((80, 40), np.bool_))


def place(width: int = 200) -> np.ndarray:
    small = np.random.default_rng(0).integers(40, 215, (15, width // 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, SIZE[0]), interpolation=cv2.INTER_CUBIC), np.uint8)


def moment(index: int, image: np.ndarray, *people: RegionMask, shift: float = 0.0) -> Moment:
    """A frame in which some people are found; the camera is `shift` pixels to the right of where it was."""
    noise = np.random.default_rng(index).normal(0, 2.5, image.shape)
    frame = Frame((image + noise).clip(0, 255).astype(np.uint8), index, index, Fraction(1, 10))
    boxes = np.array([mask.box_xyxy for mask in people], np.float32).reshape(-1, 4)
    count = len(people)
    found = Detections(image.shape[:2], boxes, np.ones(count, np.float32), people, np.zeros(count, np.bool_))
    where = identity()
    where[0, 2] = shift
    free, glance = np.ones(count, np.bool_), Glance.at(frame.image, people)
    return Moment(frame, found, index / 10, where if shift else STILL, free, glance)


def drawn(image: np.ndarray, *people: RegionMask, grey: int = 230) -> np.ndarray:
    image = image.copy()
    for mask in people:
        image[mask.slices][mask.mask] = grey
    return image


def around(image: np.ndarray, *people: RegionMask) -> list[Moment]:
    """A moment before and one after."""
    return [moment(k, drawn(image, *people), *people) for k in (0, 2)]


def test_a_place_that_looks_as_it_does_without_people_is_empty() -> None:
    assert vacant(HERE, moment(1, place()), around(place(), BEFORE))


@pytest.mark.parametrize("rows", [2, 10, 80])
def test_whoever_shows_a_little_is_seen(rows: int) -> None:
    part = RegionMask(HERE.x, HERE.y, np.ones((rows, 40), np.bool_))
    assert not vacant(HERE, moment(1, drawn(place(), part)), around(place(), BEFORE))


@pytest.mark.parametrize(("ground", "grey"), [(100, 120), (15, 21), (15, 25)])
def test_somebody_of_little_contrast_is_seen(ground: int, grey: int) -> None:
    plain = np.full((*SIZE, 3), ground, np.uint8)
    assert not vacant(HERE, moment(1, drawn(plain, HERE, grey=grey)), around(plain, BEFORE))
    assert vacant(HERE, moment(1, plain), around(plain, BEFORE))


def test_somebody_before_a_fine_pattern_is_seen() -> None:
    stripes = np.where(np.arange(SIZE[1])[None, :, None] // 2 % 2, 220, 40).astype(np.uint8)
    image = np.broadcast_to(stripes, (*SIZE, 3)).copy()
    assert not vacant(HERE, moment(1, drawn(image, HERE, grey=130)), around(image, BEFORE))


def test_whoever_has_stopped_and_is_overlooked_is_seen() -> None:
    """They are in the later picture as well, where the detector found somebody else."""
    known = [moment(0, drawn(place(), BEFORE), BEFORE), moment(2, drawn(place(), HERE, BEFORE), BEFORE)]
    assert not vacant(HERE, moment(1, drawn(place(), HERE)), known)
    assert not vacant(HERE, moment(1, drawn(place(), HERE)), known[1:])


def test_a_place_that_is_never_without_people_tells_nothing() -> None:
    assert not vacant(HERE, moment(1, place()), around(place(), HERE))
    assert not vacant(HERE, moment(1, place()), [])


def test_frames_of_another_size_tell_nothing() -> None:
    assert not vacant(HERE, moment(1, place()), around(place(240), BEFORE))


@pytest.mark.parametrize("mistake", [0, 2])
def test_a_camera_that_turns(mistake: int) -> None:
    wide = place(240)
    known = around(wide[:, :200], BEFORE)
    view = wide[:, 24:224]
    assert vacant(HERE, moment(1, view, shift=24 + mistake), known)
    assert not vacant(HERE, moment(1, drawn(view, HERE), shift=24 + mistake), known)


def test_a_small_picture_holds_the_same_pixels_of_frame_and_mask() -> None:
    rng = np.random.default_rng(1)
    image, chosen = rng.integers(0, 255, (50, 1501, 3), dtype=np.uint8), rng.random((20, 31)) > 0.5
    glance = Glance.at(image, [])
    region = RegionMask(700, 11, chosen)
    small = glance.shrunk(region)
    full = region.to_full(image.shape[:2])
    assert glance.step == 3
    assert np.array_equal(glance.picture, image[::3, ::3])
    assert np.array_equal(glance.picture[small.slices][small.mask], image[::3, ::3][full[::3, ::3]])
