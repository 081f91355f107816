"""`anonymize evaluate ...`: measures weights and results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from anonymize.core.device import DeviceName

LOW_SCORE = 0.3
"""Of the detector that looks for people who were overlooked, as of `anonymize verify`."""

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
def plates(
    weights: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The .safetensors of a head for plates.")
    ],
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Holds plates/, as for the training.")],
    detector: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Its detector's weights; else the embedded ones.")
    ] = None,
    training: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON that tells how the weights were trained.")
    ] = None,
    others: Annotated[int, typer.Option(min=0, help="Pictures without plates of each folder, at most.")] = 40,
    device: Annotated[DeviceName, typer.Option(help="Where the networks run.")] = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", exists=True, file_okay=False, help="Folder of the manifest.")
    ] = None,
) -> None:
    """Measure a head for number plates on pictures it was not trained on; with -o writes its manifest and a table."""
    from anonymize.core.device import resolve_device
    from anonymize.core.resources import DETECTOR, weights_path
    from anonymize.lab.evaluate.detector import markdown
    from anonymize.lab.evaluate.plates import measure, write_manifest

    figures = measure(weights, detector or weights_path(DETECTOR), data, resolve_device(device), others)
    if output is not None:
        write_manifest(figures, json.loads(training.read_text()) if training else {}, output)
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
def pictures(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", exists=True, dir_okay=False, help="Generators' .safetensors.")
    ],
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Dataset of `anonymize dataset`.")],
    inception: Annotated[
        Path | None,
        typer.Option(metavar="PATH", show_default="EfficientNet-Lite0", help="For FID: .onnx, RGB in [0, 1]."),
    ] = None,
    clip: Annotated[
        Path | None, typer.Option(metavar="PATH", help="For FID-CLIP: .onnx, as well; without it there is none.")
    ] = None,
    lpips: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", show_default="EfficientNet-Lite0", help="For LPIPS: torchvision's AlexNet or VGG-16."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=3, help="At most so many pictures.", show_default=False)] = None,
    json_output: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write the figures here.")] = None,
) -> None:
    """FID, FID-CLIP and LPIPS of generators on people they were not trained on (thesis' tables 5.1 and 5.3)."""
    from anonymize.lab.evaluate.output import check_output, write_json
    from anonymize.lab.evaluate.picture_networks import load_picture_networks
    from anonymize.lab.evaluate.pictures import figures, measure, table

    if json_output is not None:
        check_output(json_output)
    found = measure(_by_name(models), data, load_picture_networks(inception, clip, lpips), limit)
    if json_output is not None:
        write_json(json_output, figures(found))
    typer.echo(table(found))


@app.command()
def consistency(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", exists=True, dir_okay=False, help="Generators' .safetensors.")
    ],
    data: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Dataset of `anonymize dataset`, with rendered people.")
    ],
    people: Annotated[int, typer.Option(min=2, help="How many z are drawn.")] = 20,
    views: Annotated[int, typer.Option(min=2, help="Poses, and places, that each is made in.")] = 4,
    sheet: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write a picture of some of them here, PNG.")
    ] = None,
    json_output: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write the figures here.")] = None,
) -> None:
    """Does a person stay the same in other poses and before other backgrounds? (thesis' figures 5.1 and 5.2)"""
    from anonymize.lab.evaluate.consistency import measure, table, write_sheet
    from anonymize.lab.evaluate.output import check_output, write_json

    for path in (sheet, json_output):
        if path is not None:
            check_output(path)
    named = _by_name(models)
    found = measure(named, data, people=people, views=views)
    if sheet is not None:
        write_sheet(sheet, named, data, views=views)
    if json_output is not None:
        write_json(json_output, found)
    typer.echo(table(found))


def _by_name(models: list[Path]) -> dict[str, Path]:
    """Models by the least of their path that tells them apart."""
    from anonymize.core.errors import OptionError

    if len(set(models)) < len(models):
        raise OptionError("a model is named twice")
    stems = [path.stem for path in models]
    return {str(path) if stems.count(path.stem) > 1 else path.stem: path for path in models}


