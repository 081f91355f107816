"""The device that the networks run on, and the precision that they compute in there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from anonymize.core.errors import OptionError

if TYPE_CHECKING:  # The options need the names only, and importing torch takes seconds.
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def resolve_device(name: str = "auto") -> torch.device:
    """The device of this name; "auto" is the fastest that is there.

    Raises:
        OptionError: The machine has no such device.
    """
    import torch

    if name not in get_args(DeviceName):
        raise OptionError(f"device {name!r} is not one of {', '.join(get_args(DeviceName))}")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, usable in there.items() if usable))
    if not there[name]:
        raise OptionError(f"this machine has no device {name!r}; there is {', '.join(d for d in there if there[d])}")
    return torch.device(name)


def low_precision(device: torch.device) -> torch.dtype:
    """bfloat16, which has the range that a generator's styles need, where the device computes in it; else float32."""
    import torch

    if device.type == "cuda" or (device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return torch.bfloat16
    return torch.float32


def low_precision_context(device: torch.device) -> torch.autocast:
    """What the networks' trainings compute in: `low_precision`, where that is not float32 anyway."""
    import torch

    dtype = low_precision(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)
