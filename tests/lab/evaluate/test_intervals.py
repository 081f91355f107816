import numpy as np
import pytest

from anonymize.lab.evaluate.intervals import jackknife


def test_the_interval_of_a_mean_holds_the_truth_19_times_out_of_20() -> None:
    rng, hits = np.random.default_rng(0), 0
    who = [str(i) for i in range(60)]
    for _ in range(400):
        values = rng.normal(3, 2, 60)
        found = jackknife(lambda kept, v=values: float(v[kept].mean()), who)  # type: ignore[misc]
        hits += abs(found.value - 3) <= found.margin
    assert 0.92 < hits / 400 < 0.98


def test_pictures_of_one_person_count_as_one() -> None:
    values = np.random.default_rng(0).normal(size=20)
    once = jackknife(lambda kept: float(values[kept].mean()), [str(i) for i in range(20)])
    thrice = np.repeat(values, 3)
    again = jackknife(lambda kept: float(thrice[kept].mean()), [str(i // 3) for i in range(60)])
    assert (again.value, again.margin) == pytest.approx((once.value, once.margin))


def test_one_person_has_no_interval() -> None:
    found = jackknife(lambda kept: 1.0, ["a", "a"])
    assert found.value == 1 and np.isnan(found.margin)
