"""One file of a folder, done in whatever process."""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import av

from anonymize.batch.manifest import Stamp
from anonymize.batch.walk import Kind
from anonymize.core.errors import AnonymizeError, MediaError
from anonymize.core.files import remove_partials, whole_file

Settings = Mapping[str, Any]
Parts = Mapping[str, Any]
BuildParts = Callable[[Settings, Kind], Parts]
"""Builds what all files of a kind share, as arguments of `anonymize_video` or `anonymize_image`."""
Advance = Callable[[int, int | None], None]
State = Literal["done", "unchanged", "copied", "skipped", "failed"]

UPDATES_SECONDS = 0.1
"""Progress is told at most this often."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to do.

    Attributes:
        name: Of the input, relative to its folder.
        kind: "film", "picture" or "other", which is copied.
        source: The input.
        root: The output folder.
        output: Of the result, relative to `root`.
        overwrite: A file of the output's name may be replaced.
        attempt: From 1; more when processes died of it.
    """

    name: str
    kind: Kind
    source: Path
    root: Path
    output: str
    overwrite: bool = False
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file.

    Attributes:
        name: Of the input, relative to its folder.
        output: Of the result, relative to the output folder.
        state: "done" or "copied" now; "unchanged" since an earlier run; "skipped", such as links; "failed".
        frames: Frames written; None for what has none.
        people: Different people, by track ID.
        seconds: Time that it took.
        note: Why it failed or was skipped; warnings.
        input: The input as it was read; None unless done or copied.
        result: The result as it was written; None unless done or copied.
    """

    name: str
    output: str
    state: State
    frames: int | None = None
    people: int | None = None
    seconds: float | None = None
    note: str = ""
    input: Stamp | None = field(default=None, repr=False)
    result: Stamp | None = field(default=None, repr=False)


class Worker:
    """Does one file after the other; detector and the like are built when the first film or picture comes."""

    def __init__(self, settings: Settings, build_parts: BuildParts) -> None:
        self._settings = settings
        self._build_parts = build_parts
        self._parts: dict[Kind, Parts] = {}

    def prepare(self, kind: Kind) -> None:
        """Build what a kind of files needs.

        Raises:
            AnonymizeError: It cannot be built, and no file of the kind can be done.
        """
        if kind != "other" and kind not in self._parts:
            self._parts[kind] = self._build_parts(self._settings, kind)

    def detector(self) -> Any:
        """The detector for films.

        Raises:
            AnonymizeError: It cannot be built.
        """
        self.prepare("film")
        return self._parts["film"]["detector"]

    def do(self, job: Job, advance: Advance, find: Any = None) -> Outcome:
        """Do a file. Whatever goes wrong with it is told in the outcome.

        Args:
            job: The file; `prepare` was called for its kind.
            advance: Called with frames done and expected, now and then.
            find: The stage around the detector, see `anonymize_video`; None for the usual one.
        """
        began = time.monotonic()
        try:
            return self._do(job, _throttled(advance), find, began)
        except Exception as error:
            logging.getLogger("anonymize").debug("%s", job.name, exc_info=True)
            return Outcome(job.name, job.output, "failed", seconds=time.monotonic() - began, note=_told(error))

    def _do(self, job: Job, advance: Advance, find: Any, began: float) -> Outcome:
        try:
            before = stamp(job.source)
        except OSError as error:
            raise MediaError(f"cannot read {job.source}: {error.strerror}") from error
        path = job.root / job.output
        _make_folder(path.parent, job.root)
        if job.overwrite:
            remove_partials(path)
        frames, people, notes = None, None, ""
        if job.kind == "other":
            _copy(job.source, path, overwrite=job.overwrite)
        else:
            summary = self._anonymize(job, path, advance, find)
            frames, people, notes = summary.frames, summary.people, "; ".join(summary.warnings)
        if not before.same_time(job.source.stat()):
            path.unlink()
            raise MediaError(f"{job.source} has changed while it was read")
        written = path.stat()
        return Outcome(
            job.name,
            job.output,
            "copied" if job.kind == "other" else "done",
            frames,
            people,
            time.monotonic() - began,
            notes,
            before,
            Stamp(written.st_size, written.st_mtime_ns),
        )

    def _anonymize(self, job: Job, path: Path, advance: Advance, find: Any) -> Any:
        from anonymize import pipeline  # Not before the process' threads are limited.

        function: Callable[..., Any] = {"film": pipeline.anonymize_video, "picture": pipeline.anonymize_image}[job.kind]
        known = inspect.signature(function).parameters.keys()  # A picture has no codec, no sound, no length.
        settings = {**self._settings, **self._parts[job.kind]}
        settings |= {"overwrite": job.overwrite, "progress": advance, "find": find}
        return function(job.source, path, **{name: value for name, value in settings.items() if name in known})


def build_parts(settings: Settings, kind: Kind) -> Parts:
    """The detector, which takes longer to load than a picture takes to do.

    Args:
        settings: Arguments of `anonymize_video`.
        kind: "film" or "picture".

    Raises:
        AnonymizeError: The weights or the device do not work.
    """
    from anonymize.core.device import resolve_device
    from anonymize.detect.build import build_detector
    from anonymize.track import UNSURE_SCORE

    options: dict[str, Any] = {
        "weights": settings.get("detector_weights", "embedded"),
        "score": settings.get("score"),
        "device": resolve_device(settings.get("device", "auto")),
    }
    if kind == "film":
        options["unsure"] = UNSURE_SCORE
    return {"detector": build_detector(**options)}


def stamp(path: Path) -> Stamp:
    """A file's size, time and hash."""
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        return Stamp(stat.st_size, stat.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest())


def _make_folder(folder: Path, root: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not folder.resolve().is_relative_to(root.resolve()):
        raise MediaError(f"cannot write to {folder}: it is a link out of the output folder")


def _copy(source: Path, path: Path, *, overwrite: bool) -> None:
    """Copy a file that is neither film nor picture; one that shows pictures under a strange name is refused."""
    if _has_pictures(source):
        raise MediaError(f"{source} holds pictures in a format that is not supported; it is not copied")
    with whole_file(path, source=source, overwrite=overwrite) as partial:
        try:
            shutil.copyfile(source, partial)
        except OSError as error:
            raise MediaError(f"cannot copy {source}: {error.strerror}") from error


def _has_pictures(path: Path) -> bool:
    try:
        with av.open(str(path)) as container:
            return container.format.name != "tty" and len(container.streams.video) > 0  # "tty" is any text.
    except (av.error.FFmpegError, OSError, ValueError):
        return False


def _told(error: Exception) -> str:
    """An error as one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, AnonymizeError | OSError) else f"internal error: {type(error).__name__}: {text}"


def _throttled(advance: Advance) -> Advance:
    last = 0.0

    def tell(done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= UPDATES_SECONDS:
            last = now
            advance(done, total)

    return tell
