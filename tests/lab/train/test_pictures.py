import json
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymize.core.errors import OptionError
from anonymize.lab.train.bank import held_out
from anonymize.lab.train.fits import Fits
from anonymize.lab.train.loader import people_of
from anonymize.lab.train.pictures import (
    BoxedPicture,
    PersonMask,
    Pictures,
    cut,
    cut_out_person,
    load_pictures,
    side_by_side,
    with_teachers,
)

RED = np.array([255, 0, 0], np.uint8)
MIRRORED = np.array([1, 0], np.int16)
SIZE = (64, 96)


def name_of(number: int) -> str:
    return f"{number:04d}.png"


NAMES = [name_of(n) for n in range(30) if not held_out(f"{n:04d}")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures with a red person each, whose mask is known in the first."""
    (tmp_path / "pictures").mkdir()
    image = np.zeros((120, 160, 3), np.uint8)
    image[20:100, 60:100] = RED
    boxes = {}
    for name in NAMES[:2]:
        cv2.imwrite(str(tmp_path / "pictures" / name), image[..., ::-1])
        boxes[name] = {"boxes_xyxy": [[60, 20, 100, 100]]}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    mask = np.zeros((256, 256), np.uint8)
    mask[26:231, 77:179] = 1  # the box in a crop of side 100 round (80, 60)
    row = {"presence": 0.99, "inside": 1.0, "fill": 1.0, "picture": NAMES[0], "box": 0}
    arrays = {key: np.array([value]) for key, value in row.items()}
    np.savez(tmp_path / "blazepose.npz", crop=[[80.0, 60.0, 100.0]], masks=[np.packbits(mask.reshape(-1))], **arrays)
    landmarks = np.full((1, 64, 64), -1, np.int16)
    landmarks[0, :, :32], landmarks[0, :, 32:] = 0, 1
    others = {field.name: np.zeros(1, np.float32) for field in fields(Fits)}
    np.savez(tmp_path / "fits.npz", **others | {"row": [0], "kept": [True], "landmarks": landmarks})
    return tmp_path


def test_a_folder_without_boxes_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"neither boxes\.json"):
        load_pictures(tmp_path)


def test_some_pictures_are_kept_out_of_training(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text(json.dumps({name_of(n): {"boxes_xyxy": []} for n in range(200)}))
    training, others = load_pictures(tmp_path), load_pictures(tmp_path, held_out_only=True)
    assert len(training) + len(others) == 200
    assert 8 <= len(others) <= 35
    assert not {p.path for p in training} & {p.path for p in others}


def test_teachers_add_those_whom_no_one_boxed() -> None:
    drawn = np.array([[0, 0, 20, 40]], np.float32)
    taught = {
        "boxes_xyxy": [[1, 0, 20, 40], [50, 0, 70, 40], [80, 0, 90, 20], [30, 0, 40, 9]],
        "scores": [0.9, 0.7, 0.3, 0.05],
    }
    boxes, weights, open_boxes = with_teachers(drawn, taught)
    np.testing.assert_array_equal(boxes, [[0, 0, 20, 40], [50, 0, 70, 40]])
    np.testing.assert_allclose(weights, [1, 0.7])
    np.testing.assert_array_equal(open_boxes, [[80, 0, 90, 20]])


@pytest.mark.parametrize("flip", [False, True])
def test_box_mask_and_landmarks_move_with_the_picture(folder: Path, flip: bool) -> None:
    picture = load_pictures(folder)[0]
    image = cv2.resize(picture.read(), (80, 60), interpolation=cv2.INTER_AREA)
    to_sample = np.array([[0.5, 0, 5], [0, 0.5, -3]])
    sample = cut(image, (-5, 3), SIZE, picture, to_sample, flip, MIRRORED)
    red = sample.image[..., 0] > 128
    assert red[:, 0].sum() == 0
    red &= sample.image[..., 1] < 60
    own = sample.instances == 1
    assert np.mean(red != own) < 0.02
    (box,) = people_of(sample).boxes
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    np.testing.assert_allclose(box, [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], atol=1)
    left = sample.landmarks[:, columns[2]][rows[5:-5]]
    assert (left == 0).all(), "a mirror swaps sides twice: in the picture and by name"


def test_a_person_cut_by_the_frame_keeps_what_is_seen(folder: Path) -> None:
    picture = load_pictures(folder)[1]
    to_sample = np.array([[1.0, 0, -70], [0, 1.0, -30]])
    sample = cut(picture.read(), (70, 30), SIZE, picture, to_sample, False, MIRRORED)
    (person,) = sample.people
    assert person.box_xyxy == (0, 0, 30, 64)
    assert not person.masked
    far = cut(picture.read(), (96, 90), SIZE, picture, np.array([[1.0, 0, -96], [0, 1.0, -90]]), False, MIRRORED)
    assert not far.people
    assert far.ignore[:10, :4].all()


def test_four_pictures_stand_side_by_side(folder: Path) -> None:
    picture = load_pictures(folder)[0]
    to_sample = np.array([[0.3, 0, 0], [0, 0.3, 0]])
    image = cv2.resize(picture.read(), (48, 36))
    quarter = cut(image, (0, 0), (32, 48), picture, to_sample, False, MIRRORED)
    whole = side_by_side([quarter] * 4)
    assert whole.image.shape == (64, 96, 3)
    assert [p.number for p in whole.people] == [1, 2, 3, 4]
    for person in whole.people:
        left, top, right, bottom = (round(v) for v in person.box_xyxy)
        middle = whole.instances[(top + bottom) // 2, (left + right) // 2]
        assert middle == person.number


def test_samples_are_reproducible(folder: Path) -> None:
    pictures = Pictures(load_pictures(folder), MIRRORED)
    for seed in range(8):
        first, second = (pictures.sample(np.random.default_rng(seed), SIZE) for _ in range(2))
        np.testing.assert_array_equal(first.image, second.image)
        assert first.people == second.people


def test_a_person_is_cut_out_along_the_mask(folder: Path) -> None:
    picture = load_pictures(folder)[0]
    mask = picture.masks[0]
    assert mask is not None
    cutout = cut_out_person(picture.read(), mask)
    solid = cutout.alpha > 200
    assert (cutout.image[solid] == RED).mean() > 0.98
    assert abs(cutout.alpha.shape[0] - 80) <= 3
    assert abs(cutout.alpha.shape[1] - 40) <= 3


def test_a_picture_that_is_gone_is_a_clear_error(tmp_path: Path) -> None:
    nothing = np.zeros((0, 4), np.float32)
    with pytest.raises(OptionError, match="cannot read"):
        BoxedPicture(tmp_path / "gone.png", nothing, nothing[:, 0], nothing, ()).read()
    assert PersonMask((8.0, 8.0), 16.0, np.zeros(8192, np.uint8)).mask().sum() == 0
