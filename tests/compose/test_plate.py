"""The clean plate on small made-up films: a textured wall, an oval person with a texture of their own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from anonymize.compose import covers_of, plate, with_backgrounds
from anonymize.core.types import BoolArray, Detections, Frame, RegionMask, Tracks, UInt8Array

SIZE = (144, 256)
RATE = 20


def texture(seed: int, height: int, width: int) -> UInt8Array:
    rng = np.random.default_rng(seed)
    layers = [rng.uniform(0, 80, (height // s + 1, width // s + 1, 3)).astype(np.float32) for s in (3, 9, 40)]
    return sum(cv2.resize(layer, (width, height)) for layer in layers).astype(np.uint8)  # type: ignore[union-attr]


WALL, COAT = texture(0, SIZE[0], 2 * SIZE[1]), 255 - texture(1, 90, 30)


@dataclass
class Shown:
    """One frame of a film: the truth behind, the frame, and who was found."""

    behind: UInt8Array
    image: UInt8Array
    people: list[RegionMask] = field(default_factory=list)
    camera: tuple[float, float] | None = None


def person(x: int, y: int = 30) -> RegionMask:
    """An oval, cut at the frame's border."""
    shape = np.add.outer(np.linspace(-1, 1, 90) ** 2, np.linspace(-1, 1, 30) ** 2) <= 1
    left, right = max(0, -x), min(30, SIZE[1] - x)
    if right <= left:
        return RegionMask(0, 0, np.zeros((0, 0), np.bool_))
    return RegionMask(x + left, y, shape[:, left:right])


def shot(behind: UInt8Array, *places: int, found: bool = True, noise: int = 0) -> Shown:
    image = behind.copy()
    masks = [person(x) for x in places]
    for x, mask in zip(places, masks, strict=True):
        image[mask.slices][mask.mask] = COAT[:, max(0, -x) :][:, : mask.mask.shape[1]][mask.mask]
    rng = np.random.default_rng(noise)
    image = (image + rng.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)
    return Shown(behind, image, [m for m in masks if m.area] if found else [])


def run(film: Sequence[Shown], rate: int = RATE) -> list[tuple[Frame, Tracks, Sequence[RegionMask]]]:
    def frames() -> Iterator[tuple[Frame, Tracks, Sequence[RegionMask]]]:
        for k, shown in enumerate(film):
            n, masks = len(shown.people), tuple(shown.people)
            boxes = np.array([m.box_xyxy for m in masks], np.float32).reshape(-1, 4)
            found = Detections(SIZE, boxes, np.full(n, 0.9, np.float32), masks, np.zeros(n, np.bool_))
            camera = None if shown.camera is None else np.array([[1, 0, shown.camera[0]], [0, 1, shown.camera[1]]])
            tracks = Tracks(found, np.arange(1, n + 1), np.zeros(n, np.bool_), camera)
            yield Frame(shown.image, k, k, Fraction(1, rate)), tracks, covers_of(tracks)

    return list(with_backgrounds(frames()))


def errors(film: Sequence[Shown], done: Sequence[tuple[Frame, Tracks, Sequence[RegionMask]]]) -> list[float]:
    """Mean difference to what is behind, inside the covers of each frame that has any."""
    means = []
    for shown, (frame, _, covers) in zip(film, done, strict=True):
        if frame.background is not None:
            inside = hidden(covers)
            means.append(float(np.abs(frame.background.image.astype(int) - shown.behind)[inside].mean()))
    return means


def hidden(covers: Sequence[RegionMask]) -> BoolArray:
    full = np.zeros(SIZE, np.bool_)
    for region in covers:
        full[region.slices] |= region.mask
    return full


def still(count: int, where: Callable[[int], Sequence[int]]) -> list[Shown]:
    return [shot(WALL[:, : SIZE[1]], *where(k), noise=k) for k in range(count)]


