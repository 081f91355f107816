"""A tracks file whose frames are looked at in any order, and which is written again after edits."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from anonymize.core.errors import AnonymizeError
from anonymize.core.files import whole_file
from anonymize.tracksfile.file import COMPRESSED, ErrorsAt, TextFile, TrackExtent, TracksFile, head_text, to_line
from anonymize.tracksfile.header import read_header

Observe = Callable[[int, Mapping[str, Any]], None]
"""Called with the number of each frame, from 0, and its entry, while the file is read."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Frames of a track that go to a track, perhaps another one.

    Attributes:
        source: ID of the track in the file as it was read.
        first, last: Numbers of the frames, both included.
        id: Of the track that they belong to from now on.
    """

    source: int
    first: int
    last: int
    id: int


@dataclass(frozen=True, slots=True)
class Edits:
    """What is to be written instead of what was read.

    Attributes:
        tracks: The entries of `tracks`, as the file has them.
        boxes: The entries of `boxes`, as the file has them.
        pieces: Which frames of the tracks that were read belong to which track; together they hold all of them.
    """

    tracks: Sequence[Mapping[str, Any]]
    boxes: Sequence[Mapping[str, Any]]
    pieces: Sequence[Piece]


class EditableTracks:
    """A tracks file that is read whole and kept in a temporary file, so that memory does not grow with masks.

    Use it in a `with`. Threads may share it.

    Attributes:
        path: The file.
        header: What stands before the frames, checked.
        pts: Time of each frame, in units of the film.

    Args:
        path: The tracks file.
        observe: Is told of each frame.

    Raises:
        AnonymizeError: The file cannot be read, or makes no sense.
    """

    def __init__(self, path: Path | str, observe: Observe | None = None) -> None:
        self.path = Path(path)
        self.pts = array("q")
        self._lock = threading.Lock()
        self._ends = array("q", [0])
        self._lines = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        try:
            with TracksFile(path) as file:
                self.header, self._members = file.header, file.members
                for number, entry in enumerate(file.entries()):
                    with ErrorsAt(self.path, f"frame {number}"):
                        self._check(entry)
                        self.pts.append(entry["pts"])
                        self._lines.write(to_line(entry).encode())
                        self._ends.append(self._lines.tell())
                        if observe:
                            observe(number, entry)
            if len(self.pts) != self.header.frames:
                raise AnonymizeError(f"{path} has {len(self.pts)} frames but says {self.header.frames}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> EditableTracks:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        self._lines.close()

    @property
    def tracks(self) -> list[dict[str, Any]]:
        """The entries of `tracks` as they were read."""
        return list(self._members["tracks"])

    @property
    def boxes(self) -> list[dict[str, Any]]:
        """The entries of `boxes` as they were read."""
        return list(self._members["boxes"])

    def people(self, number: int) -> list[dict[str, Any]]:
        """The people of a frame, as they were read."""
        people: list[dict[str, Any]] = json.loads(self._line(number))["people"]
        return people

    def write(self, path: Path, edits: Edits, *, overwrite: bool = False) -> None:
        """Write the file with edits; without any it says what it said.

        Args:
            path: The new file, or the old one; compressed if it ends in .gz. It appears whole or not at all.
            edits: What is said of tracks, boxes and frames.
            overwrite: Replace an existing file.

        Raises:
            AnonymizeError: The edits make no sense.
            MediaError: The file cannot be written.
        """
        moves = self._moves(edits.pieces)
        members = {**self._members, "tracks": list(edits.tracks), "boxes": list(edits.boxes)}
        known = read_header(members).tracks
        lost = sorted({piece.id for piece in edits.pieces} - known.keys())
        if lost:
            raise AnonymizeError(f"track {lost[0]} has no entry in tracks")
        with whole_file(path, overwrite=overwrite) as partial, tempfile.TemporaryFile(dir=path.parent) as body:
            extents: dict[int, TrackExtent] = {}
            with TextFile(body, path.suffix == COMPRESSED) as lines:
                for number in range(len(self.pts)):
                    line = self._line(number)
                    if moves:
                        line = _moved(line, number, moves, extents)
                    lines.write((",\n" if number else "\n") + line)
                lines.write("\n]}\n")
            if moves:
                told = [{"id": entry["id"], "action": entry["action"]} | entry for entry in members["tracks"]]
                members["tracks"] = [entry | _extent(extents, entry["id"]) for entry in told]
            with partial.open("wb") as file:
                with TextFile(file, path.suffix == COMPRESSED) as head:
                    head.write(head_text(members))
                body.seek(0)
                shutil.copyfileobj(body, file)

    def _line(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        with self._lock:
            self._lines.seek(start)
            return self._lines.read(end - start).decode()

    def _moves(self, pieces: Sequence[Piece]) -> dict[int, list[Piece]]:
        """The pieces by the track that was read; empty where none goes to another track.

        Raises:
            AnonymizeError: Frames of a track belong to no track or to two.
        """
        found: dict[int, list[Piece]] = {number: [] for number in self.header.tracks}
        for piece in pieces:
            if piece.source not in found:
                raise AnonymizeError(f"there is no track {piece.source} to take frames from")
            found[piece.source].append(piece)
        for source, parts in found.items():
            parts.sort(key=lambda piece: piece.first)
            starts = [0, *(piece.last + 1 for piece in parts)]
            if [piece.first for piece in parts] != starts[:-1] or starts[-1] != self.header.frames:
                raise AnonymizeError(f"the pieces of track {source} do not hold each frame once")
        return found if any(piece.source != piece.id for piece in pieces) else {}

    def _check(self, entry: Any) -> None:
        """Refuse a frame's entry that cannot be shown; what is drawn of it is checked when it is drawn."""
        if not isinstance(entry["pts"], int):
            raise AnonymizeError(f"pts must be a whole number, got {entry['pts']!r:.60}")
        for person in entry["people"]:
            number, box, score = person["id"], person["box"], person["score"]
            if number not in self.header.tracks:
                raise AnonymizeError(f"track {number} has no entry in tracks; action drop takes it out")
            if len(box) != 4 or not all(map(_is_number, [*box, score])):
                raise AnonymizeError("box must be 4 numbers and score one")
            if list(person["mask"]["size"]) != list(self.header.size_hw) or not isinstance(
                person["mask"]["counts"], str
            ):
                raise AnonymizeError("a mask is not of the frame's size")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _moved(line: str, number: int, moves: Mapping[int, Sequence[Piece]], extents: dict[int, TrackExtent]) -> str:
    """A frame's line with the people's new tracks, which are counted in `extents`."""
    entry = json.loads(line)
    taken: set[tuple[int, int]] = set()
    for person in entry["people"]:
        new = next(piece.id for piece in moves[person["id"]] if piece.first <= number <= piece.last)
        if (new, person["id"]) not in taken and any(new == other for other, _ in taken):
            raise AnonymizeError(f"two tracks that are merged into {new} are both there in frame {number}")
        taken.add((new, person["id"]))
        person["id"] = new
        extents.setdefault(new, TrackExtent(number)).add(number, person["score"])
    return to_line(entry)


def _extent(extents: Mapping[int, TrackExtent], number: int) -> dict[str, Any]:
    return extents[number].to_json() if number in extents else {}
