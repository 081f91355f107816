"""The losses' view of the body surface."""

import numpy as np

from anonymize.synthesis import load_surface
from anonymize.train.losses import smooth_embedding


def test_the_first_embedding_puts_near_landmarks_close_and_far_ones_apart() -> None:
    geodesics = load_surface().geodesics_cm

    embedding = smooth_embedding(geodesics, 16)

    assert embedding.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)
    cosine = embedding @ embedding.T
    assert cosine[geodesics < 5].min() > 0.9
    assert cosine[geodesics > 60].max() < 0.5
