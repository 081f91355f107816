"""Real people whose masks are known, as crops for the generator: labelled street photos, boxed pictures with masks.

The surface is the detector's, looked at in the known person's box; where a body was fitted to the person, in half of
the cases the fit's, which confuses fewer limbs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from anonymize.core.types import BoolArray, RegionMask, Tracks, UInt8Array
from anonymize.detect.predictor import Detector, EmbeddedDetector
from anonymize.generate.crops import normalise
from anonymize.lab.train.bank import NO_LANDMARK, held_out
from anonymize.lab.train.composites import Sample
from anonymize.lab.train.dataset import (
    NO_VERTEX,
    SIZE,
    PersonCrop,
    PersonNote,
    ShardWriter,
    SurfaceTable,
    crop_person,
    cut_alpha,
    cut_nearest,
    enlarged,
    softened,
    surface_in,
    table_of,
    vertices_of,
    vertices_per_part,
)
from anonymize.lab.train.pictures import cut as cut_picture
from anonymize.lab.train.pictures import load_pictures
from anonymize.lab.train.teachers import IGNORE

SAME_IOU = 0.4
"""Overlap with a known mask from which a detection is of that person."""
FITTED_SHARE = 0.5
MIN_BODY = 0.7
"""Least share of the person that has a surface; a head without one would be hidden and not made again."""
SURFACE_BLUR = 1 / 128
"""Share of the crop by which a fitted surface, which comes in cells, is smoothed."""


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A picture with what is known of its people.

    Attributes:
        name: Of the picture.
        sample: The picture; `instances` are the people whose masks are known, `landmarks` the surfaces fitted to them.
    """

    name: str
    sample: Sample


def street_photos(folder: Path) -> Iterator[LabelledPicture]:
    """Photos of Clothing Co-Parsing whose main person was labelled by hand; `folder` as in `load_photos`."""
    for path in sorted((folder / "labels").glob("*.png")):
        image = cv2.imread(str(folder / "photos" / f"{path.stem}.webp"))
        labels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None or labels is None or not (labels > 0).any():
            continue
        sample = Sample.of(np.ascontiguousarray(image[..., ::-1]).astype(np.uint8))
        sample.instances[(labels > 0) & (labels != IGNORE)] = 1
        yield LabelledPicture(path.stem, sample)


def boxed_pictures(folder: Path, mirrored_landmarks: np.ndarray) -> Iterator[LabelledPicture]:
    """Pictures of a folder with boxes, masks and fits, see `load_pictures`, those with a trusted mask only."""
    for held in (False, True):
        for picture in load_pictures(folder, held_out_only=held):
            if all(mask is None for mask in picture.masks):
                continue
            image = picture.read()
            exact = np.array([[1, 0, 0], [0, 1, 0]], np.float64)
            sample = cut_picture(image, (0, 0), image.shape[:2], picture, exact, False, mirrored_landmarks)
            yield LabelledPicture(picture.path.stem, sample)


def build_labelled(
    source: Path, folder: Path, detector: Detector, surface: BodySurface, *, min_height_px: float, limit: int | None
) -> int:
    """Write the people of pictures whose masks are known.

    Args:
        source: Of street photos with `labels/` and `photos/`, else of boxed pictures.
        folder: Of the dataset; added to if there is one already.
        detector: The embedded detector.
        surface: Its surface.
        min_height_px: Lower people are left out.
        limit: Read so many pictures only.

    Returns:
        Number of people written.

    Raises:
        OptionError: There is nothing to read, or the detector has no table of its surface.
    """
    table = table_of(detector, surface)
    assert isinstance(detector, EmbeddedDetector)  # as it has a table
    streets = (source / "labels").is_dir()
    pictures = street_photos(source) if streets else boxed_pictures(source, surface.mirrored_landmarks)
    with ShardWriter(folder, table) as writer:
        for count, picture in enumerate(tqdm(pictures, desc="people", unit="picture", disable=None)):
            if count == limit:
                break
            for crop in labelled_crops(picture, detector, table, surface, min_height_px):
                writer.write(crop)
    if not writer.count:
        raise OptionError(f"{source}: there are no people with known masks")
    return writer.count


