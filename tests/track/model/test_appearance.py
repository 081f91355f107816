"""Appearance."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from anonymize.core.types import Detections, RegionMask
from anonymize.track import PartTable
from anonymize.track.geometry import empty_mask, mask_grids
from anonymize.track.model.appearance import Appearance, describe
from tests.track.scenes import CONFIG

SIZE = (120, 160)


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


def look(image: np.ndarray, found: Detections, table: PartTable | None) -> Appearance:
    return describe(image, found, table, mask_grids(found.masks, found.boxes_xyxy), CONFIG)


class TestAppearance:
    table = PartTable(np.eye(2, dtype=np.float32), np.array([13, 15]))

    def test_the_same_clothes_elsewhere_look_the_same(self) -> None:
        red = look(*dressed((200, 30, 30), (30, 30, 90)), self.table)
        again = look(*dressed((200, 30, 30), (30, 30, 90), x=90), self.table)
        blue = look(*dressed((30, 30, 200), (30, 30, 90)), self.table)
        assert red.distance(again, CONFIG.min_shared_share)[0, 0] < 0.01
        assert red.distance(blue, CONFIG.min_shared_share)[0, 0] > 0.1

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
        assert standing.distance(look(flipped, head_down, self.table), CONFIG.min_shared_share)[0, 0] < 0.01
        assert standing.distance(look(flipped, upright, None), CONFIG.min_shared_share)[0, 0] > 0.1

    def test_of_whom_only_the_box_is_known_all_of_it_is_looked_at(self) -> None:
        image, found = dressed((200, 30, 30), (30, 30, 90))
        bare = replace(found, masks=(empty_mask(),))
        assert look(image, bare, None).known.all()
        assert look(image, bare, None).distance(look(image, found, None), CONFIG.min_shared_share)[0, 0] < 0.2

    def test_no_people(self) -> None:
        looks = look(np.zeros((*SIZE, 3), np.uint8), Detections.empty(SIZE), self.table)
        assert looks.distance(looks, CONFIG.min_shared_share).shape == (0, 0)

    def test_a_table_has_a_part_for_each_landmark(self) -> None:
        with pytest.raises(ValueError, match="embedding and parts"):
            PartTable(np.eye(3, dtype=np.float32), np.zeros(2, np.int64))


def test_the_colours_of_a_plain_person() -> None:
    """Lightness, and tints by the lightness, to which 0.4 is added; 0.35, 0.7 and 0.7 of each."""
    image, found = dressed((200, 30, 30), (200, 30, 30))
    looks = look(image, found, None)
    middle = looks.values[0, 8 + 4]
    light = 260 / 3 / 255
    assert middle[:3] == pytest.approx(
        [0.35 * light, 0.7 * 170 / 255 / (light + 0.4), 0.7 * 85 / 255 / (light + 0.4)], abs=1e-3
    )


@pytest.mark.parametrize(("probability", "known"), [(0.4, False), (0.6, True)])
def test_body_parts_are_where_the_surface_is_likely(probability: float, known: bool) -> None:
    image, found = dressed((200, 30, 30), (30, 30, 90))
    assert found.segmentations is not None
    unsure = replace(found, segmentations=found.segmentations * probability)
    assert (look(image, unsure, TestAppearance.table).weights[0, :8] > 0).any() == known


def test_the_nearest_of_128_landmarks_tells_the_part() -> None:
    parts = np.ones(200, np.int64)
    parts[[100, 150]] = 13
    table = PartTable(np.eye(200, dtype=np.float32), parts)
    assert table.look_up(torch.eye(200)[[100, 150]], CONFIG.part_landmarks).tolist() == [4, 0]


@pytest.mark.parametrize(("share", "comparable"), [(0.15, False), (0.3, True)])
def test_people_who_show_few_of_the_same_parts_cannot_be_compared(share: float, comparable: bool) -> None:
    one = Appearance.unknown(1)
    one.weights[0, 0] = share
    assert np.isfinite(one.distance(one, CONFIG.min_shared_share)[0, 0]) == comparable
