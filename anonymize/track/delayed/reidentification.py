"""Who somebody is that appears: one of the people who are missing, or somebody new.

Looks and motion each say how much likelier it is that two are one person than that they are two, as the logarithm of
the ratio of the likelihoods; these are added. All who have just appeared are decided on together: each goes on from at
most one of the missing and each of the missing goes on as at most one (Zhang, Li, Nevatia 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anonymize.core.types import BoolArray, FloatArray
from anonymize.track.geometry import box_share, centre_distance
from anonymize.track.online.association import SAME_LOOKS, alike_sized

Boxes = npt.NDArray[np.float64]
Seconds = npt.NDArray[np.float64]
Entry = tuple[float, float, float, bool, bool, float]

WELL_KNOWN = 3  # clear views of somebody; looks of less are believed less
LOOKS_STEP = 0.01  # looks that much more alike make it e times likelier that two are one
MOST_LOOKS = 5.0  # looks never say more than this
MOST_MOTION = 3.5
MOST_LEAVING = -0.5  # where people leave and others enter, only looks can tell ...
STAYING_SECONDS = 0.35  # ... if the one has been missing for longer than this
PLACES = 15.0  # area of a picture in squared heights: where somebody new can appear
DRIFT = 0.15  # deviation of where somebody is from where they are expected, in heights, beside that of the filter
OTHER_SIZE = 1.5  # less is said of two who are not alike in size, though one of them may be half hidden
NEWS = 0.5  # so much is to be said for a return of somebody long gone, to be believed
FORGOTTEN_SECONDS = 3.0  # after that they can be anywhere
REACH = (1.5, 3.0)  # ... but no farther than this, in heights: at once, more a second
MIN_INSIDE = 0.6
BESIDE = 0.35  # whoever comes out from behind something may be so far from where all of them is expected


@dataclass(frozen=True, eq=False)
class Absence:
    """How people were missing when others appeared, [N, M] each; float32, or bool for a "whether".

    Attributes:
        apart: From where the one was expected to the other, in heights; infinite where the one was not missing.
        deviation: ... which is expected to be about so much.
        inside: Share of the other's box that lies where the one should have come to: whoever comes out from behind
            something shows little of themselves at first.
        alike_sized: Whether the two have about the same height.
        leaving: Whether the one was last seen at the border, where people leave and others enter.
        seconds: For how long the one had been missing.
    """

    apart: FloatArray
    deviation: FloatArray
    inside: FloatArray
    alike_sized: BoolArray
    leaving: BoolArray
    seconds: FloatArray

    @classmethod
    def of(
        cls, known: Boxes, deviation: Seconds, extents: Boxes, leaving: BoolArray, found: Boxes, seconds: Seconds
    ) -> Absence:
        """Compare boxes.

        Args:
            known: [N, 4] where the missing are expected.
            deviation: [N] by how much that may be wrong, in heights.
            extents: [N, 4] all that they took up lately, moved to there.
            leaving: [N] whether they were last seen at the border.
            found: [M, 4].
            seconds: [N] how long they are missing.
        """
        shape = len(known), len(found)
        return cls(
            centre_distance(known, found),
            np.broadcast_to(deviation[:, None], shape).astype(np.float32),
            box_share(found, extents).T,
            alike_sized(known, found) | alike_sized(extents, found),
            np.broadcast_to(leaving[:, None], shape).copy(),
            np.broadcast_to(seconds[:, None], shape).astype(np.float32),
        )

    @classmethod
    def none(cls, people: int, newcomers: int) -> Absence:
        """Nobody was missing."""
        shape = people, newcomers
        far, nothing = np.full(shape, np.inf, np.float32), np.zeros(shape, np.float32)
        no = np.zeros(shape, np.bool_)
        return cls(far, nothing, nothing.copy(), no, no.copy(), nothing.copy())

    def __getitem__(self, key: tuple[int, int]) -> Entry:
        return (
            float(self.apart[key]),
            float(self.deviation[key]),
            float(self.inside[key]),
            bool(self.alike_sized[key]),
            bool(self.leaving[key]),
            float(self.seconds[key]),
        )

    def __setitem__(self, key: tuple[int, int], value: Entry) -> None:
        self.apart[key], self.deviation[key], self.inside[key] = value[:3]
        self.alike_sized[key], self.leaving[key], self.seconds[key] = value[3:]

    def evidence(self, *, border: bool = True) -> FloatArray:
        """What the motion says for the two being one, [N, M]; minus infinity where nobody can have gone so far.

        Near where they are expected at first (Student's t, since people turn), anywhere after some seconds.

        Args:
            border: Whether it counts that people leave and others enter at the border.
        """
        emerging = self.inside > MIN_INSIDE
        apart = np.where(emerging, np.minimum(self.apart, BESIDE), self.apart).astype(np.float64)
        variance = DRIFT**2 + self.deviation.astype(np.float64) ** 2
        with np.errstate(divide="ignore"):
            near = np.log(PLACES / (2 * np.pi * variance)) - 2 * np.log1p(apart**2 / (2 * variance))
            near[~(self.alike_sized | emerging)] -= OTHER_SIZE
            if border:
                left = self.leaving & (self.seconds > STAYING_SECONDS)
                near[left] = np.minimum(near[left], MOST_LEAVING)
            anywhere = np.log(np.minimum(self.seconds / FORGOTTEN_SECONDS, 1)) - NEWS
        said = np.minimum(np.logaddexp(near, anywhere), MOST_MOTION)
        within = self.apart < REACH[0] + REACH[1] * self.seconds
        evidence: FloatArray = np.where(within, said, -np.inf).astype(np.float32)
        return evidence


def trust(views: FloatArray) -> FloatArray:
    """How well the looks of somebody are known who was clearly seen so often, in [0, 1]."""
    return np.minimum((1 + views) / (1 + WELL_KNOWN), 1)


def looks_evidence(distance: FloatArray, views: FloatArray, new_views: FloatArray, others: BoolArray) -> FloatArray:
    """What the looks say for two being one, [N, M].

    Where somebody else looks as much like the newcomer, nothing is left to be said.

    Args:
        distance: [N, M] of the looks of people and newcomers; NaN where they cannot be compared.
        views: [N] how often the people were seen clearly.
        new_views: [M] the same of the newcomers.
        others: [N, M] who is known to be somebody else than the newcomer.
    """
    sure = trust(np.minimum.outer(views, new_views))
    said = np.clip((SAME_LOOKS - np.nan_to_num(distance, nan=SAME_LOOKS)) / LOOKS_STEP, -MOST_LOOKS, MOST_LOOKS) * sure
    mistaken = np.where(others, said, 0).max(axis=0, initial=0)  # [M]
    evidence: FloatArray = (said - mistaken).astype(np.float32)
    return evidence
