import numpy as np
import pytest

from anonymize.core.errors import AnonymizeError
from anonymize.core.types import RegionMask
from anonymize.tracksfile import rle


def random_mask(seed: int, size_hw: tuple[int, int]) -> np.ndarray:
    draw = np.random.default_rng(seed)
    coarse = draw.random((size_hw[0] // 3 + 1, size_hw[1] // 4 + 1)) < 0.4
    return np.kron(coarse, np.ones((3, 4), bool))[: size_hw[0], : size_hw[1]]


CASES = [
    np.zeros((4, 5), bool),
    np.ones((4, 5), bool),
    np.eye(6, dtype=bool),
    np.pad(np.ones((1, 1), bool), ((0, 6), (0, 9))),
    np.pad(np.ones((1, 1), bool), ((6, 0), (9, 0))),
    np.pad(np.ones((7, 2), bool), ((0, 0), (3, 3))),
    *(random_mask(seed, (61, 83)) for seed in range(4)),
    random_mask(9, (400, 700)),
]


@pytest.mark.parametrize("mask", CASES, ids=range(len(CASES)))
class TestBothWays:
    def test_decoding_gives_the_mask_back(self, mask: np.ndarray) -> None:
        size = mask.shape
        region = RegionMask.from_full(mask)
        back = rle.decode(rle.encode(region, size), size)
        np.testing.assert_array_equal(back.to_full(size), mask)
        assert (back.x, back.y, back.mask.shape) == (region.x, region.y, region.mask.shape)

    def test_empty_borders_make_no_difference(self, mask: np.ndarray) -> None:
        whole = RegionMask(0, 0, mask)
        assert rle.encode(whole, mask.shape) == rle.encode(RegionMask.from_full(mask), mask.shape)

    def test_pycocotools_agrees(self, mask: np.ndarray) -> None:
        coco = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
        region = RegionMask.from_full(mask)
        theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert rle.encode(region, mask.shape) == theirs["counts"].decode()


@pytest.mark.parametrize("text", ["", "P", "0", "52", "\x01", "é", "o" * 30])
def test_what_is_no_mask_is_refused(text: str) -> None:
    with pytest.raises(AnonymizeError):
        rle.decode(text, (4, 5))
