"""Notices that a training diverges, by the running mean of a loss."""

from __future__ import annotations

import math

FAST, SLOW = 0.9, 0.98
"""Decay of the running means that are compared."""


class Guard:
    """Compares the running mean of a loss with the best that it has been.

    Args:
        band: The training has diverged where the loss is so many times its best.
        settled: Steps before it is judged.
    """

    def __init__(self, band: float = 1.5, settled: int = 50) -> None:
        self._band, self._settled = band, settled
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._seen, self._fast, self._slow, self._best = 0, 0.0, 0.0, math.inf

    def diverged(self, loss: float) -> bool:
        """Take the loss of a step; whether it is no number, or its running mean has left the band."""
        if not math.isfinite(loss):
            return True
        self._seen += 1
        self._fast += max(1 - FAST, 1 / self._seen) * (loss - self._fast)
        self._slow += max(1 - SLOW, 1 / self._seen) * (loss - self._slow)
        if self._seen < self._settled:
            return self._fast > 2 * self._band * self._slow
        self._best = min(self._best, self._slow)
        return self._fast > self._band * self._best

    @property
    def good(self) -> bool:
        """Whether the loss is near its best, so that the parameters of now are worth keeping."""
        return self._seen >= self._settled and self._fast < (1 + (self._band - 1) / 2) * self._best