def test_a_frame_without_people_passes_as_it_is() -> None:
    film = [shot(WALL[:, : SIZE[1]]) for _ in range(3)]
    done = run(film)
    assert [frame.index for frame, _, _ in done] == [0, 1, 2]
    assert all(
        frame.background is None and frame.image is shown.image for (frame, *_), shown in zip(done, film, strict=True)
    )


def test_what_stands_behind_a_walking_person_is_seen_before_or_after() -> None:
    film = still(60, lambda k: [-20 + 5 * k])
    done = run(film)
    means = errors(film, done)
    assert len(means) > 40 and max(means) < 4
    for frame, _, covers in done:
        if frame.background is not None:
            inside = hidden(covers)
            same = np.abs(frame.background.image.astype(int) - frame.image).max(2)[inside] <= 2
            assert same.mean() < 0.2, "the cover's margin shows the wall; of the person nothing is left"


def test_who_never_moves_has_a_background_that_is_guessed() -> None:
    film = still(30, lambda _: [100])
    even = [
        Shown(
            np.full_like(s.behind, 90), np.where(s.people[0].to_full(SIZE)[..., None], s.image, np.uint8(90)), s.people
        )
        for s in film
    ]
    assert max(errors(even, run(even))) <= 1


def test_light_that_changes_is_evened() -> None:
    film = still(60, lambda k: [-20 + 5 * min(k, 30)])
    for k, shown in enumerate(film):
        gain = 1 - 0.002 * k
        shown.image, shown.behind = ((picture * gain).astype(np.uint8) for picture in (shown.image, shown.behind))
    assert max(errors(film, run(film))[10:]) < 4


def test_a_camera_that_moves_is_followed() -> None:
    film = []
    for k in range(50):
        shown = shot(WALL[:, 3 * k : 3 * k + SIZE[1]], 60 + 2 * k, noise=k)
        shown.camera = (-3.0, 0.0) if k else None
        film.append(shown)
    assert np.mean(errors(film, run(film))[10:35]) < 5


def test_a_camera_whose_motion_is_not_known_gives_no_false_background() -> None:
    """The plate does not fit the frame round the cover: what is behind is guessed."""
    walk = [shot(WALL[:, 7 * k : 7 * k + SIZE[1]], 40 + 3 * k, noise=k) for k in range(40)]
    done = run(walk)
    guessed = run([w for k, w in enumerate(walk) if k == 20])
    a, b = done[20][0].background, guessed[0][0].background
    assert a is not None and b is not None
    assert np.abs(a.image.astype(int) - b.image).mean() < 1


def test_a_cut_begins_a_new_plate() -> None:
    other = np.ascontiguousarray(255 - WALL[::-1, : SIZE[1]])
    film = still(30, lambda k: [-20 + 5 * k]) + [shot(other, -20 + 5 * k, noise=k) for k in range(60)]
    assert max(errors(film, run(film))[-30:]) < 4


def test_a_place_that_changed_while_it_was_covered_is_forgotten() -> None:
    """A person stands before a white car that drives off: no piece of the car stays."""
    film = still(120, lambda k: [-25 + 4 * min(k, 30)])
    for k, shown in enumerate(film):
        if k < 60:
            car = np.zeros(SIZE, np.bool_)
            car[60:110, 70:160] = True
            shown.behind = np.where(car[..., None], np.uint8(250), shown.behind)
            shown.image = np.where((car & ~hidden(shown.people))[..., None], np.uint8(250), shown.image)
    done = run(film)
    last = done[-1][0].background
    assert last is not None
    assert (last.image.min(2)[hidden(done[-1][2])] > 240).mean() < 0.02
    assert max(errors(film, done)[30:38]) < 4, "as long as it stands there, it is seen"


