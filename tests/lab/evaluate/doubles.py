"""Stand-ins for the tests of this folder."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class Eyes(nn.Module):
    """A small feature network."""

    name = "none"

    def __init__(self) -> None:
        super().__init__()
        sizes = [3, 4, 6, 8, 8]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(sizes))
        self.requires_grad_(False)

    def maps(self, pictures: Tensor) -> list[Tensor]:
        maps = [pictures]
        for layer in self.layers:
            maps.append(torch.relu(layer(maps[-1])))
        return maps[1:]
