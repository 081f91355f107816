"""How near the filled covers of a rendered film are to what is truly behind, and what a frame costs.

    python benchmarks/plate.py --frames 40 --people 3

The camera rests. Covers are made of the true masks, so that no detector has a part in it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from anonymize.compose import covers_of, with_backgrounds
from anonymize.compose.background import fill_places
from anonymize.compose.margin import tight_mask
from anonymize.core.types import BoolArray, Detections, Frame, RegionMask, Tracks, UInt8Array
from anonymize.lab.synthesis.film import render_film

FPS = 10
SAME_LEVELS = 2


def film(seed: int, frames: int, size_hw: tuple[int, int], people: int) -> Iterator[tuple[Frame, Tracks, UInt8Array]]:
    """Frames, their true people, and what is behind them."""
    for number, scene in enumerate(render_film(seed, frames, size_hw, fps=FPS, n_people=people)):
        n = len(scene)
        masks = tuple(RegionMask.from_full(scene.instances == k + 1) for k in range(n))
        found = Detections(size_hw, scene.boxes_xyxy, np.full(n, 0.9, np.float32), masks, np.zeros(n, np.bool_))
        tracks = Tracks(found, scene.track_ids, np.zeros(n, np.bool_))
        yield Frame(scene.image, number, number, Fraction(1, FPS)), tracks, scene.background


def full(regions: Iterator[RegionMask], size_hw: tuple[int, int]) -> BoolArray:
    """The pixels of all regions."""
    return RegionMask.union(regions).to_full(size_hw)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=(432, 768), metavar=("HEIGHT", "WIDTH"))
    options = parser.parse_args()
    size_hw = (options.size[0], options.size[1])
    shown = list(film(options.seed, options.frames, size_hw, options.people))
    covered = [(frame, tracks, covers_of(tracks)) for frame, tracks, _ in shown]
    began = time.thread_time()
    filled = list(with_backgrounds(iter(covered)))
    cost = time.thread_time() - began
    errors: dict[str, list[float]] = {"plate": [], "guess": []}
    same: dict[str, list[float]] = {"plate": [], "guess": [], "truth": []}
    for (frame, tracks, covers), (_, _, behind) in zip(filled, shown, strict=True):
        if frame.background is None:
            continue
        cover = full(iter(covers), size_hw)
        person = full((tight_mask(tracks.detections, row) for row in range(len(tracks))), size_hw)
        images = {"plate": frame.background.image, "guess": fill_places(frame.image, covers).image, "truth": behind}
        for name, image in images.items():
            if name in errors:
                errors[name].append(float(np.abs(image.astype(int) - behind)[cover & ~person].mean()))
            near = np.abs(image.astype(int) - frame.image).max(2) <= SAME_LEVELS
            same[name].append(float(near[person].mean()))
    for name, values in errors.items():
        worst = np.quantile(values, 0.95)
        print(f"{name}: inside covers, outside people, mean difference {np.mean(values):.2f} levels, 95 % {worst:.2f}")
    for name, values in same.items():
        print(
            f"{name}: {100 * np.mean(values):.2f} % of the people's pixels within {SAME_LEVELS} levels of the original"
        )
    print(f"{1000 * cost / len(covered):.2f} ms a frame at {size_hw[1]} x {size_hw[0]} with the plate")


if __name__ == "__main__":
    main()
