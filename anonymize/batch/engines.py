"""Who does the files: this process, processes beside it, or (in its own module) a Ray cluster."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from anonymize.batch.job import BuildDetector, Job, Outcome, Worker
from anonymize.core.errors import AnonymizeError
from anonymize.core.files import remove_partials
from anonymize.options import Options

ATTEMPTS = 3
"""A file that has killed so many processes is given up."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

AdvanceOf = Callable[[str, int, int | None], None]
"""Called with a file's name, its frames done and expected."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is the same for all files; it can be sent to another process.

    Attributes:
        options: How the files are done.
        build_detector: Builds the detector that the files of a process share.
    """

    options: Options
    build_detector: BuildDetector

    def worker(self) -> Worker:
        return Worker(self.options, self.build_detector)


class Engine(Protocol):
    """Does jobs, in any order."""

    def __call__(self, jobs: Iterator[Job], plan: Plan, advance: AdvanceOf) -> Generator[Outcome, None, None]:
        """Take a job when a worker is free, and give its outcome when it is done.

        Closing the iterator ends the work; partial files may be left.

        Raises:
            AnonymizeError: No job can be done: the weights, the device or the machinery do not work.
        """
        ...


def in_this_process(jobs: Iterator[Job], plan: Plan, advance: AdvanceOf) -> Generator[Outcome, None, None]:
    """The engine without further processes."""
    worker = plan.worker()
    for job in jobs:
        worker.prepare(job.kind)
        yield worker.do(job, lambda done, total, name=job.name: advance(name, done, total))  # type: ignore[misc]


class Processes:
    """The engine of one machine: spawned processes, each with its own detector and its share of the cores."""

    def __init__(self, count: int, lock: int | None = None) -> None:
        """Set up; nothing is started before the first job.

        Args:
            count: Processes at once, at least 1.
            lock: Descriptor of a locked file that the processes hold on to, so that the lock outlives this process
                until they have noticed its death.
        """
        self._count = count
        self._lock = lock

    def __call__(self, jobs: Iterator[Job], plan: Plan, advance: AdvanceOf) -> Generator[Outcome, None, None]:
        again: deque[Job] = deque()
        processes: list[_WorkerProcess] = []
        try:
            while True:
                self._assign_jobs(processes, again, jobs, plan)
                busy = {process.pipe: process for process in processes if process.job is not None}
                if not busy:
                    return
                for pipe in wait(list(busy)):
                    process = busy[pipe]  # type: ignore[index]
                    message = process.take()
                    if isinstance(message, Outcome):
                        process.job = None
                        yield message
                    elif isinstance(message, AnonymizeError):
                        raise message
                    elif message is not None:
                        advance(*message)
                    else:
                        processes.remove(process)
                        outcome = _after_death(process.give_up(), again, process.exit_code())
                        if outcome is not None:
                            yield outcome
        finally:
            for process in processes:
                process.end()
            for process in processes:
                process.exit_code()

    def _assign_jobs(self, processes: list[_WorkerProcess], again: deque[Job], jobs: Iterator[Job], plan: Plan) -> None:
        """Give every idle process a job, and start processes while there are jobs for them."""
        idle = [process for process in processes if process.job is None]
        while idle or len(processes) < self._count:
            job = again.popleft() if again else next(jobs, None)
            if job is None:
                return
            if not idle:
                idle.append(_WorkerProcess(plan, max(1, _cores() // self._count), self._lock))
                processes.append(idle[0])
            idle.pop().give(job)


class _WorkerProcess:
    """A process that works for this one, seen from here."""

    def __init__(self, plan: Plan, threads: int, lock: int | None) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.job: Job | None = None
        self._process = context.Process(target=_serve, args=(theirs, plan, threads, _Held(lock)), daemon=True)
        with _environment(dict.fromkeys(THREAD_VARIABLES, str(threads))):
            self._process.start()
        theirs.close()  # So that its death ends the pipe.

    def give(self, job: Job) -> None:
        self.job = job
        with suppress(OSError):  # It has died, which the pipe tells at the next look.
            self.pipe.send(job)

    def take(self) -> Any:
        """What it says; None when it is dead."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def give_up(self) -> Job:
        """The job that it had when it died, without what it has left of it."""
        job, self.job = self.job, None
        assert job is not None, "only processes with a job are listened to"
        self._process.join(1.0)  # Its pipe ends a moment before it does.
        self.end()
        self._process.join()
        remove_partials(job.root / job.output)
        return job

    def end(self) -> None:
        self._process.kill()

    def exit_code(self) -> int | None:
        self._process.join()
        return self._process.exitcode


class _Held:
    """A descriptor that a spawned process inherits together with the lock on its file."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        if self._descriptor is None or os.name == "nt":  # Windows has no locks of more than one process.
            return _Held, (None,)
        from multiprocessing.reduction import DupFd

        return _held, (DupFd(self._descriptor),)


def _held(descriptor: Any) -> _Held:
    return _Held(descriptor.detach())


def _serve(pipe: Connection, plan: Plan, threads: int, lock: _Held) -> None:
    """What a process does: jobs, until it is killed or the one that started it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started it ends it.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_threads(threads)
    worker = plan.worker()
    with suppress(EOFError):
        while True:
            job: Job = pipe.recv()
            try:
                worker.prepare(job.kind)
            except AnonymizeError as error:
                pipe.send(error)
                return
            pipe.send(worker.do(job, lambda done, total, name=job.name: pipe.send((name, done, total))))  # type: ignore[misc]


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def limit_threads(threads: int) -> None:
    """Let the libraries of this process use so many threads each."""
    import cv2
    import torch

    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)


def _after_death(job: Job, again: deque[Job], exit_code: int | None) -> Outcome | None:
    """Let another process try, unless it is the file that kills them."""
    retried = retry(job)
    if retried is not None:
        again.append(retried)
        return None
    how = f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"
    return given_up(job, f"{ATTEMPTS} processes died of it, the last by {how}; there may be too little memory")


def retry(job: Job) -> Job | None:
    """The job for another try; None when there were enough. What a dead process has finished may be replaced."""
    return replace(job, attempt=job.attempt + 1, overwrite=True) if job.attempt < ATTEMPTS else None


def given_up(job: Job, why: str) -> Outcome:
    """The outcome of a job that no process survives."""
    return Outcome(job.name, job.output, "failed", note=why)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for what is started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
