"""A clean plate: what a film shows of a place while it is not covered.

Each shot has one. Some times a second a frame that arrives is compared with the one looked at before: what is uncovered
in both and looks the same goes into the plate. Frames wait a moment before they are drawn, so the plate knows what
they, and those after them, show. A person who is found must not come back by way of the plate:

- What is near a cover stays out, and what moves.
- Where pixels become covered, or uncovered, farther from the covers of the frame before or after than people walk from
  frame to frame, the detector may have overlooked a person there, or a part of one: that place is forgotten, or stays
  out for as long as frames wait.
- Where the plate shows what the frame shows of a person, it shows the person, and that place is forgotten.

The plate is believed where it agrees with the frame round the cover, up to a smooth difference of light. So a camera
whose motion is not quite known, a car that has gone and a cut need no cases of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from anonymize.compose.background import Place, fill_places, fringe_of, push_pull
from anonymize.core.masks import grow, tighten
from anonymize.core.types import BoolArray, FloatArray, Frame, RegionMask, Tracks, UInt8Array

Covered = tuple[Frame, Tracks, Sequence[RegionMask]]
"""A frame, its people, and what must be covered of each of them."""
Matrix = npt.NDArray[np.float64]

WAITING_SECONDS = 1.0
WAITING_BYTES = 96 << 20
"""Frames wait so long before they are drawn, as far as their pictures take no more memory."""
LOOK_SECONDS = 0.19
"""Time between two frames that are looked at for the plate."""
SAME_LEVELS = 14
"""A pixel that differs by more from one look to the next shows something that moves."""
CUT_SHARE = 0.3
"""Fewer pixels that stay the same from one look to the next are another shot."""
RING_FRINGES = 4
"""Width of the ring in which plate and frame are compared, in widths of the fringe."""
STRIDE = 0.08
"""How far a cover may move from one frame to the next, of its longer side. Farther off it has appeared, or has gone."""
PERSON_LEVELS, PERSON_SHARE, PERSON_WINDOW_PX = 8, 0.6, 9
"""If the plate is so near to the frame in this share of a window's pixels that are a person, it shows the person."""
SMOOTH_PX = 5
"""Both are smoothed over so many pixels before, or noise would hide that they show the same."""
CELL = 4
"""Plate and frame are compared by means of cells of this side, in widths of the fringe."""
DARK_LEVELS = 8.0
"""What is darker than this says little about the light."""
ROUGH_LEVELS = 12.0
"""Standard deviation between plate and frame, beside a change of the light, up to which they show the same."""
LIGHT_LEVELS = 48.0
"""Mean difference that a change of the light can explain."""
TRUST = 15
"""Frames for which a pixel may disagree before it is forgotten."""
SCALE = 20.0
"""A shot whose scale has changed by more is begun anew."""


