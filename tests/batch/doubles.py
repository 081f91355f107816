"""Detectors for tests that run in other processes too, so they lie in a module of their own."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from anonymize.core.errors import WeightsError
from anonymize.core.types import Detections, RegionMask, UInt8Array
from anonymize.options import Options


class BandDetector:
    """Finds one person whose place depends on the picture only, so that each run has the same result."""

    surface = None

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        time.sleep(self._seconds * len(images))
        return [self._detect(image) for image in images]

    def _detect(self, image: UInt8Array) -> Detections:
        size_hw = (image.shape[0], image.shape[1])
        height, width = size_hw[0] // 2, size_hw[1] // 4
        x = int(image[0, :, 0].mean()) // 8 % (size_hw[1] - width)
        mask = RegionMask(x, height // 2, np.ones((height, width), np.bool_))
        boxes = np.array([mask.box_xyxy], np.float32)
        return Detections(size_hw, boxes, np.array([0.9], np.float32), (mask,), np.zeros(1, np.bool_))


def build_band(options: Options, kind: str) -> BandDetector:
    return BandDetector()


def build_slow(options: Options, kind: str) -> BandDetector:
    return BandDetector(0.02)


def build_nothing(options: Options, kind: str) -> BandDetector:
    raise WeightsError("the weights are damaged")


class FragileDetector(BandDetector):
    """Kills its process when it sees a film's first picture, as long as there are files to count on.

    The folder in `ANONYMIZE_TEST_DEATHS` holds one file for each death that is still to come.
    """

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        for death in Path(os.environ["ANONYMIZE_TEST_DEATHS"]).iterdir():
            try:
                death.unlink()
            except FileNotFoundError:  # Another process was faster.
                continue
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(images)


def build_fragile(options: Options, kind: str) -> BandDetector:
    return FragileDetector()


class HeldDetector(BandDetector):
    """Never ends its first picture on the node that comes to one first, so that files are at hand there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(0.05)
        import ray

        self._held, self._node = folder / "held", ray.get_runtime_context().get_node_id()

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        with suppress(FileExistsError):  # Another process was faster.
            self._held.symlink_to(self._node)
        deadline = time.monotonic() + 400
        while self._held.readlink().name == self._node and time.monotonic() < deadline:
            time.sleep(0.1)
        return super().detect(images)


def build_held(folder: Path, options: Options, kind: str) -> BandDetector:
    return HeldDetector(folder)


class LoggedDetector(BandDetector):
    """Notes each frame in a file of its process; begins when there are two such files, or after a while."""

    def __init__(self, log: Path) -> None:
        super().__init__(0.1)
        import ray

        self._folder, self._log = log, log / f"{os.getpid()}-{ray.get_runtime_context().get_node_id()}"
        self._log.touch()

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        deadline = time.monotonic() + 90
        while len(list(self._folder.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        with self._log.open("a") as log:
            log.write("frame\n" * len(images))
        return super().detect(images)


def build_logged(log: Path, options: Options, kind: str) -> BandDetector:
    return LoggedDetector(log)
