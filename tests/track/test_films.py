"""The tracker on small drawn films of people in coloured clothes, with the exact truth."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from anonymize.core.types import Detections, Frame, RegionMask, Tracks
from anonymize.track import PeopleTracker

SIZE = (120, 320)
HEIGHT, WIDTH = 72, 26
RATE = 10
CLOTHES = [((200, 40, 40), (40, 40, 120)), ((60, 160, 60), (150, 130, 90)), ((220, 200, 60), (60, 60, 60))]

Way = Callable[[float], float | None]
"""Left edge of a person at a time; None while they are away."""


def shape(seconds: float, number: int) -> np.ndarray:
    """A body with legs that swing."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(mask, (WIDTH // 2, 10), (7, 9), 0, 0, 360, 1, -1)
    cv2.rectangle(mask, (5, 18), (WIDTH - 6, 45), 1, -1)
    swing = round(7 * np.sin(8 * seconds + number))
    for foot in (WIDTH // 2 + swing, WIDTH // 2 - swing):
        cv2.line(mask, (WIDTH // 2, 42), (foot, HEIGHT - 3), 1, 6)
    return mask.astype(np.bool_)


def film(
    ways: list[Way], seconds: float, *, wall: tuple[int, int] | None = None, pan: float = 0, dropped: float = 0.0
) -> tuple[list[tuple[Frame, Detections]], list[dict[int, np.ndarray]]]:
    """Frames with detections, and each one's visible pixels [H, W] by number of the way, a frame each.

    Args:
        ways: Later ones are nearer to the camera.
        seconds: Length.
        wall: Columns of the world behind which people are hidden.
        pan: Pixels a second by which the camera turns to the right.
        dropped: Share of the detections that are left out.
    """
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(90, 170, (15, 120, 3), np.uint8), (960, SIZE[0]), interpolation=cv2.INTER_CUBIC)
    frames, truth = [], []
    for k in range(round(seconds * RATE)):
        now = k / RATE
        start = round(pan * now)
        image = np.ascontiguousarray(ground[:, start : start + SIZE[1]])
        owner = np.full(SIZE, -1)
        for number, way in enumerate(ways):
            left = way(now)
            if left is None:
                continue
            body = shape(now, number)
            canvas = np.zeros((SIZE[0], 3 * SIZE[1]), np.bool_)
            x = round(left) - start + SIZE[1]
            if not 0 <= x <= canvas.shape[1] - WIDTH:
                continue
            canvas[24 : 24 + HEIGHT, x : x + WIDTH] = body
            seen = canvas[:, SIZE[1] : 2 * SIZE[1]]
            owner[seen] = number
            for rows, colour in zip((slice(0, 68), slice(68, None)), CLOTHES[number % 3], strict=True):
                image[rows][seen[rows]] = colour
        if wall is not None:
            hidden = slice(max(0, wall[0] - start), max(0, wall[1] - start))
            owner[:, hidden], image[:, hidden] = -1, (110, 100, 100)
        visible = {n: owner == n for n in range(len(ways)) if np.count_nonzero(owner == n) > 120}
        image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
        found = [RegionMask.from_full(mask) for mask in visible.values() if rng.random() >= dropped]
        boxes = np.array([m.box_xyxy for m in found], np.float32).reshape(-1, 4) + rng.normal(0, 1, (len(found), 4))
        scores, no_cse = np.full(len(found), 0.9, np.float32), np.zeros(len(found), np.bool_)
        detections = Detections(SIZE, boxes.astype(np.float32), scores, tuple(found), no_cse)
        frames.append((Frame(image, k, k, Fraction(1, RATE)), detections))
        truth.append(visible)
    return frames, truth


def ids(tracked: list[Tracks], truth: list[dict[int, np.ndarray]]) -> dict[int, set[int]]:
    """The IDs under which each person was found; a hidden person is filled in over the one in front."""
    shown: dict[int, set[int]] = {}
    for tracks, visible in zip(tracked, truth, strict=True):
        for number, mask in visible.items():
            for k, region, filled in zip(tracks.ids.tolist(), tracks.detections.masks, tracks.filled, strict=True):
                if not filled and mask[region.slices][region.mask].mean() > 0.6:
                    shown.setdefault(number, set()).add(k)
    return shown


def bare(tracked: list[Tracks], truth: list[dict[int, np.ndarray]]) -> int:
    """How often less than half of a person's visible pixels was covered."""
    count = 0
    for tracks, visible in zip(tracked, truth, strict=True):
        covered = np.zeros(SIZE, np.bool_)
        for region in tracks.detections.masks:
            covered[region.slices] |= region.mask
        count += sum(covered[mask].mean() < 0.5 for mask in visible.values())
    return count


def walk(start: float, speed: float) -> Way:
    return lambda seconds: start + speed * seconds


SCENES = {
    "crossing": ([walk(10, 45), walk(280, -45)], 6.0, {}),
    "a wall hides each for two seconds": ([walk(20, 30), walk(240, -30)], 8.0, {"wall": (120, 184)}),
    "leaves and comes back": ([lambda t: 200 + 60 * t if t < 3 else 500 - 60 * (t - 3), walk(60, 3)], 9.0, {}),
    "the camera turns": ([walk(100, 30), walk(330, 10), walk(280, 25)], 6.0, {"pan": 40.0}),
}


@pytest.mark.parametrize("dropped", [0.0, 0.2])
@pytest.mark.parametrize("name", SCENES)
def test_one_person_one_id_and_no_gap(name: str, dropped: float) -> None:
    ways, seconds, options = SCENES[name]
    frames, truth = film(ways, seconds, dropped=dropped, **options)
    tracked = [tracks for _, tracks in PeopleTracker().track(iter(frames))]
    shown = ids(tracked, truth)
    assert all(len(numbers) == 1 for numbers in shown.values()), shown
    assert len(set.union(*shown.values())) == len(ways), shown
    assert bare(tracked, truth) <= (0 if not dropped else 1)


def test_missed_frames_are_filled() -> None:
    frames, truth = film([walk(40, 30)], 4.0)
    holes = {10, 11, 12, 20, 31, 32}
    frames = [(f, d[[]] if k in holes else d) for k, (f, d) in enumerate(frames)]
    tracked = [tracks for _, tracks in PeopleTracker().track(iter(frames))]
    assert bare(tracked, truth) == 0
    assert [k for k, tracks in enumerate(tracked) if tracks.filled.any()] == sorted(holes)


def test_a_person_is_covered_before_the_first_and_after_the_last_detection() -> None:
    frames, truth = film([walk(60, 20)], 3.0)
    frames = [(f, d if 4 <= k < 26 else d[[]]) for k, (f, d) in enumerate(frames)]
    tracked = [tracks for _, tracks in PeopleTracker().track(iter(frames))]
    assert bare(tracked, truth) == 0


@pytest.mark.parametrize("light", [2.0, 3.0])
@pytest.mark.parametrize("holes", [3, 4, 5])
def test_a_person_who_comes_back_in_another_light_stays_covered_between(holes: int, light: float) -> None:
    frames, truth = film([lambda _: 150, walk(10, 60)], 6.0)
    first = 22
    back = first + holes
    brighter, missed = [], range(first, back)
    for k, (frame, found) in enumerate(frames):
        image = frame.image.copy()
        if k >= back:
            image[truth[k][0]] = np.minimum(light * image[truth[k][0]], 255)
        brighter.append((replace(frame, image=image), found[[1]] if k in missed and len(found) == 2 else found))
    tracked = [tracks for _, tracks in PeopleTracker().track(iter(brighter))]
    assert bare(tracked, truth) == 0
    assert max(len(tracks.ids) for tracks in tracked) == 2  # whichever it is, no person is shown under two IDs
