"""The generator and its discriminator: tensors in and out.

A U-Net whose decoder is that of StyleGAN2 (thesis 4.4), with the improvements of thesis 4.7 (appearance mapper), 4.9
(co-modulation, Zhao et al. 2021) and 4.10 (conditioning of the discriminator), each a switch of `GeneratorConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anonymize.core.errors import OptionError
from anonymize.generate.layers import (
    GAIN,
    Convolution,
    Linear,
    ModulatedConvolution,
    Scaled,
    activate,
    spread_within_batch,
    upsample,
)
from anonymize.generate.palette import Prior, SurfaceParts, around, depth, soften, surroundings

MASK = 3
"""Channel of the condition that is 1 where the picture is hidden and has to be made; 0 to 2 are colours."""


@dataclass(frozen=True)
class GeneratorConfig:
    """What the shapes of the parameters depend on; travels inside the weights file.

    Attributes:
        size_hw: Size of a crop; each side divisible by 2 ** (levels - 1).
        channels: Of each level, the finest first.
        judge_channels: Of each level of the discriminator.
        factor: Multiplies both; 2 is the row "larger model" of the thesis' table 5.3.
        latent: Size of z and w.
        mapping_layers: Layers from z to w.
        embedding: Dimensions of the surface embedding.
        surface: Name of the surface that the embedding refers to.
        appearance_mapper: z can be read from a picture of a person (thesis 4.7).
        co_modulation: The place has a say in the modulation (thesis 4.9).
        improved_conditioning: The discriminator is not told the person's mask (thesis 4.10).
        judge_pose: The discriminator is told the embedding.
        parts: Soft parts of the surface, each with a colour of its own (see `SurfaceParts`), on which the decoder
            builds; 0 for none.
        alpha: People are made as layers, colour and alpha (see `LayeredNetwork`); else the whole cover is painted.
        features: Of each part of the surface, of a network with alpha.
        known: People whose z is kept, near whom z is drawn (see `Prior`).
        centers: Cluster centres of w, for multi-modal truncation (Mokady et al. 2022).
    """

    size_hw: tuple[int, int] = (288, 160)
    channels: tuple[int, ...] = (16, 32, 48, 80, 128, 192)
    judge_channels: tuple[int, ...] = (16, 24, 48, 80, 128, 192)
    factor: float = 1.0
    latent: int = 512
    mapping_layers: int = 2
    embedding: int = 16
    surface: str = "anny"
    appearance_mapper: bool = True
    co_modulation: bool = True
    improved_conditioning: bool = True
    judge_pose: bool = True
    parts: int = 32
    alpha: bool = False
    features: int = 8
    known: int = 512
    centers: int = 32

    def __post_init__(self) -> None:
        step = 2 ** (len(self.channels) - 1)
        if self.size_hw[0] % step or self.size_hw[1] % step:
            raise ValueError(f"size_hw must be divisible by {step}, got {self.size_hw}")
        if len(self.channels) != len(self.judge_channels):
            raise ValueError(f"{len(self.channels)} levels but judge_channels has {len(self.judge_channels)}")

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(max(1, round(c * self.factor)) for c in self.channels)

    @property
    def discriminator_widths(self) -> tuple[int, ...]:
        return tuple(max(1, round(c * self.factor)) for c in self.judge_channels)

    @property
    def condition_channels(self) -> int:
        """Masked RGB, mask, embedding, embedding mask, padding."""
        return 3 + 1 + self.embedding + 1 + 1

    @property
    def appearance_channels(self) -> int:
        """RGB of the person alone, mask, embedding, embedding mask."""
        return 3 + 1 + self.embedding + 1

    def halved(self, times: int) -> GeneratorConfig:
        """The network without its finest levels, for pictures of half the size so many times (see `grow`)."""
        if not 0 <= times < len(self.channels) - 1:
            raise ValueError(f"{len(self.channels)} levels cannot be halved {times} times")
        size_hw = (self.size_hw[0] >> times, self.size_hw[1] >> times)
        return replace(
            self, size_hw=size_hw, channels=self.channels[times:], judge_channels=self.judge_channels[times:]
        )

    def level_size(self, level: int) -> tuple[int, int]:
        return self.size_hw[0] >> level, self.size_hw[1] >> level

    @property
    def noise_sizes(self) -> list[tuple[int, int]]:
        """Height and width of each noise input, in the order of `GeneratorNetwork.forward`; none with alpha."""
        if self.alpha:
            return []
        last = len(self.channels) - 1
        sizes = [self.level_size(last)]
        for level in reversed(range(last)):
            sizes += [self.level_size(level + 1), self.level_size(level)]
        return sizes

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GeneratorConfig:
        fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        return cls(**fields)


def baseline() -> GeneratorConfig:
    """The thesis' StyleGAN baseline (4.4): z is only drawn, never read from a picture."""
    return GeneratorConfig(
        appearance_mapper=False, co_modulation=False, improved_conditioning=False, judge_pose=False, parts=0
    )


