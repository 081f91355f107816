"""`anonymize detect FILM -o TRACKS`: who is where, to be edited and rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anonymize.cli.checks import check_detect
from anonymize.cli.common import progress_bar, tell
from anonymize.cli.spread import spread
from anonymize.core.device import DeviceName
from anonymize.options import DetectOptions, DrawOptions, Options, ReadOptions, TrackOptions

app = typer.Typer(add_completion=False)


@app.command()
@spread(brief=True)
def detect(
    film: Annotated[
        Path, typer.Argument(metavar="FILM", help="A film, or a folder with --sequence.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="TRACKS", help="A .json or .json.gz file.", show_default=False)
    ],
    *,
    draw: DrawOptions,
    detect: DetectOptions,
    track: TrackOptions,
    device: Annotated[DeviceName, typer.Option(help="Where the network runs.")] = "auto",
    read: ReadOptions,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing TRACKS.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    """Find and follow the people of FILM, and write TRACKS, which can be edited and rendered.

    Without an edit `anonymize render` makes of it what the plain command makes of FILM.
    """
    options = Options(draw=draw, detect=detect, track=track, read=read, device=device)
    check_detect(film, output, options, overwrite=overwrite)
    from anonymize.two_pass import detect_pass

    if read.sequence:
        from anonymize.media.sequence import check_one_sequence

        check_one_sequence(film)
    with progress_bar(quiet) as progress:
        summary = detect_pass(film, output, options, overwrite=overwrite, progress=progress)
    tell(summary, quiet)
