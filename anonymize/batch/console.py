"""A folder on the command line: bars while it is done, a table after."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from anonymize.batch.folder import anonymize_folder
from anonymize.batch.report import BatchProgress, BatchReport
from anonymize.options import FolderOptions, Options


def run_folder(
    source: Path, output: Path, options: Options, folder: FolderOptions, *, overwrite: bool, quiet: bool
) -> BatchReport:
    """Do a folder, and print a table on stdout; of a quiet run the failures only, on stderr.

    Args:
        source: The folder.
        output: Where the results go.
        options: How the files are done.
        folder: How they are shared out.
        overwrite: Replace existing results.
        quiet: Print failures only.

    Raises:
        AnonymizeError: With one line for the user.
    """
    with _progress_bars(quiet) as progress:
        report = anonymize_folder(source, output, options, folder, overwrite=overwrite, progress=progress)
    if quiet:
        for line in report.failures():
            typer.echo(f"anonymize: {line}", err=True)
    else:
        encoding = sys.stdout.encoding or "utf-8"
        typer.echo(report.table().encode(encoding, "backslashreplace").decode(encoding))
    return report


@contextmanager
def _progress_bars(quiet: bool) -> Iterator[Callable[[BatchProgress], None]]:
    """Two bars on stderr, files and frames, if that is a terminal and the work takes longer than two seconds."""
    from tqdm import tqdm

    hidden = True if quiet else None
    with (
        tqdm(unit=" files", disable=hidden, delay=2, leave=False, position=0, file=sys.stderr) as files,
        tqdm(unit=" frames", disable=hidden, delay=2, leave=False, position=1, file=sys.stderr) as frames,
    ):

        def show(progress: BatchProgress) -> None:
            files.total = progress.files_expected
            files.update(progress.files - files.n)
            frames.update(progress.frames - frames.n)

        yield show
