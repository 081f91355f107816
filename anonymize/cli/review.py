"""`anonymize review FILM TRACKS`: a page on this machine to correct what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anonymize.cli.spread import spread
from anonymize.core.device import DeviceName
from anonymize.options import EncodeOptions, RenderOptions, ReviewOptions

app = typer.Typer(add_completion=False)


@app.command()
@spread(brief=True)
def review(
    film: Annotated[Path, typer.Argument(metavar="FILM", help="The film.", show_default=False)],
    tracks: Annotated[
        Path,
        typer.Argument(metavar="TRACKS", help="What `anonymize detect` wrote; edits go there.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUTPUT", help="What is rendered; else FILM-anonymized beside TRACKS."),
    ] = None,
    *,
    review: ReviewOptions,
    render: RenderOptions,
    device: Annotated[DeviceName, typer.Option(help="Where the generator runs.")] = "auto",
    encode: EncodeOptions,
) -> None:
    """Correct TRACKS of FILM on a page in the browser: keep, drop, blur or replace people, merge and split, add boxes.

    The page is served on this machine only, under an address with a token, until Ctrl-C ends the command. The other
    options are those of `anonymize render`, for the film that the page renders in the end.
    """
    import webbrowser

    from anonymize.review import Review, serve_review

    def opened(address: str) -> None:
        typer.echo(address)
        typer.echo("anonymize: Ctrl-C ends the review", err=True)
        if not review.no_browser:
            webbrowser.open(address)

    asked = Review(film=film, tracks=tracks, output=output, render=render, encode=encode, device=device)
    try:
        serve_review(asked, opened, port=review.port)
    except KeyboardInterrupt:  # the way to end it
        typer.echo("anonymize: the review has ended", err=True)
