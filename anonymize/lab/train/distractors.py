"""Things of a street that are no people, drawn roughly: cars from above and from the side, markings, posts, bins."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from anonymize.core.types import UInt8Array

Color = tuple[float, float, float]


def draw_distractors(rng: Generator, picture: UInt8Array) -> UInt8Array:
    """The picture [H, W, 3] uint8 RGB with a few things in it, each softly lit and blended at its rim."""
    height = picture.shape[0]
    canvas = picture.copy()
    for _ in range(int(rng.integers(1, 5))):
        kind = rng.random()
        size = height * float(np.exp(rng.uniform(np.log(0.08), np.log(0.7))))
        if kind < 0.4:
            _place(rng, canvas, _car_from_above(rng), size)
        elif kind < 0.55:
            _place(rng, canvas, _car_from_the_side(rng), size * 0.6, upright=True)
        elif kind < 0.85:
            _markings(rng, canvas)
        else:
            _place(rng, canvas, _post(rng), size, upright=True)
    return canvas


def _paint(rng: Generator) -> Color:
    value = rng.choice([20, 60, 130, 200, 240]) + rng.normal(0, 12)
    hue = rng.normal(0, 70 if rng.random() < 0.4 else 6, 3)
    red, green, blue = np.clip(value + hue, 0, 255).tolist()
    return red, green, blue


def _car_from_above(rng: Generator) -> np.ndarray:
    """[240, 120, 4] RGBA: body, windows, lamps, seen from a roof or a tall post."""
    car = np.zeros((240, 120, 4), np.float32)
    body, dark = _paint(rng), tuple(float(v) for v in rng.uniform(15, 110) + rng.normal(0, 6, 3))
    outline = _rounded(10, 4, 110, 236, 26)
    cv2.fillPoly(car, [outline], (*body, 255))
    nose = int(rng.uniform(55, 80))
    tail = int(rng.uniform(170, 205))
    cv2.fillPoly(car, [np.array([[20, nose + 24], [28, nose], [92, nose], [100, nose + 24]])], (*dark, 255))
    cv2.fillPoly(car, [np.array([[24, tail - 18], [96, tail - 18], [90, tail], [30, tail]])], (*dark, 255))
    for x in (14, 100):
        cv2.rectangle(car, (x, nose + 30), (x + 6, tail - 24), (*dark, 255), -1)
        cv2.ellipse(car, (x + 3, 14), (9, 6), 0, 0, 360, (245, 245, 220, 255), -1)
        cv2.rectangle(car, (x - 2, 226), (x + 9, 233), (190, 20, 20, 255), -1)
    shade = 1 + 0.25 * np.cos(np.linspace(-1.4, 1.4, 120) + rng.uniform(-0.6, 0.6))[None, :, None] - 0.2
    car[..., :3] *= shade
    return car


def _car_from_the_side(rng: Generator) -> np.ndarray:
    """[110, 260, 4] RGBA."""
    car = np.zeros((110, 260, 4), np.float32)
    body, dark = _paint(rng), tuple(float(v) for v in rng.uniform(15, 100) + rng.normal(0, 6, 3))
    roof = int(rng.uniform(6, 26))
    cabin = np.array([[50, 50], [88, roof], [180, roof], [222, 50]])
    cv2.fillPoly(car, [cabin], (*body, 255))
    cv2.fillPoly(car, [_rounded(4, 44, 256, 92, 14)], (*body, 255))
    cv2.fillPoly(car, [np.array([[60, 48], [91, roof + 6], [130, roof + 6], [130, 48]])], (*dark, 255))
    cv2.fillPoly(car, [np.array([[136, 48], [136, roof + 6], [176, roof + 6], [208, 48]])], (*dark, 255))
    for x in (58, 204):
        cv2.circle(car, (x, 88), 21, (18, 18, 20, 255), -1)
        cv2.circle(car, (x, 88), 11, (150, 150, 155, 255), -1)
    car[..., :3] *= np.linspace(1.2, 0.6, 110)[:, None, None]
    return car


def _post(rng: Generator) -> np.ndarray:
    """[200, 60, 4] RGBA: a post, a lamp, a bin or a parking meter: upright like a person."""
    thing = np.zeros((200, 60, 4), np.float32)
    color = _paint(rng)
    width = int(rng.uniform(3, 26))
    cv2.rectangle(thing, (30 - width, int(rng.uniform(0, 60))), (30 + width, 199), (*color, 255), -1)
    if rng.random() < 0.5:
        cv2.circle(thing, (30, 28), int(rng.uniform(10, 28)), (*_paint(rng), 255), -1)
    thing[..., :3] *= np.linspace(0.7, 1.25, 60)[None, :, None]
    return thing


def _markings(rng: Generator, canvas: UInt8Array) -> None:
    """Lines, letters and specks as they are painted on the ground, in white or yellow, worn."""
    height, width = canvas.shape[:2]
    layer = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 8))):
        x, y = int(rng.uniform(-0.1, 1.1) * width), int(rng.uniform(-0.1, 1.1) * height)
        kind = rng.random()
        if kind < 0.45:
            end = (int(x + rng.normal(0, 0.25) * width), int(y + rng.normal(0, 0.25) * height))
            cv2.line(layer, (x, y), end, 255, int(rng.integers(1, 12)), cv2.LINE_AA)
        elif kind < 0.75:
            text = "".join(chr(int(c)) for c in rng.integers(48, 91, int(rng.integers(1, 6))))
            scale, thick = float(np.exp(rng.uniform(-1, 1.4))), int(rng.integers(1, 8))
            cv2.putText(layer, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA)
        else:
            for _ in range(int(rng.integers(5, 40))):
                spot = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
                cv2.circle(layer, spot, int(rng.integers(1, 3)), 255, -1, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(-180, 180)), 1.0)
    turn[1] *= rng.uniform(0.4, 1.6)
    layer = np.asarray(cv2.warpAffine(layer, turn, (width, height)), np.uint8)
    worn = rng.uniform(0.5, 1) * layer.astype(np.float32)[..., None] / 255
    paint = np.array([235, 235, 230] if rng.random() < 0.75 else [230, 190, 50], np.float32)
    canvas[:] = (canvas + worn * (paint - canvas)).astype(np.uint8)


def _place(rng: Generator, canvas: UInt8Array, thing: np.ndarray, size_px: float, *, upright: bool = False) -> None:
    """Blend a thing [h, w, 4] into the canvas at a random place, with a shadow, `size_px` long."""
    height, width = canvas.shape[:2]
    scale = size_px / max(thing.shape[:2])
    angle = rng.normal(0, 4) if upright else rng.uniform(0, 360)
    warp = cv2.getRotationMatrix2D((thing.shape[1] / 2, thing.shape[0] / 2), float(angle), scale)
    if not upright:
        warp[1] *= rng.uniform(0.55, 1.0)  # seen at a slant
    center = warp @ (thing.shape[1] / 2, thing.shape[0] / 2, 1)
    warp[:, 2] += np.array([rng.uniform(0, width), rng.uniform(0, height)]) - center
    drop, blur = int(size_px * 0.04) + 1, 1 + size_px / 40
    corners = np.array([[x, y, 1] for x in (0, thing.shape[1]) for y in (0, thing.shape[0])]) @ warp.T
    margin = drop + 4 * blur
    left, top = np.maximum(0, np.floor(corners.min(0) - margin)).astype(int).tolist()
    right, bottom = np.minimum((width, height), np.ceil(corners.max(0) + margin)).astype(int).tolist()
    warp[:, 2] -= (left, top)
    placed = np.asarray(cv2.warpAffine(thing, warp, (right - left, bottom - top), flags=cv2.INTER_AREA), np.float32)
    alpha = placed[..., 3:] / 255
    if not alpha.any():
        return
    around = canvas[top:bottom, left:right]
    below = np.zeros_like(alpha[..., 0])
    below[drop:] = alpha[: max(0, len(alpha) - drop), :, 0]
    shadow = cv2.GaussianBlur(below, (0, 0), blur)
    ground = around * (1 - np.float32(0.5) * shadow[..., None])
    light = np.float32(rng.uniform(0.5, 1.2))
    around[:] = np.clip(ground * (1 - alpha) + light * placed[..., :3] * alpha, 0, 255).astype(np.uint8)


def _rounded(left: int, top: int, right: int, bottom: int, radius: int) -> np.ndarray:
    """Outline [N, 2] int32 of a rectangle with round corners."""
    quarter = np.linspace(0, np.pi / 2, 7)
    corners = (
        (right - radius, bottom - radius),
        (left + radius, bottom - radius),
        (left + radius, top + radius),
        (right - radius, top + radius),
    )
    arcs = [
        np.stack([x + radius * np.cos(quarter + k * np.pi / 2), y + radius * np.sin(quarter + k * np.pi / 2)], axis=1)
        for k, (x, y) in enumerate(corners)
    ]
    return np.concatenate(arcs).astype(np.int32)
