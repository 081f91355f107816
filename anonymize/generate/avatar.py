"""Avatars in the place of people: bodies fitted to each track, with looks of their own, lit as the place is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from anonymize.bodies.fit import BodyPose, Fit, Observation, responsibilities
from anonymize.bodies.light import GAMMA, Surroundings, surroundings
from anonymize.bodies.look import LATENT, Look, Seen, z_of
from anonymize.bodies.regions import regions
from anonymize.bodies.renderer import (
    ADULT_M,
    LARGE_FROM_PX,
    OUTLINE_BLUR_PX,
    Standing,
    Visible,
    outline,
    rasterized,
    stand,
)
from anonymize.bodies.shading import encode
from anonymize.bodies.track_fit import TrackFitter, whole
from anonymize.core.body_surface import PART_NAMES, load_surface
from anonymize.core.errors import OptionError
from anonymize.core.masks import add_to, span
from anonymize.core.types import (
    UNKNOWN_TRACK,
    BoolArray,
    Detections,
    FloatArray,
    IntArray,
    PersonRequest,
    RegionMask,
    Replacement,
    Tracks,
    UInt8Array,
)
from anonymize.generate.base import TrackGenerator, remember

REACH = 0.04
"""Share of the height by which an avatar may reach beyond the cover: hair and clothes are not those of the original."""
MIN_OVERLAP = 0.55
"""Intersection over union of avatar and mask, below which the two disagree."""
MIN_OVERLAP_CUT = 0.4
"""The same for people whom the frame's border cuts off: a part of the outline, and of a body of unknown size."""
LIGHT_EVERY = 5
LIGHT_STEADINESS = 0.6
"""Frames after which the light is looked at again, and how much of what it was then is kept."""
LIGHT_LASTS = 25
"""Frames after which nothing is kept of it: the person may come back in another place."""
FEWEST_OF_PART = 4.0
"""Pixels of a part, of those looked at, of which its colour is read."""
TYPICAL = 8
"""Typical looks that a multi-modal truncation pulls toward."""


@dataclass(frozen=True, eq=False)
class Figure:
    """An avatar in a frame before it is lit.

    Attributes:
        look: Who.
        standing: Where and how.
        visible: What is seen of it.
        box: Rectangle xyxy of `visible` in the frame.
    """

    look: Look
    standing: Standing
    visible: Visible
    box: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Accepted:
    """The avatars of a frame that are not drawn yet.

    Attributes:
        ids: [N] int64, the tracks of the frame, by which it is known again.
        frame: Number of the frame.
        figures: By row.
    """

    ids: IntArray
    frame: int
    figures: dict[int, Figure]