@app.command()
def tracking(
    truth: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The true tracks, MOTChallenge text.")],
    result: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The tracks to measure, the same.")],
    min_iou: Annotated[float, typer.Option(min=0, max=1, help="Boxes that overlap less are different people.")] = 0.5,
) -> None:
    """Measure tracks: MOTA, IDF1, switches of identity, fragmentations."""
    from anonymize.lab.evaluate.tracking import evaluate

    typer.echo(evaluate(truth, result, min_iou=min_iou).table())


@app.command()
def reid(
    folder: Annotated[
        Path,
        typer.Argument(exists=True, file_okay=False, help="Market-1501's layout: query, bounding_box_test."),
    ],
    network: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            show_default="the tracker's appearance",
            help="Tells people apart: .onnx, .xml of OpenVINO, or a checkpoint of Torchreid's OSNet.",
        ),
    ] = None,
    mode: Annotated[
        list[str] | None, typer.Option(show_default="all", help="Repeatable: solid, pixelate, blur, generate.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Of generate: embedded, zoo or a file.")] = "embedded",
    baseline: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Another generator, to hold against it.")
    ] = None,
    anonymized: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Repeatable: FOLDER as another program has anonymized it, same names."),
    ] = None,
    people: Annotated[int | None, typer.Option(min=2, help="At most so many people.", show_default=False)] = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the anonymized pictures there too.")
    ] = None,
    json_output: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write the figures here.")] = None,
    device: Annotated[DeviceName, typer.Option(help="Where detector and generators run.")] = "auto",
) -> None:
    """Search people among others, anonymized among anonymized (consistency) and among originals (attack)."""
    from anonymize.core.device import resolve_device
    from anonymize.detect.build import build_detector
    from anonymize.lab.evaluate.anonymizers import Studio, build_anonymizers, modes_of
    from anonymize.lab.evaluate.output import check_output, write_json
    from anonymize.lab.evaluate.reid import figures, measure, table
    from anonymize.lab.evaluate.reid_network import TrackerAppearance, load_reidentifier
    from anonymize.lab.market1501 import ReidFolder

    modes = modes_of(mode or ())
    if json_output is not None:
        check_output(json_output)
    sightings = ReidFolder.read(folder, people)
    where = resolve_device(device)
    told_apart_by = load_reidentifier(network) if network is not None else None
    detector = build_detector("zoo" if weights == "zoo" else "embedded", device=where)
    anonymizers = build_anonymizers(modes, detector, where, weights, baseline)
    found = measure(
        sightings,
        told_apart_by or TrackerAppearance(detector),
        Studio(detector, anonymizers),
        {path.name: path for path in anonymized or ()},
        pictures,
    )
    if json_output is not None:
        write_json(json_output, figures(found))
    typer.echo(table(found))


@app.command()
def compare(
    original: Annotated[Path, typer.Argument(metavar="ORIGINAL", help="Film, picture, or folder of them.")],
    outputs: Annotated[list[Path], typer.Argument(metavar="OUTPUT...", help="The same after any anonymizer.")],
    name: Annotated[
        list[str] | None,
        typer.Option(show_default="the outputs' names", help="Of each output in turn, as many as there are."),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(metavar="PATH", show_default="the tracker's appearance", help="As of `reid`: tells people apart."),
    ] = None,
    detector: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, metavar="PATH", help="As of `people`: finds people too, YOLOX-nano."),
    ] = None,
    pose: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, metavar="PATH", help="As of `people`: BlazePose; with --detector."),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Look at each so many-th frame.")] = 1,
    seconds: Annotated[
        list[float] | None, typer.Option(min=0, help="How long each output took to make, in turn.")
    ] = None,
    page: Annotated[Path | None, typer.Option(metavar="OUT", help="Write a page with plots and crops here.")] = None,
    show_originals: Annotated[
        bool, typer.Option("--show-originals", help="Show the original's people on the page too.")
    ] = False,
    json_output: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write the figures here.")] = None,
    device: Annotated[DeviceName, typer.Option(help="Where the detector runs.")] = "auto",
) -> None:
    """Hold anonymizers against the original: people visible, recognized, still people; background; steadiness."""
    from anonymize.core.device import resolve_device
    from anonymize.core.errors import OptionError
    from anonymize.detect.build import build_detector
    from anonymize.lab.evaluate.compare import compare as compare_files
    from anonymize.lab.evaluate.compare import files_of, names_of
    from anonymize.lab.evaluate.compare_page import write_page
    from anonymize.lab.evaluate.compared import table
    from anonymize.lab.evaluate.output import check_output, write_json
    from anonymize.lab.evaluate.reid_network import TrackerAppearance, load_reidentifier
    from anonymize.lab.train.blazepose import BlazePose
    from anonymize.lab.train.box_teachers import Yolox

    if pose is not None and detector is None:
        raise OptionError("--pose needs --detector, which finds the people whose pose is read")
    if seconds and len(seconds) != len(outputs):
        raise OptionError(f"{len(outputs)} outputs but {len(seconds)} times")
    names = names_of(outputs, name or ())
    files = files_of(original, outputs)
    for path in (page, json_output):
        if path is not None:
            check_output(path)
    told_apart_by = load_reidentifier(network) if network is not None else None
    own = build_detector(score=LOW_SCORE, device=resolve_device(device))
    found = compare_files(
        files,
        names,
        own,
        told_apart_by or TrackerAppearance(own),
        every=every,
        seconds=seconds or (),
        find=None if detector is None else Yolox(detector),
        pose=None if pose is None else BlazePose(pose),
    )
    if json_output is not None:
        write_json(json_output, found.figures())
    if page is not None:
        write_page(page, found, original, show_originals=show_originals)
    typer.echo(table(found))


