"""People out of a dataset as batches for the generator's training."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tarfile import TarError
from tarfile import open as open_tar

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import IterableDataset, get_worker_info

from anonymize.core.errors import OptionError
from anonymize.core.types import BoolArray, UInt8Array
from anonymize.generate.crops import normalise
from anonymize.lab.train.dataset import NO_VERTEX, PersonCrop, PersonNote, SurfaceTable

SHARPNESS = 20.0  # of the soft choice of landmarks, as in the detector's training
HEAD_PARTS = (1, 2)
LEG_PARTS = (15, 16, 17, 18)
HIDE_OTHERS = 0.5
MEMORY_BYTES = 3 << 30
MIN_HEAD = 0.002
"""Least share of the crop that a head takes for it to be looked at."""
HEAD_MARGIN = 1.4
"""Side of the square round a head over the head's."""
REAL_SHARE = 0.65
"""Of the samples: photographs are few, but rendered people are not what replacements have to look like."""


@dataclass(frozen=True, eq=False)
class GeneratorBatch:
    """What one step of the training sees.

    Attributes:
        pictures: [B, 3, H, W] float32 in [-1, 1], the real crops; 0 outside of the frame.
        condition: [B, D + 6, H, W] float32, see `GeneratorNetwork`.
        appearance: [B, D + 5, H, W] float32, see `AppearanceMapper`: the same person, where there is one in another
            picture than the real crop.
        paired: [B] bool, whether that is so.
    """

    pictures: Tensor
    condition: Tensor
    appearance: Tensor
    paired: Tensor

    def to(self, device: torch.device) -> GeneratorBatch:
        return GeneratorBatch(
            self.pictures.to(device, non_blocking=True),
            self.condition.to(device, non_blocking=True),
            self.appearance.to(device, non_blocking=True),
            self.paired.to(device, non_blocking=True),
        )


@dataclass(frozen=True, eq=False)
class LayeredBatch:
    """What one step of the training of a generator of layers sees.

    Attributes:
        pictures: [B, 3, H, W] float32 in [-1, 1], the real crops; 0 outside of the frame.
        alpha: [B, 1, H, W] float32 in [0, 1], how much of each pixel is the person.
        places: [B, 3, H, W] float32 in [-1, 1], the places without the person, where `placed`.
        placed: [B] bool, whether the place is known.
        cover: [B, 1, H, W] float32 of 0 and 1, what is covered.
        others: [B, 1, H, W] float32 of 0 and 1, pixels of other people, which nothing is learnt from.
        surface: [B, D + 2, H, W] float32: embedding, its mask, padding.
        appearance, paired: See `GeneratorBatch`.
        heads: [B, 4] float32, box round the head as xyxy in [-1, 1] of the crop; all 0 where no head is seen.
    """

    pictures: Tensor
    alpha: Tensor
    places: Tensor
    placed: Tensor
    cover: Tensor
    others: Tensor
    surface: Tensor
    appearance: Tensor
    paired: Tensor
    heads: Tensor

    def to(self, device: torch.device) -> LayeredBatch:
        return LayeredBatch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def __len__(self) -> int:
        return len(self.pictures)


