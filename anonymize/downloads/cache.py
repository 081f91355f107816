"""The folder of downloaded weights: files get there whole and checked, or not at all."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Any, Literal

import pooch
from filelock import FileLock

from anonymize.core.errors import WeightsError
from anonymize.downloads.catalog import CATALOG, WeightsFile
from anonymize.downloads.transfer import LocalCopy, ResumingDownload

MIRROR_VARIABLE = "ANONYMIZE_MIRROR"
State = Literal["missing", "good", "changed"]


def cache_folder() -> Path:
    """`anonymize` in the user's cache directory (XDG_CACHE_HOME where set)."""
    return Path(pooch.os_cache("anonymize"))


def locate(name: str, *, pull: str | None = None) -> Path:
    """Where a file of the catalog lies.

    Args:
        name: Of the file.
        pull: What `anonymize weights pull` is to fetch if it is not there; None for the file alone.

    Raises:
        WeightsError: It is not there; the text says which command fetches it.
    """
    path = cache_folder() / CATALOG[name].file
    if not path.is_file():
        raise WeightsError(f"the weights {name} are not on this machine; run: anonymize weights pull {pull or name}")
    return path


def pull(
    entry: WeightsFile, *, mirror: str | None = None, source: Path | None = None, pause_seconds: float = 1.0
) -> Path:
    """Fetch a file unless it is there. A second process waits for the first.

    The SHA-256 is written beside the file, so that `check` sees later changes also where no checksum is published.

    Args:
        entry: Which file.
        mirror: Address of a folder that holds a copy, instead of the publisher's; None for the environment variable
            ANONYMIZE_MIRROR if set.
        source: A file of this machine to take instead.
        pause_seconds: Before a second attempt.

    Raises:
        WeightsError: With one line; what is wrong is not kept.
    """
    folder = cache_folder()
    mirror = mirror or os.environ.get(MIRROR_VARIABLE) or None
    url = f"{mirror.rstrip('/')}/{entry.file}" if mirror else entry.url
    part = folder / f"{entry.file}.part"
    fetch = LocalCopy(source, part) if source else ResumingDownload(part, pause_seconds=pause_seconds)

    def fetch_checked(url: str, output_file: str, pooch_: Any) -> None:
        fetch(url, output_file, pooch_)
        if entry.checksum and not fits(Path(output_file), entry.checksum):
            raise ValueError("the checksum differs")

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{entry.file}.lock"):
            path = folder / entry.file
            if check(entry) != "good":
                path.unlink(missing_ok=True)
                pooch.retrieve(url, None, fname=entry.file, path=folder, downloader=fetch_checked)
                _sidecar(path).write_text(f"{sha256(path)}  {path.name}\n")
    except ValueError as error:  # pooch has removed the file
        raise WeightsError(f"{source or url} is not {entry.name}: its checksum is another; it was not kept") from error
    except OSError as error:
        raise WeightsError(f"cannot store {entry.name} in {folder}: {error.strerror or error}") from error
    return path


def check(entry: WeightsFile) -> State:
    """Whether a file is there and what it was: by the published checksum, else by the one noted when it was pulled."""
    path = cache_folder() / entry.file
    if not path.is_file():
        return "missing"
    if entry.checksum:
        return "good" if fits(path, entry.checksum) else "changed"
    noted = _sidecar(path)
    return "good" if noted.is_file() and noted.read_text().split()[:1] == [sha256(path)] else "changed"


def fits(path: Path, checksum: str) -> bool:
    """Whether a file has a checksum, "sha256:..." or "md5:..."; the digits may be the first ones only."""
    kind, _, expected = checksum.partition(":")
    return digest(path, kind).startswith(expected)


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return digest(path, "sha256")


def digest(path: Path, kind: str) -> str:
    """Checksum of a file, hexadecimal; `kind` is "sha256" or "md5"."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
