"""One run at a time in an output folder."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from types import TracebackType

from anonymize.core.errors import AnonymizeError, MediaError

ORPHANS_SECONDS = 10.0
"""So long may the worker processes of a run that was killed take to notice."""


class FolderLock:
    """Held by a run and its worker processes; the system lets go of it when the last of them has ended, however.

    The file stays, because removing it would let two runs lock two different files of that name.

    Attributes:
        descriptor: Of the locked file. A process that inherits it holds the lock too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> FolderLock:
        """Take the lock.

        Raises:
            AnonymizeError: Another run has it.
            MediaError: The file cannot be written.
        """
        try:
            self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise MediaError(f"cannot write {self._path}: {error.strerror}") from error
        deadline = time.monotonic() + ORPHANS_SECONDS
        while not _try_to_lock(self.descriptor):
            holder = self._holder()
            if _lives(holder) or time.monotonic() > deadline:
                os.close(self.descriptor)
                who = f" (process {holder['process']} on {holder['host']})" if holder else ""
                raise AnonymizeError(f"another run{who} is writing to {self._path.parent.parent}")
            time.sleep(0.05)
        self._say_who()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self.descriptor)

    def _say_who(self) -> None:
        text = json.dumps({"host": socket.gethostname(), "process": os.getpid()})
        try:
            os.ftruncate(self.descriptor, 0)
            os.lseek(self.descriptor, 0, os.SEEK_SET)
            os.write(self.descriptor, text.encode())
        except OSError as error:
            os.close(self.descriptor)
            raise MediaError(f"cannot write {self._path}: {error.strerror}") from error

    def _holder(self) -> dict[str, object]:
        try:
            holder = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return holder if isinstance(holder, dict) and {"host", "process"} <= holder.keys() else {}


def _lives(holder: dict[str, object]) -> bool:
    """Whether a process is known to live; on another host that is not known."""
    process = holder.get("process")
    if holder.get("host") != socket.gethostname() or not isinstance(process, int) or sys.platform == "win32":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


if sys.platform == "win32":
    import msvcrt

    FAR = 1 << 30
    """Windows denies reading what is locked; this byte is never read."""

    def _try_to_lock(descriptor: int) -> bool:
        os.lseek(descriptor, FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_to_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
