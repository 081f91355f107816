"""Pictures of one size go through a network together."""

from __future__ import annotations

from collections.abc import Iterable

from anonymize.core.types import UInt8Array


def by_size(images: Iterable[UInt8Array]) -> dict[tuple[int, int], list[int]]:
    """Numbers of the pictures [H, W, 3] of each height and width."""
    numbers: dict[tuple[int, int], list[int]] = {}
    for number, image in enumerate(images):
        numbers.setdefault((image.shape[0], image.shape[1]), []).append(number)
    return numbers
