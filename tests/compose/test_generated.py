import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from anonymize.compose import CoverComposer, GeneratedComposer, covers_of
from anonymize.core.types import Background, Detections, Frame, IntArray, PersonRequest, RegionMask, Replacement, Tracks

SIZE = (120, 160)
FAR, NEAR = (30, 20, 70, 90), (50, 30, 90, 110)


def crowd(*boxes: tuple[int, int, int, int], has_cse: bool = True) -> Tracks:
    n = len(boxes)
    masks = tuple(RegionMask(x, y, np.ones((b - y, r - x), np.bool_)) for x, y, r, b in boxes)
    body = torch.zeros(n, 8, 8)
    body[:, :, 2:6] = 1
    found = Detections(
        SIZE,
        np.array(boxes, np.float32),
        np.full(n, 0.9, np.float32),
        masks,
        np.full(n, has_cse),
        torch.ones(n, 4, 8, 8),
        body,
    )
    return Tracks(found, np.arange(1, n + 1), np.zeros(n, np.bool_))


class Painter:
    """Makes people of one colour, their track's number times 50; with alpha only the left half of the rectangle."""

    def __init__(self, alpha: bool) -> None:
        self.alpha = alpha
        self.seen: list[PersonRequest] = []

    def expect(self, tracks: Tracks, covers: Sequence[RegionMask]) -> None:
        pass

    def accept(self, tracks: Tracks, covers: Sequence[RegionMask]) -> Tracks:
        return tracks

    def place(self, tracks: Tracks, covers: Sequence[RegionMask]) -> IntArray:
        return np.array([region.box_xyxy for region in covers], np.int64).reshape(-1, 4)

    def generate(self, requests: Sequence[PersonRequest]) -> list[Replacement]:
        self.seen += requests
        half = np.zeros((16, 8), np.uint8)
        half[:, :4] = 255
        return [
            Replacement(np.full((16, 8, 3), 50 * int(r.tracks.ids[r.row]), np.uint8), half if self.alpha else None)
            for r in requests
        ]


def draw(tracks: Tracks, painter: Painter) -> tuple[Frame, Sequence[RegionMask]]:
    """The frame is white noise, what is behind is 7 everywhere."""
    image = np.random.default_rng(0).integers(200, 256, (*SIZE, 3), dtype=np.uint8)
    covers = covers_of(tracks)
    changed = np.zeros(SIZE, np.bool_)
    for region in covers:
        changed[region.slices] |= region.mask
    behind = Background(np.where(changed[..., None], np.uint8(7), image), changed)
    frame = Frame(image, background=behind)
    return GeneratedComposer(painter, CoverComposer()).compose(frame, tracks, covers), covers


def test_beyond_a_persons_alpha_the_background_shows() -> None:
    done, [cover] = draw(crowd(FAR), Painter(alpha=True))
    left, top, right, bottom = cover.box_xyxy
    middle, x = slice(top + 5, bottom - 5), (left + right) // 2
    assert (done.image[middle, left + 4 : x - 4] == 50).all()
    assert (done.image[middle, x + 4 : right - 4] == 7).all()
    assert done.edited is not None and done.edited[cover.slices][cover.mask].all()
    assert done.background is None


def test_without_alpha_the_body_is_drawn() -> None:
    done, _ = draw(crowd(FAR), Painter(alpha=False))
    assert (done.image[30:80, 44:56] == 50).all()
    assert (done.image[30:80, 30:35] == 7).all() and (done.image[30:80, 65:70] == 7).all()


def test_nearer_people_are_drawn_over_those_behind() -> None:
    for boxes, front in (((FAR, NEAR), 100), ((NEAR, FAR), 50)):
        done, _ = draw(crowd(*boxes), Painter(alpha=True))
        assert (done.image[60, 54:64] == front).all()


def test_a_shadow_falls_on_the_ground_and_on_no_person() -> None:
    class Shady(Painter):
        def generate(self, requests: Sequence[PersonRequest]) -> list[Replacement]:
            shadow = np.full((16, 8), 128, np.uint8)
            return [dataclasses.replace(made, shadow=shadow) for made in super().generate(requests)]

    done, _ = draw(crowd(FAR, NEAR), Shady(alpha=True))
    lit, _ = draw(crowd(FAR, NEAR), Painter(alpha=True))
    assert (lit.image[85, 34:46] == 50).all()
    np.testing.assert_array_equal(done.image[30:85, 34:46], lit.image[30:85, 34:46])
    assert (done.image[100:105, 80:88] == 3).all() and (lit.image[100:105, 80:88] == 7).all()


def test_what_is_to_be_covered_in_any_case_stays_covered_under_a_made_person() -> None:
    """Beside the made person stands what the film shows of the place: at another time, what is to be covered."""
    tracks = crowd(FAR, NEAR)
    found = dataclasses.replace(tracks.detections, has_cse=np.array([True, False]))
    hidden = dataclasses.replace(tracks, detections=found, ids=np.array([1, -1]))
    done, _ = draw(hidden, Painter(alpha=True))
    assert np.ptp(done.image[40:85, 60:68]) > 10, "the cover's cells, not the plain 7 of the place"
    person = dataclasses.replace(hidden, ids=np.array([1, 2]))
    done, _ = draw(person, Painter(alpha=True))
    assert (done.image[40:85, 60:68] == 7).all()


def test_a_generator_sees_the_frame_without_people_and_where_its_own_was() -> None:
    painter = Painter(alpha=True)
    _, covers = draw(crowd(FAR, NEAR), painter)
    assert [int(r.tracks.ids[r.row]) for r in painter.seen] == [1, 2], "far to near"
    for request, cover in zip(painter.seen, covers, strict=True):
        np.testing.assert_array_equal(request.hidden, cover.to_full(SIZE))


def test_who_has_no_surface_is_blurred_with_a_rim_of_the_background() -> None:
    done, [cover] = draw(crowd(FAR, has_cse=False), Painter(alpha=True))
    assert not (done.image[cover.slices][cover.mask] > 190).any(), "nothing of the person"
    assert done.edited is not None and done.edited.sum() > cover.area


def test_a_frame_without_a_background_gets_a_guess() -> None:
    tracks = crowd(FAR)
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[covers_of(tracks)[0].slices] = 255
    done = GeneratedComposer(Painter(alpha=True), CoverComposer()).compose(Frame(image), tracks, covers_of(tracks))
    assert (np.abs(done.image[30:80, 58:68].astype(int) - 90) <= 2).all()
