"""Avatars in the place of people: bodies fitted to each track, with looks of their own, lit as the place is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from anonymize.bodies.articulation import exponential
from anonymize.bodies.fit import Before, BodyFitter, BodyPose, Fit, Observation, responsibilities, rotation_vector
from anonymize.bodies.light import GAMMA, Surroundings, surroundings
from anonymize.bodies.look import LATENT, Look, Seen, z_of
from anonymize.bodies.regions import regions
from anonymize.bodies.renderer import ADULT_M, Standing, Visible, outline, rasterized, stand
from anonymize.bodies.shading import encode
from anonymize.core.body_surface import PART_NAMES, load_surface
from anonymize.core.errors import OptionError
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

MARGIN = 0.25
"""Share of a person's size round the mask in which it is known where they may be."""
REACH = 0.04
"""Share of the height by which an avatar may reach beyond the cover: hair and clothes are not those of the original."""
MIN_OVERLAP = 0.55
"""Intersection over union of avatar and mask, below which the two disagree."""
LOST_AFTER = 15
"""Frames after which a track is fitted anew."""
TURN_SIGMA, ROOT_SIGMA, SCALE_SIGMA, PLACE_SIGMA_M = 0.3, 0.2, 0.04, 0.06
"""How much a person's pose may change in a frame: radians of joints and of the body, share of the size, metres."""
TURN_NOISE, ROOT_NOISE, SCALE_NOISE, PLACE_NOISE_M = 0.12, 0.1, 0.03, 0.02
"""Changes of a fitted pose of this size are half noise; units as above."""
LEAST_NEWS = 0.1
LIGHT_EVERY = 5
LIGHT_STEADINESS = 0.6
"""Frames after which the light is looked at again, and how much of what it was then is kept."""
FEWEST_OF_PART = 4.0
"""Pixels of a part, of those looked at, of which its colour is read."""
TYPICAL = 8
"""Typical looks that a multi-modal truncation pulls toward."""


