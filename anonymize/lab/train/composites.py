"""Training pictures: people pasted onto places, and photos as they are (copy-paste, Ghiasi et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import cv2
import numpy as np
from numpy.random import Generator

from anonymize.core.types import BoolArray, UInt8Array
from anonymize.lab.train.bank import MIRRORED_PARTS, NO_LANDMARK, Cutout, Photo
from anonymize.lab.train.distractors import draw_distractors
from anonymize.lab.train.teachers import IGNORE, UNKNOWN_PART

MIN_VISIBLE_PX = 24
MOST_PEOPLE = 255
PICTURES_SHARE = 0.62
"""Of the samples: crops of real pictures, where there are any."""
PASTE_SHARE = 0.4
"""Of these crops: people from elsewhere are pasted into them."""
Size = tuple[int, int]
T = TypeVar("T")


@dataclass(frozen=True)
class Boxed:
    """A person whose box was drawn by a person or found by a teacher.

    Attributes:
        number: In the picture's instances; unique there also where no pixel of it is known.
        box_xyxy: In pixels, inside the picture.
        weight: How sure the box is, in [0, 1].
        masked: Whether the pixels in `instances` are the person's mask.
    """

    number: int
    box_xyxy: tuple[float, float, float, float]
    weight: float
    masked: bool


@dataclass(eq=False)
class Sample:
    """One training picture with its truth.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        instances: [H, W] uint8, 0 background, k the visible pixels of person k.
        ignore: [H, W] bool, pixels without truth.
        landmarks: [H, W] int16, nearest landmark of the body surface, -1 unknown.
        parts: [H, W] uint8, BodyPix part 1 to 24, 0 unknown.
        people: Those whose box is known otherwise than by their pixels; all others of `instances` have the box round
            their visible pixels.
    """

    image: UInt8Array
    instances: UInt8Array
    ignore: BoolArray
    landmarks: np.ndarray
    parts: UInt8Array
    people: list[Boxed] = field(default_factory=list)

    @classmethod
    def of(cls, image: UInt8Array) -> Sample:
        """A picture without people."""
        size = image.shape[:2]
        none = np.zeros(size, np.uint8)
        return cls(image.copy(), none, np.zeros(size, np.bool_), np.full(size, NO_LANDMARK, np.int16), none.copy())


class PictureSource(Protocol):
    """Crops of real pictures."""

    def sample(self, rng: Generator, size_hw: Size) -> Sample:
        """A random crop of this size."""
        ...


@dataclass(frozen=True, eq=False)
class Bank:
    """Everything a composite is made of."""

    photos: Sequence[Photo]
    real: Sequence[Cutout]
    rendered: Sequence[Cutout]
    streets: Sequence[UInt8Array]
    others: Sequence[UInt8Array]
    scenes: Sequence[Sample]
    mirrored_landmarks: np.ndarray  # [landmarks] int16
    pictures: PictureSource | None = None

    def sample(self, rng: Generator, size_hw: Size) -> Sample:
        """A random training picture of `size_hw`."""
        if self.pictures is not None and rng.random() < PICTURES_SHARE:
            sample = self.pictures.sample(rng, size_hw)
            if rng.random() < PASTE_SHARE:
                self._paste_people(rng, sample, random_heights(rng, size_hw[0])[:3])
            if rng.random() < 0.6:
                degrade(rng, sample)
            return sample
        kind = rng.random()
        if kind < 0.2:
            sample = mosaic(rng, self.photos, size_hw, self.mirrored_landmarks)
        elif kind < 0.65 and self.scenes:
            sample = crop_scene(rng, pick(rng, self.scenes), size_hw, self.mirrored_landmarks)
        else:
            sample = self.composite(rng, size_hw)
        degrade(rng, sample)
        return sample

    def background(self, rng: Generator, size_hw: Size) -> UInt8Array:
        """A place without people: a painted-over street, a picture without people, or a made-up room."""
        kind = rng.random()
        if kind < 0.5:
            return fill_frame(rng, pick(rng, self.streets), size_hw)
        if kind < 0.75 and self.others:
            return fill_frame(rng, pick(rng, self.others), size_hw)
        return made_up_place(rng, size_hw)

    def composite(self, rng: Generator, size_hw: Size) -> Sample:
        """People pasted onto a place, far to near, with objects in front of some of them."""
        place = self.background(rng, size_hw)
        sample = Sample.of(draw_distractors(rng, place) if rng.random() < 0.4 else place)
        if rng.random() < 0.6:
            for _ in range(rng.integers(1, 5)):
                paste_object(rng, sample, pick(rng, self.streets))
        self._paste_people(rng, sample, random_heights(rng, size_hw[0]))
        return sample

    def _paste_people(self, rng: Generator, sample: Sample, heights: Sequence[float]) -> None:
        """Paste people of some heights, far to near, with an object before some of them."""
        taken = max((person.number for person in sample.people), default=0)
        for number, height in enumerate(sorted(heights), taken + 1):
            if number > MOST_PEOPLE:
                return
            pool = self.rendered if self.rendered and rng.random() < 0.45 else self.real
            cutout = vary(rng, pick(rng, pool), self.mirrored_landmarks)
            paste_person(rng, sample, cutout, height, number)
            if rng.random() < 0.25:
                near = np.argwhere(sample.instances == number)
                if len(near):
                    center = near[int(rng.integers(len(near)))]
                    paste_object(rng, sample, pick(rng, self.streets), center=center, size=height)


def pick(rng: Generator, items: Sequence[T]) -> T:
    """One of the items, each as likely."""
    return items[int(rng.integers(len(items)))]


def random_heights(rng: Generator, frame: int) -> list[float]:
    """Heights of the people of one picture in pixels: none, a few large, or many small ones."""
    kind = rng.random()
    if kind < 0.16:
        return []
    if kind < 0.28:  # close up: the frame cuts them at the chest, the waist or the knees
        return [float(h) for h in frame * rng.uniform(1.0, 2.4, rng.integers(1, 3))]
    if kind < 0.55:
        return [float(h) for h in frame * rng.uniform(0.45, 1.15, rng.integers(1, 4))]
    if kind < 0.8:
        return [float(h) for h in np.exp(rng.uniform(np.log(24), np.log(frame * 0.9), rng.integers(2, 7)))]
    return [float(h) for h in np.exp(rng.uniform(np.log(12), np.log(frame * 0.35), rng.integers(4, 13)))]


def fill_frame(rng: Generator, picture: UInt8Array, size_hw: Size) -> UInt8Array:
    """A random part of a picture, mirrored at its sides where it is too narrow for the frame."""
    height, width = size_hw
    scale = height / picture.shape[0] * float(np.exp(rng.uniform(0, 0.9)))
    scaled = _resize(picture, scale)
    missing = width - scaled.shape[1]
    if missing > 0:
        left = int(rng.integers(missing + 1))
        scaled = cv2.copyMakeBorder(scaled, 0, 0, left, missing - left, cv2.BORDER_REFLECT)
    if scaled.shape[0] < height:
        scaled = cv2.resize(scaled, (scaled.shape[1], height))
    y, x = rng.integers(scaled.shape[0] - height + 1), rng.integers(scaled.shape[1] - width + 1)
    part = scaled[y : y + height, x : x + width]
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)


def made_up_place(rng: Generator, size_hw: Size) -> UInt8Array:
    """Flat walls, floors with boards or tiles, dark openings, posts: places without any texture of a street."""
    height, width = size_hw
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    wall = rng.uniform(40, 245) + rng.normal(0, 12, 3)
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = (
        wall + ((xx / width - 0.5) * rng.uniform(-50, 50) + (yy / height - 0.5) * rng.uniform(-50, 50))[..., None]
    )
    horizon = rng.uniform(0.0, 1.1) * height
    floor = rng.uniform(20, 220) + rng.normal(0, 25, 3)
    below = yy > horizon + (xx - width / 2) * rng.uniform(-0.2, 0.2)
    depth = 1 / np.maximum(1e-2, (yy - horizon) / height + 0.1)
    across = (xx - width * rng.uniform(0, 1)) * (depth if rng.random() < 0.5 else 1) / rng.uniform(6, 60)
    boards = np.sin(across) * rng.uniform(0, 25) + (np.floor(across) % 7) * rng.uniform(-5, 5)
    picture[below] = (floor + boards[..., None] + ((yy / height) * rng.uniform(-40, 40))[..., None])[below]
    for _ in range(rng.integers(0, 9)):
        color = tuple(float(c) for c in rng.uniform(0, 255) + rng.normal(0, 20 if rng.random() < 0.7 else 80, 3))
        if rng.random() < 0.6:  # openings, doors, posts, screens
            w, h = rng.uniform(0.02, 0.5) * width, rng.uniform(0.05, 1) * height
            corner = np.array([rng.uniform(-0.2, 1) * width, rng.uniform(-0.3, 1) * height])
            skew = rng.normal(0, 0.08 * height, (4, 2))
            corners = corner + np.array([[0, 0], [w, 0], [w, h], [0, h]]) + skew
            cv2.fillPoly(picture, [corners.astype(np.int32)], color)
        else:  # table tops, wheels, lamps
            center = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
            axes = (int(rng.uniform(4, 0.25 * width)), int(rng.uniform(4, 0.25 * height)))
            cv2.ellipse(picture, center, axes, rng.uniform(0, 180), 0, 360, color, -1 if rng.random() < 0.7 else 3)
    grain = cv2.resize(rng.normal(0, rng.uniform(0, 10), (height // 4, width // 4)).astype(np.float32), (width, height))
    made: UInt8Array = np.clip(picture + grain[..., None], 0, 255).astype(np.uint8)
    return made


def vary(rng: Generator, cutout: Cutout, mirrored_landmarks: np.ndarray) -> Cutout:
    """The same person mirrored, leaning, seen from another height, in other colours, or only in part."""
    image, alpha, landmarks, parts = cutout.image, cutout.alpha, cutout.landmarks, cutout.parts
    if rng.random() < 0.5:
        image, alpha = image[:, ::-1], alpha[:, ::-1]
        if landmarks is not None:
            flipped = landmarks[:, ::-1]
            landmarks = np.where(flipped >= 0, mirrored_landmarks[np.maximum(flipped, 0)], NO_LANDMARK).astype(np.int16)
        parts = None if parts is None else MIRRORED_PARTS[parts[:, ::-1]]
    colors: np.ndarray = image.astype(np.float32)
    if rng.random() < 0.8:
        gain = rng.uniform(0.6, 1.35) * (1 + rng.normal(0, 0.06, 3))
        colors = 255 * (np.clip(colors * gain, 0, 255) / 255) ** rng.uniform(0.75, 1.4)
        if rng.random() < 0.25:  # other clothes: turn the hue
            hsv = cv2.cvtColor(np.clip(colors, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
            hsv[..., 0] = (hsv[..., 0].astype(int) + rng.integers(180)) % 180
            colors = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)
        if rng.random() < 0.12:
            colors = colors.mean(axis=2, keepdims=True) * np.ones(3, np.float32) * rng.uniform(0.3, 1.0)
    height = image.shape[0]
    cut = rng.random()
    if cut < 0.15:  # behind a counter, out of the frame
        height = int(height * rng.uniform(0.3, 0.85))
    window = slice(0, height) if cut < 0.13 else slice(image.shape[0] - height, image.shape[0])
    return Cutout(
        np.ascontiguousarray(np.clip(colors, 0, 255).astype(np.uint8)[window]),
        np.ascontiguousarray(alpha[window]),
        None if landmarks is None else np.ascontiguousarray(landmarks[window]),
        None if parts is None else np.ascontiguousarray(parts[window]),
    )


def paste_person(rng: Generator, sample: Sample, cutout: Cutout, height_px: float, number: int) -> None:
    """Warp a person to a height and paste them, with the light of the place; truth is updated in place."""
    frame_h, frame_w = sample.instances.shape
    source_h, source_w = cutout.alpha.shape
    aspect = float(np.exp(rng.normal(0, 0.1)))
    width_px = source_w / source_h * height_px * aspect
    taper, lean = rng.uniform(-0.18, 0.18), rng.normal(0, 0.05)
    angle = rng.normal(0, 6) if rng.random() < 0.9 else rng.uniform(-60, 60)
    corners = np.array(
        [
            [-0.5 * (1 - taper) + lean, -0.5],
            [0.5 * (1 - taper) + lean, -0.5],
            [0.5 * (1 + taper) - lean, 0.5],
            [-0.5 * (1 + taper) - lean, 0.5],
        ]
    ) * [width_px, height_px]
    turn = np.deg2rad(angle)
    corners = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    center = np.array([rng.uniform(-0.02, 1.02) * frame_w, rng.uniform(0.1, 1.0) * frame_h])
    if height_px > frame_h and rng.random() < 0.8:
        center[1] = rng.uniform(-0.1, 0.45) * frame_h + height_px / 2
    elif height_px > 0.55 * frame_h and rng.random() < 0.7:
        center[1] = rng.uniform(0.4, 0.65) * frame_h
    corners += center
    left, top = np.maximum(0, np.floor(corners.min(axis=0))).astype(int)
    right, bottom = np.minimum((frame_w, frame_h), np.ceil(corners.max(axis=0))).astype(int)
    if right - left < 3 or bottom - top < 3:
        return
    corners -= (left, top)
    size = (int(right - left), int(bottom - top))
    image, alpha = cutout.image, cutout.alpha
    shrink = height_px / source_h
    if shrink < 0.5:  # averaging first: a warp alone would alias
        image, alpha = _resize(image, 2 * shrink), _resize(alpha, 2 * shrink)
    source = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    warp = cv2.getPerspectiveTransform(
        source * np.array([alpha.shape[1], alpha.shape[0]], np.float32), corners.astype(np.float32)
    )
    exact = cv2.getPerspectiveTransform(source * np.array([source_w, source_h], np.float32), corners.astype(np.float32))
    colors = cv2.warpPerspective(image, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.warpPerspective(alpha, warp, size, flags=cv2.INTER_LINEAR).astype(np.float32) / 255
    box = slice(top, bottom), slice(left, right)
    place = sample.image[box].astype(np.float32)
    if rng.random() < 0.35 and height_px > 30:
        cast_shadow(rng, place, soft)
    person = colors.astype(np.float32)
    light = rng.uniform(0, 0.45)
    if soft.sum() > 1:
        mean = (person * soft[..., None]).sum(axis=(0, 1)) / soft.sum()
        person = person + light * 0.5 * (place.mean(axis=(0, 1)) - mean)
    sample.image[box] = np.clip(place + soft[..., None] * (person - place), 0, 255).astype(np.uint8)
    hard = soft > 0.5
    sample.instances[box][hard] = number
    sample.landmarks[box][hard] = NO_LANDMARK
    sample.parts[box][hard] = 0
    nearest = {"flags": cv2.INTER_NEAREST, "borderMode": cv2.BORDER_CONSTANT}
    if cutout.landmarks is not None:
        landmarks = cv2.warpPerspective(cutout.landmarks + 1, exact, size, **nearest).astype(np.int16) - 1
        sample.landmarks[box][hard] = landmarks[hard]
    if cutout.parts is not None:
        sample.parts[box][hard] = cv2.warpPerspective(cutout.parts, exact, size, **nearest)[hard]


def cast_shadow(rng: Generator, place: np.ndarray, soft: np.ndarray) -> None:
    """Darken the place beside and below a person: a shadow is not a person."""
    height, width = soft.shape
    shift = np.array(
        [[1, rng.uniform(-0.8, 0.8), rng.uniform(-0.3, 0.3) * width], [0, rng.uniform(0.2, 1), 0]], np.float32
    )
    shift[1, 2] = height * (1 - shift[1, 1]) * 0.97
    shadow = cv2.GaussianBlur(cv2.warpAffine(soft, shift, (width, height)), (0, 0), max(1.0, height / 60))
    place *= (1 - rng.uniform(0.2, 0.6) * shadow)[..., None]


def paste_object(
    rng: Generator, sample: Sample, texture: UInt8Array, *, center: np.ndarray | None = None, size: float | None = None
) -> None:
    """Something that is no person, of a street's texture or one colour: hides what is behind it."""
    frame_h, frame_w = sample.instances.shape
    extent = (size or frame_h * rng.uniform(0.1, 0.8)) * rng.uniform(0.25, 0.7)
    shape = np.zeros((frame_h, frame_w), np.uint8)
    cy, cx = (rng.uniform(0, frame_h), rng.uniform(0, frame_w)) if center is None else center
    axes = extent * np.exp(rng.normal(0, 0.6, 2)) / 2
    kind = rng.random()
    if kind < 0.4:
        box = cv2.boxPoints(
            ((float(cx), float(cy)), (2 * float(axes[0]), 2 * float(axes[1])), float(rng.normal(0, 12)))
        )
        cv2.fillPoly(shape, [box.astype(np.int32)], 255, lineType=cv2.LINE_AA)
    elif kind < 0.7:
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(
            shape, (int(cx), int(cy)), (int(axes[0]) + 1, int(axes[1]) + 1), angle, 0, 360, 255, -1, cv2.LINE_AA
        )
    else:
        turns = np.sort(rng.uniform(0, 2 * np.pi, 9))
        radius = rng.uniform(0.5, 1.2, 9)[:, None] * axes
        points = np.stack([np.cos(turns), np.sin(turns)], axis=1) * radius + (cx, cy)
        cv2.fillPoly(shape, [points.astype(np.int32)], 255, lineType=cv2.LINE_AA)
    box_y, box_x = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    if box_y.size == 0:
        return
    box = slice(box_y[0], box_y[-1] + 1), slice(box_x[0], box_x[-1] + 1)
    soft = shape[box].astype(np.float32)[..., None] / 255
    size_hw = (soft.shape[0], soft.shape[1])
    if rng.random() < 0.6:
        skin = fill_frame(rng, texture, size_hw).astype(np.float32) * rng.uniform(0.6, 1.3)
    else:
        shade = np.linspace(rng.uniform(0.6, 1), rng.uniform(1, 1.4), size_hw[0])[:, None, None]
        skin = np.ones((*size_hw, 3)) * (rng.uniform(10, 240) + rng.normal(0, 30, 3)) * shade
    place = sample.image[box].astype(np.float32)
    sample.image[box] = np.clip(place + soft * (skin - place), 0, 255).astype(np.uint8)
    hidden = soft[..., 0] > 0.5
    sample.instances[box][hidden] = 0
    sample.landmarks[box][hidden] = NO_LANDMARK
    sample.parts[box][hidden] = 0


