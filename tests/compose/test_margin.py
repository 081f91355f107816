from dataclasses import replace

import numpy as np
import pytest
import torch

from anonymize.compose import CoverComposer, covers_of
from anonymize.compose.margin import with_margin
from anonymize.core.types import PLATES_AFTER, UNKNOWN_TRACK, Detections, Frame, RegionMask, Tracks
from anonymize.track import PeopleTracker

SIZE = (240, 320)


def oval(x: int, y: int, w: int, h: int) -> RegionMask:
    shape = np.add.outer(np.linspace(-1, 1, h) ** 2, np.linspace(-1, 1, w) ** 2) <= 1
    return RegionMask(x, y, shape)


def people(*masks: RegionMask, ids: list[int] | None = None, filled: bool = False, score: float = 0.9) -> Tracks:
    n = len(masks)
    boxes = np.array([m.box_xyxy for m in masks], np.float32).reshape(-1, 4)
    found = Detections(SIZE, boxes, np.full(n, score, np.float32), masks, np.zeros(n, np.bool_))
    return Tracks(found, np.array(ids or range(1, n + 1), np.int64), np.full(n, filled))


def reach(mask: RegionMask, **doubt: float | bool) -> int:
    """By how many pixels a cover goes beyond a mask to the left."""
    [cover] = covers_of(people(mask, **doubt))  # type: ignore[arg-type]
    return mask.x - cover.x


def test_nobody_has_no_cover() -> None:
    assert covers_of(people()) == ()
    [cover] = covers_of(people(RegionMask(0, 0, np.zeros((0, 0), np.bool_))))
    assert cover.area == 0


@pytest.mark.parametrize("number", [1, UNKNOWN_TRACK, -1])
@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_a_cover_holds_the_mask_and_stays_inside_the_frame(number: int, filled: bool, score: float) -> None:
    rng = np.random.default_rng(0)
    speckled = RegionMask(60, 50, rng.random((90, 40)) < 0.1)
    for mask in (oval(50, 40, 30, 90), oval(0, 0, 9, 20), oval(280, 140, 40, 100), speckled):
        [cover] = covers_of(people(mask, ids=[number], filled=filled, score=score))
        assert mask.share_in(cover) == 1
        assert cover.to_full(SIZE).sum() == cover.area


def test_a_cover_grows_with_the_person_and_with_doubt() -> None:
    small, large = oval(100, 100, 11, 21), oval(60, 30, 81, 201)
    assert (reach(small), reach(large)) == (2, 4)
    assert reach(large, score=0.9) <= reach(large, score=0.45) < reach(large, score=0.25) == reach(large, filled=True)


def test_the_margin_is_that_of_the_pixels_not_of_the_stored_rectangle() -> None:
    tight = oval(100, 60, 30, 100)
    loose = RegionMask.from_full(tight.to_full(SIZE))
    loose = RegionMask(0, 0, loose.to_full(SIZE))
    for a, b in zip(covers_of(people(tight)), covers_of(people(loose)), strict=True):
        np.testing.assert_array_equal(a.to_full(SIZE), b.to_full(SIZE))


def test_the_body_surface_is_covered_with_the_mask() -> None:
    upper = RegionMask(100, 50, np.ones((40, 30), np.bool_))
    tracks = people(upper)
    body = torch.zeros(1, 56, 56)
    body[0, :, 14:42] = 1
    found = replace(
        tracks.detections,
        boxes_xyxy=np.array([[100, 50, 130, 150]], np.float32),
        embeddings=torch.zeros(1, 0, 56, 56),
        segmentations=body,
    )
    [cover] = covers_of(replace(tracks, detections=found))
    full = cover.to_full(SIZE)
    assert full[90:150, 108:122].all(), "legs that only the surface has"
    assert not full[100:150, 100].any()
    [plain] = covers_of(replace(tracks, detections=replace(found, segmentations=torch.zeros(1, 56, 56))))
    np.testing.assert_array_equal(plain.to_full(SIZE), covers_of(tracks)[0].to_full(SIZE))


def test_places_that_are_always_covered_are_as_they_were_drawn() -> None:
    place = RegionMask(10, 10, np.ones((50, 60), np.bool_))
    [cover] = covers_of(people(place, ids=[-1]))
    assert cover.box_xyxy == place.box_xyxy


def test_whoever_it_may_be_has_the_margin_of_each_person_not_of_all() -> None:
    left, right = oval(10, 100, 20, 60), oval(280, 100, 20, 60)
    [cover] = covers_of(people(RegionMask.union([left, right]), ids=[UNKNOWN_TRACK], filled=True))
    one, other = (with_margin(mask, SIZE, doubt=1.0) for mask in (left, right))
    np.testing.assert_array_equal(cover.to_full(SIZE), one.to_full(SIZE) | other.to_full(SIZE))


@pytest.mark.parametrize("mode", ["blur", "pixelate", "solid"])
def test_all_of_a_cover_is_painted_and_nothing_of_it_is_the_original(mode: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    tracks = people(oval(40, 40, 40, 120), oval(70, 60, 50, 140), score=0.4)
    covers = covers_of(tracks)
    done = CoverComposer(mode).compose(Frame(image), tracks, covers)  # type: ignore[arg-type]
    inside = RegionMask.union(covers).to_full(SIZE)
    assert done.edited is not None
    assert done.edited[inside].all()
    assert (done.image[inside] == image[inside]).all(axis=1).mean() < 0.001


def test_a_gap_of_a_track_is_covered_wider_than_what_was_found() -> None:
    """The tracker hands on where somebody missed should be; the margin of doubt comes with the cover."""
    frames = []
    for k in range(7):
        found = people(oval(100 + 3 * k, 60, 40, 120)).detections
        frames.append((Frame(np.zeros((*SIZE, 3), np.uint8), k, k * 100), found if k != 3 else found[[]]))
    frames = [(replace(frame, time_base=frame.time_base / 1000), found) for frame, found in frames]
    tracked = [tracks for _, tracks in PeopleTracker().track(iter(frames))]
    assert [tracks.filled.tolist() for tracks in tracked] == [[k == 3] for k in range(7)]
    true = [oval(100 + 3 * k, 60, 40, 120) for k in range(7)]
    covers = [covers_of(tracks)[0] for tracks in tracked]
    for person, cover in zip(true, covers, strict=True):
        assert person.share_in(cover) == 1
    assert covers[3].area > max(cover.area for k, cover in enumerate(covers) if k != 3)


def test_a_hole_of_the_mask_is_covered_but_not_the_gap_under_an_arm() -> None:
    mask = np.ones((100, 40), np.bool_)
    mask[20:26, 10:16] = False
    mask[40:80, 12:28] = False
    [cover] = covers_of(people(RegionMask(50, 50, mask)))
    full = cover.to_full(SIZE)
    assert full[70:76, 60:66].all()
    assert not full[100, 70]


def test_a_plate_is_covered_with_its_rim() -> None:
    box = RegionMask(100, 100, np.ones((15, 50), np.bool_))
    [cover] = covers_of(people(box, ids=[PLATES_AFTER + 1]))
    assert cover.box_xyxy == (94, 94, 156, 121)
    [guessed] = covers_of(people(box, ids=[PLATES_AFTER + 1], filled=True))
    assert cover.share_in(guessed) == 1
    assert guessed.area > cover.area
