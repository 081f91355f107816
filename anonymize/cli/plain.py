"""The command line: parse, call, print.

torch and the stages are imported where they are used, so that `--help` and wrong use answer at once.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from anonymize import __version__
from anonymize.core.errors import AnonymizeError, BackendError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from anonymize.pipeline import Summary

SUBCOMMANDS = {
    "detect": ("anonymize.cli.detect", "Write who is where in a film into a file that can be edited."),
    "render": ("anonymize.cli.render", "Draw a film from such a file."),
    "train": ("anonymize.lab.train.cli", "Train the embedded weights (extra `train`)."),
    "dataset": ("anonymize.lab.train.dataset_cli", "Make the generator's dataset (extra `train`)."),
    "weights": ("anonymize.cli.weights", "Fetch and check the weights of others."),
    "evaluate": ("anonymize.lab.evaluate.cli", "Measure weights and results (extra `eval`)."),
    "verify": ("anonymize.cli.verify", "Look for people who are still visible in an anonymized film."),
}
"""Name of each sub-command: the module whose `app` it is, and a line of help. Loaded when it is called."""

EXIT_FAILED, EXIT_WRONG_USE, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 130, 143


Mode = Literal["generate", "blur", "pixelate", "solid"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Audio = Literal["copy", "drop"]
Engine = Literal["local", "ray"]


class Program(TyperGroup):
    """`anonymize INPUT ...` and `anonymize SUBCOMMAND ...` in one program.

    The first argument decides: a sub-command's name calls it, all else goes to the plain command. A file of such a name
    is reached as `./train`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in SUBCOMMANDS:
            args = [_PLAIN, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return [*SUBCOMMANDS, _PLAIN]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in SUBCOMMANDS:
            return super().get_command(ctx, cmd_name)
        try:
            module = import_module(SUBCOMMANDS[cmd_name][0])
        except ImportError as error:
            raise BackendError(f"`anonymize {cmd_name}` needs a package that is not installed: {error}") from error
        module.app.rich_markup_mode = None  # Plain text throughout.
        return typer.main.get_command(module.app)  # A group, or a lone command.

    def invoke(self, ctx: Any) -> Any:
        with _errors_as_one_line():
            return super().invoke(ctx)


class PlainCommand(TyperCommand):
    """The command without a name of its own."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        # Under the program's own name, so that usage reads `anonymize [OPTIONS] INPUT`.
        return super().make_context(parent.info_name, args, parent=None, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _unexpected_errors_as_one_line():
            return super().invoke(ctx)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Other commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in SUBCOMMANDS.items()])


_PLAIN = "INPUT"

app = typer.Typer(cls=Program, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def _program() -> None:
    """Cover the people in films and pictures."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"anonymize {__version__}")
        raise typer.Exit


@app.command(_PLAIN, cls=PlainCommand, no_args_is_help=True)
def plain(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A film, a picture or a folder.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUTPUT", help="The result.", show_default=False)],
    mode: Annotated[
        Mode | None,
        typer.Option(help="A new person for each (the default), or a cover; none can be undone."),
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
            help="Of --mode generate, without --identity: 1 diverse people, 0 all alike.",
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
            help="Of --mode generate, without -t, --multi-modal: people get the looks of its person; several in turn.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Of --mode generate: same seed, same looks; 0 without it. Of an --identity only fine noise."
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

    _set_up_logging(quiet, verbose)
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
    from anonymize.report import FilmReport, check_report_path

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
        page.write(report, summary, settings, weights_files(drawing), overwrite=overwrite)
    tell(summary, quiet)


def main() -> None:
    """Run the program; an interrupt or SIGTERM ends it with no file left."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    app(prog_name="anonymize")


def tell(summary: Summary, quiet: bool) -> None:
    """Print what was done: notes on stderr, one line on stdout."""
    if quiet:
        return
    for warning in summary.warnings:
        typer.echo(f"anonymize: {warning}", err=True)
    if summary.corrupt_frames:
        dropped = _count(summary.corrupt_frames, "frame")
        typer.echo(f"anonymize: {dropped} dropped that cannot be decoded", err=True)
    if summary.stripped:
        typer.echo(f"anonymize: left out, --keep-metadata keeps it: {', '.join(summary.stripped)}", err=True)
    rate = summary.frames / summary.seconds if summary.seconds > 0 else 0.0
    typer.echo(
        f"{summary.output}: {_count(summary.frames, 'frame')}, {summary.frames_with_people} with people, "
        f"{_count(summary.people, 'track')}, {summary.seconds:.1f} s ({rate:.1f} frames/s)"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _set_up_logging(quiet: bool, verbose: bool) -> None:
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="anonymize: %(message)s", force=True)
    logging.getLogger("anonymize").setLevel(level)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr, if that is a terminal and the work takes longer than two seconds."""
    from tqdm import tqdm

    with tqdm(unit=" frames", disable=True if quiet else None, delay=2, leave=False, file=sys.stderr) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


@contextmanager
def _errors_as_one_line() -> Iterator[None]:
    """What is foreseen to go wrong is one line on stderr and an exit code."""
    try:
        yield
    except AnonymizeError as error:
        _complain(str(error))
        raise typer.Exit(EXIT_WRONG_USE if isinstance(error, OptionError) else EXIT_FAILED) from error
    except KeyboardInterrupt as error:
        _complain("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from error


@contextmanager
def _unexpected_errors_as_one_line() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, AnonymizeError) or hasattr(error, "exit_code"):  # Typer's own have it.
            raise
        _complain(f"internal error, -v shows where: {type(error).__name__}: {error}")
        raise typer.Exit(EXIT_FAILED) from error


def _complain(message: str) -> None:
    logging.getLogger("anonymize").debug("", exc_info=True)
    typer.echo(f"anonymize: {' '.join(message.split())}", err=True)
