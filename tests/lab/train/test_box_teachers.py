import json
from pathlib import Path

import numpy as np
import pytest

from anonymize.core.boxes import box_iou
from anonymize.lab.train.box_teachers import ScoredBoxes, fuse, letterbox, suppress


def boxes(*rows: tuple[float, float, float, float, float]) -> ScoredBoxes:
    values = np.array(rows, np.float32).reshape(-1, 5)
    return ScoredBoxes(values[:, :4], values[:, 4])


def test_iou_of_boxes() -> None:
    a = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(box_iou(a, np.array([[0, 0, 10, 5]], np.float32)), [[0.5], [0]])
    assert box_iou(a[:0], a).shape == (0, 2)


def test_the_best_of_overlapping_boxes_stays() -> None:
    kept = suppress(boxes((0, 0, 10, 10, 0.5), (1, 0, 11, 10, 0.9), (50, 0, 60, 10, 0.3)), 0.6)
    np.testing.assert_allclose(kept.scores, [0.9, 0.3])
    assert len(suppress(boxes(), 0.6).scores) == 0


def test_what_both_find_is_surer_than_what_one_finds() -> None:
    fused = fuse([boxes((0, 0, 10, 10, 0.8), (40, 0, 50, 10, 0.8)), boxes((0, 0, 10, 12, 0.8))])
    np.testing.assert_allclose(fused.scores, [0.8, 0.4])
    np.testing.assert_allclose(fused.xyxy, [[0, 0, 10, 11], [40, 0, 50, 10]])
    assert fuse([boxes(), boxes()]).xyxy.shape == (0, 4)


def test_a_picture_keeps_its_shape_on_the_canvas() -> None:
    canvas, scale = letterbox(np.full((50, 100, 3), 9, np.uint8), (80, 80), 114)
    assert scale == pytest.approx(0.8)
    assert (canvas[:40] == 9).all()
    assert (canvas[40:] == 114).all()


@pytest.mark.shared
def test_the_teachers_find_the_people_of_real_pictures(shared: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra `label`")
    pytest.importorskip("onnxruntime", reason="needs the extra `label`")
    from anonymize.lab.train.box_teachers import BoxTeachers
    from anonymize.lab.train.pictures import BoxedPicture

    data = shared / "data" / "people_boxes"
    drawn = np.array(json.loads((data / "boxes.json").read_text())["0000.webp"]["boxes_xyxy"], np.float32)
    picture = BoxedPicture(data / "pictures" / "0000.webp", drawn, drawn[:, 0], drawn, ())
    found = BoxTeachers(shared / "data" / "teachers").boxes(picture.read())
    assert (box_iou(drawn, found.xyxy[found.scores > 0.4]).max(1) > 0.6).all()
