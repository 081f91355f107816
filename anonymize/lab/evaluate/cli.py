"""`anonymize evaluate ...`: measures weights and results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Measure weights and results (extra `eval`).", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Measure weights and results (extra `eval`)."""


@app.command()
def detector(
    weights: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A detector's .safetensors.")],
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Holds ccp/, as for the training.")],
    boxed: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Holds boxes.json and pictures/.")],
    empty_film: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="A film without people.")],
    training: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="JSON that tells how the weights were trained.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", exists=True, file_okay=False, help="Folder.")],
) -> None:
    """Measure a detector on what it was not trained on; writes its manifest and a table."""
    from anonymize.lab.evaluate.detector import markdown, measure, write_manifest

    figures = measure(weights, data, boxed, empty_film)
    write_manifest(figures, json.loads(training.read_text()), output)
    typer.echo(markdown(figures))


@app.command()
def generator(
    weights: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A generator's .safetensors.")],
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Dataset of `anonymize dataset`.")],
    training: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON that tells how the weights were trained.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=24, help="At most so many people.", show_default=False)] = None,
    films: Annotated[int, typer.Option(min=0, help="Rendered films to look for leaks on.")] = 3,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", exists=True, file_okay=False, help="Folder of the manifest.")
    ] = None,
) -> None:
    """Measure a generator on people it was not trained on; with -o writes its manifest and a table."""
    from anonymize.lab.evaluate.generator import markdown, measure, write_manifest

    figures = measure(weights, data, limit=limit, films=films)
    if output is not None:
        write_manifest(figures, json.loads(training.read_text()) if training else {}, output)
    typer.echo(markdown(figures))


@app.command()
def tracking(
    truth: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The true tracks, MOTChallenge text.")],
    result: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The tracks to measure, the same.")],
    min_iou: Annotated[float, typer.Option(min=0, max=1, help="Boxes that overlap less are different people.")] = 0.5,
) -> None:
    """Measure tracks: MOTA, IDF1, switches of identity, fragmentations."""
    from anonymize.lab.evaluate.tracking import evaluate

    typer.echo(evaluate(truth, result, min_iou=min_iou).table())
