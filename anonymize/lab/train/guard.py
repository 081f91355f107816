"""Notices that a training diverges, by the running mean of a loss."""

from __future__ import annotations

import math

FAST, SLOW = 0.9, 0.98
"""Decay of the running means that are compared."""


class Guard:
    """Compares the running mean of a loss with the best that it has been; until that is known, with the first loss.

    Args:
        band: The training has diverged where the loss is so many times its best, or twice as many times the first.
        settled: Steps before the best is known.
    """

    def __init__(self, band: float = 1.5, settled: int = 50) -> None:
        self._band, self._settled = band, settled
        self._best, self._first = math.inf, math.nan
        self.again()

    def again(self) -> None:
        """Begin anew with parameters that were good; what a good loss is stays known."""
        self._seen = 0
        self._fast = self._slow = self._first if math.isinf(self._best) else self._best

    @property
    def _limit(self) -> float:
        return 2 * self._band * self._first if math.isinf(self._best) else self._band * self._best

    def diverged(self, loss: float) -> bool:
        """Take the loss of a step; whether it is no number, or its running mean has left the band."""
        if not math.isfinite(loss):
            return True
        if math.isnan(self._first):
            self._first = self._fast = self._slow = loss
        self._seen += 1
        self._fast += (1 - FAST) * (loss - self._fast)
        self._slow += max(1 - SLOW, 1 / self._seen) * (loss - self._slow)
        if self._seen >= self._settled:
            self._best = min(self._best, self._slow)
        return self._fast > self._limit

    @property
    def good(self) -> bool:
        """Whether the loss is near its best, so that the parameters of now are worth keeping."""
        return self._seen >= self._settled and self._fast < (1 + (self._band - 1) / 2) * self._best
