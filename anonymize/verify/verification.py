"""Whether an anonymized film still shows a person as in the original."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from anonymize.core.prefetch import Prefetch
from anonymize.core.types import Detections, Frame, RegionMask
from anonymize.detect.plates import SURE_PLATE
from anonymize.detect.predictor import Detector
from anonymize.verify.body import BodyParts
from anonymize.verify.pairs import pair_frames
from anonymize.verify.person import PersonCheck, check_person
from anonymize.verify.similarity import fit_colours

BATCH = 4
"""Frames that the detector sees at once."""
PLATE_VISIBLE = 0.5
"""Mean similarity from which a number plate counts as left visible."""


@dataclass(frozen=True, slots=True)
class FrameCheck:
    """The people of one frame of the original, looked up in the output.

    Attributes:
        index: Number of the frame, from 0.
        seconds: Time since the output's first frame.
        people: All people whom the detector found in the original, and all number plates if it looks for them.
    """

    index: int
    seconds: float
    people: tuple[PersonCheck, ...]

    @property
    def visible(self) -> bool:
        """Whether any person can be seen, or any plate."""
        return any(person.visible for person in self.people)


def verify(
    original: Path | str,
    output: Path | str,
    detector: Detector,
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    in_part: bool = False,
) -> Iterator[FrameCheck]:
    """Look up all people whom a detector finds in a film or picture in its anonymized copy, frame by frame.

    Works on the output of any anonymizer that keeps size and times of the frames. Memory does not grow with the film.

    Args:
        original: The film or picture before.
        output: The same afterwards.
        detector: Finds the people of the original, and number plates if it looks for them. A low score finds more of
            those whom the anonymizer overlooked.
        start: Where the output begins in the original, in seconds.
        end: Where it ends there.
        fps: Of a folder of pictures, pictures per second; None for the default.
        in_part: Who is left in part counts as visible: a face, a leg. So does background that the detector takes for
            a part of a person.

    Yields:
        One value a frame, in order.

    Raises:
        MismatchError: The files cannot be the original and its copy.
        MediaError: One of them cannot be read.
    """
    parts = BodyParts.of(detector)
    with Prefetch() as prefetch:
        pairs = prefetch(pair_frames(Path(original), Path(output), start=start, end=end, fps=fps), BATCH, "read")
        while batch := list(islice(pairs, BATCH)):
            yield from _check_batch(batch, detector, parts, in_part)


def _check_batch(
    batch: list[tuple[float, Frame, Frame]], detector: Detector, parts: BodyParts, in_part: bool
) -> Iterator[FrameCheck]:
    found = detector.detect([before.image for _, before, _ in batch])
    for (seconds, before, after), people in zip(batch, found, strict=True):
        rows = [row for row, mask in enumerate(people.masks) if mask.area]
        plates = plates_of(people)
        checks = []
        if rows or len(plates):
            images = before.image, after.image
            fit = fit_colours(*images)
            checks = [check_person(*images, fit, people, row, parts, in_part=in_part) for row in rows]
            checks += [
                replace(check_person(*images, fit, plates, row, parts, visible_from=PLATE_VISIBLE), plate=True)
                for row in range(len(plates))
            ]
        yield FrameCheck(before.index, seconds, tuple(checks))


def plates_of(found: Detections) -> Detections:
    """The sure number plates of a frame, each with its box as mask."""
    plates = np.zeros((0, 5), np.float32) if found.plates is None else found.plates
    height, width = found.size_hw
    corners = np.rint(plates[:, :4].clip(0, (width, height, width, height))).astype(int)
    kept = (plates[:, 4] >= SURE_PLATE) & (corners[:, 2:] - corners[:, :2] > 0).all(1)
    masks = tuple(
        RegionMask(left, top, np.ones((bottom - top, right - left), np.bool_))
        for left, top, right, bottom in corners[kept].tolist()
    )
    return Detections(found.size_hw, plates[kept, :4], plates[kept, 4], masks, np.zeros(len(masks), np.bool_))