class AvatarGenerator(TrackGenerator):
    """Draws a body with a look of its own in each person's place; same track and seed, same look.

    Args:
        vertex_embedding: [L, D] float, the detector's embedding of the landmarks of the surface "anny".
        seed, truncation, multi_modal, identities: See `TrackGenerator`.
    """

    def __init__(
        self,
        vertex_embedding: Tensor,
        *,
        seed: int = 0,
        truncation: float,
        multi_modal: bool = False,
        identities: Sequence[Tensor] = (),
    ) -> None:
        super().__init__(
            size_hw=(2, 1),
            latent=LATENT,
            surface="anny",
            seed=seed,
            truncation=truncation,
            multi_modal=multi_modal,
            identities=identities,
            device="cpu",
        )
        self._fitter = TrackFitter(vertex_embedding)
        self._looks: OrderedDict[int, Look] = OrderedDict()
        self._accepted: list[Accepted] = []
        self._lights: OrderedDict[int, tuple[int, Surroundings]] = OrderedDict()
        self._frame = 0
        generator = torch.Generator().manual_seed(0)
        self._centers = torch.randn(TYPICAL, LATENT, generator=generator)

    @torch.inference_mode()
    def expect(self, tracks: Tracks, covers: Sequence[RegionMask]) -> None:
        """See `PersonGenerator.expect`: bodies are fitted, to be smoothed when they are drawn."""
        found = tracks.detections
        if found.surface != self.surface:
            raise OptionError(f"avatars need the surface {self.surface!r}, got {found.surface!r}")
        numbers = tracks.ids.tolist()
        rows = [row for row, k in enumerate(numbers) if found.has_cse[row] and covers[row].area and k > UNKNOWN_TRACK]
        self._fitter.arrive(tracks, rows)

    @torch.inference_mode()
    def accept(self, tracks: Tracks, covers: Sequence[RegionMask]) -> Tracks:
        """See `PersonGenerator.accept`: those to whom no body can be fitted are not made."""
        if not self._fitter.has_arrived(tracks):
            self.expect(tracks, covers)
        self._frame += 1
        found = tracks.detections
        figures: dict[int, Figure] = {}
        for row, pose in self._fitter.poses(tracks).items():
            track = int(tracks.ids[row])
            figure = self._figure(self._look(track), pose, found.size_hw)
            cut = not whole(np.array([found.masks[row].box_xyxy], np.float32), found.size_hw)[0]
            if figure is not None and overlap_of(figure, tracks, row) >= (MIN_OVERLAP_CUT if cut else MIN_OVERLAP):
                figures[row] = figure
            else:
                self._fitter.begin_anew(track)
        able = np.zeros(len(tracks), np.bool_)
        able[list(figures)] = True
        accepted = replace(tracks, detections=replace(found, has_cse=able))
        self._accepted.append(Accepted(tracks.ids, self._frame, figures))
        return accepted

    def place(self, tracks: Tracks, covers: Sequence[RegionMask]) -> IntArray:
        """See `TrackGenerator.place`; the tracks must be those that `accept` gave."""
        boxes = np.zeros((len(tracks), 4), np.int64)
        for row, figure in self._accepted_as(tracks).figures.items():
            reach = max(2, round(REACH * figure.standing.height_px))
            held, own = np.array(covers[row].box_xyxy), np.array(figure.box)
            low = np.minimum(held[:2], np.maximum(own[:2], held[:2] - 2 * reach))
            high = np.maximum(held[2:], np.minimum(own[2:], held[2:] + 2 * reach))
            boxes[row] = np.concatenate([low.clip(0), np.minimum(high, tracks.detections.size_hw[::-1])])
        return boxes

    @torch.inference_mode()
    def generate(self, requests: Sequence[PersonRequest]) -> list[Replacement]:
        """See `TrackGenerator.generate`; with alpha. All frames that were accepted before count as drawn after it."""
        made = [self._draw_figure(request, self._accepted_as(request.tracks)) for request in requests]
        self._accepted.clear()  # a figure near the camera takes up to 10 MB
        return made

    @torch.inference_mode()
    def read_identity(self, image: UInt8Array, detections: Detections) -> tuple[Tensor, int]:
        """z of the most prominent person of a picture: shape, skin, hair and clothes' colours; see `TrackGenerator`."""
        count = len(detections)
        people = Tracks(detections, np.arange(1, count + 1), np.zeros(count, np.bool_))
        areas = np.array([mask.area for mask in detections.masks]) * detections.has_cse
        for row in np.argsort(-areas, kind="stable").tolist():
            seen = self._fitter.observe(people, row) if areas[row] else None
            fit = None if seen is None else self._fitter.fitter.begin(seen)
            if seen is not None and fit is not None and fit.found.all():
                hidden = np.zeros(detections.size_hw, np.bool_)
                for mask in detections.masks:
                    hidden[mask.slices] |= mask.mask
                ambient = surroundings(image, hidden, detections.masks[row].box_xyxy).ambient
                return z_of(colours_of(image, seen, fit, ambient)), row
        raise OptionError("it shows no person whose body surface is known")

    def _generate(self, requests: Sequence[PersonRequest]) -> Tensor:
        raise NotImplementedError("avatars are drawn one by one")

    def _accepted_as(self, tracks: Tracks) -> Accepted:
        for accepted in self._accepted:
            if accepted.ids is tracks.ids:
                return accepted
        raise ValueError("these people were not accepted before")

    def _look(self, track: int) -> Look:
        if track not in self._looks:
            z = self._draw(track)
            remember(self._looks, track, Look.of(self._truncate(z, torch.zeros(LATENT), self._centers)[0]))
        return self._looks[track]

    def _figure(self, look: Look, pose: BodyPose, size_hw: tuple[int, int]) -> Figure | None:
        """The avatar where it is seen; None where it is not in the frame."""
        standing = stand(look, pose)
        box = outline(standing, size_hw)
        if box[2] - box[0] < 2 or box[3] - box[1] < 2:
            return None
        return Figure(look, standing, rasterized(look, standing, box), box)

    def _surroundings(self, track: int, frame: int, request: PersonRequest) -> Surroundings:
        """Light and film round a person; looked at every now and then, since they change slowly."""
        known = self._lights.get(track)
        if known is not None and frame - known[0] < LIGHT_EVERY:
            return known[1]
        found = surroundings(request.image, request.hidden, tuple(request.box_xyxy.tolist()))
        if known is not None and frame - known[0] < LIGHT_LASTS and found.near(known[1]):
            found = found.blended(known[1], LIGHT_STEADINESS)
        remember(self._lights, track, (frame, found))
        return found

    def _draw_figure(self, request: PersonRequest, accepted: Accepted) -> Replacement:
        figure = accepted.figures[request.row]
        track = int(request.tracks.ids[request.row])
        box = tuple(request.box_xyxy.tolist())
        found = self._surroundings(track, accepted.frame, request)
        height, width = box[3] - box[1], box[2] - box[0]
        picture = np.zeros((height, width, 4), np.float32)  # colours times alpha, alpha
        alpha = figure.visible.alpha[..., None]
        drawn = torch.cat([encode(figure.visible.lit(found.light)) * alpha, alpha], 2).numpy()
        if figure.standing.height_px >= LARGE_FROM_PX:
            drawn = np.asarray(cv2.GaussianBlur(drawn, (0, 0), OUTLINE_BLUR_PX, borderType=cv2.BORDER_REPLICATE))
        cut_into(picture, drawn, figure.box[0] - box[0], figure.box[1] - box[1])
        reach = max(2, round(REACH * figure.standing.height_px))
        picture *= allowed(request.cover, box, reach)[..., None]
        made = found.filmed(picture, seed=(abs(self.seed), track, accepted.frame))
        return replace(made, shadow=shadow_of(figure.standing, box, found.shadow))


