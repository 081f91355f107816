"""Whether replaced people still look like people, in the same poses, to networks that had no part in making them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
from tqdm import tqdm

from anonymize.batch.walk import walk
from anonymize.core.boxes import box_iou
from anonymize.core.errors import OptionError
from anonymize.core.types import BoolArray, FloatArray, UInt8Array
from anonymize.lab.train.blazepose import CROP, Answer, cut
from anonymize.lab.train.box_teachers import ScoredBoxes
from anonymize.lab.train.pose_teacher import crop_of
from anonymize.media import is_image, open_film, read_image

FindPeople = Callable[[UInt8Array], ScoredBoxes]
"""Boxes of the people of a picture [H, W, 3] uint8 RGB."""
ReadPose = Callable[[UInt8Array], Answer]
"""Landmarks of the person of a crop [256, 256, 3] uint8 RGB."""

MIN_IOU = 0.5
SURE = 0.5
"""A landmark of at least this visibility and presence is sure."""
NEAR_TORSO = 0.1
"""A landmark stays if it moves by at most this share of the torso's length."""
MIN_TORSO_PX = 10
"""Pixels of BlazePose's crop; a torso that is shorter is seen from its end, and no measure."""
SHOULDERS, HIPS = (11, 12), (23, 24)


@dataclass
class People:
    """What was counted of pairs of pictures.

    Attributes:
        pictures: Pairs looked at.
        before: Scores of the people of the originals.
        after: Scores of the same people in the results; 0 where there is none.
        posed: People whose pose is sure in the original.
        landmarks: Their sure landmarks.
        kept: Those of them that are near the same place in the result.
    """

    pictures: int = 0
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    posed: int = 0
    landmarks: int = 0
    kept: int = 0

    def figures(self) -> dict[str, float | int | None]:
        """The measures by name, shares in [0, 1]; None where there was nothing to measure."""
        people = len(self.before)
        return {
            "pictures": self.pictures,
            "people": people,
            "seen": sum(score > 0 for score in self.after) / people if people else None,
            "score_before": float(np.mean(self.before)) if people else None,
            "score_after": float(np.mean(self.after)) if people else None,
            "people_with_pose": self.posed,
            "landmarks_kept": self.kept / self.landmarks if self.landmarks else None,
        }

    def table(self) -> str:
        """The measures as a Markdown table."""
        found = self.figures()
        rows = [
            ("pictures or frames", f"{self.pictures}"),
            ("people in the originals", f"{len(self.before)}"),
            ("of them seen in the results", _percent(found["seen"])),
            ("mean score in the originals", _number(found["score_before"])),
            ("mean score in the results", _number(found["score_after"])),
        ]
        if self.landmarks:
            rows.append((f"landmarks kept, of {self.posed} people", _percent(found["landmarks_kept"])))
        return "\n".join(["| measure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def measure(
    original: Path, output: Path, find: FindPeople, pose: ReadPose | None = None, *, score: float = 0.5, every: int = 1
) -> People:
    """Compare originals with what was made of them.

    Args:
        original: A film, a picture, or a folder of them.
        output: The result, or the folder of results with the same names.
        find: An independent detector.
        pose: Reads poses; None leaves them out.
        score: Who has this score is a person, in originals and results alike.
        every: Look at every so many-th frame of films.

    Raises:
        OptionError: The two do not belong together.
        MediaError: One of them cannot be read.
    """
    if every < 1:
        raise OptionError(f"every must be at least 1, got {every}")
    counted = People()
    for before, after in tqdm(pairs(original, output, every), desc="people", unit="picture", disable=None):
        count(counted, before, after, find, pose, score)
    return counted


def count(
    counted: People, before: UInt8Array, after: UInt8Array, find: FindPeople, pose: ReadPose | None, score: float
) -> None:
    """Add a pair of pictures [H, W, 3] uint8 RGB."""
    counted.pictures += 1
    first, second = find(before), find(after)
    there, here = first.scores >= score, second.scores >= score
    boxes = first.xyxy[there]
    counted.before += first.scores[there].tolist()
    counted.after += match(boxes, second.xyxy[here], second.scores[here]).tolist()
    if pose is None:
        return
    for box in boxes:
        crop = crop_of(box)
        as_it_was = pose(cut(before, crop))
        sure, torso = sure_landmarks(as_it_was)
        if not sure.any():
            continue
        moved = pose(cut(after, crop)).landmarks[:, :2] - as_it_was.landmarks[:, :2]
        counted.posed += 1
        counted.landmarks += int(sure.sum())
        counted.kept += int((np.linalg.norm(moved, axis=1)[sure] <= NEAR_TORSO * torso).sum())


def match(boxes: FloatArray, others: FloatArray, scores: FloatArray) -> FloatArray:
    """For each box [N, 4] the score of another one [M, 4] that is its own, 0 without; the best pairs first, [N]."""
    found = np.zeros(len(boxes), np.float32)
    overlap = box_iou(boxes, others)
    while overlap.size and overlap.max() >= MIN_IOU:
        row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
        found[row] = scores[column]
        overlap[row], overlap[:, column] = 0, 0
    return found


def sure_landmarks(answer: Answer) -> tuple[BoolArray, float]:
    """Which landmarks [33] of a crop are sure and inside it, none if the torso is not; and the torso's pixels."""
    points = answer.landmarks
    inside = ((points[:, :2] >= 0) & (points[:, :2] < CROP)).all(1)
    sure = np.asarray(inside & (points[:, 3:] >= SURE).all(1))
    middles = [points[list(pair), :2].mean(0) for pair in (SHOULDERS, HIPS)]
    torso = float(np.linalg.norm(middles[0] - middles[1]))
    if answer.presence < SURE or torso < MIN_TORSO_PX or not sure[[*SHOULDERS, *HIPS]].all():
        sure = np.zeros_like(sure)
    return sure, torso


def pairs(original: Path, output: Path, every: int = 1) -> Iterator[tuple[UInt8Array, UInt8Array]]:
    """The pictures [H, W, 3] of originals and results that belong together.

    Raises:
        OptionError: There are no pairs, or one has no counterpart of its size and length.
        MediaError: A file cannot be read.
    """
    if original.is_dir() != output.is_dir():
        raise OptionError(f"{original} and {output}: one is a folder, the other is not")
    if not original.is_dir():
        yield from _pairs_of_files(original, output, every)
        return
    entries = [entry for entry in walk(original, output) if entry.kind in ("film", "picture")]
    if not entries:
        raise OptionError(f"{original} holds no films and no pictures")
    missing = [entry.output for entry in entries if not (output / entry.output).is_file()]
    if missing:
        raise OptionError(f"{output} has no {missing[0]} ({len(missing)} of {len(entries)} are missing)")
    for entry in entries:
        yield from _pairs_of_files(original / entry.name, output / entry.output, every)


def _pairs_of_files(original: Path, output: Path, every: int) -> Iterator[tuple[UInt8Array, UInt8Array]]:
    if is_image(original):
        both = read_image(original).image, read_image(output).image
        _check_sizes(*both, original, output)
        yield both
        return
    with open_film(original) as before, open_film(output) as after:
        for number, (one, other) in enumerate(zip_longest(before, after)):
            if one is None or other is None:
                raise OptionError(f"{original} and {output} have different numbers of frames")
            if number % every == 0:
                _check_sizes(one.image, other.image, original, output)
                yield one.image, other.image


def _check_sizes(before: UInt8Array, after: UInt8Array, original: Path, output: Path) -> None:
    if before.shape != after.shape:
        sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in (before, after))
        raise OptionError(f"{original} and {output} have different sizes: {sizes}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
