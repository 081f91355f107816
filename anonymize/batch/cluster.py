"""The files of a folder on a Ray cluster.

All nodes see the folders under the same paths and have this package installed.

A film that is long enough is cut into segments, see `segments`. Its task goes through them in order, and tasks that
find room on the cluster look at later ones meanwhile. Who comes to a segment first has it, so a film's task never waits
for a task that has not begun; what a lost task was looking at, it looks at itself.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from anonymize.batch.engines import AdvanceOf, Plan, given_up, limit_threads, retry
from anonymize.batch.job import Job, Outcome, Worker
from anonymize.batch.segments import SEGMENT_SECONDS, CutFilm, Seen, detect_shared
from anonymize.core.errors import AnonymizeError, BackendError

POLL_SECONDS = 0.5
"""Progress is asked for this often."""
CANCEL_SECONDS = 10.0
"""So long may tasks take to end when the run is called off."""


class RayEngine:
    """One file is one task; a file whose process or node is lost is done by another."""

    def __init__(
        self,
        address: str | None,
        *,
        workers: int | None = None,
        gpus_per_worker: float = 0,
        segment_seconds: float = SEGMENT_SECONDS,
    ) -> None:
        """Set up; nothing is started before the first job.

        Args:
            address: Of a running cluster; None starts one on this machine.
            workers: Files at once at most; None for one for each core of the cluster.
            gpus_per_worker: GPUs that are kept for each file.
            segment_seconds: Shortest length of the segments of a film.

        Raises:
            BackendError: Ray is not installed.
        """
        self._ray = _import_ray()
        self._address, self._workers, self._gpus = address, workers, gpus_per_worker
        self._segment_seconds = segment_seconds

    def __call__(self, jobs: Iterator[Job], plan: Plan, advance: AdvanceOf) -> Generator[Outcome, None, None]:
        ray = self._ray
        with self._connected():
            threads = max(1, self._cores() // self._workers) if self._workers else 1
            resources = {"num_cpus": threads, "num_gpus": self._gpus, "max_retries": 0}
            task = ray.remote(_do).options(**resources)
            board = self._board()
            run = _Run([ray.put(plan)], secrets.token_hex(8), resources, board, self._segment_seconds)
            again: deque[Job] = deque()
            running: dict[Any, Job] = {}
            try:
                while True:
                    while len(running) < (self._workers or self._cores()):
                        job = again.popleft() if again else next(jobs, None)
                        if job is None:
                            break
                        running[task.remote(job, run)] = job
                    if not running:
                        return
                    finished, _ = ray.wait(list(running), timeout=POLL_SECONDS)
                    with suppress(ray.exceptions.RayError):  # Without news the work goes on.
                        for name, done, total in ray.get(board.take.remote()):
                            advance(name, done, total)
                    for reference in finished:
                        outcome = self._outcome(reference, running.pop(reference), again, board)
                        if outcome is not None:
                            yield outcome
            finally:
                for reference in running:
                    ray.cancel(reference, force=True)
                if running:
                    ray.wait(list(running), num_returns=len(running), timeout=CANCEL_SECONDS)

    def _outcome(self, reference: Any, job: Job, again: deque[Job], board: Any) -> Outcome | None:
        """What became of a task; None where another has to do its file."""
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, AnonymizeError):
                raise error.cause from None
            raise AnonymizeError(f"a Ray task failed: {' '.join(str(error.cause).split())}") from error
        except self._ray.exceptions.RayError as error:
            with suppress(self._ray.exceptions.RayError):
                self._ray.get(board.forget.remote(_film(job)))
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
        at_once = self._workers or self._cores()
        return self._ray.remote(_Board).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote(at_once)


class _Board:
    """The last word of each task since it was asked, and who has which segment.

    Args:
        segments: So many segments may wait for their film's task at once, those being looked at included.
    """

    def __init__(self, segments: int) -> None:
        self._segments = segments
        self._news: dict[str, tuple[int, int | None]] = {}
        self._asked: set[tuple[str, int]] = set()
        self._claimed: set[tuple[str, int]] = set()
        self._over: set[str] = set()

    def tell(self, name: str, done: int, total: int | None) -> None:
        self._news[name] = (done, total)

    def take(self) -> list[tuple[str, int, int | None]]:
        news, self._news = self._news, {}
        return [(name, done, total) for name, (done, total) in news.items()]

    def ask(self, film: str, number: int) -> bool:
        """Whether a task may be started for a segment."""
        if len(self._asked) >= self._segments:
            return False
        self._asked.add((film, number))
        return True

    def claim(self, film: str, number: int) -> bool:
        """Whether a segment is not taken yet; if so it belongs to the caller."""
        if film in self._over or (film, number) in self._claimed:
            return False
        self._claimed.add((film, number))
        return True

    def taken(self, film: str, number: int) -> None:
        """A segment has had its turn."""
        self._asked.discard((film, number))

    def forget(self, film: str) -> None:
        """A film's task has ended; its segments are not to be looked at any more."""
        self._over.add(film)
        self._asked = {each for each in self._asked if each[0] != film}
        self._claimed = {each for each in self._claimed if each[0] != film}