class People:
    """The crops of a dataset, read from the shards when they are asked for.

    Args:
        folder: Holds `people-*.tar` and `surface.npz`.
        held_out: The people kept out of training, instead of all others.
        halvings: Read at half the size so many times.
        memory_bytes: Crops stay in memory, also mirrored, until they take so much.

    Raises:
        OptionError: There are no people.
    """

    def __init__(
        self, folder: Path, *, held_out: bool = False, halvings: int = 0, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self.table = SurfaceTable.load(folder / "surface.npz")
        self.notes: list[PersonNote] = []
        self._places: list[tuple[Path, dict[str, tuple[int, int]]]] = []
        for shard in sorted(folder.glob("people-*.tar")):
            self._index(shard, held_out)
        if not self.notes:
            raise OptionError(f"{folder}: there are no people in the dataset")
        groups: dict[str, list[int]] = defaultdict(list)
        for row, note in enumerate(self.notes):
            groups[note.identity].append(row)
        self.groups = dict(groups)
        self.has_pairs = any(len(rows) > 1 for rows in groups.values())
        rows = {rendered: [i for i, n in enumerate(self.notes) if n.rendered == rendered] for rendered in (True, False)}
        self._rendered, self._real = rows[True], rows[False]
        self._halvings, self._free_bytes = halvings, memory_bytes
        self._kept: dict[tuple[int, bool], PersonCrop] = {}

    def __len__(self) -> int:
        return len(self.notes)

    def _index(self, shard: Path, held_out: bool) -> None:
        members: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        try:
            with open_tar(shard, "r:") as tar:
                for entry in tar:
                    key, _, kind = entry.name.partition(".")
                    members[key][kind] = (entry.offset_data, entry.size)
        except (OSError, TarError) as error:
            raise OptionError(f"cannot read {shard}: {error}") from error
        for places in members.values():
            values = json.loads(_read(shard, places["json"]))
            note = PersonNote(**values | {"box_xyxy": tuple(values["box_xyxy"])})
            if note.held_out == held_out:
                self.notes.append(note)
                self._places.append((shard, places))

    def __getitem__(self, row: int) -> PersonCrop:
        return self.crop(row)

    def crop(self, row: int, *, mirrored: bool = False) -> PersonCrop:
        """A person, as they are or as in a mirror."""
        kept = self._kept.get((row, mirrored))
        if kept is not None:
            return kept
        if mirrored:
            crop = flip(self.crop(row), self.table)
        else:
            crop = self._read(row)
            for _ in range(self._halvings):
                crop = halve(crop)
        if crop.n_bytes <= self._free_bytes:
            self._free_bytes -= crop.n_bytes
            self._kept[row, mirrored] = crop
        return crop

    def _read(self, row: int) -> PersonCrop:
        shard, places = self._places[row]
        image = cv2.imdecode(np.frombuffer(_read(shard, places["png"]), np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise OptionError(f"{shard} is damaged: crop {row} cannot be decoded")
        rgb = np.ascontiguousarray(image[..., ::-1], np.uint8)
        with np.load(io.BytesIO(_read(shard, places["npz"]))) as arrays:
            return PersonCrop(image=rgb, note=self.notes[row], **{name: arrays[name] for name in arrays.files})

    def batch(self, rng: Generator, count: int) -> GeneratorBatch:
        """Random people; each identity's other pictures give its appearance where it has any."""
        rows = []
        for _ in range(count):
            row = self._draw(rng)
            others = [other for other in self.groups[self.notes[row].identity] if other != row]
            paired = bool(others)
            source = others[int(rng.integers(len(others)))] if others else row
            crops = [self.crop(i, mirrored=bool(rng.random() < 0.5)) for i in (row, source)]
            rows.append((*self.sample(rng, *crops), torch.tensor(paired)))
        return GeneratorBatch(*(torch.stack(values) for values in zip(*rows, strict=True)))

    def layered_batch(self, rng: Generator, count: int) -> LayeredBatch:
        """As `batch`, for a generator of layers."""
        rows = []
        for _ in range(count):
            row = self._draw(rng)
            others = [other for other in self.groups[self.notes[row].identity] if other != row]
            source = others[int(rng.integers(len(others)))] if others else row
            crops = [self.crop(i, mirrored=bool(rng.random() < 0.5)) for i in (row, source)]
            rows.append(self.layered_sample(rng, *crops, paired=bool(others)))
        return LayeredBatch(*(torch.stack(values) for values in zip(*rows, strict=True)))

    def layered_sample(
        self, rng: Generator, crop: PersonCrop, source: PersonCrop, *, paired: bool
    ) -> tuple[Tensor, ...]:
        """The fields of a `LayeredBatch` for one person; the appearance is the source's."""
        cover = grow_mask(rng, crop, self.table)
        if rng.random() < HIDE_OTHERS:
            cover |= crop.others
        cover &= ~crop.padding
        picture, embedding, body, padding = _planes(crop)
        if crop.note.rendered:
            embedding, body = blurred_surface(rng, embedding, body)
        seen, pose, pose_mask, _ = _planes(source)
        own = torch.from_numpy(source.alpha.astype(np.float32) / 255)[None]
        own = own * torch.from_numpy(~source.padding)[None]
        place = crop.image if crop.place is None else crop.place
        return (
            picture,
            torch.from_numpy(crop.alpha.astype(np.float32) / 255)[None],
            torch.from_numpy(np.ascontiguousarray(place)).permute(2, 0, 1).float() / 127.5 - 1,
            torch.tensor(crop.place is not None),
            torch.from_numpy(cover)[None].float(),
            torch.from_numpy(np.ascontiguousarray(crop.others))[None].float(),
            torch.cat([embedding, body, padding]),
            torch.cat([seen * own, (own > 0.5).float(), pose, pose_mask]),
            torch.tensor(paired),
            head_box(crop, self.table),
        )

    def _draw(self, rng: Generator) -> int:
        """A person; photographs get a fixed share where there are both."""
        rows = self._real if rng.random() < REAL_SHARE else self._rendered
        rows = rows or self._real or self._rendered
        return rows[int(rng.integers(len(rows)))]

    def sample(self, rng: Generator, crop: PersonCrop, source: PersonCrop) -> tuple[Tensor, Tensor, Tensor]:
        """Picture, condition and appearance of a person, see `GeneratorBatch`; the appearance is the source's."""
        hidden = grow_mask(rng, crop, self.table)
        if rng.random() < HIDE_OTHERS:  # in films, neighbours that are not replaced yet
            hidden |= crop.others
        hidden &= ~crop.padding
        picture, embedding, body, padding = _planes(crop)
        mask = torch.from_numpy(hidden)[None].float()
        condition = torch.cat([picture * (1 - mask), mask, embedding, body, padding])
        seen, pose, pose_mask, _ = _planes(source)
        own = torch.from_numpy(source.person & ~source.others & ~source.padding)[None].float()
        return picture, condition, torch.cat([seen * own, own, pose, pose_mask])


class PeopleBatches(IterableDataset[GeneratorBatch]):
    """Endless batches; each depends on the seed and its step alone, whatever the number of workers.

    Args:
        people: The dataset.
        batch_size: People a batch.
        seed: Of the draws.
        first: Step to begin with.
    """

    def __init__(self, people: People, batch_size: int, *, seed: int, first: int = 0) -> None:
        self._people, self._batch_size, self._seed, self._first = people, batch_size, seed, first

    def __iter__(self) -> Iterator[GeneratorBatch]:
        info = get_worker_info()
        step, stride = (self._first, 1) if info is None else (self._first + info.id, info.num_workers)
        if info is not None:
            cv2.setNumThreads(0)
        while True:
            yield self._people.batch(np.random.default_rng([self._seed, step]), self._batch_size)
            step += stride


class LayeredBatches(IterableDataset[LayeredBatch]):
    """Endless batches for a generator of layers; every process and every start has its own random numbers."""

    def __init__(self, people: People, batch_size: int, *, seed: tuple[int, ...]) -> None:
        self._people, self._batch_size, self._seed = people, batch_size, seed

    def __iter__(self) -> Iterator[LayeredBatch]:
        rng = np.random.default_rng(self._seed)
        while True:
            yield self._people.layered_batch(rng, self._batch_size)


def halve(crop: PersonCrop) -> PersonCrop:
    """The crop at half its size; masks keep all they touch."""
    height, width = (side // 2 for side in crop.person.shape)

    def touched(mask: BoolArray) -> BoolArray:
        return np.asarray(mask.reshape(height, 2, width, 2).any((1, 3)))

    def small(image: UInt8Array) -> UInt8Array:
        resized: UInt8Array = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        return resized

    embedding = crop.embedding
    if 2 * embedding.shape[1] > height:
        halved = F.avg_pool2d(torch.from_numpy(embedding.astype(np.float32))[None], 2)
        embedding = normalise(halved)[0].numpy().astype(np.float16)
    return replace(
        crop,
        image=small(crop.image),
        person=touched(crop.person),
        alpha=small(crop.alpha),
        others=touched(crop.others),
        padding=touched(crop.padding),
        body=crop.body.reshape(height, 2, width, 2).sum((1, 3)) >= 2,
        vertices=crop.vertices[::2, ::2],
        embedding=embedding,
        place=None if crop.place is None else small(crop.place),
    )


def flip(crop: PersonCrop, table: SurfaceTable) -> PersonCrop:
    """The person in a mirror: what was their left arm is a right arm, in vertices and in the embedding too."""
    vertices = crop.vertices[:, ::-1].copy()
    body = vertices != NO_VERTEX
    vertices[body] = table.vertex_mirror[vertices[body]]
    planes = crop.embedding[:, :, ::-1].astype(np.float32)
    return replace(
        crop,
        image=np.ascontiguousarray(crop.image[:, ::-1]),
        person=crop.person[:, ::-1],
        alpha=np.ascontiguousarray(crop.alpha[:, ::-1]),
        others=crop.others[:, ::-1],
        padding=crop.padding[:, ::-1],
        body=crop.body[:, ::-1],
        vertices=vertices,
        embedding=mirror_embedding(planes, table).astype(np.float16),
        place=None if crop.place is None else np.ascontiguousarray(crop.place[:, ::-1]),
    )


def mirror_embedding(planes: np.ndarray, table: SurfaceTable) -> np.ndarray:
    """Embeddings [D, h, w] of the mirrored points of the surface: landmarks blended by closeness, so not quantised."""
    inside = (planes != 0).any(0)
    points = planes[:, inside].T  # [N, D]
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    similarity = SHARPNESS * unit @ table.embedding.T
    weights = np.exp(similarity - similarity.max(1, keepdims=True)) ** 3
    blended = weights @ table.embedding[table.mirrored]
    mirrored = np.zeros_like(planes)
    mirrored[:, inside] = (blended / np.linalg.norm(blended, axis=1, keepdims=True)).T * len(planes) ** 0.5
    return mirrored


def grow_mask(rng: Generator, crop: PersonCrop, table: SurfaceTable) -> BoolArray:
    """The person's mask, often widened, so that it tells little about hair and clothes (thesis 7.2.4).

    Returns:
        [h, w] bool, at least the person.
    """
    mask = crop.person.astype(np.uint8)
    if rng.random() < 0.6:
        across, down = (2 * max(1, round(r * mask.shape[0] / 288)) + 1 for r in rng.uniform(1, 8, 2))
        kind = cv2.MORPH_ELLIPSE if rng.random() < 0.7 else cv2.MORPH_RECT
        mask = cv2.dilate(mask, cv2.getStructuringElement(kind, (across, down))).astype(np.uint8)
    body = crop.vertices != NO_VERTEX
    parts = np.where(body, table.vertex_parts[np.where(body, crop.vertices, 0)], 0)
    rows = np.flatnonzero(crop.person.any(1))
    tallest_head = len(rows) / 5
    if rng.random() < 0.3:
        _hair(rng, mask, np.isin(parts, HEAD_PARTS), tallest_head)
    if rng.random() < 0.3:
        _skirt(rng, mask, np.isin(parts, LEG_PARTS))
    for _ in range(int(rng.integers(0, 3))):
        _patch(rng, mask, crop.person)
    grown: BoolArray = (mask > 0) | crop.person
    return grown


def blurred_surface(rng: Generator, embedding: Tensor, body: Tensor) -> tuple[Tensor, Tensor]:
    """An exact surface made as coarse as a detector's, more or less: its cells are larger than pixels.

    Args:
        rng: Chooses how coarse.
        embedding: [D, h, w], mean square 1 over D on the body.
        body: [1, h, w] of 0 and 1.
    """
    cells = int(rng.integers(1, 5)) * embedding.shape[1] // 144
    if cells < 2:
        return embedding, body
    size = embedding.shape[1:]
    coarse = F.avg_pool2d(torch.cat([embedding, body])[None], cells, ceil_mode=True, count_include_pad=False)
    planes = F.interpolate(coarse, size, mode="bilinear", align_corners=False)
    seen = (planes[0, -1:] > 0.5).float()
    return normalise(planes[:, :-1])[0] * seen, seen


def head_box(crop: PersonCrop, table: SurfaceTable) -> Tensor:
    """Box round the head, a square of pixels, [4] xyxy in [-1, 1] of the crop; 0 where no head is seen."""
    body = crop.vertices != NO_VERTEX
    parts = np.where(body, table.vertex_parts[np.where(body, crop.vertices, 0)], 0)
    head = np.isin(parts, HEAD_PARTS) & (crop.alpha > 127)
    box = _extent(head)
    height, width = crop.body.shape
    if box is None or head.sum() < MIN_HEAD * height * width:
        return torch.zeros(4)
    left, top, right, bottom = box
    side = HEAD_MARGIN * min(
        max(right - left, bottom - top), 0.35 * height
    )  # a misjudged surface has heads of any size
    x, y = (left + right) / 2, (top + bottom) / 2 if bottom - top < 0.35 * height else top + side / 2 / HEAD_MARGIN
    pixels = torch.tensor([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    return 2 * pixels / torch.tensor([width, height, width, height]) - 1


def _extent(where: BoolArray) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the True pixels."""
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    return None if not rows.size else (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _hair(rng: Generator, mask: np.ndarray, head: BoolArray, tallest: float) -> None:
    """An ellipse round the head that may reach down to the hips."""
    box = _extent(head)
    if box is not None:
        left, top, right, bottom = box
        size = min(tallest, max(right - left, bottom - top))  # a misjudged surface has heads of any size
        wide, tall = size * rng.uniform(0.6, 1.1), size * rng.uniform(0.6, 2.0)
        center = (round((left + right) / 2), round(top - 0.2 * size + tall))
        cv2.ellipse(mask, center, (max(1, round(wide)), max(1, round(tall))), 0, 0, 360, 1, cv2.FILLED)


def _skirt(rng: Generator, mask: np.ndarray, legs: BoolArray) -> None:
    """A trapezoid from the hips down, as skirts and coats are."""
    box = _extent(legs)
    if box is not None:
        left, top, right, bottom = box
        flare, end = rng.uniform(0, 0.5) * (right - left), top + rng.uniform(0.4, 1.5) * (bottom - top)
        corners = np.array([[left, top], [right, top], [right + flare, end], [left - flare, end]])
        cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 1)


def _patch(rng: Generator, mask: np.ndarray, person: BoolArray) -> None:
    """An ellipse somewhere on the person's rim, as bags, hats and loose clothes are."""
    rim = np.argwhere(person & (cv2.erode(person.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0))
    if len(rim):
        y, x = rim[int(rng.integers(len(rim)))].tolist()
        axes = rng.integers(3, max(4, mask.shape[0] // 12), 2)
        cv2.ellipse(mask, (x, y), (int(axes[0]), int(axes[1])), float(rng.uniform(0, 180)), 0, 360, 1, cv2.FILLED)


def _planes(crop: PersonCrop) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Picture in [-1, 1], embedding, body mask and padding of a crop, [C, h, w] float32 each."""
    padding = torch.from_numpy(np.ascontiguousarray(crop.padding))[None].float()
    body = torch.from_numpy(np.ascontiguousarray(crop.body))[None].float()
    picture = torch.from_numpy(crop.image).permute(2, 0, 1).float() / 127.5 - 1
    embedding = torch.from_numpy(np.ascontiguousarray(crop.embedding)).float()[None]
    if embedding.shape[2:] != crop.body.shape:
        embedding = F.interpolate(embedding, crop.body.shape, mode="bilinear", align_corners=False)
    return picture * (1 - padding), normalise(embedding)[0] * body, body, padding


def _read(path: Path, place: tuple[int, int]) -> bytes:
    with path.open("rb") as file:
        file.seek(place[0])
        return file.read(place[1])
