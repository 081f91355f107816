"""A person of cloth and skin who walks past a wall, with the exact truth where they are."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from anonymize.core.types import BoolArray, Detections, RegionMask, UInt8Array

SIZE_HW = (192, 256)
RATE = 10


def noise(size_hw: tuple[int, int], grain: float, contrast: float, seed: int) -> UInt8Array:
    """Cloudy texture [H, W, 3]: a deviation of `contrast` grey levels, clouds of `grain` pixels."""
    values = np.random.default_rng(seed).normal(size=(*size_hw, 3)).astype(np.float32)
    values = cv2.GaussianBlur(values, (0, 0), grain)
    return np.clip(128 + contrast * values / values.std(), 0, 255).astype(np.uint8)


@dataclass
class Walk:
    """Frames [N] of the walk and the person's masks; `people` is the detector that knows them."""

    frames: list[UInt8Array]
    masks: list[BoolArray]
    heads: list[BoolArray]
    size_hw: tuple[int, int] = SIZE_HW

    def changed(self, change: Callable[[UInt8Array, BoolArray], UInt8Array]) -> list[UInt8Array]:
        """The frames with the person's pixels replaced by those that `change(frame, mask)` gives."""
        return [
            np.where(mask[..., None], change(frame, mask), frame)
            for frame, mask in zip(self.frames, self.masks, strict=True)
        ]


@dataclass
class Truth:
    """A detector that knows the masks of the frames it is shown, in order."""

    walk: Walk
    seen: int = 0
    batches: list[int] = field(default_factory=list)

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        self.batches.append(len(images))
        return [self._next() for _ in images]

    def _next(self) -> Detections:
        mask = self.walk.masks[self.seen]
        self.seen += 1
        if not mask.any():
            return Detections.empty(self.walk.size_hw)
        region = RegionMask.from_full(mask)
        boxes = np.array([region.box_xyxy], np.float32)
        return Detections(self.walk.size_hw, boxes, np.array([0.9], np.float32), (region,), np.zeros(1, np.bool_))


@pytest.fixture(scope="session")
def walk() -> Walk:
    wall, cloth = noise(SIZE_HW, 3, 35, 1), noise(SIZE_HW, 2.5, 40, 2)
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    frames, masks, heads = [], [], []
    for number in range(10):
        x = 60 + 9 * number
        head = (rows - 38) ** 2 + (columns - x) ** 2 < 13**2
        body = ((rows - 105) / 55) ** 2 + ((columns - x) / 26) ** 2 < 1
        mask = head | body
        person = np.roll(cloth, x, axis=1)
        frames.append(np.where(mask[..., None], person, wall))
        masks.append(mask)
        heads.append(head)
    return Walk(frames, masks, heads)


@pytest.fixture
def truth(walk: Walk) -> Truth:
    return Truth(walk)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Encodes frames as a film in the folder of the test."""

    def save_film(frames: Iterable[UInt8Array], name: str, crf: int = 14, rate: int = RATE) -> Path:
        path = tmp_path / name
        with av.open(path, "w") as container:
            stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf)})
            stream.pix_fmt = "yuv420p"
            for number, image in enumerate(frames):
                if number == 0:
                    stream.height, stream.width = image.shape[:2]
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
                picture.pts, picture.time_base = number, Fraction(1, rate)
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        return path

    return save_film
