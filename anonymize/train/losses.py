"""What the detector is trained to minimise."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import roi_align

from anonymize.detect.network import CSE_SIZE, DetectorNetwork
from anonymize.types import FloatArray

SURFACE_POINTS = 96
SIMILARITY_SCALE = 20.0
GEODESIC_SIGMA_CM = 6.0
KERNEL_SIGMA_CM = 25.0
PART_WEIGHT = 0.3
MIN_SURFACE_PX = 20


@dataclass(eq=False)
class Batch:
    """Training pictures and their truth on one device.

    Attributes:
        pictures: [B, 3, H, W] uint8 from the loader; float in [0, 1] once on the device.
        person: [B, 1, H/4, W/4] float, share of a cell that is a person.
        known: [B, 1, H/4, W/4] float, 0 where there is no truth.
        ignore_sum: [B, H/8 + 1, W/8 + 1] float, summed-area table of the cells without truth.
        instances: [B, H, W] uint8.
        landmarks: [B, H, W] int16.
        parts: [B, H, W] uint8.
        boxes: B tensors [K, 4], xyxy.
        numbers: B tensors [K], each box's value in `instances`.
    """

    pictures: Tensor
    person: Tensor
    known: Tensor
    ignore_sum: Tensor
    instances: Tensor
    landmarks: Tensor
    parts: Tensor
    boxes: list[Tensor]
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


def ignored_share(boxes: Tensor, table: Tensor) -> Tensor:
    """Share of each box [K, 4] that has no truth, from a summed-area table at stride 8."""
    limit_y, limit_x = table.shape[0] - 1, table.shape[1] - 1
    cells = (boxes / 8).round().long()
    x1, x2 = cells[:, 0].clamp(0, limit_x), cells[:, 2].clamp(0, limit_x)
    y1, y2 = cells[:, 1].clamp(0, limit_y), cells[:, 3].clamp(0, limit_y)
    total = table[y2, x2] - table[y1, x2] - table[y2, x1] + table[y1, x1]
    return total / ((x2 - x1) * (y2 - y1)).clamp(min=1)


def proposal_losses(
    network: DetectorNetwork, pyramid: OrderedDict[str, Tensor], batch: Batch
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Losses of the region proposals, and the proposals [K, 4] of each picture."""
    rpn = network.rpn
    images = ImageList(batch.pictures, [tuple(batch.pictures.shape[-2:])] * len(batch.boxes))
    features = list(pyramid.values())
    objectness, deltas = rpn.head(features)
    anchors = rpn.anchor_generator(images, features)
    levels = [o.shape[1] * o.shape[2] * o.shape[3] for o in objectness]
    objectness, deltas = concat_box_prediction_layers(objectness, deltas)
    objectness, deltas = objectness.float(), deltas.float()
    decoded = rpn.box_coder.decode(deltas.detach(), anchors).view(len(anchors), -1, 4)
    proposals, _ = rpn.filter_proposals(decoded, objectness, images.image_sizes, levels)
    labels, matched = rpn.assign_targets_to_anchors(anchors, [{"boxes": boxes} for boxes in batch.boxes])
    for i, label in enumerate(labels):
        label[(label == 0) & (ignored_share(anchors[i], batch.ignore_sum[i]) > 0.25)] = -1
    targets = rpn.box_coder.encode(matched, anchors)
    objectness_loss, box_loss = rpn.compute_loss(objectness, deltas, labels, targets)
    return {"objectness": objectness_loss, "proposal": box_loss}, proposals


def box_losses(
    network: DetectorNetwork, pyramid: OrderedDict[str, Tensor], proposals: list[Tensor], batch: Batch
) -> dict[str, Tensor]:
    """Losses of the box head on sampled proposals."""
    heads = network.roi_heads
    kept = [p[(ignored_share(p, table) <= 0.25)] for p, table in zip(proposals, batch.ignore_sum, strict=True)]
    targets = [
        {"boxes": boxes, "labels": torch.ones(len(boxes), dtype=torch.int64, device=boxes.device)}
        for boxes in batch.boxes
    ]
    sampled, _, labels, regression = heads.select_training_samples(kept, targets)
    pooled = heads.box_roi_pool(pyramid, sampled, [tuple(batch.pictures.shape[-2:])] * len(sampled))
    logits, deltas = heads.box_predictor(heads.box_head(pooled))
    classification, box = fastrcnn_loss(logits.float(), deltas.float(), labels, regression)
    return {"class": classification, "box": box}


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


