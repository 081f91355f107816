"""Following people: one ID for one person through a film."""

from anonymize.track.appearance import PartTable
from anonymize.track.tracker import UNSURE_SCORE, PeopleTracker, Tracker

__all__ = ["UNSURE_SCORE", "PartTable", "PeopleTracker", "Tracker"]
