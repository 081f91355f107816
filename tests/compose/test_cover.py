from itertools import pairwise

import numpy as np
import pytest

from anonymize.compose import CoverComposer
from anonymize.compose.cover import cell_size, coarse_colours, grow_region, outward_rim, pieces
from anonymize.core.errors import OptionError
from anonymize.core.types import BoolArray, Detections, Frame, RegionMask, Tracks, UInt8Array

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
def test_the_background_tells_nothing_about_the_person_and_takes_nothing_from_it(mode: str) -> None:
    mask = ellipse((120, 160), (80, 60), (25, 50))
    background = noise((120, 160), seed=1)
    people = [np.where(mask[..., None], noise((120, 160), seed=seed), background) for seed in (2, 3)]
    one, other = (draw(CoverComposer(mode), Frame(image), tracks_of([mask], mask.shape)).image for image in people)  # type: ignore[arg-type]
    # Two people of the same mean colour differ in their cells by the noise of a mean only.
    assert np.abs(one.astype(int) - other).max() < 40
    empty = np.where(mask[..., None], people[0], np.uint8(0))
    inside = draw(CoverComposer(mode), Frame(empty), tracks_of([mask], mask.shape)).image  # type: ignore[arg-type]
    np.testing.assert_array_equal(inside[mask], one[mask])


@pytest.mark.parametrize("mode", ["blur", "pixelate"])
def test_detail_is_gone_beyond_the_cells(mode: str) -> None:
    """Stripes finer than a cell leave no contrast; halves wider than a cell keep some."""
    mask = np.zeros((240, 160), np.bool_)
    mask[20:220, 40:120] = True
    stripes, halves = np.zeros((2, 240, 160, 3), np.uint8)
    stripes[::2] = 255
    halves[:120] = 255
    cover = CoverComposer(mode)  # type: ignore[arg-type]
    inner = (slice(30, 210), slice(50, 110))
    assert np.ptp(draw(cover, Frame(stripes), tracks_of([mask], mask.shape)).image[inner].astype(int)) <= 16
    assert np.ptp(draw(cover, Frame(halves), tracks_of([mask], mask.shape)).image[inner].astype(int)) > 150


def test_pixelate_has_at_most_eight_cells_along_the_person() -> None:
    mask = np.zeros((400, 300), np.bool_)
    mask[7:393, 50:250] = True
    image = draw(CoverComposer("pixelate"), Frame(noise((400, 300))), tracks_of([mask], mask.shape)).image
    column = image[7:393, 150].astype(int)
    assert 1 + sum((a != b).any() for a, b in pairwise(column)) <= 8


def test_a_lonely_pixel_in_a_cell_does_not_keep_its_colour() -> None:
    image = np.full((64, 64, 3), 100, np.uint8)
    mask = np.zeros((64, 64), np.bool_)
    mask[:16, :32] = True
    mask[40, 60] = True
    image[40, 60] = 255
    colours = coarse_colours(image, mask, smooth=False)
    assert cell_size(mask.shape) == 8
    assert (np.abs(colours[40, 60] - 100) < 20).all()
    assert np.isfinite(colours).all()


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
    alone = draw(cover, Frame(image), tracks_of([right], (120, 160), [9]))
    np.testing.assert_array_equal(one.image[right], alone.image[right])


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


def test_whoever_it_may_be_takes_no_colours_of_somebody_far_away() -> None:
    size, image = (80, 400), np.zeros((80, 400, 3), np.uint8)
    mask = np.zeros(size, np.bool_)
    for left, colour in ((10, (200, 0, 0)), (360, (0, 0, 200))):
        mask[10:70, left : left + 30], image[10:70, left : left + 30] = True, colour
    blurred = draw(CoverComposer(), Frame(image), tracks_of([mask], size, [0])).image
    np.testing.assert_allclose(blurred[mask], image[mask], atol=1)
    assert np.abs(draw(CoverComposer(), Frame(image), tracks_of([mask], size, [1])).image[mask] - image[mask]).max() > 9


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
