"""What a tracks file says before its frames: of which film it is, how to draw, and what is to become of each track."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from anonymize.core.errors import AnonymizeError, MediaError
from anonymize.core.modes import REPLACING
from anonymize.core.types import PLATES_AFTER
from anonymize.media import pictures_in

FORMAT, VERSION = "anonymize-tracks", 2
VERSIONS = (1, 2)
"""Those that are read; the first knows no number plates."""
Action = Literal["generate", "avatar", "blur", "pixelate", "solid", "keep", "drop"]
BOX_ACTIONS = ("blur", "pixelate", "solid")
PLATE_ACTIONS = (*BOX_ACTIONS, "keep", "drop")
TrackClass = Literal["person", "plate"]


@dataclass(frozen=True, slots=True)
class TrackEntry:
    """What is to become of a track.

    Attributes:
        id: Of the track, from 1.
        action: "generate", "avatar", "blur", "pixelate" or "solid"; "keep" shows the person; "drop" says that it is no
            person.
        seed: Of this person's looks; None for that of all.
        identity: Picture whose person's looks this one takes, relative to the tracks file; None for what holds for all.
    """

    id: int
    action: Action
    seed: int | None = None
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class AddedBox:
    """A rectangle that is covered over a span of frames.

    Attributes:
        first, last: Numbers of the frames, from 0, both included.
        box: [4] xyxy in pixels of the frame.
        box_last: Where it is in the last frame, on a straight way; None where it stands still.
        action: "blur", "pixelate" or "solid".
    """

    first: int
    last: int
    box: tuple[float, ...]
    box_last: tuple[float, ...] | None
    action: Action


@dataclass(frozen=True, slots=True)
class Header:
    """All but the frames.

    Attributes:
        sha256: Of the film.
        frames: Number of frames.
        size_hw: Of the upright picture.
        settings: Arguments of `anonymize_video` that the result depends on.
        surface: Name of the body surface.
        channels, size: Of the surface embeddings [channels, size, size]; channels are 0 where only bodies are kept,
            both where there are none.
        tracks: Every track by its ID.
        boxes: Rectangles added by hand.
    """

    sha256: str
    frames: int
    size_hw: tuple[int, int]
    settings: Mapping[str, Any]
    surface: str
    channels: int
    size: int
    tracks: Mapping[int, TrackEntry]
    boxes: tuple[AddedBox, ...]

    def check_film(self, film: Path | str, tracks: Path) -> None:
        """Refuse another film than the one that was looked at.

        Args:
            film: The film.
            tracks: The tracks file, for the message.

        Raises:
            AnonymizeError: It is another film, or cannot be read.
        """
        if hash_of(film) != self.sha256:
            raise AnonymizeError(f"{tracks} was made from another film than {film}: their sha256 differ")


def hash_of(path: Path | str) -> str:
    """sha256 of a file, hexadecimal; of a sequence's folder that of the names and hashes of its pictures, in order.

    Raises:
        MediaError: It cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        lines = (f"{hash_of(path / name)}  {name}\n" for name in pictures_in(path))
        return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error


def read_header(members: Mapping[str, Any]) -> Header:
    """Check what stands before the frames.

    Raises:
        AnonymizeError: It is of another format or version, or says something that makes no sense.
    """
    if members.get("format") != FORMAT:
        raise AnonymizeError("it is no tracks file of this program")
    if members.get("version") not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise AnonymizeError(f"it has version {members.get('version')!r}; this program reads versions {known}")
    film, surface, settings = (_mapping(members, name) for name in ("film", "surface", "settings"))
    size = _numbers(film, "size_hw", 2)
    tracks = {}
    for entry in _list(members, "tracks"):
        track = _track(entry)
        if track.id in tracks:
            raise AnonymizeError(f"track {track.id} comes twice")
        tracks[track.id] = track
    return Header(
        sha256=_of(film, "sha256", str),
        frames=_whole(film, "frames"),
        size_hw=(int(size[0]), int(size[1])),
        settings=settings,
        surface=_of(surface, "name", str),
        channels=_whole(surface, "channels"),
        size=_whole(surface, "size"),
        tracks=tracks,
        boxes=tuple(_box(entry) for entry in _list(members, "boxes")),
    )


