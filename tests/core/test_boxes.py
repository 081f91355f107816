import numpy as np
import pytest

from anonymize.core.boxes import box_areas, box_common, box_iou, box_share, iou_of

A = np.array([[0, 0, 4, 2], [10, 10, 12, 14]], np.float32)
B = np.array([[2, 0, 6, 2], [20, 20, 30, 30], [0, 0, 4, 2]], np.float32)


def test_areas_and_overlap() -> None:
    np.testing.assert_array_equal(box_areas(A), [8, 8])
    np.testing.assert_array_equal(box_common(A, B), [[4, 0, 8], [0, 0, 0]])
    np.testing.assert_allclose(box_iou(A, B), [[1 / 3, 0, 1], [0, 0, 0]])
    np.testing.assert_allclose(box_share(A, B), [[0.5, 0, 1], [0, 0, 0]])


def test_a_single_pair_is_as_in_the_table() -> None:
    for i in range(len(A)):
        for j in range(len(B)):
            assert iou_of(A[i], B[j]) == pytest.approx(box_iou(A, B)[i, j])


def test_no_boxes() -> None:
    none = np.zeros((0, 4), np.float32)
    assert box_iou(A, none).shape == (2, 0) and box_iou(none, A).shape == (0, 2)
    assert box_iou(np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32)) == 0, (
        "empty boxes divide nothing by zero"
    )