@app.command()
def people(
    original: Annotated[Path, typer.Argument(exists=True, help="A film, a picture or a folder of them.")],
    output: Annotated[Path, typer.Argument(exists=True, help="What was made of it; of a folder, with the same names.")],
    detector: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, metavar="PATH", help="Finds people: YOLOX-nano, .onnx.")
    ],
    pose: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, metavar="PATH", help="Reads poses: BlazePose, pose_landmark_*.tflite."
        ),
    ] = None,
    score: Annotated[float, typer.Option(min=0.1, max=1, help="From this score on a person counts.")] = 0.5,
    every: Annotated[int, typer.Option(min=1, help="Look at every so many-th frame of films.")] = 1,
    json_output: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write the figures here.")] = None,
) -> None:
    """Do the replaced people look like people, in the same poses, to networks that had no part in making them?"""
    from anonymize.lab.evaluate.output import check_output, write_json
    from anonymize.lab.evaluate.people import measure
    from anonymize.lab.train.blazepose import BlazePose
    from anonymize.lab.train.box_teachers import Yolox

    if json_output is not None:
        check_output(json_output)
    find = Yolox(detector)
    found = measure(original, output, find, BlazePose(pose) if pose is not None else None, score=score, every=every)
    if json_output is not None:
        write_json(json_output, found.figures())
    typer.echo(found.table())


@app.command()
def avatars(
    films: Annotated[int, typer.Option(min=1, help="Rendered films to fit bodies on.")] = 4,
    frames: Annotated[int, typer.Option(min=2, help="Of each film.")] = 30,
    weights: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, show_default="the embedded ones", help="A detector's .safetensors."),
    ] = None,
    true_surface: Annotated[
        bool,
        typer.Option("--true-surface", help="Masks, surfaces and tracks from the truth: what the fit alone loses."),
    ] = False,
    lookahead: Annotated[int, typer.Option(min=0, help="Frames that wait after the one that is drawn.")] = 10,
    json_output: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write the figures here.")] = None,
    device: Annotated[DeviceName, typer.Option(help="Where the detector runs.")] = "auto",
) -> None:
    """Are the bodies of avatars where people are? Joints, left and right, and jitter on rendered films."""
    from anonymize.core.device import resolve_device
    from anonymize.core.resources import DETECTOR, weights_path
    from anonymize.detect.build import load_network
    from anonymize.detect.predictor import EmbeddedDetector
    from anonymize.lab.evaluate.avatars import measure
    from anonymize.lab.evaluate.output import check_output, write_json
    from anonymize.track import UNSURE_SCORE

    if json_output is not None:
        check_output(json_output)
    network = load_network(weights_path(DETECTOR) if weights is None else weights)
    detector = EmbeddedDetector(network, device=resolve_device(device), unsure=UNSURE_SCORE)
    found = measure(detector, films=films, frames=frames, true_surface=true_surface, lookahead=lookahead)
    if json_output is not None:
        write_json(json_output, found.figures())
    typer.echo(found.table())
