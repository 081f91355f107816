"""Pictures in, `Detections` out: the embedded network with what comes before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from anonymize.core.masks import paste, tighten
from anonymize.core.types import Detections, FloatArray, RegionMask, UInt8Array
from anonymize.detect.batches import by_size
from anonymize.detect.network import REGION_SIZE, DetectorNetwork, best_boxes, enlarged, read_over
from anonymize.detect.plates import UNSURE_PLATE, PlateHead, best_plates
from anonymize.detect.runtime import build_runtime

DEFAULT_SCORE = 0.4
STRIDE = 32
MIN_SURFACE_PX = 16
"""People whose box is smaller, in the network's picture, have no usable surface: no training saw one."""
SAME_MASK_IOU = 0.5
"""Two masks that agree more than this show one person, if it is large enough that two people would differ."""
MIN_MERGED_PX = 40
DOUBLE_AREA = 2.5  # of a sure person's area: a larger one is of several people
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
        plates: Finds number plates; None where they are not looked for.
    """

    def __init__(
        self,
        network: DetectorNetwork,
        *,
        device: torch.device | str = "cpu",
        score: float = DEFAULT_SCORE,
        unsure: float | None = None,
        plates: PlateHead | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.network = network
        self.runtime = build_runtime(network, self.device, plates)
        self.surface: str | None = network.config.surface
        self.score = score
        self.lowest_score = score if unsure is None else min(score, unsure)

    @torch.inference_mode()
    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        """See `Detector.detect`. Pictures of one size go through the network as one batch."""
        results: dict[int, Detections] = {}
        for size_hw, indices in by_size(images).items():
            results |= zip(indices, self._detect_batch([images[i] for i in indices], size_hw), strict=True)
        return [results[i] for i in range(len(images))]

    def _detect_batch(self, images: list[UInt8Array], size_hw: tuple[int, int]) -> list[Detections]:
        pictures, scale_xy = self._prepare(images, size_hw)
        height, width = (round(side * scale) for side, scale in zip(size_hw, scale_xy[::-1], strict=True))
        logits, cells, merged, plate_cells = self.runtime.cells(pictures)
        boxes, scores = best_boxes(logits, cells, self.network.config, (height, width), self.lowest_score)
        places = [enlarged(b.float()) for b in boxes]
        regions = self.runtime.regions(merged, places)
        plates = self._plates_of(plate_cells, (height, width), scale_xy)
        starts = np.cumsum([0, *(len(b) for b in boxes)])
        return [
            assemble(
                size_hw,
                (boxes[i].float().cpu().numpy() / np.tile(scale_xy, 2)).astype(np.float32),
                (places[i].cpu().numpy() / np.tile(scale_xy, 2)).astype(np.float32),
                scores[i].float().cpu().numpy(),
                regions.masks[starts[i] : starts[i + 1]].float().sigmoid(),
                regions.embeddings[starts[i] : starts[i + 1]].float(),
                self.network.config.surface,
                MIN_SURFACE_PX / float(scale_xy.max()),
                self.score,
                None if plates is None else plates[i],
            )
            for i in range(len(images))
        ]

    @staticmethod
    def _plates_of(
        cells: tuple[Tensor, Tensor] | None, size_hw: tuple[int, int], scale_xy: FloatArray
    ) -> list[FloatArray] | None:
        """Number plates [P, 5] of each picture, in the pixels of the frame; None where they are not looked for."""
        if cells is None:
            return None
        scale = np.array([*scale_xy, *scale_xy, 1], np.float32)
        found = best_plates(*cells, size_hw, UNSURE_PLATE)
        return [(plates.float().cpu().numpy() / scale).astype(np.float32) for plates in found]

    @torch.inference_mode()
    def plates(self, images: Sequence[UInt8Array]) -> list[FloatArray]:
        """Number plates alone, [P, 5] as in `Detections.plates` for each picture.

        Raises:
            ValueError: The detector was made without a head for them.
        """
        found: dict[int, FloatArray] = {}
        for size_hw, numbers in by_size(images).items():
            pictures, scale_xy = self._prepare([images[i] for i in numbers], size_hw)
            height, width = (round(side * scale) for side, scale in zip(size_hw, scale_xy[::-1], strict=True))
            plates = self._plates_of(self.runtime.cells(pictures).plates, (height, width), scale_xy)
            if plates is None:
                raise ValueError("this detector was made without a head for number plates")
            found |= zip(numbers, plates, strict=True)
        return [found[i] for i in range(len(images))]

    @torch.inference_mode()
    def surfaces(self, images: Sequence[UInt8Array], boxes_xyxy: Sequence[FloatArray]) -> list[tuple[Tensor, Tensor]]:
        """Masks and surfaces over boxes that another detector found.

        Pictures of one size go through the network as one batch, those without a box not at all.

        Args:
            images: Pictures [H, W, 3] uint8 RGB; sizes may differ.
            boxes_xyxy: [N, 4] float32 for each, pixels of the picture.

        Returns:
            For each picture the probabilities [N, S, S] that a point of the box is the person's, and embeddings
            [N, D, S, S].
        """
        none = torch.zeros(0, REGION_SIZE, REGION_SIZE, device=self.device)
        results = [(none, none[:, None].expand(-1, self.network.config.embedding, -1, -1))] * len(images)
        for size_hw, same in by_size(images).items():
            numbers = [i for i in same if len(boxes_xyxy[i])]
            if not numbers:
                continue
            pictures, scale_xy = self._prepare([images[i] for i in numbers], size_hw)
            scale = np.tile(scale_xy, 2)
            boxes = [torch.from_numpy(boxes_xyxy[i] * scale).float().to(self.device) for i in numbers]
            places = [enlarged(b) for b in boxes]
            regions = self.runtime.regions(self.runtime.cells(pictures).merged, places)
            counts = [len(b) for b in boxes]
            planes = torch.cat([regions.masks.float().sigmoid()[:, None], regions.embeddings.float()], dim=1)
            planes = read_over(planes, torch.cat(places), torch.cat(boxes))
            masks, embeddings = planes[:, 0], planes[:, 1:]
            surfaces = zip(torch.split(masks, counts), torch.split(embeddings, counts), strict=True)
            for i, surface in zip(numbers, surfaces, strict=True):
                results[i] = surface
        return results

    def smallest_surface(self, size_hw: tuple[int, int]) -> float:
        """Longer side of the smallest box with a usable surface, in pixels of a picture of a size."""
        return MIN_SURFACE_PX / self._scale(size_hw)

    def _scale(self, size_hw: tuple[int, int]) -> float:
        config = self.network.config
        return float(min(config.size / min(size_hw), config.max_size / max(size_hw)))

    def _prepare(self, images: list[UInt8Array], size_hw: tuple[int, int]) -> tuple[Tensor, FloatArray]:
        """Batch [B, 3, H', W'] in [0, 1], sides padded to multiples of 32, and the scale in x and y."""
        scale = self._scale(size_hw)
        height, width = (max(1, round(side * scale)) for side in size_hw)
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = np.stack([cv2.resize(image, (width, height), interpolation=interpolation) for image in images])
        batch = torch.from_numpy(small).to(self.device).permute(0, 3, 1, 2).float() / 255
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        batch = F.pad(batch, padding, mode="replicate" if min(height, width) > 1 else "constant")
        scale_xy = np.array([width / size_hw[1], height / size_hw[0]], np.float32)
        return batch, scale_xy


def assemble(
    size_hw: tuple[int, int],
    boxes: FloatArray,
    regions: FloatArray,
    scores: FloatArray,
    masks: Tensor,
    embeddings: Tensor,
    surface: str,
    smallest_surface: float = 0.0,
    sure_score: float = 0.0,
    plates: FloatArray | None = None,
) -> Detections:
    """One frame's network outputs to people. A person's box holds the mask, which sees beyond the box head's.

    Args:
        size_hw: Size of the frame.
        boxes: [K, 4] float32 xyxy in the frame's pixels, inside the frame.
        regions: [K, 4] float32, what was looked at round each box.
        scores: [K] float32.
        masks: [K, S, S] float in [0, 1], over the regions.
        embeddings: [K, D, S, S] float, over the regions.
        surface: Name of the surface.
        smallest_surface: People of a smaller longer side, in the frame's pixels, have no usable surface.
        sure_score: People below give pixels to those above and take none from them, see `with_doubles`.
        plates: Number plates [P, 5] of the frame, see `Detections`.
    """
    drawn = [tighten(paste(mask, region, size_hw)) for mask, region in zip(masks.cpu().numpy(), regions, strict=True)]
    seen = np.flatnonzero([region.area > 0 for region in drawn])
    rows = torch.from_numpy(seen).to(embeddings.device)
    extents = np.array([drawn[i].box_xyxy for i in seen], np.float32).reshape(-1, 4)
    boxes = np.concatenate(
        [np.minimum(boxes[seen, :2], extents[:, :2]), np.maximum(boxes[seen, 2:], extents[:, 2:])], axis=1
    )
    planes = torch.cat([masks[rows][:, None], embeddings[rows]], dim=1)
    planes = read_over(planes, *(torch.from_numpy(b).to(planes) for b in (regions[seen], boxes)))
    has_cse = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0) >= smallest_surface
    planes = planes * torch.from_numpy(has_cse).to(planes)[:, None, None, None]
    sure = (scores[seen] >= sure_score).tolist()
    kept, merged = merge_seconds([drawn[i] for i in seen], scores[seen], sure)
    found = Detections(
        size_hw=size_hw,
        boxes_xyxy=boxes,
        scores=scores[seen].astype(np.float32),
        masks=tuple(merged),
        has_cse=has_cse,
        embeddings=planes[:, 1:],
        segmentations=planes[:, 0],
        surface=surface,
        plates=plates,
    )[kept]
    return replace(found, masks=tuple(with_doubles(found.masks, [sure[row] for row in kept])))


def merge_seconds(
    masks: Sequence[RegionMask], scores: FloatArray, sure: Sequence[bool]
) -> tuple[list[int], list[RegionMask]]:
    """Sure people who were found twice, as one: the better of two detections takes the other's pixels.

    Returns:
        The rows that stay, in order, and all masks, those of the rows that stay completed.
    """
    completed = list(masks)
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        first = next((other for other in kept if sure[row] and _same(masks[row], masks[other])), None)
        if first is None:
            kept.append(row)
        else:
            completed[first] = RegionMask.union([completed[first], masks[row]])
    return sorted(kept), completed


def _same(a: RegionMask, b: RegionMask) -> bool:
    if min(max(a.mask.shape), max(b.mask.shape)) < MIN_MERGED_PX:
        return False
    common = a.common(b)
    return common > SAME_MASK_IOU * (a.area + b.area - common)


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
