"""Figures 5.1 and 5.2 as numbers, on generators whose answers are known: they paint a person in one colour."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from anonymize.core.errors import OptionError
from anonymize.lab.evaluate.consistency import compare, draw_settings, measure_one, surface_colours
from anonymize.lab.evaluate.looks import Observer
from anonymize.lab.evaluate.making import Maker

from .doubles import Eyes
from .test_generator import Crowd, Painter


def figures(**habits: bool) -> dict[str, dict[str, dict[str, float | None]]]:
    torch.manual_seed(0)
    crowd = Crowd()
    maker = Maker(Painter(**habits), crowd)  # type: ignore[arg-type]
    maker.rows = maker.rows[:8]
    return measure_one(maker, Observer(Eyes()), 6, np.arange(24), crowd.table.vertex_parts)


def test_a_person_who_stays_the_same_has_the_ratio_0_and_one_who_changes_1() -> None:
    steady, changing = figures(), figures(forgets=True)
    for change in ("poses", "places"):
        colour = steady[change]["colour"]
        assert colour["same"] == pytest.approx(0, abs=1e-3) and colour["other"] is not None and colour["other"] > 5
        assert colour["ratio"] == colour["torso"] == pytest.approx(0, abs=1e-3)
        assert colour["feet"] is None, "never seen"
        ratio = changing[change]["colour"]["ratio"]
        assert ratio is not None and ratio > 0.3
        assert set(steady[change]) == {"colour", "appearance"}


def test_points_are_compared_that_both_show() -> None:
    values = np.full((2, 2, 3, 1), np.nan)
    values[:, :, 0, 0] = [[1, 3], [11, 13]]
    values[0, :, 1, 0] = [5, 5]
    found = compare(values, np.array([13, 1, 23]))
    assert (found["same"], found["other"], found["ratio"], found["torso"]) == (2, 10, 0.2, 0.2)
    assert found["head"] is None and found["feet"] is None


def test_colours_are_means_over_the_pixels_of_a_point() -> None:
    picture = torch.full((3, 2, 2), -1.0)
    picture[:, 0] = 1
    points = np.array([[0, 0], [0, -1]])
    colours = surface_colours(picture, points, 3)
    np.testing.assert_allclose(colours[0], [200 / 3, 0, 0], atol=0.05)
    assert np.isnan(colours[1:]).all()


class Places:
    """A dataset of 12 pictures, the first of them rendered."""

    table = None

    def __init__(self, count: int) -> None:
        self.notes = [SimpleNamespace(rendered=i < count) for i in range(12)]

    def __getitem__(self, row: int) -> SimpleNamespace:
        return SimpleNamespace(place=np.zeros((2, 2, 3), np.uint8))


def test_poses_change_before_one_place_and_places_behind_one_pose() -> None:
    settings = draw_settings(Places(8), 4)  # type: ignore[arg-type]
    poses, places = settings[:4], settings[4:]
    assert len({s.pose for s in poses}) == 4 and len({s.place for s in poses}) == 1
    assert len({s.place for s in places}) == 4 and len({s.pose for s in places}) == 1
    assert all(s.pose < 8 and s.place < 8 for s in settings)
    with pytest.raises(OptionError, match="7 held-out pictures of rendered people, but 8"):
        draw_settings(Places(7), 4)  # type: ignore[arg-type]
