"""The command without a name of its own: `anonymize INPUT -o OUTPUT`.

torch and the stages are imported where they are used, so that `--help`, wrong use and files that cannot be read or
written are answered at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anonymize import __version__
from anonymize.cli.checks import check_plain
from anonymize.cli.common import EXIT_FAILED, progress_bar, set_up_logging, tell
from anonymize.cli.spread import spread
from anonymize.core.device import DeviceName
from anonymize.core.errors import OptionError
from anonymize.core.formats import is_image
from anonymize.options import (
    DetectOptions,
    DrawOptions,
    EncodeOptions,
    FolderOptions,
    Options,
    ReadOptions,
    RenderOptions,
    TrackOptions,
)

if TYPE_CHECKING:
    from anonymize.pipeline import Observe, Summary


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"anonymize {__version__}")
        raise typer.Exit


@spread()
def plain(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A film, a picture or a folder.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUTPUT", help="The result.", show_default=False)],
    *,
    draw: DrawOptions,
    detect: DetectOptions,
    track: TrackOptions,
    device: Annotated[DeviceName, typer.Option(help="Where the network runs.")] = "auto",
    encode: EncodeOptions,
    read: ReadOptions,
    render: RenderOptions,
    tracks: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write who is where: .json, .json.gz to render, .txt MOT, .coco.json COCO."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="Write a page (HTML) about the work: tracks, what to review.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing OUTPUT.")] = False,
    folder: FolderOptions,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print details, and tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Replace or cover every person in a film or a picture, or in all those of a folder.

    On success one line on stdout tells what was done, or a table of a folder's files; notes and progress go to stderr.
    Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted. A file that fails leaves no output.
    """
    set_up_logging(quiet, verbose)
    options = Options(draw=draw, detect=detect, track=track, encode=encode, read=read, render=render, device=device)
    if read.sequence and not source.is_dir():
        raise OptionError(f"pictures as a film (--sequence) lie in a folder; {source} is none")
    if source.is_dir() and read.sequence and (report is not None or tracks is not None):
        from anonymize.media.sequence import check_one_sequence

        check_one_sequence(source)
    elif source.is_dir():
        if report is not None:
            raise OptionError("a page (--report) is about one film or picture, not a folder")
        if tracks is not None:
            raise OptionError("tracks (--tracks) are those of one film, not of a folder")
        from anonymize.batch.console import run_folder

        done = run_folder(source, output, options, folder, overwrite=overwrite, quiet=quiet)
        raise typer.Exit(EXIT_FAILED if done.failed else 0)
    if folder != FolderOptions():
        raise OptionError(f"workers, engines and copies are for folders; {source} is one film or picture")
    check_plain(source, output, options, tracks=tracks, report=report, overwrite=overwrite)
    if report is None:
        summary = _do_file(source, output, options, tracks=tracks, overwrite=overwrite, quiet=quiet)
    else:
        summary = _do_file_with_page(
            source, output, options, page=report, tracks=tracks, overwrite=overwrite, quiet=quiet
        )
    tell(summary, quiet)


def _do_file(
    source: Path,
    output: Path,
    options: Options,
    *,
    tracks: Path | None,
    overwrite: bool,
    quiet: bool,
    observe: Observe | None = None,
) -> Summary:
    """Do a film or a picture."""
    from anonymize.pipeline import process_film, process_image

    if is_image(source) and not source.is_dir():
        return process_image(source, output, options, overwrite=overwrite, observe=observe)
    with progress_bar(quiet) as progress:
        return process_film(
            source, output, options, tracks=tracks, overwrite=overwrite, progress=progress, observe=observe
        )


def _do_file_with_page(
    source: Path, output: Path, options: Options, *, page: Path, tracks: Path | None, overwrite: bool, quiet: bool
) -> Summary:
    """Do a film or a picture, and write a page about it."""
    from anonymize.build import weights_files
    from anonymize.report import FilmReport, write_page

    report = FilmReport()
    summary = _do_file(source, output, options, tracks=tracks, overwrite=overwrite, quiet=quiet, observe=report.add)
    identity = ", ".join(path.name for path in options.draw.identity)
    values = {"input": source.absolute().name, **options.values(), "device": options.device, "identity": identity}
    settings = {
        name.replace("_", " "): value.name if isinstance(value, Path) else value for name, value in values.items()
    }
    write_page(page, report, summary, settings, weights_files(options), overwrite=overwrite)
    return summary
