"""Nearest vertex of CSE pixels against the full distance matrix: python benchmarks/nearest.py [--people 1].

The vertices are those of a smooth surface in 16 dimensions, as many as smpl_27554 has; the pixels lie near it.
"""

import argparse
import resource
import time

import torch
from torch import Tensor
from torch.nn import functional as F

from anonymize.detect.zoo.nearest import VertexIndex

VERTICES, PIXELS = 27_554, 112 * 112


def surface(count: int, generator: torch.Generator) -> Tensor:
    place = F.normalize(torch.randn(count, 3, generator=generator), dim=1)
    waves = place @ (1.5 * torch.randn(3, 8, generator=torch.Generator().manual_seed(9)))
    return F.normalize(torch.cat([waves.sin(), waves.cos()], dim=1), dim=1)


def full_matrix(pixels: Tensor, vertices: Tensor) -> Tensor:
    squares = pixels.square().sum(1)[:, None] - 2 * pixels @ vertices.T + vertices.square().sum(1)
    return squares.argmin(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(0)
    vertices = surface(VERTICES, generator)
    pixels = surface(PIXELS * arguments.people, generator)
    pixels = F.normalize(pixels + 0.05 * torch.randn(pixels.shape, generator=generator), dim=1)
    began = time.process_time()
    index = VertexIndex(vertices)
    built = time.process_time() - began
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    mine = index(pixels)
    fast = time.process_time() - began
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    began = time.process_time()
    full = torch.cat([full_matrix(part, vertices) for part in pixels.split(PIXELS)])
    slow = time.process_time() - began
    distance = [(pixels - vertices[found]).norm(dim=1) for found in (mine, full)]
    print(f"index: {built * 1e3:.0f} ms once; {fast * 1e3:.0f} ms, {memory:.0f} MB more at peak")
    print(f"full matrix: {slow * 1e3:.0f} ms, {slow / fast:.0f} times as long")
    print(
        f"same vertex {(mine == full).float().mean():.5f}, largest difference of distance "
        f"{float((distance[0] - distance[1]).abs().max()):.1e}"
    )


if __name__ == "__main__":
    main()
