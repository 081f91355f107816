"""Tracking: one ID for one person through a film."""

from anonymize.track.between import SkippedFrames
from anonymize.track.config import TrackerConfig
from anonymize.track.model.appearance import PartTable
from anonymize.track.plates import PlateTracker
from anonymize.track.tracker import PeopleTracker, Tracker

LOOKAHEAD_SECONDS, UNSURE_SCORE = TrackerConfig.lookahead_seconds, TrackerConfig.min_score

__all__ = [
    "LOOKAHEAD_SECONDS",
    "UNSURE_SCORE",
    "PartTable",
    "PeopleTracker",
    "PlateTracker",
    "SkippedFrames",
    "Tracker",
    "TrackerConfig",
]
