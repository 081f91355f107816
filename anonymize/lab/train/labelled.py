"""Real people whose masks are known, as crops for the generator: labelled street photos, boxed pictures with masks.

The surface is the detector's, as in a film; where a body was fitted to the person, in half of the cases the fit's,
which confuses fewer limbs.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from anonymize.core.types import BoolArray, Frame, RegionMask, Tracks
from anonymize.detect.predictor import Detector
from anonymize.generate.crops import normalise
from anonymize.lab.train.bank import held_out
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
    surface_of,
    table_of,
    vertices_of,
    vertices_per_part,
)
from anonymize.lab.train.pictures import cut as cut_picture
from anonymize.lab.train.pictures import load_pictures
from anonymize.lab.train.teachers import IGNORE
from anonymize.track import PeopleTracker

MATCH_IOU = 0.7
"""Least overlap of a known mask with the detector's for its surface to be taken."""
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
    streets = (source / "labels").is_dir()
    pictures = street_photos(source) if streets else boxed_pictures(source, surface.mirrored_landmarks)
    with ShardWriter(folder, table) as writer:
        for count, picture in enumerate(tqdm(pictures, desc="people", unit="picture", disable=None)):
            if count == limit:
                break
            frame = Frame(picture.sample.image)
            found = detector.detect([frame.image])[0]
            [(_, tracks)] = PeopleTracker(lookahead_seconds=0).track([(frame, found)])
            for crop in labelled_crops(picture, tracks, table, surface, min_height_px):
                writer.write(crop)
    if not writer.count:
        raise OptionError(f"{source}: there are no people with known masks")
    return writer.count


def labelled_crops(
    picture: LabelledPicture, tracks: Tracks, table: SurfaceTable, surface: BodySurface, min_height_px: float
) -> Iterator[PersonCrop]:
    """The people of a picture whose mask and surface are known."""
    sample, found = picture.sample, tracks.detections
    size = sample.instances.shape
    masks = [region.to_full(size) for region in found.masks]
    covers = [region.to_full(size) for region in covers_of(tracks)]
    for number in range(1, int(sample.instances.max()) + 1):
        own = sample.instances == number
        if not own.any():
            continue
        box = np.array(RegionMask.from_full(own).box_xyxy, np.float32)
        if box[3] - box[1] < min_height_px:
            continue
        overlaps = [overlap(own, mask) for mask in masks]
        row = int(np.argmax(overlaps)) if overlaps else -1
        matched = row >= 0 and overlaps[row] >= MATCH_IOU and bool(found.has_cse[row])
        cover = with_margin(tighten(RegionMask(0, 0, own)), size)
        if matched:
            cover = RegionMask.union([cover, RegionMask(0, 0, covers[row])])
        cover = tighten(cover)
        # those who are labelled, and of the rest those who are found and are not this one
        others = (sample.instances > 0) & ~own
        for other, mask in enumerate(covers):
            if other != row and overlap(own, masks[other]) < MATCH_IOU / 2:
                others |= mask
        whole, hidden, rest, rectangle = crop_person(sample.image, cover, others & ~own, box)
        fitted = bool((sample.landmarks[own] >= 0).mean() > MIN_BODY)
        rng = np.random.default_rng([number, *picture.name.encode()])
        if fitted and (not matched or rng.random() < FITTED_SHARE):
            embedding, body, vertices = fitted_surface(
                np.where(own, sample.landmarks, -1).astype(np.int64), rectangle, table, surface
            )
            share = vertices_per_part(np.unique(sample.landmarks[own & (sample.landmarks >= 0)]), table.parts)
        elif matched:
            embedding, body = surface_of(found, row, rectangle)
            vertices, share = vertices_of(enlarged(embedding), body, table)
        else:
            continue
        alpha = cut_alpha(softened(own), rectangle)
        if body[alpha > 127].mean() < MIN_BODY:
            continue
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
                score=float(found.scores[row]) if matched else 0.0,
                vertices_per_part=share,
                rendered=False,
                held_out=held_out(picture.name),
            ),
        )


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
