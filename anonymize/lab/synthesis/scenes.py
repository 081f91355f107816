"""Many rendered scenes with exact truth, for the training of the detector.

python -m anonymize.lab.synthesis.scenes FOLDER --count 1000 --seed 0 --backgrounds PICTURES
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from anonymize.lab.synthesis.scene import render_scene

SHARD = 50
NO_VERTEX = 65535
EMPTY_SHARE = 0.15


def render_shard(
    index: int,
    *,
    folder: Path,
    count: int,
    seed: int,
    size_hw: tuple[int, int],
    backgrounds: Path | None,
    real_share: float,
) -> int:
    """Write one shard of scenes; its content depends on index and settings only.

    The file holds `image` [N, H, W, 3] uint8 RGB, `instances` [N, H, W] uint8 (0 background) and `vertices` [N, H, W]
    uint16 (65535 none).
    """
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, index])
    scenes = [
        render_scene(
            rng,
            size_hw,
            people=0 if rng.random() < EMPTY_SHARE else None,
            backgrounds=backgrounds,
            real_share=real_share,
        )
        for _ in range(count)
    ]
    np.savez_compressed(
        folder / f"scenes-{index:05d}.npz",
        image=np.stack([s.image for s in scenes]),
        instances=np.stack([s.instances for s in scenes]).astype(np.uint8),
        vertices=np.stack([np.where(s.vertices < 0, NO_VERTEX, s.vertices) for s in scenes]).astype(np.uint16),
    )
    return count


def write_scenes(
    folder: Path,
    *,
    count: int,
    seed: int = 0,
    size_hw: tuple[int, int] = (288, 512),
    backgrounds: Path | None = None,
    real_share: float = 0.5,
    processes: int = 2,
) -> None:
    """Render `count` scenes into shards of 50 (format: `render_shard`).

    Args:
        folder: Made if missing; shards of the same number are overwritten.
        count: How many scenes; about 15 % show no people.
        seed: Same seed, same scenes.
        size_hw: Of each picture, pixels.
        backgrounds: Folder of pictures without people to stand in, half of the time.
        real_share: Share of people whose pose is a real person's.
        processes: How many shards are rendered at a time.

    Raises:
        MediaError: `backgrounds` has no readable picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts = [min(SHARD, count - start) for start in range(0, count, SHARD)]
    work = partial(
        render_shard, folder=folder, seed=seed, size_hw=size_hw, backgrounds=backgrounds, real_share=real_share
    )
    with ProcessPoolExecutor(processes) as pool, tqdm(total=count, unit="scene", disable=None) as progress:
        for future in [pool.submit(work, i, count=n) for i, n in enumerate(counts)]:
            progress.update(future.result())


def main() -> None:
    """Render from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--height", type=int, default=288)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--backgrounds", type=Path)
    parser.add_argument("--real-poses", type=float, default=0.5, help="share of people in a real person's pose")
    parser.add_argument("--processes", type=int, default=2)
    a = parser.parse_args()
    write_scenes(
        a.folder,
        count=a.count,
        seed=a.seed,
        size_hw=(a.height, a.width),
        backgrounds=a.backgrounds,
        real_share=a.real_poses,
        processes=a.processes,
    )


if __name__ == "__main__":
    main()
