"""Requests in, pictures of new people out: DeepPrivacy2's generator with what comes before and after it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from anonymize.core.device import log_torch, low_precision
from anonymize.core.types import PersonRequest
from anonymize.generate.base import DEFAULT_TRUNCATION, TrackGenerator, rectangles, remember
from anonymize.generate.crops import Crop, cut, sample_surface
from anonymize.generate.zoo.network import ZooGeneratorNetwork


class ZooGenerator(TrackGenerator):
    """The generator of a checkpoint of DeepPrivacy2.

    Args:
        network: The network with its weights; changed for inference.
        seed: Of the people's looks.
        truncation: t in [0, 1], toward the mean of all looks, see `truncate`.
        multi_modal: Truncate toward the nearest of the checkpoint's centres of w instead, where it has any.
        identities: z [latent] each; track 1 takes the first, and so on in turn. Without any, z is drawn from
            (seed, track).
        to_vertices: Maps pixels' embeddings [P, D] float32 to those of the nearest vertices, [P, D] of length 1. That
            is what the generator was trained with. None takes the pixels' own directions, which are near.
        device: Where to compute.

    Raises:
        OptionError: The truncation is out of range.
    """

    def __init__(
        self,
        network: ZooGeneratorNetwork,
        *,
        seed: int = 0,
        truncation: float = DEFAULT_TRUNCATION,
        multi_modal: bool = False,
        identities: Sequence[Tensor] = (),
        to_vertices: Callable[[Tensor], Tensor] | None = None,
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
        self.to_vertices = to_vertices
        self._precision = low_precision(self.device)
        log_torch("generator", self.device, self._precision)
        mapping = network.fold().style_net.to(self.device)
        self._mapping = mapping
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for part in (p for name, p in network.named_children() if name != "style_net"):
            part.to(self._precision)
        self._styles: OrderedDict[int, Tensor] = OrderedDict()

    def _generate(self, requests: Sequence[PersonRequest]) -> Tensor:
        crops = [cut(r.image, r.hidden, r.box_xyxy, self.size_hw) for r in requests]
        surface = self._surface(requests) if self.config.embedding else ()
        condition = build_condition(crops, *surface, device=self.device).contiguous(memory_format=torch.channels_last)
        w = torch.stack([self._style(int(r.tracks.ids[r.row])) for r in requests])
        made: Tensor = self.network(condition, w)
        return made

    def _surface(self, requests: Sequence[PersonRequest]) -> tuple[Tensor, Tensor]:
        """Embeddings [B, D, h, w] of length 1 on the bodies and 0 elsewhere, and the bodies [B, 1, h, w]."""
        predictions = self._predictions(requests, self.config.embedding)
        surface, body = sample_surface(*predictions, *rectangles(requests), self.size_hw)
        surface = surface / self.config.embedding**0.5
        if self.to_vertices is not None:
            pixels, inside = surface.permute(0, 2, 3, 1).contiguous(), body[:, 0] > 0
            pixels[inside] = self.to_vertices(pixels[inside])
            surface = pixels.permute(0, 3, 1, 2)
        return surface, body

    def _style(self, track: int) -> Tensor:
        """w [latent] of a track."""
        if track not in self._styles:
            w, mapping = self._mapping(self._draw(track)), self._mapping
            remember(self._styles, track, self._truncate(w, mapping.w_avg, mapping.centers())[0])
        self._styles.move_to_end(track)
        return self._styles[track]


def build_condition(crops: Sequence[Crop], *surface: Tensor, device: torch.device) -> Tensor:
    """The generator's input of several people, see `ZooGeneratorNetwork`.

    Args:
        crops: N crops. What lies outside of the frame counts as known and black, as in training.
        surface: Embeddings [N, D, h, w] and bodies [N, 1, h, w], or nothing for the generator without CSE.
        device: Where the result lies.

    Returns:
        [N, 4 or D + 5, h, w] float32.
    """
    images = torch.from_numpy(np.stack([crop.image for crop in crops])).to(device).permute(0, 3, 1, 2)
    known = torch.from_numpy(np.stack([~crop.hidden for crop in crops])).to(device)[:, None].float()
    return torch.cat([(images.float() / 127.5 - 1) * known, known, *surface], 1)
