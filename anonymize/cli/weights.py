"""`anonymize weights ...`: the weights of others on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from anonymize.core.errors import OptionError

app = typer.Typer(
    help="Fetch and check the weights of others, for --detector zoo:... and --weights zoo.", no_args_is_help=True
)

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="As in `list`; also `zoo` or `all`.")]


@app.command("list")
def list_() -> None:
    """Print names, sizes, whether they are here, licences and the publishers' addresses."""
    from anonymize.downloads.cache import cache_folder
    from anonymize.downloads.catalog import CATALOG

    folder = cache_folder()
    for entry in CATALOG.values():
        path = folder / entry.file
        size = round(path.stat().st_size / 1e6) if path.is_file() else entry.megabytes
        kind = _kind(entry.checksum)
        typer.echo(
            f"{entry.name:20} {'here' if path.is_file() else '-':5} {f'{size} MB' if size else '? MB':>7}  {kind}\n"
            f"{'':20} licence: {entry.licence}\n{'':20} {entry.url}"
        )


def _kind(checksum: str | None) -> str:
    """What is known to check a file by."""
    if checksum is None:
        return "no checksum published"
    kind, _, digits = checksum.partition(":")
    whole = len(digits) == 2 * hashlib.new(kind).digest_size
    return kind if whole else f"{kind}, its first {len(digits)} digits"


@app.command()
def pull(
    names: Names = None,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="Folder with copies; ANONYMIZE_MIRROR does the same.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Take this file, for a machine without a network.")
    ] = None,
) -> None:
    """Fetch files into the user's cache directory, checked; goes on where it was interrupted."""
    from anonymize.downloads import cache
    from anonymize.downloads.catalog import find

    if not names:
        raise OptionError("say what to pull: `zoo`, `all`, or names of `anonymize weights list`")
    entries = find(names)
    if source and len(entries) != 1:
        raise OptionError("--from takes one file for one name")
    if source and not source.is_file():
        raise OptionError(f"there is no file {source}")
    for entry in entries:
        typer.echo(cache.pull(entry, mirror=mirror, source=source))


@app.command()
def check(names: Names = None) -> None:
    """Compare files with their checksums; exit code 1 if one has changed, or one that is named is missing."""
    from anonymize.downloads import cache
    from anonymize.downloads.catalog import find

    states = {entry.name: cache.check(entry) for entry in find(names or [])}
    for name, state in states.items():
        typer.echo(f"{name:20} {state}")
    if "changed" in states.values() or (names and "missing" in states.values()):
        raise typer.Exit(1)


@app.command()
def path(name: Annotated[str | None, typer.Argument(help="As in `list`; without, the folder.")] = None) -> None:
    """Print where a file lies, or the folder of all."""
    from anonymize.downloads.cache import cache_folder, locate
    from anonymize.downloads.catalog import find

    typer.echo(cache_folder() if name is None else locate(find([name])[0].name))
