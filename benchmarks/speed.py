"""Speed and memory of the whole program, on the machine at hand.

usage: python benchmarks/speed.py compare [--film FILM] [--frames N] [--rounds 3] [--modes generate avatar solid blur]
                                          [--deface COMMAND] [--options="--detect-every 2"]
       python benchmarks/speed.py stages  [--film FILM] [--frames N] [--mode MODE] [--detect-every N]
       python benchmarks/speed.py people  [--counts 0 1 5 20] [--frames 40] [--mode MODE] [--size 432 768]
       python benchmarks/speed.py detect-every [--film FILM] [--frames N] [--every 2 3 5]
       python benchmarks/speed.py memory  [--frames 500 3000] [--detector embedded|double] [--mode MODE] [--limit 1.05]

`compare` runs programs in turn on the same film, each from its start to its end: ours in some modes, deface
(https://github.com/ORB-HD/deface) if its command is given, and a plain decode and encode with PyAV at our settings. It
prints medians over the rounds, and ratios of the medians.
`stages` tells in which stages the time of one film goes; they overlap, so that their sum may exceed the time it took.
`people` renders films of so many people and fits a straight line to the time of a frame.
`detect-every` looks at each N-th frame and tells how much stays uncovered of the people found with N = 1 (their masks
tremble, so that a little always does), how much more is covered, and what it costs.
`memory` compares the peak memory of a short and a long film that show the bundled clip over and over: it must not grow
with the length. Each film is done in a process of its own. The double finds two people who walk through the picture, at
no cost, so that it is the pipeline that is measured. Exits with 1 where the long film needs more than `--limit` times
the memory of the short one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

CLIP = Path(__file__).resolve().parents[1] / "examples" / "street.mp4"
MODES = ["avatar", "generate", "blur", "pixelate", "solid"]


def in_own_process(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a fresh interpreter: a forked one would start with the peak memory of its parent."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def machine() -> str:
    """Processor, cores and load of this machine, in a line."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line.partition(":") for line in info.read_text(errors="replace").splitlines())
        name = next((value.strip() for key, _, value in lines if key.strip() == "model name"), name)
    return f"{name}, {os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}"


def cut(source: Path, output: Path, frames: int | None) -> int:
    """Copy the first frames of a film, without sound; how many there are."""
    return transcode(source, output, frames, crf="12", preset="veryfast")


def transcode(source: Path, output: Path, frames: int | None = None, *, crf: str = "18", preset: str = "medium") -> int:
    """Decode and encode a film, by default with the settings that ours has; the number of frames."""
    with av.open(source) as film, av.open(output, "w") as container:
        stream = film.streams.video[0]
        stream.thread_type = "AUTO"
        video = container.add_stream("libx264", rate=stream.average_rate, options={"crf": crf, "preset": preset})
        video.width, video.height, video.pix_fmt = stream.width, stream.height, "yuv420p"
        count = 0
        for frame in film.decode(stream):
            if frames is not None and count == frames:
                break
            picture = frame.reformat(format="yuv420p")
            picture.pict_type, picture.pts, picture.time_base = 0, count, 1 / Fraction(stream.average_rate)
            container.mux(video.encode(picture))
            count += 1
        container.mux(video.encode())
    return count


