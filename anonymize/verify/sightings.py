"""Checks of single frames joined to rows that a person can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from anonymize.verify.person import PersonCheck
from anonymize.verify.verification import FrameCheck

GAP_SECONDS = 0.5
"""A person who is not found for longer is a new sighting."""
SAME_PLACE = 0.3
"""Boxes of consecutive frames that overlap more (intersection over union) are one sighting."""


@dataclass(slots=True)
class Sighting:
    """A person in consecutive frames, with one verdict.

    Attributes:
        start: Seconds of the first frame.
        end: Seconds of the last.
        frames: Number of frames.
        worst: The check with the highest mean similarity.
        last: The check of the last frame.
    """

    start: float
    end: float
    frames: int
    worst: PersonCheck
    last: PersonCheck


@dataclass(slots=True)
class Totals:
    """What a verification found in all; grows with the number of spans, not of frames.

    Attributes:
        frames: Frames compared.
        people: People found in the original, counted anew in each frame.
        visible: Those of them whom the output still shows.
        plates: Number plates found in the original, counted anew in each frame.
        plates_visible: Those of them that the output still shows.
        partly: Those who are not, though some of their place is as it was.
        visible_frames: Frames in which a person or a plate is visible.
        spans: First and last second and number of frames of each run of such frames.
    """

    frames: int = 0
    people: int = 0
    visible: int = 0
    plates: int = 0
    plates_visible: int = 0
    partly: int = 0
    visible_frames: int = 0
    spans: list[tuple[float, float, int]] = field(default_factory=list)
    _running: bool = False

    def count(self, checks: Iterable[FrameCheck]) -> Iterator[FrameCheck]:
        """Hand on the checks, counted."""
        for check in checks:
            self.frames += 1
            people = [person for person in check.people if not person.plate]
            self.people += len(people)
            self.visible += sum(person.visible for person in people)
            self.partly += sum(person.partly and not person.visible for person in people)
            self.plates += len(check.people) - len(people)
            self.plates_visible += sum(person.visible for person in check.people if person.plate)
            if check.visible:
                self.visible_frames += 1
                start, frames = (self.spans[-1][0], self.spans[-1][2]) if self._running else (check.seconds, 0)
                self.spans[len(self.spans) - self._running :] = [(start, check.seconds, frames + 1)]
            self._running = check.visible
            yield check


def sightings(checks: Iterable[FrameCheck]) -> Iterator[Sighting]:
    """Join the checks of a person over time; each sighting comes out when it has ended.

    Args:
        checks: In order of time.
    """
    running: list[Sighting] = []
    for check in checks:
        ended = [s for s in running if check.seconds - s.end > GAP_SECONDS]
        running = [s for s in running if check.seconds - s.end <= GAP_SECONDS]
        yield from ended
        free = list(running)
        for person in check.people:
            same = [s for s in free if _verdict(s.last) == _verdict(person)]
            best = max(same, key=lambda s: _overlap(s.last.box_xyxy, person.box_xyxy), default=None)
            if best is None or _overlap(best.last.box_xyxy, person.box_xyxy) < SAME_PLACE:
                running.append(Sighting(check.seconds, check.seconds, 1, person, person))
                continue
            free.remove(best)
            best.end, best.frames, best.last = check.seconds, best.frames + 1, person
            if person.overall > best.worst.overall:
                best.worst = person
    yield from running


def _verdict(person: PersonCheck) -> tuple[bool, bool, bool]:
    return person.plate, person.visible, person.partly


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Intersection over union of two boxes xyxy."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)
