from itertools import pairwise

import numpy as np
import pytest

from anonymize.compose import CoverComposer
from anonymize.compose.cover import PATTERN_LEVELS, coarse_colours, grow_region, outward_rim, pieces
from anonymize.core.errors import OptionError
from anonymize.core.types import PLATES_AFTER, BoolArray, Detections, Frame, RegionMask, Tracks, UInt8Array

MODES = ["blur", "pixelate", "solid"]


def ellipse(size_hw: tuple[int, int], centre_xy: tuple[float, float], radii_xy: tuple[float, float]) -> BoolArray:
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
    x, y = (columns - centre_xy[0]) / radii_xy[0], (rows - centre_xy[1]) / radii_xy[1]
    return x * x + y * y <= 1


def tracks_of(masks: list[BoolArray], size_hw: tuple[int, int], ids: list[int] | None = None) -> Tracks:
    regions = tuple(RegionMask.from_full(mask) for mask in masks)
    n = len(regions)
    detections = Detections(
        size_hw,
        np.array([region.box_xyxy for region in regions], np.float32).reshape(n, 4),
        np.full(n, 0.9, np.float32),
        regions,
        np.zeros(n, np.bool_),
    )
    return Tracks(detections, np.array(ids or range(1, n + 1), np.int64), np.zeros(n, np.bool_))


def draw(composer: CoverComposer, frame: Frame, tracks: Tracks) -> Frame:
    """With covers that are the masks themselves."""
    return composer.compose(frame, tracks, tracks.detections.masks)


def noise(size_hw: tuple[int, int], seed: int = 0) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), np.uint8)


@pytest.mark.parametrize("mode", MODES)
def test_nobody_leaves_the_very_frame(mode: str) -> None:
    frame = Frame(noise((20, 30)))
    assert draw(CoverComposer(mode), frame, tracks_of([], (20, 30))) is frame  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "mask",
    [
        ellipse((120, 160), (80, 60), (25, 50)),
        ellipse((120, 160), (0, 119), (40, 40)),
        ellipse((120, 160), (50, 50), (3, 6)),
        np.ones((120, 160), np.bool_),
    ],
    ids=["whole", "cut by the corner", "12 pixels high", "the whole frame"],
)
def test_no_original_pixel_survives_inside_the_mask(mode: str, mask: BoolArray) -> None:
    image = noise(mask.shape)
    frame = Frame(image)
    done = draw(CoverComposer(mode), frame, tracks_of([mask], mask.shape))  # type: ignore[arg-type]
    assert done.edited is not None
    assert (done.edited | ~mask).all()
    # Noise keeps its old value by chance in one of 16 million pixels; a pixel let through would be far more.
    assert (done.image[mask] == image[mask]).all(axis=1).mean() < 0.001
    after, before = done.image[mask].ravel().astype(float), image[mask].ravel().astype(float)
    if mode != "solid":  # A constant correlates with nothing.
        assert abs(np.corrcoef(after, before)[0, 1]) < (0.5 if mask.sum() < 100 else 0.15)


@pytest.mark.parametrize("mode", MODES)
def test_only_the_marked_pixels_change(mode: str) -> None:
    image = noise((120, 160))
    mask = ellipse((120, 160), (80, 60), (25, 50))
    done = draw(CoverComposer(mode), Frame(image), tracks_of([mask], mask.shape))  # type: ignore[arg-type]
    assert done.edited is not None
    np.testing.assert_array_equal(done.image[~done.edited], image[~done.edited])
    assert done.edited.sum() < 1.3 * mask.sum()
    assert (image == noise((120, 160))).all(), "the frame that came in was written to"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [0, 1], ids=["who is unknown", "track 1"])
def test_nothing_of_a_person_but_the_outline_has_a_part_in_the_result(mode: str, number: int) -> None:
    """Nor has anything of their neighbours."""
    masks = [ellipse((120, 160), (x, 60), (25, 50)) for x in (60, 100)]
    hidden, background = masks[0] | masks[1], noise((120, 160), seed=1)
    people = [np.where(hidden[..., None], colour, background) for colour in (noise((120, 160), 2), np.uint8(0))]
    tracks = tracks_of(masks, (120, 160), [number, 5])
    one, other = (draw(CoverComposer(mode), Frame(image), tracks) for image in people)  # type: ignore[arg-type]
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.edited, other.edited)


@pytest.mark.parametrize("mode", ["blur", "pixelate"])
def test_a_cover_has_the_colours_of_what_is_around_and_is_seen(mode: str) -> None:
    mask = ellipse((240, 160), (80, 120), (30, 100))
    image = np.full((240, 160, 3), (40, 90, 140), np.uint8)
    image[120:] = (200, 150, 100)
    image[mask] = (0, 255, 0)
    done = draw(CoverComposer(mode), Frame(image), tracks_of([mask], mask.shape)).image.astype(float)  # type: ignore[arg-type]
    for rows, colour in ((slice(30, 90), (40, 90, 140)), (slice(150, 210), (200, 150, 100))):
        inside = done[rows][mask[rows]]
        assert np.abs(inside - colour).max() <= PATTERN_LEVELS + 6
        assert inside.std(axis=0).min() > 6


def test_pixelate_has_at_most_eight_cells_along_the_person() -> None:
    mask = np.zeros((400, 300), np.bool_)
    mask[7:393, 50:250] = True
    image = draw(CoverComposer("pixelate"), Frame(noise((400, 300))), tracks_of([mask], mask.shape)).image
    column = image[7:393, 150].astype(int)
    assert 1 + sum((a != b).any() for a, b in pairwise(column)) <= 8