def _track(entry: object) -> TrackEntry:
    known = {"id", "class", "action", "seed", "identity", "first", "last", "frames", "score", "note"}
    members = _entry(entry, "tracks", known)
    number = _whole(members, "id")
    action: Any = members.get("action")
    if action not in get_args(Action):
        raise AnonymizeError(f"track {number} has action {action!r}, which is not one of {', '.join(get_args(Action))}")
    _check_class(number, members.get("class", "person"), action)
    seed = None if members.get("seed") is None else _whole(members, "seed")
    identity = None if members.get("identity") is None else _of(members, "identity", str)
    if action not in REPLACING and (seed is not None or identity is not None):
        raise AnonymizeError(
            f"track {number} has a seed or an identity, which are for actions {' and '.join(REPLACING)}, not {action}"
        )
    if seed is not None and identity is not None:
        raise AnonymizeError(f"track {number} has both a seed and an identity")
    return TrackEntry(number, action, seed, identity)


def _check_class(number: int, kind: object, action: str) -> None:
    """Refuse a class that does not go with the ID, and what cannot be done to a number plate."""
    if kind not in get_args(TrackClass):
        raise AnonymizeError(
            f"track {number} has class {kind!r}, which is not one of {', '.join(get_args(TrackClass))}"
        )
    if kind != class_of(number):
        raise AnonymizeError(
            f"track {number} has class {kind}; number plates, and they alone, are above {PLATES_AFTER}"
        )
    if kind == "plate" and action not in PLATE_ACTIONS:
        raise AnonymizeError(
            f"track {number} is a plate, whose action is one of {', '.join(PLATE_ACTIONS)}; not {action}"
        )


def class_of(number: int) -> TrackClass:
    """What the track of an ID is."""
    return "plate" if number > PLATES_AFTER else "person"


def _box(entry: object) -> AddedBox:
    members = _entry(entry, "boxes", {"first", "last", "box", "box_last", "action", "note"})
    first, last, box = _whole(members, "first"), _whole(members, "last"), _corners(members, "box")
    action = members.get("action", "blur")
    if action not in BOX_ACTIONS:
        raise AnonymizeError(f"a box has action {action!r}, which is not one of {', '.join(BOX_ACTIONS)}")
    if last < first:
        raise AnonymizeError(f"a box ends in frame {last}, before it begins in frame {first}")
    box_last = None if members.get("box_last") is None else _corners(members, "box_last")
    return AddedBox(first, last, box, box_last, action)


def _entry(entry: object, where: str, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise AnonymizeError(f"an entry of {where} is not an object")
    strange = entry.keys() - known
    if strange:
        raise AnonymizeError(f"an entry of {where} has {sorted(strange)[0]!r}; it may have {', '.join(sorted(known))}")
    return entry


def _corners(members: Mapping[str, Any], name: str) -> tuple[float, ...]:
    corners = _numbers(members, name, 4)
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        raise AnonymizeError(f"{name} must be left, top, right, bottom, got {list(corners)}")
    return corners


def _numbers(members: Mapping[str, Any], name: str, count: int) -> tuple[float, ...]:
    values = _of(members, name, list)
    if len(values) != count or not all(_is_number(value) for value in values):
        raise AnonymizeError(f"{name} must be {count} numbers, got {values!r}")
    return tuple(float(value) for value in values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(members: Mapping[str, Any], name: str) -> int:
    value: int = _of(members, name, int)
    if isinstance(value, bool) or value < 0:
        raise AnonymizeError(f"{name} must be a whole number, got {value!r}")
    return value


def _mapping(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _of(members, name, dict)
    return found


def _list(members: Mapping[str, Any], name: str) -> list[Any]:
    found: list[Any] = _of(members, name, list)
    return found


def _of(members: Mapping[str, Any], name: str, kind: type) -> Any:
    if name not in members:
        raise AnonymizeError(f"{name!r} is missing")
    if not isinstance(members[name], kind):
        raise AnonymizeError(f"{name} must be of type {kind.__name__}, got {members[name]!r:.60}")
    return members[name]
