"""People in frames that the detector does not look at, on small drawn films with the exact truth."""

from collections.abc import Callable, Iterator
from fractions import Fraction

import cv2
import numpy as np
import pytest

from anonymize.compose import covers_of
from anonymize.core.types import Detections, Frame, RegionMask, Tracks
from anonymize.track import PeopleTracker, SkippedFrames
from anonymize.track.between import carry
from anonymize.track.config import TrackerConfig

SIZE = (120, 240)
HEIGHT, WIDTH = 72, 40
RATE = 25
"""Frames a second."""
FRAMES = 32

Way = Callable[[float], tuple[float, float] | None]
"""Left and top edge of a person at a time; None while they are away."""
Film = list[tuple[Frame, dict[int, np.ndarray]]]
"""Frames with each person's pixels [H, W]."""


def body(seconds: float, number: int) -> np.ndarray:
    """[h, w] bool, a body whose arms and legs swing."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    middle = WIDTH // 2
    cv2.ellipse(mask, (middle, 9), (6, 8), 0, 0, 360, 1, -1)
    cv2.rectangle(mask, (middle - 8, 17), (middle + 8, 44), 1, -1)
    swing = 11 * np.sin(6 * seconds + number)
    for side in (-1, 1):
        cv2.line(mask, (middle + 4 * side, 42), (round(middle + side * swing), HEIGHT - 3), 1, 6)
        cv2.line(mask, (middle + 6 * side, 20), (round(middle + side * (8 - 0.6 * swing)), 44), 1, 4)
    return mask.astype(np.bool_)


def film(ways: list[Way], *, pan: float = 0.0) -> Film:
    """A film of patterned people before a patterned ground; the camera pans by so many pixels a second."""
    rng = np.random.default_rng(3)
    ground = cv2.resize(rng.integers(60, 190, (30, 160, 3), np.uint8), (960, SIZE[0]), interpolation=cv2.INTER_CUBIC)
    clothes = [cv2.resize(rng.integers(0, 256, (18, 10, 3), np.uint8), (WIDTH, HEIGHT)) for _ in ways]
    frames: Film = []
    for k in range(FRAMES):
        now, start = k / RATE, round(pan * k / RATE)
        image = np.pad(ground[:, start : start + SIZE[1]], ((HEIGHT, HEIGHT), (WIDTH, WIDTH), (0, 0)))
        owner = np.zeros(image.shape[:2], np.int64)
        for number, (way, cloth) in enumerate(zip(ways, clothes, strict=True), 1):
            place = way(now)
            if place is not None:
                x, y = (round(place[0]) - start + WIDTH, round(place[1]) + HEIGHT)
                if 0 <= x <= image.shape[1] - WIDTH and 0 <= y <= image.shape[0] - HEIGHT:
                    at, shape = (slice(y, y + HEIGHT), slice(x, x + WIDTH)), body(now, number)
                    image[at][shape], owner[at][shape] = cloth[shape], number
        inside = (slice(HEIGHT, -HEIGHT), slice(WIDTH, -WIDTH))
        there = {n: owner[inside] == n for n in range(1, len(ways) + 1) if (owner[inside] == n).any()}
        frames.append((Frame(np.ascontiguousarray(image[inside]), k, k, Fraction(1, RATE)), there))
    return frames


def found_in(there: dict[int, np.ndarray]) -> Detections:
    """What a perfect detector finds."""
    masks = tuple(RegionMask.from_full(pixels) for pixels in there.values())
    boxes = np.array([mask.box_xyxy for mask in masks], np.float32).reshape(-1, 4)
    scores = np.full(len(masks), 0.95, np.float32)
    return Detections(SIZE, boxes, scores, masks, np.zeros(len(masks), np.bool_))


def follow(film: Film, every: int) -> list[tuple[Frame, Tracks]]:
    """The people of all frames, of which the detector sees each N-th."""
    skipped = SkippedFrames(every)
    looks = skipped.thin(frame for frame, _ in film)
    tracked = PeopleTracker().track((frame, found_in(film[frame.index][1])) for frame in looks)
    return [*skipped.fill(tracked)]


WAYS: dict[str, tuple[list[Way], float]] = {
    "walks": ([lambda t: (20 + 60 * t, 30)], 0),
    "runs and turns round": ([lambda t: (100 + 60 * np.sin(4 * t), 30)], 0),
    "comes nearer and lower": ([lambda t: (80 + 30 * t, 10 + 30 * t)], 0),
    "two pass each other": ([lambda t: (10 + 110 * t, 25), lambda t: (190 - 110 * t, 40)], 0),
    "comes in and leaves at the border": ([lambda t: (-40 + 80 * t, 30), lambda t: (190 + 60 * t, 35)], 0),
    "appears and is gone from one frame to the next": (
        [lambda t: (60 + 60 * t, 30) if 0.3 < t < 0.9 else None],
        0,
    ),
    "the camera pans": ([lambda t: (120 + 10 * t, 30)], 90),
}


@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("name", WAYS)
def test_no_pixel_of_a_person_is_uncovered(name: str, every: int) -> None:
    ways, pan = WAYS[name]
    truth = film(ways, pan=pan)
    people, cover = 0, 0
    for (frame, tracks), (source, there) in zip(follow(truth, every), truth, strict=True):
        assert frame is source
        covered = np.zeros(SIZE, np.bool_)
        for mask in covers_of(tracks):
            covered[mask.slices] |= mask.mask
        # of a person who is at no look to be seen nothing can be known
        seen_beside = [
            number for number in there if any(number in truth[k][1] for k in looks_round(frame.index, every))
        ]
        for number in seen_beside:
            assert not (there[number] & ~covered).any(), f"frame {frame.index}, person {number}"
        people += sum(int(pixels.sum()) for pixels in there.values())
        cover += int(covered.sum())
    assert cover < 7 * people  # and not by covering the frame


def looks_round(index: int, every: int) -> tuple[int, int]:
    """The looks before and after a frame."""
    before = index - index % every
    return before, min(before + every, FRAMES - 1) if index % every else before


def test_only_each_nth_frame_is_looked_at_and_the_last() -> None:
    skipped = SkippedFrames(3)
    assert [frame.index for frame in skipped.thin(frame for frame, _ in film([])[:9])] == [0, 3, 6, 8]


def times(*seconds: float) -> Iterator[Frame]:
    for k, each in enumerate(seconds):
        yield Frame(np.zeros((*SIZE, 3), np.uint8), k, round(1000 * each), Fraction(1, 1000))


def test_frames_far_apart_are_looked_at_whatever_is_asked_for() -> None:
    slow = SkippedFrames(5).thin(times(0, 0.2, 0.4, 0.6, 0.8))
    assert [frame.index for frame in slow] == [0, 1, 2, 3, 4]
    uneven = SkippedFrames(5).thin(times(0, 0.1, 0.2, 0.3, 0.4, 2.0, 2.1))
    assert [frame.index for frame in uneven] == [0, 2, 4, 5, 6]
    set_back = SkippedFrames(5).thin(times(5.0, 5.1, 0.0, 0.1, 0.2))
    assert [frame.index for frame in set_back] == [0, 1, 2, 4]


def test_frames_round_a_change_of_size_are_looked_at() -> None:
    """What comes of that is for others to say; no flow leads from one size to another."""
    sizes = [(40, 60)] * 3 + [(60, 40)] * 3
    frames = (Frame(np.zeros((*size, 3), np.uint8), k, k, Fraction(1, RATE)) for k, size in enumerate(sizes))
    assert [frame.index for frame in SkippedFrames(4).thin(frames)] == [0, 2, 3, 5]


def test_a_clock_that_stands_still_is_no_reason_to_leave_out_a_place() -> None:
    truth = film([lambda t: (20 + 60 * t, 30)])[:5]
    stopped = [(Frame(frame.image, frame.index, 0, frame.time_base), there) for frame, there in truth]
    ends = [(frame, Tracks(found_in(there), np.array([1]), np.zeros(1, np.bool_))) for frame, there in stopped[::4]]
    between = carry(ends[0], ends[1], [frame for frame, _ in stopped[1:4]], TrackerConfig())
    for tracks, (_, there) in zip(between, stopped[1:4], strict=True):
        [cover] = covers_of(tracks)
        assert not (there[1] & ~cover.to_full(SIZE)).any()


def test_carried_people_say_so() -> None:
    for frame, tracks in follow(film([lambda t: (20 + 60 * t, 30)]), 2):
        looked = frame.index % 2 == 0 or frame.index == FRAMES - 1
        assert tracks.looked_at == looked
        assert tracks.ids.tolist() == [1]
        assert tracks.filled.tolist() == [not looked]


def test_the_camera_is_followed_through_all_frames() -> None:
    moves = [tracks.camera for _, tracks in follow(film([lambda t: (120 + 10 * t, 30)], pan=100), 3)]
    shifts = [0.0 if move is None else move[0, 2] for move in moves[2:]]
    assert shifts == pytest.approx([-4.0] * len(shifts), abs=0.5)


def test_a_frame_without_people_on_both_sides_has_none() -> None:
    (first, _), (middle, _), (last, _) = film([])[:3]
    none = Tracks(Detections.empty(SIZE), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    [between] = carry((first, none), (last, none), [middle], TrackerConfig())
    assert len(between) == 0
    assert not between.looked_at


def test_surfaces_are_those_of_the_nearer_look() -> None:
    import torch

    truth = film([lambda t: (20 + 60 * t, 30)])[:6]
    sides = []
    for k in (0, 5):
        found = found_in(truth[k][1])
        planes = torch.full((1, 2, 4, 4), float(k)), torch.zeros(1, 4, 4)
        found = Detections(
            SIZE, found.boxes_xyxy, found.scores, found.masks, np.ones(1, np.bool_), planes[0], planes[1]
        )
        sides.append((truth[k][0], Tracks(found, np.array([7]), np.zeros(1, np.bool_))))
    between = carry(sides[0], sides[1], [frame for frame, _ in truth[1:5]], TrackerConfig())
    planes_of = [tracks.detections.embeddings for tracks in between]
    assert [float(each.mean()) for each in planes_of if each is not None] == [0, 0, 5, 5]
    assert all(tracks.detections.has_cse.all() for tracks in between)
