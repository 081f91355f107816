"""What an operator chose for single tracks, and rectangles that were added by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from anonymize.core.modes import REPLACING
from anonymize.core.types import PLATES_AFTER, Frame, RegionMask, Tracks
from anonymize.tracksfile.header import AddedBox, Header


def apply_choices(tracked: Iterable[tuple[Frame, Tracks]], header: Header) -> Iterator[tuple[Frame, Tracks]]:
    """A stage that leaves out who is kept or dropped, lets only those be generated who are to be, and adds boxes.

    Args:
        tracked: Frames and their people, as they are in the tracks file.
        header: What was chosen. Added boxes have the IDs after the last person's, in their order.
    """
    shown = {number for number, track in header.tracks.items() if track.action not in ("keep", "drop")}
    made = {number for number, track in header.tracks.items() if track.action in REPLACING}
    first_id = _first_box(header)
    for number, (frame, tracks) in enumerate(tracked):
        people = tracks.ids.tolist()
        keep = np.array([k in shown for k in people], np.bool_)
        may = np.array([k in made for k in people], np.bool_)
        found = replace(tracks.detections, has_cse=tracks.detections.has_cse & may)
        tracks = replace(tracks, detections=found)
        if not keep.all():
            tracks = tracks[keep]
        masks = {
            first_id + k: box_mask(box, number, frame.size_hw)
            for k, box in enumerate(header.boxes)
            if box.first <= number <= box.last
        }
        yield frame, add_masks(tracks, masks)


def box_ids(header: Header) -> dict[int, AddedBox]:
    """The added boxes by their ID."""
    first_id = _first_box(header)
    return {first_id + k: box for k, box in enumerate(header.boxes)}


def _first_box(header: Header) -> int:
    """The ID after the last person's."""
    return max((number for number in header.tracks if number <= PLATES_AFTER), default=0) + 1


def box_mask(box: AddedBox, number: int, size_hw: tuple[int, int]) -> RegionMask:
    """An added box in a frame, as far as it lies in it."""
    share = 0.0 if box.last == box.first else (number - box.first) / (box.last - box.first)
    start, stop = np.array(box.box), np.array(box.box if box.box_last is None else box.box_last)
    corners = start + (stop - start) * share
    left, top = np.floor(corners[:2]).astype(np.int64).clip(0).tolist()
    right, bottom = np.ceil(corners[2:]).astype(np.int64).clip(0, (size_hw[1], size_hw[0])).tolist()
    if right <= left or bottom <= top:
        return RegionMask(0, 0, np.zeros((0, 0), np.bool_))
    return RegionMask(left, top, np.ones((bottom - top, right - left), np.bool_))


def add_masks(tracks: Tracks, masks: dict[int, RegionMask]) -> Tracks:
    """The people and, after them, what is covered beside: a mask by its ID."""
    return tracks.with_masks(masks, np.ones(len(masks), np.float32), np.zeros(len(masks), np.bool_))
