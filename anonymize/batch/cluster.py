"""The files of a folder on a Ray cluster.

All nodes see the folders under the same paths and have this package installed.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from anonymize.batch.engines import AdvanceOf, Plan, given_up, limit_threads, retry
from anonymize.batch.job import Job, Outcome, Worker
from anonymize.errors import AnonymizeError, BackendError

POLL_SECONDS = 0.5
"""Progress is asked for this often."""
CANCEL_SECONDS = 10.0
"""So long may tasks take to end when the run is called off."""


class RayEngine:
    """One file is one task; a file whose process or node is lost is done by another."""

    def __init__(self, address: str | None, *, workers: int | None = None, gpus_per_worker: float = 0) -> None:
        """Set up; nothing is started before the first job.

        Args:
            address: Of a running cluster; None starts one on this machine.
            workers: Files at once at most; None for one for each core of the cluster.
            gpus_per_worker: GPUs that are kept for each file.

        Raises:
            BackendError: Ray is not installed.
        """
        self._ray = _import_ray()
        self._address, self._workers, self._gpus = address, workers, gpus_per_worker

    def __call__(self, jobs: Iterator[Job], plan: Plan, advance: AdvanceOf) -> Generator[Outcome, None, None]:
        ray = self._ray
        with self._connected():
            threads = max(1, self._cores() // self._workers) if self._workers else 1
            task = ray.remote(_do).options(num_cpus=threads, num_gpus=self._gpus, max_retries=0)
            shared, board = (ray.put(plan), secrets.token_hex(8), threads), self._board()
            again: deque[Job] = deque()
            running: dict[Any, Job] = {}
            try:
                while True:
                    while len(running) < (self._workers or self._cores()):
                        job = again.popleft() if again else next(jobs, None)
                        if job is None:
                            break
                        running[task.remote(job, *shared, board)] = job
                    if not running:
                        return
                    finished, _ = ray.wait(list(running), timeout=POLL_SECONDS)
                    with suppress(ray.exceptions.RayError):  # Without news the work goes on.
                        for name, done, total in ray.get(board.take.remote()):
                            advance(name, done, total)
                    for reference in finished:
                        outcome = self._outcome(reference, running.pop(reference), again)
                        if outcome is not None:
                            yield outcome
            finally:
                for reference in running:
                    ray.cancel(reference, force=True)
                if running:
                    ray.wait(list(running), num_returns=len(running), timeout=CANCEL_SECONDS)

    def _outcome(self, reference: Any, job: Job, again: deque[Job]) -> Outcome | None:
        """What became of a task; None where another has to do its file."""
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, AnonymizeError):
                raise error.cause from None
            raise AnonymizeError(f"a Ray task failed: {' '.join(str(error.cause).split())}") from error
        except self._ray.exceptions.RayError as error:
            retried = retry(job)
            if retried is None:
                return given_up(job, f"its Ray tasks were lost, the last by {type(error).__name__}")
            again.append(retried)
            return None
        return outcome

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Ray as the caller has set it up, or for as long as the run lasts."""
        ray = self._ray
        if ray.is_initialized():
            yield
            return
        try:
            ray.init(address=self._address or "local", log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # A node that does not start in time is just that.
            where = f"at {self._address}" if self._address else "on this machine"
            raise BackendError(f"no Ray cluster {where}: {' '.join(str(error).split())}") from error
        try:
            if self._address is None and ray.cluster_resources().get("GPU", 0) < self._gpus:
                raise BackendError(f"this machine has no {self._gpus:g} GPUs for a worker")
            yield
        finally:
            ray.shutdown()

    def _cores(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _board(self) -> Any:
        """Where tasks tell how far they are; lives beside the caller, so that no other node's loss ends it."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=True)
        return self._ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here).remote()


class _Board:
    """The last word of each task since it was asked."""

    def __init__(self) -> None:
        self._news: dict[str, tuple[int, int | None]] = {}

    def tell(self, name: str, done: int, total: int | None) -> None:
        self._news[name] = (done, total)

    def take(self) -> list[tuple[str, int, int | None]]:
        news, self._news = self._news, {}
        return [(name, done, total) for name, (done, total) in news.items()]


_workers: dict[str, Worker] = {}
"""The worker of a process, by run: Ray gives a process one task after the other."""


def _do(job: Job, plan: Plan, run: str, threads: int, board: Any) -> Outcome:
    """The task."""
    if run not in _workers:
        limit_threads(threads)
        _workers.clear()
        _workers[run] = plan.worker()
    _workers[run].prepare(job.kind)
    return _workers[run].do(job, lambda done, total: board.tell.remote(job.name, done, total))


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # What is anonymized here is nobody else's business.
    try:
        return import_module("ray")
    except ImportError as error:
        raise BackendError("the engine ray needs Ray, which is not installed: pip install anonymize[ray]") from error