@dataclass(eq=False)
class Shot:
    """The plate of one shot, in pixels of the frame that was looked at last.

    Attributes:
        image: [H, W, 3] uint8 RGB; black where nothing is known.
        trust: [H, W] uint8 up to `TRUST`, 0 where nothing is known.
        before: The frame that was looked at last, [H, W, 3] uint8, and [H, W] uint8: 255 where it is uncovered.
        place: [3, 3], takes pixels of the plate to a ground that does not move with the camera.
    """

    image: UInt8Array = field(repr=False)
    trust: UInt8Array = field(repr=False)
    before: tuple[UInt8Array, UInt8Array] = field(repr=False)
    place: Matrix

    @classmethod
    def begin(cls, image: UInt8Array, free: UInt8Array, place: Matrix) -> Shot:
        """A shot of which nothing is known yet but its first frame."""
        return cls(np.zeros_like(image), np.zeros(image.shape[:2], np.uint8), (image, free), place)

    def look(self, image: UInt8Array, free: UInt8Array, place: Matrix) -> bool:
        """Take in a frame.

        Args:
            image: [H, W, 3] uint8 RGB.
            free: [H, W] uint8, 255 where it is uncovered, else 0.
            place: As the shot's.

        Returns:
            Whether it is of this shot.
        """
        before, before_free = self.before
        if place is not self.place:
            back, size = np.linalg.inv(self.place) @ place, (image.shape[1], image.shape[0])
            before = stretch(before, back, size, cv2.INTER_LINEAR)
            before_free = narrow(stretch(before_free, back, size, cv2.INTER_NEAREST))
        free_twice = cv2.bitwise_and(free, before_free)
        same = cv2.bitwise_and(cv2.inRange(cv2.absdiff(image, before), (0,) * 3, (SAME_LEVELS,) * 3), free_twice)
        if cv2.countNonZero(same) < CUT_SHARE * cv2.countNonZero(free_twice):
            return False
        if place is not self.place:
            self.image = stretch(self.image, back, size, cv2.INTER_CUBIC)
            self.trust = narrow(stretch(self.trust, back, size, cv2.INTER_NEAREST))
            self.image[self.trust == 0] = 0
            self.place = place
        cv2.copyTo(image, same, self.image)
        np.maximum(self.trust, same & np.uint8(TRUST), out=self.trust)
        self.before = image, free
        return True

    def at(self, box_xyxy: tuple[int, int, int, int], place: Matrix) -> tuple[UInt8Array, UInt8Array]:
        """Plate [h, w, 3] and trust [h, w] of a part of a frame; of the plate itself if the camera rests."""
        left, top, right, bottom = box_xyxy
        if place is self.place:
            return self.image[top:bottom, left:right], self.trust[top:bottom, left:right]
        to_plate = np.linalg.inv(self.place) @ place @ shift(left, top)
        size = right - left, bottom - top
        colours = stretch(self.image, to_plate, size, cv2.INTER_CUBIC)
        return colours, narrow(stretch(self.trust, to_plate, size, cv2.INTER_NEAREST))

    def forget(self, mask: BoolArray, corner_xy: tuple[int, int], place: Matrix) -> None:
        """Know nothing any more of pixels [h, w] bool of a part of a frame."""
        left, top = corner_xy
        if place is self.place:
            part = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
            self.image[part][mask], self.trust[part][mask] = 0, 0
            return
        back = np.linalg.inv(place @ shift(left, top)) @ self.place
        size = self.trust.shape[1], self.trust.shape[0]
        gone = cv2.dilate(stretch(mask.astype(np.uint8), back, size, cv2.INTER_NEAREST), np.ones((3, 3), np.uint8)) > 0
        self.image[gone], self.trust[gone] = 0, 0


