import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from anonymize.core.types import Detections, RegionMask, UInt8Array
from anonymize.generate.build import save_weights
from anonymize.generate.network import GeneratorConfig, GeneratorNetwork

TINY = GeneratorConfig(
    size_hw=(36, 20), channels=(4, 6, 8), judge_channels=(4, 6, 8), latent=12, mapping_layers=2, embedding=4, centers=3
)
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


@pytest.fixture
def screenshot(tmp_path: Path) -> Callable[..., tuple[str, UInt8Array]]:
    """Shows a page in Chromium: what it complains of, and a picture [1200, width, 3] BGR."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("Chromium is not installed")

    def take(page: Path, width: int, *, dark: bool = False) -> tuple[str, UInt8Array]:
        shot = tmp_path / "shot.png"
        command = [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--enable-logging=stderr",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},1200",
            f"--screenshot={shot}",
            page.as_uri(),
        ]
        errors = errors_of(command)
        return errors, np.asarray(cv2.imread(str(shot)), np.uint8)

    return take


def errors_of(command: list[str]) -> str:
    """What a program writes to stderr; it and all its children are ended if it takes too long."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        try:
            _, errors = run.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            raise
    assert run.returncode == 0, errors
    return errors


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


class Walkers:
    """A detector that finds two people with a body surface; the first walks to the right, the second stands."""

    surface = "anny"

    def __init__(self) -> None:
        self.seen = 0

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        return [self._detect((image.shape[0], image.shape[1])) for image in images]

    def _detect(self, size_hw: tuple[int, int]) -> Detections:
        number, self.seen = self.seen, self.seen + 1
        masks = tuple(self.mask(k, number) for k in range(2))
        boxes = np.array([m.box_xyxy for m in masks], np.float32) + np.float32(1 / 3)
        draw = torch.Generator().manual_seed(number)
        body = torch.zeros(2, 112, 112)
        body[:, 10:100, 30:90] = 1
        return Detections(
            size_hw,
            boxes,
            np.array([0.9, 0.8], np.float32),
            masks,
            np.array([True, number != 3]),
            torch.randn(2, TINY.embedding, 112, 112, generator=draw),
            body,
        )

    @staticmethod
    def mask(person: int, number: int) -> RegionMask:
        oval = np.add.outer(np.linspace(-1, 1, 50) ** 2, np.linspace(-1, 1, 24) ** 2) < 1
        return RegionMask(4 + 2 * number if person == 0 else 90, 10 + 20 * person, oval)


class PlatedWalkers(Walkers):
    """The same, and a number plate that stands; it is missed in two frames."""

    plate = (40.0, 70.0, 88.0, 86.0)

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        first = self.seen
        found = super().detect(images)
        rows = [[] if number in (4, 5) else [[*self.plate, 0.8]] for number in range(first, self.seen)]
        plates = [np.array(row, np.float32).reshape(-1, 5) for row in rows]
        return [replace(people, plates=each) for people, each in zip(found, plates, strict=True)]


@pytest.fixture
def walkers() -> type[Walkers]:
    return Walkers


@pytest.fixture
def plated_walkers() -> type[PlatedWalkers]:
    return PlatedWalkers


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = GeneratorNetwork(TINY)
    network.w_centers.copy_(torch.randn_like(network.w_centers))
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, network, {})
    return path


@pytest.fixture
def film(tmp_path: Path, make_film: Callable[..., Path]) -> Path:
    return make_film(tmp_path / "in.mp4", frames=11)


@pytest.fixture
def read() -> Callable[[Path], np.ndarray]:
    def decode(path: Path) -> np.ndarray:
        with av.open(path) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])

    return decode
