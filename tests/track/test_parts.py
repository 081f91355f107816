"""The parts of the tracker, each for itself."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch

from anonymize.core.types import Detections, Frame, RegionMask
from anonymize.track.geometry import (
    box_iou,
    empty_mask,
    hull,
    iou_of,
    mask_grids,
    move_mask,
    pair_mask_overlap,
    up_to_border,
)
from anonymize.track.model.appearance import Looks, PartTable, describe
from anonymize.track.model.camera_motion import CameraMotion, apply_to_boxes, identity, inverse, then
from anonymize.track.model.frame_state import Moment, Sighting
from anonymize.track.model.kalman import Motion
from anonymize.track.model.thumbnail import Glance
from anonymize.track.online.association import assign, likely
from anonymize.track.online.template import find
from anonymize.track.output.smoothing import steady_box, steady_mask

SIZE = (120, 160)


def texture(seed: int, size_hw: tuple[int, int] = SIZE, cell: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (size_hw[0] // cell, size_hw[1] // cell, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def box(*values: float) -> np.ndarray:
    return np.array([values], np.float64)


class TestGeometry:
    def test_box_iou(self) -> None:
        a = np.array([[0, 0, 2, 2], [0, 0, 0, 0]], np.float32)
        b = np.array([[1, 0, 3, 2], [5, 5, 6, 6]], np.float32)
        assert box_iou(a, b) == pytest.approx(np.array([[1 / 3, 0], [0, 0]]))
        assert [[iou_of(one, other) for other in b] for one in a] == [[pytest.approx(1 / 3), 0], [0, 0]]

    def test_masks_of_crossing_people_overlap_less_than_their_boxes(self) -> None:
        left, right = np.tri(40, 40, dtype=bool), ~np.tri(40, 40, dtype=bool)
        grids = [mask_grids([RegionMask(0, 0, m)], box(0, 0, 40, 40)) for m in (left, right)]
        same = pair_mask_overlap(box(0, 0, 40, 40), grids[0], box(0, 0, 40, 40), grids[0])[0]
        other = pair_mask_overlap(box(0, 0, 40, 40), grids[0], box(0, 0, 40, 40), grids[1])[0]
        assert (same[0], other[0]) == pytest.approx((1, 0))

    def test_a_mask_moves_and_grows_with_its_box(self) -> None:
        mask = RegionMask(10, 10, np.ones((20, 10), np.bool_))
        moved = move_mask(mask, box(10, 10, 20, 30)[0], box(50, 20, 70, 60)[0], SIZE)
        assert moved.box_xyxy == (50, 20, 70, 60)

    def test_a_mask_that_leaves_the_frame_is_cut(self) -> None:
        mask = RegionMask(10, 10, np.ones((20, 10), np.bool_))
        assert move_mask(mask, box(10, 10, 20, 30)[0], box(-5, 10, 5, 30)[0], SIZE).box_xyxy == (0, 10, 5, 30)
        assert move_mask(mask, box(10, 10, 20, 30)[0], box(-50, 10, -40, 30)[0], SIZE).area == 0

    def test_the_hull_holds_what_is_between(self) -> None:
        corners = np.zeros((4, 5), np.bool_)
        corners[[0, 0, 3, 3], [0, 4, 0, 4]] = True
        assert hull(RegionMask(7, 3, corners)).mask.all()
        assert hull(RegionMask(7, 3, np.zeros((4, 5), np.bool_))).area == 0
        assert hull(empty_mask()).area == 0

    def test_up_to_the_border_only_where_it_is_touched(self) -> None:
        dot = np.zeros((1, 9), np.bool_)
        dot[0, 4] = True
        for left, covered in ((0, slice(0, 5)), (5, slice(4, 5)), (31, slice(4, 9))):
            [row] = up_to_border(RegionMask(left, 0, dot), (20, 40)).mask
            assert row.sum() == row[covered].sum() == covered.stop - covered.start

    def test_union_and_share(self) -> None:
        a, b = RegionMask(0, 0, np.ones((4, 4), np.bool_)), RegionMask(2, 0, np.ones((4, 4), np.bool_))
        assert RegionMask.union([a, b]).area == 24
        assert a.share_in(b) == 0.5


class TestMotion:
    def test_a_steady_walk_is_foreseen(self) -> None:
        motion = Motion()
        motion.add(box(0, 0, 20, 60))
        for k in range(1, 15):
            motion.predict(0.1)
            motion.update(np.array([0]), box(4 * k, 0, 4 * k + 20, 60), np.ones(1))
        motion.predict(0.5)
        assert motion.boxes_xyxy[0] == pytest.approx([76, 0, 96, 60], abs=3)

    def test_whoever_is_hidden_does_not_shrink_away(self) -> None:
        motion = Motion()
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

    def test_the_camera_takes_everybody_along(self) -> None:
        motion = Motion()
        motion.add(box(10, 10, 30, 50))
        motion.warp(np.array([[2.0, 0, 5], [0, 2, 0]]))
        assert motion.boxes_xyxy[0] == pytest.approx([25, 20, 65, 100])


class TestCamera:
    def test_transforms(self) -> None:
        turn = np.array([[0.9, -0.1, 4], [0.1, 0.9, -2]])
        assert then(turn, inverse(turn)) == pytest.approx(identity(), abs=1e-12)
        assert apply_to_boxes(np.array([[1.0, 0, 3], [0, 1, -1]]), box(0, 5, 4, 9)) == pytest.approx(box(3, 4, 7, 8))

    def test_a_pan_is_measured_although_a_person_walks_against_it(self) -> None:
        wide, person = texture(1, (240, 400)), texture(2, (100, 40))
        camera, found = CameraMotion(), []
        for k in range(4):
            image = wide[:, 6 * k : 6 * k + 320].copy()
            image[80:180, 60 + 9 * k : 100 + 9 * k] = person
            mask = RegionMask(60 + 9 * k, 80, np.ones((100, 40), np.bool_))
            found.append(camera.update(Glance.at(image, [mask])))
        assert found[0] == pytest.approx(identity())
        for transform in found[1:]:
            assert transform == pytest.approx(np.array([[1, 0, -6], [0, 1, 0]]), abs=0.3)

    def test_a_still_or_blank_picture_does_not_move(self) -> None:
        for image in (texture(1), np.zeros((*SIZE, 3), np.uint8)):
            camera = CameraMotion()
            camera.update(Glance.at(image, []))
            assert np.array_equal(camera.update(Glance.at(image, [])), identity())


class TestPicture:
    def test_somebody_who_went_on_is_found(self) -> None:
        before, after, person = texture(1), texture(1), texture(3, (64, 32))
        before[30:94, 20:52] = person
        after[30:94, 24:56] = person
        found = find(before, box(20, 30, 52, 94)[0], after, box(20, 30, 52, 94)[0])
        assert found == pytest.approx(box(24, 30, 56, 94)[0], abs=1.5)

    def test_somebody_who_is_gone_is_not(self) -> None:
        before, person = texture(1), texture(3, (64, 32))
        before[30:94, 20:52] = person
        assert find(before, box(20, 30, 52, 94)[0], texture(1), box(20, 30, 52, 94)[0]) is None

    def test_a_blank_picture_shows_nobody(self) -> None:
        blank = np.zeros((*SIZE, 3), np.uint8)
        assert find(blank, box(20, 30, 52, 94)[0], blank, box(20, 30, 52, 94)[0]) is None


def dressed(top: tuple[int, int, int], legs: tuple[int, int, int], x: int = 40) -> tuple[np.ndarray, Detections]:
    """A person in two colours at x, with a surface of two parts: torso above, thighs below."""
    image = np.full((*SIZE, 3), 128, np.uint8)
    image[20:60, x : x + 30], image[60:100, x : x + 30] = top, legs
    mask = RegionMask(x, 20, np.ones((80, 30), np.bool_))
    embeddings = torch.zeros(1, 2, 112, 112)
    embeddings[:, 0, :56], embeddings[:, 1, 56:] = 1, 1
    one = np.ones(1, np.float32)
    boxes = np.array([mask.box_xyxy], np.float32)
    return image, Detections(SIZE, boxes, one, (mask,), one > 0, embeddings, torch.ones(1, 112, 112))


def look(image: np.ndarray, found: Detections, table: PartTable | None) -> Looks:
    return describe(image, found, table, mask_grids(found.masks, found.boxes_xyxy))


class TestLooks:
    table = PartTable(np.eye(2, dtype=np.float32), np.array([13, 15]))

    def test_the_same_clothes_elsewhere_look_the_same(self) -> None:
        red = look(*dressed((200, 30, 30), (30, 30, 90)), self.table)
        again = look(*dressed((200, 30, 30), (30, 30, 90), x=90), self.table)
        blue = look(*dressed((30, 30, 200), (30, 30, 90)), self.table)
        assert red.distance(again)[0, 0] < 0.01
        assert red.distance(blue)[0, 0] > 0.1

    def test_a_part_is_compared_with_the_same_part_whatever_the_pose(self) -> None:
        image, upright = dressed((200, 30, 30), (30, 30, 90))
        standing = look(image, upright, self.table)
        head_down = Detections(
            SIZE,
            upright.boxes_xyxy,
            upright.scores,
            upright.masks,
            upright.has_cse,
            torch.flip(upright.embeddings, [2]) if upright.embeddings is not None else None,
            upright.segmentations,
        )
        flipped = image.copy()
        flipped[20:100] = image[20:100][::-1]
        assert standing.distance(look(flipped, head_down, self.table))[0, 0] < 0.01
        assert standing.distance(look(flipped, upright, None))[0, 0] > 0.1

    def test_of_whom_only_the_box_is_known_all_of_it_is_looked_at(self) -> None:
        image, found = dressed((200, 30, 30), (30, 30, 90))
        bare = replace(found, masks=(empty_mask(),))
        assert look(image, bare, None).known.all()
        assert look(image, bare, None).distance(look(image, found, None))[0, 0] < 0.2

    def test_nobody(self) -> None:
        looks = look(np.zeros((*SIZE, 3), np.uint8), Detections.empty(SIZE), self.table)
        assert looks.distance(looks).shape == (0, 0)

    def test_a_table_has_a_part_for_each_landmark(self) -> None:
        with pytest.raises(ValueError, match="embedding and parts"):
            PartTable(np.eye(3, dtype=np.float32), np.zeros(2, np.int64))


def sightings(masks: list[np.ndarray], lefts: list[float]) -> list[Sighting]:
    made = []
    for k, (mask, left) in enumerate(zip(masks, lefts, strict=True)):
        frame = Frame(np.zeros((*SIZE, 3), np.uint8), index=k, pts=k, time_base=Fraction(1, 30))
        glance = Glance.at(frame.image, ())
        moment = Moment(frame, Detections.empty(SIZE), k / 30, identity(), np.ones(0, np.bool_), glance)
        height, width = mask.shape
        made.append(Sighting(moment, box(left, 10, left + width, 10 + height)[0], RegionMask(int(left), 10, mask), 0.9))
    return made


class TestSmoothing:
    def test_jitter_of_boxes_shrinks_and_a_steady_walk_stays(self) -> None:
        full, jitter = np.ones((60, 30), np.bool_), [0, 1, -1, 1, -1, 1, -1, 1, 0]
        noisy = sightings([full] * 9, [40 + j for j in jitter])
        centres = [steady_box(noisy, k)[0] for k in range(9)]
        assert np.abs(np.diff(centres)).mean() < 0.5 * np.abs(np.diff(jitter)).mean()
        walk = sightings([full] * 9, [10 + 3 * k for k in range(9)])
        assert steady_box(walk, 4) == pytest.approx(walk[4].box)

    def test_nothing_the_detector_saw_is_lost(self) -> None:
        rng = np.random.default_rng(0)
        masks = [rng.random((60, 30)) < 0.8 for _ in range(5)]
        noisy = sightings(masks, [40.0] * 5)
        steady = steady_mask(noisy, 2).to_full(SIZE)
        assert steady[noisy[2].mask.slices][noisy[2].mask.mask].all()
        assert steady.sum() > noisy[2].mask.area

    def test_a_hole_of_one_frame_is_closed(self) -> None:
        full, torn = np.ones((60, 30), np.bool_), np.ones((60, 30), np.bool_)
        torn[20:40] = False
        assert steady_mask(sightings([full, torn, full], [40.0] * 3), 1).area == 1800

    def test_a_mask_does_not_tremble_with_the_box(self) -> None:
        full = np.ones((60, 30), np.bool_)
        trembling = [
            replace(s, box=s.box + shift)
            for s, shift in zip(sightings([full] * 3, [40.0] * 3), (0.5, -0.5, 0.5), strict=True)
        ]
        assert steady_mask(trembling, 1) is trembling[1].mask
        walking = sightings([full] * 3, [40.0, 44.0, 48.0])  # and these are carried along
        assert steady_mask(walking, 1) is walking[1].mask


def test_the_best_total_of_the_allowed() -> None:
    score = np.array([[0.9, 0.8], [0.8, 0.1]], np.float32)
    assert assign(score, np.ones((2, 2), np.bool_)) == [(0, 1), (1, 0)]
    assert assign(score, np.array([[True, False], [False, False]])) == [(0, 0)]
    assert assign(score, np.zeros((2, 2), np.bool_)) == []


def test_pairs_more_likely_than_not() -> None:
    assert likely(np.array([[1.0, 0.5], [-1.0, -np.inf]], np.float32)) == [(0, 0), (0, 1)]
    assert likely(np.zeros((0, 3), np.float32)) == []
