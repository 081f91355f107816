"""How well pictures of one person are found among those of others: mAP and CMC (Zheng et al. 2015, section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anonymize.core.errors import OptionError
from anonymize.core.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Retrieval:
    """How well a gallery was searched.

    Attributes:
        queries: How many queries counted: those whose person is in the gallery, seen by another camera.
        mean_average_precision: In [0, 1].
        cmc: [M] float32, share of queries with a true match among the first 1, 2, ... pictures.
    """

    queries: int
    mean_average_precision: float
    cmc: FloatArray

    def rank(self, k: int) -> float:
        """Share of queries with a true match among the first k pictures; a gallery of fewer counts as a whole."""
        return float(self.cmc[min(k, len(self.cmc)) - 1])


def search(
    distances: FloatArray,
    query_people: IntArray,
    gallery_people: IntArray,
    query_cameras: IntArray,
    gallery_cameras: IntArray,
) -> Retrieval:
    """Search a gallery by distance.

    Pictures of the query's person by the query's camera are left out of the gallery, so that a match has to be found
    across cameras. Average precision is the mean precision at the true matches, as in Torchreid's evaluation.

    Args:
        distances: [N, M] float; NaN where nothing can be said, which comes last.
        query_people: [N] int64, whom each query shows.
        gallery_people: [M] int64.
        query_cameras: [N] int64, who took it.
        gallery_cameras: [M] int64.

    Raises:
        OptionError: No query has a match in the gallery.
    """
    precisions, first_matches = [], np.zeros(distances.shape[1], np.int64)
    for row, person, camera in zip(distances, query_people, query_cameras, strict=True):
        kept = (gallery_people != person) | (gallery_cameras != camera)
        ranked = np.argsort(row[kept], kind="stable")
        places = np.flatnonzero(gallery_people[kept][ranked] == person)
        if len(places):
            precisions.append(float(np.mean(np.arange(1, len(places) + 1) / (places + 1))))
            first_matches[places[0]] += 1
    if not precisions:
        raise OptionError("no query shows a person whom another camera of the gallery shows too")
    cmc = (np.cumsum(first_matches) / len(precisions)).astype(np.float32)
    return Retrieval(len(precisions), float(np.mean(precisions)), cmc)
