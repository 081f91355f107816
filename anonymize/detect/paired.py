"""Any detector with what the embedded network adds: the body surface (thesis 7.2.3), and number plates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from anonymize.core.masks import paste
from anonymize.core.types import Detections, UInt8Array
from anonymize.detect.matching import IOU_THRESHOLD, mask_iou, sample
from anonymize.detect.network import DetectorNetwork
from anonymize.detect.predictor import Detector, EmbeddedDetector


class PairedDetector:
    """Finds people with one detector and reads the surface of each with the embedded network.

    Args:
        masks: Finds boxes and masks; a surface of its own is not looked at.
        embedded: Reads the surface over these boxes.
    """

    def __init__(self, masks: Detector, embedded: EmbeddedDetector) -> None:
        self.masks, self.embedded = masks, embedded
        self.surface = embedded.surface

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        """See `Detector.detect`. Pictures with people go through the embedded network once, those without do not."""
        found = self.masks.detect(images)
        predicted = self.embedded.surfaces(images, [people.boxes_xyxy for people in found])
        return [
            with_surface(
                people,
                *surface,
                self.embedded.network.config.surface,
                self.embedded.smallest_surface(people.size_hw),
            )
            for people, surface in zip(found, predicted, strict=True)
        ]


class PlatedDetector:
    """Finds people with one detector and number plates with the embedded network, whose backbone looks once more.

    Args:
        people: Finds the people.
        embedded: Finds the plates, with a head for them.
    """

    def __init__(self, people: Detector, embedded: EmbeddedDetector) -> None:
        self.people, self.embedded = people, embedded
        self.surface = people.surface

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        """See `Detector.detect`."""
        found = zip(self.people.detect(images), self.embedded.plates(images), strict=True)
        return [replace(people, plates=plates) for people, plates in found]


def without_plates(detector: Detector) -> Detector:
    """What finds the people."""
    return detector.people if isinstance(detector, PlatedDetector) else detector


def with_surface(
    found: Detections, bodies: Tensor, embeddings: Tensor, surface: str, smallest_surface: float = 0.0
) -> Detections:
    """People with the surface that another network sees over their boxes.

    It is usable where that network's mask over a box shows the same person as the detector's mask (thesis 4.3.2): in a
    box that holds two people the networks may mean different ones. What is no part of the detector's mask is no body.

    Args:
        found: N people.
        bodies: [N, S, S] float in [0, 1], the other network's masks over their boxes.
        embeddings: [N, D, S, S] float.
        surface: Name of the surface.
        smallest_surface: Boxes of a smaller longer side, in pixels of the frame, have no usable surface.
    """
    if not len(found):
        return Detections.empty(found.size_hw, surface)
    size, boxes = bodies.shape[-1], found.boxes_xyxy
    usable = (boxes[:, 2:] - boxes[:, :2]).max(1) >= smallest_surface
    inside = np.zeros(tuple(bodies.shape), np.bool_)
    for row, (region, box, body) in enumerate(zip(found.masks, boxes, bodies.cpu().numpy(), strict=True)):
        mine = region.within(box)  # a mask may be wider than its box, which the other network saw no more of
        usable[row] &= mask_iou(mine, paste(body, box, found.size_hw)) >= IOU_THRESHOLD
        inside[row] = sample(mine, box, size) & usable[row]
    known = torch.from_numpy(usable).to(embeddings)
    return replace(
        found,
        has_cse=usable,
        embeddings=embeddings * known[:, None, None, None],
        segmentations=bodies * torch.from_numpy(inside).to(bodies),
        surface=surface,
    )


def surface_network(detector: Detector) -> DetectorNetwork | None:
    """The embedded network whose surface a detector predicts; None if it is another's, or there is none."""
    people = without_plates(detector)
    embedded = people.embedded if isinstance(people, PairedDetector) else people
    return embedded.network if isinstance(embedded, EmbeddedDetector) else None
