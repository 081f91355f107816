"""Boxes and masks that do not flicker."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from anonymize.core.types import Detections, Frame, RegionMask
from anonymize.track.model.camera_motion import identity
from anonymize.track.model.frame_state import FrameState, Observation
from anonymize.track.model.thumbnail import Thumbnail
from anonymize.track.output.smoothing import steady_box, steady_mask
from tests.track.scenes import CONFIG

SIZE = (120, 160)


def box(*values: float) -> np.ndarray:
    return np.array([values], np.float64)


def observations(masks: list[np.ndarray], lefts: list[float], rate: int = 30) -> list[Observation]:
    made = []
    for k, (mask, left) in enumerate(zip(masks, lefts, strict=True)):
        frame = Frame(np.zeros((*SIZE, 3), np.uint8), index=k, pts=k, time_base=Fraction(1, rate))
        thumbnail = Thumbnail.of(frame.image, (), CONFIG)
        state = FrameState(frame, Detections.empty(SIZE), k / rate, identity(), np.ones(0, np.bool_), thumbnail)
        height, width = mask.shape
        made.append(
            Observation(state, box(left, 10, left + width, 10 + height)[0], RegionMask(int(left), 10, mask), 0.9)
        )
    return made


class TestSmoothing:
    def test_jitter_of_boxes_shrinks_and_a_steady_walk_stays(self) -> None:
        full, jitter = np.ones((60, 30), np.bool_), [0, 1, -1, 1, -1, 1, -1, 1, 0]
        noisy = observations([full] * 9, [40 + j for j in jitter])
        centres = [steady_box(noisy, k, CONFIG)[0] for k in range(9)]
        assert np.abs(np.diff(centres)).mean() < 0.5 * np.abs(np.diff(jitter)).mean()
        walk = observations([full] * 9, [10 + 3 * k for k in range(9)])
        assert steady_box(walk, 4, CONFIG) == pytest.approx(walk[4].box)

    def test_nothing_the_detector_saw_is_lost(self) -> None:
        rng = np.random.default_rng(0)
        masks = [rng.random((60, 30)) < 0.8 for _ in range(5)]
        noisy = observations(masks, [40.0] * 5)
        steady = steady_mask(noisy, 2, CONFIG).to_full(SIZE)
        assert steady[noisy[2].mask.slices][noisy[2].mask.mask].all()
        assert steady.sum() > noisy[2].mask.area

    def test_a_hole_of_one_frame_is_closed(self) -> None:
        full, torn = np.ones((60, 30), np.bool_), np.ones((60, 30), np.bool_)
        torn[20:40] = False
        assert steady_mask(observations([full, torn, full], [40.0] * 3), 1, CONFIG).area == 1800

    def test_a_mask_does_not_tremble_with_the_box(self) -> None:
        full = np.ones((60, 30), np.bool_)
        trembling = [
            replace(s, box=s.box + shift)
            for s, shift in zip(observations([full] * 3, [40.0] * 3), (0.5, -0.5, 0.5), strict=True)
        ]
        assert steady_mask(trembling, 1, CONFIG) is trembling[1].mask
        walking = observations([full] * 3, [40.0, 44.0, 48.0])  # and these are carried along
        assert steady_mask(walking, 1, CONFIG) is walking[1].mask

    def test_the_weights_of_neighbours_and_how_far_they_reach(self) -> None:
        """The line through seven boxes, with Gaussian weights of 0.12 s: one box that jumps by 1 px is moved back."""
        full, jump = np.ones((60, 60), np.bool_), 0.6
        lefts = [40.0] * 15
        lefts[7] += jump
        shifted = [steady_box(observations([full] * 15, lefts), k, CONFIG)[0] - 40 for k in range(15)]
        weights = np.exp(-0.5 * (np.arange(-3, 4) / 30 / 0.12) ** 2)
        assert shifted[7] == pytest.approx(jump * weights[3] / weights.sum(), abs=1e-6)
        assert shifted[4] == pytest.approx(jump * weights[0] / weights.sum(), abs=1e-6)
        assert shifted[3] == pytest.approx(0, abs=1e-9)

    def test_a_box_is_moved_by_5_percent_of_its_size_at_most(self) -> None:
        full = np.ones((60, 40), np.bool_)
        jump = observations([full] * 7, [40.0, 40.0, 40.0, 60.0, 40.0, 40.0, 40.0])
        assert steady_box(jump, 3, CONFIG)[0] == pytest.approx(58)

    @pytest.mark.parametrize(("rate", "closed"), [(6, True), (4, False)])
    def test_masks_near_in_time_close_a_hole(self, rate: int, closed: bool) -> None:
        full, torn = np.ones((60, 30), np.bool_), np.ones((60, 30), np.bool_)
        torn[20:40] = False
        steady = steady_mask(observations([full, torn, full], [40.0] * 3, rate), 1, CONFIG)
        assert steady.area == (1800 if closed else 1200)

    @pytest.mark.parametrize(("missing", "noise"), [(6, True), (20, False)])
    def test_masks_that_are_almost_the_same_are_united(self, missing: int, noise: bool) -> None:
        """All pixels of either are taken then, although only one of the neighbours has them."""
        full, less = np.ones((60, 30), np.bool_), np.ones((60, 30), np.bool_)
        less[:missing] = False
        steady = steady_mask(observations([full, less, less], [40.0] * 3), 1, CONFIG)
        assert (steady.area == 1800) == noise

    @pytest.mark.parametrize(("shift", "still"), [(1.0, True), (4.0, False)])
    def test_masks_of_a_person_who_moves_are_carried_along(self, shift: float, still: bool) -> None:
        """A box of 60 x 60 that is shifted by 1 pixel has an IoU of 0.97 with itself, by 4 of 0.88."""
        full = np.ones((60, 60), np.bool_)
        moved = observations([full, full], [40.0, 40.0])
        moved[1] = replace(moved[1], box=moved[1].box + np.array([shift, 0, shift, 0]))
        steady = steady_mask(moved, 1, CONFIG)
        assert (steady.area == 3600) == still
