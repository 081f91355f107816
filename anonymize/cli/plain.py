"""The command without a name of its own: `anonymize INPUT -o OUTPUT`.

torch and the stages are imported where they are used, so that `--help` and wrong use answer at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from anonymize import __version__
from anonymize.cli.common import EXIT_FAILED, Audio, Device, Engine, Mode, progress_bar, set_up_logging, tell
from anonymize.core.errors import OptionError


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"anonymize {__version__}")
        raise typer.Exit


def plain(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A film, a picture or a folder.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUTPUT", help="The result.", show_default=False)],
    mode: Annotated[
        Mode | None,
        typer.Option(help="A generated person for each (the default), a rendered one, or a cover; none can be undone."),
    ] = None,
    color: Annotated[
        str | None, typer.Option(metavar="RRGGBB", help="Colour of --mode solid; black without it.")
    ] = None,
    truncation: Annotated[
        float | None,
        typer.Option(
            "-t",
            "--truncation",
            min=0,
            max=1,
            help="Of --mode generate and avatar, without --identity: 1 diverse people, 0 all alike.",
        ),
    ] = None,
    multi_modal: Annotated[
        bool,
        typer.Option(
            "--multi-modal",
            help="Of --truncation, without --identity: pull toward typical looks, not toward one for all.",
        ),
    ] = False,
    identity: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PICTURE",
            help="Of --mode generate and avatar, without -t, --multi-modal: people look like its person, or theirs.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of --mode generate and avatar: same seed, same looks; else 0. Of an --identity only fine noise.",
        ),
    ] = None,
    weights: Annotated[
        str, typer.Option(metavar="embedded|zoo|PATH", help="Networks; a PATH is the generator's weights.")
    ] = "embedded",
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Detector, if it is not that of --weights: embedded, zoo, zoo:MASKS[+CSE] (zoo:mask-rcnn-x101), "
            "detectron2[:CONFIG[+CSE]] or a file; without +CSE the body surface is the embedded one.",
        ),
    ] = None,
    score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Lowest score of a detection. Lower finds more people and more false alarms."),
    ] = None,
    lookahead: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="How long frames wait, so that gaps in a track are filled."),
    ] = 1.0,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = "auto",
    codec: Annotated[
        str, typer.Option(help="Video encoder: libx264, libx265, libsvtav1, libvpx-vp9, h264_nvenc.")
    ] = "libx264",
    crf: Annotated[int, typer.Option(min=0, max=63, help="Constant quality of the encoder, lower is better.")] = 18,
    preset: Annotated[str | None, typer.Option(help="Speed preset of the encoder.")] = None,
    audio: Annotated[Audio, typer.Option(help="Sound: the same packets, or none.")] = "copy",
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Keep place, device and time in the file.")
    ] = False,
    start: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Begin here.")] = None,
    end: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Stop here.")] = None,
    always_cover: Annotated[
        Path | None, typer.Option(metavar="REGIONS", help="Cover these places, whoever is there (JSON).")
    ] = None,
    never_cover: Annotated[
        Path | None,
        typer.Option(metavar="REGIONS", help="Who is wholly inside these places, such as posters, is no person."),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Draw boxes, outlines, IDs and scores over the result.")
    ] = False,
    tracks: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write who is where: .json, .json.gz to render, .txt MOT, .coco.json COCO."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="Write a page (HTML) about the work: tracks, what to review.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing OUTPUT.")] = False,
    tolerate_corrupt: Annotated[
        bool, typer.Option("--tolerate-corrupt", help="Drop frames that cannot be decoded instead of failing.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Of a folder: files at once, each in a process of its own.")
    ] = 1,
    engine: Annotated[Engine, typer.Option(help="Of a folder: who works, this machine or a Ray cluster.")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a running Ray cluster; one is started without it.")
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option(min=0, metavar="GPUS", help="GPUs, or a part of one, that Ray keeps for each file.")
    ] = 0,
    copy_others: Annotated[
        bool, typer.Option("--copy-others", help="Of a folder: copy what is neither film nor picture.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print details, and tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Replace or cover every person in a film or a picture, or in all those of a folder.

    On success one line on stdout tells what was done, or a table of a folder's files; notes and progress go to stderr.
    Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted. A file that fails leaves no output.
    """
    from anonymize.detect.names import detector_for

    set_up_logging(quiet, verbose)
    drawing: dict[str, Any] = {
        "mode": mode,
        "color": color,
        "truncation": truncation,
        "multi_modal": multi_modal,
        "identity": tuple(identity or ()),
        "seed": seed,
        "weights": weights if weights in ("embedded", "zoo") else Path(weights),
        "detector_weights": detector_for(weights, detector, generates=mode in (None, "generate")),
        "always_cover": always_cover,
        "never_cover": never_cover,
        "overlay": overlay,
        "score": score,
        "device": device,
        "keep_metadata": keep_metadata,
    }
    encoding: dict[str, Any] = {
        "codec": codec,
        "crf": crf,
        "preset": preset,
        "audio": audio,
        "start": start,
        "end": end,
        "lookahead": lookahead,
        "tolerate_corrupt": tolerate_corrupt,
    }
    if source.is_dir():
        from anonymize.batch.console import run_folder
        from anonymize.build import weights_files

        if report is not None:
            raise OptionError("a page (--report) is about one film or picture, not a folder")
        if tracks is not None:
            raise OptionError("tracks (--tracks) are those of one film, not of a folder")
        done = run_folder(
            source,
            output,
            settings=drawing | encoding | {"overwrite": overwrite},
            workers=workers,
            engine=engine,
            ray_address=ray_address,
            gpus_per_worker=gpus_per_worker,
            copy_others=copy_others,
            weights=weights_files(drawing),
            quiet=quiet,
        )
        raise typer.Exit(EXIT_FAILED if done.failed else 0)
    if (workers, engine, ray_address, gpus_per_worker, copy_others) != (1, "local", None, 0, False):
        raise OptionError(f"workers, engines and copies are for folders; {source} is none")
    from anonymize.media import is_image
    from anonymize.pipeline import anonymize_image, anonymize_video
    from anonymize.report import FilmReport, check_report_path, write_page

    if report is not None:
        if report.absolute() == output.absolute():
            raise OptionError("OUTPUT and the page (--report) are the same file")
        check_report_path(report, source=source, overwrite=overwrite)
    page = FilmReport()
    observe = page.add if report is not None else None
    if is_image(source):
        if start is not None or end is not None:
            raise OptionError("a picture has no --start or --end")
        if tracks is not None:
            raise OptionError("a picture has no --tracks")
        summary = anonymize_image(source, output, overwrite=overwrite, observe=observe, **drawing)
    else:
        with progress_bar(quiet) as progress:
            summary = anonymize_video(
                source,
                output,
                overwrite=overwrite,
                tracks=tracks,
                progress=progress,
                observe=observe,
                **drawing,
                **encoding,
            )
    if report is not None:
        from anonymize.build import weights_files

        told = (
            {"input": source.name} | drawing | encoding | {"identity": ", ".join(path.name for path in identity or ())}
        )
        settings = {
            name.replace("_", " "): value.name if isinstance(value, Path) else value for name, value in told.items()
        }
        write_page(report, page, summary, settings, weights_files(drawing), overwrite=overwrite)
    tell(summary, quiet)
