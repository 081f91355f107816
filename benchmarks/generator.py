"""Time of the embedded generator: milliseconds a person, from requests to pictures.

python benchmarks/generator.py --batch 8 --threads 2
"""

import argparse
import time

import numpy as np
import torch

from anonymize.core.resources import GENERATOR, weights_path
from anonymize.core.types import Detections, PersonRequest, RegionMask, Tracks
from anonymize.generate.build import load_network
from anonymize.generate.network import GeneratorConfig, GeneratorNetwork
from anonymize.generate.predictor import EmbeddedGenerator

FRAME = (720, 1280)


def requests(batch: int) -> list[PersonRequest]:
    """People of half the frame's height side by side, each in a frame of their own."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(batch):
        region = RegionMask(200 + 40 * i, 200, np.ones((360, 120), np.bool_))
        x, y, right, bottom = region.box_xyxy
        found = Detections(
            FRAME,
            np.array([region.box_xyxy], np.float32),
            np.ones(1, np.float32),
            (region,),
            np.ones(1, np.bool_),
            torch.randn(1, 16, 112, 112),
            torch.ones(1, 112, 112),
        )
        tracks = Tracks(found, np.array([i + 1]), np.zeros(1, np.bool_))
        image = rng.integers(0, 256, (*FRAME, 3), dtype=np.uint8)
        box = np.array([x - 52, y - 20, right + 52, bottom + 20])
        made.append(PersonRequest(image, region.to_full(FRAME), box, tracks, 0, region))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--untrained", action="store_true", help="Random weights of the default configuration.")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    network = GeneratorNetwork(GeneratorConfig()) if a.untrained else load_network(weights_path(GENERATOR))
    parameters = sum(p.numel() for p in network.parameters())
    generator, people = EmbeddedGenerator(network, device=a.device), requests(a.batch)
    generator.generate(people)
    wall, cpu = [], []
    for _ in range(a.rounds):
        began, began_cpu = time.perf_counter(), time.process_time()
        generator.generate(people)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
    print(f"{parameters / 1e6:.1f} M parameters, {parameters * 2 / 1e6:.0f} MB in half precision")
    print(f"{1000 * min(wall) / a.batch:.1f} ms a person, {1000 * min(cpu) / a.batch:.1f} ms of CPU time")


if __name__ == "__main__":
    main()