def test_cells_are_means_and_blur_is_smooth_between_them() -> None:
    image = noise((72, 40))
    cells, smooth = (coarse_colours(image, 8, smooth=smooth) for smooth in (False, True))
    assert cells.shape == smooth.shape == image.shape
    np.testing.assert_array_equal(cells[8:16, 16:24], np.broadcast_to(cells[8, 16], (8, 8, 3)))
    assert np.abs(cells[8, 16] - image[8:16, 16:24].mean((0, 1))).max() <= PATTERN_LEVELS + 1
    assert np.abs(np.diff(smooth, axis=0)).max() < np.abs(np.diff(cells, axis=0)).max() / 4
    even = coarse_colours(np.full((72, 40, 3), 255, np.uint8), 8, smooth=False)
    assert even.max() == 255 and even.min() < 255


@pytest.mark.parametrize("mode", MODES)
def test_overlapping_people_are_all_covered_and_the_higher_id_is_on_top(mode: str) -> None:
    left, right = ellipse((120, 160), (70, 60), (25, 50)), ellipse((120, 160), (95, 60), (25, 50))
    image = noise((120, 160))
    cover = CoverComposer(mode)  # type: ignore[arg-type]
    one = draw(cover, Frame(image), tracks_of([left, right], (120, 160), [4, 9]))
    two = draw(cover, Frame(image), tracks_of([right, left], (120, 160), [9, 4]))
    np.testing.assert_array_equal(one.image, two.image)
    both = left | right
    assert (one.image[both] == image[both]).all(axis=1).mean() < 0.001
    assert one.edited is not None and one.edited[both].all()
    if mode == "pixelate":
        row = one.image[62, :121][right[62, :121]].astype(int)
        borders = np.flatnonzero(right[62])[1:][np.abs(np.diff(row, axis=0)).any(1)]
        assert len(borders) >= 3 and ((borders - 68) % 13 == 0).all(), "the cells begin with the rim of the right one"


def test_solid_paints_exactly_the_mask_in_the_colour() -> None:
    mask = ellipse((120, 160), (80, 60), (25, 50))
    done = draw(CoverComposer("solid", color="ff00ff"), Frame(noise((120, 160))), tracks_of([mask], mask.shape))
    assert (done.image[mask] == (255, 0, 255)).all()
    np.testing.assert_array_equal(done.edited, mask)


def test_an_empty_mask_draws_nothing() -> None:
    image = noise((20, 30))
    done = draw(CoverComposer(), Frame(image), tracks_of([np.zeros((20, 30), np.bool_)], (20, 30)))
    np.testing.assert_array_equal(done.image, image)


def test_rim_is_opaque_inside_and_soft_outside() -> None:
    mask = ellipse((60, 60), (30, 30), (12, 12))
    opacity = outward_rim(mask, 2)
    assert (opacity[mask] == 1).all()
    assert opacity[30, 30 + 12 + 5] == 0
    assert 0 < opacity[30, 30 + 12 + 2] < 1


def test_people_of_the_unknown_track_have_cells_of_their_own_size() -> None:
    mask = np.zeros((80, 400), np.bool_)
    mask[10:70, 10:40] = mask[10:70, 360:390] = True
    frame = Frame(np.full((80, 400, 3), 100, np.uint8))
    apart, whole = (draw(CoverComposer("pixelate"), frame, tracks_of([mask], (80, 400), [k])).image for k in (0, 1))
    assert len(np.unique(whole[mask])) < 8 < len(np.unique(apart[mask]))


def test_pieces_are_far_apart_and_no_smaller_than_a_cell() -> None:
    mask = np.zeros((80, 400), np.bool_)
    mask[10:30, 5:25], mask[35:70, 5:25], mask[20:50, 300:330], mask[3:6, 190:193] = True, True, True, True
    second, first = pieces(RegionMask(3, 4, mask))[::-1]
    assert (first.area, first.box_xyxy) == (20 * 20 + 35 * 20 + 9, (8, 7, 196, 74))  # a head is no piece of its own
    assert (second.area, second.box_xyxy) == (900, (303, 24, 333, 54))
    whole = RegionMask(0, 0, mask[:, :30])
    assert pieces(whole) == [whole]
    assert pieces(RegionMask(0, 0, np.zeros((1, 1), np.bool_)))[0].area == 0


def test_grow_region_stops_at_the_frame() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[0:5, 25:30] = True
    region = grow_region(RegionMask.from_full(mask), 4, (20, 30))
    assert region.box_xyxy == (21, 0, 30, 9)
    np.testing.assert_array_equal(region.to_full((20, 30)), mask)


def test_a_wrong_mode_lists_the_right_ones() -> None:
    with pytest.raises(OptionError, match="blur, pixelate, solid"):
        CoverComposer("gauss")  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["blur", "pixelate"])
def test_a_number_plate_becomes_one_colour_of_what_is_around(mode: str) -> None:
    mask = np.zeros((60, 160), np.bool_)
    mask[20:40, 30:120] = True
    drawn = []
    for seed in (1, 2):  # another plate in the same place gives the same picture
        image = noise((60, 160))
        image[mask] = noise((60, 160), seed)[mask]
        tracks = tracks_of([mask], (60, 160), [PLATES_AFTER + 1])
        drawn.append(draw(CoverComposer(mode), Frame(image), tracks))  # type: ignore[arg-type]
    inside = drawn[0].image[mask].astype(int)
    assert (inside == inside[0]).all()
    np.testing.assert_array_equal(drawn[0].image, drawn[1].image)
    assert drawn[0].edited is not None
    assert drawn[0].edited[mask].all()
