"""`anonymize train ...`: the commands that make the embedded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anonymize.lab.train.generator_cli import MOST_SEED, stylegan
from anonymize.lab.train.layered_cli import generator

app = typer.Typer(help="Train the embedded weights (extra `train`).", no_args_is_help=True)
app.command()(generator)
app.command()(stylegan)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="Where the graphs go: `weights` of a checkout.")],
) -> None:
    """Write the graphs by which ONNX Runtime runs the embedded networks.

    Needed when the code or the shapes of a network have changed; weights of the same shapes need no new graphs.
    """
    from anonymize.lab.train.export import export_graphs

    for path in export_graphs(folder):
        typer.echo(path)


@app.command()
def label(
    folder: Annotated[
        Path,
        typer.Argument(exists=True, file_okay=False, help="Holds photos/ and labels/, or pictures/ and boxes.json."),
    ],
    teachers: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder of the teachers' model files.")],
    people: Annotated[int | None, typer.Option(min=1, help="Label about so many boxed people at most.")] = None,
) -> None:
    """Label pictures by teacher models.

    Photos of Clothing Co-Parsing get people, their parts and what not to learn from (teacher/); other pictures get the
    boxes of people whom no one boxed (teacher_boxes.json), and boxed people get masks and landmarks (blazepose.npz).
    """
    if (folder / "photos").is_dir():
        from anonymize.lab.train.teachers import label_folder

        count = label_folder(folder / "photos", folder / "labels", teachers, folder / "teacher")
        typer.echo(f"{count} photos labelled")
        return
    from anonymize.core.errors import OptionError
    from anonymize.lab.train.box_teachers import label_boxes
    from anonymize.lab.train.pose_teacher import label_people

    if not (folder / "pictures").is_dir():
        raise OptionError(f"{folder} holds neither photos/ nor pictures/")
    count = label_boxes(folder / "pictures", teachers, folder / "teacher_boxes.json")
    typer.echo(f"{count} pictures and {label_people(folder, teachers, limit=people)} people labelled")


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
    from anonymize.lab.train.fits import fit_folder

    fits = fit_folder(folder, output, teacher=teacher, poses=poses, most=people)
    typer.echo(f"{len(fits)} people fitted, {int(fits.kept.sum())} kept")


@app.command()
def calibrate(
    weights: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A detector's .safetensors.")],
    folders: Annotated[
        list[Path], typer.Argument(exists=True, file_okay=False, help="Each holds boxes and pictures/.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The weights with calibrated scores.")],
) -> None:
    """Make a detector's scores probabilities, by boxed pictures that are kept out of training."""
    from anonymize.detect.build import load_network, save_weights
    from anonymize.lab.train.calibrate import calibrate
    from anonymize.lab.train.pictures import load_pictures

    network = load_network(weights)
    calibrate(network, [p for folder in folders for p in load_pictures(folder, held_out_only=True)])
    save_weights(output, network, {})
    config = network.config
    typer.echo(f"score = sigmoid({config.score_scale:.3f} logit {config.score_shift:+.3f})")


