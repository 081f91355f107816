import math

import pytest

from anonymize.lab.train.guard import Guard


def test_a_falling_or_noisy_loss_is_no_divergence() -> None:
    guard = Guard()
    for step in range(1000):
        assert not guard.diverged(1 + 5 / (1 + step / 100) + 0.2 * math.sin(step))
    assert guard.good


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_what_is_no_number_is_divergence_at_once(loss: float) -> None:
    assert Guard().diverged(loss)


def test_a_rising_loss_is_noticed_within_some_steps() -> None:
    guard = Guard()
    assert not any(guard.diverged(1.0) for _ in range(200))
    rising = [guard.diverged(2.0) for _ in range(30)]
    assert not rising[0], "a single bad batch is none"
    assert rising[-1]
    assert not guard.good
    guard.again()
    assert not guard.diverged(1.2)
    assert any(guard.diverged(2.0) for _ in range(30)), "what a good loss is stays known"


def test_an_explosion_from_the_start_is_noticed() -> None:
    for loss in ([1.5**step for step in range(40)], [1.0] + [50_000.0] * 5):
        guard = Guard()
        assert any(guard.diverged(value) for value in loss)
