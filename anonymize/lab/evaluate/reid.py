"""Re-identification of anonymized people: are they consistent, and can they be recognized? (thesis 5.3.3)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from anonymize.core.errors import MediaError, OptionError
from anonymize.core.types import FloatArray, Frame, UInt8Array
from anonymize.lab.evaluate.anonymizers import Studio
from anonymize.lab.evaluate.reid_network import Reidentifier
from anonymize.lab.evaluate.retrieval import Retrieval, search
from anonymize.lab.market1501 import GALLERY, QUERY, ReidFolder
from anonymize.media import read_image, write_image

ORIGINAL, CHANCE = "original", "chance"
BATCH = 16
DRAWS = 20  # of random distances, for the row of chance
RANKS = (1, 5, 20)


@dataclass(frozen=True, eq=False)
class Row:
    """Figures of one way to anonymize.

    Attributes:
        consistency: Anonymized queries in the anonymized gallery: higher is better for the use of the data.
        attack: Anonymized queries in the original gallery: the lower the better; None for the originals.
    """

    consistency: Retrieval
    attack: Retrieval | None


def measure(
    folder: ReidFolder,
    network: Reidentifier,
    studio: Studio,
    anonymized: Mapping[str, Path] | None = None,
    keep: Path | None = None,
) -> dict[str, Any]:
    """Describe all pictures, original and anonymized, and search among them.

    Args:
        folder: The pictures.
        network: Describes people.
        studio: Anonymizes the pictures here.
        anonymized: By name, folders with files of the same names that were made elsewhere.
        keep: Folder to write what is made into, one folder an anonymizer.

    Returns:
        `rows` (name to `Row`), and how much was looked at.

    Raises:
        OptionError: A folder lacks a picture, or nothing can be found in the gallery.
        MediaError: A picture cannot be read or written.
    """
    others = dict(anonymized or {})
    for name, path in others.items():
        _check_names(folder, path, name)
    described: dict[str, dict[str, FloatArray]] = {}
    for part, sightings in ((QUERY, folder.query), (GALLERY, folder.gallery)):
        collected: dict[str, list[FloatArray]] = {}
        work = list(zip(sightings.names, sightings.people.tolist(), strict=True))
        bar = tqdm(total=len(work), desc=part, unit="picture", disable=None)
        for start in range(0, len(work), BATCH):
            batch = work[start : start + BATCH]
            names = [name for name, _ in batch]
            pictures = [read_image(folder.path / name).image for name in names]
            made = studio.anonymize(pictures, [person for _, person in batch])
            if keep is not None:
                _write(keep, made, names)
            shown = {ORIGINAL: pictures, **made}
            shown |= {name: [read_image(path / n).image for n in names] for name, path in others.items()}
            for name, images in shown.items():
                collected.setdefault(name, []).append(network.describe(images))
            bar.update(len(batch))
        bar.close()
        described[part] = {name: np.concatenate(parts) for name, parts in collected.items()}
    return {
        "network": network.name,
        "people": len(np.unique(folder.query.people)),
        "query": len(folder.query),
        "gallery": len(folder.gallery),
        "without_person": studio.without_person / max(1, studio.pictures),
        "rows": dict(_rows(folder, network, described)),
    }


def _rows(
    folder: ReidFolder, network: Reidentifier, described: Mapping[str, Mapping[str, FloatArray]]
) -> Iterator[tuple[str, Row]]:
    query, gallery = described[QUERY], described[GALLERY]
    for name in query:
        consistency = _search(folder, network.distances(query[name], gallery[name]))
        original = name == ORIGINAL
        yield (
            name,
            Row(consistency, None if original else _search(folder, network.distances(query[name], gallery[ORIGINAL]))),
        )
    rng = np.random.default_rng(0)
    shape = len(folder.query), len(folder.gallery)
    draws = [_search(folder, rng.random(shape, np.float32)) for _ in range(DRAWS)]
    chance = Retrieval(
        draws[0].queries,
        float(np.mean([draw.mean_average_precision for draw in draws])),
        np.mean([draw.cmc for draw in draws], axis=0),
    )
    yield CHANCE, Row(chance, chance)


def _search(folder: ReidFolder, distances: FloatArray) -> Retrieval:
    query, gallery = folder.query, folder.gallery
    return search(distances, query.people, gallery.people, query.cameras, gallery.cameras)


def _check_names(folder: ReidFolder, path: Path, name: str) -> None:
    if not path.is_dir():
        raise OptionError(f"there is no folder {path}")
    if name in (ORIGINAL, CHANCE):
        raise OptionError(f"no anonymizer can be called {name!r}")
    missing = [file for file in (*folder.query.names, *folder.gallery.names) if not (path / file).is_file()]
    if missing:
        raise OptionError(f"{path} lacks {missing[0]} and {len(missing) - 1} more of {folder.path}")


def _write(keep: Path, shown: Mapping[str, Sequence[UInt8Array]], names: Sequence[str]) -> None:
    for method, images in shown.items():
        for name, image in zip(names, images, strict=True):
            path = keep / method.replace(" ", "-") / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise MediaError(f"cannot write {path}: {error.strerror}") from error
            write_image(path, Frame(image, 0, 0, Fraction(1)), overwrite=True)


def figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """What `measure` found, as JSON values; shares in [0, 1]."""
    rows = {
        name: {
            kind: None if value is None else _values(value)
            for kind, value in (("consistency", row.consistency), ("attack", row.attack))
        }
        for name, row in found["rows"].items()
    }
    return {**found, "rows": rows}


def _values(found: Retrieval) -> dict[str, float]:
    ranks = {f"rank_{k}": found.rank(k) for k in RANKS}
    return {"queries": found.queries, "mAP": found.mean_average_precision} | ranks


def table(found: Mapping[str, Any]) -> str:
    """What `measure` found, as Markdown; in percent."""
    names = ["mAP", *(f"rank {k}" for k in RANKS)]
    heads = [f"{kind} {name}" for kind in ("consistency", "attack") for name in names]
    lines = [
        f"{found['query']} queries of {found['people']} people, {found['gallery']} pictures in the gallery; told apart "
        f"by {found['network']}; no person found in {found['without_person']:.1%} of the pictures",
        "",
        f"| | {' | '.join(heads)} |",
        "|---|" + "---|" * len(heads),
    ]
    for name, row in found["rows"].items():
        cells = []
        for part in (row.consistency, row.attack):
            values = [None] * 4 if part is None else [part.mean_average_precision, *(part.rank(k) for k in RANKS)]
            cells += ["-" if value is None else f"{100 * value:.1f}" for value in values]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
