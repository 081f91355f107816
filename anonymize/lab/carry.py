"""A training on a bare machine that takes little data, runs commands of minutes, and gives back small files.

Here, beside the data (see `anonymize train detector` for what DATA holds):

    python -m anonymize.lab.carry pack DATA CARRY --mib 50

There, as often as time allows; each stretch goes on where the last one ended:

    anonymize train detector CARRY -o RUN --minutes 25 --stretch 8 --batch-size 64 --workers 12 --train-depthwise
    python -m anonymize.lab.carry split RUN/detector.safetensors OUT --mib 16

Here again, with the parts side by side:

    python -m anonymize.lab.carry join PARTS detector.safetensors
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from anonymize.core.errors import OptionError
from anonymize.core.files import whole_file
from anonymize.lab.train.bank import load_photos

MIB = 1 << 20
PHOTOS_SHARE = 0.4
"""Of the space: photos with labels; the rest is for boxed pictures, the sets in turn."""

app = typer.Typer(help=__doc__, no_args_is_help=True)


def pack(data: Path, target: Path, n_bytes: int) -> int:
    """Copy a part of the training data that is no larger than `n_bytes`; returns its size.

    Args:
        data: As for `anonymize train detector`; rendered people and scenes are not copied, they can be rendered anew.
        target: Made; must not exist.
        n_bytes: Of all files together.

    Raises:
        OptionError: `target` exists, or there are no photos.
    """
    if target.exists():
        raise OptionError(f"{target} exists; name a new folder")
    load_photos(data / "ccp")  # says clearly what is missing
    taken = _copy_photos(data / "ccp", target / "ccp", int(PHOTOS_SHARE * n_bytes))
    sets = [folder for folder in sorted(data.glob("boxed/*")) if (folder / "pictures").is_dir()]
    files = {folder: _boxed_names(folder) for folder in sets}
    chosen: dict[Path, list[str]] = {folder: [] for folder in sets}
    taken += sum(_extra_bytes(folder) for folder in sets)
    while any(files.values()):
        for folder in sets:
            if not files[folder]:
                continue
            name = files[folder].pop()
            size = (folder / "pictures" / name).stat().st_size
            if taken + size > n_bytes:
                files[folder] = []
                continue
            chosen[folder].append(name)
            taken += size
    for folder, names in chosen.items():
        if names:
            _copy_boxed(folder, target / "boxed" / folder.name, set(names))
    return taken


def _copy_photos(source: Path, target: Path, n_bytes: int) -> int:
    """Labelled photos with their labels, shuffled, until the space is used."""
    paths = sorted((source / "teacher").glob("*.png"))
    taken = 0
    for row in np.random.default_rng(0).permutation(len(paths)).tolist():
        label = paths[row]
        parts = [source / "photos" / f"{label.stem}.webp", label, source / "labels" / label.name]
        parts = [path for path in parts if path.exists()]
        size = sum(path.stat().st_size for path in parts)
        if taken + size > n_bytes:
            break
        for path in parts:
            place = target / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        taken += size
    return taken


def _boxed_names(folder: Path) -> list[str]:
    """The pictures of a set that have boxes, shuffled."""
    names: set[str] = set()
    for file in ("boxes.json", "teacher_boxes.json"):
        if (folder / file).exists():
            names |= set(json.loads((folder / file).read_text()))
    there = sorted(name for name in names if (folder / "pictures" / name).exists())
    return [there[i] for i in np.random.default_rng(0).permutation(len(there))]


def _extra_bytes(folder: Path) -> int:
    """Size of what teachers and fits say of a set: it is copied whole."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in {".json", ".npz"})


def _copy_boxed(source: Path, target: Path, names: set[str]) -> None:
    (target / "pictures").mkdir(parents=True)
    for name in sorted(names):
        shutil.copyfile(source / "pictures" / name, target / "pictures" / name)
    for path in source.iterdir():
        if path.suffix == ".json":
            kept = {name: value for name, value in json.loads(path.read_text()).items() if name in names}
            (target / path.name).write_text(json.dumps(kept))
        elif path.suffix == ".npz":
            shutil.copyfile(path, target / path.name)


def split(file: Path, folder: Path, n_bytes: int) -> int:
    """Write a file as `NAME.000`, `NAME.001`, ... of at most `n_bytes`; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    content = file.read_bytes()
    starts = range(0, max(1, len(content)), n_bytes)
    for number, start in enumerate(starts):
        (folder / f"{file.name}.{number:03d}").write_bytes(content[start : start + n_bytes])
    return len(starts)


def join(folder: Path, file: Path) -> None:
    """Put together what `split` wrote of a file of this name.

    Raises:
        OptionError: Parts are missing.
    """
    parts = sorted(folder.glob(f"{file.name}.[0-9][0-9][0-9]"))
    if not parts or [int(path.suffix[1:]) for path in parts] != list(range(len(parts))):
        raise OptionError(f"{folder} does not hold all parts of {file.name}")
    with whole_file(file, overwrite=True) as partial:
        partial.write_bytes(b"".join(path.read_bytes() for path in parts))


Mib = Annotated[float, typer.Option(min=0.001, help="Mebibytes at most.")]


@app.command("pack")
def pack_command(data: Path, target: Path, mib: Mib = 50) -> None:
    """Copy a part of the training data."""
    typer.echo(f"{pack(data, target, int(mib * MIB)) / MIB:.1f} MiB")


@app.command("split")
def split_command(file: Path, folder: Path, mib: Mib = 16) -> None:
    """Write a file in small parts."""
    typer.echo(f"{split(file, folder, int(mib * MIB))} parts")


@app.command("join")
def join_command(folder: Path, file: Path) -> None:
    """Put the parts of a file together."""
    join(folder, file)


if __name__ == "__main__":
    app()
