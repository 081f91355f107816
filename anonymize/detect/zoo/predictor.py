"""Pictures in, `Detections` out: Mask R-CNN and DensePose CSE of the zoo, their masks matched (thesis 4.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from anonymize.core.device import log_torch, low_precision
from anonymize.core.errors import WeightsError
from anonymize.core.masks import paste
from anonymize.core.types import Detections, FloatArray, RegionMask, UInt8Array
from anonymize.detect.batches import by_size
from anonymize.detect.matching import match_by_iou
from anonymize.detect.zoo.checkpoint import read_model
from anonymize.detect.zoo.heads import SURFACE
from anonymize.detect.zoo.network import Predictions, ZooNetwork, build_network
from anonymize.detect.zoo.preprocess import MAX_SIDE, MIN_SIDE, resized_hw, to_input
from anonymize.detect.zoo.torchvision_network import SUFFIX, TorchvisionNetwork, read_torchvision_network

DEFAULT_SCORE = 0.5
PERSON = 0
SIZE = 112


class ZooDetector:
    """Finds people with a Mask R-CNN and, if given, their surface with a CSE.

    Args:
        masks: A network that predicts masks.
        surface: A network that predicts surface embeddings; without one no person has CSE.
        device: Where to compute.
        score: People with a lower score are left out, in [0, 1].
        shorter, longer: Sides that pictures are resized to, see `resized_hw`; torchvision's network has its own.
        dtype: Precision of the networks, float32 or bfloat16.

    Raises:
        WeightsError: The networks are of the wrong kinds.
    """

    def __init__(
        self,
        masks: ZooNetwork | TorchvisionNetwork,
        surface: ZooNetwork | None = None,
        *,
        device: torch.device | str = "cpu",
        score: float = DEFAULT_SCORE,
        shorter: int = MIN_SIDE,
        longer: int = MAX_SIDE,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if (isinstance(masks, ZooNetwork) and masks.config.surface) or (
            surface is not None and not surface.config.surface
        ):
            raise WeightsError("the zoo's detector needs a Mask R-CNN first and a CSE second")
        self.device, self.dtype = torch.device(device), dtype
        self._masks, self._bodies = masks, surface
        for network in (masks, surface):
            if network is not None:
                network.score = score
                network.fold().lower(dtype).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.surface = None if surface is None else SURFACE
        self.shorter, self.longer = shorter, longer

    @torch.inference_mode()
    def vertices(self) -> Tensor | None:
        """Embeddings of the surface's vertices, [V, D] float32 of length 1; None if it predicts no surface."""
        return None if self._bodies is None else self._bodies.vertices().float()

    @torch.inference_mode()
    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        """See `Detector.detect`. Pictures of one size go through the networks as one batch."""
        results: dict[int, Detections] = {}
        for size, indices in by_size(images).items():
            same = [images[i] for i in indices]
            resized = resized_hw(size, self.shorter, self.longer)
            given = size if self._masks.resizes else resized
            inputs = self._inputs(same, given)
            found = self._masks(inputs)
            bodies: list[Predictions | None] = [None] * len(same)
            if self._bodies is not None:
                bodies = self._bodies(inputs if given == resized else self._inputs(same, resized))
            for index, people, body in zip(indices, found, bodies, strict=True):
                results[index] = assemble(size, given, people, body, resized)
        return [results[i] for i in range(len(images))]

    def _inputs(self, images: Sequence[UInt8Array], size_hw: tuple[int, int]) -> list[Tensor]:
        return [to_input(image, size_hw).to(self.device) for image in images]


def boxes_in(size_hw: tuple[int, int], resized: tuple[int, int], boxes: Tensor) -> FloatArray:
    """Boxes [N, 4] of the resized picture in pixels of a picture of `size_hw`."""
    scale = boxes.new_tensor([size_hw[1] / resized[1], size_hw[0] / resized[0]]).repeat(2)
    return (boxes * scale).cpu().numpy().astype(np.float32)


def paste_fading(values: FloatArray, box_xyxy: FloatArray, size_hw: tuple[int, int]) -> RegionMask:
    """`paste` with zeros round the head's output, as Detectron2 has it.

    Args:
        values: [S, S] float32 in [0, 1] over the box.
        box_xyxy: [4] float32.
        size_hw: Size of the frame.
    """
    cell = (box_xyxy[2:] - box_xyxy[:2]) / np.array(values.shape[::-1], np.float32)
    wider = np.concatenate([box_xyxy[:2] - cell, box_xyxy[2:] + cell]).astype(np.float32)
    return paste(np.pad(values, 1), wider, size_hw)


def assemble(
    size_hw: tuple[int, int],
    given: tuple[int, int],
    people: Predictions,
    bodies: Predictions | None,
    resized: tuple[int, int],
) -> Detections:
    """One frame's predictions to people, see `merge`.

    Args:
        size_hw: Size of the frame.
        given: Size of the Mask R-CNN's input.
        people: Of the Mask R-CNN.
        bodies: Of the CSE; whom only it found is a person too.
        resized: Size of the CSE's input.
    """
    chosen = (people.classes == PERSON).nonzero()[:, 0]
    boxes, scores = boxes_in(size_hw, given, people.boxes[chosen]), people.scores[chosen].cpu().numpy()
    assert people.masks is not None
    values = people.masks[chosen].cpu().numpy()
    regions = [paste_fading(mask, box, size_hw) for mask, box in zip(values, boxes, strict=True)]
    return merge(size_hw, boxes, scores, regions, bodies, resized)