class Encoder(nn.Module):
    """Feature maps of every level, the finest first.

    Each level sees the input at its own size too (the input skips of Karras et al. 2020, section 4.1), so that a finer
    level can be put before a trained network without disturbing it. Layers are counted from the coarsest level.
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        coarsest_first = widths[::-1]
        self.looks = nn.ModuleList(Convolution(inputs, c) for c in coarsest_first)
        self.downs = nn.ModuleList(Convolution(fine, c, stride=2) for c, fine in pairwise(coarsest_first))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [activate(self.looks[-1](x))]
        for look, down in zip(reversed(self.looks[:-1]), reversed(self.downs), strict=True):
            x = F.avg_pool2d(x, 2)
            maps.append(activate(look(x) + down(maps[-1])))
        return maps

    def silence(self, added: int) -> None:
        """Let the finest levels have no effect yet."""
        for down in self.downs[len(self.downs) - added :]:
            assert isinstance(down, Convolution)
            nn.init.zeros_(down.weight)


class MappingNetwork(nn.Sequential):
    """z [B, latent] to w [B, latent]. z is not normalised: one read from a picture is shorter where it knows less."""

    def __init__(self, latent: int, layers: int) -> None:
        steps: list[nn.Module] = []
        for _ in range(layers):
            steps += [Linear(latent, latent, GAIN), nn.LeakyReLU(0.2)]
        super().__init__(*steps)


class AppearanceMapper(nn.Module):
    """A picture of a person to the mean and the logarithm of the variance of z (thesis 4.7; Kingma and Welling 2014).

    Sees half the resolution, and the mean colour of each part of the surface.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.appearance_channels, config.widths[1:])
        height, width = config.level_size(len(config.channels) - 1)
        self.hidden = Linear(config.widths[-1] * height * width, config.latent, GAIN)
        self.colours = Linear(4 * config.parts, config.latent, GAIN) if config.parts else None
        self.out = Linear(config.latent, 2 * config.latent)
        if config.parts:
            nn.init.zeros_(self.hidden.weight)  # begins with colours alone, see `from_colours`

    def forward(self, appearance: Tensor, colours: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read people.

        Args:
            appearance: [B, appearance channels, H, W]: RGB in [-1, 1] (0 but on the person), mask, embedding, its mask.
            colours: [B, parts, 4], see `SurfaceParts.mean_colours`; None if the network has no parts.

        Returns:
            Mean and log-variance of z, [B, latent] each; the log-variance in [-8, 4].
        """
        hidden = self.hidden(self.encoder(F.avg_pool2d(appearance, 2))[-1].flatten(1))
        return self._distribution(hidden if colours is None else self._with(colours) + hidden)

    def from_colours(self, colours: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` reads in the colours alone."""
        return self._distribution(self._with(colours))

    def _with(self, colours: Tensor) -> Tensor:
        assert self.colours is not None
        hidden: Tensor = self.colours(colours.flatten(1))
        return hidden

    def _distribution(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.out(activate(hidden)).float().chunk(2, 1)
        return mean, log_variance.clamp(-8, 4)


class CoModulation(nn.Module):
    """Joins w with what the coarsest level knows of the place, by one linear layer (thesis 4.9)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        width = config.widths[-1]
        self.convolution = Convolution(width, width)
        self.place = Linear(width, config.latent, GAIN)
        self.join = Linear(2 * config.latent, config.latent)

    def forward(self, w: Tensor, coarsest: Tensor) -> Tensor:
        place = activate(self.place(activate(self.convolution(coarsest)).mean((2, 3))))
        joined: Tensor = self.join(torch.cat([w.to(place.dtype), place], 1))
        return joined


class DecoderLevel(nn.Module):
    """One level up: the channels are reduced before the upsampling, which saves most of the work."""

    def __init__(self, inputs: int, outputs: int, latent: int) -> None:
        super().__init__()
        self.reduce = ModulatedConvolution(inputs, outputs, latent)
        self.refine = ModulatedConvolution(outputs, outputs, latent)
        self.colours = ModulatedConvolution(outputs, 3, latent, 1, demodulate=False, noise=False)

    def forward(
        self, x: Tensor, skip: Tensor, colours: Tensor | None, w: Tensor, noise: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        x = (upsample(activate(self.reduce(x, w, noise[0]))) + skip) * 0.5**0.5
        x = activate(self.refine(x, w, noise[1]))
        own = self.colours(x, w)
        return x, own if colours is None else upsample(colours) + own


class GeneratorBase(nn.Module):
    """What all generators have: the prior of z, the mapping network, the mean and the centres of w."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.prior = Prior(config.latent, config.known)
        self.mapping = MappingNetwork(config.latent, config.mapping_layers)
        self.w_mean: Tensor
        self.w_centers: Tensor
        self.register_buffer("w_mean", torch.zeros(config.latent))
        self.register_buffer("w_centers", torch.zeros(config.centers, config.latent))

    def read(self, appearance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of z of people in pictures, [B, latent] each.

        Raises:
            ValueError: The network has no appearance mapper (`config.appearance_mapper`).
        """
        raise NotImplementedError

    def forward(self, condition: Tensor, w: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Make people."""
        raise NotImplementedError

    def silence(self, added: int) -> None:
        """Let the finest levels have no effect yet."""
        raise NotImplementedError

    def fold(self) -> None:
        """Apply all scales for good, for inference."""
        for module in self.modules():
            if isinstance(module, Scaled):
                module.fold()


class GeneratorNetwork(GeneratorBase):
    """The generator that paints the whole cover.

    Conditions are [B, condition channels, H, W] float: masked RGB in [-1, 1] with 0 where hidden, mask (1: hidden),
    surface embedding (0 off the body), embedding mask, padding (1: outside of the frame).
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        widths, latent = config.widths, config.latent
        self.encoder = Encoder(config.condition_channels, widths)
        self.mapper = AppearanceMapper(config) if config.appearance_mapper else None
        self.co_modulation = CoModulation(config) if config.co_modulation else None
        self.bottom = ModulatedConvolution(widths[-1], widths[-1], latent)
        self.levels = nn.ModuleList(
            DecoderLevel(widths[level + 1], widths[level], latent) for level in reversed(range(len(widths) - 1))
        )
        self.parts = SurfaceParts(config.embedding, config.parts) if config.parts else None
        self.palette = Linear(latent, 3 * config.parts, 0.5) if config.parts else None
        if config.parts:
            for module in self.modules():
                if isinstance(module, DecoderLevel):  # begins with the palette and the surroundings
                    nn.init.normal_(module.colours.weight, std=0.1)

    def read(self, appearance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of z of people in pictures, see `AppearanceMapper`.

        Raises:
            ValueError: The network has no appearance mapper.
        """
        if self.mapper is None:
            raise ValueError("this network has no appearance mapper")
        colours = None
        if self.parts is not None:
            mask, surface = appearance[:, MASK : MASK + 1], appearance[:, MASK + 1 :]
            colours = self.parts.mean_colours(appearance[:, :MASK], surface[:, :-1], surface[:, -1:] * mask)
        mean, log_variance = self.mapper(appearance, colours)
        return mean, log_variance

    def colours_of(self, w: Tensor) -> Tensor:
        """Colour of each part of the surface, [B, parts, 3], before the decoder adds to it."""
        assert self.palette is not None
        colours: Tensor = self.palette(w)
        return colours.view(-1, 3, self.config.parts).transpose(1, 2)

    def decode(self, condition: Tensor, w: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Colours [B, 3, H, W] of everything, also of what is not hidden; see `forward`."""
        maps: list[Tensor] = self.encoder(condition)
        drawn: Sequence[Tensor] = noise or [
            torch.randn(len(w), 1, *size, device=w.device) for size in self.config.noise_sizes
        ]
        style = w if self.co_modulation is None else self.co_modulation(w, maps[-1])
        x = activate(self.bottom(maps[-1], style, drawn[0]))
        colours: Tensor | None = None
        for number, level in enumerate(self.levels):
            x, colours = level(x, maps[-2 - number], colours, style, drawn[1 + 2 * number : 3 + 2 * number])
        assert colours is not None
        if self.parts is not None:
            surface, body, padding = condition[:, MASK + 1 : -2], condition[:, -2:-1], condition[:, -1:]
            shares = self.parts(surface, body)
            person = self.colours_of(w).to(shares.dtype).transpose(1, 2) @ shares.flatten(2)
            known = 1 - condition[:, MASK : MASK + 1] - padding
            opacity = soften(body)
            place = surroundings(condition[:, :MASK], known) * (1 - opacity)
            deep = depth(condition[:, MASK : MASK + 1])
            made = torch.maximum(opacity, torch.minimum(deep, around(body)))  # else the place as it is
            colours = colours * made + soften(person.view_as(colours)) + place
        return colours

    def forward(self, condition: Tensor, w: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """The picture with the hidden part made.

        Args:
            condition: See the class.
            w: [B, latent].
            noise: A tensor [B, 1, h, w] for each of `config.noise_sizes`; None draws it anew.

        Returns:
            [B, 3, H, W], about [-1, 1]; the condition's own colours where nothing is hidden.
        """
        return merge(self.decode(condition, w, noise), condition)

    def silence(self, added: int) -> None:
        """Let the finest levels have no effect yet."""
        self.encoder.silence(added)
        if self.mapper is not None:
            self.mapper.encoder.silence(added)
        for level in self.levels[len(self.levels) - added :]:
            assert isinstance(level, DecoderLevel)
            nn.init.zeros_(level.colours.weight)


def merge(made: Tensor, condition: Tensor) -> Tensor:
    """The made colours where the picture is hidden, the condition's elsewhere, [B, 3, H, W]."""
    mask = condition[:, MASK : MASK + 1]
    return made.to(condition.dtype) * mask + condition[:, :MASK]  # colours are 0 where hidden


class DiscriminatorLevel(nn.Module):
    """Residual block of StyleGAN2's discriminator; halves height and width, before its second convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = Convolution(inputs, inputs)
        self.second = Convolution(inputs, outputs)
        self.shortcut = Convolution(inputs, outputs, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        y = activate(self.second(F.avg_pool2d(activate(self.first(x)), 2)))
        total: Tensor = (y + self.shortcut(F.avg_pool2d(x, 2))) * 0.5**0.5
        return total

    def silence(self) -> None:
        """Let it have no effect yet."""
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.shortcut.weight)


class Discriminator(nn.Module):
    """Tells real pictures from made ones; its feature maps are what reconstructions are compared by (thesis 4.6.1).

    Sees the input at every level, as `Encoder` does. Layers are counted from the coarsest level.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.discriminator_widths
        pose = config.embedding if config.judge_pose else 0
        self.looks = nn.ModuleList(Convolution(3 + 3 + 1 + pose, c) for c in widths[::-1])
        self.levels = nn.ModuleList(DiscriminatorLevel(fine, c) for c, fine in pairwise(widths[::-1]))
        self.last = Convolution(widths[-1] + 1, widths[-1])
        height, width = config.level_size(len(widths) - 1)
        self.hidden = Linear(widths[-1] * height * width, widths[-1], GAIN)
        self.score = Linear(widths[-1], 1)

    def condition_on(self, pictures: Tensor, condition: Tensor, noise: Tensor) -> Tensor:
        """What the discriminator is told beside the picture [B, 3, H, W], [B, 4 (+ embedding), H, W].

        With `improved_conditioning` the surrounding is cut out of the judged picture by the embedding's mask and the
        hole filled with noise [B, 3, H, W], so that the person's own mask is hard to find (thesis 4.10); else masked
        RGB and mask.
        """
        start = MASK + 1
        embedding = condition[:, start : start + self.config.embedding]
        body = condition[:, start + self.config.embedding : start + self.config.embedding + 1]
        if self.config.improved_conditioning:
            seen = pictures.detach()
            told = [torch.where(body > 0.5, noise, seen), body]
        else:
            told = [condition[:, :start]]
        return torch.cat([*told, embedding] if self.config.judge_pose else told, 1)

    def forward(self, pictures: Tensor, told: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Judge.

        Args:
            pictures: [B, 3, H, W] in [-1, 1].
            told: From `condition_on`.

        Returns:
            Scores [B] (logits, high: real) and the feature maps, the finest first, one more than there are levels.
        """
        seen = torch.cat([pictures, told], 1)
        x = activate(self.looks[-1](seen))
        maps = [x]
        for look, level in zip(reversed(self.looks[:-1]), reversed(self.levels), strict=True):
            seen = F.avg_pool2d(seen, 2)
            x = level(x) + activate(look(seen))
            maps.append(x)
        x = activate(self.last(spread_within_batch(x)))
        maps.append(x)
        scores: Tensor = self.score(activate(self.hidden(x.flatten(1))))
        return scores[:, 0].float(), maps

    def silence(self, added: int) -> None:
        """Let the finest levels have no effect yet."""
        for level in self.levels[len(self.levels) - added :]:
            assert isinstance(level, DiscriminatorLevel)
            level.silence()


def grow(network: GeneratorBase | Discriminator, smaller: Mapping[str, Tensor], added: int) -> None:
    """Take over the parameters of a network trained on smaller pictures (progressive growing, Karras et al. 2018).

    Args:
        network: With random parameters; keeps those of its finest levels, which have no effect at first: a picture
            enlarged by repeating its pixels gives what the smaller network gives.
        smaller: Parameters of `config.halved(added)`.
        added: Levels that the smaller network lacks.

    Raises:
        OptionError: The parameters are of another network.
    """
    network.silence(added)
    own = network.state_dict()
    wrong = sorted(n for n, v in smaller.items() if n not in own or own[n].shape != v.shape)
    if wrong:
        raise OptionError(f"parameters of another network: {', '.join(wrong[:5])}")
    network.load_state_dict(dict(smaller), strict=False)
