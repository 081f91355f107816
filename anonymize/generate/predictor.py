"""Requests in, pictures of new people out: the generator with what comes before and after it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from anonymize.errors import OptionError
from anonymize.generate.crops import build_condition, contain, crop_box, cut, sample_surface, snap
from anonymize.generate.latents import draw_latent, draw_noise, truncate
from anonymize.generate.network import GeneratorNetwork
from anonymize.types import Detections, FloatArray, IntArray, PersonRequest, Tracks, UInt8Array

T = TypeVar("T")
DEFAULT_TRUNCATION = 0.7
BATCH = 8
STEADINESS = 0.6
"""Share of the last frame's rectangle in this frame's, so that a person's crop does not jump."""
REMEMBERED = 256
"""People whose rectangle and noise are kept; who has not been seen for so many others is forgotten."""


class EmbeddedGenerator:
    """Makes a new person for each track: same track and seed, same look.

    Args:
        network: The network with its weights; changed for inference, do not train it further.
        seed: Of the people's looks.
        truncation: t in [0, 1], see `truncate`.
        identities: z [latent] each, from `read_identity`; track 1 takes the first, and so on in turn. Without any, z is
            drawn from (seed, track).
        device: Where to compute.

    Raises:
        OptionError: The truncation is out of range.
    """

    def __init__(
        self,
        network: GeneratorNetwork,
        *,
        seed: int = 0,
        truncation: float = DEFAULT_TRUNCATION,
        identities: Sequence[Tensor] = (),
        device: torch.device | str = "cpu",
    ) -> None:
        if not 0 <= truncation <= 1:
            raise OptionError(f"truncation must be in [0, 1], got {truncation:g}")
        self.device = torch.device(device)
        self.config = network.config
        self.seed, self.truncation, self.identities = seed, truncation, list(identities)
        network = network.eval().requires_grad_(False)
        network.fold()
        self._precision = low_precision(self.device)
        self.network = network.to(self.device, self._precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._boxes: OrderedDict[int, FloatArray] = OrderedDict()
        self._people: OrderedDict[int, tuple[Tensor, list[Tensor]]] = OrderedDict()

    def place(self, tracks: Tracks) -> IntArray:
        """The rectangle that each person of a frame is generated in; call once a frame, in the frames' order.

        Returns:
            [N, 4] int64 xyxy, at least the person's mask; steady along a track. Empty masks have empty rectangles.
        """
        boxes = np.zeros((len(tracks), 4), np.int64)
        for row, (track, region) in enumerate(zip(tracks.ids.tolist(), tracks.detections.masks, strict=True)):
            if region.area == 0:
                continue
            box = crop_box(region, tracks.detections.boxes_xyxy[row], self.config.size_hw)
            if track in self._boxes:
                steady = STEADINESS * self._boxes[track] + (1 - STEADINESS) * box
                box = contain(steady, np.array(region.box_xyxy, np.float32))
            _remember(self._boxes, track, box)
            boxes[row] = snap(box)
        return boxes

    @torch.inference_mode()
    def generate(self, requests: Sequence[PersonRequest]) -> list[UInt8Array]:
        """Make people, in batches across frames.

        Returns:
            For each request [h, w, 3] uint8 RGB, which stretched over `box_xyxy` shows the new person where the request
            hides the frame, and the frame elsewhere.
        """
        pictures: list[UInt8Array] = []
        for start in range(0, len(requests), BATCH):
            pictures += self._generate(requests[start : start + BATCH])
        return pictures

    def _generate(self, requests: Sequence[PersonRequest]) -> list[UInt8Array]:
        embeddings, segmentations = _predictions(requests, self.config.embedding, self.device)
        size = self.config.size_hw
        boxes = np.stack([r.tracks.detections.boxes_xyxy[r.row] for r in requests])
        crops = np.stack([r.box_xyxy for r in requests]).astype(np.float32)
        surface, body = sample_surface(embeddings, segmentations, boxes, crops, size)
        condition = build_condition([cut(r.image, r.hidden, r.box_xyxy, size) for r in requests], surface, body)
        people = [self._person(int(r.tracks.ids[r.row])) for r in requests]
        w = torch.stack([w for w, _ in people])
        noise = [torch.stack(level) for level in zip(*(n for _, n in people), strict=True)]
        low = condition.to(self._precision).contiguous(memory_format=torch.channels_last)
        made = self.network(low, w, noise).float()
        pixels = ((made + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return list(pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy())

    def _person(self, track: int) -> tuple[Tensor, list[Tensor]]:
        """w and noise of a track."""
        if track not in self._people:
            if self.identities:
                z = self.identities[(track - 1) % len(self.identities)]
            else:
                z = draw_latent(self.seed, track, self.config.latent)
            w = self.network.mapping(z.to(self.device, self._precision)[None])
            w = w if self.identities else truncate(w, self.network.w_centers, self.truncation)
            noise = draw_noise(self.seed, track, self.config.noise_sizes)
            person = w[0].to(self._precision), [n.to(self.device, self._precision) for n in noise]
            _remember(self._people, track, person)
        self._people.move_to_end(track)
        return self._people[track]

    @torch.inference_mode()
    def read_identity(self, image: UInt8Array, detections: Detections) -> tuple[Tensor, int]:
        """z of the most prominent person of a picture, through the appearance mapper.

        Args:
            image: [H, W, 3] uint8 RGB.
            detections: The people in it.

        Returns:
            z [latent] float32 and which of the people was taken: the largest whose surface is known.

        Raises:
            OptionError: There is nobody to take, or this generator cannot read pictures.
        """
        if self.network.mapper is None:
            raise OptionError("this generator has no appearance mapper, so it cannot take identities from pictures")
        areas = np.array([m.area for m in detections.masks], np.float64) * detections.has_cse
        if not areas.size or areas.max() == 0:
            raise OptionError("no person with a usable surface was found in the picture")
        row = int(areas.argmax())
        tracks = Tracks(detections, np.arange(1, len(detections) + 1), np.zeros(len(detections), np.bool_))
        region, size = detections.masks[row], self.config.size_hw
        box = snap(crop_box(region, detections.boxes_xyxy[row], size))
        outside = ~region.to_full(detections.size_hw)
        request = PersonRequest(image, outside, box, tracks, row)
        embeddings, segmentations = _predictions([request], self.config.embedding, self.device)
        boxes, crops = detections.boxes_xyxy[row : row + 1], box[None].astype(np.float32)
        surface, body = sample_surface(embeddings, segmentations, boxes, crops, size)
        seen = build_condition([cut(image, outside, box, size)], surface, body)
        mask = (1 - seen[:, 3:4]) * (1 - seen[:, -1:])
        appearance = torch.cat([seen[:, :3] * mask, mask, surface, body], 1).to(self._precision)
        mean, _ = self.network.mapper(appearance.contiguous(memory_format=torch.channels_last))
        return mean[0].float().cpu(), row


def low_precision(device: torch.device) -> torch.dtype:
    """What the generator computes in: bfloat16, whose range the styles need, where the device has it."""
    if device.type == "cuda" or (device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return torch.bfloat16
    return torch.float32


def _predictions(requests: Sequence[PersonRequest], channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Embeddings [N, D, S, S] and body probabilities [N, S, S] of the requested people.

    Raises:
        OptionError: The surface predictions are of another kind than the generator was trained for.
    """
    embeddings, segmentations = [], []
    for request in requests:
        found = request.tracks.detections
        if found.embeddings is None or found.segmentations is None or found.embeddings.shape[1] != channels:
            shape = None if found.embeddings is None else tuple(found.embeddings.shape[1:])
            raise OptionError(f"the generator needs surface embeddings of {channels} channels, got {shape}")
        embeddings.append(found.embeddings[request.row].to(device).float())
        segmentations.append(found.segmentations[request.row].to(device).float())
    return torch.stack(embeddings), torch.stack(segmentations)


def _remember(memory: OrderedDict[int, T], track: int, value: T) -> None:
    memory[track] = value
    memory.move_to_end(track)
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
