"""Work that takes a while, one at a time, with progress and a way to call it off."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Literal

from anonymize.core.errors import AnonymizeError

State = Literal["running", "done", "failed", "cancelled"]

log = logging.getLogger(__name__)


class Cancelled(Exception):  # noqa: N818 - nothing went wrong
    """Ends work that was called off."""


class BusyError(AnonymizeError):
    """Other work is under way."""


class Job:
    """A thread that works; what it has done is asked for by `to_json`.

    Args:
        kind: What it does, for the page.
        work: Is given `progress(done, total)`, which raises `Cancelled` once the job is called off; returns JSON
            values.
    """

    def __init__(self, kind: str, work: Callable[[Callable[[int, int | None], None]], Any]) -> None:
        self.kind = kind
        self._work = work
        self._state: State = "running"
        self._done, self._total = 0, None
        self._message, self._result = "", None
        self._called_off = threading.Event()
        self._thread = threading.Thread(target=self._run, name=kind, daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it still works."""
        return self._state == "running"

    def cancel(self) -> None:
        """Call it off, and wait until it has ended."""
        self._called_off.set()
        self._thread.join()

    def to_json(self) -> dict[str, Any]:
        """How far it is, for the page."""
        return {
            "kind": self.kind,
            "state": self._state,
            "done": self._done,
            "total": self._total,
            "message": self._message,
            "result": self._result,
        }

    def _progress(self, done: int, total: int | None) -> None:
        self._done, self._total = done, total  # type: ignore[assignment]
        if self._called_off.is_set():
            raise Cancelled

    def _run(self) -> None:
        try:
            self._result = self._work(self._progress)
            self._state = "done"
        except Cancelled:
            self._state = "cancelled"
        except AnonymizeError as error:
            self._message, self._state = " ".join(str(error).split()), "failed"
        except Exception as error:
            log.debug("", exc_info=True)
            self._message, self._state = f"internal error: {type(error).__name__}: {error}", "failed"
