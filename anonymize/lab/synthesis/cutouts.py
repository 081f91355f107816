"""Many single people on transparent ground, for copy-paste training with exact truth of the surface.

python -m anonymize.lab.synthesis.cutouts FOLDER --count 2000 --seed 0 --height 256
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from anonymize.bodies.people import render_person

SHARD = 200
NO_VERTEX = 65535


def render_shard(index: int, *, folder: Path, count: int, seed: int, height: int, real_share: float) -> int:
    """Write one shard of people; its content depends on index and settings only.

    The file holds, for person i of height h and width w: `sizes[i]` = (h, w) and, from pixel `starts[i]` on in row
    order, `image` [P, 3] uint8 RGB, `alpha` [P] uint8, `vertex` [P] uint16 (65535 none), `pixel_class` [P] uint8.
    """
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, index])
    people = [render_person(rng, height_px=height, real_share=real_share) for _ in range(count)]
    sizes = np.array([p.alpha.shape for p in people], np.int32)
    np.savez_compressed(
        folder / f"people-{index:05d}.npz",
        sizes=sizes,
        starts=np.concatenate([[0], np.cumsum(sizes.prod(1))[:-1]]).astype(np.int64),
        image=np.concatenate([p.image.reshape(-1, 3) for p in people]),
        alpha=np.concatenate([p.alpha.reshape(-1) for p in people]),
        vertex=np.concatenate(
            [np.where(p.vertex < 0, NO_VERTEX, p.vertex).astype(np.uint16).reshape(-1) for p in people]
        ),
        pixel_class=np.concatenate([p.pixel_class.reshape(-1) for p in people]),
    )
    return count


def write_cutouts(
    folder: Path, *, count: int, seed: int = 0, height: int = 256, real_share: float = 0.5, processes: int = 2
) -> None:
    """Render `count` people of `height` pixels into shards of 200 (format: `render_shard`).

    Args:
        folder: Made if missing; shards of the same number are overwritten.
        count: How many people.
        seed: Same seed, same people.
        height: Of each picture, pixels.
        real_share: Share of people whose pose is a real person's.
        processes: How many shards are rendered at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts = [min(SHARD, count - start) for start in range(0, count, SHARD)]
    work = partial(render_shard, folder=folder, seed=seed, height=height, real_share=real_share)
    with ProcessPoolExecutor(processes) as pool, tqdm(total=count, unit="person", disable=None) as progress:
        for future in [pool.submit(work, i, count=n) for i, n in enumerate(counts)]:
            progress.update(future.result())


def main() -> None:
    """Render from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--real-poses", type=float, default=0.5, help="share of people in a real person's pose")
    parser.add_argument("--processes", type=int, default=2)
    a = parser.parse_args()
    write_cutouts(
        a.folder,
        count=a.count,
        seed=a.seed,
        height=a.height,
        real_share=a.real_poses,
        processes=a.processes,
    )


if __name__ == "__main__":
    main()