def mosaic(rng: Generator, photos: Sequence[Photo], size_hw: Size, mirrored_landmarks: np.ndarray) -> Sample:
    """Photos as they are, side by side until the frame is full."""
    height, width = size_hw
    sample = Sample.of(np.zeros((height, width, 3), np.uint8))
    x, number = 0, 0
    while x < width:
        photo = pick(rng, photos)
        scale = height / photo.image.shape[0] * float(np.exp(rng.uniform(0, 0.7)))
        image = _resize(photo.image, scale)
        labels = cv2.resize(photo.labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        if rng.random() < 0.5:
            image, labels = image[:, ::-1], MIRRORED_PARTS[labels[:, ::-1]]
        y = int(rng.integers(max(1, image.shape[0] - height + 1)))
        cut = int(rng.integers(image.shape[1] // 4)) if x == 0 else 0
        image, labels = image[y : y + height, cut:][:, : width - x], labels[y : y + height, cut:][:, : width - x]
        box = slice(0, image.shape[0]), slice(x, x + image.shape[1])
        number += 1
        sample.image[box] = image
        sample.ignore[box] = labels == IGNORE
        sample.instances[box] = np.where((labels > 0) & (labels < IGNORE), number, 0)
        sample.parts[box] = np.where(labels < UNKNOWN_PART, labels, 0)
        x += image.shape[1]
    sample.ignore[image.shape[0] :] = True
    return sample


def crop_scene(rng: Generator, scene: Sample, size_hw: Size, mirrored_landmarks: np.ndarray) -> Sample:
    """A random part of a rendered scene, perhaps mirrored."""
    height, width = scene.instances.shape
    scale = max(size_hw[0] / height, size_hw[1] / width) * float(np.exp(rng.uniform(0, 0.4)))
    size = (max(size_hw[1], round(width * scale)), max(size_hw[0], round(height * scale)))
    y, x = rng.integers(size[1] - size_hw[0] + 1), rng.integers(size[0] - size_hw[1] + 1)
    box = slice(y, y + size_hw[0]), slice(x, x + size_hw[1])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(scene.image, size, interpolation=interpolation)[box].astype(np.uint8)
    maps = [
        cv2.resize(m, size, interpolation=cv2.INTER_NEAREST)[box]
        for m in (scene.instances, scene.ignore.astype(np.uint8), scene.landmarks, scene.parts)
    ]
    if rng.random() < 0.5:
        image, maps = image[:, ::-1], [m[:, ::-1] for m in maps]
        maps[2] = np.where(maps[2] >= 0, mirrored_landmarks[np.maximum(maps[2], 0)], NO_LANDMARK)
        maps[3] = MIRRORED_PARTS[maps[3]]
    return Sample(
        np.ascontiguousarray(image),
        np.ascontiguousarray(maps[0].astype(np.uint8)),
        np.ascontiguousarray(maps[1].astype(np.bool_)),
        np.ascontiguousarray(maps[2].astype(np.int16)),
        np.ascontiguousarray(maps[3].astype(np.uint8)),
    )


def degrade(rng: Generator, sample: Sample) -> None:
    """What a camera does to a picture: light, colour, blur, noise, compression; the truth stays."""
    image = sample.image
    height, width = image.shape[:2]
    if rng.random() < 0.35:
        scale = rng.uniform(0.4, 0.9)
        image = cv2.resize(_resize(image, scale), (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.15:
        length = int(rng.integers(3, 10))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    elif rng.random() < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.6))
    gain, gamma = rng.uniform(0.65, 1.3) * (1 + rng.normal(0, 0.05, 3)), rng.uniform(0.7, 1.4)
    levels = np.arange(256)[:, None] / 255
    curve = 255 * np.clip(levels * gain, 0, 1) ** gamma  # [256, 3]
    values: np.ndarray = cv2.LUT(image, curve.astype(np.float32)[None])
    if rng.random() < 0.4:
        grey = cv2.transform(values, np.full((1, 3), 1 / 3))[..., None]
        values = grey + (values - grey) * np.float32(0 if rng.random() < 0.15 else rng.uniform(0.3, 1.4))
    if rng.random() < 0.6:
        small = rng.standard_normal((height // 2, width // 2, 3), np.float32) * np.float32(rng.uniform(1, 9))
        smooth = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_NEAREST
        values += cv2.resize(small, (width, height), interpolation=smooth)
    image = np.clip(values, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    sample.image = image


def _resize(image: UInt8Array, scale: float) -> UInt8Array:
    size = (max(2, round(image.shape[1] * scale)), max(2, round(image.shape[0] * scale)))
    resized: UInt8Array = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return resized
