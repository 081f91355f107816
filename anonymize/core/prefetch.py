"""Stages that run ahead of each other, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1
"""A waiting thread looks this often whether the work has been called off."""

_END: Any = object()


class _Stopped(Exception):  # noqa: N818 - nothing went wrong here; another stage ended the work.
    """Ends a thread that waits for a neighbour which will not come."""


class Prefetch:
    """Runs iterables in threads, a bounded number of items ahead of the consumer.

    `with Prefetch() as prefetch: ...` owns the threads. An error in one of them surfaces at once in the thread that
    holds the `with`, whatever is still queued; however the block ends, all threads have ended after it.

    A tiny example, two threads beside the one that prints:

        with Prefetch() as prefetch:
            lines = prefetch(open_lines(), 8)
            numbers = prefetch(map(int, lines), 8)
            print(sum(numbers))
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def __call__(self, items: Iterable[T], ahead: int, name: str | None = None) -> Iterator[T]:
        """Start a thread that iterates over `items`.

        Args:
            items: Iterated in the new thread only; may take from what an earlier call returned.
            ahead: At most so many items wait to be taken.
            name: Name of the thread, for debuggers.

        Returns:
            The same items, in the same order.
        """
        queue: Queue[T] = Queue(ahead)
        thread = threading.Thread(target=self._fill, args=(items, queue), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return self._drain(queue)

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._error is not None and (error is None or isinstance(error, _Stopped)):
            raise self._error

    def _fill(self, items: Iterable[T], queue: Queue[T]) -> None:
        try:
            for item in items:
                self._wait(partial(queue.put, item, timeout=POLL_SECONDS))
            self._wait(partial(queue.put, _END, timeout=POLL_SECONDS))
        except _Stopped:
            pass
        except BaseException as error:  # It must not die with this thread: the one that waits raises it.
            with self._lock:
                self._error = self._error or error
            self._stop.set()

    def _drain(self, queue: Queue[T]) -> Iterator[T]:
        while (item := self._wait(partial(queue.get, timeout=POLL_SECONDS))) is not _END:
            yield item

    def _wait(self, act: Callable[[], T]) -> T:
        """Try until it works or the work is called off."""
        while not self._stop.is_set():
            try:
                return act()
            except (Empty, Full):
                pass
        raise _Stopped
