"""How well people are found: average precision, coverage, recall by height, surface error, false alarms."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from anonymize.compose import covers_of
from anonymize.core.body_surface import BodySurface
from anonymize.core.errors import BackendError
from anonymize.core.types import BoolArray, Detections, RegionMask, Tracks, UInt8Array
from anonymize.detect.matching import mask_iou
from anonymize.lab.evaluate.boxes import average_precision
from anonymize.lab.evaluate.surface import read_landmarks, swapped_limbs

HEIGHT_BINS_PX = (0, 24, 40, 80, 160, 1 << 20)
LARGE_PX = 40  # people higher than this count in `covered_pixels_large`
COVERED = 0.5  # a person counts as found when this share of their pixels is covered


@dataclass(frozen=True, eq=False)
class Truth:
    """The people who really are on a picture.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        people: Each person's visible pixels.
        ignore: Pixels of which nothing is known.
        landmarks: [H, W] int16, nearest landmark of the body surface, -1 unknown; None without truth for the surface.
    """

    image: UInt8Array
    people: tuple[RegionMask, ...]
    ignore: RegionMask
    landmarks: np.ndarray | None = None


@dataclass
class DetectionScores:
    """Collects pictures, then computes the figures.

    AP is COCO's (Lin et al. 2014), by pycocotools. Coverage is the share of a person's true pixels that any cover
    of the picture holds, margin included: what counts for privacy.
    """

    categories: list[dict[str, Any]] = field(default_factory=lambda: [{"id": 1, "name": "person"}])
    images: list[dict[str, Any]] = field(default_factory=list)
    truths: list[dict[str, Any]] = field(default_factory=list)
    boxes: list[dict[str, Any]] = field(default_factory=list)
    masks: list[dict[str, Any]] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    areas: list[int] = field(default_factory=list)
    covers: list[float] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    geodesic_errors_cm: list[np.ndarray] = field(default_factory=list)
    swapped: list[BoolArray] = field(default_factory=list)
    spill: list[float] = field(default_factory=list)

    def add(self, truth: Truth, found: Detections) -> None:
        """Take one picture with its truth and what was found."""
        try:
            from pycocotools import mask as rle
        except ImportError as error:
            raise BackendError("evaluation needs pycocotools: pip install 'anonymize[eval]'") from error

        def encode(region: RegionMask) -> dict[str, Any]:
            encoded: dict[str, Any] = rle.encode(np.asfortranarray(region.to_full(size).astype(np.uint8)))
            return encoded

        size = truth.image.shape[:2]
        number = len(self.images) + 1
        self.images.append({"id": number, "height": size[0], "width": size[1]})
        for crowd, regions in ((0, truth.people), (1, (truth.ignore,) if truth.ignore.area else ())):
            for region in regions:
                x1, y1, x2, y2 = region.box_xyxy
                self.truths.append(
                    {
                        "id": len(self.truths) + 1,
                        "image_id": number,
                        "category_id": 1,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": region.area,
                        "segmentation": encode(region),
                        "iscrowd": crowd,
                    }
                )
        for box, score, region in zip(found.boxes_xyxy, found.scores, found.masks, strict=True):
            common = {"image_id": number, "category_id": 1, "score": float(score)}
            left, top, right, bottom = box.tolist()
            self.boxes.append(common | {"bbox": [left, top, right - left, bottom - top]})
            self.masks.append(common | {"segmentation": encode(region)})
        painted = np.zeros(size, np.bool_)
        for region in covers_of(Tracks(found, np.arange(1, len(found) + 1), np.zeros(len(found), np.bool_))):
            painted[region.slices] |= region.mask
        people = truth.ignore.to_full(size)
        for person in truth.people:
            people[person.slices] |= person.mask
            self.heights.append(person.mask.shape[0])
            self.areas.append(person.area)
            self.covers.append(float(painted[person.slices][person.mask].mean()))
            self.ious.append(max((mask_iou(person, m) for m in found.masks), default=0.0))
        self.spill.append(float(painted[~people].mean()) if not people.all() else 0.0)

    def summary(self) -> dict[str, float]:
        """All figures, by name."""
        heights, covers = np.array(self.heights), np.array(self.covers)
        figures = {"pictures": float(len(self.images)), "people": float(len(heights))}
        for name, results, kind in (("box", self.boxes, "bbox"), ("mask", self.masks, "segm")):
            ap, ap50 = average_precision(self.images, self.truths, results, kind)
            figures |= {f"{name}_ap": ap, f"{name}_ap50": ap50}
        if len(heights):
            figures |= {"mask_iou_mean": float(np.mean(self.ious)), "covered_mean": float(covers.mean())}
            figures["recall"] = float((covers >= COVERED).mean())
            areas = np.where(heights > LARGE_PX, np.array(self.areas), 0)
            if areas.any():
                figures["covered_pixels_large"] = float(np.average(covers, weights=areas))
            for low, high in itertools.pairwise(HEIGHT_BINS_PX):
                chosen = (heights >= low) & (heights < high)
                if chosen.any():
                    label = f"recall_{low}_to_{high}_px" if high < 1 << 20 else f"recall_from_{low}_px"
                    figures[label] = float((covers[chosen] >= COVERED).mean())
        figures["background_painted"] = float(np.mean(self.spill)) if self.spill else 0.0
        if self.geodesic_errors_cm:
            figures["geodesic_error_median_cm"] = float(np.median(np.concatenate(self.geodesic_errors_cm)))
            figures["left_for_right"] = float(np.concatenate(self.swapped).mean())
        return figures

    def add_surface(
        self, truth: Truth, found: Detections, landmark_embedding: torch.Tensor, surface: BodySurface
    ) -> None:
        """Take the surface of one picture: predicted and true landmark of each pixel of matched people.

        Args:
            truth: With landmarks.
            found: With embeddings.
            landmark_embedding: [L, D] of the network.
            surface: That the landmarks are of.
        """
        if truth.landmarks is None or found.embeddings is None:
            return
        table = torch.nn.functional.normalize(landmark_embedding.float().cpu(), dim=1)
        for person in truth.people:
            ious = [mask_iou(person, m) if c else 0.0 for m, c in zip(found.masks, found.has_cse, strict=True)]
            if not ious or max(ious) < 0.5:
                continue
            rows, columns = np.nonzero(person.mask)
            rows, columns = rows + person.y, columns + person.x
            true = truth.landmarks[rows, columns].astype(np.int64)
            points = np.stack([columns, rows], 1).astype(np.float32) + 0.5
            guess = read_landmarks(found, int(np.argmax(ious)), points, table)
            usable = (true >= 0) & (guess >= 0)
            if usable.any():
                true, guess = true[usable], guess[usable]
                self.geodesic_errors_cm.append(surface.geodesics_cm[true, guess].astype(np.float32))
                self.swapped.append(swapped_limbs(true, guess, surface))


def false_alarms(frames: Iterable[Detections]) -> dict[str, float]:
    """Figures of a film without people: detections a thousand frames, share of frames with any."""
    counts = np.array([len(found) for found in frames])
    return {
        "frames": float(len(counts)),
        "false_alarms_per_1000_frames": float(1000 * counts.mean()) if len(counts) else 0.0,
        "frames_with_false_alarm": float((counts > 0).mean()) if len(counts) else 0.0,
    }


def batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Consecutive parts of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def truth_of(image: UInt8Array, instances: np.ndarray, ignore: BoolArray, landmarks: np.ndarray | None) -> Truth:
    """A picture's truth from its instance map [H, W]."""
    people = [RegionMask.from_full(instances == k) for k in np.unique(instances) if k > 0]
    return Truth(image, tuple(p for p in people if p.area >= 24), RegionMask.from_full(ignore), landmarks)
