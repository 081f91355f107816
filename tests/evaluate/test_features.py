import numpy as np
import pytest
import torch

from anonymize.evaluate.features import Discriminant, EfficientNetLite0
from anonymize.evaluate.looks import apart

PEOPLE, VIEWS, PARTS, CHANNELS = 60, 4, 3, 20


def crowd(seed: int) -> tuple[np.ndarray, list[str]]:
    """Features whose first 4 channels tell people apart a little, under 16 channels of pose."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(PEOPLE, VIEWS, PARTS, CHANNELS))
    features[..., :4] *= 0.1
    features[..., :4] += 0.5 * rng.normal(size=(PEOPLE, 1, PARTS, 4))
    features[rng.random((PEOPLE, VIEWS, PARTS)) < 0.2] = np.nan
    return features.reshape(-1, PARTS, CHANNELS), [str(i // VIEWS) for i in range(PEOPLE * VIEWS)]


def ratio(features: np.ndarray, who: list[str]) -> float:
    first, second = np.triu_indices(len(who), 1)
    same = np.array(who)[first] == np.array(who)[second]
    distances = apart(features[first], features[second])
    return float(np.nanmean(distances[same]) / np.nanmean(distances[~same]))


def test_the_discriminant_tells_others_apart_than_it_was_learnt_on() -> None:
    discriminant = Discriminant(*crowd(0))
    features, who = crowd(1)
    assert ratio(features, who) > 0.9
    assert ratio(discriminant(features), who) < 0.6
    assert np.isnan(discriminant(features)).all(2).sum() == np.isnan(features).all(2).sum()


def test_the_discriminant_makes_nobody_of_noise() -> None:
    """Rows of random people, under names that mean nothing: nothing is told apart on others."""
    rng = np.random.default_rng(2)
    names = [str(i // VIEWS) for i in range(PEOPLE * VIEWS)]
    discriminant = Discriminant(rng.normal(size=(PEOPLE * VIEWS, PARTS, CHANNELS)), names)
    assert ratio(discriminant(rng.normal(size=(PEOPLE * VIEWS, PARTS, CHANNELS))), names) == pytest.approx(1, abs=0.03)


def test_efficientnet_gives_maps_of_every_stride() -> None:
    network = EfficientNetLite0()
    with torch.inference_mode():
        maps = network.maps(torch.rand(1, 3, 96, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 48, 32), (24, 24, 16), (40, 12, 8), (112, 6, 4), (320, 3, 2)]
    assert not any(p.requires_grad for p in network.parameters())
