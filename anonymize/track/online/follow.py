"""People who are followed, from frame to frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from anonymize.core.types import BoolArray, Detections, FloatArray, Frame, IntArray, RegionMask
from anonymize.track.delayed.fragments import join_whole
from anonymize.track.delayed.id_swaps import exchange
from anonymize.track.delayed.reidentification import WELL_KNOWN, Absence, Entry, looks_evidence, trust
from anonymize.track.geometry import GRID_HW, OUTLINE, mask_grids, mask_of_grid, rows_of
from anonymize.track.model.appearance import Looks, PartTable, describe
from anonymize.track.model.camera_motion import CameraMotion, identity, inverse, then
from anonymize.track.model.frame_state import Box, Moment, Sighting
from anonymize.track.model.kalman import Motion
from anonymize.track.model.thumbnail import Glance
from anonymize.track.model.track import GALLERY, Person, at_border, extent, joined
from anonymize.track.online.association import (
    CHANGED_LOOKS,
    CLEAR,
    CONFIRMED_LOOKS,
    CROWDED,
    NOT_THEM_LOOKS,
    SAME_LOOKS,
    SUDDEN,
    Group,
    Pairs,
    assign,
    crowding,
    goes_on,
    likely,
    likeness,
    likest,
    mistaken,
    overlap,
    pair_returned,
    pair_sure,
    pair_unsure,
)
from anonymize.track.online.backtrack import PICTURE_SECONDS, retrace, seen_by_picture, sighting_of
from anonymize.track.online.merged_detections import Companion, Joint, companions, divide, owners
from anonymize.track.output.surface import shrink_surfaces

LATELY_SECONDS = 1.0  # who was seen within it is looked for where they should be
AT_ONCE_SECONDS = 0.35  # who was missing for longer than this is looked at for a while first
LOOKS_RATE = 0.1
GLIMPSE = 0.3  # what is seen of somebody in a crowd is worth less
LOOK_SECONDS = 0.09  # nobody changes their clothes sooner
UNSURE_NOISE = 2.0
PICTURE_NOISE = 3.0
ESTABLISHED = 4  # sure detections, or one halfway to certain; others may be false alarms: nothing unsure prolongs them
MOSTLY = 0.5  # whoever looks like somebody else so often since somebody appeared, is somebody else
HARDLY = 1 / 3  # so many of the sure detections of a newcomer
SURELY = 100.0  # more than all that place and looks can say


class Following:
    """All people of a film as they are known so far.

    Args:
        sure: Lowest score of a sure detection.
        lookahead_seconds: How long somebody is followed by their picture alone.
        memory_seconds: How long somebody out of sight is remembered.
        parts: Body parts of surface embeddings.
        count: IDs that are taken already.
    """

    def __init__(
        self, sure: float, lookahead_seconds: float, memory_seconds: float, parts: PartTable | None, count: int = 0
    ) -> None:
        self.people: list[Person] = []
        self._sure, self._lookahead, self._memory, self._parts = sure, lookahead_seconds, memory_seconds, parts
        # row i of these is the i-th of the people
        self._motion, self._looks = Motion(), Looks.unknown(0)
        self._grids: BoolArray = np.zeros((0, *GRID_HW), np.bool_)
        self._camera = CameraMotion()
        self._before: Moment | None = None
        self._step_seconds = 0.0
        self._companions: list[Companion] = []  # of the frame before
        self.count = count
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
        seen = Group(boxes, mask_grids(found.masks, boxes, error=OUTLINE))
        looks = self._look(frame, found, seen.grids)
        distance = self._looks.distance(looks)
        common = self._overlap(moment, seen)
        shown = owners(seen, found.scores, self._sure, self._certain)
        there = self._known & np.array([p.established and p.heir is None for p in self.people], np.bool_)
        shown = {j: rows for j, rows in shown.items() if not goes_on(j, rows, common[there], distance[there])}
        own = np.ones(len(found), np.bool_)
        own[list(shown)] = False
        sure = (found.scores >= self._sure) & own
        unsure = (found.scores < self._sure) & own
        pairs = self._pair(moment, seen, sure, unsure, common, distance)
        crowd = self._crowd(moment, seen, sure, pairs)
        heirs = self._heirs(distance, pairs, sure & (crowd < CLEAR))
        pairs = [(i, j) for i, j in pairs if j not in heirs]
        self._update(moment, seen, looks, pairs, sure & (crowd < CLEAR), common, distance)
        met = {j for _, j in pairs}
        missing = [i for i in range(len(self.people)) if not self._is_here(i, moment)]
        self._add(moment, seen, looks, [j for j in rows_of(sure).tolist() if j not in met], crowd, heirs)
        self._share(moment, shown)
        # whatever was decided above, no sure detection is left to nobody
        self._add(moment, seen, looks, rows_of(moment.free & (found.scores >= self._sure)).tolist(), crowd, {})
        for i in missing:
            self._follow_picture(i, moment)
        self._meet(moment)
        for person in self.people:
            self._look_back(person, moment, waiting)
        return moment

    @property
    def _certain(self) -> float:
        """The score halfway from sure to certain."""
        return (1 + self._sure) / 2

    def _look(self, frame: Frame, found: Detections, grids: BoolArray) -> Looks:
        """What the people of a frame look like; of frames in quick succession only some are looked at."""
        if frame.pts_seconds - self._looked_seconds < LOOK_SECONDS and frame.pts_seconds >= self._looked_seconds:
            return Looks.unknown(len(found))
        self._looked_seconds = frame.pts_seconds
        return describe(frame.image, found, self._parts, grids)

    def forget(self, seconds: float) -> None:
        """Drop sightings before a time, and people whom nobody has seen for long."""
        for person in self.people:
            while person.sightings and person.sightings[0].moment.seconds < seconds:
                person.sightings.popleft()

    def _enter(self, frame: Frame, found: Detections) -> Moment:
        """Move everybody to where they should be now."""
        before, now = self._before, frame.pts_seconds
        glance = Glance.at(frame.image, found.masks)
        transform = self._camera.update(glance)
        if before is None:
            place = identity()
        elif np.array_equal(transform, identity()):
            place = before.place
        else:
            place = then(inverse(transform), before.place)
        moment = Moment(frame, shrink_surfaces(found), now, place, np.ones(len(found), np.bool_), glance)
        if before is not None:
            if place is not before.place:
                self._motion.warp(transform)
            self._step_seconds = step = max(0.0, now - before.seconds)
            self._motion.coast(self._absent(before.seconds) > 0, step)
            self._motion.predict(step)
        known = np.array([now - p.found_seconds <= self._memory or bool(p.sightings) for p in self.people], np.bool_)
        if not known.all():
            self._keep(known)
        self._before = moment
        return moment

    def _absent(self, now: float) -> np.ndarray:
        return np.array([now - p.found_seconds for p in self.people], np.float64)

    def _views(self) -> FloatArray:
        """How often each of the people was clearly seen, in all appearances, [N]."""
        return np.array([p.all_views for p in self.people], np.float32)

    @property
    def _known(self) -> BoolArray:
        """Whether each of the people was clearly seen often enough for their looks to be believed, [N]."""
        known: BoolArray = self._views() >= WELL_KNOWN
        return known

    def _overlap(self, moment: Moment, seen: Group) -> FloatArray:
        """How much people overlap detections, [N, M]; 0 for those not seen lately."""
        lately = rows_of(self._absent(moment.seconds) <= LATELY_SECONDS)
        common = np.zeros((len(self.people), len(seen.boxes)), np.float32)
        common[lately] = overlap(Group(self._motion.boxes_xyxy, self._grids)[lately], seen)
        return common

    def _pair(
        self,
        moment: Moment,
        seen: Group,
        sure: BoolArray,
        unsure: BoolArray,
        common: FloatArray,
        distance: FloatArray,
    ) -> Pairs:
        """Who is who: pairs of a person's row and a detection's row.

        Args:
            moment: The frame.
            seen: Its detections.
            sure: [M] which of them are surely people.
            unsure: [M] which of them may be people, as far as they are there already.
            common: [N, M] their overlap.
            distance: [N, M] how different people and detections look.
        """
        assert moment.found is not None
        rows, others = rows_of(sure), rows_of(unsure)
        absent = self._absent(moment.seconds)
        sought = np.array([p.heir is None for p in self.people], np.bool_)
        pairs: Pairs = []

        def left(rows: IntArray, side: int) -> IntArray:
            gone = {pair[side] for pair in pairs}
            return np.array([r for r in rows.tolist() if r not in gone], np.int64)

        # what is seen of somebody behind somebody else may look like anything: it speaks for a pair but against none
        hidden = crowding(seen.boxes, seen.boxes[rows]).max(1, initial=0) >= CLEAR
        distance = np.where(hidden[None], np.minimum(distance, CHANGED_LOOKS), distance)
        # whoever has just been seen first looks like that: it is no reason to take them for somebody well known
        sure_of = trust(self._views())
        lately = rows_of((absent <= LATELY_SECONDS) & sought)
        wrong = (mistaken(common, distance, self._known) & ~hidden)[:, rows]
        possible = np.where(wrong, 0, common[:, rows])
        first = pair_sure(possible[lately], distance[np.ix_(lately, rows)], sure_of[lately])
        pairs += [(int(lately[i]), int(rows[j])) for i, j in first]
        rest = left(np.array([i for i in lately.tolist() if self.people[i].established], np.int64), 0)
        second = pair_unsure(common[np.ix_(rest, others)])
        pairs += [(int(rest[i]), int(others[j])) for i, j in second]
        missing, strangers = left(rows_of((absent < AT_ONCE_SECONDS) & sought), 0), left(rows, 1)
        if len(missing) and len(strangers):
            looks = distance[np.ix_(missing, strangers)]
            looks = np.where(wrong[np.ix_(missing, np.searchsorted(rows, strangers))], np.inf, looks)
            border = np.array([at_border(box, moment.found.size_hw[1]) for box in seen.boxes[strangers]], np.bool_)
            entering = np.array([self._enters(self.people[i], moment) for i in missing], np.bool_)[:, None] & border
            known = self._motion.boxes_xyxy[missing]
            third = pair_returned(known, seen.boxes[strangers], looks, sure_of[missing], entering)
            pairs += [(int(missing[i]), int(strangers[j])) for i, j in third]
        return pairs

    def _enters(self, person: Person, moment: Moment) -> bool:
        """Whether somebody has just been seen first, at the border."""
        return person.leaving and moment.seconds - person.began_seconds < AT_ONCE_SECONDS

    def _crowd(self, moment: Moment, seen: Group, sure: BoolArray, pairs: Pairs) -> FloatArray:
        """How much each detection [M] overlaps somebody else who is there, or should be."""
        met = {i for i, _ in pairs}
        absent = self._absent(moment.seconds)
        hidden = [
            i for i, p in enumerate(self.people) if i not in met and p.heir is None and absent[i] < LATELY_SECONDS
        ]
        there = sure.copy()
        there[[j for _, j in pairs]] = True
        others = np.concatenate([seen.boxes[there], self._motion.boxes_xyxy[hidden]])
        crowd: FloatArray = crowding(seen.boxes, others).max(axis=1, initial=0)
        return crowd

    def _heirs(self, distance: FloatArray, pairs: Pairs, clear: BoolArray) -> dict[int, int]:
        """Who comes out of a crowd and does not look like the one who went in; row of that one by the detection.

        Args:
            distance: [N, M] how different people and detections look.
            pairs: Who is who, it seems.
            clear: [M] which detections show somebody as they are.
        """
        heirs = {}
        for i, j in pairs:
            person = self.people[i]
            if not person.crowd or not clear[j] or np.isnan(distance[i, j]):
                continue
            likest = distance[i, j] < CONFIRMED_LOOKS and distance[i, j] <= np.nanmin(distance[:, j])
            if likest or person.views < WELL_KNOWN:
                person.crowd.clear()
            else:
                heirs[j] = i
        return heirs

    def _update(
        self,
        moment: Moment,
        seen: Group,
        looks: Looks,
        pairs: Pairs,
        clear: BoolArray,
        common: FloatArray,
        distance: FloatArray,
    ) -> None:
        """Let people be where they are found.

        Args:
            moment: The frame.
            seen: Its detections.
            looks: How they look.
            pairs: Who is who.
            clear: [M] who is seen as they are.
            common: [N, M] overlap of people and detections.
            distance: [N, M] how different they look.
        """
        assert moment.found is not None
        if not pairs:
            return
        rows, columns = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
        sure = moment.found.scores[columns] >= self._sure
        self._motion.update(rows, seen.boxes[columns], np.where(sure, 1.0, UNSURE_NOISE))
        self._grids[rows] = seen.grids[columns]
        views = np.array([self.people[i].views for i in rows], np.float32)
        worth = np.where(clear[columns], 1, GLIMPSE).astype(np.float32)
        known = looks.known
        learnt = known[columns] & sure & (clear[columns] | (views < WELL_KNOWN))
        rate = np.maximum(LOOKS_RATE, worth / (worth + views)).astype(np.float32)
        odd = self._known[rows] & (distance[rows, columns] > SAME_LOOKS)  # it may be somebody else
        rate[odd] *= GLIMPSE
        self._looks.blend(rows[learnt], looks[columns[learnt]], rate[learnt])
        for i, share in zip(rows[learnt].tolist(), worth[learnt].tolist(), strict=True):
            self.people[i].views += share
        for i, j in pairs:
            person = self.people[i]
            person.surely += self._evidence(moment, j)
            sudden, unlike = bool(common[i, j] < SUDDEN), bool(distance[i, j] > SAME_LOOKS)
            seen_as = looks[j : j + 1] if known[j] else None
            person.sightings.append(sighting_of(moment, j, seen_as, sudden=sudden, unlike=unlike))
            person.found_seconds = moment.seconds
            person.leaving = at_border(seen.boxes[j], moment.found.size_hw[1])
            moment.free[j] = False

    def _evidence(self, moment: Moment, row: int) -> int:
        """How many sure detections a detection is worth."""
        assert moment.found is not None
        score = float(moment.found.scores[row])
        return ESTABLISHED if score >= self._certain else int(score >= self._sure)

    def _add(
        self, moment: Moment, seen: Group, looks: Looks, strangers: list[int], crowd: FloatArray, heirs: dict[int, int]
    ) -> None:
        """Begin to follow new people, and those who come out of a crowd.

        Args:
            moment: The frame.
            seen: Its detections.
            looks: How they look.
            strangers: Those that are nobody's so far.
            crowd: [M] how much each overlaps somebody else.
            heirs: Row of whom it should be, by the detection of somebody who comes out of a crowd.
        """
        assert moment.found is not None
        if not strangers:
            return
        columns = np.array(strangers, np.int64)
        missing = np.array([i for i in range(len(self.people)) if not self._is_here(i, moment)], np.int64)
        absence = self._absence(missing, seen.boxes[columns], moment)
        clear = crowd < CLEAR
        known = len(self.people)
        self._motion.add(seen.boxes[columns])
        self._grids = np.concatenate([self._grids, seen.grids[columns]])
        self._looks = Looks.of([self._looks, looks[columns]])
        for column, j in enumerate(strangers):
            person = Person(
                moment.seconds,
                moment.seconds,
                deque([sighting_of(moment, j, looks[j : j + 1] if looks.known[j] else None)]),
                views=(1.0 if clear[j] else GLIMPSE) * bool(looks.known[j]),
            )
            person.surely = self._evidence(moment, j)
            person.missing = {self.people[i]: absence[k, column] for k, i in enumerate(missing.tolist())}
            person.leaving = at_border(seen.boxes[j], moment.found.size_hw[1])
            moment.free[j] = False
            self.people.append(person)
            if j in heirs:
                former = self.people[heirs[j]]
                former.heir = person
                person.surely, person.established = former.surely, former.established
                new = np.array([known + column])
                self._motion.mean[new], self._motion.covariance[new] = (
                    self._motion.mean[heirs[j]],
                    self._motion.covariance[heirs[j]],
                )
                self._motion.update(new, seen.boxes[[j]], np.ones(1))

    def _share(self, moment: Moment, shown: dict[int, list[int]]) -> None:
        """Give the pixels of sure detections that are no people of their own to those whom they show; see `owners`.

        What is left of one may be somebody else as well, who is missing: see `Companion`.
        """
        assert moment.found is not None
        scores, masks = moment.found.scores, moment.found.masks
        last = [p.sightings[-1] for p in self.people if p.sightings]
        here = {s.row: s for s in last if s.moment is moment}
        joint: list[Joint] = []
        for j, rows in shown.items():
            theirs = [here[row] for row in rows if row in here]
            if scores[j] < self._sure or not theirs:
                continue
            joint.append(Joint(masks[j], [masks[row] for row in rows if row in here], float(scores[j])))
            for sighting, share in zip(theirs, divide(masks[j], [s.mask for s in theirs]), strict=True):
                sighting.mask = RegionMask.union([sighting.mask, share])
            moment.free[j] = False
        missing = self._expected(moment) if joint else []
        self._companions = companions(joint, missing, self._companions, moment.seconds, self._memory)
        moment.companions = self._companions

    def _expected(self, moment: Moment) -> list[RegionMask]:
        """Where established people should be who were found lately but not in this frame."""
        assert moment.found is not None
        size_hw = moment.found.size_hw
        lately, boxes = self._absent(moment.seconds) < LATELY_SECONDS, self._motion.boxes_xyxy
        return [
            mask_of_grid(self._grids[i], boxes[i], size_hw)
            for i, person in enumerate(self.people)
            if lately[i] and person.established and person.heir is None and not self._is_here(i, moment)
        ]

    def _meet(self, moment: Moment) -> None:
        """Who is seen apart from somebody is not the same; who is in a crowd may be taken for another one of it."""
        rows = rows_of(self._absent(moment.seconds) < LATELY_SECONDS)
        people = [self.people[i] for i in rows]
        here = np.array([self._is_here(i, moment) for i in rows], np.bool_)
        boxes = self._motion.boxes_xyxy[rows]
        for k in rows_of(here).tolist():
            boxes[k] = people[k].sightings[-1].box
        sought = np.array([p.heir is None for p in people], np.bool_)
        common = crowding(boxes, boxes)
        for k, n in np.argwhere(here[:, None] & here & (common < CLEAR)).tolist():
            if k != n:
                people[k].met.add(people[n])
        for k, n in np.argwhere(here[:, None] & sought & (common > CROWDED)).tolist():
            if people[k].sightings[-1].row >= 0:
                people[k].crowd.add(people[n])

    def name(self, moment: Moment) -> list[tuple[Person, Person]]:
        """Give everybody who is to be shown in a frame their ID: that of somebody known, or a new one.

        Returns:
            People who are missing in this frame and may go on as somebody who will appear soon: it is not decided yet
            but this is the last chance to cover the gap between the two.
        """
        self._exchange(moment)
        self._unmask(moment)
        new = self._nameless()
        parts = set[Person]()
        for i in self._due(new, moment):
            if join_whole(self.people[i], self.people, parts):
                parts.add(self.people[i])
        if parts:
            self._keep(np.array([p not in parts for p in self.people], np.bool_))
        new = self._nameless()
        new.sort(key=lambda i: self.people[i].sightings[0].moment.seconds)
        due = self._due(new, moment)  # whoever got a part may be due by it
        again, perhaps = self._known_again(new) if new else ([], [])
        former = {new[j]: i for i, j in again}
        bridges = [(self.people[i], self.people[new[j]]) for i, j in perhaps]
        gone: dict[int, int] = {}
        for i in due:
            before = former.get(i, i)
            before = gone.get(before, before)
            if self.people[before].number:
                self._reunite(before, i)
                gone[i] = before
            else:
                self.count += 1
                self.people[i].number = self.count
                self.people[i].missing = {}
        if gone:
            self._keep(np.array([i not in gone for i in range(len(self.people))], np.bool_))
        # whoever has just got a number, or turned out to be somebody known, is there by themselves and has no gap left
        return [(a, b) for a, b in bridges if a.number and not b.number and b.sightings]

    def _known_again(self, new: list[int]) -> tuple[Pairs, Pairs]:
        """Pairs of somebody who was missing and the place in `new` of the newcomer who is that person.

        Returns:
            Those who are, and those who may be by place and time, whatever they look like.
        """
        absence = Absence.none(len(self.people), len(new))
        newcomers = np.array(new, np.int64)  # perhaps nobody
        rows = {person: i for i, person in enumerate(self.people)}
        for column, i in enumerate(new):
            newcomer = self.people[i]
            for person, how in newcomer.missing.items():
                row = rows.get(person)
                if row is not None and person.found_seconds < newcomer.began_seconds:
                    absence[row, column] = how
        views = self._views()
        others = np.array([[self.people[j] in person.met for j in new] for person in self.people], np.bool_)
        distance = self._gallery_distance(newcomers)
        looks = looks_evidence(distance, views, views[newcomers], others)
        total = absence.evidence() + looks
        # a change of the light or half a view may make anybody look like somebody else: no reason to show the gap
        perhaps = absence.evidence(border=False) + np.maximum(looks, 0)
        for i, person in enumerate(self.people):
            if person.heir is not None and rows[person.heir] in new:
                column = new.index(rows[person.heir])
                perhaps[i, column] = SURELY
                if not person.crowd and not distance[i, column] > NOT_THEM_LOOKS:
                    # the others of the crowd turned out to be parts of somebody, or are long gone
                    total[i, column] = SURELY
        return self._in_turn(total, assign(total, total > 0), new), likely(perhaps)

    def _in_turn(self, total: FloatArray, pairs: Pairs, new: list[int]) -> Pairs:
        """Pairs with those newcomers besides who came and went before somebody turned up who is likelier the same one.

        Args:
            total: [N, M] what speaks for a person and a newcomer being one.
            pairs: The likeliest, one newcomer a person.
            new: Rows of the newcomers.
        """
        turned_up = {i: self.people[new[j]].began_seconds for i, j in pairs}
        left = set(range(len(new))) - {j for _, j in pairs}
        for j in sorted(left, key=lambda j: -self.people[new[j]].began_seconds):
            row, newcomer = int(total[:, j].argmax()), self.people[new[j]]
            if total[row, j] > 0 and newcomer.found_seconds < turned_up.get(row, -np.inf):
                pairs = [*pairs, (row, j)]
                turned_up[row] = newcomer.began_seconds
        return pairs

    def _exchange(self, moment: Moment) -> None:
        """See who was taken for somebody else for a moment; see `exchange`."""
        gone = exchange(moment, self.people, self._alike)
        if gone:
            self._keep(np.array([p not in gone for p in self.people], np.bool_))

    def _alike(self, person: Person, sighting: Sighting) -> float:
        """How much somebody looks, in any of their appearances, like somebody in a sighting, in [0, 1]."""
        assert sighting.looks is not None
        row = self.people.index(person)
        looks = Looks.of([self._looks[np.array([row])], *person.gallery])
        distance = np.fmin.reduce(looks.distance(sighting.looks), axis=0, keepdims=True)
        return float(likeness(distance, trust(np.array([person.all_views], np.float32)))[0, 0])

    def _unmask(self, moment: Moment) -> None:
        """See who was taken for somebody else since a newcomer appeared who looks just like them.

        Whoever has been found since, but hardly as they look or hardly surely, is split: somebody else goes on there,
        or what is left of them. Whoever was found beside the newcomer at first and is gone now, was found twice. Either
        is missing since the newcomer appeared.
        """
        due = self._due(self._nameless(), moment)
        if not due:
            return
        distance = self._gallery_distance(np.array(due, np.int64))
        distance[[not p.number or p.heir is not None for p in self.people]] = np.nan
        distance[~self._known] = np.nan
        for column, newcomer in enumerate([self.people[i] for i in due]):
            least = np.fmin.reduce(distance[:, column])
            if not least < CONFIRMED_LOOKS:
                continue
            row = int(np.flatnonzero(distance[:, column] == least)[0])
            person = self.people[row]
            since = [s for s in person.sightings if s.moment.seconds >= newcomer.began_seconds]
            before = [s for s in person.sightings if s.moment.seconds < newcomer.began_seconds]
            if not since or not before:
                continue
            looked = [s for s in since if s.looks is not None]
            # across a gap nobody would go on, and it would not be filled
            follows = since[0].moment.seconds - before[-1].moment.seconds < 1.5 * self._step_seconds
            clear = newcomer.views >= 1 and follows
            if clear and sum(s.unlike for s in looked) > MOSTLY * len(looked):
                self._split(row, newcomer, before, since)
            elif self._twice(person, newcomer):
                newcomer.began_seconds = next(
                    s.moment.seconds for s in newcomer.sightings if s.moment.seconds > person.found_seconds
                )
                newcomer.missing[person] = self._missed(row, newcomer, person.sightings[-1])
            elif clear and self._fades(since, newcomer):
                self._split(row, newcomer, before, since)

    def _split(self, row: int, newcomer: Person, before: Sequence[Sighting], since: Sequence[Sighting]) -> None:
        """Let whoever was taken for somebody since a newcomer appeared go on by themselves.

        Args:
            row: Row of the person for whom they were taken.
            newcomer: Who may be that person.
            before, since: Sightings of the person, and of who was taken for them.
        """
        person, now = self.people[row], since[-1].moment
        other = replace(
            person,
            began_seconds=since[0].moment.seconds,
            sightings=deque(since),
            number=0,
            views=0.0,
            met=set(),
            missing={},
            gallery=deque(maxlen=GALLERY),
            crowd=set(),
        )
        looks = Looks.unknown(1)
        for sighting in since:
            if sighting.looks is not None:
                other.views += GLIMPSE
                looks.blend(np.zeros(1, np.int64), sighting.looks, np.array([GLIMPSE / other.views], np.float32))
        new, old = np.array([len(self.people)]), np.array([row])
        self._motion.add(since[-1].box[None])
        self._motion.mean[new], self._motion.covariance[new] = self._motion.mean[old], self._motion.covariance[old]
        self._grids = np.concatenate([self._grids, self._grids[old]])
        self._looks = Looks.of([self._looks, looks])
        self.people.append(other)
        last = before[-1]
        self._motion.restart(old, last.box_at(now)[None])
        person.sightings, person.found_seconds = deque(before), last.moment.seconds
        person.met.discard(newcomer)
        newcomer.met.discard(person)
        newcomer.missing[person] = self._missed(row, newcomer, last)

    def _twice(self, person: Person, newcomer: Person) -> bool:
        """Whether somebody was found beside a newcomer, on much the same pixels, at first but no more.

        Not if that may be for a moment only, unless the two have mostly been found in turn.
        """
        assert self._before is not None
        both = _found_together(person.sightings, newcomer.sightings)
        if not _on_the_same_pixels(both) or newcomer.sightings[-1].moment.seconds <= person.found_seconds:
            return False
        found = sum(s.row >= 0 and s.moment.seconds >= newcomer.began_seconds for s in person.sightings)
        gone = self._before.seconds - person.found_seconds >= AT_ONCE_SECONDS
        return gone or len(both) < MOSTLY * found

    def _fades(self, since: Sequence[Sighting], newcomer: Person) -> bool:
        """Whether somebody has hardly been found surely since a newcomer appeared on much the same pixels."""
        theirs, ours = (
            [s for s in sightings if s.looks is not None and not s.unlike and s.score >= self._sure]
            for sightings in (newcomer.sightings, since)
        )
        at_first = _found_together(since, newcomer.sightings)[:1]
        return _on_the_same_pixels(at_first) and len(ours) < HARDLY * len(theirs)

    def _missed(self, row: int, newcomer: Person, last: Sighting) -> Entry:
        """How somebody, who was last seen so, is missing since a newcomer began; an entry of `Absence`."""
        first = next(s for s in newcomer.sightings if s.moment.seconds >= newcomer.began_seconds)
        assert first.moment.found is not None
        expected = last.box_at(first.moment)
        return Absence.of(
            expected[None],
            self._motion.deviation[[row]],
            extent(self.people[row], expected, first.moment)[None],
            np.array([at_border(last.box, first.moment.found.size_hw[1])]),
            first.box[None],
            np.array([max(0.0, first.moment.seconds - last.moment.seconds)]),
        )[0, 0]

    def _gallery_distance(self, newcomers: IntArray) -> FloatArray:
        """How different people and newcomers look, [N, M], by all appearances of the people.

        Of the views of a newcomer the likest count: others may show half of them, or somebody who hides them.
        """
        views = [[s.looks for s in self.people[i].sightings if s.looks is not None] for i in newcomers.tolist()]
        looks = Looks.of([view for of_one in views for view in of_one])
        distance = self._looks.distance(looks)
        for i, person in enumerate(self.people):
            for former in person.gallery:
                distance[i] = np.fmin(distance[i], former.distance(looks)[0])
        ends = np.cumsum([len(of_one) for of_one in views])
        return np.stack([likest(some) for some in np.split(distance, ends[:-1], axis=1)], 1)

    def _absence(self, rows: IntArray, boxes: Box, moment: Moment) -> Absence:
        """How people `rows` [N] are missing at a moment at which boxes [M, 4] appear."""
        expected = self._motion.boxes_xyxy[rows]
        extents = [extent(self.people[i], e, moment) for i, e in zip(rows, expected, strict=True)]
        absent = self._absent(moment.seconds)[rows]
        leaving = np.array([self.people[i].leaving for i in rows], np.bool_)
        extents_xyxy = np.array(extents).reshape(-1, 4)
        return Absence.of(expected, self._motion.deviation[rows], extents_xyxy, leaving, boxes, absent)

    def _reunite(self, row: int, newcomer: int) -> None:
        """Let somebody known go on as the newcomer goes on."""
        old, new = self.people[row], self.people[newcomer]
        old.sightings = joined(old.sightings, new.sightings)
        old.found_seconds = new.found_seconds
        self._motion.mean[row], self._motion.covariance[row] = (
            self._motion.mean[newcomer],
            self._motion.covariance[newcomer],
        )
        self._grids[row] = self._grids[newcomer]
        if new.views >= WELL_KNOWN and self._looks[np.array([newcomer])].known[0]:
            if old.views >= WELL_KNOWN:
                old.gallery.append(self._looks[np.array([row])])
            self._looks.values[row], self._looks.weights[row] = (
                self._looks.values[newcomer],
                self._looks.weights[newcomer],
            )
            old.views = new.views
        old.surely += new.surely
        old.established |= new.established
        old.leaving, old.heir = new.leaving, new.heir
        old.met |= new.met
        old.crowd = new.crowd - {old}
        for person in self.people:
            if new in person.missing:
                person.missing[old] = person.missing.pop(new)
            for others in (person.met, person.crowd):
                if new in others and person is not old:
                    others.add(old)

    def _keep(self, rows: BoolArray) -> None:
        """Forget everybody but those marked True."""
        gone = {p for p, kept in zip(self.people, rows, strict=True) if not kept}
        self.people = [p for p, kept in zip(self.people, rows, strict=True) if kept]
        self._motion.keep(rows)
        self._looks, self._grids = self._looks[rows], self._grids[rows]
        for person in self.people:
            person.met -= gone
            person.crowd -= gone
            if person.heir in gone:
                person.heir = None
        for person in gone:  # those who met each other would keep each other and their frames in memory
            person.met.clear()
            person.crowd.clear()
            person.missing.clear()
            person.sightings.clear()

    def _is_here(self, row: int, moment: Moment) -> bool:
        sightings = self.people[row].sightings
        return bool(sightings) and sightings[-1].moment is moment

    def _nameless(self) -> list[int]:
        """Those of the people who have no ID yet."""
        return [i for i, p in enumerate(self.people) if not p.number and p.sightings]

    def _due(self, rows: list[int], moment: Moment) -> list[int]:
        """Those of some people who are to be shown by now."""
        return [i for i in rows if self.people[i].sightings[0].moment.seconds <= moment.seconds]

    def _follow_picture(self, row: int, moment: Moment) -> None:
        """Somebody whom the detector misses may still be seen to be there."""
        person = self.people[row]
        known = next((s for s in reversed(person.sightings) if s.row >= 0), None)
        if known is None or not person.established or person.heir is not None:
            return
        if moment.seconds - known.moment.seconds > min(PICTURE_SECONDS, self._lookahead):
            return
        sighting = seen_by_picture(known, moment, self._motion.boxes_xyxy[row])
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
        if person.established and not at:
            return  # came out of a crowd
        person.established = True
        first = person.sightings[at]
        earlier = person.sightings[at - 1].moment.seconds if at else -np.inf
        for sighting in retrace(first, earlier, waiting):
            person.sightings.insert(at, sighting)
            if sighting.row >= 0:  # what was sudden is now that they came there
                first.sudden, sighting.sudden, first = False, first.sudden, sighting


def _found_together(some: Iterable[Sighting], others: Iterable[Sighting]) -> list[tuple[Box, Box]]:
    """Boxes of two people in the frames in which both were found, in order of time."""
    boxes = {id(s.moment): s.box for s in some if s.row >= 0}
    return [(boxes[id(s.moment)], s.box) for s in others if s.row >= 0 and id(s.moment) in boxes]


def _on_the_same_pixels(both: Sequence[tuple[Box, Box]]) -> bool:
    """Whether two were found together and one covered much of the other every time."""
    return bool(both) and all(crowding(a[None], b[None])[0, 0] > CROWDED for a, b in both)
