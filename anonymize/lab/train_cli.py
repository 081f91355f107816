"""`anonymize train ...`: the trainings, and what trains and measures in one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anonymize.lab.train.cli import app
from anonymize.lab.train.generator_cli import MOST_SEED

__all__ = ["app"]


@app.command()
def ablation(
    data: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Dataset of `anonymize dataset`, with rendered people.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the rows' trainings and the results.")],
    minutes: Annotated[float, typer.Option(min=0.001, help="Each row's training, all calls together.")] = 20.0,
    batch_size: Annotated[int, typer.Option(min=1)] = 16,
    learning_rate: Annotated[float, typer.Option(min=0, max=1)] = 1e-3,
    halvings: Annotated[int, typer.Option(min=0, max=4, help="Train at half of 288 x 160 so many times.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read pictures.")] = 1,
    compile_networks: Annotated[
        bool, typer.Option("--compile", help="Compile the networks first, a minute or two of each row's.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    limit: Annotated[
        int | None, typer.Option(min=3, help="Measure on so many held-out pictures at most.", show_default=False)
    ] = None,
    inception: Annotated[Path | None, typer.Option(metavar="PATH", help="As of `anonymize evaluate pictures`.")] = None,
    clip: Annotated[Path | None, typer.Option(metavar="PATH", help="As well.")] = None,
    lpips: Annotated[Path | None, typer.Option(metavar="PATH", help="As well.")] = None,
) -> None:
    """Train the six rows of the thesis' table 5.3 at equal budget and measure them; goes on with what is in OUTPUT."""
    from anonymize.lab.ablation import AblationOptions, run, table
    from anonymize.lab.evaluate.output import check_output
    from anonymize.lab.evaluate.picture_networks import load_picture_networks

    networks = load_picture_networks(inception, clip, lpips)
    output.mkdir(parents=True, exist_ok=True)
    check_output(output / "table.md")
    options = AblationOptions(
        minutes=minutes,
        batch_size=batch_size,
        learning_rate=learning_rate,
        workers=workers,
        compile=compile_networks,
        seed=seed,
        halvings=halvings,
        device=device,
        limit=limit,
    )
    typer.echo(table(run(data, output, options, networks)))