class TestPeopleWhoWereOverlooked:
    """A person who stands there unseen by the detector gets into the plate, and must not come back by it."""

    @staticmethod
    def seen_again(film: Sequence[Shown], numbers: Sequence[int]) -> float:
        """Largest share of a found person's pixels that are as they were, in some frames."""
        done, shares = run(film), []
        for k in numbers:
            frame, tracks, _ = done[k]
            assert frame.background is not None
            inner = cv2.erode(hidden(tracks.detections.masks).view(np.uint8), np.ones((5, 5), np.uint8)) > 0
            same = np.abs(frame.background.image.astype(int) - frame.image).max(2)[inner] <= 8
            shares.append(float(same.mean()))
        return max(shares)

    @pytest.mark.parametrize("found_from", [1, 10, 40])
    def test_who_is_found_late(self, found_from: int) -> None:
        film = still(60, lambda _: [100])
        for shown in film[:found_from]:
            shown.people = []
        assert self.seen_again(film, range(found_from, 60)) < 0.1

    @pytest.mark.parametrize(("lighter", "grain"), [(12, 0), (0, 6)])
    @pytest.mark.parametrize("neighbour", [False, True])
    def test_who_is_found_when_the_light_changes_or_in_grain(self, lighter: int, grain: int, neighbour: bool) -> None:
        """Neither hides that the plate shows the person; nor does a cover beside them that holds a part of theirs."""
        film, rng = still(60, lambda _: [100]), np.random.default_rng(0)
        for k, shown in enumerate(film):
            noisy = shown.image + rng.normal(0, grain, shown.image.shape) + lighter * (k >= 30)
            shown.image = noisy.clip(0, 255).astype(np.uint8)
            shown.people = [*([person(88)] if neighbour else []), *(shown.people if k >= 30 else [])]
        done = run(film)
        inner = cv2.erode(hidden([person(100)]).view(np.uint8), np.ones((5, 5), np.uint8)) > 0
        for frame, *_ in done[30:]:
            assert frame.background is not None
            pair = frame.background.image[inner].ravel(), frame.image[inner].ravel()
            assert np.corrcoef(*pair)[0, 1] < 0.5

    def test_who_is_lost_while_the_camera_pans(self) -> None:
        """The place stays out although it moves through the picture."""
        film = []
        for k in range(40):
            moved = shot(WALL[:, 4 * k : 4 * k + SIZE[1]], 200 - 4 * k, noise=k)
            film.append(replace(moved, people=moved.people if k < 16 else [], camera=(-4.0, 0.0)))
        assert self.seen_again(film, range(16)) < 0.1

    def test_who_is_lost(self) -> None:
        film = still(80, lambda _: [100])
        for shown in film[40:]:
            shown.people = []
        assert self.seen_again(film, range(40)) < 0.1

    def test_who_is_found_now_and_then(self) -> None:
        film = still(80, lambda k: [100 + (k // 8) % 2])
        for k, shown in enumerate(film):
            if k % 11 > 6:
                shown.people = []
        assert self.seen_again(film, [k for k in range(80) if film[k].people]) < 0.1

    def test_whose_legs_are_found_late(self) -> None:
        film = still(60, lambda _: [100])
        for shown in film[:30]:
            [whole] = shown.people
            shown.people = [RegionMask(whole.x, whole.y, whole.mask[:45])]
        assert self.seen_again(film, range(30, 60)) < 0.1


def test_frames_wait_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0

    def film(rate: int) -> Iterator[tuple[Frame, Tracks, Sequence[RegionMask]]]:
        nonlocal taken
        nobody = Tracks(Detections.empty(SIZE), np.zeros(0, np.int64), np.zeros(0, np.bool_))
        for k in range(100):
            taken += 1
            yield Frame(np.zeros((*SIZE, 3), np.uint8), k, k, Fraction(1, rate)), nobody, ()

    next(iter(with_backgrounds(film(RATE))))
    assert taken == RATE + 2, "a second"
    taken = 0
    monkeypatch.setattr(plate, "WAITING_BYTES", 5 * SIZE[0] * SIZE[1] * 3)
    next(iter(with_backgrounds(film(RATE))))
    assert taken == 6, "or what the memory allows"
