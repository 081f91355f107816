"""What the page can ask for and do, without HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from anonymize.core.device import DeviceName
from anonymize.core.errors import AnonymizeError, MediaError, OptionError
from anonymize.core.types import UInt8Array
from anonymize.media import is_image
from anonymize.options import EncodeOptions, RenderOptions, StoredOptions
from anonymize.review.follow import Box, follow, straight_parts
from anonymize.review.frames import FilmFrames, Pictures, shrink, to_jpeg
from anonymize.review.jobs import BusyError, Job
from anonymize.review.overview import LOW_SCORE, Overview
from anonymize.tracksfile import rle
from anonymize.tracksfile.editable import EditableTracks, Edits, Piece

Progress = Callable[[int, int | None], None]
T = TypeVar("T")

MOST_PEOPLE_FRAMES = 64
"""Frames whose people are told at once."""
MOST_PICTURES = 500
"""Of a folder, that are offered as identities."""
CHUNK_BACK = 48
"""Frames that are held at once when a box is followed backwards."""
OUTLINE_PX = 1.0
"""The page's outlines are at most so far from the mask's."""
THUMBNAIL_PX = 160
THUMBNAIL_MARGIN = 0.1


class ConflictError(AnonymizeError):
    """The tracks file was written by another one meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """What is reviewed, and what becomes of it.

    Attributes:
        film: The film.
        tracks: Its tracks file; edits are saved into it.
        output: What is rendered in the end; None for a name beside the tracks file.
        render: What is drawn beside the tracks.
        encode: How the result is written.
        device: Where the generator computes.
    """

    film: Path
    tracks: Path
    output: Path | None = None
    render: RenderOptions = field(default_factory=RenderOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    device: DeviceName = "auto"

    @property
    def result(self) -> Path:
        """The file that is rendered."""
        beside = self.tracks.parent / f"{self.film.stem}-anonymized{self.film.suffix}"
        return self.output or beside


class Session:
    """A film and its tracks file, open. Use it in a `with`; threads may share it.

    Raises:
        AnonymizeError: Film or file cannot be read, or do not belong together.
    """

    def __init__(self, review: Review) -> None:
        self.review = review
        overview = Overview()
        if review.result.absolute() in (review.film.absolute(), review.tracks.absolute()):
            raise OptionError("the result and the film or its tracks have one name")
        self.tracks = EditableTracks(review.tracks, overview.observe)
        try:
            self.tracks.header.check_film(review.film, review.tracks)
            self._stored = StoredOptions.from_json(self.tracks.header.settings, review.tracks)
            self.frames = FilmFrames(review.film, self._stored.read, self.tracks.pts)
        except BaseException:
            self.tracks.close()
            raise
        self.overview = overview.tracks
        self.pictures = Pictures(self.frames)
        self._whole = Pictures(self.frames, longest_side=1 << 16, back=0)
        self.job: Job | None = None
        self._lock = threading.Lock()
        self._revision = 0
        self._stamp = self._stamp_now()
        self._saved: Edits | None = None
        self._identities = {entry.identity for entry in self.tracks.header.tracks.values()} - {None}

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if self.job is not None:
            self.job.cancel()
        self.pictures.close()
        self._whole.close()
        self.tracks.close()

    def describe(self) -> dict[str, Any]:
        """All that the page needs to begin, JSON values."""
        header, saved = self.tracks.header, self._saved
        frames = len(self.frames)
        whole = [{"source": k, "first": 0, "last": frames - 1, "id": k} for k in header.tracks]
        replaces = self._stored.draw.replaces or header.channels > 0
        return {
            "film": self.review.film.name,
            "file": self.review.tracks.name,
            "result": self.review.result.name,
            "result_exists": self.review.result.exists(),
            "size_hw": list(header.size_hw),
            "frames": frames,
            "low_score": LOW_SCORE,
            "mode": self._stored.draw.mode,
            "replaces": replaces,
            "sources": {number: each.to_json() for number, each in self.overview.items()},
            "tracks": list(saved.tracks if saved else self.tracks.tracks),
            "boxes": list(saved.boxes if saved else self.tracks.boxes),
            "pieces": [_piece_json(piece) for piece in saved.pieces] if saved else whole,
            "identities": self.identities(),
            "revision": self._revision,
        }

    def times(self) -> bytes:
        """Seconds of each frame from the first, little-endian doubles."""
        return np.asarray(self.frames.seconds(), "<f8").tobytes()

    def identities(self) -> list[str]:
        """Pictures that a track may take its looks from: those beside the tracks file, and those that it names."""
        folder = self.review.tracks.absolute().parent
        found = (path.name for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
        pictures = islice((name for name in sorted(found) if is_image(folder / name)), MOST_PICTURES)
        return sorted({*pictures, *(str(name) for name in self._identities)})

    def people(self, first: int, last: int) -> list[list[dict[str, Any]]]:
        """The people of frames with their outlines, as the tracks file that was read has them.

        Raises:
            OptionError: There are no such frames, or they are too many at once.
        """
        if not 0 <= first <= last < len(self.frames) or last - first >= MOST_PEOPLE_FRAMES:
            raise OptionError(f"there are no frames {first} to {last}, or these are more than {MOST_PEOPLE_FRAMES}")
        return [[self._person(person) for person in self.tracks.people(k)] for k in range(first, last + 1)]

    def thumbnail(self, number: int, source: int) -> bytes:
        """A track cut from a frame of the film, as JPEG.

        Raises:
            MediaError: It is not in that frame, or the film cannot be read.
        """
        self._check_frame(number)
        box = next((person["box"] for person in self.tracks.people(number) if person["id"] == source), None)
        if box is None:
            raise MediaError(f"track {source} is not in frame {number}")
        self.frames.check()
        image = _decoded(self._whole.jpeg(number))
        height, width = image.shape[:2]
        margin = THUMBNAIL_MARGIN * max(box[2] - box[0], box[3] - box[1])
        left, top = max(0, int(box[0] - margin)), max(0, int(box[1] - margin))
        right, bottom = min(width, int(box[2] + margin) + 1), min(height, int(box[3] + margin) + 1)
        if right <= left or bottom <= top:
            raise MediaError(f"track {source} is outside of the picture in frame {number}")
        return to_jpeg(shrink(image[top:bottom, left:right], THUMBNAIL_PX))

    def save(self, revision: int, edits: Edits) -> int:
        """Write the tracks file.

        Args:
            revision: Which state of the file the edits go out from.
            edits: All edits since the file was read.

        Returns:
            The file's new revision.

        Raises:
            ConflictError: Another page or program has written the file meanwhile; nothing is written.
            AnonymizeError: The edits make no sense, or the file cannot be written.
        """
        self._check_edits(edits)
        with self._lock:
            self._check_revision(revision)
            self.tracks.write(self.review.tracks, edits, overwrite=True)
            self._saved, self._stamp = edits, self._stamp_now()
            self._revision += 1
            return self._revision

    def save_copy(self, edits: Edits) -> str:
        """Write a tracks file beside the other one, under a name that is free.

        Returns:
            Its name.

        Raises:
            AnonymizeError: The edits make no sense, or the file cannot be written.
        """
        self._check_edits(edits)
        stem, dot, suffixes = self.review.tracks.name.partition(".")
        with self._lock:
            for number in range(1, 1000):
                path = self.review.tracks.with_name(f"{stem}-copy{number}{dot}{suffixes}")
                if not path.exists():
                    self.tracks.write(path, edits)
                    return path.name
        raise MediaError(f"there are too many copies beside {self.review.tracks}")

    def start_render(self, revision: int, *, overwrite: bool) -> None:
        """Begin to draw the result from the tracks file as it was saved.

        Raises:
            ConflictError: The file is not the one that the page has saved.
            MediaError: The result exists.
            BusyError: Other work is under way.
        """
        with self._lock:
            self._check_revision(revision)
        result = self.review.result
        if result.exists() and not overwrite:
            raise MediaError(f"{result.name} exists already")

        def work(progress: Progress) -> dict[str, Any]:
            from anonymize.two_pass import render_pass  # the networks' packages take seconds to load

            review = self.review
            summary = render_pass(
                review.film,
                review.tracks,
                result,
                render=review.render,
                encode=review.encode,
                device=review.device,
                overwrite=overwrite,
                progress=progress,
            )
            return {
                "output": str(summary.output),
                "frames": summary.frames,
                "tracks": summary.people,
                "seconds": round(summary.seconds, 1),
                "warnings": list(summary.warnings),
            }

        self._start("render", work)

    def start_follow(self, box: Sequence[float], at: int, to: int) -> None:
        """Begin to follow a box from the frame in which it was drawn to another one, later or earlier.

        Args:
            box: [4] xyxy in pixels of the film.
            at: Number of the frame in which it was drawn.
            to: Number of the last frame to follow it to.

        Raises:
            OptionError: It is no box in the picture.
            BusyError: Other work is under way.
        """
        self._check_frame(at)
        self._check_frame(to)
        corners = np.array(box, np.float64)
        height, width = self.tracks.header.size_hw
        if corners.shape != (4,) or not np.isfinite(corners).all() or not (corners[2:] - corners[:2] >= 4).all():
            raise OptionError("a box has left, top, right, bottom, and at least 4 pixels on each side")
        if corners[0] >= width or corners[1] >= height or corners[2] <= 0 or corners[3] <= 0:
            raise OptionError("the box lies outside of the picture")
        self._start("follow", lambda progress: self._follow(corners, at, to, progress))

    def cancel(self) -> None:
        """Call off the work that is under way; no file of it is left."""
        if self.job is not None:
            self.job.cancel()

    def _follow(self, box: Box, at: int, to: int, progress: Progress) -> dict[str, Any]:
        count = abs(to - at) + 1
        images = self._images(at, to) if to >= at else self._images_back(at, to)
        found: list[Box] = []
        for each in follow(images, box, count):
            if each is None:
                break
            found.append(each)
            progress(len(found), count)
        lost = None if len(found) == count else at + (len(found) if to >= at else -len(found))
        found += [found[-1]] * (count - len(found))
        way = np.stack(found if to >= at else found[::-1])
        return {"parts": straight_parts(way, min(at, to)), "lost": lost}

    def _images(self, first: int, last: int) -> Iterator[UInt8Array]:
        frames = self.frames.iterate(first)
        try:
            for frame in islice(frames, last - first + 1):
                yield frame.image
        finally:
            frames.close()

    def _images_back(self, last: int, first: int) -> Iterator[UInt8Array]:
        """Frames from a later one to an earlier one, decoded some at a time."""
        end = last
        while end >= first:
            begin = max(first, end - CHUNK_BACK + 1)
            yield from reversed(list(self._images(begin, end)))
            end = begin - 1

    def _start(self, kind: str, work: Callable[[Progress], Any]) -> None:
        with self._lock:
            if self.job is not None and self.job.running:
                raise BusyError(f"other work is under way: {self.job.kind}")
            self.job = Job(kind, work)

    def _person(self, person: Mapping[str, Any]) -> dict[str, Any]:
        mask = rle.decode(person["mask"]["counts"], self.tracks.header.size_hw)
        outlines: list[list[int]] = []
        if mask.area:
            contours, _ = cv2.findContours(
                mask.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(mask.x, mask.y)
            )
            outlines = [np.asarray(cv2.approxPolyDP(each, OUTLINE_PX, True)).ravel().tolist() for each in contours]
        return {
            "source": person["id"],
            "box": person["box"],
            "score": person["score"],
            "filled": bool(person.get("filled", False)),
            "outlines": outlines,
        }

    def _check_frame(self, number: int) -> None:
        if not 0 <= number < len(self.frames):
            raise OptionError(f"there is no frame {number}; the last one is {len(self.frames) - 1}")

    def _check_edits(self, edits: Edits) -> None:
        """Refuse what the file could hold but a page may not ask for, or what could not be rendered."""
        replaces = self._stored.draw.replaces or self.tracks.header.channels > 0
        known = {*self.identities(), None}
        for entry in edits.tracks:
            if entry.get("identity") not in known:
                raise OptionError(f"there is no picture {entry['identity']!r} beside {self.review.tracks.name}")
            if entry.get("action") in ("generate", "avatar") and not replaces:
                raise OptionError(
                    f"{self.review.tracks.name} has no body surfaces to generate people from; detect them with --mode "
                    "generate or avatar"
                )
        for box in edits.boxes:
            if isinstance(box.get("last"), int) and box["last"] >= len(self.frames):
                raise OptionError(f"a box ends in frame {box['last']}; the last one is {len(self.frames) - 1}")

    def _check_revision(self, revision: int) -> None:
        name = self.review.tracks.name
        if revision != self._revision:
            raise ConflictError(f"{name} was saved from another tab meanwhile; nothing was written")
        if self._stamp_now() != self._stamp:
            raise ConflictError(f"{name} was changed by another program meanwhile; nothing was written")

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            told = self.review.tracks.stat()
        except OSError:
            return None
        return told.st_ino, told.st_size, told.st_mtime_ns


def edits_from_json(value: Any) -> Edits:
    """Edits as the page sends them; what the tracks file may hold is checked when it is written.

    Raises:
        OptionError: They have another form.
    """
    try:
        pieces = tuple(
            Piece(*(_whole(piece[name]) for name in ("source", "first", "last", "id"))) for piece in value["pieces"]
        )
        tracks, boxes = list(value["tracks"]), list(value["boxes"])
        if not all(isinstance(entry, dict) for entry in (*tracks, *boxes)):
            raise TypeError
    except (KeyError, TypeError) as error:
        raise OptionError("the edits must have tracks, boxes and pieces") from error
    return Edits(tracks, boxes, pieces)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _piece_json(piece: Piece) -> dict[str, int]:
    return {"source": piece.source, "first": piece.first, "last": piece.last, "id": piece.id}


def _decoded(jpeg: bytes) -> UInt8Array:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)[..., ::-1]
