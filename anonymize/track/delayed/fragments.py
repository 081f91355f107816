"""Tracks of which only a part is found, and parts of them that are found once more."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from anonymize.track.config import TrackerConfig
from anonymize.track.model.frame_state import Observation
from anonymize.track.model.track import Track, share_pixels


@dataclass
class _Overlaps:
    """In which frames of a newcomer other tracks are, and hold its pixels.

    Attributes:
        holders: In how many frames each track holds the newcomer.
        frames: For each frame of the newcomer the tracks in it, and whether any of them holds the newcomer.
    """

    holders: Counter[Track] = field(default_factory=Counter)
    frames: list[tuple[Collection[Track], bool]] = field(default_factory=list)


def join_fragment(newcomer: Track, tracks: Iterable[Track], gone: Collection[Track], config: TrackerConfig) -> bool:
    """Whether a new track was found within one and the same other one only; its pixels are given to that one then.

    Args:
        newcomer: The new track, which may be a part.
        tracks: All tracks.
        gone: Tracks that have become parts of others already, and hold no parts.
        config: Thresholds.
    """
    others = [t for t in tracks if t not in gone]
    # the successor of a track may be that track still: a part of both is a part of one
    former = {t.successor: t for t in others if t.successor is not None and t.successor not in gone}
    overlaps = _overlaps(newcomer, [t for t in others if t is not newcomer], former, config)
    if not overlaps.holders:
        return False
    whole, count = overlaps.holders.most_common(1)[0]
    if count < config.fragment_frames_share * _frames_that_count(newcomer, whole, overlaps, config):
        return False
    _give_pixels(newcomer, whole, [t for t, one in former.items() if one is whole and t is not newcomer])
    return True


def _give_pixels(newcomer: Track, whole: Track, successors: Iterable[Track]) -> None:
    """Give the pixels of a new track to the one that it is a part of, and to that one's successors."""
    both = [whole, *successors]
    for one in both:
        share_pixels(one, newcomer)
    there = {id(o.at) for one in both for o in one.observations}
    alone = [o for o in newcomer.observations if id(o.at) not in there]
    whole.observations = deque(sorted([*whole.observations, *alone], key=lambda o: o.seconds))


def _overlaps(newcomer: Track, others: Iterable[Track], former: dict[Track, Track], config: TrackerConfig) -> _Overlaps:
    """Which tracks hold a newcomer in which of its frames; a successor counts as the track that it may be."""
    result = _Overlaps()
    when = {t: {id(o.at): o for o in t.observations} for t in others}
    for observation in newcomer.observations:
        here = {t: o for t, by_frame in when.items() if (o := by_frame.get(id(observation.at))) is not None}
        # in the order of the tracks, so that the same film gives the same result where two count the same
        holders = [t for t, other in here.items() if _holds(t, other, newcomer, observation, config)]
        wholes = dict.fromkeys(former.get(t, t) for t in holders)
        result.holders.update(list(wholes))
        result.frames.append((here.keys(), bool(wholes)))
    return result


def _frames_that_count(newcomer: Track, whole: Track, overlaps: _Overlaps, config: TrackerConfig) -> int:
    """In how many of a newcomer's frames it might have been found within a track.

    In all of them; unless the two were found together from the beginning and often enough: then not in those in which
    no other track was found there, since a detector that finds a person twice may miss the whole. But a track that was
    found more often is no part of one that was found less.
    """
    together = sum(whole in here or held for here, held in overlaps.frames)
    never_apart = (
        together >= config.fragment_min_together
        and whole in overlaps.frames[0][0]
        and _count_found(whole) >= _count_found(newcomer)
        # a track that is still missed would not be followed any more with the part gone
        and whole.found_seconds >= newcomer.found_seconds
    )
    return together if never_apart else len(overlaps.frames)


def _count_found(track: Track) -> int:
    """How often the detector found a track lately."""
    return sum(o.found for o in track.observations)


def _holds(track: Track, other: Observation, newcomer: Track, observation: Observation, config: TrackerConfig) -> bool:
    """Whether enough of a newcomer's observation lies in that of a track in the same frame.

    Or nearly all of the track's in the newcomer's: then only a part of the track is found.
    """
    if len(track.observations) == len(newcomer.observations) == 1:
        # one frame tells little: a person behind another one may be in its mask as well, and several people may be in
        # the mask of a doubtful detection
        return other.score >= observation.score and observation.mask.share_in(other.mask) > config.whole_share
    share = config.fragment_share if newcomer.views >= 1 else config.unseen_fragment_share
    common = observation.mask.common(other.mask)
    if not common:
        return False
    return common / observation.mask.area > share or common / other.mask.area > config.whole_share
