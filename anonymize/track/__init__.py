"""Following people: one ID for one person through a film."""

from anonymize.track.tracker import IoUTracker, Tracker

__all__ = ["IoUTracker", "Tracker"]
