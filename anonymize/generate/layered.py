"""The generator of people as layers: colour and alpha over a place that is not its business.

A U-Net. What z says is laid over the body surface first: a few features for each soft part of it, read at each pixel by
its surface embedding (as HumanGAN, Sarkar et al. 2021, and StylePeople, Grigorev et al. 2021, lay textures), so that a
garment keeps to its place in every pose. The coarse levels of the decoder are modulated by w as well (StyleGAN2), with
co-modulation (thesis 4.9). The interface is that of `GeneratorNetwork`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anonymize.generate.layers import GAIN, Convolution, Linear, ModulatedConvolution, activate, upsample
from anonymize.generate.network import MASK, CoModulation, GeneratorBase, GeneratorConfig
from anonymize.generate.palette import SurfaceParts, soften, surroundings

LAYERED_CHANNELS = (16, 32, 64, 128, 192, 256)
"""Channels of each level of the embedded network, the finest first."""
SURFACE_HEIGHT = 144
"""Largest height at which the surface is looked at: a detector tells it in 56 x 56 cells."""
READ_FEATURES = 24
"""What the mapper reads of each part of the surface, besides its mean colour."""
ALPHA_SLOPE = 6.0
"""Alpha's logit is this times (body mask - 1/2) before the network adds to it."""
MODULATED_LEVELS = 3
"""Levels from the coarsest on that w modulates; finer ones follow the surface's features alone, which is faster."""
PLANES = 6
"""What the levels finer than the surface see: place, cover, body and padding."""


class LayeredEncoder(nn.Module):
    """Feature maps of every level, the finest first; each level sees the input at its own size (StyleGAN2, 4.1).

    Args:
        planes: Channels of the input without the surface.
        inputs: Channels with it.
        widths: Channels of each level, the finest first.
        surfaced: Whether each level sees the surface, the finest first.
    """

    def __init__(self, planes: int, inputs: int, widths: Sequence[int], surfaced: Sequence[bool]) -> None:
        super().__init__()
        coarsest_first = list(zip(widths, surfaced, strict=True))[::-1]
        self.looks = nn.ModuleList(Convolution(inputs if sees else planes, c) for c, sees in coarsest_first)
        self.downs = nn.ModuleList(Convolution(fine, c, stride=2) for c, fine in pairwise(list(widths)[::-1]))

    def forward(self, planes: Sequence[Tensor]) -> list[Tensor]:
        """Maps of the inputs of each level, the finest first."""
        maps = [activate(self.looks[-1](planes[0]))]
        for look, down, x in zip(reversed(self.looks[:-1]), reversed(self.downs), planes[1:], strict=True):
            maps.append(activate(look(x) + down(maps[-1])))
        return maps

    def silence(self, added: int) -> None:
        """Let the finest levels have no effect yet."""
        for down in self.downs[len(self.downs) - added :]:
            assert isinstance(down, Convolution)
            nn.init.zeros_(down.weight)


