import av
import numpy as np
import pytest

from anonymize.media.colour import matrix_or_default, paint, rgb_to_yuv


def planes(size_hw: tuple[int, int], layout: int, depth: int = 8, value: int = 7) -> list[np.ndarray]:
    dtype = np.uint8 if depth == 8 else np.uint16
    chroma = tuple(-(-n // layout) for n in size_hw)
    return [np.full(shape, value, dtype) for shape in (size_hw, chroma, chroma)]


@pytest.mark.parametrize(
    ("matrix", "full", "depth", "rgb", "yuv"),
    [
        (1, False, 8, (255, 255, 255), (235, 128, 128)),
        (1, False, 8, (0, 0, 0), (16, 128, 128)),
        (1, False, 8, (255, 0, 0), (63, 102, 240)),
        (6, False, 8, (255, 0, 0), (81, 90, 240)),
        (9, False, 10, (0, 0, 255), (116, 960, 476)),
        (6, True, 8, (0, 255, 0), (150, 44, 21)),
        (1, True, 10, (255, 255, 255), (1023, 512, 512)),
        (1, False, 10, (255, 255, 255), (940, 512, 512)),
    ],
)
def test_known_colours(
    matrix: int, full: bool, depth: int, rgb: tuple[int, int, int], yuv: tuple[int, int, int]
) -> None:
    target = planes((2, 2), 2, depth)
    image = np.full((2, 2, 3), rgb, np.uint8)
    paint(target, image, None, matrix=matrix, full_range=full, depth=depth)
    assert [int(plane[0, 0]) for plane in target] == pytest.approx(yuv, abs=1)
    assert (rgb_to_yuv(matrix, full, depth) @ [*rgb, 1]).tolist() == pytest.approx(yuv, abs=0.6)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("matrix", "sws"), [(1, 1), (6, 5), (9, 9)])
def test_what_is_painted_is_decoded_as_painted(matrix: int, sws: int, full: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    target = planes((8, 8), 1)
    paint(target, image, None, matrix=matrix, full_range=full, depth=8)
    frame = av.VideoFrame.from_ndarray(np.stack(target), "yuv444p")
    back = frame.reformat(format="rgb24", src_colorspace=sws, src_color_range=1 + full, dst_color_range=2)
    assert np.abs(back.to_ndarray().astype(int) - image).max() <= 4


def test_nothing_edited_changes_nothing() -> None:
    target = planes((6, 8), 2)
    paint(target, np.zeros((6, 8, 3), np.uint8), np.zeros((6, 8), bool), matrix=1, full_range=False, depth=8)
    assert all((plane == 7).all() for plane in target)


@pytest.mark.parametrize("layout", [1, 2])
@pytest.mark.parametrize("depth", [8, 10])
def test_only_edited_pixels_change(layout: int, depth: int) -> None:
    target = planes((11, 13), layout, depth)
    mask = np.zeros((11, 13), bool)
    mask[3, 5] = mask[10, 12] = True
    paint(target, np.full((11, 13, 3), 255, np.uint8), mask, matrix=1, full_range=False, depth=depth)
    assert (target[0] != 7).tolist() == mask.tolist()
    assert set(target[0][mask]) == {235 << (depth - 8)}
    touched = np.zeros(target[1].shape, bool)
    touched[3 // layout, 5 // layout] = touched[10 // layout, 12 // layout] = True
    assert all((plane != 7).tolist() == touched.tolist() for plane in target[1:])


def test_chroma_at_the_rim_has_nothing_of_the_original() -> None:
    # One edited pixel of four: the chroma sample is the mean of the new picture, not of the old one.
    target = planes((2, 2), 2)
    image = np.array([[[255, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]], np.uint8)
    paint(target, image, np.array([[True, False], [False, False]]), matrix=6, full_range=True, depth=8)
    assert target[0].tolist() == [[76, 7], [7, 7]]
    assert int(target[2][0, 0]) == pytest.approx(128 + 127 / 4, abs=1)


def test_unnamed_matrices() -> None:
    assert [matrix_or_default(2, height) for height in (480, 720)] == [6, 1]
    assert [matrix_or_default(matrix, 480) for matrix in (1, 9, 0, 8)] == [1, 9, 6, 6]
