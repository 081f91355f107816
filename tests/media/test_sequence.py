import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymize.core.errors import AnonymizeError, MediaError, OptionError
from anonymize.media import SequenceReader, SequenceWriter, pictures_in
from anonymize.media.sequence import check_one_sequence


def write(folder: Path, *names: str, size_hw: tuple[int, int] = (6, 8)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), np.full((*size_hw, 3), 10 * number, np.uint8))
    return folder


def test_numbers_are_sorted_as_people_count(tmp_path: Path) -> None:
    write(tmp_path, "f10.png", "f9.png", "f1.png", "f01.png", "e2 b10.png", "e2 b9.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "f5.png").mkdir()
    assert pictures_in(tmp_path) == ["e2 b9.png", "e2 b10.png", "f01.png", "f1.png", "f9.png", "f10.png"]


def test_a_link_out_of_the_folder_is_no_picture_of_it(tmp_path: Path) -> None:
    write(tmp_path / "in", "1.png")
    write(tmp_path / "other", "2.png")
    (tmp_path / "in" / "2.png").symlink_to(tmp_path / "other" / "2.png")
    (tmp_path / "in" / "3.png").symlink_to("1.png")
    assert pictures_in(tmp_path / "in") == ["1.png", "3.png"]


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ({}, "12345"),
        ({"start": 0.5}, "2345"),
        ({"start": 0.6}, "345"),
        ({"end": 1}, "12"),
        ({"end": 1.1}, "123"),
        ({"start": 0.5, "end": 1.5}, "23"),
    ],
)
def test_the_part_from_start_to_end(tmp_path: Path, part: dict[str, float], names: str) -> None:
    write(tmp_path, *(f"{number}.png" for number in "12345"))
    with SequenceReader(tmp_path, fps=2, **part) as film:
        frames = list(film)
        assert film.info.frames == len(frames)
        assert float(film.info.shift) == (int(names[0]) - 1) / 2
    assert "".join(frame.source.path.stem for frame in frames) == names
    assert [frame.pts_seconds for frame in frames] == [number / 2 for number in range(len(names))]
    assert [frame.index for frame in frames] == list(range(len(names)))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"start": 9}, "ends before --start 9"),
        ({"start": 2, "end": 1}, "--end 1 is not after --start 2"),
        ({"end": -1}, "--end must be a number of seconds"),
        ({"fps": 0}, "--fps must be above 0"),
        ({"fps": float("nan")}, "--fps must be above 0"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, options: dict[str, float], told: str) -> None:
    write(tmp_path, "1.png")
    with pytest.raises(AnonymizeError, match=told):
        SequenceReader(tmp_path, **options)


def test_no_pictures_or_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="has no pictures"):
        SequenceReader(tmp_path)
    with pytest.raises(MediaError, match="no folder"):
        SequenceReader(tmp_path / "none")


def test_another_size_is_one_error_before_any_picture_is_read(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "2.png")
    write(tmp_path, "3.png", size_hw=(8, 6))
    with pytest.raises(MediaError, match=r"3\.png is 6x8, the pictures before it are 8x6"):
        SequenceReader(tmp_path)


def test_a_damaged_picture_fails_or_is_dropped_and_keeps_its_time(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:-30])
    with pytest.raises(MediaError, match=r"2\.png"), SequenceReader(tmp_path) as film:
        list(film)
    with SequenceReader(tmp_path, tolerate_corrupt=True) as film:
        assert [(frame.index, frame.pts) for frame in film] == [(0, 0), (1, 2)]
    assert film.corrupt_frames == 1


def test_results_appear_together_and_beside_what_is_there(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in", "1.png", "2.png"), tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with SequenceReader(source) as film, SequenceWriter(out, film) as writer:
        for frame in film:
            writer.write(frame)
        assert not (out / "1.png").exists()
    assert sorted(path.name for path in out.iterdir()) == ["1.png", "2.png", "notes.txt"]
    assert (cv2.imread(str(out / "2.png")) == cv2.imread(str(source / "2.png"))).all()


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in", "1.png", "2.png"), tmp_path / "out"
    with pytest.raises(ZeroDivisionError), SequenceReader(source) as film, SequenceWriter(out, film) as writer:
        writer.write(next(iter(film)))
        raise ZeroDivisionError
    assert not out.exists()


def test_what_is_there_and_the_input_are_not_replaced(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in", "1.png"), write(tmp_path / "out", "1.png")
    film = SequenceReader(source)
    with pytest.raises(MediaError, match="--overwrite replaces it"), SequenceWriter(out, film):
        pass
    with pytest.raises(MediaError, match="it is the input"), SequenceWriter(source, film, overwrite=True):
        pass
    with SequenceWriter(out, film, overwrite=True) as writer:
        for frame in film:
            writer.write(frame)


def test_two_pictures_of_one_result_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "in", "1.png", "1.png.png")
    shutil.move(tmp_path / "in" / "1.png", tmp_path / "in" / "1")
    shutil.move(tmp_path / "in" / "1.png.png", tmp_path / "in" / "1.png")
    film = SequenceReader(tmp_path / "in")
    with pytest.raises(MediaError, match=r"would both become 1\.png"), SequenceWriter(tmp_path / "out", film):
        pass


def test_a_folder_of_several_sequences_is_told(tmp_path: Path) -> None:
    write(tmp_path / "in", "1.png")
    check_one_sequence(tmp_path / "in")
    write(tmp_path / "in" / "a", "1.png")
    with pytest.raises(OptionError, match="more than one sequence"):
        check_one_sequence(tmp_path / "in")