def merge(
    size_hw: tuple[int, int],
    boxes: FloatArray,
    scores: FloatArray,
    regions: list[RegionMask],
    bodies: Predictions | None,
    resized: tuple[int, int] | None = None,
) -> Detections:
    """People's masks and the surfaces of another network to `Detections`: matched and merged.

    Args:
        size_hw: Size of the frame.
        boxes: [N, 4] float32 xyxy of the people, in pixels of the frame.
        scores: [N] float32.
        regions: Their N masks.
        bodies: Of the CSE; whom only it found is a person too.
        resized: Size of the picture that the boxes of `bodies` refer to, if it is not the frame's.
    """
    if bodies is None:
        rows = [i for i, region in enumerate(regions) if region.area]
        masks = tuple(regions[i] for i in rows)
        return Detections(size_hw, boxes[rows], scores[rows], masks, np.zeros(len(rows), np.bool_), surface=SURFACE)
    assert bodies.segmentations is not None and bodies.embeddings is not None
    body_boxes, body_scores = boxes_in(size_hw, resized or size_hw, bodies.boxes), bodies.scores.cpu().numpy()
    probabilities = bodies.segmentations.softmax(1)[:, 1]
    body_regions = [paste_fading(p, b, size_hw) for p, b in zip(probabilities.cpu().numpy(), body_boxes, strict=True)]
    found = _matched(boxes, scores, regions, body_boxes, body_scores, body_regions)
    if not found:
        return Detections.empty(size_hw, SURFACE)
    source = torch.tensor([j for *_, j in found], device=probabilities.device)
    known = (source >= 0).float()
    # no box was found at all: rows of zeros of the right shape
    pick = source.clamp(min=0)
    if len(bodies):
        embeddings = bodies.embeddings[pick] * known[:, None, None, None]
        segmentations = probabilities[pick] * known[:, None, None]
    else:
        embeddings = bodies.embeddings.new_zeros((len(found), *bodies.embeddings.shape[1:]))
        segmentations = probabilities.new_zeros((len(found), SIZE, SIZE))
    return Detections(
        size_hw=size_hw,
        boxes_xyxy=np.stack([box for box, *_ in found]).astype(np.float32),
        scores=np.array([score for _, score, _, _ in found], np.float32),
        masks=tuple(mask for _, _, mask, _ in found),
        has_cse=np.array([j >= 0 for *_, j in found]),
        embeddings=embeddings,
        segmentations=segmentations,
        surface=SURFACE,
    )


def _matched(
    boxes: FloatArray,
    scores: FloatArray,
    regions: list[RegionMask],
    body_boxes: FloatArray,
    body_scores: FloatArray,
    body_regions: list[RegionMask],
) -> list[tuple[FloatArray, float, RegionMask, int]]:
    """People of two networks as (box, score, mask, row of the CSE or -1), each once.

    Embeddings are over the CSE's own box, so that box goes with them.
    """
    partner = dict(match_by_iou(regions, body_regions))
    found: list[tuple[FloatArray, float, RegionMask, int]] = []
    for i, region in enumerate(regions):
        if i in partner:
            j = partner[i]
            found.append((body_boxes[j], float(scores[i]), RegionMask.union([region, body_regions[j]]), j))
        elif region.area:
            found.append((boxes[i], float(scores[i]), region, -1))
    lone = set(range(len(body_regions))) - set(partner.values())
    found += [(body_boxes[j], float(body_scores[j]), body_regions[j], j) for j in sorted(lone) if body_regions[j].area]
    return found


def build_zoo_detector(
    masks: Path,
    surface: Path | None = None,
    *,
    score: float | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> ZooDetector:
    """A detector from checkpoints of Detectron2's, torchvision's and DensePose's model zoos.

    Args:
        masks: The file of a Mask R-CNN: `.pth` of torchvision's, else of Detectron2's.
        surface: The file of a DensePose CSE; without one no person has CSE.
        score: People with a lower score are left out, in [0, 1]; None for `DEFAULT_SCORE`.
        device: Where to compute.
        dtype: Precision of the networks, float32 or bfloat16; None for bfloat16 where the device computes in it.

    Raises:
        WeightsError: A file cannot be read or is of another model.
    """
    people = read_torchvision_network(masks) if masks.suffix == SUFFIX else build_network(read_model(masks), masks)
    bodies = None if surface is None else build_network(read_model(surface), surface)
    sure = DEFAULT_SCORE if score is None else score
    precision = low_precision(torch.device(device)) if dtype is None else dtype
    log_torch("detector", torch.device(device), precision)
    return ZooDetector(people, bodies, device=device, score=sure, dtype=precision)