def labelled_crops(
    picture: LabelledPicture,
    detector: EmbeddedDetector,
    table: SurfaceTable,
    surface: BodySurface,
    min_height_px: float,
) -> Iterator[PersonCrop]:
    """The people of a picture whose mask and surface are known."""
    sample = picture.sample
    size = sample.instances.shape
    known = people_of(sample.instances, min_height_px)
    if not known:
        return
    boxes = np.array([RegionMask.from_full(own).box_xyxy for own in known.values()], np.float32)
    [(bodies, embeddings)] = detector.surfaces([sample.image], [boxes])
    found = passers_by(sample.image, list(known.values()), detector)
    rng = np.random.default_rng(list(picture.name.encode()))
    for row, (number, own) in enumerate(known.items()):
        cover = tighten(with_margin(tighten(RegionMask(0, 0, own)), size))
        others = (((sample.instances > 0) | found) & ~own).astype(np.bool_)
        whole, hidden, rest, rectangle = crop_person(sample.image, cover, others, boxes[row])
        alpha = cut_alpha(softened(own), rectangle)
        told = surface_in(embeddings[row : row + 1], bodies[row : row + 1], boxes[row : row + 1], rectangle)
        surfaces = [(*told, vertices_of(enlarged(told[0]), told[1], table)[0])]
        fitted = np.where(own, sample.landmarks, NO_LANDMARK).astype(np.int64)
        if (fitted >= 0).any():
            surfaces.insert(0, fitted_surface(fitted, rectangle, table, surface))
        usable = [s for s in surfaces if s[1][alpha > 127].mean() >= MIN_BODY]
        if not usable:
            continue
        embedding, body, vertices = usable[int(rng.random() >= FITTED_SHARE) if len(usable) > 1 else 0]
        landmarks = surface.landmark_of_vertex[vertices[body]]
        yield PersonCrop(
            image=whole.image,
            person=hidden.hidden,
            alpha=alpha,
            others=rest.hidden,
            padding=whole.padding,
            body=body,
            vertices=vertices,
            embedding=embedding.astype(np.float16),
            note=PersonNote(
                source=picture.name,
                identity=f"{picture.name}#{number}",
                frame=0,
                box_xyxy=tuple(rectangle.tolist()),
                score=1.0,
                vertices_per_part=vertices_per_part(landmarks, table.parts),
                rendered=False,
                held_out=held_out(picture.name),
            ),
        )


def people_of(instances: UInt8Array, min_height_px: float) -> dict[int, BoolArray]:
    """Masks [H, W] of the people who are high enough, by their number in `instances` [H, W]."""
    masks = {number: instances == number for number in range(1, int(instances.max()) + 1)}
    return {n: mask for n, mask in masks.items() if np.flatnonzero(mask.any(axis=1)).size >= min_height_px}


def passers_by(image: UInt8Array, known: Sequence[BoolArray], detector: Detector) -> BoolArray:
    """[H, W] bool, what would be covered of the people found who are none of the known ones."""
    found = detector.detect([image])[0]
    tracks = Tracks(found, np.arange(1, len(found) + 1), np.zeros(len(found), np.bool_))
    covered = np.zeros(found.size_hw, np.bool_)
    for mask, cover in zip(found.masks, covers_of(tracks), strict=True):
        own = mask.to_full(found.size_hw)
        if all(overlap(own, person) < SAME_IOU for person in known):
            covered[cover.slices] |= cover.mask
    return covered


def overlap(first: BoolArray, second: BoolArray) -> float:
    """Intersection over union of two masks [H, W]."""
    either = int((first | second).sum())
    return int((first & second).sum()) / either if either else 0.0


def fitted_surface(
    landmarks: np.ndarray, rectangle: np.ndarray, table: SurfaceTable, surface: BodySurface
) -> tuple[np.ndarray, BoolArray, np.ndarray]:
    """A fitted surface in a crop.

    Args:
        landmarks: [H, W] int64, of the frame; -1 where nothing is known.
        rectangle: [4] int64, the crop's.
        table: The embedding.
        surface: The surface.

    Returns:
        Embedding [D, h / 2, w / 2] as a detector would tell it, body mask [h, w] and vertices [h, w] uint16.
    """
    known = cut_nearest(landmarks, rectangle)
    body = known >= 0
    vertices = np.where(body, surface.landmarks[np.maximum(known, 0)], NO_VERTEX).astype(np.uint16)
    planes = np.zeros((*SIZE, table.embedding.shape[1]), np.float32)
    planes[body] = table.embedding[known[body]]
    blurred = cv2.GaussianBlur(planes, (0, 0), SURFACE_BLUR * SIZE[0]) * body[..., None]
    small = F.avg_pool2d(torch.from_numpy(blurred).permute(2, 0, 1)[None], 2)
    return normalise(small)[0].numpy(), body, vertices