@dataclass(frozen=True, slots=True)
class _Run:
    """What the tasks of a run share.

    Attributes:
        plan: Reference to the plan, in a list so that it is not fetched where it is not needed.
        name: Of the run.
        resources: What a task needs, and how often it is tried.
        board: Where tasks meet.
        segment_seconds: Shortest length of the segments of a film.
    """

    plan: list[Any]
    name: str
    resources: dict[str, Any]
    board: Any
    segment_seconds: float

    def worker(self) -> Worker:
        """This process' worker: Ray gives a process one task after the other."""
        if self.name not in _workers:
            limit_threads(self.resources["num_cpus"])
            _workers.clear()
            _workers[self.name] = self.fetch_plan().worker()
        return _workers[self.name]

    def fetch_plan(self) -> Plan:
        plan: Plan = _import_ray().get(self.plan[0])
        return plan

    def claim(self, film: str, number: int, *, otherwise: bool) -> bool:
        """See `_Board.claim`; `otherwise` where the board does not answer, because its node is lost."""
        ray = _import_ray()
        try:
            return bool(ray.get(self.board.claim.remote(film, number)))
        except ray.exceptions.RayError:
            return otherwise


_workers: dict[str, Worker] = {}
"""The worker of a process, by run."""


def _do(job: Job, run: _Run) -> Outcome:
    """The task of a file."""
    worker = run.worker()
    worker.prepare(job.kind)

    def advance(done: int, total: int | None) -> None:
        run.board.tell.remote(job.name, done, total)

    film = _cut(job, run) if job.kind == "film" else None
    if film is None:
        return worker.do(job, advance)
    helpers = _RayHelpers(_film(job), film, run)
    try:
        return worker.do(job, advance, partial(detect_shared, film=film, helpers=helpers))
    finally:
        helpers.end()


def _film(job: Job) -> str:
    """A name for one attempt at a film."""
    return f"{job.attempt} {job.name}"


def _cut(job: Job, run: _Run) -> CutFilm | None:
    """A film's segments; None where it is too short, or cannot be read, which its task will tell."""
    part = run.fetch_plan().options.read
    try:
        film = CutFilm.cut(job.source, start=part.start, end=part.end, seconds=run.segment_seconds)
    except AnonymizeError:
        return None
    return film if len(film.segments) > 1 else None


class _RayHelpers:
    """The other tasks that look at a film's segments, see `Helpers`."""

    def __init__(self, name: str, film: CutFilm, run: _Run) -> None:
        self._ray = _import_ray()
        self._name, self._run = name, run
        self._film = self._ray.put(film)
        self._task = self._ray.remote(_look).options(**run.resources)
        self._asked: dict[int, Any] = {}

    def ask(self, number: int) -> bool:
        """See `Helpers.ask`."""
        try:
            if not self._ray.get(self._run.board.ask.remote(self._name, number)):
                return False
        except self._ray.exceptions.RayError:
            return False
        self._asked[number] = self._task.remote(self._name, self._film, number, self._run)
        return True

    def take(self, number: int) -> Sequence[Seen] | None:
        """See `Helpers.take`."""
        reference = self._asked.pop(number, None)
        if reference is None:
            return None
        try:
            if self._run.claim(self._name, number, otherwise=True):
                return None
            seen: Sequence[Seen] | None = self._ray.get(reference)
        except self._ray.exceptions.RayError:  # Lost.
            return None
        finally:
            self._run.board.taken.remote(self._name, number)
        return seen

    def end(self) -> None:
        """Call off what is not waited for any more."""
        for reference in self._asked.values():
            self._ray.cancel(reference)
        self._run.board.forget.remote(self._name)


def _look(name: str, film: CutFilm, number: int, run: _Run) -> Sequence[Seen] | None:
    """The task of a segment; None where its film's task was faster, or has to tell what is wrong with it."""
    if not run.claim(name, number, otherwise=False):
        return None
    try:
        return film.look(number, run.worker().detector())
    except AnonymizeError:
        return None


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Private footage: no usage statistics are sent.
    try:
        return import_module("ray")
    except ImportError as error:
        raise BackendError("the engine ray needs Ray, which is not installed: pip install anonymize[ray]") from error