class SurfaceMapper(nn.Module):
    """A picture of a person to the mean and the logarithm of the variance of z (thesis 4.7), part by part.

    What is read of a part of the surface, its mean colour and features of its look, is the same wherever the part
    stands in the picture. Begins with the colours alone, see `from_colours`.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        widths = tuple(config.widths[max(level, -len(config.widths))] for level in (-4, -3))
        self.encoder = LayeredEncoder(
            config.appearance_channels, config.appearance_channels, widths, [True] * len(widths)
        )
        self.features = Convolution(widths[-1], READ_FEATURES, 1)
        self.hidden = Linear(READ_FEATURES * config.parts, config.latent, GAIN)
        self.colours = Linear(4 * config.parts, config.latent, GAIN)
        self.out = Linear(config.latent, 2 * config.latent)
        nn.init.zeros_(self.hidden.weight)

    def forward(self, appearance: Tensor, parts: SurfaceParts) -> tuple[Tensor, Tensor]:
        """Read people.

        Args:
            appearance: [B, appearance channels, H, W]: RGB in [-1, 1] (0 but on the person), mask, embedding, its mask.
            parts: Of the surface.

        Returns:
            Mean and log-variance of z, [B, latent] each; the log-variance in [-8, 4].
        """
        x = F.avg_pool2d(appearance, 2)
        while x.shape[2] > SURFACE_HEIGHT // 2:
            x = F.avg_pool2d(x, 2)
        body = (x[:, -1:] * x[:, MASK : MASK + 1] > 0.25).to(x.dtype)  # the mean of masks over a few pixels
        colours = parts.mean_colours(x[:, :MASK], x[:, MASK + 1 : -1], body)
        small = F.avg_pool2d(x, 2)
        features = self.features(self.encoder([x, small])[-1])
        shares = parts(small[:, MASK + 1 : -1], small[:, -1:]).flatten(2)  # [B, parts, h * w]
        area = shares.sum(2, keepdim=True)
        pooled = shares @ features.flatten(2).transpose(1, 2).to(shares.dtype) / (area + 0.5)
        hidden = self.hidden(activate(pooled).flatten(1)) + self.colours(colours.flatten(1))
        return self._distribution(hidden)

    def from_colours(self, colours: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` reads in the mean colours [B, parts, 4] alone."""
        return self._distribution(self.colours(colours.flatten(1)))

    def _distribution(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.out(activate(hidden)).float().chunk(2, 1)
        return mean, log_variance.clamp(-8, 4)


class LayeredLevel(nn.Module):
    """One level up. Its own colours and alpha are added to those of the coarser levels (StyleGAN2's output skips)."""

    def __init__(self, inputs: int, outputs: int, latent: int, *, modulated: bool) -> None:
        super().__init__()
        self.modulated = modulated
        if modulated:
            self.reduce: nn.Module = ModulatedConvolution(inputs, outputs, latent, noise=False)
            self.refine: nn.Module = ModulatedConvolution(outputs, outputs, latent, noise=False)
        else:
            self.reduce, self.refine = Convolution(inputs, outputs), Convolution(outputs, outputs)
        self.layers = Convolution(outputs, 4, 1, gain=0.1)

    def forward(self, x: Tensor, skip: Tensor, layers: Tensor | None, w: Tensor) -> tuple[Tensor, Tensor]:
        given = (w,) if self.modulated else ()
        x = (upsample(activate(self.reduce(x, *given))) + skip) * 0.5**0.5
        x = activate(self.refine(x, *given))
        own = self.layers(x)
        return x, own if layers is None else upsample(layers) + own


class LayeredNetwork(GeneratorBase):
    """The generator with its prior of z, mapping network, appearance mapper and centres of w.

    Conditions are [B, condition channels, H, W] float: the place as RGB in [-1, 1], filled where covered; cover (1:
    covered); surface embedding (0 off the body); embedding mask; padding (1: outside of the frame).
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        if not config.parts or not config.features:
            raise ValueError("a layered network needs parts of the surface and features for them")
        widths, latent = config.widths, config.latent
        surfaced = [config.level_size(level)[0] <= SURFACE_HEIGHT for level in range(len(widths))]
        inputs = PLANES + config.embedding + config.features
        self.encoder = LayeredEncoder(PLANES, inputs, widths, surfaced)
        self.mapper = SurfaceMapper(config) if config.appearance_mapper else None
        self.co_modulation = CoModulation(config) if config.co_modulation else None
        self.bottom = ModulatedConvolution(widths[-1], widths[-1], latent, noise=False)
        self.levels = nn.ModuleList(
            LayeredLevel(widths[level + 1], widths[level], latent, modulated=number < MODULATED_LEVELS)
            for number, level in enumerate(reversed(range(len(widths) - 1)))
        )
        self.parts = SurfaceParts(config.embedding, config.parts)
        self.texture = Linear(latent, config.features * config.parts, 0.5)

    def read(self, appearance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of z of people in pictures, see `SurfaceMapper`.

        Raises:
            ValueError: The network has no appearance mapper.
        """
        if self.mapper is None:
            raise ValueError("this network has no appearance mapper")
        mean, log_variance = self.mapper(appearance, self.parts)
        return mean, log_variance

    def texture_of(self, w: Tensor) -> Tensor:
        """Features of each part of the surface, [B, parts, features]; the first three are its colour."""
        features: Tensor = self.texture(w)
        return features.view(-1, self.config.features, self.config.parts).transpose(1, 2)

    def colours_of(self, w: Tensor) -> Tensor:
        """Colour of each part of the surface, [B, parts, 3], before the decoder adds to it."""
        return self.texture_of(w)[..., :3]

    def forward(self, condition: Tensor, w: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Make people.

        Args:
            condition: See the class.
            w: [B, latent].
            noise: Not looked at: this network draws none.

        Returns:
            [B, 4, H, W]: colours, about [-1, 1], and alpha in [0, 1], 0 outside of the cover.
        """
        cover, body, padding = condition[:, MASK : MASK + 1], condition[:, -2:-1], condition[:, -1:]
        planes = torch.cat([condition[:, : MASK + 1], body, padding], 1)
        factor = max(1, int(condition.shape[2]) // SURFACE_HEIGHT)
        surface = condition[:, MASK + 1 : -1]
        if factor > 1:
            surface = F.avg_pool2d(surface, factor)
        shares = self.parts(surface[:, :-1], surface[:, -1:])
        texture = (self.texture_of(w).to(shares.dtype).transpose(1, 2) @ shares.flatten(2)).unflatten(
            2, shares.shape[2:]
        )
        told, seen = [], planes
        for level, _ in enumerate(self.config.channels):
            seen = seen if level == 0 else F.avg_pool2d(seen, 2)
            if seen.shape[2] <= SURFACE_HEIGHT:
                surfaced = [surface[:, :-1], texture]
                seen = seen if seen.shape[1] > PLANES else torch.cat([seen, *(s.to(seen.dtype) for s in surfaced)], 1)
            told.append(seen)
        maps: list[Tensor] = self.encoder(told)
        style = w if self.co_modulation is None else self.co_modulation(w, maps[-1])
        x = activate(self.bottom(maps[-1], style))
        layers: Tensor | None = None
        for number, decode in enumerate(self.levels):
            x, layers = decode(x, maps[-2 - number], layers, style)
        assert layers is not None
        base = soften(texture[:, :3])
        if factor > 1:
            base = F.interpolate(base, scale_factor=factor, mode="bilinear", align_corners=False)
        colours = layers[:, :3] + base
        alpha = (layers[:, 3:] + ALPHA_SLOPE * (soften(body) - 0.5)).sigmoid() * cover
        return torch.cat([colours, alpha.to(colours.dtype)], 1)

    def silence(self, added: int) -> None:
        """Let the finest levels have no effect yet."""
        self.encoder.silence(added)
        for level in self.levels[len(self.levels) - added :]:
            assert isinstance(level, LayeredLevel)
            nn.init.zeros_(level.layers.weight)


def with_place(condition: Tensor) -> Tensor:
    """A condition [B, C, H, W] whose place is 0 where it is covered, with the place filled from its border."""
    known = (1 - condition[:, MASK : MASK + 1]) * (1 - condition[:, -1:])
    filled = surroundings(condition[:, :MASK], known) * (1 - condition[:, -1:])
    return torch.cat([filled, condition[:, MASK:]], 1)


def composite(layers: Tensor, behind: Tensor) -> Tensor:
    """Layers [B, 4, H, W] over a place [B, 3, H, W]."""
    alpha = layers[:, 3:]
    return behind + alpha * (layers[:, :3] - behind)
