"""Pictures and films to a dataset of people in the manner of FDH (thesis 4.3.2, appendix A): writing it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from anonymize.compose import covers_of
from anonymize.compose.margin import with_margin
from anonymize.core.body_surface import BodySurface
from anonymize.core.errors import OptionError
from anonymize.core.masks import tighten
from anonymize.core.types import BoolArray, Detections, FloatArray, Frame, RegionMask, Tracks, UInt8Array
from anonymize.detect.predictor import Detector, EmbeddedDetector
from anonymize.generate.crops import Crop, crop_box, cut, normalise, sample_surface, snap
from anonymize.lab.train.bank import held_out
from anonymize.media import is_film, is_image, open_film, read_image
from anonymize.track import PeopleTracker, TrackerConfig

SIZE = (288, 160)
SHARD = 500
NO_VERTEX = 65535
MIN_VERTICES_PER_PART = 3.0
"""Of the landmarks seen, per body part seen. FDH's 135 of SMPL's 27,554 vertices are the same share of 1,024."""
MIN_HEIGHT_PX = 48.0
CUT_BY_FRAME, HALF_HIDDEN = 0.25, 0.3
"""Shares of the rendered people: cut by a side of the frame, and behind an object."""
MIN_SHOWN = 0.25
"""Least share of a rendered person that an object leaves in sight."""


@dataclass(frozen=True)
class PersonNote:
    """Where a crop comes from; the JSON beside it.

    Attributes:
        source: Name of the picture or film.
        identity: Crops of one identity show the same person: the film and track, or the rendered person.
        frame: Number of the frame.
        box_xyxy: The crop's rectangle in the frame, which it may leave.
        score: The detector's.
        vertices_per_part: Unique landmarks over body parts seen, which the filter looks at.
        rendered: Whether the person is rendered, with exact truth.
        held_out: Kept out of training, to measure on.
    """

    source: str
    identity: str
    frame: int
    box_xyxy: tuple[int, int, int, int]
    score: float
    vertices_per_part: float
    rendered: bool
    held_out: bool


@dataclass(frozen=True, eq=False)
class PersonCrop:
    """One person as the generator is trained on.

    Attributes:
        image: [h, w, 3] uint8 RGB, nothing hidden; black outside of the frame.
        person: [h, w] bool, the person's mask as the pipeline would hide it.
        alpha: [h, w] uint8, how much of the pixel is the person, 255 for all; exact where the person is rendered.
        others: [h, w] bool, other people.
        padding: [h, w] bool, outside of the frame.
        body: [h, w] bool, CSE mask.
        vertices: [h, w] uint16, vertex of the surface, 65535 where there is none.
        embedding: [D, h / 2, w / 2] float16, mean square 1 over D on the body and 0 elsewhere.
        note: Where it comes from.
        place: [h, w, 3] uint8 RGB, the place without the person; None where no picture shows it.
    """

    image: UInt8Array
    person: BoolArray
    alpha: UInt8Array
    others: BoolArray
    padding: BoolArray
    body: BoolArray
    vertices: np.ndarray
    embedding: np.ndarray
    note: PersonNote
    place: UInt8Array | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays but the picture, by name."""
        names = ("person", "alpha", "others", "padding", "body", "vertices", "embedding", "place")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def n_bytes(self) -> int:
        """Memory that the arrays take."""
        return self.image.nbytes + sum(array.nbytes for array in self.arrays.values())

    def members(self, key: str) -> Iterator[tuple[str, bytes]]:
        """Names and contents of the files in a shard: KEY.png, KEY.npz, KEY.json."""
        done, png = cv2.imencode(".png", self.image[..., ::-1])
        if not done:
            raise OptionError(f"{self.note.source}: the crop cannot be encoded")
        arrays = io.BytesIO()
        np.savez_compressed(arrays, allow_pickle=False, **self.arrays)
        yield f"{key}.png", png.tobytes()
        yield f"{key}.npz", arrays.getvalue()
        yield f"{key}.json", json.dumps(asdict(self.note)).encode()


