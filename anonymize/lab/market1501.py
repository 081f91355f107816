"""Folders of people seen by several cameras, in the layout of Market-1501 (Zheng et al. 2015)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anonymize.core.errors import OptionError
from anonymize.core.types import IntArray
from anonymize.media import is_image

QUERY, GALLERY = "query", "bounding_box_test"
JUNK, DISTRACTOR = -1, 0
"""People of pictures that count neither way, and of those that show no person of the queries."""
NAME = re.compile(r"(-1|\d+)_c(\d+)")


@dataclass(frozen=True, eq=False)
class Sightings:
    """Pictures of people.

    Attributes:
        names: Files, relative to the folder.
        people: [N] int64, whom each shows.
        cameras: [N] int64, who took it.
    """

    names: tuple[str, ...]
    people: IntArray
    cameras: IntArray

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: np.ndarray) -> Sightings:
        indices = np.arange(len(self))[rows]
        return Sightings(tuple(self.names[i] for i in indices), self.people[rows], self.cameras[rows])


@dataclass(frozen=True, eq=False)
class ReidFolder:
    """A folder for re-identification.

    Attributes:
        path: The folder.
        query: Who is looked for.
        gallery: Where; without junk.
    """

    path: Path
    query: Sightings
    gallery: Sightings

    @classmethod
    def read(cls, path: Path, people: int | None = None) -> ReidFolder:
        """Read the names of the files.

        Args:
            path: Holds `query` and `bounding_box_test` with pictures named like `0002_c1s1_000451_03.jpg`: person 2,
                camera 1. Person -1 is junk, 0 a distractor.
            people: At most so many people, the first by number, and no distractors; None for all.

        Raises:
            OptionError: The folder is in another layout, or holds no picture.
        """
        query, gallery = _read(path, QUERY), _read(path, GALLERY)
        query, gallery = query[query.people > DISTRACTOR], gallery[gallery.people != JUNK]
        if people is not None:
            chosen = np.unique(query.people)[:people]
            query, gallery = query[np.isin(query.people, chosen)], gallery[np.isin(gallery.people, chosen)]
        for part, name in ((query, QUERY), (gallery, GALLERY)):
            if not len(part):
                raise OptionError(f"{path / name} holds no picture of a person named like 0002_c1s1_000451_03.jpg")
        return cls(path, query, gallery)


def _read(folder: Path, name: str) -> Sightings:
    if not (folder / name).is_dir():
        raise OptionError(f"{folder} is not in the layout of Market-1501: it has no folder {name}")
    matches = {
        f"{name}/{file.name}": match
        for file in sorted((folder / name).iterdir())
        if is_image(file) and (match := NAME.match(file.name))
    }
    numbers = np.array([match.groups() for match in matches.values()], np.int64).reshape(-1, 2)
    return Sightings(tuple(matches), numbers[:, 0], numbers[:, 1])


def picture_name(part: str, person: int, camera: int, number: int) -> str:
    """Name of a picture, relative to the folder."""
    return f"{part}/{person:04d}_c{camera}s1_{number:06d}_01.jpg"
