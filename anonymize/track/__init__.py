"""Following people: one ID for one person through a film."""

from anonymize.track.model.appearance import PartTable
from anonymize.track.tracker import LOOKAHEAD_SECONDS, UNSURE_SCORE, PeopleTracker, Tracker

__all__ = ["LOOKAHEAD_SECONDS", "UNSURE_SCORE", "PartTable", "PeopleTracker", "Tracker"]
