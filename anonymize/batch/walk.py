"""What lies in a folder, and what its results are called."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from anonymize.core.errors import MediaError
from anonymize.core.formats import CONTAINERS, is_image
from anonymize.media import is_film, pictures_in, result_name

Kind = Literal["film", "picture", "sequence", "other", "skipped", "failed"]

STATE_FOLDER = ".anonymize"
"""Lies in an output folder and says what was done there; never walked into."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something found in the folder.

    Attributes:
        name: Path relative to the folder; bytes that are no UTF-8 are surrogates, as everywhere in `os`. Of a sequence
            that of its folder, "." for the folder itself.
        kind: What it is; "skipped" and "failed" are not worked on.
        output: Path of its result relative to the output folder.
        note: Why it is skipped or failed.
    """

    name: str
    kind: Kind
    output: str = ""
    note: str = ""


def walk(source: Path, output: Path, *, ignores_case: bool = False, sequences: bool = False) -> list[Entry]:
    """Everything in a folder and below, by name.

    Links that lead out of the folder are not followed. Links to files inside are read as files; links to folders inside
    are left out, because the files have their own place.

    Args:
        source: The folder.
        output: The output folder, which is left out where it lies inside.
        ignores_case: The file system of the output takes `A.mp4` and `a.mp4` for the same name.
        sequences: The pictures of each folder are one entry.

    Returns:
        Entries with different outputs: of inputs that would be written to the same place only the one whose own name
        it is may have it.
    """
    found = _look(source, "", source.resolve(), output.resolve())
    entries = [_named(entry) for entry in (_as_sequences(source, found) if sequences else found)]
    return _without_collisions(sorted(entries, key=lambda entry: entry.name), ignores_case)


def _look(root: Path, folder: str, real_root: Path, real_output: Path) -> Iterator[Entry]:
    try:
        with os.scandir(root / folder) as found:
            items = list(found)
    except OSError as error:
        yield Entry(folder or ".", "failed", note=f"cannot read the folder: {error.strerror}")
        return
    for item in items:
        name = os.path.join(folder, item.name)  # noqa: PTH118 - a Path would drop nothing, but costs ten times as much
        if item.is_symlink():
            yield _link(name, Path(item.path), real_root, real_output)
        elif item.is_dir(follow_symlinks=False):
            if item.name != STATE_FOLDER and real_root / name != real_output:
                yield from _look(root, name, real_root, real_output)
        elif item.is_file(follow_symlinks=False):
            yield Entry(name, _kind(Path(item.path)))
        else:
            yield Entry(name, "skipped", note="not a regular file")


def _as_sequences(root: Path, found: Iterator[Entry]) -> Iterator[Entry]:
    """The same with one entry for the pictures of each folder."""
    pictures: dict[str, list[str]] = defaultdict(list)
    for entry in found:
        if entry.kind == "picture":
            folder, name = os.path.split(entry.name)
            pictures[folder].append(name)
        else:
            yield entry
    for folder, names in pictures.items():
        try:
            taken = set(pictures_in(root / folder))
        except MediaError as error:
            yield Entry(folder or ".", "failed", note=str(error))
            continue
        for name in names:
            if name not in taken:
                note = "a link to a picture that is not of the sequence"
                yield Entry(os.path.join(folder, name), "skipped", note=note)  # noqa: PTH118 - as above
        if taken:
            yield Entry(folder or ".", "sequence")


def _link(name: str, path: Path, real_root: Path, real_output: Path) -> Entry:
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError):  # Python before 3.13 reports a circle of links as RuntimeError.
        return Entry(name, "skipped", note="a link to nowhere")
    if not target.is_relative_to(real_root):
        return Entry(name, "skipped", note="a link out of the folder")
    if target.is_relative_to(real_output) or STATE_FOLDER in target.parts:
        return Entry(name, "skipped", note="a link into the output")
    if stat.S_ISREG(mode):
        return Entry(name, _kind(path))
    return Entry(name, "skipped", note="a link to a folder")


def _kind(path: Path) -> Kind:
    return "picture" if is_image(path) else "film" if is_film(path) else "other"


def _named(entry: Entry) -> Entry:
    """A result has its input's name; where that cannot be written, a suffix that can be is added."""
    suffix = Path(entry.name).suffix.lower()
    if entry.kind == "film" and suffix not in CONTAINERS:
        return replace(entry, output=f"{entry.name}.mp4")
    if entry.kind == "picture":
        return replace(entry, output=result_name(entry.name))
    return replace(entry, output=entry.name)


def _without_collisions(entries: list[Entry], ignores_case: bool) -> list[Entry]:
    def place(name: str) -> str:
        return unicodedata.normalize("NFC", name).casefold() if ignores_case else name

    claims: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.kind not in {"skipped", "failed"}:
            claims[place(entry.output)].append(entry)
    kept = []
    for entry in entries:
        rivals = [rival for rival in claims[place(entry.output)] if rival is not entry]
        owns = entry.name == entry.output and not any(rival.name == rival.output for rival in rivals)
        if entry.kind not in {"skipped", "failed"} and rivals and not owns:
            note = f"its result would be {shown(entry.output)}, as that of {shown(rivals[0].name)}"
            entry = replace(entry, kind="failed", note=note)
        kept.append(entry)
    return kept


def shown(name: str) -> str:
    r"""A file's name fit for one line of a terminal: `a\nb`, `\xff`."""
    return "".join(_character(character) for character in name)


def _character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # A byte that is no UTF-8.
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
