"""What the detector is trained to minimise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, generalized_box_iou_loss, roi_align

from anonymize.core.types import FloatArray
from anonymize.detect.network import (
    REGION_SIZE,
    STRIDES,
    DetectorNetwork,
    Features,
    Regions,
    cell_centers,
    enlarged,
)

CELLS_PER_PERSON = 10
SCORE_POWER, IOU_POWER = 0.5, 6.0
SMALLEST_REACH_PX = 6.0
"""Cells whose centres lie this near to a person's centre may be theirs, however small the box is."""
SURFACE_POINTS = 96
SIMILARITY_SCALE = 20.0
GEODESIC_SIGMA_CM = 6.0
KERNEL_SIGMA_CM = 25.0
PART_WEIGHT = 0.3
MIN_MASK_PX = 16
"""Smaller people teach neither mask nor surface."""


@dataclass(eq=False)
class Batch:
    """Training pictures and their truth on one device.

    Attributes:
        pictures: [B, 3, H, W] uint8 from the loader; float in [0, 1] once on the device.
        person: [B, 1, H/4, W/4] float, share of a cell that is a person.
        known: [B, 1, H/4, W/4] float, 0 where it is not known whether a person is there.
        ignore: [B, 1, H/8, W/8] float, share of a cell in which boxes may be missing.
        instances: [B, H, W] uint8.
        landmarks: [B, H, W] int16.
        parts: [B, H, W] uint8.
        boxes: B tensors [K, 4], xyxy.
        weights: B tensors [K], how sure each box is, in [0, 1].
        numbers: B tensors [K], each box's value in `instances`; 0 where the mask is not known.
    """

    pictures: Tensor
    person: Tensor
    known: Tensor
    ignore: Tensor
    instances: Tensor
    landmarks: Tensor
    parts: Tensor
    boxes: list[Tensor]
    weights: list[Tensor]
    numbers: list[Tensor]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, ready for the network."""
        moved: dict[str, Any] = {
            name: [v.to(device, non_blocking=True) for v in value]
            if isinstance(value, list)
            else value.to(device, non_blocking=True)
            for name, value in vars(self).items()
        }
        batch = Batch(**moved)
        return replace(batch, pictures=batch.pictures.float() / 255)


@dataclass(frozen=True, eq=False)
class SurfaceTargets:
    """What the CSE loss knows of the body surface.

    Attributes:
        closeness: [L, L] float, row i is the soft target of landmark i: a Gaussian of the geodesic distance, sum 1.
        parts: [25, L] float, row p is 1 where the landmark lies on BodyPix part p.
    """

    closeness: Tensor
    parts: Tensor

    @classmethod
    def build(cls, geodesics_cm: Tensor, part_of_landmark: Tensor, device: torch.device) -> SurfaceTargets:
        closeness = torch.exp(-(geodesics_cm.float() ** 2) / (2 * GEODESIC_SIGMA_CM**2))
        parts = F.one_hot(part_of_landmark.long(), 25).T.float()
        return cls((closeness / closeness.sum(1, keepdim=True)).to(device), parts.to(device))


def smooth_embedding(geodesics_cm: FloatArray, dimensions: int) -> FloatArray:
    """Where the landmarks' embedding begins: unit vectors [L, D] float32 whose cosine falls with geodesic distance.

    The largest eigenvectors of a heat kernel on the surface, smooth as the basis of Neverova et al. 2020, section 3.2.
    From random vectors, an hour of training on two cores stays at the loss of chance.
    """
    kernel = np.exp(-(geodesics_cm.astype(np.float64) ** 2) / (2 * KERNEL_SIGMA_CM**2))
    values, vectors = np.linalg.eigh(kernel)
    embedding = vectors[:, -dimensions:] * np.sqrt(np.maximum(values[-dimensions:], 0))
    unit: FloatArray = (embedding / np.linalg.norm(embedding, axis=1, keepdims=True)).astype(np.float32)
    return unit


class Assignment(NamedTuple):
    """Which cells of a picture are to find which people.

    Attributes:
        cells: [P] indices of the cells that have a person.
        people: [P] index of each one's person.
        targets: [P] float in [0, 1], score that the cell is to give.
    """

    cells: Tensor
    people: Tensor
    targets: Tensor


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, centers: Tensor, truth: Tensor) -> Assignment:
    """Task-aligned assignment (Feng et al. 2021): the cells that both score and place a person best.

    Args:
        scores: [N] of the cells, in [0, 1].
        boxes: [N, 4] of the cells.
        centers: [N, 2] of the cells.
        truth: [K, 4], the people's boxes.
    """
    middle, half = (truth[:, :2] + truth[:, 2:]) / 2, (truth[:, 2:] - truth[:, :2]) / 2
    away = (centers[None] - middle[:, None]).abs()  # [K, N, 2]
    inside = (away <= half.clamp(min=SMALLEST_REACH_PX)[:, None]).all(2)
    iou = box_iou(truth, boxes) * inside
    alignment = scores.clamp(min=1e-6) ** SCORE_POWER * (iou + 1e-3) ** IOU_POWER * inside
    best = torch.zeros_like(inside)
    count = min(CELLS_PER_PERSON, len(scores))
    best.scatter_(1, alignment.topk(count, dim=1).indices, True)
    best &= inside
    claims = torch.where(best, iou + 1e-6, 0.0)
    person = claims.argmax(0)  # a cell that several people claim is the one's whom it places best
    chosen = best & F.one_hot(person, len(truth)).T.bool()
    alignment, iou = alignment * chosen, iou * chosen
    top = alignment.amax(1, keepdim=True).clamp(min=1e-12)
    targets = alignment / top * iou.amax(1, keepdim=True)
    cells = chosen.any(0).nonzero()[:, 0]
    people = person[cells]
    return Assignment(cells, people, targets[people, cells])


def box_losses(network: DetectorNetwork, features: Features, batch: Batch) -> dict[str, Tensor]:
    """Losses of the people's scores and boxes, see `cell_losses`."""
    logits, boxes = network.cells(features)
    centers = torch.cat(
        [cell_centers(x.shape[-2:], s, x.device) for x, s in zip(features.levels, STRIDES, strict=True)]
    )
    unknown = torch.cat([F.avg_pool2d(batch.ignore, s // 8).flatten(1) for s in STRIDES], dim=1) > 0.5
    return cell_losses(logits, boxes, centers, unknown, batch.boxes, batch.weights)


def cell_losses(
    logits: Tensor, boxes: Tensor, centers: Tensor, unknown: Tensor, truths: list[Tensor], sureness: list[Tensor]
) -> dict[str, Tensor]:
    """Losses of the scores (cross-entropy with soft targets) and of the boxes (Rezatofighi et al. 2019).

    Args:
        logits: [B, N] of the cells.
        boxes: [B, N, 4] of the cells, xyxy.
        centers: [N, 2] of the cells.
        unknown: [B, N] bool, cells of which it is not known whether they show anything.
        truths: B tensors [K, 4], the true boxes.
        sureness: B tensors [K] in [0, 1].
    """
    target, weight = torch.zeros_like(logits), 1.0 - unknown.float()
    near: list[Tensor] = []
    mass: list[Tensor] = []
    for i, (truth, sure) in enumerate(zip(truths, sureness, strict=True)):
        if not len(truth):
            continue
        found = assign(logits[i].detach().sigmoid(), boxes[i].detach(), centers, truth)
        target[i, found.cells] = found.targets
        weight[i, found.cells] = sure[found.people]
        distance = generalized_box_iou_loss(boxes[i, found.cells], truth[found.people], reduction="none")
        share = found.targets * sure[found.people]
        near.append((distance * share).sum())
        mass.append(share.sum())
    total = torch.stack(mass).sum().clamp(min=1.0) if mass else logits.new_ones(())
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
    box = torch.stack(near).sum() if near else boxes.sum() * 0
    return {"score": entropy / total, "box": box / total}


def person_map_losses(logits: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Cross-entropy and Dice (Milletari et al. 2016) of the dense person map."""
    logits = logits.float()
    entropy = F.binary_cross_entropy_with_logits(logits, batch.person, reduction="none")
    probability = logits.sigmoid() * batch.known
    target = batch.person * batch.known
    dice = 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)
    return {"person": (entropy * batch.known).sum() / batch.known.sum().clamp(min=1), "dice": dice}


def jitter(boxes: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Boxes [K, 4] as an imperfect box head would give them."""
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    noise = torch.randn(boxes.shape, generator=generator).to(boxes.device)
    return boxes + (0.05 * noise).clamp(-0.12, 0.12) * size


class Chosen(NamedTuple):
    """People of a batch whose regions are learnt.

    Attributes:
        boxes: Jittered regions [k, 4] round the people of each picture.
        pictures: [K] picture of each person.
        numbers: [K] number of each in the picture's instances.
    """

    boxes: list[Tensor]
    pictures: Tensor
    numbers: Tensor

    @property
    def flat(self) -> Tensor:
        return torch.cat(self.boxes)


def choose(batch: Batch, limit: float) -> Chosen:
    """At most about `limit` people of a batch with a known mask, large enough to learn from."""
    usable = [
        (numbers > 0) & ((boxes[:, 2:] - boxes[:, :2]).amax(1) >= MIN_MASK_PX)
        for boxes, numbers in zip(batch.boxes, batch.numbers, strict=True)
    ]
    total = sum(int(u.sum()) for u in usable)
    share = min(1.0, limit / max(1, total))
    boxes, pictures, numbers = [], [], []
    for i, (all_boxes, all_numbers) in enumerate(zip(batch.boxes, batch.numbers, strict=True)):
        pick = usable[i] & (torch.rand(len(all_boxes)).to(all_boxes.device) < share)
        boxes.append(jitter(enlarged(all_boxes[pick])))
        pictures.append(torch.full((int(pick.sum()),), i, device=all_boxes.device))
        numbers.append(all_numbers[pick])
    return Chosen(boxes, torch.cat(pictures), torch.cat(numbers))


def region_losses(
    network: DetectorNetwork, features: Features, batch: Batch, surface: SurfaceTargets, limit: float
) -> dict[str, Tensor]:
    """Losses of mask and embedding over jittered true boxes."""
    people = choose(batch, limit)
    if not len(people.numbers):
        zero = features.merged.sum() * 0
        return {"mask": zero, "outline": zero, "vertex": zero, "part": zero}
    regions = Regions(*(values.float() for values in network.regions(features.merged, people.boxes)))
    own = (batch.instances[people.pictures] == people.numbers[:, None, None]).float()[:, None]  # [K, 1, H, W]
    unknown = F.interpolate(batch.ignore, size=batch.instances.shape[1:])[people.pictures]
    target = _over_boxes(own, people.flat)
    weight = 1 - _over_boxes(unknown * (1 - own), people.flat)
    probability = regions.masks.sigmoid() * weight
    overlap = (probability * target).sum((1, 2))
    dice = 1 - (2 * overlap + 1) / (probability.sum((1, 2)) + (target * weight).sum((1, 2)) + 1)
    return {
        "mask": F.binary_cross_entropy_with_logits(regions.masks, target, weight),
        "outline": dice.mean(),
    } | surface_losses(network, regions.embeddings, batch, surface, people)


def _over_boxes(planes: Tensor, boxes: Tensor) -> Tensor:
    """Planes [K, 1, H, W] read over each one's own box [K, 4], [K, S, S] in [0, 1]."""
    rois = torch.cat([torch.arange(len(boxes), device=boxes.device)[:, None].float(), boxes], dim=1)
    values: Tensor = roi_align(planes, rois, REGION_SIZE, aligned=True)[:, 0]
    return values


def surface_losses(
    network: DetectorNetwork, embeddings: Tensor, batch: Batch, surface: SurfaceTargets, people: Chosen
) -> dict[str, Tensor]:
    """Loss of the embeddings [K, D, S, S] (Neverova et al. 2020, soft targets by geodesic distance).

    Rendered people and those to whom a body was fitted have a landmark a pixel; of others at most the body part is
    known, whose landmarks share the target's mass.
    """
    stretched = F.interpolate(embeddings, scale_factor=2, mode="bilinear", align_corners=False)
    points, landmarks, parts = surface_points(batch, people)  # [K, P, 2], [K, P], [K, P]
    exact, weak = landmarks >= 0, (landmarks < 0) & (parts > 0)
    predicted = F.grid_sample(stretched, points[:, :, None], align_corners=False)[..., 0]  # [K, D, P]
    predicted = F.normalize(predicted.transpose(1, 2), dim=2)
    table = F.normalize(network.vertex_embedding.float(), dim=1).T

    def log_probability(chosen: Tensor) -> Tensor:
        return (SIMILARITY_SCALE * predicted[chosen] @ table).log_softmax(dim=1)  # [N, L]

    losses = {"vertex": predicted.sum() * 0, "part": predicted.sum() * 0}
    if bool(exact.any()):
        soft = surface.closeness[landmarks[exact].long()]
        losses["vertex"] = -(soft * log_probability(exact)).sum(1).mean()
    if bool(weak.any()):
        inside = surface.parts[parts[weak].long()]
        mass = (log_probability(weak) + torch.where(inside > 0, 0.0, -1e4)).logsumexp(dim=1)
        losses["part"] = -PART_WEIGHT * mass.mean()
    return losses


def surface_points(batch: Batch, people: Chosen) -> tuple[Tensor, Tensor, Tensor]:
    """Random pixels of each person: place in the box [K, P, 2] in [-1, 1], landmark [K, P] (-1) and part [K, P] (0)."""
    boxes, pictures, numbers = people.flat, people.pictures, people.numbers
    count = len(boxes)
    place = torch.rand(count, 4 * SURFACE_POINTS, 2).to(boxes.device) * 2 - 1
    pixel = boxes[:, None, :2] + (place + 1) / 2 * (boxes[:, None, 2:] - boxes[:, None, :2])
    height, width = batch.instances.shape[1:]
    x, y = pixel[..., 0].floor().long(), pixel[..., 1].floor().long()
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y, picture = x.clamp(0, width - 1), y.clamp(0, height - 1), pictures[:, None].expand(x.shape)
    own = inside & (batch.instances[picture, y, x] == numbers[:, None])
    order = own.float().argsort(dim=1, descending=True)[:, :SURFACE_POINTS]
    own = own.gather(1, order)
    landmarks = batch.landmarks[picture, y, x].gather(1, order).long()
    parts = batch.parts[picture, y, x].gather(1, order).long()
    place = place.gather(1, order[..., None].expand(-1, -1, 2))
    return place, torch.where(own, landmarks, -1), torch.where(own, parts, 0)
