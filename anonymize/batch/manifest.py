"""What a folder's earlier runs have done, kept in the output folder.

A text file of JSON lines, one for each step, of which the last one about an output holds:

    {"format": "anonymize-manifest", "version": 1}
    {"output": "a/b.mp4", "state": "begun"}
    {"output": "a/b.mp4", "state": "done", "source": "a/b.mp4", ...}

A line is on the disk before the step after it begins, so that a run that is killed leaves at worst files that are
known as begun. Names are written with JSON's escapes; bytes that are no UTF-8 come back as they were.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from anonymize.core.errors import AnonymizeError, MediaError
from anonymize.core.files import remove_partials, whole_file

HEADER = {"format": "anonymize-manifest", "version": 1}


@dataclass(frozen=True, slots=True)
class Stamp:
    """Tells whether a file, or the pictures of a sequence, have changed.

    Attributes:
        size: Bytes.
        mtime_ns: Time of the last change, nanoseconds of the epoch; of several files a hash of their names, sizes and
            times.
        sha256: Of the content, hexadecimal; empty where size and time are enough.
    """

    size: int
    mtime_ns: int
    sha256: str = ""

    @classmethod
    def of(cls, files: Sequence[Path], *, content: bool = False) -> Stamp:
        """Look at a file, or several.

        Args:
            files: At least one.
            content: Read them, for `sha256`.

        Raises:
            OSError: One cannot be read.
        """
        stats = [path.stat() for path in files]
        hashes = [_sha256(path) for path in files] if content else [""] * len(files)
        if len(files) == 1:
            return cls(stats[0].st_size, stats[0].st_mtime_ns, hashes[0])
        names = [path.name for path in files]
        times = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in zip(names, stats, strict=True)]
        together = _hash(list(zip(names, hashes, strict=True))) if content else ""
        return cls(sum(stat.st_size for stat in stats), int(_hash(times)[:15], 16), together)

    def same_time(self, other: Stamp) -> bool:
        """Whether sizes and times are the same, so that the content need not be read."""
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)


@dataclass(frozen=True, slots=True)
class Done:
    """A finished file.

    Attributes:
        source: Name of the input in its folder.
        output: Name of the result in the output folder.
        input: The input as it was read.
        result: The result as it was written.
        settings: Fingerprint of the settings and weights.
        frames: Frames written; None for files that were copied.
        people: People in them.
        seconds: Time that it took.
    """

    source: str
    output: str
    input: Stamp
    result: Stamp
    settings: str
    frames: int | None
    people: int | None
    seconds: float


class Manifest:
    """The steps of the earlier runs, and those of this one as they are made. Use it in a `with`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: dict[str, Done] = {}
        self._begun: set[str] = set()

    def __enter__(self) -> Manifest:
        """Read what there is, and write it anew without what no longer holds.

        Raises:
            AnonymizeError: It is of another version.
            MediaError: It cannot be read or written.
        """
        try:
            for step in self._read():
                self._take(step)
            lines = [HEADER, *map(_done_step, self._done.values()), *map(_begun_step, sorted(self._begun))]
            remove_partials(self._path)
            with whole_file(self._path, overwrite=True) as partial:
                partial.write_bytes(b"".join(map(_line, lines)))
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            if isinstance(error, MediaError):
                raise
            raise MediaError(f"cannot write {self._path}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def begun(self) -> list[str]:
        """Outputs that were begun but not finished; they may have left partial files."""
        return sorted(self._begun)

    @property
    def all_done(self) -> list[Done]:
        """All finished outputs."""
        return list(self._done.values())

    def done(self, output: str) -> Done | None:
        """What is known about a finished output."""
        return self._done.get(output)

    def owns(self, output: str) -> bool:
        """Whether a file of this name comes from a run, so that it may be replaced."""
        return output in self._done or output in self._begun

    def begin(self, output: str) -> None:
        """Note that an output is about to be written.

        Raises:
            MediaError: The disk is full.
        """
        self._append(_begun_step(output))

    def finish(self, done: Done) -> None:
        """Note that an output is complete.

        Raises:
            MediaError: The disk is full.
        """
        self._append(_done_step(done))

    def give_up(self, output: str) -> None:
        """Note that there is no such output after all; a file that appears there later is not from here.

        Raises:
            MediaError: The disk is full.
        """
        self._append({"output": output, "state": "none"})

    def _append(self, step: dict[str, Any]) -> None:
        before = self._file.seek(0, os.SEEK_END)
        try:
            line = _line(step)
            if self._file.write(line) != len(line):
                raise OSError(28, "No space left on device")
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(before)  # Half a line would spoil the next one.
            raise MediaError(f"cannot write {self._path}: {error.strerror}") from error
        self._take(step)

    def _take(self, step: Mapping[str, Any]) -> None:
        output = str(step["output"])
        if step["state"] == "done":
            self._done[output] = Done(
                source=str(step["source"]),
                output=output,
                input=Stamp(**step["input"]),
                result=Stamp(**step["result"]),
                settings=str(step["settings"]),
                frames=step["frames"],
                people=step["people"],
                seconds=float(step["seconds"]),
            )
            self._begun.discard(output)
            return
        self._done.pop(output, None)
        self._begun.discard(output)
        if step["state"] == "begun":
            self._begun.add(output)

    def _read(self) -> Iterator[Mapping[str, Any]]:
        """The steps; a line that was cut short by a kill is not one."""
        if not self._path.exists():
            return
        lines = self._path.read_bytes().splitlines()
        for number, line in enumerate(lines):
            try:
                step = json.loads(line)
            except ValueError:
                step = None
            if number == 0:
                if step != HEADER:
                    raise AnonymizeError(f"{self._path} is not a manifest that this version can read")
            elif isinstance(step, dict) and {"output", "state"} <= step.keys():
                yield step


def _done_step(done: Done) -> dict[str, Any]:
    return {"state": "done", **asdict(done)}


def _begun_step(output: str) -> dict[str, Any]:
    return {"output": output, "state": "begun"}


def _line(step: Mapping[str, Any]) -> bytes:
    return json.dumps(step).encode() + b"\n"


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
