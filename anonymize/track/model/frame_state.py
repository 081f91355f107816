"""Frames that wait in the look-ahead, and what was seen of whom in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from anonymize.core.types import BoolArray, Detections, Frame, RegionMask
from anonymize.track.geometry import iou_of
from anonymize.track.model.appearance import Looks
from anonymize.track.model.camera_motion import Transform, apply_to_boxes, inverse, then
from anonymize.track.model.thumbnail import Glance
from anonymize.track.online.merged_detections import Companion

Box = npt.NDArray[np.float64]

STILL_IOU = 0.9
"""Boxes that overlap so much from frame to frame frame the same picture."""


@dataclass(eq=False)
class Moment:
    """A frame with what the detector found.

    Attributes:
        frame: None once the frame has left the look-ahead.
        found: All detections, also those of a low score.
        seconds: Presentation time.
        place: [2, 3] float64, takes pixels of this frame to a common ground that does not move with the camera.
        free: [N] bool, detections that are nobody's so far.
        companions: Pixels of people who are found only together with somebody else; see `joint.Companion`.
        glance: A small picture, which stays when the frame has left.
        handed_on: Surface predictions (embedding and segmentation) with which people were handed on, by detection.
    """

    frame: Frame | None
    found: Detections | None
    seconds: float
    place: Transform
    free: BoolArray
    glance: Glance = field(repr=False)
    companions: Sequence[Companion] = field(default_factory=list, repr=False)
    handed_on: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def here(self, other: Moment, boxes: Box) -> Box:
        """Boxes [N, 4] of another moment's frame in pixels of this one."""
        if other.place is self.place:
            return boxes
        return apply_to_boxes(then(other.place, inverse(self.place)), boxes)


@dataclass(eq=False)
class Sighting:
    """Somebody at a moment.

    Attributes:
        moment: When.
        box: [4] float64 xyxy.
        mask: Their pixels.
        score: Score of the detection, or of the last one.
        row: Which detection of the moment; -1 where the person was followed by their picture only.
        sudden: Whether it is not quite where the person was expected, if they were known at all: they may have been
            taken for somebody else.
        looks: How they look there, if a detector found them and they were looked at; one row.
        unlike: Whether that is not how the person looks.
        exchanged: Whether it was taken for somebody else at first; see `exchange`.
    """

    moment: Moment
    box: Box
    mask: RegionMask = field(repr=False)
    score: float
    row: int = -1
    sudden: bool = False
    looks: Looks | None = field(default=None, repr=False)
    unlike: bool = False
    exchanged: bool = False

    def box_at(self, moment: Moment) -> Box:
        """[4] float64, the box in pixels of another moment's frame."""
        if moment.place is self.moment.place:
            return self.box
        box: Box = moment.here(self.moment, self.box[None])[0]
        return box

    def frames_as(self, other: Sighting) -> bool:
        """Whether the box of another sighting frames the same picture, but for its trembling: nobody has moved."""
        return iou_of(other.box_at(self.moment), self.box) > STILL_IOU


def rebase(moments: Iterable[Moment], newest: Moment) -> None:
    """Make the newest frame the common ground, so that numbers stay small on an endless drive."""
    back, shared = inverse(newest.place), dict[int, Transform]()
    for moment in moments:
        moment.place = shared.setdefault(id(moment.place), then(moment.place, back))
