"""Motion of the camera: sparse optical flow of the background between two frames."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anonymize.core.types import UInt8Array
from anonymize.track.config import TrackerConfig
from anonymize.track.model.thumbnail import Thumbnail

Transform = npt.NDArray[np.float64]
Points = npt.NDArray[np.float32]


def identity() -> Transform:
    """The transform of a camera that rests, [2, 3]."""
    return np.eye(2, 3)


def then(first: Transform, second: Transform) -> Transform:
    """One transform [2, 3] after the other."""
    linear = second[:, :2] @ first[:, :2]
    return np.column_stack([linear, second[:, :2] @ first[:, 2] + second[:, 2]])


def inverse(transform: Transform) -> Transform:
    """The way back of a transform [2, 3]."""
    linear = np.linalg.inv(transform[:, :2])
    return np.column_stack([linear, -linear @ transform[:, 2]])


def apply_to_boxes(transform: Transform, boxes_xyxy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Boxes [N, 4] moved and scaled; they stay upright."""
    scale = np.sqrt(abs(np.linalg.det(transform[:, :2])))
    centre = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2 @ transform[:, :2].T + transform[:, 2]
    half = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]) / 2 * scale
    return np.concatenate([centre - half, centre + half], axis=1)


class CameraMotion:
    """Global motion as a similarity transform by pyramidal Lucas-Kanade flow (Bouguet 2001) and RANSAC.

    People move by themselves, so features are taken outside of them.
    """

    def __init__(self, config: TrackerConfig) -> None:
        self._config = config
        self._before: UInt8Array | None = None
        self._points: Points = np.zeros((0, 2), np.float32)

    def update(self, thumbnail: Thumbnail) -> Transform:
        """Motion from the frame before to this one.

        Args:
            thumbnail: This frame, small, and the masks in it.

        Returns:
            [2, 3] float64, takes pixels of the frame before to pixels of this one; the identity for the first frame,
            after a cut, and where too little of the background can be followed.
        """
        height, width = thumbnail.picture.shape[:2]
        scale = min(1.0, self._config.flow_width_px / width)
        factor = scale / thumbnail.step
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        green = np.asarray(cv2.extractChannel(thumbnail.picture, 1), np.uint8)
        small = np.asarray(cv2.resize(green, size, interpolation=cv2.INTER_AREA), np.uint8)
        before, after = self._follow(small)
        motion = motion_between(before, after, factor, self._config)
        background = np.full(small.shape, 255, np.uint8)
        for mask in thumbnail.masks:
            x1, y1, x2, y2 = mask.box_xyxy
            background[int(y1 * factor) : int(y2 * factor) + 2, int(x1 * factor) : int(x2 * factor) + 2] = 0
        self._before = small
        # features that no person has stepped in front of are good for the next frame as well
        columns, rows = np.rint(after).astype(np.int64).T
        inside = (columns >= 0) & (rows >= 0) & (columns < size[0]) & (rows < size[1])
        inside[inside] = background[rows[inside], columns[inside]] > 0
        self._points = after[inside]
        if len(self._points) < self._config.flow_refill_share * self._config.max_flow_features:
            found = cv2.goodFeaturesToTrack(small, self._config.max_flow_features, 0.02, 7, mask=background)
            self._points = np.zeros((0, 2), np.float32) if found is None else found[:, 0]
        return motion

    def _follow(self, small: UInt8Array) -> tuple[Points, Points]:
        """Where features [K, 2] were in the small picture before and are in this one; the same array if they rest."""
        if self._before is None or self._before.shape != small.shape or not len(self._points):
            return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
        if _rests(self._before, small, self._points, self._config.min_flow_shift_px):
            return self._points, self._points
        moved, found, _ = cv2.calcOpticalFlowPyrLK(
            self._before, small, self._points[:, None], None, winSize=(13, 13), maxLevel=2
        )
        kept = found[:, 0] == 1
        return self._points[kept], moved[kept, 0]


def motion_between(before: Points, after: Points, factor: float, config: TrackerConfig) -> Transform:
    """The similarity transform [2, 3] on which most features agree; the identity where too few do, or it is noise.

    Args:
        before, after: [K, 2] pixels of small pictures; the same array if the features rest.
        factor: Pixels of a small picture by pixels of the frame.
        config: Thresholds.
    """
    if len(before) < config.min_flow_features or after is before:
        return identity()
    if np.median(np.abs(after - before)) < config.min_flow_shift_px:
        return identity()
    matrix, inliers = cv2.estimateAffinePartial2D(before, after, ransacReprojThreshold=1.5, maxIters=200)
    if matrix is None or inliers.mean() < config.min_flow_inlier_share:
        return identity()
    # the middle of a pixel is at .5 in frames, at .0 in OpenCV
    matrix[:, 2] += 0.5 - matrix[:, :2] @ np.array([0.5, 0.5])
    matrix[:, 2] /= factor
    return np.asarray(matrix, np.float64)


def _rests(before: UInt8Array, after: UInt8Array, points: Points, shift_px: float) -> bool:
    """Whether most features [K, 2] look the same in two small pictures [h, w]: a shift of `shift_px` would show.

    A feature is read with the pixels beside it. To first order a shift changes a pixel by itself times the slope there,
    which is steep near features.
    """
    cross = np.array([[0, -1, 1, 0, 0], [0, 0, 0, -1, 1]])[:, None]
    inner = np.rint(points).astype(np.int64).clip(1, np.subtract(before.shape[::-1], 2))
    x, y = inner.T[:, :, None] + cross
    was = before[y, x].astype(np.int16)
    change = np.abs(after[y, x] - was).sum(1) / cross.shape[2]
    slope = np.abs(was[:, [1, 3]] - was[:, [2, 4]]).min(1) / 2
    shift = change / np.maximum(slope, 1)
    return 2 * int(np.count_nonzero(shift < shift_px)) > len(shift)
