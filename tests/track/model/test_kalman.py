"""Prediction of boxes."""

import numpy as np
import pytest

from anonymize.track.model.kalman import Motion
from tests.track.scenes import CONFIG


def box(*values: float) -> np.ndarray:
    return np.array([values], np.float64)


def test_a_steady_walk_is_predicted() -> None:
    motion = Motion(CONFIG)
    motion.add(box(0, 0, 20, 60))
    for k in range(1, 15):
        motion.predict(0.1)
        motion.update(np.array([0]), box(4 * k, 0, 4 * k + 20, 60), np.ones(1))
    motion.predict(0.5)
    assert motion.boxes_xyxy[0] == pytest.approx([76, 0, 96, 60], abs=3)


def test_a_hidden_track_does_not_shrink_away() -> None:
    motion = Motion(CONFIG)
    motion.add(box(0, 0, 40, 60))
    for k in range(1, 6):  # disappears behind something from the right
        motion.predict(0.1)
        motion.update(np.array([0]), box(0, 0, 40 - 6 * k, 60), np.ones(1))
    for _ in range(20):
        motion.coast(np.array([True]), 0.1)
        motion.predict(0.1)
    left, top, right, bottom = motion.boxes_xyxy[0]
    assert bottom - top == pytest.approx(60, rel=0.2)
    assert right - left > 4


def test_the_camera_takes_all_tracks_along() -> None:
    motion = Motion(CONFIG)
    motion.add(box(10, 10, 30, 50))
    motion.warp(np.array([[2.0, 0, 5], [0, 2, 0]]))
    assert motion.boxes_xyxy[0] == pytest.approx([25, 20, 65, 100])


def test_the_weight_of_a_detection() -> None:
    """A new track's speed is known to 0.8 heights a second and a box to 0.05 heights: after 0.1 s 79 % are believed."""
    motion = Motion(CONFIG)
    motion.add(box(0, 0, 40, 100))
    assert motion.deviation[0] == pytest.approx(0.05)
    motion.predict(0.1)
    motion.update(np.array([0]), box(10, 0, 50, 100), np.ones(1))
    assert motion.boxes_xyxy[0, 0] == pytest.approx(7.9, abs=0.1)


def test_a_prediction_becomes_unsure_with_time() -> None:
    """In one second by the speed, 0.8 and 0.3 heights, and by its change, 1.2 and 0.6 over the root of three."""
    motion = Motion(CONFIG)
    motion.add(box(0, 0, 40, 100))
    motion.predict(1.0)
    variance = 0.05**2 + (0.8**2 + 0.3**2 + (1.2**2 + 0.6**2) / 3) / 2
    assert motion.deviation[0] == pytest.approx(variance**0.5, abs=1e-3)


def test_a_track_that_is_not_found_slows_down() -> None:
    motion = Motion(CONFIG)
    motion.add(box(0, 0, 40, 100))
    motion.mean[0, :, 1] = 10
    motion.coast(np.array([True]), 0.1)
    assert motion.mean[0, :, 1] == pytest.approx([9.5, 5.1, 5.1, 5.1], abs=0.05)
