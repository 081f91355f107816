"""Tracks as files that other programs read: MOTChallenge text and COCO JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from anonymize.core.files import whole_file
from anonymize.core.types import PLATES_AFTER, Frame, Tracks
from anonymize.tracksfile import rle

Tracked = Iterable[tuple[Frame, Tracks]]

MOT_SUFFIX, COCO_SUFFIX = ".txt", ".coco.json"


def writer_for(path: Path) -> Callable[[Path, Tracked], Iterator[tuple[Frame, Tracks]]] | None:
    """The writer for a file name: `write_mot` for .txt, `write_coco` for .coco.json, None for any other."""
    if path.suffix == MOT_SUFFIX:
        return write_mot
    return write_coco if path.name.endswith(COCO_SUFFIX) else None


def write_mot(path: Path, tracked: Tracked) -> Iterator[tuple[Frame, Tracks]]:
    """Write MOTChallenge text (Milan et al. 2016) while the frames go through.

    A line is frame, ID, left, top, width, height, score, -1, -1, -1; frames and pixels are counted from 1. What is
    covered but belongs to no track is left out, and so are number plates: the format knows people only.

    Args:
        path: The file; it appears when the last frame has gone through.
        tracked: Frames with their people.

    Returns:
        The same frames with the same people.

    Raises:
        MediaError: The file cannot be written.
    """
    with whole_file(path, overwrite=True) as partial, partial.open("w", encoding="ascii") as file:
        for frame, tracks in tracked:
            for number, box, score in zip(
                tracks.ids.tolist(), tracks.detections.boxes_xyxy, tracks.detections.scores.tolist(), strict=True
            ):
                if not 1 <= number <= PLATES_AFTER:
                    continue
                left, top, right, bottom = (float(v) for v in box)
                place = f"{left + 1:.2f},{top + 1:.2f},{right - left:.2f},{bottom - top:.2f}"
                file.write(f"{frame.index + 1},{number},{place},{score:.4f},-1,-1,-1\n")
            yield frame, tracks


def write_coco(path: Path, tracked: Tracked) -> Iterator[tuple[Frame, Tracks]]:
    """Write COCO JSON (Lin et al. 2014) while the frames go through: run-length masks, `track_id`, `score`, `filled`.

    What is covered but belongs to no track is left out.

    Args:
        path: The file; it appears when the last frame has gone through.
        tracked: Frames with their people.

    Returns:
        The same frames with the same people.

    Raises:
        MediaError: The file cannot be written.
    """
    # a film may be long: each annotation is written at once, the pictures' entries, which are short, at the end
    pictures: list[dict[str, Any]] = []
    count = 0
    with whole_file(path, overwrite=True) as partial, partial.open("w", encoding="ascii") as file:
        file.write('{"categories":[{"id":1,"name":"person"},{"id":2,"name":"number plate"}],\n"annotations":[')
        for frame, tracks in tracked:
            height, width = frame.size_hw
            number = frame.index + 1
            pictures.append({"id": number, "width": width, "height": height, "seconds": round(frame.pts_seconds, 6)})
            found = tracks.detections
            for row, mask in enumerate(found.masks):
                if tracks.ids[row] < 1:
                    continue
                left, top, right, bottom = (round(float(v), 2) for v in found.boxes_xyxy[row])
                annotation = {
                    "id": count + 1,
                    "image_id": number,
                    "category_id": 2 if tracks.ids[row] > PLATES_AFTER else 1,
                    "track_id": int(tracks.ids[row]),
                    "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
                    "segmentation": {"size": [height, width], "counts": rle.encode(mask, frame.size_hw)},
                    "area": mask.area,
                    "iscrowd": 0,
                    "score": round(float(found.scores[row]), 4),
                    "filled": bool(tracks.filled[row]),
                }
                file.write(",\n" if count else "\n")
                file.write(json.dumps(annotation, separators=(",", ":")))
                count += 1
            yield frame, tracks
        file.write('\n],\n"images":' + json.dumps(pictures, separators=(",", ":")) + "}\n")
