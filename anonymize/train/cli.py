"""`anonymize train ...`: the commands that make the embedded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anonymize.train.generator_cli import MOST_SEED, generator

app = typer.Typer(help="Train the embedded weights (extra `train`).", no_args_is_help=True)
app.command()(generator)

Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False)]


@app.command()
def label(
    ccp: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Holds photos/*.webp and labels/*.png.")],
    teachers: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder of the teachers' model files.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the label PNGs; by default CCP/teacher.")]
    | None = None,
) -> None:
    """Label photos by teacher models: people, their parts, and what not to learn from."""
    from anonymize.train.teachers import label_folder

    count = label_folder(ccp / "photos", ccp / "labels", teachers, output or ccp / "teacher")
    typer.echo(f"{count} photos labelled")


@app.command()
def fit(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Holds boxes.json, blazepose.npz, pictures/.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Fitted bodies and landmark maps, an npz file.")],
    teacher: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="BlazePose's file, to check each by the mirrored picture."),
    ] = None,
    poses: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Also write the poses, as the renderer's assets/poses.npz.")
    ] = None,
    people: Annotated[int | None, typer.Option(min=1, help="Fit so many people only (to try the command).")] = None,
) -> None:
    """Fit bodies to labelled people: which point of the body surface each of their pixels shows."""
    from anonymize.train.fits import fit_folder

    fits = fit_folder(folder, output, teacher=teacher, poses=poses, most=people)
    typer.echo(f"{len(fits)} people fitted, {int(fits.kept.sum())} kept")


@app.command()
def detector(
    data: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Holds ccp/, and if at hand cutouts/, backgrounds/.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the checkpoint, log and previews.")],
    steps: Annotated[int, typer.Option(min=1, help="Length of the schedule.")] = 60_000,
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    height: Annotated[int, typer.Option(min=64, help="Of the training pictures, a multiple of 32.")] = 288,
    width: Annotated[int, typer.Option(min=64, help="Of the training pictures, a multiple of 32.")] = 512,
    learning_rate: Annotated[float, typer.Option(min=0, max=1)] = 1.5e-3,
    wide: Annotated[float, typer.Option(min=0.25, max=8, help="Factor on the backbone's channels.")] = 1.0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make pictures.")] = 1,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so many minutes, with a checkpoint.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    start: Annotated[
        Path | None,
        typer.Option("--from", exists=True, dir_okay=False, help="Weights to begin with, if no checkpoint."),
    ] = None,
    keep_surface: Annotated[
        bool,
        typer.Option("--keep-surface", help="Keep --from's embedding of the surface: its generators still fit."),
    ] = False,
    photos: Annotated[int | None, typer.Option(min=1, help="Read so many photos only (to try the command).")] = None,
) -> None:
    """Train the detector from scratch; goes on with the checkpoint in OUTPUT if there is one."""
    import dataclasses

    from anonymize.detect.network import DetectorConfig
    from anonymize.device import resolve_device
    from anonymize.errors import OptionError
    from anonymize.synthesis import load_surface
    from anonymize.train.detector import DetectorTraining, TrainingOptions, load_bank

    if height % 32 or width % 32:
        raise OptionError(f"height and width must be multiples of 32, got {height} x {width}")
    if keep_surface and start is None:
        raise OptionError("--keep-surface keeps the surface of earlier weights: name them by --from")
    surface = load_surface()
    options = TrainingOptions(
        steps=steps,
        batch_size=batch_size,
        size_hw=(height, width),
        learning_rate=learning_rate,
        keep_surface=keep_surface,
        workers=workers,
        minutes=minutes,
        seed=seed,
    )
    config = DetectorConfig()
    config = dataclasses.replace(config, widths=tuple(8 * round(wide * w / 8) for w in config.widths))
    bank = load_bank(data, surface, limit=photos)
    training = DetectorTraining(output, options, config, surface, resolve_device(device))
    if start and training.step == 0:
        training.start_from(start)
    training.run(bank)
