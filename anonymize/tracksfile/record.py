"""Who was found where, written into a file while the film is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from anonymize.core.types import Frame, Tracks
from anonymize.tracksfile.export import writer_for
from anonymize.tracksfile.file import write_tracks


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
