"""The tracks file: who was found where in a film, for a person to read and edit. See docs/tracks-file.md."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import torch

from anonymize.core.errors import AnonymizeError, MediaError
from anonymize.core.files import whole_file
from anonymize.core.modes import COVERING
from anonymize.core.types import Detections, Frame, Tracks
from anonymize.tracksfile import rle
from anonymize.tracksfile.header import FORMAT, VERSION, Header, class_of, hash_of, read_header
from anonymize.tracksfile.json_stream import JsonStream
from anonymize.tracksfile.quantize import pack_surface, unpack_surface

COMPRESSED = ".gz"
COMPRESSION = 6


def write_tracks(
    path: Path,
    tracked: Iterable[tuple[Frame, Tracks]],
    *,
    film: Path,
    settings: Mapping[str, Any],
    overwrite: bool = False,
) -> Iterator[tuple[Frame, Tracks]]:
    """A stage that writes the tracks file while the frames go through.

    The frames wait in a temporary file, since what stands before them is known at their end only.

    Args:
        path: The file; compressed if it ends in .gz. It appears when the last frame has gone through.
        tracked: Frames with their people, see `quantize`.
        film: The film, for its hash.
        settings: Arguments of `anonymize_video` that the result depends on, JSON values.
        overwrite: Replace an existing file.

    Raises:
        MediaError: The file cannot be written.
    """
    compress = path.suffix == COMPRESSED
    contents = _Contents()
    with (
        whole_file(path, source=film, overwrite=overwrite) as partial,
        tempfile.TemporaryFile(dir=path.parent) as body,
    ):
        with TextFile(body, compress) as lines:
            for frame, tracks in tracked:
                lines.write((",\n" if contents.frames else "\n") + to_line(contents.add(frame, tracks)))
                yield frame, tracks
            lines.write("\n]}\n")
        with partial.open("wb") as file:
            with TextFile(file, compress) as head:
                head.write(contents.head(hash_of(film), settings))
            body.seek(0)
            shutil.copyfileobj(body, file)


class TracksFile:
    """A tracks file that is read: what stands before the frames at once, the frames one by one.

    Attributes:
        path: The file.
        members: What stands before the frames, as it was read.
        header: The same, checked.

    Raises:
        AnonymizeError: The file cannot be read, or makes no sense.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            file = self.path.open("rb")
            compressed = file.peek(2)[:2] == b"\x1f\x8b"
            unpacked = gzip.GzipFile(fileobj=file) if compressed else file
            self._file, self._text = file, io.TextIOWrapper(unpacked, encoding="utf-8")
        except OSError as error:
            raise MediaError(f"cannot read {path}: {error.strerror}") from error
        try:
            self._stream = JsonStream(self._text)
            with self._errors("its beginning"):
                self.members = self._stream.head("frames")
                self.header: Header = read_header(self.members)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> TracksFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._text.close()
        self._file.close()

    def check_film(self, film: Path | str) -> None:
        """Refuse another film than the one that was looked at.

        Raises:
            AnonymizeError: It is another film.
        """
        self.header.check_film(film, self.path)

    def entries(self) -> Iterator[Any]:
        """The entries of the frames as they were read, unchecked; once, and not together with `join`.

        Raises:
            AnonymizeError: The file is damaged.
        """
        entries, number = self._stream.entries(), 0
        while True:
            with self._errors(f"frame {number}"):
                entry = next(entries, None)
            if entry is None:
                return
            yield entry
            number += 1

    def join(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Tracks]]:
        """A stage that gives the film's frames their people.

        Raises:
            AnonymizeError: The file is damaged, or has other frames than the film.
        """
        entries, number = self._stream.entries(), 0
        for frame in frames:
            with self._errors(f"frame {number}"):
                entry = next(entries, None)
                if entry is None:
                    raise AnonymizeError(f"it has {number} frames, the film has more")
                tracks = self._tracks(entry, frame)
            yield frame, tracks
            number += 1
        with self._errors("its end"):
            if next(entries, None) is not None:
                raise AnonymizeError(f"it has more frames than the film, which has {number}")
            if number != self.header.frames:
                raise AnonymizeError(f"it has {number} frames but says {self.header.frames}")

    def _tracks(self, entry: Any, frame: Frame) -> Tracks:
        """The people of a frame's entry."""
        header = self.header
        if entry["pts"] != frame.pts or frame.size_hw != header.size_hw:
            raise AnonymizeError(f"its time or size is not that of the film's frame, {frame.pts}")
        people = entry["people"]
        for person in people:
            if person["id"] not in header.tracks:
                raise AnonymizeError(f"track {person['id']} has no entry in tracks; action drop takes it out")
            if list(person["mask"]["size"]) != list(header.size_hw):
                raise AnonymizeError("a mask is not of the frame's size")
        known = np.array(["surface" in person for person in people], np.bool_)
        embeddings = segmentations = None
        if known.any():
            embeddings = torch.zeros(len(people), header.channels, header.size, header.size)
            segmentations = torch.zeros(len(people), header.size, header.size)
            for row in np.flatnonzero(known).tolist():
                surface = unpack_surface(people[row]["surface"], header.channels, header.size)
                embeddings[row], segmentations[row] = surface
        found = Detections(
            frame.size_hw,
            np.array([person["box"] for person in people], np.float32).reshape(-1, 4),
            np.array([person["score"] for person in people], np.float32),
            tuple(rle.decode(person["mask"]["counts"], frame.size_hw) for person in people),
            known & (header.channels > 0),
            embeddings,
            segmentations,
            header.surface,
        )
        filled = np.array([person.get("filled", False) for person in people], np.bool_)
        camera = None if "camera" not in entry else _camera(entry["camera"])
        return Tracks(found, np.array([person["id"] for person in people], np.int64), filled, camera)

    def _errors(self, where: str) -> ErrorsAt:
        return ErrorsAt(self.path, where)


