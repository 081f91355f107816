"""Pictures of number plates, and of all that may be taken for one, as views for the training of the plates' head."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from anonymize.core.errors import OptionError
from anonymize.core.types import FloatArray, UInt8Array
from anonymize.lab.train.bank import held_out
from anonymize.lab.train.pictures import read_rgb

WIDTHS_PX = (8.0, 330.0)
"""Widths at which plates are shown, in pixels of the network's picture."""
LARGE_SHARE, LARGE = 0.3, (0.4, 1.0)
"""So many plates fill such a share of the width of what is shown: there are close pictures too."""
LARGEST_SCALE = 2.0
LEAST_VISIBLE, LEAST_WIDTH_PX = 0.5, 6.0
"""Plates of which less is seen, or that are narrower, are neither taught nor called wrong."""
PLATES_SHARE, SPLIT_SHARE = 0.8, 0.6
NO_BOXES = np.zeros((0, 4), np.float32)


@dataclass(frozen=True, eq=False)
class PlatePicture:
    """A picture and its number plates.

    Attributes:
        path: Of the picture.
        boxes: [K, 4] float32, xyxy in its pixels.
    """

    path: Path
    boxes: FloatArray

    def read(self) -> UInt8Array:
        """The picture [H, W, 3] uint8 RGB.

        Raises:
            OptionError: It cannot be read.
        """
        return read_rgb(self.path)


@dataclass(frozen=True, eq=False)
class PlateView:
    """A training picture.

    Attributes:
        image: [S, S, 3] uint8 RGB.
        boxes: [K, 4] float32, the plates.
        unknown: [M, 4] float32, places that may be plates or not.
    """

    image: UInt8Array
    boxes: FloatArray
    unknown: FloatArray


