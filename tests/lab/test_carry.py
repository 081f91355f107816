import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymize.core.errors import OptionError
from anonymize.lab.carry import join, pack, split
from anonymize.lab.train.bank import load_photos
from anonymize.lab.train.pictures import load_pictures


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    for name in ("ccp/photos", "ccp/labels", "ccp/teacher", "boxed/street/pictures", "boxed/night/pictures"):
        (folder / name).mkdir(parents=True)
    boxes = {}
    for number in range(12):
        image = rng.integers(0, 255, (60, 60, 3), dtype=np.uint8)
        labels = np.full((60, 60), 13, np.uint8)
        cv2.imwrite(str(folder / f"ccp/photos/{number:04d}.webp"), image)
        for kind in ("labels", "teacher"):
            cv2.imwrite(str(folder / f"ccp/{kind}/{number:04d}.png"), labels)
        for place in ("street", "night"):
            cv2.imwrite(str(folder / f"boxed/{place}/pictures/{number:04d}.webp"), image)
        boxes[f"{number:04d}.webp"] = {"boxes_xyxy": [[1, 2, 30, 40]]}
    for place in ("street", "night"):
        (folder / f"boxed/{place}/boxes.json").write_text(json.dumps(boxes))
    return folder


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_is_packed_fits_and_can_be_trained_on(data: Path, tmp_path: Path) -> None:
    limit = size_of(data) // 2
    taken = pack(data, tmp_path / "carry", limit)
    assert size_of(tmp_path / "carry") <= taken <= limit
    assert load_photos(tmp_path / "carry" / "ccp")
    for place in ("street", "night"):
        pictures = load_pictures(tmp_path / "carry" / "boxed" / place)
        assert pictures
        assert all(len(picture.boxes) == 1 and picture.read().size for picture in pictures)


def test_everything_is_packed_where_there_is_room(data: Path, tmp_path: Path) -> None:
    pack(data, tmp_path / "carry", 10 * size_of(data))
    assert len(list((tmp_path / "carry").rglob("*.webp"))) == 36


def test_a_folder_that_exists_is_left_alone(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="exists"):
        pack(data, tmp_path, 1000)


@pytest.mark.parametrize("length", [0, 10, 11, 25])
def test_a_file_comes_back_from_its_parts(length: int, tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(bytes(range(length)))
    count = split(file, tmp_path / "parts", 10)
    assert count == max(1, -(-length // 10))
    assert all(path.stat().st_size <= 10 for path in (tmp_path / "parts").iterdir())
    (tmp_path / "back").mkdir()
    join(tmp_path / "parts", tmp_path / "back" / "weights.bin")
    assert (tmp_path / "back" / "weights.bin").read_bytes() == file.read_bytes()


def test_a_missing_part_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "weights.bin.001").write_bytes(b"x")
    with pytest.raises(OptionError, match="all parts"):
        join(tmp_path, tmp_path / "weights.bin")
