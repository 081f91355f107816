"""Pictures per second of the renderer: python benchmarks/synthesis.py [--device cuda] [--count 40]."""

import argparse
import time

import numpy as np
import torch

from anonymize.synthesis import render_person, render_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name, draw in (
        ("scenes 384 x 640", lambda rng: render_scene(rng, (384, 640), device=arguments.device)),
        ("people 256 px", lambda rng: render_person(rng, height_px=256, device=arguments.device)),
    ):
        draw(np.random.default_rng(0))
        start = time.perf_counter()
        for seed in range(arguments.count):
            draw(np.random.default_rng(seed))
        rate = arguments.count / (time.perf_counter() - start)
        print(f"{name}: {rate:.1f} per second, {arguments.threads} threads, {arguments.device}")


if __name__ == "__main__":
    main()
