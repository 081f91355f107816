"""Short ID swaps: tracks that were taken for one another for a moment, or for a new one, seen from both sides of it.

Detections are assigned frame by frame, when it is not known yet how the tracks go on. By the time a frame leaves the
look-ahead it is. A track that turns up suddenly there and is elsewhere soon after may have been another person
meanwhile: of all tracks nearby that could have been there instead, the one is taken with which both go on most smoothly
and look most like themselves. The two exchange their observations of that moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile

import numpy as np

from anonymize.core.boxes import iou_of
from anonymize.track.config import TrackerConfig
from anonymize.track.geometry import centre_distance
from anonymize.track.model.evidence import alike_sized, crowding
from anonymize.track.model.frame_state import FrameState, Observation
from anonymize.track.model.track import Track, joined

Likeness = Callable[[Track, Observation], float]
Stretch = Sequence[Observation]


@dataclass(frozen=True, eq=False)
class _Path:
    """How a track goes past the frame that leaves.

    Attributes:
        track: The track.
        before: Where the detector found it before that frame.
        since: ... from that frame on.
        by_template: Where it was followed by its template alone, by frame.
        config: Thresholds.
    """

    track: Track
    before: Stretch
    since: Stretch
    by_template: dict[int, Observation]
    config: TrackerConfig

    @classmethod
    def of(cls, track: Track, frame: FrameState, config: TrackerConfig) -> _Path:
        found = [o for o in track.observations if o.found]
        before = [o for o in found if o.seconds < frame.seconds]
        by_template = {id(o.at): o for o in track.observations if not o.found}
        return cls(track, before, found[len(before) :], by_template, config)

    @property
    def new(self) -> bool:
        """Whether the track appears in the frame that leaves, or later."""
        return not self.before and not self.track.number

    def until(self, seconds: float) -> tuple[Stretch, Stretch]:
        """The observations from the frame that leaves up to a time, and after it."""
        during = [o for o in self.since if o.seconds <= seconds]
        return during, self.since[len(during) :]

    def cost(self, during: Stretch, after: Stretch) -> float:
        """Cost of going on through some observations to later ones.

        To appear from nowhere and never to be found again cost as much as the worst link, 1 each.
        """
        pieces = [piece for piece in (self.before, during, after) if piece]
        links = sum(link_cost(a[-1], b[0], self.config) for a, b in pairwise(pieces))
        return links + bool(pieces) * (self.new + (not after))

    def elsewhere(self, observation: Observation) -> bool:
        """Whether the track's template says that it is not where an observation is."""
        seen = self.by_template.get(id(observation.at))
        if seen is None:
            return False
        return bool(crowding(seen.box[None], observation.box[None])[0, 0] < self.config.crowded_share)


@dataclass(frozen=True, eq=False)
class _Swap:
    """Two tracks exchange their observations from the frame that leaves up to a time.

    Attributes:
        other: The second track.
        given, taken: Observations of the first, and of the second.
        gain: Cost that this saves.
    """

    other: Track
    given: Stretch
    taken: Stretch
    gain: float


def undo_id_swaps(frame: FrameState, tracks: Sequence[Track], likeness: Likeness, config: TrackerConfig) -> set[Track]:
    """Let tracks that fit each other's observations better for a moment exchange these.

    Args:
        frame: The frame that leaves.
        tracks: All tracks.
        likeness: How much a track looks like an observation that has an appearance, in [0, 1].
        config: Thresholds.

    Returns:
        Tracks that have no observations left.
    """
    gone = set[Track]()
    for track in [t for t in tracks if _turns_up(t, frame)]:
        one = _Path.of(track, frame, config)
        others = [t for t in tracks if t is not track and t.number and t.successor is None]
        possible = [swap for t in others for swap in _swaps(one, _Path.of(t, frame, config), frame, likeness)]
        best = max(possible, key=lambda swap: swap.gain, default=None)
        if best is not None and best.gain > config.min_swap_gain:
            _carry_out(track, best)
            if not track.observations:
                gone.add(track)
    return gone


def _turns_up(track: Track, frame: FrameState) -> bool:
    """Whether a track is found in a frame suddenly, or for the first time."""
    here = next((o for o in track.observations if o.at is frame), None)
    if here is None or not here.found:
        return False
    return here.sudden or (not track.number and track.observations[0] is here)


def _swaps(one: _Path, other: _Path, frame: FrameState, likeness: Likeness) -> Iterator[_Swap]:
    """The swaps of a track that turns up in a frame with another one, up to each time at which they may end."""
    config = one.config
    if not one.since or not other.before or link_cost(other.before[-1], one.since[0], config) > config.max_link_cost:
        return
    gain = 0.0
    ends = sorted({o.seconds for o in (*one.since, *other.since)})
    for end in takewhile(lambda end: end - frame.seconds <= config.max_swap_seconds, ends):
        (mine, rest), (theirs, others_rest) = one.until(end), other.until(end)
        for owner, taker, given in ((one, other, mine), (other, one, theirs)):
            gain += _likeness_gain(owner, taker, [o for o in given if o.seconds == end], likeness)
        if gain == -np.inf:
            return
        # both go on, or the new track was the other one all the time
        if others_rest and (rest or (one.new and not theirs)):
            was = one.cost(mine, rest) + other.cost(theirs, others_rest)
            will = one.cost(theirs, rest) + other.cost(mine, others_rest)
            yield _Swap(other.track, mine, theirs, was - will + gain)


def _likeness_gain(owner: _Path, taker: _Path, given: Stretch, likeness: Likeness) -> float:
    """By how much more a track looks like some observations than their owner.

    Minus infinity if it cannot be that track in any of them.
    """
    more = 0.0
    for observation in given:
        if taker.elsewhere(observation):
            return -np.inf
        if observation.appearance is not None:
            like = likeness(taker.track, observation)
            least = taker.config.min_swap_likeness
            more += like - likeness(owner.track, observation) if like >= least else -np.inf
    return more


def link_cost(last: Observation, first: Observation, config: TrackerConfig) -> float:
    """Cost of going on from one observation to another, in [0, 1]: by IoU at once, by distance after some time."""
    seconds = first.seconds - last.seconds
    box = last.box_in(first.at)
    apart = float(centre_distance(box[None], first.box[None])[0, 0])
    apart /= config.link_reach_heights + config.link_speed_heights * seconds
    if not alike_sized(box[None], first.box[None], config)[0, 0]:
        apart += config.swap_size_cost
    near = float(np.exp(-seconds / config.swap_iou_seconds))
    return near * (1 - iou_of(box, first.box)) + (1 - near) * min(1.0, apart)


def _carry_out(track: Track, swap: _Swap) -> None:
    """Exchange the observations of two tracks."""
    other = swap.other
    kept = [o for o in track.observations if o not in swap.given]
    others_kept = [o for o in other.observations if o not in swap.taken]
    track.observations = joined(kept, _swapped(swap.taken))
    other.observations = joined(others_kept, _swapped(swap.given))
    found = [o.seconds for o in track.observations if o.found]
    if not found:  # what is left was followed by its template alone
        other.observations = joined(other.observations, track.observations)
        track.observations = deque()
    elif not track.number:
        track.began_seconds = max(track.began_seconds, found[0])


def _swapped(observations: Iterable[Observation]) -> list[Observation]:
    """Observations as those of another track, which may be a different person there after all."""
    return [replace(o, swapped=True, sudden=o.sudden or not k) for k, o in enumerate(observations)]