class CleanPlate:
    """The plates of a film's shots, as its frames arrive."""

    def __init__(self) -> None:
        self._shot: Shot | None = None
        self._place: Matrix = np.eye(3)
        self._covers: Sequence[RegionMask] = ()
        self._left: list[tuple[float, RegionMask, Matrix]] = []  # covers that have gone, since when, and their frame's
        self._looked_seconds = np.inf

    def arrive(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> View:
        """Take in the next frame.

        Returns:
            What is needed to fill it later.
        """
        now = frame.pts_seconds
        if tracks.camera is not None:
            self._place = self._place @ np.linalg.inv(np.vstack([tracks.camera, (0, 0, 1)]))
        covers = [region for region in covers if region.area]
        if self._shot is not None:
            for region in beyond(covers, self._covers, frame.size_hw):
                self._shot.forget(region.mask, (region.x, region.y), self._place)
        self._left = [left for left in self._left if 0 <= now - left[0] < WAITING_SECONDS]
        self._left += [(now, region, self._place) for region in beyond(self._covers, covers, frame.size_hw)]
        self._covers = covers
        if not 0 <= now - self._looked_seconds < LOOK_SECONDS:
            self._looked_seconds = now
            self._look(frame, [*covers, *(self._here(region, place, frame.size_hw) for _, region, place in self._left)])
        assert self._shot is not None
        return View(self._shot, self._place)

    def _here(self, region: RegionMask, place: Matrix, size_hw: tuple[int, int]) -> RegionMask:
        """A region of an earlier frame where it is in this one."""
        if place is self._place:
            return region
        back = np.linalg.inv(place) @ self._place
        moved = stretch(region.to_full(size_hw).view(np.uint8), back, size_hw[::-1], cv2.INTER_NEAREST)
        return RegionMask.from_full(cv2.dilate(moved, np.ones((5, 5), np.uint8)) > 0)

    def _look(self, frame: Frame, covers: Sequence[RegionMask]) -> None:
        free = np.full(frame.size_hw, 255, np.uint8)
        for region in covers:
            free[region.slices][region.mask] = 0
        if covers:
            wide = 2 * fringe_of(frame.size_hw) * (1 + RING_FRINGES) + 1
            free = np.asarray(cv2.erode(free, np.ones((wide, wide), np.uint8)), np.uint8)
        shot = self._shot
        grown = 1.0 if shot is None else abs(np.linalg.det(self._place[:2, :2]))
        if not 1 / SCALE < grown < SCALE:
            self._place, shot = np.eye(3), None
        if shot is None or not shot.look(frame.image, free, self._place):
            self._shot = Shot.begin(frame.image, free, self._place)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """How a frame sees the plate of its shot.

    Attributes:
        shot: The shot.
        place: [3, 3], takes pixels of the frame to the shot's ground.
    """

    shot: Shot
    place: Matrix

    def recall(self, place: Place, people: Sequence[RegionMask]) -> tuple[UInt8Array, BoolArray]:
        """See `Recall`.

        Args:
            place: A part of the frame.
            people: Who is in the frame, tight.
        """
        colours, trust = self.shot.at(place.box_xyxy, self.place)
        left, top = place.box_xyxy[:2]
        light, agrees = compare(place, colours, trust > 0)
        lit = np.asarray(cv2.multiply(colours, light, dtype=cv2.CV_8U), np.uint8)
        shown = shows_person(place, people, (colours, lit))
        if shown.any():
            self.shot.forget(shown, (left, top), self.place)
            trust = np.where(shown, np.uint8(0), trust)
        known = trust > 0
        self._judge(place, known, agrees)
        return lit, known & agrees

    def _judge(self, place: Place, known: BoolArray, agrees: BoolArray) -> None:
        """Trust covered pixels more or less. Where the camera moves, pixels are covered for a short time only."""
        if self.place is not self.shot.place:
            return
        colours, trust = self.shot.at(place.box_xyxy, self.place)
        covered = known & (place.distance == 0)
        trust[...] = np.minimum(trust + (covered & agrees), np.uint8(TRUST)) - (covered & ~agrees)
        forgotten = covered & (trust == 0)
        if forgotten.any():
            colours[forgotten] = 0


def with_backgrounds(covered: Iterable[Covered]) -> Iterator[Covered]:
    """A stage that gives each frame with covers its background; frames wait in it as the constants say."""
    plate = CleanPlate()
    waiting: deque[tuple[Covered, View]] = deque()
    for frame, tracks, covers in covered:
        waiting.append(((frame, tracks, covers), plate.arrive(frame, tracks, covers)))
        most = max(1, WAITING_BYTES // frame.image.nbytes)
        while len(waiting) > most or not 0 <= frame.pts_seconds - waiting[0][0][0].pts_seconds <= WAITING_SECONDS:
            yield _filled(*waiting.popleft())
    while waiting:
        yield _filled(*waiting.popleft())


def _filled(covered: Covered, view: View) -> Covered:
    frame, tracks, covers = covered
    if not any(region.area for region in covers):
        return covered
    people = tracks.detections.masks
    background = fill_places(frame.image, covers, lambda place: view.recall(place, people))
    return replace(frame, background=background), tracks, covers


def compare(place: Place, colours: UInt8Array, known: BoolArray) -> tuple[FloatArray, BoolArray]:
    """How the light differs between plate and frame, by the ring round the covers.

    Args:
        place: A part of the frame.
        colours: [h, w, 3] uint8, the plate.
        known: [h, w] bool.

    Returns:
        By what to multiply the plate, [h, w, 3] float32, carried on smoothly from the ring into the covers; and [h, w]
        bool, where the ring nearby shows the same in both.
    """
    fringe, (height, width) = place.fringe, known.shape
    distance = place.distance[::fringe, ::fringe]
    ring = known[::fringe, ::fringe] & (distance > fringe) & (distance <= fringe * (1 + RING_FRINGES))
    if not ring.any():
        return np.ones(colours.shape, np.float32), np.zeros_like(known)
    frame = place.image[::fringe, ::fringe].astype(np.float32)
    plate = colours[::fringe, ::fringe].astype(np.float32)
    samples = [frame, plate, frame * frame, frame * plate, plate * plate, np.ones_like(frame[..., :1])]
    stacked = np.concatenate(samples, 2) * ring[..., None]  # [., ., 16]
    cells = np.add.reduceat(stacked, np.arange(0, len(stacked), CELL), axis=0)
    cells = np.add.reduceat(cells, np.arange(0, stacked.shape[1], CELL), axis=1)
    count = cells[..., -1:]
    means = (cells[..., :-1] / np.maximum(count, 1)).astype(np.float32)
    means = push_pull(means, np.minimum(1, count[..., 0] / CELL).astype(np.float32))
    frame, plate, frame_2, both, plate_2 = np.split(means, 5, axis=2)
    light = (frame + DARK_LEVELS) / (plate + DARK_LEVELS)
    rough = frame_2 - 2 * light * both + light * light * plate_2 - (frame - light * plate) ** 2
    agrees = (rough.mean(2) <= ROUGH_LEVELS**2) & (np.abs(frame - plate).max(2) <= LIGHT_LEVELS)
    fields = np.dstack([light, agrees]).astype(np.float32)
    cell = CELL * fringe
    whole = cv2.resize(fields, (fields.shape[1] * cell, fields.shape[0] * cell), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(whole[:height, :width, :3]), np.asarray(whole[:height, :width, 3] > 0.5)


def shows_person(place: Place, people: Sequence[RegionMask], plates: Sequence[UInt8Array]) -> BoolArray:
    """Where one of some plates [h, w, 3] shows what the frame shows of a person, [h, w] bool.

    Args:
        place: A part of the frame.
        people: Who is in the frame, tight; what lies near the outline is not counted.
        plates: Such as the plate as it is, and in the frame's light.
    """
    left, top, right, bottom = place.box_xyxy
    inside = np.zeros((bottom - top + 2, right - left + 2), np.uint8)  # beyond the frame the person goes on
    inner = inside[1:-1, 1:-1]
    for region in people:
        x, y, r, b = region.box_xyxy
        if region.area and left <= x and top <= y and r <= right and b <= bottom:
            inner[y - top : b - top, x - left : r - left] |= region.mask.view(np.uint8)
    inside = cv2.copyMakeBorder(inner, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inner = np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1] > place.fringe).view(np.uint8)
    window, smooth = (PERSON_WINDOW_PX, PERSON_WINDOW_PX), (SMOOTH_PX, SMOOTH_PX)
    all_inside = cv2.boxFilter(inner, cv2.CV_32F, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    frame, shown = cv2.blur(place.image, smooth), np.zeros(inner.shape, np.bool_)
    for plate in plates:
        near = cv2.inRange(cv2.absdiff(frame, cv2.blur(plate, smooth)), (0,) * 3, (PERSON_LEVELS,) * 3) & inner
        alike = cv2.boxFilter(near, cv2.CV_32F, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
        shown |= (inner > 0) & (alike > PERSON_SHARE * all_inside)
    return np.asarray(cv2.dilate(shown.view(np.uint8), np.ones(window, np.uint8)) > 0)


def beyond(covers: Sequence[RegionMask], others: Sequence[RegionMask], size_hw: tuple[int, int]) -> list[RegionMask]:
    """What of some covers is farther from others than people walk from frame to frame, widened by as much."""
    near = [grow(other, stride(other, size_hw), size_hw) for other in others if other.area]
    found = [(region, tighten(region.without(near))) for region in covers if region.area]
    return [grow(rest, stride(region, size_hw), size_hw) for region, rest in found if rest.area]


def stride(region: RegionMask, size_hw: tuple[int, int]) -> int:
    """Pixels that a cover may move by."""
    longer: int = max(region.mask.shape)
    return round(STRIDE * longer) + fringe_of(size_hw)


def shift(x: float, y: float) -> Matrix:
    """[3, 3], adds to the coordinates."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def stretch(image: UInt8Array, back: Matrix, size: tuple[int, int], method: int) -> UInt8Array:
    """Resample a picture.

    Args:
        image: [H, W, ...] uint8.
        back: [3, 3], takes pixels of the result to pixels of the picture, corners at whole numbers.
        size: Width and height of the result.
        method: Of interpolation; what lies beyond the picture is 0.
    """
    centred = shift(-0.5, -0.5) @ back @ shift(0.5, 0.5)  # the middle of a pixel is at .0 in OpenCV
    return np.asarray(cv2.warpAffine(image, centred[:2], size, flags=method | cv2.WARP_INVERSE_MAP), np.uint8)


def narrow(mask: UInt8Array) -> UInt8Array:
    """The least value [h, w] of the pixels around that bicubic interpolation mixes in."""
    return np.asarray(cv2.erode(mask, np.ones((5, 5), np.uint8)), np.uint8)