@dataclass(frozen=True, eq=False)
class SurfaceTable:
    """The embedding of a detector's surface, which all crops of a dataset are in.

    Attributes:
        name: Of the surface.
        embedding: [L, D] float32, unit vectors, of the landmarks.
        mirrored: [L] int64, landmark on the other side of the body.
        vertices: [L] int64, the landmarks' vertices.
        vertex_parts: [V] int64, body part 1 to 24 of each vertex.
        vertex_mirror: [V] int64, vertex on the other side of the body.
    """

    name: str
    embedding: FloatArray
    mirrored: np.ndarray
    vertices: np.ndarray
    vertex_parts: np.ndarray
    vertex_mirror: np.ndarray

    @classmethod
    def of(cls, embedding: torch.Tensor, surface: BodySurface) -> SurfaceTable:
        """From a detector's `vertex_embedding` [L, D]."""
        unit = F.normalize(embedding.detach().float(), dim=1).cpu().numpy()
        return cls(surface.name, unit, surface.mirrored_landmarks, surface.landmarks, surface.parts, surface.mirror)

    def save(self, path: Path) -> None:
        np.savez(path, allow_pickle=False, **asdict(self))

    @property
    def parts(self) -> np.ndarray:
        """[L] int64, body part of each landmark."""
        parts: np.ndarray = self.vertex_parts[self.vertices]
        return parts

    @classmethod
    def load(cls, path: Path) -> SurfaceTable:
        """Read `surface.npz` of a dataset.

        Raises:
            OptionError: It is missing or damaged.
        """
        try:
            with np.load(path) as arrays:
                names = ("embedding", "mirrored", "vertices", "vertex_parts", "vertex_mirror")
                values = {name: arrays[name] for name in names}
                return cls(str(arrays["name"]), **values)
        except (OSError, ValueError, KeyError) as error:
            raise OptionError(f"{path.parent} holds no dataset of people: {error}") from error

    def nearest(self, embedding: np.ndarray) -> np.ndarray:
        """Nearest landmark [N] int64 of embeddings [N, D] of any length."""
        rows: np.ndarray = (embedding @ self.embedding.T).argmax(1)
        return rows


