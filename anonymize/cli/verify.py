"""`anonymize verify ORIGINAL OUTPUT`: whether a person can still be seen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from anonymize.cli.common import EXIT_VISIBLE
from anonymize.core.device import DeviceName
from anonymize.core.files import check_input, check_output

app = typer.Typer(add_completion=False)


@app.command()
def verify(
    original: Annotated[
        Path, typer.Argument(metavar="ORIGINAL", help="The film or picture before, or a folder of numbered pictures.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The same after any anonymizer.")],
    json: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write every person of every frame here.")
    ] = None,
    score: Annotated[
        float, typer.Option(min=0, max=1, help="Lowest score of a detection; low, to find who was overlooked.")
    ] = 0.3,
    parts: Annotated[
        bool, typer.Option("--parts", help="Who is left in part counts as visible: a face, a leg, or background.")
    ] = False,
    plates: Annotated[bool, typer.Option("--plates", help="Look up number plates too.")] = False,
    device: Annotated[DeviceName, typer.Option(help="Where the network runs.")] = "auto",
    start: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="OUTPUT begins here in ORIGINAL.")
    ] = None,
    end: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="... and ends here.")] = None,
    fps: Annotated[
        float | None, typer.Option(min=0, metavar="RATE", help="Of a folder: pictures per second; else 10.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the last line only.")] = False,
) -> None:
    """Look for people of ORIGINAL who can still be seen in OUTPUT.

    The detector runs on ORIGINAL at a low score; each person's place is compared with OUTPUT. Compression, a slight
    change of all colours and a shift by a pixel count as the same; blur, blocks and another person do not.

    A table goes to stdout; it says `in part` where some of a person's place is as it was. Exit codes: 0 no
    person (with --plates: nor number plate) is visible, 3 one is, with the times to look at, 1 failed, 2 wrong use.
    """
    for path in (original, output):
        if not path.is_dir():  # A sequence is one.
            check_input(path)
    if json is not None:
        check_output(json, overwrite=True)
    from contextlib import ExitStack

    from tqdm import tqdm

    from anonymize.core.device import resolve_device
    from anonymize.detect.build import build_detector
    from anonymize.verify.output import HEADER, JsonOutput, closing_line, table_row
    from anonymize.verify.pairs import check_kinds
    from anonymize.verify.sightings import Totals, sightings
    from anonymize.verify.verification import verify as verify_files

    check_kinds(original, output)
    totals = Totals()
    with ExitStack() as stack:
        writer = None if json is None else stack.enter_context(JsonOutput(json, inputs=(original, output)))
        checks = verify_files(
            original,
            output,
            build_detector(score=score, device=resolve_device(device), plates=plates),
            start=start,
            end=end,
            fps=fps,
            in_part=parts,
        )
        counted = totals.count(checks)
        if writer is not None:
            counted = writer.people({"original": str(original), "output": str(output), "score": score}, counted)
        if not quiet:
            typer.echo(HEADER)
        shown = tqdm(counted, unit=" frames", disable=True if quiet else None, delay=2, leave=False, file=sys.stderr)
        for sighting in sightings(shown):
            if not quiet:
                typer.echo(table_row(sighting))
        if writer is not None:
            writer.totals(totals)
    typer.echo(closing_line(totals))
    if totals.visible_frames:
        sys.stdout.flush()
        raise typer.Exit(EXIT_VISIBLE)
