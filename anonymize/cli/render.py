"""`anonymize render FILM TRACKS -o OUTPUT`: draws what a tracks file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anonymize.cli.common import Audio, Device, progress_bar, tell

app = typer.Typer(add_completion=False)


@app.command()
def render(
    film: Annotated[Path, typer.Argument(metavar="FILM", help="The film.", show_default=False)],
    tracks: Annotated[
        Path, typer.Argument(metavar="TRACKS", help="What `anonymize detect` wrote, edited or not.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUTPUT", help="The result.", show_default=False)],
    always_cover: Annotated[
        Path | None, typer.Option(metavar="REGIONS", help="Cover these places, whoever is there.")
    ] = None,
    never_cover: Annotated[
        Path | None, typer.Option(metavar="REGIONS", help="Who is wholly inside these places is no person.")
    ] = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Draw boxes, outlines, IDs and scores on top.")] = False,
    device: Annotated[Device, typer.Option(help="Where the generator runs.")] = "auto",
    codec: Annotated[str, typer.Option(help="Video encoder.")] = "libx264",
    crf: Annotated[int, typer.Option(min=0, max=63, help="Constant quality of the encoder, lower is better.")] = 18,
    preset: Annotated[str | None, typer.Option(help="Speed preset of the encoder.")] = None,
    audio: Annotated[Audio, typer.Option(help="Sound: the same packets, or none.")] = "copy",
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Keep place, device and time in the file.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing OUTPUT.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    """Replace or cover people of FILM as TRACKS says. TRACKS must be of this very FILM."""
    from anonymize.two_pass import render_film

    with progress_bar(quiet) as progress:
        summary = render_film(
            film,
            tracks,
            output,
            always_cover=always_cover,
            never_cover=never_cover,
            overlay=overlay,
            device=device,
            codec=codec,
            crf=crf,
            preset=preset,
            audio=audio,
            keep_metadata=keep_metadata,
            overwrite=overwrite,
            progress=progress,
        )
    tell(summary, quiet)
