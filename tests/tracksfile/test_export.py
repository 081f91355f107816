import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anonymize.core.errors import MediaError
from anonymize.core.types import PLATES_AFTER, Detections, Frame, RegionMask, Tracks
from anonymize.tracksfile import rle
from anonymize.tracksfile.export import write_coco, write_mot, writer_for

SIZE = (30, 40)


def tracked(count: int = 3) -> list[tuple[Frame, Tracks]]:
    frames = []
    for k in range(count):
        masks = (RegionMask(4 + k, 5, np.ones((10, 6), np.bool_)),) if k != 1 else ()
        found = Detections(
            SIZE,
            np.array([m.box_xyxy for m in masks], np.float32).reshape(-1, 4),
            np.full(len(masks), 0.75, np.float32),
            masks,
            np.zeros(len(masks), np.bool_),
        )
        frame = Frame(np.zeros((*SIZE, 3), np.uint8), index=k, pts=k, time_base=Fraction(1, 10))
        frames.append((frame, Tracks(found, np.full(len(masks), 7), np.full(len(masks), k == 2))))
    return frames


@pytest.mark.parametrize("write", [write_mot, write_coco])
def test_the_frames_go_through(tmp_path: Path, write: Callable[..., Any]) -> None:
    frames = tracked()
    assert list(write(tmp_path / "out", iter(frames))) == frames


def test_mot(tmp_path: Path) -> None:
    list(write_mot(tmp_path / "out.txt", tracked()))
    assert (tmp_path / "out.txt").read_text() == (
        "1,7,5.00,6.00,6.00,10.00,0.7500,-1,-1,-1\n3,7,7.00,6.00,6.00,10.00,0.7500,-1,-1,-1\n"
    )


def test_coco_is_read_back(tmp_path: Path) -> None:
    frames = tracked()
    list(write_coco(tmp_path / "out.coco.json", frames))
    data = json.loads((tmp_path / "out.coco.json").read_text())
    assert [picture["id"] for picture in data["images"]] == [1, 2, 3]
    first, last = data["annotations"]
    assert (first["image_id"], first["track_id"], first["bbox"], first["filled"]) == (1, 7, [4, 5, 6, 10], False)
    assert last["filled"]
    assert last["segmentation"]["size"] == [*SIZE]
    mask = rle.decode(last["segmentation"]["counts"], SIZE).to_full(SIZE)
    assert np.array_equal(mask, frames[2][1].detections.masks[0].to_full(SIZE))


@pytest.mark.parametrize(("write", "left"), [(write_mot, "7"), (write_coco, '"track_id":7')])
def test_what_belongs_to_no_track_is_left_out(tmp_path: Path, write: Callable[..., Any], left: str) -> None:
    frames = tracked(3)
    for (_, tracks), number in zip(frames[::2], (0, 7), strict=True):
        tracks.ids[:] = number
    assert list(write(tmp_path / "out", frames)) == frames
    text = (tmp_path / "out").read_text()
    assert left in text
    assert ("\n1,0," not in f"\n{text}") and ('"track_id":0' not in text)


def test_coco_without_people(tmp_path: Path) -> None:
    list(write_coco(tmp_path / "out.coco.json", []))
    assert json.loads((tmp_path / "out.coco.json").read_text())["annotations"] == []


@pytest.mark.parametrize("write", [write_mot, write_coco])
def test_an_interrupted_run_leaves_no_file(tmp_path: Path, write: Callable[..., Any]) -> None:
    def broken() -> Any:
        yield from tracked(2)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        list(write(tmp_path / "out", broken()))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot write"):
        list(write_mot(tmp_path / "no" / "out.txt", tracked()))


def test_writers_by_suffix() -> None:
    assert writer_for(Path("a.txt")) is write_mot
    assert writer_for(Path("a.coco.json")) is write_coco
    assert writer_for(Path("a.json")) is None


def test_plates_have_a_category_in_coco_and_are_left_out_of_mot(tmp_path: Path) -> None:
    frames = [(frame, replace(tracks, ids=tracks.ids + PLATES_AFTER)) for frame, tracks in tracked()]
    list(write_coco(tmp_path / "out.coco.json", frames))
    data = json.loads((tmp_path / "out.coco.json").read_text())
    names = {each["id"]: each["name"] for each in data["categories"]}
    assert {names[each["category_id"]] for each in data["annotations"]} == {"number plate"}
    list(write_mot(tmp_path / "out.txt", frames))
    assert (tmp_path / "out.txt").read_text() == ""
