"""Frames that wait in the look-ahead, and what was observed of each track in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from anonymize.core.boxes import iou_of
from anonymize.core.types import BoolArray, Detections, Frame, RegionMask
from anonymize.track.model.appearance import Appearance
from anonymize.track.model.camera_motion import Transform, apply_to_boxes, inverse, then
from anonymize.track.model.thumbnail import Thumbnail

Box = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OccludedTrack:
    """The part of a merged detection that a missing track may take up; which track it is is not decided.

    All pixels of a merged detection belong to its owners. These are covered without an ID besides, so that they stay
    covered if the owners are to be shown. No track is continued by them: how far it is still there is a guess.

    Attributes:
        mask: Its pixels.
        score: Of the detection.
        found_seconds: Time of the detection.
        known_seconds: When a track that had been found by itself was last expected in it.
    """

    mask: RegionMask
    score: float
    found_seconds: float
    known_seconds: float


@dataclass(eq=False)
class FrameState:
    """A frame with what the detector found.

    Attributes:
        frame: None once the frame has left the look-ahead.
        found: All detections, also those of a low score; None when their surfaces are no longer needed.
        seconds: Presentation time.
        to_reference: [2, 3] float64, takes pixels of this frame to coordinates that do not move with the camera.
        free: [N] bool, detections that belong to no track so far.
        thumbnail: A small picture, which stays when the frame has left.
        camera: [2, 3] float64, takes pixels of the frame before to pixels of this one; None if the camera rests.
        occluded: Tracks that are found only together with others.
        surfaces: Surface predictions (embedding and segmentation) that were handed on, by detection.
    """

    frame: Frame | None
    found: Detections | None
    seconds: float
    to_reference: Transform
    free: BoolArray
    thumbnail: Thumbnail = field(repr=False)
    camera: Transform | None = None
    occluded: Sequence[OccludedTrack] = field(default_factory=list, repr=False)
    surfaces: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    @property
    def detections(self) -> Detections:
        """What was found, of a frame that has not left yet."""
        assert self.found is not None
        return self.found

    def from_frame(self, other: FrameState, boxes: Box) -> Box:
        """Boxes [N, 4] of another frame in pixels of this one."""
        if other.to_reference is self.to_reference:
            return boxes
        return apply_to_boxes(then(other.to_reference, inverse(self.to_reference)), boxes)


@dataclass(eq=False)
class Observation:
    """A track in one frame.

    Attributes:
        at: The frame.
        box: [4] float64 xyxy.
        mask: The pixels.
        score: Of the detection, or of the last one.
        row: Which detection of the frame; -1 where the track was followed by its template only.
        sudden: Whether the box is not quite where the track was predicted, if it was: it may be another person.
        appearance: One row, if a detector found the track and its appearance was read.
        unlike: Whether that is not the appearance of the track.
        swapped: Whether the observation was given to another track at first; see `id_swaps`.
    """

    at: FrameState
    box: Box
    mask: RegionMask = field(repr=False)
    score: float
    row: int = -1
    sudden: bool = False
    appearance: Appearance | None = field(default=None, repr=False)
    unlike: bool = False
    swapped: bool = False

    @classmethod
    def of_detection(
        cls,
        frame: FrameState,
        row: int,
        appearance: Appearance | None = None,
        *,
        sudden: bool = False,
        unlike: bool = False,
    ) -> Observation:
        """A track as a detection shows it."""
        found = frame.detections
        box = found.boxes_xyxy[row].astype(np.float64)
        return cls(frame, box, found.masks[row], float(found.scores[row]), row, sudden, appearance, unlike)

    @property
    def seconds(self) -> float:
        """Presentation time of the frame."""
        return self.at.seconds

    @property
    def found(self) -> bool:
        """Whether the detector found the track."""
        return self.row >= 0

    def box_in(self, frame: FrameState) -> Box:
        """[4] float64, the box in pixels of another frame."""
        box: Box = frame.from_frame(self.at, self.box[None])[0]
        return box

    def frames_as(self, other: Observation, min_iou: float) -> bool:
        """Whether the box of another observation frames the same picture but for noise: the person has not moved."""
        return iou_of(other.box_in(self.at), self.box) > min_iou


def rebase(frames: Iterable[FrameState], newest: FrameState) -> None:
    """Make the newest frame the reference, so that numbers stay small on an endless drive."""
    back, shared = inverse(newest.to_reference), dict[int, Transform]()
    for frame in frames:
        frame.to_reference = shared.setdefault(id(frame.to_reference), then(frame.to_reference, back))
