"""How cloth stands round trunk and limbs: convex rings, each of which hangs down from the ones above it.

A cloth spans the hollows of what it is worn on, so across a limb it follows the convex hull; along the limb it falls
straight from where it rests, the more so the looser it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from anonymize.bodies.body import JOINT, load_body
from anonymize.bodies.regions import regions

ANGLES = 40
"""Directions in which a ring's radius is known."""
SLICES = {"trunk": 44, "arm": 26, "leg": 30}
REACH = {"trunk": (-1.42, -0.15), "arm": (0.0, 1.04), "leg": (0.06, 1.04)}
"""First and last place along each limb: minus the mean adult's height; 0 at shoulder or hip, 1 at wrist or ankle."""


@dataclass(frozen=True, eq=False)
class Limb:
    """A trunk, an arm or a leg as a bent tube, cut into slices from where cloth hangs on to where it ends.

    Attributes:
        places: [n] ascending, where the slices are (`REACH`).
        lengths: [n] metres from the first slice.
        centres: [n, 3] metres.
        across, aside: [n, 3] unit vectors that span each slice.
        radius: [n, ANGLES] metres, convex hull of the body.
    """

    places: np.ndarray
    lengths: np.ndarray
    centres: np.ndarray
    across: np.ndarray
    aside: np.ndarray
    radius: np.ndarray

    def _mixed(self, table: np.ndarray, along: np.ndarray) -> np.ndarray:
        at = np.interp(along, self.places, np.arange(len(self.places)))
        low = np.minimum(at.astype(int), len(self.places) - 2)
        share = (at - low)[:, None]
        mixed: np.ndarray = table[low] * (1 - share) + table[low + 1] * share
        return mixed

    def polar(self, points: np.ndarray, along: np.ndarray) -> np.ndarray:
        """Angle [N] of points [N, 3] at places [N] round the limb, radians."""
        away = points - self._mixed(self.centres, along)
        angle: np.ndarray = np.arctan2(
            (away * self._mixed(self.aside, along)).sum(1), (away * self._mixed(self.across, along)).sum(1)
        )
        return angle

    def ring_points(self, radius: np.ndarray, along: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Points [N, 3] of the tube of these radii [n, ANGLES] at places and angles [N]."""
        rows = self._mixed(radius, along)
        turn = (angle / (2 * np.pi) * ANGLES) % ANGLES
        low = turn.astype(int) % ANGLES
        share = turn - np.floor(turn)
        pick = np.arange(len(rows))
        far = rows[pick, low] * (1 - share) + rows[pick, (low + 1) % ANGLES] * share
        direction = np.cos(angle)[:, None] * self._mixed(self.across, along)
        direction += np.sin(angle)[:, None] * self._mixed(self.aside, along)
        points: np.ndarray = self._mixed(self.centres, along) + far[:, None] * direction
        return points

    def hung(self, radius: np.ndarray, cling: float | np.ndarray) -> np.ndarray:
        """Radii [n, ANGLES] of a cloth on these that draws in by at most `cling` metres per metre ([n] or one)."""
        steps = np.diff(self.lengths, prepend=0) * cling
        fallen = radius.copy()
        for i in range(1, len(radius)):
            fallen[i] = np.maximum(radius[i], fallen[i - 1] - steps[i])
        fallen = (np.roll(fallen, 1, 1) + 2 * fallen + np.roll(fallen, -1, 1)) / 4
        padded = np.concatenate([fallen[:1], fallen, fallen[-1:]])
        smooth: np.ndarray = np.maximum((padded[:-2] + 2 * fallen + padded[2:]) / 4, radius)
        return smooth


@cache
def spread(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points all over a limb of the body's fine mesh: corners [M, 3], their shares [M, 3], place along it [M]."""
    along = places_of(name)
    faces = load_body().surface.faces
    inside = np.isfinite(along[faces]).all(1)
    shares = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [4, 4, 1], [1, 4, 4], [4, 1, 4], [3, 3, 3]]) / 1.0
    shares /= shares.sum(1, keepdims=True)
    corners = np.repeat(faces[inside], len(shares), 0)
    weights = np.tile(shares, (int(inside.sum()), 1))
    return corners, weights, (along[corners] * weights).sum(1)


@cache
def places_of(name: str) -> np.ndarray:
    """Where along a limb each vertex of the body's fine mesh lies, [V]; NaN elsewhere."""
    r = regions()
    left = load_body().surface.vertices[:, 0] >= 0
    if name == "trunk":
        trunk = (r["arm"] == -1) & ~r["head"].astype(bool) & ((r["leg"] == -1) | (r["leg"] < 0.9))
        return np.where(trunk, -r["z"], np.nan)
    kind, _, side = name.partition(".")
    # the foot is no part of what a trouser leg is wide for
    return np.where((r[kind] > -1) & (r[kind] <= 1.01) & (left == (side == "L")), r[kind], np.nan)