class ErrorsAt:
    """Whatever is wrong with the file is one line that says where."""

    def __init__(self, path: Path, where: str) -> None:
        self._path, self._where = path, where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, EOFError | OSError | zlib.error) and not isinstance(error, AnonymizeError):
            raise MediaError(f"cannot read {self._path}: {error}") from error
        if isinstance(error, KeyError):
            raise AnonymizeError(f"{self._path}, {self._where}: {error} is missing") from error
        if isinstance(error, AnonymizeError | ValueError | TypeError | AttributeError | IndexError):
            raise AnonymizeError(f"{self._path}, {self._where}: {error}") from error


@dataclass(slots=True)
class TrackExtent:
    """Where a track is: numbers of its first and last frame, how many frames it has, and its highest score."""

    first: int
    last: int = 0
    frames: int = 0
    score: float = 0.0

    def add(self, frame: int, score: float) -> None:
        """Count a frame in."""
        self.last, self.frames, self.score = frame, self.frames + 1, max(self.score, score)

    def to_json(self) -> dict[str, Any]:
        """The members of the track's entry that tell it."""
        return {"first": self.first, "last": self.last, "frames": self.frames, "score": round(self.score, 3)}


@dataclass
class _Contents:
    """What is gathered of the frames for the file's beginning."""

    frames: int = 0
    size_hw: tuple[int, int] = (0, 0)
    surface: str = "anny"
    channels: int = 0
    size: int = 0
    tracks: dict[int, TrackExtent] = field(default_factory=dict)

    def add(self, frame: Frame, tracks: Tracks) -> dict[str, Any]:
        """Take in a frame; returns its entry."""
        found, people = tracks.detections, []
        self.surface = found.surface if len(found) else self.surface
        for row, (number, mask) in enumerate(zip(tracks.ids.tolist(), found.masks, strict=True)):
            self.tracks.setdefault(number, TrackExtent(self.frames)).add(self.frames, float(found.scores[row]))
            counts = rle.encode(mask, frame.size_hw)
            person: dict[str, Any] = {"id": number, "box": _short(found.boxes_xyxy[row])}
            person |= {"score": _short(found.scores[row : row + 1])[0]}
            if tracks.filled[row]:
                person["filled"] = True
            person["mask"] = {"size": list(frame.size_hw), "counts": counts}
            embeddings, bodies = found.embeddings, found.segmentations
            if embeddings is not None and bodies is not None and (found.has_cse[row] or bodies[row].any()):
                self.channels, self.size = embeddings.shape[1], embeddings.shape[2]
                person["surface"] = pack_surface(embeddings[row], bodies[row])
            people.append(person)
        self.frames += 1
        self.size_hw = frame.size_hw
        entry = {"pts": frame.pts, "people": people}
        if tracks.camera is not None:
            entry["camera"] = tracks.camera.ravel().tolist()
        return entry

    def head(self, sha256: str, settings: Mapping[str, Any]) -> str:
        """The file up to its frames."""
        film = {"sha256": sha256, "frames": self.frames, "size_hw": list(self.size_hw)}
        surface = {"name": self.surface, "channels": self.channels, "size": self.size}
        actions = {"person": settings["mode"], "plate": settings["mode"] if settings["mode"] in COVERING else "blur"}
        rows = [
            {"id": k, "class": class_of(k), "action": actions[class_of(k)], **t.to_json()}
            for k, t in sorted(self.tracks.items())
        ]
        members = {"format": FORMAT, "version": VERSION, "film": film, "surface": surface, "settings": dict(settings)}
        return head_text({**members, "tracks": rows, "boxes": []})


def head_text(members: Mapping[str, Any]) -> str:
    """A tracks file up to its frames, an entry of `tracks` and `boxes` a line."""
    lines = []
    for name, value in members.items():
        if name in ("tracks", "boxes") and value:
            rows = ",\n".join(to_line(row, spaced=True) for row in value)
            lines.append(f'"{name}": [\n{rows}\n]')
        else:
            lines.append(f'"{name}": {to_line(value, spaced=True)}')
    return "{" + ",\n".join([*lines, '"frames": ['])


def _camera(numbers: Any) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The camera's motion [2, 3] of a frame's entry."""
    camera = np.array(numbers, np.float64)
    if camera.shape != (6,) or not np.isfinite(camera).all():
        raise AnonymizeError(f"camera must be 6 numbers, got {numbers!r:.60}")
    return camera.reshape(2, 3)


def _short(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> list[float]:
    """The shortest numbers that are these in single precision."""
    return [float(str(value)) for value in values]


def to_line(value: object, *, spaced: bool = False) -> str:
    """A JSON value in one line; `spaced` for those that a person reads."""
    return json.dumps(value, separators=(", ", ": ") if spaced else (",", ":"), allow_nan=False)


class TextFile:
    """A text file over an open one, compressed if asked for; the open one stays open."""

    def __init__(self, file: BinaryIO | Any, compress: bool) -> None:
        self._packed = gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) if compress else None
        self._text = io.TextIOWrapper(self._packed or file, encoding="utf-8", newline="\n")

    def __enter__(self) -> io.TextIOWrapper:
        return self._text

    def __exit__(self, *_: object) -> None:
        self._text.flush()
        self._text.detach()
        if self._packed is not None:
            self._packed.close()