def chosen(batch: Batch, limit: float) -> tuple[list[Tensor], Tensor, Tensor]:
    """At most `limit` people of a batch: jittered boxes a picture, and [K] picture and number of each."""
    total = sum(len(b) for b in batch.boxes)
    share = min(1.0, limit / max(1, total))
    boxes, pictures, numbers = [], [], []
    for i, (all_boxes, all_numbers) in enumerate(zip(batch.boxes, batch.numbers, strict=True)):
        pick = torch.rand(len(all_boxes)).to(all_boxes.device) < share
        boxes.append(jitter(all_boxes[pick]))
        pictures.append(torch.full((int(pick.sum()),), i, device=all_boxes.device))
        numbers.append(all_numbers[pick])
    return boxes, torch.cat(pictures), torch.cat(numbers)


def mask_loss(
    network: DetectorNetwork, pyramid: OrderedDict[str, Tensor], batch: Batch, limit: float
) -> dict[str, Tensor]:
    """Cross-entropy of the mask head over jittered true boxes."""
    boxes, pictures, numbers = chosen(batch, limit)
    if len(numbers) == 0:
        return {"mask": batch.pictures.sum() * 0}
    logits = network.masks(batch.pictures, pyramid, boxes).float()
    target = instance_targets(batch, torch.cat(boxes), pictures, numbers, 28)
    return {"mask": F.binary_cross_entropy_with_logits(logits, target)}


def instance_targets(batch: Batch, boxes: Tensor, pictures: Tensor, numbers: Tensor, size: int) -> Tensor:
    """Each person's own pixels over their box, [K, 1, size, size] in [0, 1]."""
    own = (batch.instances[pictures] == numbers[:, None, None]).float()[:, None]  # [K, 1, H, W]
    rois = torch.cat([torch.arange(len(boxes), device=boxes.device)[:, None].float(), boxes], dim=1)
    targets: Tensor = roi_align(own, rois, (size, size), aligned=True)
    return targets


def surface_losses(
    network: DetectorNetwork, merged: Tensor, batch: Batch, surface: SurfaceTargets, limit: float
) -> dict[str, Tensor]:
    """Embedding and body mask of the CSE head (Neverova et al. 2020, soft targets by geodesic distance).

    Rendered people have a landmark a pixel; of real people only the body part is known, whose landmarks share the
    target's mass.
    """
    boxes, pictures, numbers = chosen(batch, limit)
    flat = torch.cat(boxes)
    large = ((flat[:, 2:] - flat[:, :2]).amax(1) >= MIN_SURFACE_PX) if len(flat) else torch.zeros(0, dtype=torch.bool)
    if not bool(large.any()):
        zero = batch.pictures.sum() * 0
        return {"vertex": zero, "part": zero, "body": zero}
    counts = [len(b) for b in boxes]
    boxes = [b[k] for b, k in zip(boxes, torch.split(large, counts), strict=True)]
    flat, pictures, numbers = flat[large], pictures[large], numbers[large]
    embedding, body = (_stretch(planes) for planes in network.surface(batch.pictures, merged, boxes))
    target = instance_targets(batch, flat, pictures, numbers, 2 * CSE_SIZE)
    losses = {"body": F.binary_cross_entropy_with_logits(body, target)}
    points, landmarks, parts = surface_points(batch, flat, pictures, numbers)  # [K, P, 2], [K, P], [K, P]
    predicted = F.grid_sample(embedding, points[:, :, None], align_corners=False)[..., 0]  # [K, D, P]
    predicted = F.normalize(predicted.transpose(1, 2), dim=2)
    similarity = SIMILARITY_SCALE * predicted @ F.normalize(network.vertex_embedding.float(), dim=1).T  # [K, P, L]
    log_probability = similarity.log_softmax(dim=2)
    exact, weak = landmarks >= 0, (landmarks < 0) & (parts > 0)
    zero = similarity.sum() * 0
    soft = surface.closeness[landmarks[exact].long()]
    losses["vertex"] = -(soft * log_probability[exact]).sum(1).mean() if bool(exact.any()) else zero
    inside = surface.parts[parts[weak].long()]
    mass = (log_probability[weak] + torch.where(inside > 0, 0.0, -1e4)).logsumexp(dim=1)
    losses["part"] = -PART_WEIGHT * mass.mean() if bool(weak.any()) else zero
    return losses


def _stretch(planes: Tensor) -> Tensor:
    """Planes [K, C, S, S] at twice the resolution, at which they are compared with the truth (Neverova et al. 2020)."""
    return F.interpolate(planes.float(), scale_factor=2, mode="bilinear", align_corners=False)


def surface_points(batch: Batch, boxes: Tensor, pictures: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Random pixels of each person: place in the box [K, P, 2] in [-1, 1], landmark [K, P] (-1) and part [K, P] (0)."""
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
