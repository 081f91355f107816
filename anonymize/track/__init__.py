"""Following people: one ID for one person through a film."""

from anonymize.track.appearance import PartTable
from anonymize.track.tracker import PeopleTracker, Tracker

__all__ = ["PartTable", "PeopleTracker", "Tracker"]
