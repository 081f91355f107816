"""Where people are going to be: constant velocity, filtered (Kalman 1960; Bewley et al. 2016), all people at once.

Centre x, centre y, width and height of a box are filtered apart from each other, each with its velocity. All noise is
in proportion to the height of the person, so that near and far people behave alike, and time is in seconds, so that
films of any and of varying frame rate do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

MEASUREMENT = np.array([0.05, 0.05, 0.05, 0.05])  # standard deviation of a detection, in heights
SPEED = np.array([0.8, 0.3, 0.25, 0.25])  # ... of the velocity of somebody new, in heights a second
ACCELERATION = np.array([1.2, 0.6, 0.6, 0.6])  # ... of changes of velocity, in heights a second, after one second

COAST_SECONDS, SIZE_COAST_SECONDS = 2.0, 0.15


class Motion:
    """Filters of N people; N grows and shrinks.

    Attributes:
        mean: [N, 4, 2] value and velocity of centre x, centre y, width, height; pixels and pixels a second.
        covariance: [N, 4, 2, 2].
    """

    def __init__(self) -> None:
        self.mean: Float64 = np.zeros((0, 4, 2))
        self.covariance: Float64 = np.zeros((0, 4, 2, 2))

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def boxes_xyxy(self) -> Float64:
        """[N, 4] float64, where the people are thought to be."""
        return from_centres(self.mean[:, :, 0])

    @property
    def deviation(self) -> Float64:
        """[N] standard deviation of where the centre of each is, in their heights."""
        variance = self.covariance[:, :2, 0, 0].mean(1)
        deviation: Float64 = np.sqrt(variance) / np.maximum(self.mean[:, 3, 0], 1)
        return deviation

    def add(self, boxes_xyxy: Float64) -> None:
        """Start filters for new people at boxes [K, 4]."""
        mean, covariance = _at_rest(boxes_xyxy)
        self.mean = np.concatenate([self.mean, mean])
        self.covariance = np.concatenate([self.covariance, covariance])

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        """Drop all filters but those marked True."""
        self.mean, self.covariance = self.mean[rows], self.covariance[rows]

    def restart(self, rows: npt.NDArray[np.int64], boxes_xyxy: Float64) -> None:
        """Forget how people [K] moved, who are back at boxes [K, 4]."""
        self.mean[rows], self.covariance[rows] = _at_rest(boxes_xyxy)

    def predict(self, seconds: float) -> None:
        """Let time pass."""
        step = np.array([[1.0, seconds], [0.0, 1.0]])
        noise = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        height = np.maximum(self.mean[:, 3, 0], 1)
        spread = (ACCELERATION * height[:, None]) ** 2
        self.mean = self.mean @ step.T
        self.covariance = step @ self.covariance @ step.T + spread[:, :, None, None] * noise
        self.mean[:, 2:, 0] = np.maximum(self.mean[:, 2:, 0], 1)

    def warp(self, transform: Float64) -> None:
        """Follow the camera: a similarity transform [2, 3] of the picture's pixels."""
        linear, shift = transform[:, :2], transform[:, 2]
        scale = float(np.sqrt(abs(np.linalg.det(linear))))
        self.mean[:, :2] = linear @ self.mean[:, :2]
        self.mean[:, :2, 0] += shift
        self.mean[:, 2:] *= scale
        self.covariance *= scale**2

    def coast(self, rows: npt.NDArray[np.bool_], seconds: float) -> None:
        """Slow down people who were not seen: half of somebody behind a wall is no sign of a jump, nor of shrinking."""
        self.mean[rows, 0, 1] *= np.exp(-seconds / COAST_SECONDS)
        self.mean[rows, 1:, 1] *= np.exp(-seconds / SIZE_COAST_SECONDS)

    def update(self, rows: npt.NDArray[np.int64], boxes_xyxy: Float64, noise: Float64) -> None:
        """Take in detections.

        Args:
            rows: [K] whom they show.
            boxes_xyxy: [K, 4].
            noise: [K] factor on the usual measurement noise: more for detections of a low score.
        """
        mean, covariance = self.mean[rows], self.covariance[rows]
        height = np.maximum(mean[:, 3:, 0], 1)
        variance = (MEASUREMENT * height * noise[:, None]) ** 2  # [K, 4]
        gain = covariance[..., 0] / (covariance[..., 0, 0] + variance)[..., None]  # [K, 4, 2]
        surprise = to_centres(boxes_xyxy) - mean[..., 0]
        self.mean[rows] = mean + gain * surprise[..., None]
        self.covariance[rows] = covariance - gain[..., :, None] * covariance[..., :1, :]
        self.mean[:, 2:, 0] = np.maximum(self.mean[:, 2:, 0], 1)


def _at_rest(boxes_xyxy: Float64) -> tuple[Float64, Float64]:
    """Mean and covariance of somebody of whom one detection is known."""
    centres = to_centres(boxes_xyxy)
    mean = np.zeros((len(centres), 4, 2))
    mean[:, :, 0] = centres
    height = np.maximum(centres[:, 3:], 1)
    covariance = np.zeros((len(centres), 4, 2, 2))
    covariance[:, :, 0, 0] = (MEASUREMENT * height) ** 2
    covariance[:, :, 1, 1] = (SPEED * height) ** 2
    return mean, covariance


def to_centres(boxes_xyxy: Float64) -> Float64:
    """Boxes [N, 4] as centre x, centre y, width, height."""
    size = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.concatenate([boxes_xyxy[:, :2] + size / 2, size], axis=1, dtype=np.float64)


def from_centres(centres: Float64) -> Float64:
    """The inverse of `to_centres`."""
    half = centres[:, 2:] / 2
    return np.concatenate([centres[:, :2] - half, centres[:, :2] + half], axis=1)
