from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from anonymize.cli import app
from anonymize.core.errors import OptionError
from anonymize.core.types import UInt8Array
from anonymize.lab.evaluate.people import People, count, match, measure, sure_landmarks
from anonymize.lab.train.blazepose import Answer
from anonymize.lab.train.box_teachers import ScoredBoxes

GREY = np.full((80, 100, 3), 128, np.uint8)


def find(image: UInt8Array) -> ScoredBoxes:
    """People are bright rectangles; the score is the brightness."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 1] > 140).view(np.uint8))
    boxes = stats[1:count, :4].astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    scores = [float(image[int(y), int(x), 1]) / 255 for x, y, _, _ in boxes]
    return ScoredBoxes(boxes, np.array(scores, np.float32))


def pose(crop: UInt8Array) -> Answer:
    """A body whose hips lie below its shoulders; the right wrist's place is told by the red channel."""
    landmarks = np.zeros((33, 5), np.float32)
    landmarks[[11, 12], 1], landmarks[[23, 24], 1], landmarks[:, 0] = 60, 160, 128
    landmarks[[11, 12, 23, 24, 16], 3:] = 1
    landmarks[16, :2] = 100, crop[128, 128, 0]
    return Answer(landmarks, np.zeros((33, 3), np.float32), 1.0, np.ones((256, 256), np.bool_))


def scene(*people: tuple[int, int, int], red: int = 200) -> UInt8Array:
    """A picture with people: left side, top and brightness."""
    image = GREY.copy()
    for x, y, bright in people:
        image[y : y + 40, x : x + 20] = (red, bright, bright)
    return image


def test_who_is_seen_again_and_who_is_not() -> None:
    counted = People()
    count(counted, scene((5, 5, 250), (50, 20, 200)), scene((7, 6, 220), (80, 20, 200)), find, None, 0.5)
    count(counted, scene(), scene((7, 6, 220)), find, None, 0.5)
    found = counted.figures()
    assert found["pictures"] == 2 and found["people"] == 2 and found["seen"] == 0.5
    assert found["score_before"] == pytest.approx(450 / 255 / 2)
    assert found["score_after"] == pytest.approx(220 / 255 / 2)
    assert found["landmarks_kept"] is None


def test_a_score_that_is_too_low_is_nobody() -> None:
    counted = People()
    count(counted, scene((5, 5, 250)), scene((5, 5, 170)), find, None, 0.8)
    assert counted.figures()["seen"] == 0


def test_nobody_is_no_figure() -> None:
    assert People().figures()["seen"] is None
    assert "| - |" in People().table()


def test_each_box_has_a_partner_of_its_own() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10]], np.float32)
    one = np.array([[0, 0, 10, 10]], np.float32)
    assert match(boxes, one, np.array([0.9], np.float32)).tolist() == [pytest.approx(0.9), 0, 0]
    assert match(boxes, np.zeros((0, 4), np.float32), np.zeros(0, np.float32)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("red", "kept"), [(200, 1.0), (209, 1.0), (215, 0.8)])
def test_landmarks_within_a_tenth_of_the_torso_are_kept(red: int, kept: float) -> None:
    counted = People()
    count(counted, scene((20, 20, 250)), scene((20, 20, 250), red=red), find, pose, 0.5)
    assert counted.posed == 1 and counted.landmarks == 5
    assert counted.figures()["landmarks_kept"] == pytest.approx(kept)


@pytest.mark.parametrize("change", ["presence", "hip", "short"])
def test_without_a_sure_torso_there_is_no_pose(change: str) -> None:
    answer = pose(np.full((256, 256, 3), 100, np.uint8))
    if change == "presence":
        answer = Answer(answer.landmarks, answer.world, 0.2, answer.mask)
    elif change == "hip":
        answer.landmarks[23, 3] = 0.3
    else:
        answer.landmarks[[23, 24], 1] = 65
    assert not sure_landmarks(answer)[0].any()


def test_folders_and_pictures(tmp_path: Path) -> None:
    before, after = tmp_path / "in", tmp_path / "out"
    for folder, shift in ((before, 0), (after, 2)):
        (folder / "sub").mkdir(parents=True)
        cv2.imwrite(str(folder / "a.png"), scene((5 + shift, 5, 250)))
        cv2.imwrite(str(folder / "sub" / "b.png"), scene((30 + 20 * shift, 5, 250)))
    assert measure(before, after, find).figures()["seen"] == 0.5
    assert measure(before / "a.png", after / "a.png", find).figures()["seen"] == 1
    (after / "a.png").unlink()
    with pytest.raises(OptionError, match=r"has no a\.png \(1 of 2"):
        measure(before, after, find)
    with pytest.raises(OptionError, match="one is a folder"):
        measure(before, before / "a.png", find)
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionError, match="no films and no pictures"):
        measure(tmp_path / "empty", after, find)


def test_films(tmp_path: Path, make_film: Callable[..., Path]) -> None:
    film, short = make_film(tmp_path / "a.mp4", frames=7), make_film(tmp_path / "b.mp4", frames=5)
    assert measure(film, film, find, every=3).pictures == 3
    with pytest.raises(OptionError, match="different numbers of frames"):
        measure(film, short, find)


def test_sizes_that_differ_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), GREY)
    cv2.imwrite(str(tmp_path / "b.png"), GREY[:-1])
    with pytest.raises(OptionError, match="100 x 80 and 100 x 79"):
        measure(tmp_path / "a.png", tmp_path / "b.png", find)


def test_a_file_that_is_no_network_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    cv2.imwrite(str(tmp_path / "a.png"), GREY)
    (tmp_path / "no.onnx").write_bytes(b"no network")
    paths = [str(tmp_path / name) for name in ("a.png", "a.png", "no.onnx")]
    result = CliRunner().invoke(app, ["evaluate", "people", *paths[:2], "--detector", paths[2]])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1 and "no.onnx as ONNX" in result.stderr
