"""People who are followed, from frame to frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from anonymize.track.appearance import Looks, PartTable, describe
from anonymize.track.association import (
    BACK_LOOKS,
    BETTER_LOOKS,
    CHANGED_LOOKS,
    OTHER_LOOKS,
    Absence,
    Group,
    Pairs,
    alike,
    assign,
    distinct,
    overlap,
    pair_returned,
    pair_sure,
    pair_unsure,
)
from anonymize.track.camera_motion import CameraMotion, identity, inverse, then
from anonymize.track.geometry import GRID_HW, mask_grid, mask_in, move_mask, rows_of, union
from anonymize.track.kalman import Motion
from anonymize.track.moments import Box, Moment, Sighting
from anonymize.track.picture import find
from anonymize.types import BoolArray, Detections, FloatArray, Frame, IntArray

LATELY_SECONDS = 1.0  # who was seen within it is looked for where they should be
LOOKS_RATE = 0.1
LOOK_SECONDS = 0.09  # nobody changes their clothes sooner
WELL_KNOWN = 3  # clear views of somebody; looks of less are believed less
LITTLE_KNOWN_LOOKS = 0.7
CLEAR = 0.2  # looks are learnt from people whose box nobody else covers more than this
UNSURE_NOISE = 2.0
PICTURE_NOISE = 3.0
ESTABLISHED = 4  # sure detections, or one halfway to certain; others may be false alarms: nothing unsure prolongs them
PICTURE_SECONDS = 0.5  # for so long somebody is followed by their picture alone
BACK_OVERLAP = 0.3
EXTENT_SECONDS = 0.5
EXTENT_MARGIN = 0.03  # of the height
VIEWS_BONUS = 0.002  # a view: of two who may be one person, the better known one is taken
BORDER = 0.02  # of the width of the frame
PART_OF = 0.8  # somebody new, this much of whom is pixels of one other person, this often, is a part of that person


@dataclass(eq=False)
class Person:
    """Somebody who is followed.

    Attributes:
        found_seconds: When a detector last found them.
        sightings: Where they were seen, in order of time, as far back as the look-ahead reaches.
        number: The ID, from 1; 0 until they are first shown, which is when they may be known again as somebody else.
        surely: How often a detector found them surely; `ESTABLISHED` and more once it was nearly certain.
        established: Whether that is often enough for them to be followed where it is unsure.
        views: How often they were seen clearly.
        met: Who was seen at the same time, and so is somebody else.
        missing: Who was missing when they appeared, and how: an entry of `Absence`.
    """

    found_seconds: float
    sightings: deque[Sighting]
    number: int = 0
    surely: int = 0
    established: bool = False
    views: int = 0
    met: set[Person] = field(default_factory=set, repr=False)
    missing: dict[Person, tuple[float, float, bool, float]] = field(default_factory=dict, repr=False)


class Following:
    """All people of a film as they are known so far.

    Args:
        sure: Lowest score of a sure detection.
        lookahead_seconds: How long somebody is followed by their picture alone.
        memory_seconds: How long somebody out of sight is remembered.
        parts: Body parts of surface embeddings.
    """

    def __init__(self, sure: float, lookahead_seconds: float, memory_seconds: float, parts: PartTable | None) -> None:
        self.people: list[Person] = []
        self._sure, self._lookahead, self._memory, self._parts = sure, lookahead_seconds, memory_seconds, parts
        # row i of these is the i-th of the people
        self._motion, self._looks = Motion(), Looks.unknown(0)
        self._grids: BoolArray = np.zeros((0, *GRID_HW), np.bool_)
        self._camera = CameraMotion()
        self._before: Moment | None = None
        self._count = 0
        self._looked_seconds = -np.inf

    def step(self, frame: Frame, found: Detections, waiting: deque[Moment]) -> Moment:
        """Take in the next frame.

        Args:
            frame: The frame.
            found: Detections of high and low score.
            waiting: The frames before it that have not left yet; new people are followed back into them.
        """
        moment = self._enter(frame, found)
        boxes = found.boxes_xyxy.astype(np.float64)
        grids = np.stack([mask_grid(m, b) for m, b in zip(found.masks, boxes, strict=True)] or [self._grids[:0]])
        seen = Group(boxes, grids.reshape(-1, *GRID_HW))
        looks = self._look(frame, found)
        distance = self._looks.distance(looks)
        pairs = self._pair(moment, seen, distance)
        self._update(moment, seen, looks, pairs)
        met = {j for _, j in pairs}
        strangers = [j for j in rows_of(found.scores >= self._sure).tolist() if j not in met]
        missing = [i for i in range(len(self.people)) if not self._is_here(i, moment)]
        self._add(moment, seen, looks, np.array(strangers, np.int64))
        for i in missing:
            self._follow_picture(i, moment)
        here = {p for i, p in enumerate(self.people) if self._is_here(i, moment)}
        for person in here:
            person.met |= here - {person}
        for i in range(len(self.people)):
            self._look_back(self.people[i], moment, waiting)
        return moment

    def _look(self, frame: Frame, found: Detections) -> Looks:
        """What the people of a frame look like; of frames in quick succession only some are looked at."""
        if frame.pts_seconds - self._looked_seconds < LOOK_SECONDS and frame.pts_seconds >= self._looked_seconds:
            return Looks.unknown(len(found))
        self._looked_seconds = frame.pts_seconds
        return describe(frame.image, found, self._parts)

    def forget(self, seconds: float) -> None:
        """Drop sightings before a time, and people whom nobody has seen for long."""
        for person in self.people:
            while person.sightings and person.sightings[0].moment.seconds < seconds:
                person.sightings.popleft()

    def _enter(self, frame: Frame, found: Detections) -> Moment:
        """Move everybody to where they should be now."""
        before, now = self._before, frame.pts_seconds
        transform = self._camera.update(frame.image, found.masks)
        if before is None:
            place = identity()
        elif np.array_equal(transform, identity()):
            place = before.place
        else:
            place = then(inverse(transform), before.place)
        moment = Moment(frame, found, now, place, np.ones(len(found), np.bool_))
        if before is not None:
            if place is not before.place:
                self._motion.warp(transform)
            step = max(0.0, now - before.seconds)
            self._motion.coast(self._absent(before.seconds) > 0, step)
            self._motion.predict(step)
        known = np.array([now - p.found_seconds <= self._memory or bool(p.sightings) for p in self.people], np.bool_)
        if not known.all():
            self._keep(known)
        self._before = moment
        return moment

    def _absent(self, now: float) -> np.ndarray:
        return np.array([now - p.found_seconds for p in self.people], np.float64)

    def _pair(self, moment: Moment, seen: Group, distance: FloatArray) -> Pairs:
        """Who is who: pairs of a person's row and a detection's row."""
        assert moment.found is not None
        sure = rows_of(moment.found.scores >= self._sure)
        unsure = rows_of(moment.found.scores < self._sure)
        absent = self._absent(moment.seconds)
        known = Group(self._motion.boxes_xyxy, self._grids)
        pairs: Pairs = []

        def left(rows: IntArray, side: int) -> IntArray:
            gone = {pair[side] for pair in pairs}
            return np.array([r for r in rows.tolist() if r not in gone], np.int64)

        # what is seen of somebody behind somebody else may look like anything: it speaks for a pair but against none
        hidden = _covered(seen.boxes) >= CLEAR
        distance = np.where(hidden[None], np.minimum(distance, CHANGED_LOOKS), distance)
        lately = rows_of(absent <= LATELY_SECONDS)
        first = pair_sure(known[lately], seen[sure], distance[np.ix_(lately, sure)])
        pairs += [(int(lately[i]), int(sure[j])) for i, j in first]
        rest = left(np.array([i for i in lately.tolist() if self.people[i].established], np.int64), 0)
        second = pair_unsure(known[rest], seen[unsure])
        pairs += [(int(rest[i]), int(unsure[j])) for i, j in second]
        missing, strangers = left(np.arange(len(self.people)), 0), left(sure, 1)
        if len(missing) and len(strangers):
            absence = self._absence(missing, seen.boxes[strangers], moment)
            third = pair_returned(absence, distance[np.ix_(missing, strangers)])
            pairs += [(int(missing[i]), int(strangers[j])) for i, j in third]
        return pairs

    def _update(self, moment: Moment, seen: Group, looks: Looks, pairs: Pairs) -> None:
        """Let people be where they are found."""
        assert moment.found is not None
        if not pairs:
            return
        rows, columns = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
        scores = moment.found.scores[columns]
        sure = scores >= self._sure
        back = self._absent(moment.seconds)[rows] > LATELY_SECONDS
        self._motion.update(rows, seen.boxes[columns], np.where(sure, 1.0, UNSURE_NOISE))
        self._motion.restart(rows[back], seen.boxes[columns[back]])
        self._grids[rows] = seen.grids[columns]
        seen_clearly = (_covered(seen.boxes) < CLEAR) & looks.known
        clear = sure & seen_clearly[columns]
        views = np.array([self.people[i].views for i in rows[clear]], np.float32)
        self._looks.blend(
            rows[clear], looks[columns[clear]], np.maximum(LOOKS_RATE, 1 / (1 + views)).astype(np.float32)
        )
        for i in rows[clear].tolist():
            self.people[i].views += 1
        for i, j in pairs:
            person = self.people[i]
            person.surely += self._evidence(moment, j)
            person.sightings.append(self._sighting(moment, j))
            person.found_seconds = moment.seconds
            moment.free[j] = False

    def _evidence(self, moment: Moment, row: int) -> int:
        """How many sure detections a detection is worth."""
        assert moment.found is not None
        score = float(moment.found.scores[row])
        return ESTABLISHED if score >= (1 + self._sure) / 2 else int(score >= self._sure)

    def _add(self, moment: Moment, seen: Group, looks: Looks, strangers: IntArray) -> None:
        """Begin to follow new people."""
        if not len(strangers):
            return
        missing = np.array([i for i in range(len(self.people)) if not self._is_here(i, moment)], np.int64)
        absence = self._absence(missing, seen.boxes[strangers], moment)
        clear = (_covered(seen.boxes) < CLEAR) & looks.known
        self._motion.add(seen.boxes[strangers])
        self._grids = np.concatenate([self._grids, seen.grids[strangers]])
        self._looks = self._looks.and_also(looks[strangers])
        new: list[Person] = []
        for column, j in enumerate(strangers.tolist()):
            person = Person(moment.seconds, deque([self._sighting(moment, j)]), views=int(clear[j]))
            person.surely = self._evidence(moment, j)
            person.missing = {self.people[i]: absence[k, column] for k, i in enumerate(missing.tolist())}
            new.append(person)
            moment.free[j] = False
        self.people += new

    def name(self, moment: Moment) -> None:
        """Give everybody who is to be shown in a frame their ID: that of somebody known, or a new one."""
        new = [i for i, p in enumerate(self.people) if not p.number and p.sightings]
        if not new:
            return
        gone = set[int]()
        for i in self._due(new, moment):
            if self._join_whole(self.people[i], {self.people[k] for k in gone}):
                gone.add(i)
        new = [i for i in new if i not in gone]
        due = self._due(new, moment)  # whoever got a part may be due by it
        for i, j in self._known_again(new):
            # a frame of the gap between the two is the last chance to fill it
            last = self.people[i].sightings[-1].moment.seconds if self.people[i].sightings else np.inf
            if new[j] in due or (last < moment.seconds and len(self.people[new[j]].sightings) >= WELL_KNOWN):
                self._reunite(i, new[j])
                gone.add(new[j])
        for i in due:
            if i not in gone:
                self._count += 1
                self.people[i].number = self._count
                self.people[i].missing = {}
        if gone:
            self._keep(np.array([i not in gone for i in range(len(self.people))], np.bool_))

    def _known_again(self, new: list[int]) -> Pairs:
        """Pairs of somebody who was missing and the place in `new` of the newcomer who is that person."""
        absence = Absence.none(len(self.people), len(new))
        newcomers = np.array(new, np.int64)  # perhaps nobody
        looks = self._looks.distance(self._looks[newcomers])
        limit = np.full(len(new), BACK_LOOKS, np.float32)
        rows = {person: i for i, person in enumerate(self.people)}
        for column, i in enumerate(new):
            newcomer = self.people[i]
            looks[i, column] = np.inf
            if newcomer.views < WELL_KNOWN:
                limit[column] *= LITTLE_KNOWN_LOOKS
            for person, how in newcomer.missing.items():
                row = rows.get(person)
                back = person.sightings and person.sightings[-1].moment.seconds >= newcomer.sightings[0].moment.seconds
                if row is not None and person.number and not back:
                    absence[row, column] = how
        met = np.array([[other in person.met for other in self.people] for person in self.people], np.bool_)
        known = np.where(np.isnan(looks), np.inf, looks)
        views = np.array([min(p.views, 100) for p in self.people], np.float32)
        well = np.minimum.outer(views, [self.people[i].views for i in new]) >= WELL_KNOWN
        most = np.where(well, OTHER_LOOKS, CHANGED_LOOKS)
        # somebody else who looks much more like the newcomer speaks against it too
        most = np.where(well, np.minimum(most, np.maximum(BETTER_LOOKS * known.min(0), BACK_LOOKS / 2)), most)
        unlike = distinct(looks, met, newcomers)
        inner = np.array([not self._at_border(person) for person in self.people], np.bool_)
        allowed = alike(looks, absence, unlike, limit) | (absence.near(looks, most, unlike) & (unlike | inner[:, None]))
        return assign(absence.fit(looks) + VIEWS_BONUS * views[:, None], allowed)

    def _at_border(self, person: Person) -> bool:
        """Whether somebody was last seen at the left or right border, where people leave and others enter."""
        if not person.sightings or self._before is None or self._before.found is None:
            return False
        width = self._before.found.size_hw[1]
        left, _, right, _ = person.sightings[-1].box.tolist()
        return bool(left < BORDER * width or right > (1 - BORDER) * width)

    def _absence(self, rows: IntArray, boxes: Box, moment: Moment) -> Absence:
        """How people `rows` [N] are missing at a moment at which boxes [M, 4] appear."""
        expected = self._motion.boxes_xyxy[rows]
        extents = [_extent(self.people[i], e, moment) for i, e in zip(rows, expected, strict=True)]
        absent = self._absent(moment.seconds)[rows]
        return Absence.of(expected, np.array(extents).reshape(-1, 4), boxes, absent)

    def _reunite(self, row: int, newcomer: int) -> None:
        """Let somebody known go on as the newcomer goes on."""
        old, new = self.people[row], self.people[newcomer]
        old.sightings.extend(new.sightings)
        old.found_seconds = new.found_seconds
        self._motion.mean[row], self._motion.covariance[row] = (
            self._motion.mean[newcomer],
            self._motion.covariance[newcomer],
        )
        self._grids[row] = self._grids[newcomer]
        share = max(LOOKS_RATE, new.views / max(1, new.views + old.views))
        self._looks.blend(np.array([row]), self._looks[np.array([newcomer])], np.array([share], np.float32))
        old.views += new.views
        old.surely += new.surely
        old.met |= new.met
        for person in self.people:
            if new in person.missing:
                person.missing[old] = person.missing.pop(new)
            if new in person.met:
                person.met.add(old)

    def _keep(self, rows: BoolArray) -> None:
        """Forget everybody but those marked True."""
        gone = {p for p, kept in zip(self.people, rows, strict=True) if not kept}
        self.people = [p for p, kept in zip(self.people, rows, strict=True) if kept]
        self._motion.keep(rows)
        self._looks, self._grids = self._looks[rows], self._grids[rows]
        for person in self.people:
            person.met -= gone
        for person in gone:  # those who met each other would keep each other and their frames in memory
            person.met.clear()
            person.missing.clear()
            person.sightings.clear()

    def _sighting(self, moment: Moment, row: int) -> Sighting:
        assert moment.found is not None
        box = moment.found.boxes_xyxy[row].astype(np.float64)
        return Sighting(moment, box, moment.found.masks[row], float(moment.found.scores[row]), row)

    def _is_here(self, row: int, moment: Moment) -> bool:
        sightings = self.people[row].sightings
        return bool(sightings) and sightings[-1].moment is moment

    def _due(self, rows: list[int], moment: Moment) -> list[int]:
        """Those of some people who are to be shown by now."""
        return [i for i in rows if self.people[i].sightings[0].moment.seconds <= moment.seconds]

    def _join_whole(self, newcomer: Person, gone: Collection[Person]) -> bool:
        """Whether somebody was found within one and the same other person only; gives the pixels to that one then.

        Args:
            newcomer: Who may be a part.
            gone: Who has become a part of others already, and is nobody's whole.
        """
        whole: dict[Person, list[Sighting]] = {}
        for sighting in newcomer.sightings:
            for person in self.people:
                if person is newcomer or person in gone:
                    continue
                other = next((s for s in person.sightings if s.moment is sighting.moment), None)
                if other is not None and mask_in(sighting.mask, other.mask) > PART_OF:
                    whole.setdefault(person, []).append(other)
        person, others = max(whole.items(), key=lambda item: len(item[1]), default=(newcomer, []))
        if len(others) < PART_OF * len(newcomer.sightings):
            return False
        for sighting in newcomer.sightings:
            same = next((s for s in person.sightings if s.moment is sighting.moment), None)
            if same is None:
                person.sightings.append(sighting)
            else:
                same.mask = union([same.mask, sighting.mask])
        person.sightings = deque(sorted(person.sightings, key=lambda s: s.moment.seconds))
        return True

    def _follow_picture(self, row: int, moment: Moment) -> None:
        """Somebody whom the detector misses may still be seen to be there."""
        person = self.people[row]
        known = next((s for s in reversed(person.sightings) if s.row >= 0), None)
        if (
            known is None
            or not person.established
            or moment.seconds - known.moment.seconds > min(PICTURE_SECONDS, self._lookahead)
        ):
            return
        sighting = _seen_by_picture(known, moment, self._motion.boxes_xyxy[row])
        if sighting is not None:
            person.sightings.append(sighting)
            self._motion.update(np.array([row]), sighting.box[None], np.array([PICTURE_NOISE]))

    def _look_back(self, person: Person, moment: Moment, waiting: deque[Moment]) -> None:
        """Follow somebody who has just been found back into the frames before."""
        if not person.sightings or person.sightings[-1].moment is not moment or person.sightings[-1].row < 0:
            return
        if person.surely < ESTABLISHED:
            return
        at = len(person.sightings) - 1 if person.established else 0  # the first time, from the beginning
        person.established = True
        earlier = person.sightings[at - 1].moment.seconds if at else -np.inf
        found: list[Sighting] = []
        now = known = person.sightings[at]
        for before in reversed(waiting):
            if before.seconds <= earlier:
                break
            if before.seconds >= now.moment.seconds:
                continue
            expected = now.box_at(before)
            sighting = self._unsure_before(expected, now, before)
            if sighting is not None:
                known = sighting
            elif known.moment.seconds - before.seconds <= PICTURE_SECONDS:
                sighting = _seen_by_picture(known, before, expected)
            if sighting is None:
                break
            found.append(sighting)
            now = sighting
        for sighting in found:
            person.sightings.insert(at, sighting)

    def _unsure_before(self, expected: Box, now: Sighting, before: Moment) -> Sighting | None:
        """The free detection of an earlier moment that continues a person to there."""
        if before.found is None:
            return None
        free = rows_of(before.free)
        if not len(free):
            return None
        boxes = before.found.boxes_xyxy[free].astype(np.float64)
        grids = np.stack([mask_grid(before.found.masks[j], b) for j, b in zip(free, boxes, strict=True)])
        common = overlap(Group(expected[None], mask_grid(now.mask, now.box)[None]), Group(boxes, grids))[0]
        best = int(common.argmax())
        if common[best] < BACK_OVERLAP:
            return None
        before.free[free[best]] = False
        return self._sighting(before, int(free[best]))


def _seen_by_picture(known: Sighting, moment: Moment, expected: Box) -> Sighting | None:
    """Somebody known from one moment, as they are found by their picture in another one."""
    if known.moment.frame is None or moment.frame is None:
        return None
    centre, half = (expected[:2] + expected[2:]) / 2, (known.box[2:] - known.box[:2]) / 2
    expected = np.concatenate([centre - half, centre + half])
    box = find(known.moment.frame.image, known.box, moment.frame.image, expected)
    if box is None:
        return None
    mask = move_mask(known.mask, known.box, box, moment.frame.size_hw)
    return Sighting(moment, box, mask, known.score) if mask.area else None


def _extent(person: Person, expected: Box, moment: Moment) -> Box:
    """All that somebody took up lately, moved to where they are expected now, with a margin; box [4]."""
    lately = [s for s in person.sightings if s.moment.seconds >= person.found_seconds - EXTENT_SECONDS]
    if not lately:
        return expected
    boxes = np.stack([s.box_at(moment) for s in lately])
    moved = (expected[:2] + expected[2:] - boxes[-1, :2] - boxes[-1, 2:]) / 2
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    margin = EXTENT_MARGIN * (high[1] - low[1])
    return np.concatenate([low - margin + np.minimum(moved, 0), high + margin + np.maximum(moved, 0)])


def _covered(boxes: Box) -> FloatArray:
    """Largest share [N] of each box that another box covers."""
    if len(boxes) < 2:
        return np.zeros(len(boxes), np.float32)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    share = np.clip(high - low, 0, None).prod(2) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1)[:, None]
    np.fill_diagonal(share, 0)
    covered: FloatArray = share.max(1).astype(np.float32)
    return covered
