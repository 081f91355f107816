"""The shipped detector on a real film: one frame left as it was among blurred ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anonymize.compose import CoverComposer, covers_of
from anonymize.core.types import Tracks
from anonymize.detect.build import build_detector
from anonymize.media import open_film
from anonymize.verify import verify

pytestmark = pytest.mark.shared

LEFT_OUT = 3
SCORE = 0.3


def test_the_frame_left_out_is_found_and_no_other(shared: Path, save: Callable[..., Path]) -> None:
    film, detector = shared / "data" / "one-by-one-person-detection.mp4", build_detector(score=SCORE)
    with open_film(film, start=12, end=12.6) as reader:
        frames = list(reader)
    composer, output = CoverComposer("blur"), [frame.image for frame in frames]
    for number, (frame, found) in enumerate(zip(frames, detector.detect(output), strict=True)):
        assert len(found) > 0
        if number != LEFT_OUT:
            tracks = Tracks(found, np.arange(1, len(found) + 1), np.zeros(len(found), np.bool_))
            output[number] = composer.compose(frame, tracks, covers_of(tracks)).image
    checks = list(verify(film, save(output, "output.mp4", crf=28), detector, start=12, end=12.6))
    assert [check.index for check in checks if check.visible] == [LEFT_OUT]
