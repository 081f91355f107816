"""Names of files of tracks. Needs the standard library only, so that a wrong name is refused at once."""

from __future__ import annotations

from pathlib import Path

from anonymize.core.errors import MediaError, OptionError

SUFFIXES = (".json", ".json.gz", ".txt", ".coco.json")


def check_tracks_path(path: Path | str, *others: Path | str, overwrite: bool = False, to_render: bool = False) -> None:
    """Refuse a name before anything is done.

    Args:
        path: Of the tracks.
        others: Of the film and its result, which must not be replaced.
        overwrite: Replace an existing file.
        to_render: The file must be one that `anonymize render` reads.

    Raises:
        OptionError: The suffix is not known, or the name is that of another file.
        MediaError: The folder is missing, or the file exists.
    """
    path = Path(path)
    if to_render and (not path.name.endswith((".json", ".json.gz")) or path.name.endswith(".coco.json")):
        raise OptionError(f"a tracks file to render ends in .json or .json.gz; {path.name} does not")
    if not path.name.endswith(SUFFIXES):
        raise OptionError(f"tracks are written as {', '.join(SUFFIXES)}; {path.name} is none of these")
    if any(path.absolute() == Path(other).absolute() for other in others):
        raise OptionError("the tracks and another file have one name")
    if not path.parent.is_dir():
        raise MediaError(f"cannot write {path}: there is no folder {path.parent}")
    if path.exists() and not overwrite:
        raise MediaError(f"{path} exists; --overwrite replaces it")
