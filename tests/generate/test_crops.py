import numpy as np
import pytest
import torch

from anonymize.core.types import RegionMask
from anonymize.generate.crops import build_condition, contain, crop_box, cut, sample_surface, snap

SIZE = (36, 20)


@pytest.mark.parametrize("rectangle", [(10, 5, 30, 100), (0, 0, 160, 20), (0, 0, 160, 120), (3, 3, 4, 4)])
def test_a_crop_holds_the_person_and_enough_background(rectangle: tuple[int, int, int, int]) -> None:
    x, y, right, bottom = rectangle
    region = RegionMask(x, y, np.ones((bottom - y, right - x), np.bool_))
    box = crop_box(region, np.array(rectangle, np.float32), SIZE)
    assert (box[:2] <= (x, y)).all()
    assert (box[2:] >= (right, bottom)).all()
    width, height = box[2:] - box[:2]
    assert height / width == pytest.approx(SIZE[0] / SIZE[1], rel=1e-4)
    assert region.area <= 0.7001 * width * height


def test_contain_only_grows() -> None:
    box, needed = np.array([0, 0, 10, 20], np.float32), np.array([-5, 0, 8, 20], np.float32)
    np.testing.assert_allclose(contain(box, needed), [-5, -10, 15, 30])
    np.testing.assert_allclose(contain(box, box + 1 - 1), box)


@pytest.mark.parametrize("box", [(20, 10, 60, 82), (-15, -20, 85, 160), (40, 40, 50, 58), (150, 100, 190, 172)])
def test_hidden_pixels_have_no_part_in_a_crop(box: tuple[int, int, int, int]) -> None:
    """Other values of every hidden pixel: not one value of the crop changes, whether it shrinks or grows."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    hidden = np.zeros((120, 160), np.bool_)
    hidden[33:71, 27:52] = True
    hidden[50, 57] = True
    changed = image.copy()
    changed[hidden] = rng.integers(0, 256, (hidden.sum(), 3), dtype=np.uint8)
    first, second = (cut(i, hidden, np.array(box), SIZE) for i in (image, changed))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.hidden, second.hidden)
    assert (first.image[first.hidden] == 0).all()


def test_the_outside_of_the_frame_is_padding() -> None:
    image = np.full((120, 160, 3), 255, np.uint8)
    crop = cut(image, np.zeros((120, 160), np.bool_), np.array([-20, 0, 20, 72]), SIZE)
    np.testing.assert_array_equal(crop.padding[:, :10], True)
    np.testing.assert_array_equal(crop.padding[:, 10:], False)
    np.testing.assert_array_equal(crop.image[:, :10], 0)
    np.testing.assert_array_equal(crop.image[:, 10:], 255)
    nowhere = cut(image, np.zeros((120, 160), np.bool_), np.array([-90, 0, -50, 72]), SIZE)
    assert nowhere.padding.all()


def test_the_surface_lies_where_the_box_is() -> None:
    embeddings = torch.ones(1, 4, 8, 8)
    embeddings[:, :, :, 4:] = -1  # the right half of the box
    box = np.array([[40, 20, 60, 92]], np.float32)
    crop = np.array([[30, 20, 70, 92]], np.float32)  # twice as wide
    read, body = sample_surface(embeddings, torch.ones(1, 8, 8), box, crop, SIZE)
    assert body[0, 0, 18].nonzero()[:, 0].tolist() == list(range(5, 15))
    torch.testing.assert_close(read[0, :, 18, 6], torch.ones(4))
    torch.testing.assert_close(read[0, :, 18, 13], -torch.ones(4))


def test_whole_pixels() -> None:
    np.testing.assert_array_equal(snap(np.array([-0.5, 1, 3.2, 1], np.float32)), [-1, 1, 4, 2])


def test_the_condition_marks_what_it_does_not_show() -> None:
    image = np.full((120, 160, 3), 255, np.uint8)
    hidden = np.zeros((120, 160), np.bool_)
    hidden[20:40, 5:15] = True
    crop = cut(image, hidden, np.array([-20, 0, 20, 72]), SIZE)
    condition = build_condition([crop], torch.zeros(1, 4, *SIZE), torch.zeros(1, 1, *SIZE))
    assert condition.shape == (1, 10, *SIZE)
    unknown = crop.hidden | crop.padding
    torch.testing.assert_close(condition[0, 0], torch.from_numpy(~unknown).float())
    torch.testing.assert_close(condition[0, 3], torch.from_numpy(crop.hidden).float())
    torch.testing.assert_close(condition[0, -1], torch.from_numpy(crop.padding).float())