@app.command()
def detector(
    data: Annotated[
        Path,
        typer.Argument(exists=True, file_okay=False, help="Holds ccp/, and if at hand boxed/, cutouts/, scenes/, ..."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the checkpoint, log and previews.")],
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Length of the schedule, all stretches together; default 480.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the schedule in steps instead.")] = None,
    stretch: Annotated[
        float | None, typer.Option(min=0, help="Stop after so many minutes, with a checkpoint to go on from.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    height: Annotated[int, typer.Option(min=64, help="Of the training pictures, a multiple of 32.")] = 320,
    width: Annotated[int, typer.Option(min=64, help="Of the training pictures, a multiple of 32.")] = 448,
    learning_rate: Annotated[float, typer.Option(min=0, max=1)] = 1e-3,
    frozen_stages: Annotated[
        int, typer.Option(min=0, max=7, help="Stages of the backbone that stay as ImageNet made them.")
    ] = 2,
    train_depthwise: Annotated[
        bool, typer.Option("--train-depthwise", help="Train the backbone's depthwise kernels too: slow on a CPU.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make pictures.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    start: Annotated[
        Path | None,
        typer.Option("--from", exists=True, dir_okay=False, help="Weights to begin with instead of ImageNet's."),
    ] = None,
    surface_of: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Keep the surface of these weights: generators fit."),
    ] = None,
    photos: Annotated[int | None, typer.Option(min=1, help="Read so many pictures only (to try the command).")] = None,
) -> None:
    """Train the detector from ImageNet's backbone; goes on with the checkpoint in OUTPUT if there is one."""
    from anonymize.core.body_surface import load_surface
    from anonymize.core.device import resolve_device
    from anonymize.core.errors import OptionError
    from anonymize.detect.build import load_network, load_vertex_embedding
    from anonymize.detect.network import DetectorConfig
    from anonymize.lab.train.detector import DetectorTraining, TrainingOptions, imagenet_parameters, load_bank
    from anonymize.lab.train.parallel import joined

    if height % 32 or width % 32:
        raise OptionError(f"height and width must be multiples of 32, got {height} x {width}")
    surface = load_surface()
    options = TrainingOptions(
        steps=steps,
        minutes=480.0 if minutes is None and steps is None else minutes,
        stretch_minutes=stretch,
        batch_size=batch_size,
        size_hw=(height, width),
        learning_rate=learning_rate,
        frozen_stages=frozen_stages,
        frozen_depthwise=not train_depthwise,
        workers=workers,
        seed=seed,
    )
    kept = None if surface_of is None else load_vertex_embedding(surface_of)
    training = DetectorTraining(output, options, DetectorConfig(), surface, resolve_device(device), kept)
    if training.step == 0 and start is not None:
        training.start_from(load_network(start).state_dict())
    elif training.step == 0:
        training.start_from_imagenet(imagenet_parameters())
    bank = load_bank(data, surface, limit=photos)
    with joined(training.device) as rank:
        training.run(bank, rank)


@app.command()
def plates(
    data: Annotated[
        Path,
        typer.Argument(exists=True, file_okay=False, help="Holds plates/, and other pictures, see `load_others`."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the weights and the log.")],
    detector: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Weights whose backbone is read; else the embedded ones."),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0, help="Length of the schedule.")] = 12.0,
    start: Annotated[
        Path | None, typer.Option("--from", exists=True, dir_okay=False, help="Weights of a head to go on with.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(min=0, max=1, help="At its highest.")] = 2e-3,
    workers: Annotated[int, typer.Option(min=0, help="Processes in which the backbone looks at pictures.")] = 1,
    others: Annotated[int, typer.Option(min=0, help="Pictures without plates of each folder, at most.")] = 250,
    photos: Annotated[int | None, typer.Option(min=1, help="Read so many pictures only (to try the command).")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Train the head that finds number plates; the detector stays as it is, and the head fits this detector only."""
    from anonymize.core.device import resolve_device
    from anonymize.core.resources import DETECTOR, weights_path
    from anonymize.detect.build import load_network
    from anonymize.detect.plates import load_plate_head
    from anonymize.lab.train.plate_pictures import load_others, load_plates
    from anonymize.lab.train.plates import PlateTraining, train_plate_head

    backbone = load_network(detector or weights_path(DETECTOR)).backbone
    head = None if start is None else load_plate_head(start, backbone)
    options = PlateTraining(minutes=minutes, learning_rate=learning_rate, workers=workers, seed=seed)
    pictures, without = load_plates(data / "plates")[:photos], load_others(data, others)[:photos]
    train_plate_head(backbone, pictures, without, output, options, resolve_device(device), head)
    typer.echo(str(output / "plates.safetensors"))