@dataclass(eq=False)
class Follow:
    """What is known of a track.

    Attributes:
        pose: [1], as fitted in the last frame.
        steady: [1], the same without the jitter; what is drawn.
        box: [4] xyxy of the mask then.
        frame: Number of that frame.
        age: Frames that were fitted.
    """

    pose: BodyPose
    steady: BodyPose
    box: np.ndarray
    frame: int
    age: int = 1


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
        self._fitter = BodyFitter(vertex_embedding)
        self._follows: OrderedDict[int, Follow] = OrderedDict()
        self._looks: OrderedDict[int, Look] = OrderedDict()
        self._accepted: list[Accepted] = []
        self._lights: OrderedDict[int, tuple[int, Surroundings]] = OrderedDict()
        self._frame = 0
        generator = torch.Generator().manual_seed(0)
        self._centers = torch.randn(TYPICAL, LATENT, generator=generator)

    @torch.inference_mode()
    def accept(self, tracks: Tracks, covers: Sequence[RegionMask]) -> Tracks:
        """See `PersonGenerator.accept`: those to whom no body can be fitted are not made."""
        self._frame += 1
        found = tracks.detections
        if found.surface != self.surface:
            raise OptionError(f"avatars need the surface {self.surface!r}, got {found.surface!r}")
        numbers = tracks.ids.tolist()
        rows = [row for row, k in enumerate(numbers) if found.has_cse[row] and covers[row].area and k > UNKNOWN_TRACK]
        figures: dict[int, Figure] = {}
        for row, pose in self._fit(tracks, rows).items():
            figure = self._figure(self._look(numbers[row]), pose, found.size_hw)
            if figure is not None and overlap_of(figure, tracks, row) >= MIN_OVERLAP:
                figures[row] = figure
            else:
                self._follows.pop(numbers[row], None)  # fitted anew in the next frame
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
            seen = self._observe(people, row) if areas[row] else None
            fit = None if seen is None else self._fitter.begin(seen)
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

    def _fit(self, tracks: Tracks, rows: Sequence[int]) -> dict[int, BodyPose]:
        """The steadied pose [1] of each person of a frame who shows enough."""
        seen: dict[int, Observation] = {}
        for row in rows:
            observation = self._observe(tracks, row)
            if observation is not None:
                seen[row] = observation
        poses: dict[int, BodyPose] = {}
        known = [row for row in seen if self._known(int(tracks.ids[row])) is not None]
        fresh = [row for row in seen if row not in known]
        for some in (known, fresh):
            if not some:
                continue
            both = Observation.cat([seen[row] for row in some])
            if some is fresh:
                fit = self._fitter.begin(both)
            else:
                before = [self._before(int(tracks.ids[row]), tracks, row) for row in some]
                fit = self._fitter.follow(both, Before.cat(before))
            for k, (row, found) in enumerate(zip(some, fit.found.tolist(), strict=True)):
                track = int(tracks.ids[row])
                if found:
                    poses[row] = self._steadied(track, fit.pose[[k]], tracks.detections.masks[row])
                else:
                    self._follows.pop(track, None)
        return poses

    def _observe(self, tracks: Tracks, row: int) -> Observation | None:
        found = tracks.detections
        mask = found.masks[row]
        if found.embeddings is None or not mask.area:
            return None
        return self._fitter.observe(
            found.boxes_xyxy[row],
            mask.mask,
            (mask.x, mask.y),
            possible(tracks, row, round(MARGIN * max(mask.mask.shape))),
            found.embeddings[row],
        )

    def _known(self, track: int) -> Follow | None:
        follow = self._follows.get(track)
        return follow if follow is not None and self._frame - follow.frame <= LOST_AFTER else None

    def _before(self, track: int, tracks: Tracks, row: int) -> Before:
        follow = self._follows[track]
        frames = float(self._frame - follow.frame)
        box = np.array(tracks.detections.masks[row].box_xyxy, np.float32)
        shift = torch.from_numpy(((box - follow.box)[:2] + (box - follow.box)[2:]) / 2)
        camera = follow.pose.camera.clone()
        camera[:, 1:] += shift

        def sigma(one: float) -> Tensor:
            return torch.tensor([one * frames**0.5])

        return Before(
            pose=replace(follow.pose, camera=camera),
            turn_sigma=sigma(TURN_SIGMA),
            root_sigma=sigma(ROOT_SIGMA),
            shape_sigma=torch.tensor([1 / (1 + follow.age)]),
            scale_sigma=sigma(SCALE_SIGMA),
            place_sigma=sigma(PLACE_SIGMA_M),
        )

    def _steadied(self, track: int, pose: BodyPose, mask: RegionMask) -> BodyPose:
        """A track's pose without jitter, noted for the next frame."""
        box = np.array(mask.box_xyxy, np.float32)
        follow = self._known(track)
        if follow is None:
            remember(self._follows, track, Follow(pose, pose, box, self._frame))
            return pose
        shift = torch.from_numpy(((box - follow.box)[:2] + (box - follow.box)[2:]) / 2)
        steady = steadied(follow.steady, pose, shift)
        remember(self._follows, track, Follow(pose, steady, box, self._frame, follow.age + 1))
        return steady

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
        if known is not None:
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
        cut_into(picture, drawn, figure.box[0] - box[0], figure.box[1] - box[1])
        reach = max(2, round(REACH * figure.standing.height_px))
        picture *= allowed(request.cover, box, reach)[..., None]
        picture = with_shadow(picture, figure.standing, box, found.shadow)
        return found.filmed(picture, seed=(abs(self.seed), track, accepted.frame))


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


