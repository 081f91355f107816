import numpy as np
import pytest

from anonymize.lab.train.pose_teacher import agreement, crop_of

BOX = np.array([40, 20, 80, 120], np.float32)


def test_a_crop_holds_the_box_with_a_margin() -> None:
    np.testing.assert_allclose(crop_of(BOX), [60, 70, 125])


def test_a_mask_agrees_with_its_box_by_what_is_inside_and_what_it_spans() -> None:
    crop = crop_of(BOX)
    whole = np.zeros((256, 256), np.bool_)
    whole[26:230, 87:169] = True  # the box in the crop's pixels
    inside, fill = agreement(whole, BOX, crop)
    assert inside == pytest.approx(1)
    assert fill == pytest.approx(1, abs=0.02)
    half = whole.copy()
    half[128:] = False
    assert agreement(half, BOX, crop)[1] == pytest.approx(0.5, abs=0.02)
    beside = np.roll(whole, 41, axis=1)
    assert agreement(beside, BOX, crop)[0] == pytest.approx(0.5, abs=0.02)
    assert agreement(np.zeros_like(whole), BOX, crop) == (0.0, 0.0)
