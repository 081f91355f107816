import numpy as np
import torch

from anonymize.lab.evaluate.features import Discriminant, EfficientNetLite0
from anonymize.lab.evaluate.looks import apart

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


def test_the_discriminant_weighs_directions_by_what_they_tell() -> None:
    """Four of twenty channels tell people apart; of noise under names that mean nothing none does."""
    features, names = crowd(0)
    steps = np.eye(CHANNELS)[:, None] + np.zeros((CHANNELS, PARTS, CHANNELS))
    origin = np.zeros((PARTS, CHANNELS))

    def weights(discriminant: Discriminant) -> np.ndarray:
        return apart(discriminant(steps), discriminant(origin)[None])

    learnt = weights(Discriminant(features, names))
    assert learnt[:4].min() > 3 * learnt[4:].max()
    noise = np.random.default_rng(2).normal(size=features.shape)
    assert weights(Discriminant(noise, names)).max() < 0.25 * learnt[:4].min()


def test_efficientnet_gives_maps_of_every_stride() -> None:
    network = EfficientNetLite0()
    with torch.inference_mode():
        maps = network.maps(torch.rand(1, 3, 96, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 48, 32), (24, 24, 16), (40, 12, 8), (112, 6, 4), (320, 3, 2)]
    assert not any(p.requires_grad for p in network.parameters())
