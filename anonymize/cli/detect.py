"""`anonymize detect FILM -o TRACKS`: who is where, to be edited and rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anonymize.cli.common import Device, Mode, progress_bar, tell

app = typer.Typer(add_completion=False)


@app.command()
def detect(
    film: Annotated[Path, typer.Argument(metavar="FILM", help="A film.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="TRACKS", help="A .json or .json.gz file.", show_default=False)
    ],
    mode: Annotated[Mode | None, typer.Option(help="How all are to be drawn, as of the plain command.")] = None,
    color: Annotated[str | None, typer.Option(metavar="RRGGBB", help="Colour of --mode solid.")] = None,
    truncation: Annotated[
        float | None,
        typer.Option("-t", "--truncation", min=0, max=1, help="Of --mode generate, without --identity: diversity."),
    ] = None,
    multi_modal: Annotated[
        bool, typer.Option("--multi-modal", help="Of --truncation, without --identity: toward typical looks.")
    ] = False,
    identity: Annotated[
        list[Path] | None, typer.Option(metavar="PICTURE", help="Of --mode generate, without -t, --multi-modal: looks.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of --mode generate: same seed, same looks; of --identity fine noise only."),
    ] = None,
    weights: Annotated[str, typer.Option(metavar="embedded|zoo|PATH", help="Networks.")] = "embedded",
    detector: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Detector, if it is not that of --weights; as of the plain command."),
    ] = None,
    score: Annotated[float | None, typer.Option(min=0, max=1, help="Lowest score of a detection.")] = None,
    lookahead: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long frames wait.")] = 1.0,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = "auto",
    start: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Begin here.")] = None,
    end: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Stop here.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing TRACKS.")] = False,
    tolerate_corrupt: Annotated[
        bool, typer.Option("--tolerate-corrupt", help="Drop frames that cannot be decoded.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    """Find and follow the people of FILM, and write TRACKS, which can be edited and rendered.

    Without an edit `anonymize render` makes of it what the plain command makes of FILM.
    """
    from anonymize.detect.names import detector_for
    from anonymize.two_pass import detect_film

    with progress_bar(quiet) as progress:
        summary = detect_film(
            film,
            output,
            mode=mode,
            color=color,
            truncation=truncation,
            multi_modal=multi_modal,
            identity=tuple(identity or ()),
            seed=seed,
            weights=weights,
            detector_weights=detector_for(weights, detector, generates=mode in (None, "generate")),
            score=score,
            lookahead=lookahead,
            device=device,
            start=start,
            end=end,
            overwrite=overwrite,
            tolerate_corrupt=tolerate_corrupt,
            progress=progress,
        )
    tell(summary, quiet)
