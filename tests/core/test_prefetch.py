import threading
import time
from collections.abc import Iterator

import pytest

from anonymize.core.prefetch import Prefetch


def threads_left() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("stage")}


def count(stop: int | None = None, taken: list[int] | None = None) -> Iterator[int]:
    number = 0
    while stop is None or number < stop:
        if taken is not None:
            taken.append(number)
        yield number
        number += 1


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert threads_left() == set()


@pytest.mark.parametrize("stop", [0, 1, 100])
def test_all_items_come_in_order(stop: int) -> None:
    with Prefetch() as prefetch:
        once = prefetch(count(stop), 3, "stage 1")
        twice = prefetch((2 * number for number in once), 3, "stage 2")
        assert list(twice) == [2 * number for number in range(stop)]


def test_it_runs_ahead_but_not_farther_than_told() -> None:
    taken: list[int] = []
    with Prefetch() as prefetch:
        items = prefetch(count(None, taken), 4, "stage")
        assert next(items) == 0
        deadline = time.monotonic() + 5
        while len(taken) < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        # One taken, four waiting, one in the hand of the thread.
        assert len(taken) == 6


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_an_error_in_any_stage_surfaces_at_once(broken: int) -> None:
    def breaking(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            if item == 5:
                raise OSError("broken stage")
            yield item

    started = time.monotonic()
    with pytest.raises(OSError, match="broken stage"), Prefetch() as prefetch:
        items: Iterator[int] = count()
        for stage in range(3):
            items = prefetch(breaking(items) if stage == broken else items, 4, f"stage {stage}")
        for _ in items:
            pass
    assert time.monotonic() - started < 3


def test_an_error_of_the_consumer_ends_the_threads() -> None:
    with pytest.raises(KeyboardInterrupt), Prefetch() as prefetch:
        for item in prefetch(prefetch(count(), 2, "stage 1"), 2, "stage 2"):
            if item == 3:
                raise KeyboardInterrupt


def test_an_error_that_nobody_waited_for_is_not_lost() -> None:
    def breaking() -> Iterator[int]:
        yield 1
        raise OSError("late")

    with pytest.raises(OSError, match="late"), Prefetch() as prefetch:
        assert next(prefetch(breaking(), 4, "stage")) == 1
        time.sleep(0.3)


def test_leaving_early_is_no_error() -> None:
    with Prefetch() as prefetch:
        assert next(prefetch(count(), 2, "stage")) == 0