def load_plates(folder: Path, *, held_out_only: bool = False) -> list[PlatePicture]:
    """The pictures of a folder of plates.

    Args:
        folder: Holds `pictures/` and `plates.json`, {name: {"plates_xyxy": [N, 4], ...}}.
        held_out_only: The pictures kept out of training, a tenth by a hash of the name, instead of all others.

    Raises:
        OptionError: There are none.
    """
    try:
        entries = json.loads((folder / "plates.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"cannot read {folder / 'plates.json'}: {error.strerror}") from error
    found = [
        PlatePicture(folder / "pictures" / name, np.array(entry["plates_xyxy"], np.float32).reshape(-1, 4))
        for name, entry in sorted(entries.items())
        if held_out(name) == held_out_only
    ]
    if not found:
        raise OptionError(f"{folder} has no pictures of plates")
    return found


def load_others(data: Path, limit: int, *, held_out_only: bool = False) -> list[PlatePicture]:
    """Pictures without boxed plates beside those of plates: people, shops, clothes with letters on them.

    Args:
        data: Holds folders with `pictures/` or `photos/`, or `boxed/` with such folders; that of the plates is left
            out.
        limit: At most so many of each folder.
        held_out_only: Those kept out of training instead of all others.
    """
    folders = [*data.glob("*/pictures"), *data.glob("*/photos"), *data.glob("boxed/*/pictures")]
    found = []
    for folder in sorted(folders):
        if folder.parent.name != "plates":
            paths = [path for path in sorted(folder.iterdir()) if held_out(path.name) == held_out_only]
            rng = np.random.default_rng(len(paths))
            chosen = sorted(rng.permutation(len(paths))[:limit].tolist())
            found += [PlatePicture(paths[i], NO_BOXES) for i in chosen]
    return found


class PlateViews:
    """Makes views of pictures that it keeps in memory.

    Args:
        plates: Pictures with plates.
        others: Pictures without; may be empty.
        size: Side of a view in pixels, a multiple of 32.
    """

    def __init__(self, plates: Sequence[PlatePicture], others: Sequence[PlatePicture], size: int) -> None:
        self.size = size
        self._plates = [(picture.read(), picture.boxes) for picture in plates]
        self._others = [picture.read() for picture in others]

    def sample(self, rng: Generator) -> PlateView:
        """A view: one picture, or four side by side, at any scale."""
        size = self.size
        image = np.empty((size, size, 3), np.uint8)
        boxes: list[FloatArray] = []
        unknown: list[FloatArray] = []
        splits = [0, size]
        rows, columns = splits, splits
        if rng.random() < SPLIT_SHARE:
            rows, columns = ([0, int(rng.integers(size // 4, size - size // 4)), size] for _ in range(2))
        for top, bottom in pairwise(rows):
            for left, right in pairwise(columns):
                part, its_boxes, its_unknown = self._part(rng, bottom - top, right - left)
                image[top:bottom, left:right] = part
                shift = np.array([left, top, left, top], np.float32)
                boxes.append(its_boxes + shift)
                unknown.append(its_unknown + shift)
        return PlateView(_relit(image, rng), np.concatenate(boxes), np.concatenate(unknown))

    def _part(self, rng: Generator, height: int, width: int) -> tuple[UInt8Array, FloatArray, FloatArray]:
        """A part of a view with its plates, and those of which it is not known enough is seen."""
        part = self._without(rng, height, width)
        if rng.random() > PLATES_SHARE:
            return part, NO_BOXES, NO_BOXES
        picture, boxes = self._plates[int(rng.integers(len(self._plates)))]
        x1, y1, x2, y2 = boxes[int(rng.integers(len(boxes)))]
        low, high = np.log(WIDTHS_PX)
        large = rng.random() < LARGE_SHARE
        shown = rng.uniform(*LARGE) * width if large else np.exp(rng.uniform(low, min(high, np.log(1.2 * width))))
        scale = min(LARGEST_SCALE, float(shown) / (x2 - x1))
        stretch = np.exp(rng.uniform(-0.25, 0.25))
        scale_xy = np.array([scale, scale * stretch], np.float32)
        small = _scaled(picture, scale_xy)
        scale_xy = np.array([small.shape[1] / picture.shape[1], small.shape[0] / picture.shape[0]], np.float32)
        boxes = boxes * np.tile(scale_xy, 2)
        if rng.random() < 0.3:
            small = np.ascontiguousarray(small[:, ::-1])
            boxes = boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
            boxes[:, [0, 2]] += small.shape[1]
            x1, x2 = picture.shape[1] - x2, picture.shape[1] - x1
        middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) * scale_xy
        place = rng.uniform(*((0.4, 0.6) if large else (0.1, 0.9)), 2) * (width, height)
        shift = np.rint(place - middle).astype(int)
        left, top = np.maximum(shift, 0).tolist()
        right, bottom = np.minimum(shift + small.shape[1::-1], (width, height)).tolist()
        if right > left and bottom > top:
            cut = small[top - shift[1] : bottom - shift[1], left - shift[0] : right - shift[0]]
            part[top:bottom, left:right] = cut
        moved = boxes + np.tile(shift, 2).astype(np.float32)
        seen = moved.clip((left, top, left, top), (max(left, right), max(top, bottom)) * 2).astype(np.float32)
        share = _area(seen) / np.maximum(_area(moved), 1e-6)
        taught = (share >= LEAST_VISIBLE) & (seen[:, 2] - seen[:, 0] >= LEAST_WIDTH_PX)
        return part, seen[taught], seen[~taught & (share > 0.05)]

    def _without(self, rng: Generator, height: int, width: int) -> UInt8Array:
        """A part of a picture without plates, or one colour."""
        if not self._others:
            return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
        picture = self._others[int(rng.integers(len(self._others)))]
        least = max(height / picture.shape[0], width / picture.shape[1])
        scale = max(least, float(np.exp(rng.uniform(np.log(0.3), np.log(1.3)))))
        small = _scaled(picture, np.array([scale, scale], np.float32))
        small = cv2.copyMakeBorder(
            small, 0, max(0, height - small.shape[0]), 0, max(0, width - small.shape[1]), cv2.BORDER_REPLICATE
        )
        top = int(rng.integers(small.shape[0] - height + 1))
        left = int(rng.integers(small.shape[1] - width + 1))
        cut = small[top : top + height, left : left + width]
        return np.array(cut[:, ::-1] if rng.random() < 0.5 else cut, np.uint8)


def _area(boxes: FloatArray) -> FloatArray:
    area: FloatArray = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1)
    return area


def _scaled(picture: UInt8Array, scale_xy: FloatArray) -> UInt8Array:
    width, height = np.maximum(1, np.rint(scale_xy * picture.shape[1::-1])).astype(int).tolist()
    method = cv2.INTER_AREA if scale_xy.max() < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)


def _relit(image: UInt8Array, rng: Generator) -> UInt8Array:
    """Other light, grain, blur and coding: what cameras do to plates."""
    if rng.random() < 0.3:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.2))), np.uint8)
    values = image.astype(np.float32) / 255
    if rng.random() < 0.1:
        values = np.repeat(values.mean(2, keepdims=True), 3, axis=2)
    values = values ** float(np.exp(rng.normal(0, 0.3))) * rng.normal(1, 0.06, 3) * float(np.exp(rng.normal(0, 0.2)))
    if rng.random() < 0.15:
        values *= float(rng.uniform(0.15, 0.6))
    if rng.random() < 0.4:
        values += rng.normal(0, float(rng.uniform(0.005, 0.05)), image.shape)
    image = (values.clip(0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return image
