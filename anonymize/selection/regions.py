"""Regions that are always or never covered, whatever is found there. See docs/tracks-file.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from anonymize.core.errors import AnonymizeError, MediaError
from anonymize.core.types import Frame, RegionMask, Tracks
from anonymize.selection.edits import add_masks

FORMAT, VERSION = "anonymize-regions", 1
INSIDE = 0.9
"""Share of a detection's pixels in a region that is never covered from which it is no person but a picture of one, such
as a poster; a person who walks by has a smaller share inside."""


@dataclass(frozen=True, slots=True)
class Region:
    """A place in the picture for some time.

    Attributes:
        polygon: [K] corners x, y in pixels of the upright picture.
        start, end: Seconds of the film, both included; None for its beginning and end.
    """

    polygon: tuple[tuple[float, float], ...]
    start: float | None = None
    end: float | None = None

    def holds(self, seconds: float) -> bool:
        """Whether it is there at a time."""
        return (self.start is None or seconds >= self.start) and (self.end is None or seconds <= self.end)

    def mask(self, size_hw: tuple[int, int]) -> RegionMask:
        """Its pixels, those that the outline touches included."""
        full = np.zeros(size_hw, np.uint8)
        corners = np.rint(np.array(self.polygon) - 0.5).astype(np.int32)  # [K, 2] pixels that hold the corners
        cv2.fillPoly(full, [corners], 1)
        return RegionMask.from_full(full.astype(np.bool_))


def read_regions(path: Path | str) -> tuple[Region, ...]:
    """Read a file of regions.

    Raises:
        AnonymizeError: It cannot be read, or makes no sense.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise AnonymizeError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise AnonymizeError(f"{path} is no file of regions: its format is not {FORMAT!r}")
    if content.get("version") != VERSION:
        raise AnonymizeError(f"{path} has version {content.get('version')!r}; this program reads version {VERSION}")
    regions = content.get("regions")
    if not isinstance(regions, list):
        raise AnonymizeError(f"{path} has no list of regions")
    return tuple(_region(entry, f"{path}, region {number}") for number, entry in enumerate(regions))


def apply_regions(
    tracked: Iterable[tuple[Frame, Tracks]], always: Sequence[Region], never: Sequence[Region], offset: float = 0.0
) -> Iterator[tuple[Frame, Tracks]]:
    """A stage that takes out detections inside never-covered regions, and then adds always-covered regions.

    Args:
        tracked: Frames and their people.
        always: Covered in any case; they get the IDs -1, -2, ...
        never: A detection with 90 % of its pixels in one is no person; others are covered there too.
        offset: Seconds to add to a frame's time to get that of the film, where it does not begin at its beginning.
    """
    masks: dict[Region, RegionMask] = {}
    for frame, tracks in tracked:
        size_hw, seconds = frame.size_hw, frame.pts_seconds + offset
        now = [region for region in (*always, *never) if region.holds(seconds)]
        masks = {region: masks[region] if region in masks else region.mask(size_hw) for region in now}
        holes = [masks[region] for region in never if region in masks]
        if holes and len(tracks):
            tracks = _outside(tracks, holes)
        places = {-1 - k: masks[region] for k, region in enumerate(always) if region in masks}
        yield frame, add_masks(tracks, places)


def _outside(tracks: Tracks, holes: Sequence[RegionMask]) -> Tracks:
    """The people who are not inside one of the never-covered regions."""
    # track 0 is several people whose tracks are not known: one of them in a hole says nothing about the others
    rows = zip(tracks.detections.masks, tracks.ids.tolist(), strict=True)
    shares = [(mask, INSIDE if number else 1.0) for mask, number in rows]
    keep = np.array([all(mask.share_in(hole) < share for hole in holes) for mask, share in shares], np.bool_)
    return tracks[keep]


def _region(entry: Any, where: str) -> Region:
    if not isinstance(entry, dict) or not isinstance(entry.get("polygon"), list):
        raise AnonymizeError(f"{where}: it has no polygon")
    strange = entry.keys() - {"polygon", "start", "end", "note"}
    if strange:
        raise AnonymizeError(f"{where}: {sorted(strange)[0]!r} is unknown; there are polygon, start, end, note")
    try:
        corners = np.array(entry["polygon"], np.float64)
        start, end = (None if entry.get(name) is None else float(entry[name]) for name in ("start", "end"))
    except (TypeError, ValueError) as error:
        raise AnonymizeError(f"{where}: {error}") from error
    _check_corners(corners, where)
    if start is not None and end is not None and end < start:
        raise AnonymizeError(f"{where}: it ends before it begins")
    return Region(tuple((float(x), float(y)) for x, y in corners), start, end)


def _check_corners(corners: npt.NDArray[np.float64], where: str) -> None:
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise AnonymizeError(f"{where}: a polygon has three corners [x, y] or more")
    if np.abs(corners).max() > 1e6:
        raise AnonymizeError(f"{where}: a corner lies outside of any picture")
