"""Who was found where, written into a file while the film is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from anonymize.core.errors import MediaError, OptionError
from anonymize.core.types import Frame, Tracks
from anonymize.tracksfile.export import writer_for
from anonymize.tracksfile.file import write_tracks

SUFFIXES = (".json", ".json.gz", ".txt", ".coco.json")


def check_tracks_path(path: Path | str, *others: Path | str, overwrite: bool = False) -> None:
    """Refuse a name before anything is done.

    Args:
        path: Of the tracks.
        others: Of the film and its result, which must not be replaced.
        overwrite: Replace an existing file.

    Raises:
        OptionError: The suffix is not known, or the name is that of another file.
        MediaError: The file exists.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIXES):
        raise OptionError(f"tracks are written as {', '.join(SUFFIXES)}; {path.name} is none of these")
    if any(path.absolute() == Path(other).absolute() for other in others):
        raise OptionError("the tracks and another file have one name")
    if not path.parent.is_dir():
        raise MediaError(f"cannot write {path}: there is no folder {path.parent}")
    if path.exists() and not overwrite:
        raise MediaError(f"{path} exists; --overwrite replaces it")


def record(
    path: Path | str,
    tracked: Iterable[tuple[Frame, Tracks]],
    *,
    film: Path | str,
    settings: Mapping[str, Any],
    overwrite: bool = False,
) -> Iterator[tuple[Frame, Tracks]]:
    """A stage that writes the tracks that go through it, in the format that the suffix asks for.

    See `write_tracks`; the other formats hold no settings.
    """
    path = Path(path)
    writer = writer_for(path)
    if writer is not None:
        return writer(path, tracked)
    return write_tracks(path, tracked, film=Path(film), settings=settings, overwrite=overwrite)
