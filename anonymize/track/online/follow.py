"""The online phase: each new frame is taken in, and its detections are given to tracks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anonymize.core.types import BoolArray, Detections, FloatArray, Frame, IntArray, RegionMask
from anonymize.track.config import TrackerConfig
from anonymize.track.geometry import mask_grids, mask_of_grid, rows_of
from anonymize.track.model.appearance import Appearance, PartTable, describe
from anonymize.track.model.camera_motion import CameraMotion, identity, inverse, then
from anonymize.track.model.evidence import crowding, motion_evidence, trust
from anonymize.track.model.frame_state import Box, FrameState, Observation, OccludedTrack
from anonymize.track.model.store import TrackStore
from anonymize.track.model.surface_size import shrink_surfaces
from anonymize.track.model.thumbnail import Thumbnail
from anonymize.track.model.track import Track, at_border
from anonymize.track.online.association import (
    Pairs,
    Shapes,
    better_explained_elsewhere,
    continues_track,
    overlap,
    pair_returned,
    pair_sure,
    pair_unsure,
)
from anonymize.track.online.backtrack import backtrack, match_template
from anonymize.track.online.merged_detections import MergedDetection, divide, occluded_tracks, owners


@dataclass(frozen=True, eq=False)
class Matching:
    """What a frame's M detections have in common with the N tracks known before it.

    Attributes:
        frame: The frame.
        shapes: Boxes and masks of the detections.
        appearance: Theirs.
        overlaps: [N, M]; 0 for tracks that were not found lately.
        distance: [N, M] of the appearances; NaN where two cannot be compared.
    """

    frame: FrameState
    shapes: Shapes
    appearance: Appearance
    overlaps: FloatArray
    distance: FloatArray

    def appearance_of(self, row: int) -> Appearance | None:
        """The appearance of a detection; None if it was not read."""
        return self.appearance[row : row + 1] if self.appearance.known[row] else None


class TrackerState:
    """All that is known of a film while its frames go through.

    Args:
        config: Thresholds.
        parts: Body parts of surface embeddings.
        count: IDs that are taken already.
    """

    def __init__(self, config: TrackerConfig, parts: PartTable | None = None, count: int = 0) -> None:
        self.store = TrackStore(config, count)
        self._config, self._parts = config, parts
        self._camera = CameraMotion(config)
        self._before: FrameState | None = None
        self._occluded: list[OccludedTrack] = []  # of the frame before
        self._appearance_seconds = -np.inf

    def step(self, frame: Frame, found: Detections, waiting: deque[FrameState]) -> FrameState:
        """Take in the next frame.

        Args:
            frame: The frame.
            found: Detections of high and low score.
            waiting: The frames before it that have not left yet; new tracks are followed back into them.
        """
        now = self._enter(frame, found)
        matching = self._compare(now)
        scores = found.scores
        merged = self._merged(matching)
        own = np.ones(len(found), np.bool_)
        own[list(merged)] = False
        sure = (scores >= self._config.min_sure_score) & own
        pairs = self._pair(matching, sure, ~sure & own)
        crowd = self._crowd(matching, sure, pairs)
        clear = crowd < self._config.clear_share
        former = self._leave_crowd(matching, pairs, sure & clear)
        pairs = [(i, j) for i, j in pairs if j not in former]
        self._update(matching, pairs, sure & clear)
        paired = {j for _, j in pairs}
        missing = self.store.missing(now)
        self._add(matching, [j for j in rows_of(sure).tolist() if j not in paired], clear, former)
        self._share(now, merged)
        # whatever was decided above, each sure detection belongs to a track
        self._add(matching, rows_of(now.free & (scores >= self._config.min_sure_score)).tolist(), clear, {})
        for i in missing:
            self._follow_template(i, now)
        self._meet(now)
        for track in self.store.tracks:
            self._look_back(track, now, waiting)
        return now

    def _enter(self, frame: Frame, found: Detections) -> FrameState:
        """Predict all tracks to a new frame, and forget those that are out of sight for too long."""
        before, store = self._before, self.store
        thumbnail = Thumbnail.of(frame.image, found.masks, self._config)
        transform = self._camera.update(thumbnail)
        moves = before is not None and not np.array_equal(transform, identity())
        if before is None:
            to_reference = identity()
        else:
            to_reference = then(inverse(transform), before.to_reference) if moves else before.to_reference
        free = np.ones(len(found), np.bool_)
        shrunk = shrink_surfaces(found, self._config.max_surface_cells)
        camera = transform if moves else None
        now = FrameState(frame, shrunk, frame.pts_seconds, to_reference, free, thumbnail, camera)
        store.advance(now.seconds, camera)
        remembered = store.absent <= self._config.memory_seconds
        store.keep(remembered | np.array([bool(track.observations) for track in store.tracks], np.bool_))
        self._before = now
        return now

    def _compare(self, now: FrameState) -> Matching:
        """Compare the tracks with what was found in a frame."""
        store, found = self.store, now.detections
        boxes = found.boxes_xyxy.astype(np.float64)
        shapes = Shapes(boxes, mask_grids(found.masks, boxes, error=self._config.mask_error_share))
        appearance = self._appearance(now, shapes.grids)
        lately = rows_of(store.recent)
        overlaps = np.zeros((len(store.tracks), len(found)), np.float32)
        overlaps[lately] = overlap(Shapes(store.motion.boxes_xyxy, store.grids)[lately], shapes)
        distance = store.appearance.distance(appearance, self._config.min_shared_share)
        return Matching(now, shapes, appearance, overlaps, distance)

    def _appearance(self, now: FrameState, grids: BoolArray) -> Appearance:
        """The appearance of a frame's detections; of frames in quick succession only some are read."""
        passed = now.seconds - self._appearance_seconds
        if 0 <= passed < self._config.appearance_interval_seconds:
            return Appearance.unknown(len(grids))
        self._appearance_seconds = now.seconds
        assert now.frame is not None
        return describe(now.frame.image, now.detections, self._parts, grids, self._config)

    def _merged(self, matching: Matching) -> dict[int, list[int]]:
        """Owners of the detections that show no person of their own, by the detection; see `owners`."""
        store = self.store
        there = store.well_known & store.sought & np.array([t.established for t in store.tracks], np.bool_)
        overlaps, distance = matching.overlaps[there], matching.distance[there]
        merged = owners(matching.shapes, matching.frame.detections.scores, self._config)
        return {j: of for j, of in merged.items() if not continues_track(j, of, overlaps, distance, self._config)}

    def _pair(self, matching: Matching, sure: BoolArray, unsure: BoolArray) -> Pairs:
        """Assign detections to tracks: pairs of a track's row and a detection's row.

        Args:
            matching: The frame.
            sure, unsure: [M] the detections of high and of low score.
        """
        store, config, shapes = self.store, self._config, matching.shapes
        rows, others = rows_of(sure), rows_of(unsure)
        pairs: Pairs = []

        def left(rows: IntArray, side: int) -> IntArray:
            gone = {pair[side] for pair in pairs}
            return np.array([r for r in rows.tolist() if r not in gone], np.int64)

        # half a person behind another one may look like anything: it speaks for a pair but against none
        hidden = crowding(shapes.boxes, shapes.boxes[rows]).max(1, initial=0) >= config.clear_share
        distance = np.where(hidden[None], np.minimum(matching.distance, config.changed_distance), matching.distance)
        # a track that has just appeared looks like its detection: no reason to prefer a well-known one
        trusted = trust(store.views, config)
        lately = rows_of(store.recent & store.sought)
        wrong = better_explained_elsewhere(matching.overlaps, distance, store.well_known, config) & ~hidden
        overlaps = np.where(wrong, 0, matching.overlaps)
        first = pair_sure(overlaps[np.ix_(lately, rows)], distance[np.ix_(lately, rows)], trusted[lately], config)
        pairs += [(int(lately[i]), int(rows[j])) for i, j in first]
        rest = left(np.array([i for i in lately.tolist() if store.tracks[i].established], np.int64), 0)
        second = pair_unsure(matching.overlaps[np.ix_(rest, others)], config)
        pairs += [(int(rest[i]), int(others[j])) for i, j in second]
        missing = left(rows_of((store.absent < config.max_dip_seconds) & store.sought), 0)
        strangers = left(rows, 1)
        if len(missing) and len(strangers):
            at = np.ix_(missing, strangers)
            known, found = store.motion.boxes_xyxy[missing], shapes.boxes[strangers]
            entering = np.logical_and.outer(self._has_entered(missing), self._at_border(matching)[strangers])
            unlike = np.where(wrong[at], np.inf, distance[at])
            third = pair_returned(known, found, unlike, trusted[missing], entering, config)
            pairs += [(int(missing[i]), int(strangers[j])) for i, j in third]
        return pairs

    def _at_border(self, matching: Matching) -> BoolArray:
        """Whether each detection [M] is at the left or right border."""
        width = matching.frame.detections.size_hw[1]
        return np.array([at_border(box, width, self._config) for box in matching.shapes.boxes], np.bool_)

    def _has_entered(self, rows: IntArray) -> BoolArray:
        """Whether each of some tracks [K] has just appeared at the border."""
        tracks = [self.store.tracks[i] for i in rows]
        age = self.store.seconds - np.array([track.began_seconds for track in tracks])
        entered: BoolArray = np.array([track.leaving for track in tracks]) & (age < self._config.max_dip_seconds)
        return entered

    def _crowd(self, matching: Matching, sure: BoolArray, pairs: Pairs) -> FloatArray:
        """How much each detection [M] overlaps another person who is there, or should be."""
        there = sure.copy()
        there[[j for _, j in pairs]] = True
        hidden = self.store.recent & self.store.sought
        hidden[[i for i, _ in pairs]] = False
        boxes = matching.shapes.boxes
        others = np.concatenate([boxes[there], self.store.motion.boxes_xyxy[hidden]])
        crowd: FloatArray = crowding(boxes, others).max(axis=1, initial=0)
        return crowd

    def _leave_crowd(self, matching: Matching, pairs: Pairs, clear: BoolArray) -> dict[int, int]:
        """Detections that leave an occlusion with a changed appearance, mapped to the former track.

        Args:
            matching: The frame.
            pairs: The assignment; of these detections it is not believed.
            clear: [M] which detections show a person alone.
        """
        former = {}
        for i, j in pairs:
            track, distance = self.store.tracks[i], matching.distance[:, j]
            if not track.crowd or not clear[j] or np.isnan(distance[i]):
                continue
            nearest = distance[i] < self._config.confirmed_distance and distance[i] <= np.nanmin(distance)
            if nearest or track.views < self._config.well_known_views:
                track.crowd.clear()
            else:
                former[j] = i
        return former

    def _update(self, matching: Matching, pairs: Pairs, clear: BoolArray) -> None:
        """Let tracks be where they are found.

        Args:
            matching: The frame.
            pairs: The assignment.
            clear: [M] which detections show a person alone.
        """
        if not pairs:
            return
        store, config, now = self.store, self._config, matching.frame
        rows, columns = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
        sure = now.detections.scores[columns] >= config.min_sure_score
        noise = np.where(sure, 1.0, config.unsure_noise_factor)
        unlike = matching.distance[rows, columns] > config.same_distance
        well_known = store.well_known[rows]
        store.move(rows, matching.shapes.boxes[columns], noise, matching.shapes.grids[columns])
        few = np.array([store.tracks[i].views < config.well_known_views for i in rows], np.bool_)
        learnt = matching.appearance.known[columns] & sure & (clear[columns] | few)
        worth = np.where(clear[columns], 1, config.crowded_view_weight).astype(np.float32)
        appearance = matching.appearance[columns[learnt]]
        store.learn(rows[learnt], appearance, worth[learnt], (well_known & unlike)[learnt])
        at_the_border = self._at_border(matching)
        for (i, j), changed in zip(pairs, unlike.tolist(), strict=True):
            track, sudden = store.tracks[i], bool(matching.overlaps[i, j] < config.sudden_overlap)
            appearance_now = matching.appearance_of(j)
            track.hits += self._hits(now, j)
            track.observations.append(Observation.of_detection(now, j, appearance_now, sudden=sudden, unlike=changed))
            track.found_seconds, track.leaving = now.seconds, bool(at_the_border[j])
            now.free[j] = False

    def _hits(self, now: FrameState, row: int) -> int:
        """How many sure detections a detection is worth."""
        score = float(now.detections.scores[row])
        if score >= self._config.certain_score:
            return self._config.established_hits
        return int(score >= self._config.min_sure_score)

    def _add(self, matching: Matching, strangers: list[int], clear: BoolArray, former: dict[int, int]) -> None:
        """Begin new tracks.

        Args:
            matching: The frame.
            strangers: Detections that belong to no track so far.
            clear: [M] which detections show a person alone.
            former: Row of the track in whose place a detection left a crowd, by detection.
        """
        if not strangers:
            return
        store, now = self.store, matching.frame
        columns = np.array(strangers, np.int64)
        missing = store.missing(now)
        evidence = self._motion_evidence(missing, matching.shapes.boxes[columns], now)
        at_the_border = self._at_border(matching)
        new = []
        for column, j in enumerate(strangers):
            appearance = matching.appearance_of(j)
            weight = 1.0 if clear[j] else self._config.crowded_view_weight
            track = Track(
                now.seconds,
                now.seconds,
                deque([Observation.of_detection(now, j, appearance)]),
                hits=self._hits(now, j),
                views=weight if appearance is not None else 0.0,
                missing={store.tracks[i]: tuple(evidence[k, column].tolist()) for k, i in enumerate(missing)},
                leaving=bool(at_the_border[j]),
            )
            now.free[j] = False
            new.append(track)
        shapes = matching.shapes[columns]
        rows = store.add(new, shapes.boxes, shapes.grids, matching.appearance[columns])
        for row, j in zip(rows.tolist(), strangers, strict=True):
            if j in former:
                track, old = store.tracks[row], store.tracks[former[j]]
                old.successor = track
                track.hits, track.established = old.hits, old.established
                store.succeed(row, former[j], matching.shapes.boxes[j])

    def _motion_evidence(self, missing: list[int], boxes: Box, now: FrameState) -> FloatArray:
        """Evidence for missing tracks, rows [N], and new detections at boxes [M, 4] being one person, [N, M, 2]."""
        store, rows = self.store, np.array(missing, np.int64)
        expected, tracks = store.motion.boxes_xyxy[rows], [store.tracks[i] for i in missing]
        extents = [track.extent(box, now, self._config) for track, box in zip(tracks, expected, strict=True)]
        return motion_evidence(
            expected,
            store.motion.deviation[rows],
            np.array(extents).reshape(-1, 4),
            np.array([track.leaving for track in tracks], np.bool_),
            store.absent[rows],
            boxes,
            self._config,
        )

    def _share(self, now: FrameState, merged: dict[int, list[int]]) -> None:
        """Give the pixels of sure detections that show no person of their own to their owners; see `owners`.

        What is left of one may show a missing track as well: see `OccludedTrack`.
        """
        scores, masks = now.detections.scores, now.detections.masks
        here = {t.observations[-1].row: t.observations[-1] for t in self.store.tracks if t.is_in(now)}
        shared: list[MergedDetection] = []
        for j, rows in merged.items():
            owned = [row for row in rows if row in here]
            if scores[j] < self._config.min_sure_score or not owned:
                continue
            shared.append(MergedDetection(masks[j], [masks[row] for row in owned], float(scores[j])))
            shares = divide(masks[j], [here[row].mask for row in owned], self._config.max_divide_cells)
            for row, share in zip(owned, shares, strict=True):
                here[row].mask = RegionMask.union([here[row].mask, share])
            now.free[j] = False
        missing = self._expected(now) if shared else []
        self._occluded = occluded_tracks(shared, missing, self._occluded, now.seconds, self._config)
        now.occluded = self._occluded

    def _expected(self, now: FrameState) -> list[RegionMask]:
        """Where established tracks should be that were found lately but not in this frame."""
        store, boxes = self.store, self.store.motion.boxes_xyxy
        chosen = store.recent & store.sought
        return [
            mask_of_grid(store.grids[i], boxes[i], now.detections.size_hw)
            for i in store.missing(now)
            if chosen[i] and store.tracks[i].established
        ]

    def _follow_template(self, row: int, now: FrameState) -> None:
        """Look for a track that the detector misses by its template."""
        track = self.store.tracks[row]
        known = next((o for o in reversed(track.observations) if o.found), None)
        if known is None or not track.established or track.successor is not None:
            return
        if now.seconds - known.seconds > min(self._config.template_seconds, self._config.lookahead_seconds):
            return
        observation = match_template(known, now, self.store.motion.boxes_xyxy[row], self._config)
        if observation is not None:
            track.observations.append(observation)
            noise = np.array([self._config.template_noise_factor])
            self.store.move(np.array([row]), observation.box[None], noise)

    def _meet(self, now: FrameState) -> None:
        """Note which tracks are seen apart, and so are two people, and which are in a crowd, and may be swapped."""
        store = self.store
        rows = rows_of(store.recent)
        tracks: Sequence[Track] = [store.tracks[i] for i in rows]
        here = np.array([track.is_in(now) for track in tracks], np.bool_)
        boxes = store.motion.boxes_xyxy[rows]
        for k in rows_of(here).tolist():
            boxes[k] = tracks[k].observations[-1].box
        common = crowding(boxes, boxes)
        np.fill_diagonal(common, np.nan)
        for k, n in np.argwhere(here[:, None] & here & (common < self._config.clear_share)).tolist():
            tracks[k].met.add(tracks[n])
        crowded = common > self._config.crowded_share
        for k, n in np.argwhere(here[:, None] & store.sought[rows] & crowded).tolist():
            if tracks[k].observations[-1].found:
                tracks[k].crowd.add(tracks[n])

    def _look_back(self, track: Track, now: FrameState, waiting: deque[FrameState]) -> None:
        """Follow a track that has just been found back into the frames before."""
        if not track.is_in(now) or not track.observations[-1].found or track.hits < self._config.established_hits:
            return
        at = len(track.observations) - 1 if track.established else 0  # the first time, from the beginning
        if track.established and not at:
            return  # it left a crowd
        track.established = True
        first = track.observations[at]
        earlier = track.observations[at - 1].seconds if at else -np.inf
        for observation in backtrack(first, earlier, waiting, self._config):
            track.observations.insert(at, observation)
            if observation.found:  # what was sudden is now that the track came there
                first.sudden, observation.sudden, first = False, first.sudden, observation