def colours_of(image: UInt8Array, seen: Observation, fit: Fit, ambient: FloatArray) -> Seen:
    """Colours of a person's parts in a picture.

    Args:
        image: [H, W, 3] uint8 RGB.
        seen: The person [1].
        fit: The body [1] that was fitted to them.
        ambient: [3] linear RGB, the light.
    """
    share = responsibilities(seen, fit.pose, 0.06)[0].numpy()  # [P, N]
    places = seen.pixels[0].long().numpy()
    x, y = places[:, 0].clip(0, image.shape[1] - 1), places[:, 1].clip(0, image.shape[0] - 1)
    colours = (image[y, x].astype(np.float64) / 255) ** GAMMA / np.maximum(ambient, 0.05)
    surface = load_surface()
    vertices = surface.landmarks[: share.shape[1]]
    parts = np.array([PART_NAMES[k].removeprefix("left_").removeprefix("right_") for k in surface.parts[vertices]])
    scalp = regions()["scalp"][vertices] > 0.01

    def colour(chosen: BoolArray) -> FloatArray | None:
        weight = share[:, chosen].sum(1)
        if weight.sum() < FEWEST_OF_PART:
            return None
        order = np.argsort(colours.mean(1))
        below = np.cumsum(weight[order]) / weight.sum()
        middle = order[(below >= 0.25) & (below <= 0.75)]
        if not len(middle):
            middle = order
        return np.average(colours[middle], axis=0, weights=weight[middle] + 1e-9).clip(0, 1)

    def bare(part: FloatArray | None, cloth: FloatArray | None) -> bool:
        if part is None or cloth is None or skin is None:
            return False
        return bool(np.abs(part - skin).sum() < np.abs(part - cloth).sum())

    skin = colour((parts == "face") & ~scalp)
    upper = colour(np.char.startswith(parts, "torso") | np.char.startswith(parts, "upper_arm"))
    lower = colour(np.char.startswith(parts, "upper_leg"))
    return Seen(
        skin=skin,
        hair=colour(scalp),
        upper=upper,
        lower=lower,
        shoes=colour(parts == "foot"),
        bare_arms=bare(colour(np.char.startswith(parts, "lower_arm")), upper),
        bare_legs=bare(colour(np.char.startswith(parts, "lower_leg")), lower),
        shape=fit.pose.shape[0].numpy(),
    )


