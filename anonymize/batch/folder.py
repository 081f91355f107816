"""A folder of films and pictures, done so that it can be ended and begun again at any moment."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from anonymize import __version__
from anonymize.batch.engines import Engine, Plan, Processes, in_this_process
from anonymize.batch.job import BuildDetector, Job, Outcome, build_shared_detector
from anonymize.batch.lock import FolderLock
from anonymize.batch.manifest import Done, Manifest, Stamp
from anonymize.batch.report import BatchProgress, BatchReport
from anonymize.batch.walk import STATE_FOLDER, Entry, walk
from anonymize.core.errors import AnonymizeError, MediaError, OptionError
from anonymize.core.files import remove_partials
from anonymize.media.encoders import pick_encoder
from anonymize.options import FolderOptions, Options


def anonymize_folder(
    source: Path | str,
    output: Path | str,
    options: Options | None = None,
    folder: FolderOptions | None = None,
    *,
    overwrite: bool = False,
    weights: Iterable[Path] | None = None,
    build_detector: BuildDetector = build_shared_detector,
    progress: Callable[[BatchProgress], None] | None = None,
) -> BatchReport:
    """Cover every person in all films and pictures of a folder and the folders in it.

    With `options.read.sequence` the pictures of each folder are one film.

    The output folder mirrors the input folder. What an earlier run has finished is left as it is, unless input,
    settings or weights have changed. The run may be killed at any moment: started again, it loses the files at hand at
    most, and there is never a file under a result's name that is not complete.

    A folder `.anonymize` in the output keeps what is done; files that are named there are replaced when need be, others
    only with `overwrite`. With more than one worker the calling script needs the guard
    `if __name__ == "__main__"`.

    Args:
        source: The folder.
        output: Where the results go; made if missing. It may lie inside `source`.
        options: How the files are done, pictures by those that make sense for them; None for the defaults.
        folder: How they are shared out; None for one after the other, in this process.
        overwrite: Replace existing files that no earlier run has written.
        weights: Files whose change makes results out of date; None for those that the options name.
        build_detector: Builds the detector that all files share; for tests and own detectors. With workers it must be
            importable.
        progress: Called now and then.

    Raises:
        OptionError: The folders contradict each other, or an option has a value that is not supported.
        MediaError: The input cannot be read or the output not written.
        AnonymizeError: Another run writes to the output, or no file can be done (weights, device, Ray).
    """
    began = time.monotonic()
    source, output = Path(source), Path(output)
    options, folder = (options or Options()).absolute(), folder or FolderOptions()
    pick_encoder(options.encode.codec, options.encode.crf, options.encode.preset)  # before any file is begun
    _check_folders(source, output)
    state = output / STATE_FOLDER
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"cannot make the folder {state}: {error.strerror}") from error
    if weights is None:
        from anonymize.build import weights_files

        weights = weights_files(options)
    fingerprint = _fingerprint(options, weights)
    with FolderLock(state / "lock") as lock, Manifest(state / "manifest.jsonl") as manifest:
        for name in manifest.begun:
            remove_partials(output / name)
        ignores_case = (output / STATE_FOLDER.upper()).exists()
        entries = walk(source, output, ignores_case=ignores_case, sequences=options.read.sequence)
        others = sum(entry.kind == "other" for entry in entries)
        if not folder.copy_others:
            entries = [entry for entry in entries if entry.kind != "other"]
        run = _Run(source, output, manifest, fingerprint, overwrite, progress, len(entries))
        run.all(entries, _engine(folder, lock.descriptor), Plan(options, build_detector))
        outcomes = tuple(sorted(run.outcomes, key=lambda outcome: outcome.name))
    return BatchReport(outcomes, 0 if folder.copy_others else others, time.monotonic() - began)


class _Run:
    """One run: decides what is to be done, and notes what was."""

    def __init__(
        self,
        source: Path,
        output: Path,
        manifest: Manifest,
        fingerprint: str,
        overwrite: bool,
        progress: Callable[[BatchProgress], None] | None,
        files: int,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._source, self._output = source.absolute(), output.absolute()
        self._manifest, self._fingerprint, self._overwrite = manifest, fingerprint, overwrite
        self._progress, self._files = progress, files
        self._frames: dict[str, int] = {}
        self._at_hand: set[str] = set()

    def all(self, entries: Iterable[Entry], engine: Engine, plan: Plan) -> None:
        """Do all there is to do."""
        try:
            with closing(engine(self._jobs(entries), plan, self._advance)) as outcomes:
                for outcome in outcomes:
                    self._note(outcome)
        finally:
            for output in self._at_hand:
                remove_partials(self._output / output)

    def _jobs(self, entries: Iterable[Entry]) -> Iterator[Job]:
        """What is to be done; each is noted as begun when it is taken."""
        for entry in entries:
            try:
                job = self._job(entry)
            except AnonymizeError as error:
                self._tell(Outcome(entry.name, entry.output, "failed", note=str(error)))
                continue
            if job is not None:
                self._at_hand.add(job.output)
                yield job

    def _job(self, entry: Entry) -> Job | None:
        """What is to be done for an entry; None where there is nothing."""
        if entry.kind in {"skipped", "failed"}:
            self._tell(Outcome(entry.name, "", "skipped" if entry.kind == "skipped" else "failed", note=entry.note))
            return None
        job = Job(entry.name, entry.kind, self._source / entry.name, self._output, entry.output)
        done = self._manifest.done(entry.output)
        if done is not None and self._still_holds(done, job):
            self._tell(Outcome(entry.name, entry.output, "unchanged", done.frames, done.people))
            return None
        owned = self._overwrite or self._manifest.owns(entry.output)
        if not owned:
            for path in filter(os.path.lexists, job.results()):
                # An earlier run may have done the pictures of a sequence one by one.
                if not self._manifest.owns(os.path.relpath(path, self._output)):
                    raise MediaError(f"{path} exists; --overwrite replaces it")
                owned = True
        self._manifest.begin(entry.output)
        return replace(job, overwrite=owned)

    def _still_holds(self, done: Done, job: Job) -> bool:
        """Whether input, settings and result are those of an earlier run."""
        fingerprint = "" if job.kind == "other" else self._fingerprint
        if (done.source, done.settings) != (job.name, fingerprint):
            return False
        try:
            if not done.result.same_time(job.result_stamp()):
                return False
            inputs = job.inputs()
            now = Stamp.of(inputs)
            if done.input.same_time(now):
                return True
            return now.size == done.input.size and Stamp.of(inputs, content=True).sha256 == done.input.sha256
        except OSError:
            return False

    def _note(self, outcome: Outcome) -> None:
        """Write down what became of a job."""
        self._at_hand.discard(outcome.output)
        try:
            if outcome.input is not None and outcome.result is not None:
                self._manifest.finish(
                    Done(
                        outcome.name,
                        outcome.output,
                        outcome.input,
                        outcome.result,
                        "" if outcome.state == "copied" else self._fingerprint,
                        outcome.frames,
                        outcome.people,
                        outcome.seconds or 0.0,
                    )
                )
            elif not (self._output / outcome.output).is_file():
                self._manifest.give_up(outcome.output)
        except MediaError as error:
            outcome = Outcome(outcome.name, outcome.output, "failed", note=outcome.note or str(error))
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._frames[outcome.name] = (outcome.frames or 0) if outcome.state == "done" else 0
        self._show()

    def _advance(self, name: str, done: int, total: int | None) -> None:
        self._frames[name] = done
        self._show()

    def _show(self) -> None:
        if self._progress:
            self._progress(BatchProgress(len(self.outcomes), self._files, sum(self._frames.values())))


def _engine(folder: FolderOptions, lock: int) -> Engine:
    if folder.engine == "local":
        if folder.ray_address is not None or folder.gpus_per_worker:
            raise OptionError("an address or GPUs per worker need the engine ray")
        return in_this_process if folder.workers == 1 else Processes(folder.workers, lock)
    from anonymize.batch.cluster import RayEngine

    workers = None if folder.workers == 1 else folder.workers
    return RayEngine(folder.ray_address, workers=workers, gpus_per_worker=folder.gpus_per_worker)


def _check_folders(source: Path, output: Path) -> None:
    if not source.is_dir():
        raise MediaError(f"cannot read {source}: there is no such folder")
    if output.exists() and not output.is_dir():
        raise MediaError(f"cannot write {output}: it is not a folder")
    if source.resolve().is_relative_to(output.resolve()):
        raise OptionError("the output folder is the input folder or around it; results could replace the originals")


def _fingerprint(options: Options, weights: Iterable[Path]) -> str:
    """Hash of all that the results depend on beside their inputs. Files count by their content."""

    def told(value: object) -> Any:
        if isinstance(value, Path):
            return _sha256(value)
        if isinstance(value, list | tuple):
            return [told(each) for each in value]
        return value if isinstance(value, str | int | float | bool | None) else repr(value)

    facts = {
        "version": __version__,
        "settings": {name: told(value) for name, value in options.values().items()},
        "weights": sorted(_sha256(path) for path in weights),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error
