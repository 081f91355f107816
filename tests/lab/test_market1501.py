from pathlib import Path

import numpy as np
import pytest

from anonymize.core.errors import OptionError
from anonymize.lab.market1501 import GALLERY, QUERY, ReidFolder, picture_name


def fill(folder: Path, **names: list[str]) -> Path:
    for part, files in names.items():
        (folder / part).mkdir()
        for name in files:
            (folder / part / name).touch()
    return folder


def test_names_say_person_and_camera(tmp_path: Path) -> None:
    fill(
        tmp_path,
        query=["0002_c1s1_000451_03.jpg", "1501_c6s4_1_00.jpg", "notes.txt"],
        bounding_box_test=["-1_c3s2_000001_01.jpg", "0000_c2s1_000001_01.jpg", "0002_c2s1_1_00.jpg", "Thumbs.db"],
    )
    folder = ReidFolder.read(tmp_path)
    assert folder.query.people.tolist() == [2, 1501] and folder.query.cameras.tolist() == [1, 6]
    assert folder.gallery.names == ("bounding_box_test/0000_c2s1_000001_01.jpg", "bounding_box_test/0002_c2s1_1_00.jpg")
    assert folder.gallery.people.tolist() == [0, 2], "junk is left out, distractors stay"


def test_the_first_people_alone(tmp_path: Path) -> None:
    names = ["0000_c1s1_1_00.jpg", "0003_c1s1_1_00.jpg", "0005_c2s1_1_00.jpg", "0009_c2s1_1_00.jpg"]
    folder = ReidFolder.read(fill(tmp_path, query=names[1:], bounding_box_test=names), people=2)
    assert folder.query.people.tolist() == folder.gallery.people.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "no folder query"),
        ({"query": ["0001_c1_1.jpg"]}, "no folder bounding_box_test"),
        ({"query": ["1.jpg"], "bounding_box_test": ["0001_c1_1.jpg"]}, "named like"),
        ({"query": ["0001_c1_1.jpg"], "bounding_box_test": []}, "named like"),
    ],
)
def test_another_layout_is_one_clear_line(tmp_path: Path, parts: dict[str, list[str]], words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        ReidFolder.read(fill(tmp_path, **parts))
    assert "\n" not in str(caught.value)


def test_names_that_are_written_can_be_read(tmp_path: Path) -> None:
    for part in (QUERY, GALLERY):
        (tmp_path / part).mkdir()
        (tmp_path / picture_name(part, 12, 3, 5)).touch()
    folder = ReidFolder.read(tmp_path)
    np.testing.assert_array_equal([folder.query.people, folder.query.cameras], [[12], [3]])
