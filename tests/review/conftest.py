import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
import pytest

from anonymize.core.types import Detections, Frame, RegionMask, Tracks
from anonymize.options import Options, StoredOptions
from anonymize.review.server import ReviewServer
from anonymize.review.session import Review, Session
from anonymize.tracksfile.file import write_tracks

Program: TypeAlias = "Callable[..., tuple[subprocess.Popen[str], str]]"
SIZE_HW = (240, 320)
COLOURS = [(200, 60, 60), (60, 200, 60), (60, 60, 200), (200, 200, 60), (60, 200, 200), (200, 60, 200)]


def place(track: int, number: int) -> tuple[int, int]:
    """Left and top of a person, 24 x 60 pixels, in a frame; the fifth of them walks."""
    return 10 + 50 * (track - 1) + (number if track == 5 else 0), 30


def mark(number: int) -> tuple[int, int]:
    """Left and top of a chequered square, 40 x 40 pixels, that no track holds; it moves."""
    return 20 + 3 * number, 150


def draw(number: int, tracks: int = 5) -> np.ndarray:
    """A frame of the film: people in one colour each before a ground of soft stripes."""
    height, width = SIZE_HW
    image = np.full((height, width, 3), 128, np.uint8)
    image += (20 * np.sin(np.arange(width) / 5)).astype(np.int8)[None, :, None].view(np.uint8)
    for track in range(1, tracks + 1):
        left, top = place(track, number)
        image[top : top + 60, left : left + 24] = COLOURS[track - 1]
    left, top = mark(number)
    chequers = np.kron(np.random.default_rng(0).integers(0, 2, (8, 8)), np.ones((5, 5))).astype(np.uint8) * 180 + 40
    image[top : top + 40, left : left + 40] = chequers[:, : max(0, width - left), None]
    return image


def people(number: int, frames: int, tracks: int = 5) -> list[tuple[int, float, bool]]:
    """ID, score and whether the entry is filled: the second is unsure for some frames, the third filled in others."""
    found = []
    for track in range(1, tracks + 1):
        if track == 4 and frames // 3 <= number < frames // 2:
            continue  # a gap
        score = 0.55 if track == 2 and number < 5 else 0.95
        found.append((track, score, track == 3 and 8 <= number < 11))
    return found


def make_tracks(path: Path, film: Path, frames: int, *, rate: int = 10, tracks: int = 5, **options: Any) -> Path:
    """The tracks file that `anonymize detect` would write, were its detector perfect."""
    from anonymize.options import DrawOptions

    settings = StoredOptions.of(Options(draw=DrawOptions(**({"mode": "solid", "color": "ff00ff"} | options))))

    def tracked() -> Iterator[tuple[Frame, Tracks]]:
        image = np.zeros((*SIZE_HW, 3), np.uint8)
        with av.open(film) as container:
            stream = container.streams.video[0]
            base, times = stream.time_base, sorted(p.pts for p in container.demux(stream) if p.pts is not None)
        for number in range(frames):
            rows = people(number, frames, tracks)
            masks = tuple(RegionMask(*place(k, number), np.ones((60, 24), np.bool_)) for k, _, _ in rows)
            found = Detections(
                SIZE_HW,
                np.array([m.box_xyxy for m in masks], np.float32).reshape(-1, 4),
                np.array([score for _, score, _ in rows], np.float32),
                masks,
                np.zeros(len(rows), np.bool_),
            )
            ids = np.array([k for k, _, _ in rows], np.int64)
            yield (
                Frame(image, number, times[number], Fraction(base)),
                Tracks(found, ids, np.array([filled for _, _, filled in rows], np.bool_)),
            )

    for _ in write_tracks(path, tracked(), film=film, settings=settings.to_json(path.parent)):
        pass
    return path


def make_film(path: Path, frames: int, rate: int = 10) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "8", "preset": "ultrafast", "g": "12"})
        stream.height, stream.width = SIZE_HW
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number), "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def street(tmp_path: Path) -> tuple[Path, Path]:
    """A film of 5 people, 30 frames, and its tracks file."""
    film = make_film(tmp_path / "street.mp4", 30)
    return film, make_tracks(tmp_path / "tracks.json", film, 30)


@pytest.fixture
def serve() -> Iterator[Callable[[Review], ReviewServer]]:
    """Starts servers that end with the test."""
    with ExitStack() as stack:

        def start(review: Review) -> ReviewServer:
            session = stack.enter_context(Session(review))
            server = stack.enter_context(ReviewServer(session))
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture
def program() -> Iterator[Program]:
    """Starts `anonymize review` as a process; gives it and the address that it prints."""
    runs = []

    def start(*arguments: object) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "anonymize", "review", "--no-browser", *map(str, arguments)]
        run = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` has it ignored
        )
        runs.append(run)
        assert run.stdout is not None
        return run, run.stdout.readline().strip()

    yield start
    for run in runs:
        run.kill()
        run.communicate()
