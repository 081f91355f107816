"""`anonymize render FILM TRACKS -o OUTPUT`: draws what a tracks file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anonymize.cli.checks import check_render
from anonymize.cli.common import progress_bar, tell
from anonymize.cli.spread import spread
from anonymize.core.device import DeviceName
from anonymize.options import EncodeOptions, RenderOptions

app = typer.Typer(add_completion=False)


@app.command()
@spread(brief=True)
def render(
    film: Annotated[Path, typer.Argument(metavar="FILM", help="The film.", show_default=False)],
    tracks: Annotated[
        Path, typer.Argument(metavar="TRACKS", help="What `anonymize detect` wrote, edited or not.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUTPUT", help="The result.", show_default=False)],
    *,
    render: RenderOptions,
    device: Annotated[DeviceName, typer.Option(help="Where the generator runs.")] = "auto",
    encode: EncodeOptions,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing OUTPUT.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    """Replace or cover people of FILM as TRACKS says. TRACKS must be of this very FILM."""
    check_render(film, tracks, output, render=render, encode=encode, overwrite=overwrite)
    from anonymize.two_pass import render_pass

    with progress_bar(quiet) as progress:
        summary = render_pass(
            film,
            tracks,
            output,
            render=render,
            encode=encode,
            device=device,
            overwrite=overwrite,
            progress=progress,
        )
    tell(summary, quiet)
