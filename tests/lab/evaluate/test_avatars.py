"""Bodies held against the truth of a small rendered film."""

import numpy as np
import torch

from anonymize.bodies.fit import BodyPose, flipped
from anonymize.bodies.track_fit import TrackFitter
from anonymize.lab.evaluate.avatars import FitScores, count, true_tracks, truths_of
from anonymize.lab.synthesis.film import render_film

TABLE = torch.nn.functional.normalize(
    torch.from_numpy(np.random.default_rng(0).standard_normal((1024, 16))).float(), dim=1
)


class Turned(TrackFitter):
    """Takes all people for their mirror images."""

    def poses(self, tracks) -> dict[int, BodyPose]:  # type: ignore[no-untyped-def]
        return {row: flipped(pose) for row, pose in super().poses(tracks).items()}


def test_bodies_are_held_against_the_truth() -> None:
    scenes = list(render_film(5, 3, (144, 240), n_people=2))
    tracked, truths = [true_tracks(scene, TABLE) for scene in scenes], [truths_of(scene) for scene in scenes]
    for truth in truths:
        for one in truth.values():
            inside = (one.flat >= one.box[:2] - 3) & (one.flat <= one.box[2:] + 3)
            assert one.shown.any() and inside[one.shown].all()
    scores, turned = FitScores(), FitScores()
    count(scores, tracked, truths, TrackFitter(TABLE), 3)
    count(turned, tracked, truths, Turned(TABLE), 3)
    figures, wrong = scores.figures(), turned.figures()
    assert figures["people"] == sum(len(scene) for scene in scenes) > 4
    assert figures["joint_error_median_cm"] < 12 and figures["limbs_swapped"] < 0.2
    assert wrong["limbs_swapped"] > figures["limbs_swapped"] + 0.2
    assert wrong["joint_error_in_space_median_cm"] > figures["joint_error_in_space_median_cm"]
    assert "joint error median, cm" in scores.table() and "200" in scores.table()


def test_nothing_to_measure() -> None:
    figures = FitScores().figures()
    assert figures["people"] == 0 and figures["limbs_swapped"] is None and "| - |" in FitScores().table()
