"""One file of a folder, done in whatever process."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import av

from anonymize.batch.manifest import Stamp
from anonymize.batch.walk import Kind
from anonymize.core.errors import AnonymizeError, MediaError
from anonymize.core.files import remove_partials, whole_file
from anonymize.media import pictures_in, result_name
from anonymize.options import Options

if TYPE_CHECKING:  # They load torch, which must wait until the process' threads are limited.
    from anonymize.detect.predictor import Detector
    from anonymize.pipeline import Find, Summary

BuildDetector = Callable[[Options, Kind], "Detector"]
"""Builds the detector that all files of a kind share."""
Advance = Callable[[int, int | None], None]
State = Literal["done", "unchanged", "copied", "skipped", "failed"]

UPDATES_SECONDS = 0.1
"""Progress is told at most this often."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to do.

    Attributes:
        name: Of the input, relative to its folder.
        kind: "film", "picture", "sequence" or "other", which is copied.
        source: The input; of a sequence its folder.
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

    def inputs(self) -> list[Path]:
        """The files that are read.

        Raises:
            MediaError: The folder of a sequence cannot be read.
        """
        return [self.source / name for name in pictures_in(self.source)] if self.kind == "sequence" else [self.source]

    def results(self) -> list[Path]:
        """The files that may be written.

        Raises:
            MediaError: The folder of a sequence cannot be read.
        """
        path = self.root / self.output
        return [path / result_name(each.name) for each in self.inputs()] if self.kind == "sequence" else [path]

    def result_stamp(self) -> Stamp:
        """What the result is now; of a sequence of the pictures that are there.

        Raises:
            OSError: It is not there.
        """
        results = self.results()
        return Stamp.of([path for path in results if path.exists()] or results[:1])


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

    def __init__(self, options: Options, build_detector: BuildDetector) -> None:
        self._options = options
        self._build_detector = build_detector
        self._detectors: dict[Kind, Detector] = {}

    def prepare(self, kind: Kind) -> None:
        """Build what a kind of files needs.

        Raises:
            AnonymizeError: It cannot be built, and no file of the kind can be done.
        """
        kind = _detector_kind(kind)
        if kind != "other" and kind not in self._detectors:
            self._detectors[kind] = self._build_detector(self._options, kind)

    def detector(self) -> Detector:
        """The detector for films.

        Raises:
            AnonymizeError: It cannot be built.
        """
        self.prepare("film")
        return self._detectors["film"]

    def do(self, job: Job, advance: Advance, find: Find | None = None) -> Outcome:
        """Do a file. Whatever goes wrong with it is told in the outcome.

        Args:
            job: The file; `prepare` was called for its kind.
            advance: Called with frames done and expected, now and then.
            find: The stage around the detector, see `process_film`; None for the usual one.
        """
        began = time.monotonic()
        try:
            return self._do(job, _throttled(advance), find, began)
        except Exception as error:
            logging.getLogger("anonymize").debug("%s", job.name, exc_info=True)
            return Outcome(job.name, job.output, "failed", seconds=time.monotonic() - began, note=_told(error))

    def _do(self, job: Job, advance: Advance, find: Find | None, began: float) -> Outcome:
        try:
            before = Stamp.of(job.inputs(), content=True)
        except OSError as error:
            if isinstance(error, MediaError):
                raise
            raise MediaError(f"cannot read {job.source}: {error.strerror}") from error
        path = job.root / job.output
        _make_folder(path if job.kind == "sequence" else path.parent, job.root)
        if job.overwrite:
            remove_partials(path)
        frames, people, notes = None, None, ""
        if job.kind == "other":
            _copy(job.source, path, overwrite=job.overwrite)
        else:
            summary = self._anonymize(job, path, advance, find)
            frames, people, notes = summary.frames, summary.people, "; ".join(summary.warnings)
        results = job.results()
        if not before.same_time(Stamp.of(job.inputs())):
            for result in results:
                result.unlink(missing_ok=True)
            raise MediaError(f"{job.source} has changed while it was read")
        return Outcome(
            job.name,
            job.output,
            "copied" if job.kind == "other" else "done",
            frames,
            people,
            time.monotonic() - began,
            notes,
            before,
            job.result_stamp(),
        )

    def _anonymize(self, job: Job, path: Path, advance: Advance, find: Find | None) -> Summary:
        from anonymize.pipeline import process_film, process_image

        detector, overwrite = self._detectors[_detector_kind(job.kind)], job.overwrite
        if job.kind == "picture":
            return process_image(job.source, path, self._options, overwrite=overwrite, detector=detector)
        return process_film(
            job.source, path, self._options, overwrite=overwrite, detector=detector, find=find, progress=advance
        )


def build_shared_detector(options: Options, kind: Kind) -> Detector:
    """The detector, which takes longer to load than a picture takes to do.

    Args:
        options: Name it.
        kind: "film" or "picture".

    Raises:
        AnonymizeError: The weights or the device do not work.
    """
    from anonymize.core.device import resolve_device
    from anonymize.detect.build import build_detector
    from anonymize.track import UNSURE_SCORE

    return build_detector(
        weights=options.detector,
        score=options.detect.score,
        unsure=UNSURE_SCORE if kind == "film" else None,
        device=resolve_device(options.device),
        plates=options.detect.plates,
    )


def _detector_kind(kind: Kind) -> Kind:
    """The kind whose detector a kind shares."""
    return "film" if kind == "sequence" else kind


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