def compare(arguments: argparse.Namespace) -> int:
    """Run the programs in turn."""
    print(machine(), flush=True)
    options = shlex.split(arguments.options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film, output = folder / "film.mp4", folder / "out.mp4"
        frames = cut(arguments.film, film, arguments.frames)
        ours = [sys.executable, "-m", "anonymize", str(film), "-o", str(output), "-v", "--overwrite", *options]
        programs = {f"ours {mode}": [*ours, "--mode", mode] for mode in arguments.modes}
        if arguments.deface is not None:
            programs["deface"] = [*shlex.split(arguments.deface), str(film), "-o", str(output)]
        programs["transcode"] = [sys.executable, __file__, "transcode", str(film), str(output)]
        seconds: dict[str, list[float]] = defaultdict(list)
        told: set[str] = set()
        for _ in range(arguments.rounds):
            for program, command in programs.items():
                output.unlink(missing_ok=True)
                began = time.monotonic()
                result = subprocess.run(command, capture_output=True, text=True, check=False)
                seconds[program].append(time.monotonic() - began)
                if result.returncode or not output.is_file():
                    print(f"{program} failed: {result.stderr.strip()[-500:]}", file=sys.stderr)
                    return 1
                told |= {line for line in result.stderr.splitlines() if "torch " in line or "ONNX Runtime" in line}
        for line in sorted(told):  # which runtime and precision each network had
            print(line)
        medians = {program: statistics.median(each) for program, each in seconds.items()}
        others = [program for program in ("deface", "transcode") if program in medians]
        print(f"{arguments.film.name}, {frames} frames, {arguments.rounds} rounds; whole program, start to end")
        print(
            "| program | seconds, median (all) | frames/s |"
            + "".join(f" speed, of that of {other} |" for other in others)
        )
        print("|---|---|---|" + "---|" * len(others))
        for program, median in medians.items():
            rounds = ", ".join(f"{each:.1f}" for each in seconds[program])
            ratios = "".join(f" {medians[other] / median:.2f} |" for other in others)
            print(f"| {program} | {median:.1f} ({rounds}) | {frames / median:.1f} |{ratios}")
    return 0


class LoadedClock:
    """The stage that finds people, and when it began: the networks have been loaded by then.

    Frames come out late, because of the look-ahead, and the last ones at once: what counts is when they went in.
    """

    def __init__(self, detect: Callable[..., Iterator[Any]]) -> None:
        self._detect = detect
        self.began = 0.0

    def __call__(self, frames: Iterable[Any], detector: Any) -> Iterator[Any]:
        self.began = time.monotonic()
        yield from self._detect(frames, detector)


class StageClock:
    """Wall time that stages spend in their own code, not waiting for the one before."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def stage(self, name: str) -> Callable[..., Any]:
        """Make a stage, a function of an iterable that returns an iterator, count its time."""

        def wrap(stage: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
            def timed(items: Iterable[Any], *arguments: Any, **named: Any) -> Iterator[Any]:
                waited = f"wait of {name}"
                source = self._each(items, waited)
                for item in self._each(stage(source, *arguments, **named), f"all of {name}"):
                    self.seconds[name] = self.seconds[f"all of {name}"] - self.seconds[waited]
                    yield item

            return timed

        return wrap

    def call(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make a function count its time."""

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.monotonic()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[name] += time.monotonic() - began

        return timed

    def _each(self, items: Iterable[Any], name: str) -> Iterator[Any]:
        iterator = iter(items)
        while True:
            began = time.monotonic()
            item = next(iterator, None)
            self.seconds[name] += time.monotonic() - began
            if item is None:
                return
            yield item


def run_with_clock(source: Path, output: Path, mode: str, detect_every: int) -> tuple[dict[str, float], float, int]:
    """Anonymize a film; seconds by stage, seconds from the first look at a frame to the end, and the frames."""
    from anonymize import pipeline
    from anonymize.media import FilmReader, FilmWriter
    from anonymize.options import DetectOptions, DrawOptions, Options

    clock = StageClock()
    pipeline.detect = clock.stage("detect")(pipeline.detect)
    # around the detector: the tracker, and what carries people over to frames that are not looked at
    pipeline.follow = clock.stage("detect and track")(pipeline.follow)
    pipeline.quantize = clock.stage("round masks and surfaces")(pipeline.quantize)
    pipeline.compose = clock.stage("compose")(pipeline.compose)
    FilmWriter.write = clock.call("encode", FilmWriter.write)
    FilmReader.__iter__ = decoding(clock, FilmReader.__iter__)
    options = Options(draw=DrawOptions(mode=mode), detect=DetectOptions(detect_every=detect_every))
    find = LoadedClock(pipeline.detect)
    summary = pipeline.process_film(source, output, options, find=find)
    loaded = time.monotonic() - find.began
    seconds = clock.seconds
    follow = "detect and track"
    spent = {
        "decode": seconds["decode"],
        "detect": seconds["detect"],
        "track": seconds[follow] - seconds["detect"],
        "round masks and surfaces": seconds["round masks and surfaces"],
        "compose": seconds["compose"],
        "encode": seconds["encode"],
    }
    return spent, loaded, summary.frames


def decoding(clock: StageClock, read: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
    """The reader's frames, with their time counted."""

    def frames(reader: Any) -> Iterator[Any]:
        return clock._each(read(reader), "decode")

    return frames


def stages(arguments: argparse.Namespace) -> int:
    """Tell where the time goes."""
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        film, output = Path(name) / "film.mp4", Path(name) / "out.mp4"
        frames = cut(arguments.film, film, arguments.frames)
        spent, seconds, counted = in_own_process(run_with_clock, film, output, arguments.mode, arguments.detect_every)
    print(f"{arguments.film.name}, {frames} frames, {arguments.mode}: {counted / seconds:.1f} frames/s once it runs")
    total = sum(spent.values())
    print("| stage | ms a frame | share |")
    print("|---|---|---|")
    for stage, each in spent.items():
        print(f"| {stage} | {1000 * each / frames:.1f} | {100 * each / total:.0f} % |")
    return 0


def run_counting(source: Path, output: Path, mode: str) -> tuple[float, float]:
    """Anonymize a film; seconds a frame without the start, and people found a frame."""
    from anonymize.options import DrawOptions, Options
    from anonymize.pipeline import detect, process_film

    find = LoadedClock(detect)
    people: list[int] = []
    process_film(
        source,
        output,
        Options(draw=DrawOptions(mode=mode)),
        find=find,
        observe=lambda _, tracks: people.append(len(tracks)),
    )
    return (time.monotonic() - find.began) / len(people), statistics.fmean(people)


def people(arguments: argparse.Namespace) -> int:
    """Measure what a person costs."""
    from anonymize.lab.synthesis.film import write_rendered_film

    print(machine(), flush=True)
    height, width = arguments.size
    print(f"{width} x {height}, {arguments.frames} rendered frames, {arguments.mode}")
    print("| people in the film | found a frame | ms a frame |")
    print("|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        film, output = Path(name) / "film.mp4", Path(name) / "out.mp4"
        for count in arguments.counts:
            write_rendered_film(
                film,
                seed=4,
                n_frames=arguments.frames,
                size_hw=(height, width),
                n_people=count,
                sound=False,
                overwrite=True,
            )
            seconds, found = in_own_process(run_counting, film, output, arguments.mode)
            output.unlink()
            rows.append((found, 1000 * seconds))
            print(f"| {count} | {found:.1f} | {1000 * seconds:.0f} |", flush=True)
    found, cost = np.array(rows).T
    slope, start = np.polyfit(found, cost, 1)
    off = np.abs(cost - (start + slope * found)).max()
    print(f"a straight line: {start:.0f} ms and {slope:.1f} ms a person found, at most {off:.0f} ms off")
    return 0


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


def repeat_clip(path: Path, frames: int) -> None:
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


def skip_frames(film: Path, count: int | None, every: Sequence[int]) -> list[tuple[float, float, float, float]]:
    """For N = 1 and each other N: share looked at, share uncovered of what N = 1 finds, area by N = 1's, ms a frame.

    The time is the processor's, of detector, tracker and covers.
    """
    from itertools import islice

    from anonymize.compose import covers_of
    from anonymize.core.types import Detections, Frame, RegionMask
    from anonymize.detect.build import build_detector
    from anonymize.media import open_film
    from anonymize.pipeline import build_tracker, detect, follow
    from anonymize.track import UNSURE_SCORE

    detector = build_detector(unsure=UNSURE_SCORE)
    with open_film(film) as reader:
        frames: list[Frame] = [*islice(reader, count)]
    began = time.process_time()
    found: dict[int, Detections] = {frame.index: people for frame, people in detect(frames, detector)}
    detecting = (time.process_time() - began) / len(frames)

    def look_up(looked_at: Iterable[Frame], _: object) -> Iterator[tuple[Frame, Detections]]:
        for frame in looked_at:
            yield frame, found[frame.index]

    def pixels(regions: Iterable[RegionMask]) -> np.ndarray:
        whole = np.zeros(frames[0].size_hw, np.bool_)
        for region in regions:
            whole[region.slices] |= region.mask
        return whole

    rows, known, usual = [], [], 1
    for step in (1, *every):
        began = time.process_time()
        tracked = follow(iter(frames), detector, build_tracker(detector), every=step, find=look_up)
        people = [(tracks, covers_of(tracks)) for _, tracks in tracked]
        seconds = (time.process_time() - began) / len(frames)
        looked = sum(tracks.looked_at for tracks, _ in people) / len(frames)
        covered = [pixels(covers) for _, covers in people]
        if step == 1:
            known = [
                pixels(mask for mask, filled in zip(t.detections.masks, t.filled, strict=True) if not filled)
                for t, _ in people
            ]
            usual = sum(int(each.sum()) for each in covered)
        missed = sum(int((there & ~cover).sum()) for there, cover in zip(known, covered, strict=True))
        total = sum(int(there.sum()) for there in known)
        area = sum(int(each.sum()) for each in covered) / max(1, usual)
        rows.append((looked, missed / max(1, total), area, 1000 * (looked * detecting + seconds)))
    return rows


def detect_every(arguments: argparse.Namespace) -> int:
    """Measure what it costs and saves not to look at each frame."""
    print(machine(), flush=True)
    rows = in_own_process(skip_frames, arguments.film, arguments.frames, arguments.every)
    print(f"{arguments.film.name}; uncovered: of the pixels of people found with 1")
    print("| N | frames looked at | uncovered | covered area, of that with 1 | processor time a frame |")
    print("|---|---|---|---|---|")
    for step, (looked, missed, area, cost) in zip((1, *arguments.every), rows, strict=True):
        print(f"| {step} | {100 * looked:.0f} % | {100 * missed:.2f} % | {area:.2f} | {cost:.0f} ms |")
    return 0


def peak_memory(source: Path, output: Path, detector: str, mode: str) -> int:
    """Anonymize a film; the peak resident memory of this process in KiB."""
    from anonymize import anonymize_video

    found_by = WalkingDouble() if detector == "double" else None
    anonymize_video(source, output, preset="ultrafast", mode=mode, detector=found_by)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def memory(arguments: argparse.Namespace) -> int:
    """Compare a short and a long film."""
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for frames in arguments.frames:
            source, output = Path(folder) / f"{frames}.mp4", Path(folder) / f"{frames}-out.mp4"
            repeat_clip(source, frames)
            peaks.append(in_own_process(peak_memory, source, output, arguments.detector, arguments.mode))
            print(f"{frames} frames: {peaks[-1] / 1024:.0f} MiB", flush=True)
    ratio = peaks[1] / peaks[0]
    print(f"ratio {ratio:.3f}, limit {arguments.limit}")
    return int(ratio > arguments.limit)


def main() -> int:
    parser = argparse.ArgumentParser(description="speed and memory of the whole program")
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("compare", help="ours, deface and a plain transcode in turn")
    command.set_defaults(run=compare)
    command.add_argument("--film", type=Path, default=CLIP)
    command.add_argument("--frames", type=int, help="the first frames of the film only")
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--modes", choices=MODES, nargs="+", default=["generate", "avatar", "solid", "blur"])
    command.add_argument("--deface", metavar="COMMAND", help="deface's command; left out without it")
    command.add_argument("--options", default="", help="more options of ours, in one word")

    command = commands.add_parser("stages", help="where the time of one film goes")
    command.set_defaults(run=stages)
    command.add_argument("--film", type=Path, default=CLIP)
    command.add_argument("--frames", type=int, help="the first frames of the film only")
    command.add_argument("--mode", choices=MODES, default="avatar")
    command.add_argument("--detect-every", type=int, default=1)

    command = commands.add_parser("people", help="cost by people")
    command.set_defaults(run=people)
    command.add_argument("--counts", type=int, nargs="+", default=[0, 1, 5, 20])
    command.add_argument("--frames", type=int, default=40)
    command.add_argument("--size", type=int, nargs=2, default=[432, 768], metavar=("HEIGHT", "WIDTH"))
    command.add_argument("--mode", choices=MODES, default="avatar")

    command = commands.add_parser("detect-every", help="what skipping frames saves and costs")
    command.set_defaults(run=detect_every)
    command.add_argument("--film", type=Path, default=CLIP)
    command.add_argument("--frames", type=int, help="the first frames of the film only")
    command.add_argument("--every", type=int, nargs="+", default=[2, 3, 5])

    command = commands.add_parser("memory", help="peak memory by length of the film")
    command.set_defaults(run=memory)
    command.add_argument("--frames", type=int, nargs=2, default=[500, 3000], metavar=("SHORT", "LONG"))
    command.add_argument("--detector", choices=["double", "embedded"], default="double")
    command.add_argument("--mode", choices=MODES, default="blur")
    command.add_argument("--limit", type=float, default=1.05)

    command = commands.add_parser("transcode", help="a plain decode and encode, as `compare` runs it")
    command.set_defaults(run=lambda arguments: 0 * transcode(arguments.film, arguments.output))
    command.add_argument("film", type=Path)
    command.add_argument("output", type=Path)

    arguments = parser.parse_args()
    result: int = arguments.run(arguments)
    return result


if __name__ == "__main__":
    sys.exit(main())
