"""Pictures in, `Detections` out: the embedded network with what comes before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from anonymize.detect.matching import match_by_iou
from anonymize.detect.network import DetectorNetwork
from anonymize.device import low_precision
from anonymize.masks import paste
from anonymize.types import Detections, FloatArray, RegionMask, UInt8Array

DEFAULT_SCORE = 0.6
STRIDE = 32
MAP_STRIDE = 4
NEAR_THRESHOLD = 0.25  # a pixel of the dense map next to a found person belongs to them above this
LONE_THRESHOLD = 0.5  # ... and far from everybody to a person of its own,
LONE_SURENESS = 0.8  # if it is this on average
LONE_MIN_SHARE = 0.0008  # of the frame's area
NEAR = 0.2  # a person's surroundings reach so far: a share of the longer side of their box
GAP = 0.06  # ... and hang together with the person over gaps up to this share of it
BODY_THRESHOLD = 0.25
DOUBLE_AREA = 2.5  # of a sure person's area: what is larger is somebody with a tree
DOUBLE_SHARE = 0.7  # of a sure person's mask inside an unsure one's: both show the same person


class Detector(Protocol):
    """The stage that finds people.

    Attributes:
        surface: Name of the body surface that its embeddings refer to; None if it predicts none.
    """

    surface: str | None

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        """Find the people of each picture.

        Args:
            images: Pictures [H, W, 3] uint8 RGB, upright; sizes may differ.

        Returns:
            One value a picture, in order; pictures without people give empty detections.
        """
        ...


class EmbeddedDetector:
    """Mask R-CNN and CSE in one network (design: one shared network for the embedded tier).

    Args:
        network: The network with its weights.
        device: Where to compute.
        score: People with a lower score are left out, in [0, 1].
        unsure: ... unless it is at least this. They change nothing about the others.
    """

    def __init__(
        self,
        network: DetectorNetwork,
        *,
        device: torch.device | str = "cpu",
        score: float = DEFAULT_SCORE,
        unsure: float | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.surface: str | None = network.config.surface
        self.score = score
        self.lowest_score = score if unsure is None else min(score, unsure)
        self.network.roi_heads.score_thresh = (
            self.lowest_score**2
        )  # the other factor of a score is at most 1, see `assemble`
        self._precision = low_precision(self.device)

    @torch.inference_mode()
    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        """See `Detector.detect`. Pictures of one size go through the network as one batch."""
        results: dict[int, Detections] = {}
        by_size: dict[tuple[int, int], list[int]] = {}
        for i, image in enumerate(images):
            by_size.setdefault(image.shape[:2], []).append(i)
        for size_hw, indices in by_size.items():
            results |= zip(indices, self._detect_batch([images[i] for i in indices], size_hw), strict=True)
        return [results[i] for i in range(len(images))]

    def _detect_batch(self, images: list[UInt8Array], size_hw: tuple[int, int]) -> list[Detections]:
        pictures, scale_xy = self._prepare(images, size_hw)
        with torch.autocast(self.device.type, self._precision, enabled=self._precision != torch.float32):
            pyramid, map_logits, merged = self.network.features(pictures)
            boxes, scores = self.network.boxes(pictures, pyramid)
            mask_logits = self.network.masks(pictures, pyramid, boxes)
            embeddings, body_logits = self.network.surface(pictures, merged, boxes)
        masks = mask_logits.float().sigmoid()[:, 0].cpu().numpy()  # [sum of K, 28, 28]
        bodies = body_logits.float().sigmoid()[:, 0]  # [sum of K, 56, 56]
        person_maps = map_logits.float().sigmoid()[:, 0].cpu().numpy()  # [B, H/4, W/4]
        counts = [len(b) for b in boxes]
        starts = np.cumsum([0, *counts])
        return [
            assemble(
                size_hw,
                (boxes[i].float().cpu().numpy() / np.tile(scale_xy, 2)).astype(np.float32),
                scores[i].float().cpu().numpy(),
                masks[starts[i] : starts[i + 1]],
                embeddings[starts[i] : starts[i + 1]].float(),
                bodies[starts[i] : starts[i + 1]],
                PersonMap(person_maps[i], (scale_xy / MAP_STRIDE).astype(np.float32), size_hw),
                self.network.config.surface,
                self.lowest_score,
                self.score,
            )
            for i in range(len(images))
        ]

    def _prepare(self, images: list[UInt8Array], size_hw: tuple[int, int]) -> tuple[Tensor, FloatArray]:
        """Batch [B, 3, H', W'] in [0, 1], sides padded to multiples of 32, and the scale in x and y."""
        config = self.network.config
        scale = min(config.size / min(size_hw), config.max_size / max(size_hw))
        height, width = (max(1, round(side * scale)) for side in size_hw)
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = np.stack([cv2.resize(image, (width, height), interpolation=interpolation) for image in images])
        batch = torch.from_numpy(small).to(self.device).permute(0, 3, 1, 2).float() / 255
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        batch = F.pad(batch, padding, mode="replicate" if min(height, width) > 1 else "constant")
        scale_xy = np.array([width / size_hw[1], height / size_hw[0]], np.float32)
        return batch.contiguous(memory_format=torch.channels_last), scale_xy


class PersonMap:
    """The dense person probability of one frame, read where it is needed.

    Args:
        values: [h, w] float32 in [0, 1], cells of the network's picture.
        cells_per_pixel: [2] x and y.
        size_hw: Size of the frame.
    """

    def __init__(self, values: FloatArray, cells_per_pixel: FloatArray, size_hw: tuple[int, int]) -> None:
        self.values, self.cells_per_pixel, self.size_hw = values, cells_per_pixel, size_hw

    def read(self, left: int, top: int, right: int, bottom: int) -> FloatArray:
        """Probability of each pixel of a rectangle of the frame, [bottom - top, right - left]."""
        x = (np.arange(left, right, dtype=np.float32) + 0.5) * self.cells_per_pixel[0] - 0.5
        y = (np.arange(top, bottom, dtype=np.float32) + 0.5) * self.cells_per_pixel[1] - 0.5
        grid_x, grid_y = np.meshgrid(x, y)
        pixels: FloatArray = cv2.remap(self.values, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return pixels

    def support(self, mask: FloatArray, box_xyxy: FloatArray) -> float:
        """Mean probability over a mask [S, S] in [0, 1] that is stretched over a box, weighted by the mask."""
        size = mask.shape[0]
        step = (np.arange(size, dtype=np.float32) + 0.5) / size
        x = (box_xyxy[0] + step * (box_xyxy[2] - box_xyxy[0])) * self.cells_per_pixel[0] - 0.5
        y = (box_xyxy[1] + step * (box_xyxy[3] - box_xyxy[1])) * self.cells_per_pixel[1] - 0.5
        grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        values = cv2.remap(self.values, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return float((values * mask).sum() / max(1e-6, float(mask.sum())))

    def near(self, region: RegionMask, others: Sequence[RegionMask]) -> RegionMask:
        """Person pixels in and round a person's rectangle that hang together with the person and are nobody else's.

        The heads miss a foot or a hand now and then that the map shows, if faintly: better too much than a limb.
        """
        if not region.area:
            return region
        margin, gap = (max(4, round(share * max(region.mask.shape))) for share in (NEAR, GAP))
        left, top = max(0, region.x - margin), max(0, region.y - margin)
        right = min(self.size_hw[1], region.box_xyxy[2] + margin)
        bottom = min(self.size_hw[0], region.box_xyxy[3] + margin)
        person = RegionMask(left, top, self.read(left, top, right, bottom) > NEAR_THRESHOLD).without(others).mask
        own = np.zeros_like(person)
        y, x = region.y - top, region.x - left
        own[y : y + region.mask.shape[0], x : x + region.mask.shape[1]] = region.mask
        _, components = cv2.connectedComponents((person | own).astype(np.uint8))
        reach = cv2.distanceTransform((~own).astype(np.uint8), cv2.DIST_L2, 5) <= gap
        touched = np.unique(components[reach])
        return RegionMask(left, top, np.isin(components, touched[touched > 0]))

    def lone(self, masks: Sequence[RegionMask]) -> list[tuple[RegionMask, float]]:
        """People whom no box found: large sure components away from all masks, with their mean probability."""
        height, width = self.values.shape
        free = self.values > LONE_THRESHOLD
        grow = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
        for mask in masks:
            if mask.area:
                x1, y1, x2, y2 = mask.box_xyxy
                cells_x = slice(int(x1 * self.cells_per_pixel[0]), int(np.ceil(x2 * self.cells_per_pixel[0])) + 1)
                cells_y = slice(int(y1 * self.cells_per_pixel[1]), int(np.ceil(y2 * self.cells_per_pixel[1])) + 1)
                target = free[cells_y, cells_x]
                shape = cv2.resize(mask.mask.astype(np.uint8), target.shape[::-1], interpolation=cv2.INTER_NEAREST)
                target &= cv2.dilate(shape, grow) == 0
        count, components, stats, _ = cv2.connectedComponentsWithStats(free.astype(np.uint8))
        found = []
        for k in range(1, count):
            inside = components == k
            sureness = float(self.values[inside].mean())
            if stats[k, cv2.CC_STAT_AREA] < LONE_MIN_SHARE * height * width or sureness < LONE_SURENESS:
                continue
            left, top = stats[k, :2] / self.cells_per_pixel
            right, bottom = (stats[k, :2] + stats[k, 2:4]) / self.cells_per_pixel
            box = np.array([left, top, right, bottom], np.float32)
            x, y, w, h = stats[k, :4]
            region = paste(inside[y : y + h, x : x + w].astype(np.float32), box, self.size_hw, threshold=0.3)
            if region.area:
                found.append((region, sureness))
        return found


def assemble(
    size_hw: tuple[int, int],
    boxes: FloatArray,
    scores: FloatArray,
    masks: FloatArray,
    embeddings: Tensor,
    bodies: Tensor,
    person_map: PersonMap,
    surface: str,
    lowest_score: float = 0.0,
    sure_score: float = 0.0,
) -> Detections:
    """One frame's network outputs to people: masks of both heads matched, merged, completed by the map.

    Args:
        size_hw: Size of the frame.
        boxes: [K, 4] float32 xyxy in the frame's pixels.
        scores: [K] float32.
        masks: [K, 28, 28] float32 in [0, 1].
        embeddings: [K, D, S, S] float.
        bodies: [K, S, S] float in [0, 1].
        person_map: The dense map.
        surface: Name of the surface.
        lowest_score: People below are left out. A person's score is the geometric mean of the box head's score and of
            the map's probability over the mask: both have to agree on somebody.
        sure_score: People below take no pixels from those above, nor from those whom only the map shows.
    """
    scores = np.sqrt(scores * np.array([person_map.support(m, b) for m, b in zip(masks, boxes, strict=True)]))
    sure = scores >= lowest_score
    boxes, scores, masks = boxes[sure], scores[sure], masks[sure]
    chosen = torch.from_numpy(np.flatnonzero(sure)).to(embeddings.device)
    embeddings, bodies = embeddings[chosen], bodies[chosen]
    person_masks = [paste(m, b, size_hw) for m, b in zip(masks, boxes, strict=True)]
    body_masks = [
        paste(m, b, size_hw, threshold=BODY_THRESHOLD) for m, b in zip(bodies.cpu().numpy(), boxes, strict=True)
    ]
    pairs = match_by_iou(person_masks, body_masks)
    partner = dict(pairs)
    # [row of boxes, row of embeddings or -1, mask]
    people = [
        (i, partner.get(i, -1), m if i not in partner else RegionMask.union([m, body_masks[partner[i]]]))
        for i, m in enumerate(person_masks)
    ]
    matched = set(partner.values())
    people += [(j, j, m) for j, m in enumerate(body_masks) if j not in matched and m.area]
    people = [person for person in people if person[2].area]
    surely = scores >= sure_score
    # [row of boxes, mask]
    merged = [(i, mask) for i, _, mask in people]
    whole = [
        person_map.near(mask, [other for j, other in merged[:k] + merged[k + 1 :] if surely[j] or not surely[i]])
        for k, (i, mask) in enumerate(merged)
    ]
    whole = with_doubles(whole, [bool(surely[i]) for i, _ in merged])
    lone = person_map.lone([mask for (i, _), mask in zip(merged, whole, strict=True) if surely[i]])
    if not people and not lone:
        return Detections.empty(size_hw, surface)
    rows = np.array([i for i, *_ in people], np.int64)
    sources = torch.tensor([j for _, j, _ in people], dtype=torch.int64, device=embeddings.device)
    has_cse = np.array([j >= 0 for _, j, _ in people] + [False] * len(lone))
    blank = embeddings.new_zeros((len(lone), *embeddings.shape[1:]))
    usable = (sources >= 0).to(embeddings.dtype)
    picked = embeddings[sources.clamp(min=0)] * usable[:, None, None, None] if len(people) else embeddings[:0]
    segmentation = bodies[sources.clamp(min=0)] * usable[:, None, None] if len(people) else bodies[:0]
    lone_boxes = np.array([region.box_xyxy for region, _ in lone], np.float32).reshape(-1, 4)
    return Detections(
        size_hw=size_hw,
        boxes_xyxy=np.concatenate([boxes[rows], lone_boxes]).astype(np.float32),
        scores=np.concatenate([scores[rows], np.array([s for _, s in lone], np.float32)]).astype(np.float32),
        masks=tuple(whole + [region for region, _ in lone]),
        has_cse=has_cse,
        embeddings=torch.cat([picked, blank]),
        segmentations=torch.cat([segmentation, bodies.new_zeros((len(lone), *bodies.shape[1:]))]),
        surface=surface,
    )


def with_doubles(masks: Sequence[RegionMask], sure: Sequence[bool]) -> list[RegionMask]:
    """Masks of sure people with what an unsure detection of the same person shows more of them.

    A sure box may end at the knee while an unsure one of the same person holds the feet: better too much than a limb.
    Pixels of other sure people stay theirs.
    """
    completed = list(masks)
    for k, mine in enumerate(masks):
        if not sure[k]:
            continue
        unsure = [m for m, known in zip(masks, sure, strict=True) if not known and m.area < DOUBLE_AREA * mine.area]
        doubles = [m for m in unsure if mine.share_in(m) > DOUBLE_SHARE]
        others = [m for j, m in enumerate(masks) if j != k and sure[j]]
        for double in doubles:
            completed[k] = RegionMask.union([completed[k], double.without(others)])
    return completed
