import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from anonymize.types import Detections, RegionMask, UInt8Array

SHARED = Path(__file__).resolve().parents[2] / "shared"

# Processes that tests start import the tests' modules by name; last, so that the installed package comes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the reference data skip, and say so, where the data is not beside the checkout."""
    if not SHARED.is_dir():
        for item in items:
            if item.get_closest_marker("shared"):
                item.add_marker(pytest.mark.skip(reason="the reference data is not beside the checkout"))


@pytest.fixture
def shared() -> Path:
    return SHARED


@dataclass
class WalkingDetector:
    """A double that finds one box walking to the right, in every frame; counts what it has seen."""

    nobody_from: int | None = None
    seen: int = 0
    batches: list[int] = field(default_factory=list)
    surface: str | None = None

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        self.batches.append(len(images))
        return [self._detect(image) for image in images]

    def _detect(self, image: UInt8Array) -> Detections:
        number, self.seen = self.seen, self.seen + 1
        size_hw = (image.shape[0], image.shape[1])
        if self.nobody_from is not None and number >= self.nobody_from:
            return Detections.empty(size_hw)
        mask = self.mask(number, size_hw)
        boxes, scores = np.array([mask.box_xyxy], np.float32), np.array([0.9], np.float32)
        return Detections(size_hw, boxes, scores, (mask,), np.zeros(1, np.bool_))

    @staticmethod
    def mask(number: int, size_hw: tuple[int, int]) -> RegionMask:
        height, width = size_hw[0] // 2, size_hw[1] // 4
        return RegionMask(number % (size_hw[1] - width), height // 2, np.ones((height, width), np.bool_))


@pytest.fixture
def walking_detector() -> type[WalkingDetector]:
    return WalkingDetector


@pytest.fixture
def make_film() -> Callable[..., Path]:
    """Renders a film of soft moving stripes, with sound unless told otherwise."""

    def make(
        path: Path,
        frames: int = 12,
        size_hw: tuple[int, int] = (96, 128),
        rate: int = 10,
        sound: bool = True,
        pixel_format: str = "yuv420p",
    ) -> Path:
        height, width = size_hw
        x = np.linspace(0, 6, width, dtype=np.float32)
        with av.open(path, "w") as container:
            video = container.add_stream("libx264", rate=rate, options={"crf": "12"})
            video.width, video.height, video.pix_fmt = width, height, pixel_format
            tone = container.add_stream("aac", rate=16000, layout="mono") if sound else None
            for number in range(frames):
                row = 128 + 90 * np.sin(x[:, None] + number / 8 + np.arange(3))
                image = np.broadcast_to(row, (height, width, 3)).astype(np.uint8)
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
                picture.pts, picture.time_base = number, Fraction(1, rate)
                container.mux(video.encode(picture))
            container.mux(video.encode())
            if tone is not None:
                samples = 16000 * frames // rate
                wave = 0.1 * np.sin(np.arange(samples) / 20).astype(np.float32)
                heard = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
                heard.sample_rate, heard.pts, heard.time_base = 16000, 0, Fraction(1, 16000)
                container.mux(tone.encode(heard))
                container.mux(tone.encode())
        return path

    return make
