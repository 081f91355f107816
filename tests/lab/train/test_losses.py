"""The losses' view of the body surface."""

import numpy as np
import torch

from anonymize.core.body_surface import load_surface
from anonymize.lab.train.losses import assign, smooth_embedding


def test_the_first_embedding_puts_near_landmarks_close_and_far_ones_apart() -> None:
    geodesics = load_surface().geodesics_cm

    embedding = smooth_embedding(geodesics, 16)

    assert embedding.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)
    cosine = embedding @ embedding.T
    assert cosine[geodesics < 5].min() > 0.9
    assert cosine[geodesics > 60].max() < 0.5


CENTERS = torch.tensor([[x, y] for y in range(4, 64, 8) for x in range(4, 64, 8)], dtype=torch.float32)


def around(centers: torch.Tensor, half: float) -> torch.Tensor:
    return torch.cat([centers - half, centers + half], 1)


def test_a_person_is_given_to_the_cells_that_place_it_best() -> None:
    truth = torch.tensor([[8.0, 8, 40, 40]])
    boxes = around(CENTERS, 4)
    boxes[18] = truth[0]  # the cell at (20, 20)
    found = assign(torch.full((64,), 0.1), boxes, CENTERS, truth)
    assert found.targets[found.cells == 18] == 1.0
    assert (found.targets[found.cells != 18] < 0.05).all()
    inside = ((CENTERS >= 8) & (CENTERS <= 40)).all(1)
    assert inside[found.cells].all()


def test_a_cell_has_one_person_and_each_person_a_cell() -> None:
    truth = torch.tensor([[8.0, 8, 24, 24], [12.0, 8, 28, 24]])
    found = assign(torch.full((64,), 0.1), around(CENTERS, 8), CENTERS, truth)
    assert len(found.cells.unique()) == len(found.cells)
    assert set(found.people.tolist()) == {0, 1}


def test_a_person_smaller_than_a_cell_has_one_all_the_same() -> None:
    found = assign(torch.full((64,), 0.1), around(CENTERS, 4), CENTERS, torch.tensor([[6.0, 6, 10, 10]]))
    assert len(found.cells) > 0