def possible(tracks: Tracks, row: int, margin: int) -> BoolArray:
    """Where a person may be, seen or not, [h + 2 m, w + 2 m] round the mask: it, other people, outside of the frame."""
    found = tracks.detections
    mask = found.masks[row]
    height, width = mask.mask.shape
    left, top = mask.x - margin, mask.y - margin
    free = np.ones((height + 2 * margin, width + 2 * margin), np.bool_)
    inner = (
        slice(max(0, -top), max(0, found.size_hw[0] - top)),
        slice(max(0, -left), max(0, found.size_hw[1] - left)),
    )
    free[inner] = False
    for other in found.masks:
        add_to(free, other.mask, other.x - left, other.y - top)
    return free


def add_to(canvas: BoolArray, mask: BoolArray, x: int, y: int) -> None:
    """Mark a mask, whose first pixel lies at column x and row y of the canvas, as far as it lies on it."""
    rows, columns = span(y, mask.shape[0], canvas.shape[0]), span(x, mask.shape[1], canvas.shape[1])
    canvas[rows, columns] |= mask[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]


def cut_into(canvas: FloatArray, part: FloatArray, x: int, y: int) -> None:
    """Put a part [h, w, C], whose first pixel lies at column x and row y, into a canvas, as far as it lies on it."""
    rows, columns = span(y, part.shape[0], canvas.shape[0]), span(x, part.shape[1], canvas.shape[1])
    canvas[rows, columns] = part[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]


def span(start: int, length: int, limit: int) -> slice:
    """The part of `length` places from `start` on that lies in [0, limit); empty ones begin at `start` clipped."""
    low = min(max(start, 0), limit)
    return slice(low, min(max(start + length, low), limit))


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


def with_shadow(picture: FloatArray, standing: Standing, box: tuple[int, int, int, int], strength: float) -> FloatArray:
    """An avatar [h, w, 4], colours times alpha and alpha, over the soft shadow of its feet on the ground."""
    radius = 0.17 * standing.height_px / ADULT_M
    height, width = picture.shape[:2]
    dark = np.zeros((height, width), np.float32)
    for x, y in (standing.feet - torch.tensor(box[:2])).tolist():
        rows, columns = (
            span(round(c - 2 * r), round(4 * r), n) for c, r, n in ((y, 0.4 * radius, height), (x, radius, width))
        )
        across = ((np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5 - x) / radius) ** 2
        down = ((np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5 - y) / (0.4 * radius)) ** 2
        dark[rows, columns] = np.maximum(dark[rows, columns], strength * np.exp(-across - down[:, None]))
    out = picture.copy()
    out[..., 3] += (1 - picture[..., 3]) * dark
    return out


def steadied(before: BodyPose, now: BodyPose, shift: Tensor) -> BodyPose:
    """A pose between the last one drawn and the one fitted: the smaller the change, the more it is taken for noise.

    Args:
        before: Drawn in the last frame.
        now: Fitted in this one.
        shift: [2], how far the mask has moved since, pixels.
    """

    def news(change: Tensor, noise: float) -> Tensor:
        return (change / (change + noise)).clamp(min=LEAST_NEWS)

    root = rotation_vector(now.root @ before.root.transpose(1, 2))
    root = exponential(root * news(root.norm(dim=1, keepdim=True), ROOT_NOISE)) @ before.root
    turn = now.turns - before.turns
    turns = before.turns + turn * news(turn.norm(dim=2, keepdim=True), TURN_NOISE)
    camera = before.camera.clone()
    camera[:, 1:] += shift
    change = now.camera - camera
    scale = now.camera[:, :1].exp()
    size = torch.cat([change[:, :1].abs(), (change[:, 1:] / scale).norm(dim=1, keepdim=True).expand(-1, 2)], 1)
    noise = torch.tensor([SCALE_NOISE, PLACE_NOISE_M, PLACE_NOISE_M])
    camera = camera + change * (size / (size + noise)).clamp(min=LEAST_NEWS)
    return BodyPose(root, turns, before.shape + 0.2 * (now.shape - before.shape), camera)
