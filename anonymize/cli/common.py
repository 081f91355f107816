"""What the commands share: the values of options, what is printed, errors as one line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from anonymize.core.errors import AnonymizeError, OptionError

if TYPE_CHECKING:
    from anonymize.pipeline import Summary

EXIT_FAILED, EXIT_WRONG_USE, EXIT_VISIBLE, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 3, 130, 143
"""Exit codes beside 0; `EXIT_VISIBLE`: verification found a person."""


def tell(summary: Summary, quiet: bool) -> None:
    """Print what was done: notes on stderr, one line on stdout."""
    if quiet:
        return
    for warning in summary.warnings:
        typer.echo(f"anonymize: {warning}", err=True)
    if summary.corrupt_frames:
        dropped = _count(summary.corrupt_frames, "frame")
        typer.echo(f"anonymize: {dropped} dropped that cannot be decoded", err=True)
    if summary.stripped:
        typer.echo(f"anonymize: left out, --keep-metadata keeps it: {', '.join(summary.stripped)}", err=True)
    rate = summary.frames / summary.seconds if summary.seconds > 0 else 0.0
    typer.echo(
        f"{summary.output}: {_count(summary.frames, 'frame')}, {summary.frames_with_people} with people, "
        f"{_count(summary.people, 'track')}, {_count(summary.plates, 'plate') + ', ' if summary.plates else ''}"
        f"{summary.seconds:.1f} s ({rate:.1f} frames/s)"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def set_up_logging(quiet: bool, verbose: bool) -> None:
    """Print errors only, or details too; other packages' warnings as ever."""
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="anonymize: %(message)s", force=True)
    logging.getLogger("anonymize").setLevel(level)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr, if that is a terminal and the work takes longer than two seconds."""
    from tqdm import tqdm

    with tqdm(unit=" frames", disable=True if quiet else None, delay=2, leave=False, file=sys.stderr) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


@contextmanager
def errors_as_one_line() -> Iterator[None]:
    """What is foreseen to go wrong is one line on stderr and an exit code."""
    try:
        yield
    except AnonymizeError as error:
        _complain(str(error))
        raise typer.Exit(EXIT_WRONG_USE if isinstance(error, OptionError) else EXIT_FAILED) from error
    except KeyboardInterrupt as error:
        _complain("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from error


@contextmanager
def unexpected_errors_as_one_line() -> Iterator[None]:
    """Any other error is one line on stderr too; with -v its traceback is shown."""
    try:
        yield
    except Exception as error:
        if isinstance(error, AnonymizeError) or hasattr(error, "exit_code"):  # Typer's own have it.
            raise
        _complain(f"internal error, -v shows where: {type(error).__name__}: {error}")
        raise typer.Exit(EXIT_FAILED) from error


def _complain(message: str) -> None:
    logging.getLogger("anonymize").debug("", exc_info=True)
    typer.echo(f"anonymize: {' '.join(message.split())}", err=True)
