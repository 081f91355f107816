"""Requests in, pictures of new people out: the generator with what comes before and after it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from anonymize.core.errors import OptionError
from anonymize.core.types import Detections, PersonRequest, Tracks, UInt8Array
from anonymize.generate.base import DEFAULT_TRUNCATION, TrackGenerator, rectangles, remember
from anonymize.generate.crops import build_condition, crop_box, cut, sample_surface, snap
from anonymize.generate.latents import draw_noise
from anonymize.generate.layered import with_place
from anonymize.generate.network import GeneratorBase
from anonymize.generate.runtime import build_runtime


class EmbeddedGenerator(TrackGenerator):
    """The generator of the embedded weights.

    Args:
        network: The network with its weights; changed for inference, do not train it further.
        seed: Of the people's looks.
        truncation: t in [0, 1], toward the mean of all looks, see `truncate`.
        multi_modal: Truncate toward the nearest of the network's centres instead.
        identities: z [latent] each, from `read_identity`; track 1 takes the first, and so on in turn. Without any, z is
            drawn from (seed, track).
        device: Where to compute.

    Raises:
        OptionError: The truncation is out of range.
    """

    def __init__(
        self,
        network: GeneratorBase,
        *,
        seed: int = 0,
        truncation: float = DEFAULT_TRUNCATION,
        multi_modal: bool = False,
        identities: Sequence[Tensor] = (),
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = network.config
        super().__init__(
            size_hw=self.config.size_hw,
            latent=self.config.latent,
            surface=self.config.surface,
            seed=seed,
            truncation=truncation,
            multi_modal=multi_modal,
            identities=identities,
            device=device,
        )
        network = network.eval().requires_grad_(False)
        network.fold()
        self.runtime = build_runtime(network, self.device)
        self._precision = self.runtime.precision
        self.network = network.to(self.device, self._precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._people: OrderedDict[int, tuple[Tensor, list[Tensor]]] = OrderedDict()

    def _generate(self, requests: Sequence[PersonRequest]) -> Tensor:
        embeddings, segmentations = self._predictions(requests, self.config.embedding)
        surface, body = sample_surface(embeddings, segmentations, *rectangles(requests), self.size_hw)
        condition = build_condition([cut(r.image, r.hidden, r.box_xyxy, self.size_hw) for r in requests], surface, body)
        if self.config.alpha:
            condition = with_place(condition)
        people = [self._person(int(r.tracks.ids[r.row])) for r in requests]
        w = torch.stack([w for w, _ in people])
        noise = [torch.stack(level) for level in zip(*(n for _, n in people), strict=True)]
        return self.runtime.make(condition, w, noise)

    def _person(self, track: int) -> tuple[Tensor, list[Tensor]]:
        """w and noise of a track."""
        if track not in self._people:
            z = self._draw(track).to(self._precision)
            w = self.network.mapping(z if self.identities else self.network.prior(z))
            w = self._truncate(w, self.network.w_mean, self.network.w_centers)
            noise = draw_noise(self.seed, track, self.config.noise_sizes)
            person = w[0].to(self._precision), [n.to(self.device, self._precision) for n in noise]
            remember(self._people, track, person)
        self._people.move_to_end(track)
        return self._people[track]

    @torch.inference_mode()
    def read_identity(self, image: UInt8Array, detections: Detections) -> tuple[Tensor, int]:
        if not self.config.appearance_mapper:
            return super().read_identity(image, detections)
        areas = np.array([m.area for m in detections.masks], np.float64) * detections.has_cse
        if not areas.size or areas.max() == 0:
            raise OptionError("no person with a usable surface was found in the picture")
        row = int(areas.argmax())
        tracks = Tracks(detections, np.arange(1, len(detections) + 1), np.zeros(len(detections), np.bool_))
        region, size = detections.masks[row], self.size_hw
        box = snap(crop_box(region, detections.boxes_xyxy[row], size))
        outside = ~region.to_full(detections.size_hw)
        requests = [PersonRequest(image, outside, box, tracks, row, region)]
        embeddings, segmentations = self._predictions(requests, self.config.embedding)
        surface, body = sample_surface(embeddings, segmentations, *rectangles(requests), size)
        seen = build_condition([cut(image, outside, box, size)], surface, body)
        mask = (1 - seen[:, 3:4]) * (1 - seen[:, -1:])
        appearance = torch.cat([seen[:, :3] * mask, mask, surface, body], 1).to(self._precision)
        mean, _ = self.network.read(appearance.contiguous(memory_format=torch.channels_last))
        return mean[0].float().cpu(), row
