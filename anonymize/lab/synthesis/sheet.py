"""A sheet of random people, to see what they look like.

    python -m anonymize.lab.synthesis.sheet OUTPUT [--count 64] [--height 200] [--seed 0] [--truncation 1]

Who is on it is drawn from the seed, not chosen; a person's pose is a walking, a standing or a real one, their direction
and the light are random.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from anonymize.bodies.look import LATENT, Look
from anonymize.bodies.people import person_of, render_person
from anonymize.bodies.poses import real, standing, walking
from anonymize.bodies.shading import random_light
from anonymize.core.types import UInt8Array

COLUMNS = 16
GREY = 150


def sheet(count: int, height_px: int, *, seed: int = 0, truncation: float = 1.0) -> UInt8Array:
    """Random people side by side over grey, [H, W, 3] uint8 RGB.

    Args:
        count: How many.
        height_px: Of each.
        seed: Of people, poses, directions and light.
        truncation: Factor on z: 0 for the mean person only.
    """
    width = round(0.62 * height_px)
    tiles = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        person = person_of(Look(truncation * rng.standard_normal(LATENT)), bags=int(rng.integers(1 << 62)))
        pose = (walking, standing, real)[number % 3](rng)
        drawn = render_person(
            rng, height_px=height_px, person=person, pose=pose, light=random_light(rng, indoor=number % 2 == 0)
        )
        tile = np.full((height_px, width, 3), GREY, np.float32)
        picture = np.dstack([drawn.image, drawn.alpha]).astype(np.float32)
        factor = min(1.0, width / picture.shape[1])  # those who lie are wider than high
        if factor < 1:
            picture = cv2.resize(picture, (width, round(factor * height_px)), interpolation=cv2.INTER_AREA)
        top, left = height_px - picture.shape[0], (width - picture.shape[1]) // 2
        place = tile[top:, left : left + picture.shape[1]]
        place += picture[..., 3:] / 255 * (picture[..., :3] - place)
        tiles.append(np.rint(tile).astype(np.uint8))
    blank = np.full_like(tiles[0], GREY)
    columns = min(COLUMNS, count)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def main() -> None:
    """Draw a sheet from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="picture to write, .jpg or .png")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--height", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--truncation", type=float, default=1.0)
    arguments = parser.parse_args()
    picture = sheet(arguments.count, arguments.height, seed=arguments.seed, truncation=arguments.truncation)
    if not cv2.imwrite(str(arguments.output), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88]):
        parser.exit(1, f"{arguments.output} cannot be written\n")


if __name__ == "__main__":
    main()