class ShardWriter:
    """Writes crops into tar files of 500 (WebDataset's layout); numbers go on after the shards that are there.

    Args:
        folder: Made if missing.
        table: Written beside the shards; crops of another detector's embedding must not be added.

    Raises:
        OptionError: The folder holds crops of another embedding.
    """

    def __init__(self, folder: Path, table: SurfaceTable) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "surface.npz"
        if path.exists():
            there = SurfaceTable.load(path)
            if there.name != table.name or not np.array_equal(there.embedding, table.embedding):
                raise OptionError(f"{folder} was made by another detector; choose another folder")
        else:
            table.save(path)
        self._folder = folder
        self._tar: tarfile.TarFile | None = None
        self._next = len(list(folder.glob("people-*.tar")))
        self.count = 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def write(self, crop: PersonCrop) -> None:
        """Append a crop."""
        if self._tar is None:
            self._path = self._folder / f"people-{self._next:05d}.tar"
            self._tar = tarfile.open(self._path.with_suffix(".tmp"), "w")  # noqa: SIM115 - closed by _close
            self._next, self._inside = self._next + 1, 0
        for name, content in crop.members(f"{self._next - 1:05d}{self._inside:04d}"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            self._tar.addfile(entry, io.BytesIO(content))
        self._inside += 1
        self.count += 1
        if self._inside == SHARD:
            self._close()

    def _close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._path.with_suffix(".tmp").replace(self._path)
            self._tar = None


def crop_person(
    image: UInt8Array, region: RegionMask, others: BoolArray, box_xyxy: FloatArray
) -> tuple[Crop, Crop, Crop, np.ndarray]:
    """Cut out a person: with nothing hidden, with the person hidden, with the others hidden; and the rectangle."""
    box = snap(crop_box(region, box_xyxy, SIZE))
    own = region.to_full(image.shape[:2])
    return (
        cut(image, np.zeros_like(own), box, SIZE),
        cut(image, own, box, SIZE),
        cut(image, others & ~own, box, SIZE),
        box,
    )


def crops_of(
    frame: Frame,
    tracks: Tracks,
    table: SurfaceTable,
    source: str,
    *,
    film: bool,
    min_height_px: float = MIN_HEIGHT_PX,
) -> Iterator[PersonCrop]:
    """The people of a frame whose surface is known and who are large enough; their alpha is the detector's mask."""
    found, covers = tracks.detections, covers_of(tracks)
    masks = [region.to_full(found.size_hw) for region in covers]
    for row in np.flatnonzero(found.has_cse):
        region, box = covers[row], found.boxes_xyxy[row]
        if region.area == 0 or box[3] - box[1] < min_height_px:
            continue
        others = np.any([m for i, m in enumerate(masks) if i != row] or [np.zeros(found.size_hw, np.bool_)], axis=0)
        whole, own, rest, rectangle = crop_person(frame.image, region, others, box)
        embedding, body = surface_of(found, int(row), rectangle)
        vertices, share = vertices_of(enlarged(embedding), body, table)
        name = f"{source}#{int(tracks.ids[row])}" if film else f"{source}#{frame.index}.{row}"
        note = PersonNote(
            source,
            name,
            frame.index,
            tuple(rectangle.tolist()),
            float(found.scores[row]),
            share,
            False,
            held_out(source),
        )
        yield PersonCrop(
            image=whole.image,
            person=own.hidden,
            alpha=cut_alpha(softened(found.masks[row].to_full(found.size_hw)), rectangle),
            others=rest.hidden,
            padding=whole.padding,
            body=body,
            vertices=vertices,
            embedding=embedding.astype(np.float16),
            note=note,
        )


def softened(mask: BoolArray) -> UInt8Array:
    """A mask [H, W] as alpha, its outline softened by a pixel."""
    soft: UInt8Array = cv2.GaussianBlur(mask.astype(np.uint8) * 255, (3, 3), 0).astype(np.uint8)
    return soft


def cut_alpha(alpha: UInt8Array, rectangle: np.ndarray) -> UInt8Array:
    """The part of alpha [H, W] in a crop, [h, w]; 0 outside of the frame."""
    return cut(np.dstack([alpha] * 3), np.zeros(alpha.shape, np.bool_), rectangle, SIZE).image[..., 0].copy()


def enlarged(embedding: np.ndarray) -> np.ndarray:
    """Embeddings [D, h / 2, w / 2] at the size of the crop."""
    full = F.interpolate(torch.from_numpy(embedding)[None].float(), SIZE, mode="bilinear", align_corners=False)
    large: np.ndarray = full[0].numpy()
    return large


def surface_of(found: Detections, row: int, rectangle: np.ndarray) -> tuple[np.ndarray, BoolArray]:
    """Embedding [D, h / 2, w / 2] and body mask [h, w] of a person in a rectangle of the frame."""
    if found.embeddings is None or found.segmentations is None:
        raise OptionError("the detector predicts no surface, which the dataset needs")
    rows = slice(row, row + 1)
    return surface_in(found.embeddings[rows], found.segmentations[rows], found.boxes_xyxy[rows], rectangle)


def surface_in(
    embeddings: torch.Tensor, bodies: torch.Tensor, boxes_xyxy: FloatArray, rectangle: np.ndarray
) -> tuple[np.ndarray, BoolArray]:
    """What is predicted over a person's box, in a crop.

    Args:
        embeddings: [1, D, S, S] float.
        bodies: [1, S, S] float in [0, 1].
        boxes_xyxy: [1, 4] float32, what the predictions are stretched over.
        rectangle: [4] int64, the crop's.

    Returns:
        Embedding [D, h / 2, w / 2] and body mask [h, w].
    """
    crops = rectangle[None].astype(np.float32)
    _, body = sample_surface(embeddings, bodies, boxes_xyxy, crops, SIZE)
    embedding, _ = sample_surface(embeddings, bodies, boxes_xyxy, crops, (SIZE[0] // 2, SIZE[1] // 2))
    return embedding[0].cpu().numpy(), body[0, 0].cpu().numpy() > 0


def vertices_of(embedding: np.ndarray, body: BoolArray, table: SurfaceTable) -> tuple[np.ndarray, float]:
    """Vertex per pixel, [h, w] uint16, and unique landmarks per body part, from an embedding [D, h, w]."""
    vertices = np.full(body.shape, NO_VERTEX, np.uint16)
    if not body.any():
        return vertices, 0.0
    landmarks = table.nearest(embedding[:, body].T)
    vertices[body] = table.vertices[landmarks]
    return vertices, vertices_per_part(landmarks, table.parts)


def vertices_per_part(landmarks: np.ndarray, parts: np.ndarray) -> float:
    """Unique landmarks over unique body parts (thesis A.2): low where the surface was misjudged.

    Args:
        landmarks: [N] int64 landmarks seen.
        parts: [L] int64 part of each landmark.
    """
    seen = np.unique(landmarks)
    return len(seen) / max(1, len(np.unique(parts[seen])))


def build_dataset(
    source: Path,
    folder: Path,
    detector: Detector,
    surface: BodySurface,
    *,
    min_vertices_per_part: float = MIN_VERTICES_PER_PART,
    min_height_px: float = MIN_HEIGHT_PX,
    every: int = 3,
    limit: int | None = None,
) -> int:
    """Find the people of pictures and films and write their crops.

    Args:
        source: A picture, a film, or a folder of them (recursively).
        folder: Of the dataset; added to if there is one already.
        detector: The embedded detector.
        surface: Its surface.
        min_vertices_per_part: People with fewer are left out, see `vertices_per_part`.
        min_height_px: Smaller people are left out; they would be shown enlarged, and teach a generator to blur.
        every: Of a film, each so many-th frame.
        limit: Read so many files only.

    Returns:
        Number of people written.

    Raises:
        OptionError: There is nothing to read, or the detector has no table of its surface.
    """
    table = table_of(detector, surface)
    files = sorted(p for p in (source.rglob("*") if source.is_dir() else [source]) if is_image(p) or is_film(p))[:limit]
    if not files:
        raise OptionError(f"{source}: there are no pictures or films")
    with ShardWriter(folder, table) as writer:
        for path in tqdm(files, desc="dataset", unit="file", disable=None):
            film = is_film(path)
            frames = read_film(path, every) if film else [read_image(path)]
            for frame, tracks in PeopleTracker(TrackerConfig(lookahead_seconds=0)).track(_detect(frames, detector)):
                for crop in crops_of(frame, tracks, table, path.stem, film=film, min_height_px=min_height_px):
                    if crop.note.vertices_per_part >= min_vertices_per_part:
                        writer.write(crop)
    return writer.count


def table_of(detector: Detector, surface: BodySurface) -> SurfaceTable:
    """The surface's embedding as a detector knows it.

    Raises:
        OptionError: It is not the embedded detector.
    """
    if not isinstance(detector, EmbeddedDetector):
        raise OptionError("a dataset needs the embedded detector, whose surface has landmarks")
    return SurfaceTable.of(detector.network.vertex_embedding, surface)


def read_film(path: Path, every: int) -> Iterator[Frame]:
    """Each so many-th frame of a film."""
    with open_film(path) as film:
        for frame in film:
            if frame.index % every == 0:
                yield frame


def _detect(frames: Iterable[Frame], detector: Detector) -> Iterator[tuple[Frame, Detections]]:
    for frame in frames:
        yield frame, detector.detect([frame.image])[0]


def build_rendered(
    folder: Path,
    table: SurfaceTable,
    surface: BodySurface,
    places: Sequence[UInt8Array],
    *,
    people: int,
    views: int = 3,
    seed: int = 0,
    real_share: float = 0.5,
) -> int:
    """Render people in several poses, lights and places each, and write their crops with exact truth (thesis 7.2.1).

    Args:
        folder: Of the dataset; added to if there is one already.
        table: The embedding that their vertices are given.
        surface: The surface.
        places: Pictures without people [H, W, 3] uint8 RGB; none for made-up rooms.
        people: How many.
        views: Crops of each.
        seed: Same seed, same people.
        real_share: Share of views in a real person's pose.

    Returns:
        Number of crops written.
    """
    from anonymize.bodies.people import random_person, render_person

    with ShardWriter(folder, table) as writer:
        for number in tqdm(range(people), desc="rendered", unit="person", disable=None):
            rng = np.random.default_rng([seed, number])
            person = random_person(rng)
            for view in range(views):
                height = int(rng.integers(120, 300))
                drawn = render_person(rng, height_px=height, person=person, real_share=real_share)
                writer.write(
                    rendered_crop(
                        rng, drawn.image, drawn.alpha, drawn.vertex, places, table, surface, f"{seed}.{number}", view
                    )
                )
    return writer.count


def rendered_crop(
    rng: np.random.Generator,
    image: UInt8Array,
    alpha: UInt8Array,
    vertex: np.ndarray,
    places: Sequence[UInt8Array],
    table: SurfaceTable,
    surface: BodySurface,
    identity: str,
    view: int,
) -> PersonCrop:
    """Paste a rendered person [h, w] (vertex -1 where there is none) into a place and cut out the crop."""
    from anonymize.lab.train.composites import Sample, fill_frame, made_up_place, paste_object, pick

    height, width = alpha.shape
    size = (round(height * 1.5), max(round(width * 1.5), height))
    place = fill_frame(rng, pick(rng, places), size) if places and rng.random() < 0.85 else made_up_place(rng, size)
    y, x = (int(rng.integers(have - want + 1)) for have, want in zip(size, (height, width), strict=True))
    if rng.random() < CUT_BY_FRAME:  # at one side
        side, gone = int(rng.integers(3)), rng.uniform(0.1, 0.6)
        y = size[0] - round(height * (1 - gone)) if side == 0 else y
        x = (x, -round(width * gone), size[1] - round(width * (1 - gone)))[side]
    soft, known = np.zeros(size, np.uint8), np.full(size, -1, np.int64)
    top, left, bottom, right = max(0, y), max(0, x), min(size[0], y + height), min(size[1], x + width)
    inner, shown = (slice(top, bottom), slice(left, right)), (slice(top - y, bottom - y), slice(left - x, right - x))
    soft[inner], known[inner] = alpha[shown], vertex[shown]
    frame = place.copy()
    opacity = soft[inner][..., None].astype(np.float32) / 255
    frame[inner] = np.rint(place[inner] + opacity * (image[shown].astype(np.float32) - place[inner])).astype(np.uint8)
    if places and rng.random() < HALF_HIDDEN:
        before, after = frame, Sample.of(frame)
        middle = np.argwhere(soft > 127)
        paste_object(rng, after, pick(rng, places), center=middle[int(rng.integers(len(middle)))], size=height)
        hidden = (after.image != before).any(2)
        if (soft > 127)[~hidden].sum() > MIN_SHOWN * (soft > 127).sum():  # the object stands before person and place
            frame, place = after.image, np.where(hidden[..., None], after.image, place)
            soft[hidden], known[hidden] = 0, -1
    region = with_margin(tighten(RegionMask(0, 0, soft > 16)), size)
    box = np.array(RegionMask.from_full(soft > 127).box_xyxy, np.float32)
    whole, own, _, rectangle = crop_person(frame, region, np.zeros(size, np.bool_), box)
    body = cut_nearest(known, rectangle)
    seen = body >= 0
    vertices = np.where(seen, body, NO_VERTEX).astype(np.uint16)
    rows = body[seen]
    blend = table.embedding[surface.vertex_landmarks[rows]] * surface.vertex_landmark_weights[rows][..., None]
    planes = np.zeros((table.embedding.shape[1], *SIZE), np.float32)
    planes[:, seen] = blend.sum(1).T
    small = F.avg_pool2d(torch.from_numpy(planes)[None], 2)
    note = PersonNote(
        "rendered",
        f"rendered#{identity}",
        view,
        tuple(rectangle.tolist()),
        1.0,
        vertices_per_part(surface.landmark_of_vertex[rows], table.parts),
        rendered=True,
        held_out=held_out(identity),
    )
    return PersonCrop(
        image=whole.image,
        person=own.hidden,
        alpha=cut_alpha(soft, rectangle),
        others=np.zeros_like(seen),
        padding=whole.padding,
        body=seen,
        vertices=vertices,
        embedding=normalise(small)[0].numpy().astype(np.float16),
        note=note,
        place=cut(place, np.zeros(size, np.bool_), rectangle, SIZE).image,
    )


def cut_nearest(values: np.ndarray, rectangle: np.ndarray) -> np.ndarray:
    """Values [H, W] at the centres of a crop's pixels, -1 outside of the frame."""
    left, top, right, bottom = rectangle.tolist()
    x = np.floor(left + (np.arange(SIZE[1]) + 0.5) / SIZE[1] * (right - left)).astype(int)
    y = np.floor(top + (np.arange(SIZE[0]) + 0.5) / SIZE[0] * (bottom - top)).astype(int)
    height, width = values.shape
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]
    read = values[np.clip(y, 0, height - 1)[:, None], np.clip(x, 0, width - 1)[None]]
    cutting: np.ndarray = np.where(inside, read, -1)
    return cutting
