from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from anonymize.core.types import Detections, Frame, RegionMask, Tracks
from anonymize.pipeline import Summary

SIZE_HW = (120, 160)
RATE = 10
ORIGINAL, COVERED = (200, 30, 30), (40, 90, 160)


def frame(number: int, colour: tuple[int, int, int] = COVERED) -> Frame:
    """A frame of the result; the decoder's own picture, which shows the original, hangs on it as in a film."""
    image, original = np.full((*SIZE_HW, 3), 128, np.uint8), np.full((*SIZE_HW, 3), ORIGINAL, np.uint8)
    image[20:100, 40:80] = colour
    return Frame(image, number, number, Fraction(1, RATE), source=original)


def tracks(*people: tuple[int, float, bool]) -> Tracks:
    """People at one place, each with ID, score, and whether the tracker filled them in."""
    n = len(people)
    region = RegionMask(40, 20, np.ones((80, 40), np.bool_))
    found = Detections(
        SIZE_HW,
        np.tile(np.array([region.box_xyxy], np.float32), (n, 1)).reshape(n, 4),
        np.array([score for _, score, _ in people], np.float32),
        (region,) * n,
        np.zeros(n, np.bool_),
    )
    ids = np.array([number for number, *_ in people], np.int64)
    return Tracks(found, ids, np.array([filled for *_, filled in people], np.bool_))


@pytest.fixture
def summary() -> Callable[..., Summary]:
    def make(output: Path = Path("out.mp4"), **changes: object) -> Summary:
        values = {
            "output": output,
            "frames": 20,
            "frames_with_people": 15,
            "people": 3,
            "corrupt_frames": 0,
            "seconds": 4.0,
            "warnings": (),
            "stripped": (),
        }
        return Summary(**(values | changes))  # type: ignore[arg-type]

    return make