def cut_into(canvas: FloatArray, part: FloatArray, x: int, y: int) -> None:
    """Put a part [h, w, C], whose first pixel lies at column x and row y, into a canvas, as far as it lies on it."""
    rows, columns = span(y, part.shape[0], canvas.shape[0]), span(x, part.shape[1], canvas.shape[1])
    canvas[rows, columns] = part[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]


def overlap_of(figure: Figure, tracks: Tracks, row: int) -> float:
    """Intersection over union of an avatar and a person's mask, where nothing else can hide the person."""
    mask = tracks.detections.masks[row]
    left, top = min(figure.box[0], mask.x), min(figure.box[1], mask.y)
    right, bottom = max(figure.box[2], mask.box_xyxy[2]), max(figure.box[3], mask.box_xyxy[3])
    own, theirs, others = (np.zeros((bottom - top, right - left), np.bool_) for _ in range(3))
    add_to(own, figure.visible.alpha.numpy() >= 0.5, figure.box[0] - left, figure.box[1] - top)
    for k, other in enumerate(tracks.detections.masks):
        add_to(theirs if k == row else others, other.mask, other.x - left, other.y - top)
    own &= theirs | ~others
    union = int(np.count_nonzero(own | theirs))
    return int(np.count_nonzero(own & theirs)) / union if union else 0.0


def allowed(cover: RegionMask, box: tuple[int, int, int, int], reach: int) -> FloatArray:
    """Where an avatar may be seen, [h, w] in [0, 1] over a rectangle: on the cover, and fading beyond it."""
    inside = np.zeros((box[3] - box[1], box[2] - box[0]), np.bool_)
    add_to(inside, cover.mask, cover.x - box[0], cover.y - box[1])
    distance = np.asarray(cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 3), np.float32)
    return np.clip(2 - 2 * distance / reach, 0, 1)


def shadow_of(standing: Standing, box: tuple[int, int, int, int], strength: float) -> UInt8Array:
    """Opacity [h, w] of the soft shadow of an avatar's feet on the ground, over a rectangle."""
    radius = 0.17 * standing.height_px / ADULT_M
    height, width = box[3] - box[1], box[2] - box[0]
    dark = np.zeros((height, width), np.float32)
    for x, y in (standing.feet - torch.tensor(box[:2])).tolist():
        rows, columns = (
            span(round(c - 2 * r), round(4 * r), n) for c, r, n in ((y, 0.4 * radius, height), (x, radius, width))
        )
        across = ((np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5 - x) / radius) ** 2
        down = ((np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5 - y) / (0.4 * radius)) ** 2
        dark[rows, columns] = np.maximum(dark[rows, columns], strength * np.exp(-across - down[:, None]))
    return np.rint(255 * dark).astype(np.uint8)
