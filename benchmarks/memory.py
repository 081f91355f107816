"""Peak memory of the pipeline for a short and a long film: it must not grow with the length.

usage: python benchmarks/memory.py [--frames 500 3000] [--detector embedded|double] [--mode MODE] [--limit 1.05]

Each film is anonymized in a process of its own, whose peak resident memory counts. The double finds two people who
walk through the picture, at no cost, so that it is the pipeline that is measured; `embedded` takes the real detector.
All films show the bundled clip over and over: only the length differs.
Exits with 1 where the long film needs more than `--limit` times the memory of the short one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CLIP = Path(__file__).resolve().parents[1] / "examples" / "street.mp4"


class WalkingDouble:
    """Finds two boxes that walk to and fro, whatever is in the picture."""

    surface = None

    def __init__(self) -> None:
        self._frame = 0

    def detect(self, images: Sequence[np.ndarray]) -> list:
        from anonymize.core.types import Detections, RegionMask

        found = []
        for image in images:
            height, width = image.shape[:2]
            step = abs(self._frame % 200 - 100) / 100
            self._frame += 1
            masks = tuple(
                RegionMask(int(place * (width - 60)), 100, np.ones((200, 60), np.bool_)) for place in (step, 1 - step)
            )
            boxes = np.array([mask.box_xyxy for mask in masks], np.float32)
            scores = np.full(2, 0.9, np.float32)
            found.append(Detections((height, width), boxes, scores, masks, np.zeros(2, np.bool_)))
        return found


def render(path: Path, frames: int) -> None:
    """A film of this length with sound: the bundled clip, again and again."""
    with av.open(CLIP) as clip:
        stream = clip.streams.video[0]
        rate = stream.average_rate
        pictures = [frame.reformat(format="yuv420p") for frame in clip.decode(stream)]
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "30"})
        video.width, video.height, video.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        sound = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(frames):
            picture = pictures[number % len(pictures)]
            picture.pts, picture.time_base, picture.pict_type = number, 1 / Fraction(rate), 0
            container.mux(video.encode(picture))
            times = np.arange(int(number * 16000 / rate), int((number + 1) * 16000 / rate))
            samples = av.AudioFrame.from_ndarray(0.1 * np.sin(times / 20, dtype=np.float32)[None], "fltp", "mono")
            samples.sample_rate, samples.pts, samples.time_base = 16000, int(times[0]), Fraction(1, 16000)
            container.mux(sound.encode(samples))
        container.mux(video.encode())
        container.mux(sound.encode())


def run(source: Path, output: Path, detector: str, mode: str) -> int:
    """Anonymize a film; the peak resident memory of this process in KiB."""
    from anonymize import anonymize_video

    found_by = WalkingDouble() if detector == "double" else None
    anonymize_video(source, output, preset="ultrafast", mode=mode, detector=found_by)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    parser = argparse.ArgumentParser(description="peak memory by length of the film")
    parser.add_argument("--frames", type=int, nargs=2, default=[500, 3000], metavar=("SHORT", "LONG"))
    parser.add_argument("--detector", choices=["double", "embedded"], default="double")
    parser.add_argument("--mode", choices=["generate", "blur", "pixelate", "solid"], default="blur")
    parser.add_argument("--limit", type=float, default=1.05)
    arguments = parser.parse_args()

    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for frames in arguments.frames:
            source, output = Path(folder) / f"{frames}.mp4", Path(folder) / f"{frames}-out.mp4"
            render(source, frames)
            # A fresh interpreter: a forked one would start with the peak of its parent.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                peaks.append(pool.apply(run, (source, output, arguments.detector, arguments.mode)))
            print(f"{frames} frames: {peaks[-1] / 1024:.0f} MiB", flush=True)
    ratio = peaks[1] / peaks[0]
    print(f"ratio {ratio:.3f}, limit {arguments.limit}")
    return int(ratio > arguments.limit)


if __name__ == "__main__":
    sys.exit(main())
