"""The device that the networks run on, and the precision that they compute in there."""

from __future__ import annotations

import logging
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from anonymize.core.errors import OptionError

if TYPE_CHECKING:  # The options need the names only, and importing torch takes seconds.
    import torch

_log = logging.getLogger(__name__)
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Flags in /proc/cpuinfo of processors that multiply in bfloat16."""


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
    """What torch computes in on a device: bfloat16 where the hardware has it, else float32.

    bfloat16 has the range that a generator's styles need. Libraries also offer it where they only imitate it, which
    takes more than twice the time of float32.
    """
    import torch

    if device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_it = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported() and has_bfloat16(cpu_info())
    return torch.bfloat16 if has_it else torch.float32


def low_precision_context(device: torch.device) -> torch.autocast:
    """What the networks' trainings compute in: `low_precision`, where that is not float32 anyway."""
    import torch

    dtype = low_precision(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def has_bfloat16(info: str) -> bool:
    """Whether a processor multiplies in bfloat16: AVX512_BF16 or AMX of x86, BF16 of ARM.

    Args:
        info: Text of Linux' /proc/cpuinfo; without the line of flags, as on other systems, the answer is no.
    """
    lines = (line.partition(":") for line in info.splitlines())
    flags = next((set(value.split()) for key, _, value in lines if key.strip() in ("flags", "Features")), set())
    return bool(flags & BFLOAT16_FLAGS)


def cpu_name(info: str) -> str:
    """Name of the processor, of the text of Linux' /proc/cpuinfo or of what else the system says."""
    lines = (line.partition(":") for line in info.splitlines())
    found = next((value.strip() for key, _, value in lines if key.strip() == "model name"), "")
    return found or platform.processor() or platform.machine()


def cpu_info() -> str:
    """The text of /proc/cpuinfo; empty where there is none."""
    try:
        return Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return ""


def log_torch(network: str, device: torch.device, precision: torch.dtype) -> None:
    """Tell, as a detail, that torch runs a network, in which precision and where."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(cpu_info())
    _log.debug("%s: torch %s, %s, %s", network, torch.__version__, str(precision).removeprefix("torch."), name)
