"""Frames that leave the look-ahead: gaps filled from both sides, boxes and masks steadied."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from anonymize.core.masks import grow
from anonymize.core.types import NOBODY, Detections, RegionMask, Tracks
from anonymize.track.geometry import hull, move_mask, up_to_border
from anonymize.track.model.frame_state import Box, Moment, Sighting
from anonymize.track.model.track import Person, joined
from anonymize.track.online.association import alike_sized
from anonymize.track.online.merged_detections import Companion
from anonymize.track.output.background_check import vacant
from anonymize.track.output.gaps import ways_across
from anonymize.track.output.smoothing import steady_box, steady_mask
from anonymize.track.output.surface import gather, still

GROWTH, MIN_GROWTH_PX = 0.03, 2
"""By how much a guess is grown that is added to the mask of a person who was found, of its height."""
WIDER, ASPECT = 1.3, 1.8
"""A person is made in a rectangle round all their pixels, of this height over width; what would make it so much larger
is covered apart from them."""
EXPLAINED = 0.7
"""Share of where somebody may be that is covered anyway, from which on it was not them who lost their ID."""
MISSED_SECONDS = 0.45
"""Whoever is missed for longer is likelier hidden than overlooked: they may be there, and that is all that is said."""
LINGER_SECONDS = 0.3
"""Who is missed may be as they were so long before or will be so long after, such as half behind somebody else."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Somebody as they are handed on.

    Attributes:
        number: The ID.
        box: [4] float64 xyxy, steadied.
        mask: Their pixels, or all pixels where they may be.
        source: The sighting, or the nearest one in time.
        filled: Whether the detector missed them.
        gap_seconds: For how long neither the detector nor the picture tells of them; 0 if it does in this frame.
        before: Their sightings before, if the detector found them in this frame.
    """

    number: int
    box: Box
    mask: RegionMask
    source: Sighting
    filled: bool
    before: Sequence[Sighting] = ()
    gap_seconds: float = 0.0


def complete(
    moment: Moment, people: Sequence[Person], bridges: Sequence[tuple[Person, Person]], reach_seconds: float
) -> Tracks:
    """Everybody who is in a frame.

    Args:
        moment: The frame that leaves.
        people: With what was seen of them before and after.
        bridges: Who may go on as whom; a gap between them is filled as if they did.
        reach_seconds: Somebody missing is filled in if seen at most so long before and so long after.
    """
    assert moment.found is not None
    shown = _everybody(moment, people, bridges, reach_seconds)
    # in the order of the detections, so that nothing need be copied where nobody was missed
    shown.sort(key=lambda s: (s.source.moment is not moment or s.source.row < 0, s.source.row))
    size_hw = moment.found.size_hw
    if not shown:
        return Tracks(moment.found[[]], np.zeros(0, np.int64), np.zeros(0, np.bool_))
    height, width = size_hw
    before = [still(s.source, s.before) for s in shown]
    has_cse, embeddings, segmentations = gather(moment, [s.source for s in shown], before)
    found = Detections(
        size_hw=size_hw,
        boxes_xyxy=np.stack([s.box for s in shown]).clip(0, (width, height, width, height)).astype(np.float32),
        scores=np.array([s.source.score for s in shown], np.float32),
        masks=tuple(s.mask for s in shown),
        has_cse=has_cse,
        embeddings=embeddings,
        segmentations=segmentations,
        surface=moment.found.surface,
    )
    return Tracks(found, np.array([s.number for s in shown], np.int64), np.array([s.filled for s in shown], np.bool_))


def _everybody(
    moment: Moment, people: Sequence[Person], bridges: Sequence[tuple[Person, Person]], reach_seconds: float
) -> list[Shown]:
    """Each person once, with the pixels of all ways in which they may go on; see `complete`."""
    shown: dict[int, Shown] = {}
    perhaps = [_someone(c, moment) for c in moment.companions]
    ways = [(person.number, list(person.sightings)) for person in people if person.number]
    ways += [
        (before.number, list(joined(before.sightings, after.sightings)))
        for before, after in bridges
        if not before.found_at(moment)
    ]
    # whoever was not found here at first may be where they would be then
    ways += [(number, [s for s in way if not s.exchanged]) for number, way in ways if _exchanged_at(way, moment)]
    for number, way in ways:
        one = show(number, way, moment, reach_seconds)
        if one is None or _unseen(one, way, moment):
            continue
        if one.gap_seconds > MISSED_SECONDS:
            perhaps.append(one)
            continue
        twin = shown.get(number)
        whole = one if twin is None else _with(twin, one, moment)
        if twin is None or _reach(whole.mask) < WIDER * _reach(twin.mask):
            shown[number] = whole
        else:
            perhaps.append(one)
    for number, way in ways_across(moment, people, reach_seconds):
        one = show(number, way, moment, reach_seconds)
        if one is None:
            continue
        covered = RegionMask.union([s.mask for s in (*shown.values(), *perhaps)])
        if one.mask.share_in(covered) < EXPLAINED and not _unseen(one, way, moment):
            perhaps.append(one)
    return [*shown.values(), *([_whoever(perhaps)] if perhaps else [])]


def _with(shown: Shown, perhaps: Shown, moment: Moment) -> Shown:
    """A person with the pixels of another way in which they may go on.

    A cover is wider where a person was not found. This one may have been, so what is guessed is widened here.
    """
    mask = perhaps.mask
    if perhaps.filled and not shown.filled:
        assert moment.found is not None
        mask = grow(mask, max(MIN_GROWTH_PX, round(GROWTH * mask.mask.shape[0])), moment.found.size_hw)
    return replace(shown, mask=RegionMask.union([shown.mask, mask]))


def _exchanged_at(way: Iterable[Sighting], moment: Moment) -> bool:
    """Whether what somebody was found as in a frame was taken for somebody else at first."""
    return any(s.moment is moment and s.exchanged for s in way)


def _unseen(one: Shown, way: Iterable[Sighting], moment: Moment) -> bool:
    """Whether neither the detector nor the picture says that somebody is there, and nobody is to be seen there."""
    if one.source.moment is moment:
        return False
    return vacant(one.mask, moment, [s.moment for s in way if s.row >= 0])


def _reach(mask: RegionMask) -> float:
    """Height of the rectangle that a person with a mask is made in, about."""
    rows, columns = (np.flatnonzero(mask.mask.any(axis)) for axis in (1, 0))
    return float(max(np.ptp(rows), ASPECT * np.ptp(columns))) if len(rows) else 0.0


def _someone(companion: Companion, moment: Moment) -> Shown:
    """Somebody whose ID is not known, at a moment at which a detector saw them."""
    box = np.array(companion.mask.box_xyxy, np.float64)
    sighting = Sighting(moment, box, companion.mask, companion.score)
    return Shown(NOBODY, box, companion.mask, sighting, filled=True)


def _whoever(perhaps: Sequence[Shown]) -> Shown:
    """Where somebody may be whose ID is not known, as one."""
    mask = RegionMask.union([one.mask for one in perhaps])
    source = replace(perhaps[0].source, row=-1)  # nobody's surface
    return Shown(NOBODY, np.array(mask.box_xyxy, np.float64), mask, source, filled=True)


def show(number: int, sightings: list[Sighting], moment: Moment, reach_seconds: float) -> Shown | None:
    """Where somebody is in a frame; None if they are not in it."""
    at = bisect_left(sightings, moment.seconds, key=lambda s: s.moment.seconds)
    here = next((k for k in range(at, len(sightings)) if sightings[k].moment is moment), None)
    if here is not None:
        own = sightings[here]
        mask = steady_mask(sightings, here)
        return Shown(
            number,
            steady_box(sightings, here),
            mask if own.row >= 0 else _generous([mask], sightings, moment),
            own,
            filled=own.row < 0,
            before=sightings[:here],
        )
    if at == 0 or at == len(sightings):
        return None
    before, after = sightings[at - 1], sightings[at]
    gone, ahead = moment.seconds - before.moment.seconds, after.moment.seconds - moment.seconds
    if max(gone, ahead) > reach_seconds + 1e-6:
        return None
    share = gone / max(gone + ahead, 1e-9)
    boxes = [s.box_at(moment) for s in (before, after)]
    box = boxes[0] + (boxes[1] - boxes[0]) * share
    assert moment.found is not None
    size_hw = moment.found.size_hw
    # boxes are less exact than masks, so masks are carried along by their own rectangles
    spans = [_span(s, moment) for s in (before, after)]
    span = spans[0] + (spans[1] - spans[0]) * share
    masks = [move_mask(s.mask, r, span, size_hw) for s, r in zip((before, after), spans, strict=True)]
    mask = _generous(masks, sightings, moment)
    if not mask.area:
        return None
    nearest = before if gone <= ahead else after
    return Shown(number, box, mask, nearest, filled=True, gap_seconds=gone + ahead)


def _generous(masks: Sequence[RegionMask], sightings: Sequence[Sighting], moment: Moment) -> RegionMask:
    """The mask of somebody whom the detector misses: more than they are thought to take up.

    Args:
        masks: Where they are thought to be.
        sightings: Where they were seen; what is near in time counts as well, at the place where it was.
        moment: The frame.
    """
    assert moment.found is not None
    size_hw = moment.found.size_hw
    near = [s for s in sightings if s.row >= 0 and abs(s.moment.seconds - moment.seconds) <= LINGER_SECONDS]
    before = [s for s in near if s.moment.seconds < moment.seconds][-1:]
    after = [s for s in near if s.moment.seconds > moment.seconds][:1]
    there = [move_mask(s.mask, _rectangle(s), _span(s, moment), size_hw) for s in before + after]
    whole = RegionMask.union([*masks, *there])
    if before and after and not alike_sized(before[0].box[None], after[0].box[None])[0, 0]:
        whole = hull(whole)  # half hidden before or after: how much of them is to be seen between is anybody's guess
    return up_to_border(whole, size_hw)


def _rectangle(sighting: Sighting) -> Box:
    """The rectangle [4] of a sighting's mask in pixels of its own frame."""
    return np.array(sighting.mask.box_xyxy, np.float64)


def _span(sighting: Sighting, moment: Moment) -> Box:
    """The rectangle [4] of a sighting's mask in pixels of another moment's frame."""
    span: Box = moment.here(sighting.moment, _rectangle(sighting)[None])[0]
    return span
