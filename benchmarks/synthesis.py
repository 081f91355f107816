"""Pictures per second of the renderer: python benchmarks/synthesis.py [--device cuda] [--processes 2] [--count 40].

Processor time is printed too, since it hardly changes with what else the machine does.
"""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch

from anonymize.bodies import render_person
from anonymize.lab.synthesis import render_scene

KINDS = {
    "scenes 384 x 640": partial(render_scene, size_hw=(384, 640)),
    "people 256 px": partial(render_person, height_px=256),
}


def draw(seeds: range, *, kind: str, device: str) -> tuple[float, float]:
    """Draw one picture per seed; returns the seconds by the wall clock and of processor time."""
    torch.set_num_threads(1)
    KINDS[kind](np.random.default_rng(0), device=device)  # loads the body, warms up
    start, used = time.time(), time.process_time()
    for seed in seeds:
        KINDS[kind](np.random.default_rng(seed), device=device)
    if device != "cpu":
        torch.cuda.synchronize()
    return time.time() - start, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, default=40, help="pictures of each process")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each")
    a = parser.parse_args()
    for kind in KINDS:
        shares = [range(k * a.count, (k + 1) * a.count) for k in range(a.processes)]
        with ProcessPoolExecutor(a.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            spent = list(pool.map(partial(draw, kind=kind, device=a.device), shares))
        rate = sum(a.count / wall for wall, _ in spent)
        processor = sum(used for _, used in spent) / (a.count * a.processes)
        print(f"{kind}: {rate:.2f} per second, {processor:.3f} s of processor time each, {a.processes} x {a.device}")


if __name__ == "__main__":
    main()
