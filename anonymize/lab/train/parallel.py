"""One training in several processes: gradients are averaged after each step (`torchrun --nproc-per-node N`)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn


@contextmanager
def joined(device: torch.device) -> Iterator[int]:
    """The rank of this process, 0 where there is no other; `torchrun` tells by its environment."""
    if "RANK" not in os.environ:
        yield 0
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield distributed.get_rank()
    finally:
        distributed.destroy_process_group()


def average_gradients(parameters: Sequence[nn.Parameter], also: float) -> float:
    """Give each parameter the mean of its gradients over all processes.

    Args:
        parameters: The same in each process; a missing gradient counts as 0.
        also: A number of each process.

    Returns:
        The mean of `also`, so that all processes decide alike by it.
    """
    if not distributed.is_initialized():
        return also
    flat = torch.cat([_gradient(p).flatten() for p in parameters] + [parameters[0].new_tensor([also])])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    *means, last = torch.split(flat, [p.numel() for p in parameters] + [1])
    for parameter, mean in zip(parameters, means, strict=True):
        parameter.grad = mean.view_as(parameter).contiguous()
    return float(last)


def average_numbers(numbers: Sequence[float]) -> list[float]:
    """The means of some numbers over all processes, so that all decide alike by them."""
    if not distributed.is_initialized():
        return list(numbers)
    tensor = torch.tensor(numbers, dtype=torch.float64)
    distributed.all_reduce(tensor)
    means: list[float] = (tensor / distributed.get_world_size()).tolist()
    return means


def share_parameters(module: nn.Module) -> None:
    """Give all processes the first one's parameters and buffers."""
    if distributed.is_initialized():
        for value in module.state_dict().values():
            distributed.broadcast(value, 0)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