def limb(name: str, rest: np.ndarray, joints: np.ndarray) -> Limb:
    """A limb ("trunk", "arm.L", ...) of a person.

    Args:
        name: Which.
        rest: [V, 3] vertices of the person's fine mesh at rest.
        joints: [J, 3] of the person.
    """
    kind, _, side = name.partition(".")
    places = np.linspace(*REACH[kind], SLICES[kind])
    corners, weights, along = spread(name)
    points = (rest[corners] * weights[:, :, None]).sum(1)
    if kind == "trunk":
        heights = np.interp(places, *monotone(along, points[:, 2]))
        order = np.argsort(along)
        near = np.searchsorted(along[order], [places - 0.03, places + 0.03])
        middle = np.array(
            [
                (points[order[a:b], 1].min() + points[order[a:b], 1].max()) / 2 if b > a else np.nan
                for a, b in near.T.tolist()
            ]
        )
        known = np.isfinite(middle)
        middle = np.interp(places, places[known], middle[known])
        middle = np.convolve(np.pad(middle, 3, mode="edge"), np.ones(7) / 7, "valid")
        centres = np.stack([np.zeros_like(middle), middle, heights], 1)
        across = np.tile([1.0, 0, 0], (len(places), 1))
        aside = np.tile([0, 1.0, 0], (len(places), 1))
        width = 0.03
    else:
        names = ("shoulder", "elbow", "wrist") if kind == "arm" else ("hip", "knee", "ankle")
        knots = np.array([joints[JOINT[f"{n}.{side}"]] for n in names])
        ends = np.array([0.0, 0.5, 1.0])
        wide = np.linspace(-0.2, 1.3, 61)
        line = np.stack([np.interp(wide, ends, knots[:, c]) for c in range(3)], 1)
        line[wide > 1] = knots[2] + (wide[wide > 1, None] - 1) * 2 * (knots[2] - knots[1])
        line[wide < 0] = knots[0] + wide[wide < 0, None] * 2 * (knots[1] - knots[0])
        tangent = np.gradient(line, axis=0)
        tangent = np.stack([np.convolve(tangent[:, c], np.ones(9) / 9, "same") for c in range(3)], 1)
        centres, tangent = (np.stack([np.interp(places, wide, t[:, c]) for c in range(3)], 1) for t in (line, tangent))
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        front = np.array([0.0, -1.0, 0.0])
        across = front - (tangent @ front)[:, None] * tangent
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        aside = np.cross(tangent, across)
        width = 0.035
    lengths = np.concatenate([[0], np.linalg.norm(np.diff(centres, axis=0), axis=1).cumsum()])
    radius = hulls(points, along, places, centres, across, aside, width)
    return Limb(places, lengths, centres, across, aside, radius)


def monotone(along: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A person's height at places along the trunk, averaged over bins."""
    edges = np.linspace(along.min(), along.max(), 50)
    bins = np.digitize(along, edges)
    count = np.bincount(bins, minlength=52)
    mean = np.bincount(bins, heights, 52) / np.maximum(count, 1)
    place = np.bincount(bins, along, 52) / np.maximum(count, 1)
    return place[count > 0], mean[count > 0]


def hulls(
    points: np.ndarray,
    along: np.ndarray,
    places: np.ndarray,
    centres: np.ndarray,
    across: np.ndarray,
    aside: np.ndarray,
    width: float,
) -> np.ndarray:
    """Radius [n, ANGLES] of the convex hull of the points within `width` of each place, by its support function."""
    theta = 2 * np.pi * np.arange(ANGLES) / ANGLES
    facing = np.stack([np.cos(theta), np.sin(theta)])  # [2, ANGLES]
    support = np.full((len(places), ANGLES), np.nan)
    order = np.argsort(along)
    sorted_along = along[order]
    for i, place in enumerate(places):
        a, b = np.searchsorted(sorted_along, [place - width, place + width])
        if b - a < 4:
            continue
        away = points[order[a:b]] - centres[i]
        support[i] = (np.stack([away @ across[i], away @ aside[i]], 1) @ facing).max(0)
    known = np.isfinite(support[:, 0])
    for k in range(ANGLES):
        support[:, k] = np.interp(places, places[known], support[known, k])
    cosine = np.cos(theta[:, None] - theta[None])  # [angle, normal]
    reach = np.where(cosine > 0.15, support[:, None, :] / np.maximum(cosine, 0.15), np.inf)
    radius: np.ndarray = np.maximum(reach.min(2), 0.01)
    return radius
