"""Prediction of boxes: Kalman filters of constant velocity (Kalman 1960; Bewley et al. 2016), all tracks at once.

Centre x, centre y, width and height of a box are filtered independently, each with its velocity. All noise is in
proportion to the height of the person, so that near and far people are treated alike, and time is in seconds, so that
films of any and of varying frame rate are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anonymize.track.config import TrackerConfig

Float64 = npt.NDArray[np.float64]


class Motion:
    """Filters of N tracks; N grows and shrinks.

    Attributes:
        mean: [N, 4, 2] value and velocity of centre x, centre y, width, height; pixels and pixels a second.
        covariance: [N, 4, 2, 2].
    """

    def __init__(self, config: TrackerConfig) -> None:
        self._config = config
        self.mean: Float64 = np.zeros((0, 4, 2))
        self.covariance: Float64 = np.zeros((0, 4, 2, 2))

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def boxes_xyxy(self) -> Float64:
        """[N, 4] float64, the predicted boxes."""
        return from_centres(self.mean[:, :, 0])

    @property
    def deviation(self) -> Float64:
        """[N] standard deviation of each centre, in heights."""
        variance = self.covariance[:, :2, 0, 0].mean(1)
        deviation: Float64 = np.sqrt(variance) / np.maximum(self.mean[:, 3, 0], 1)
        return deviation

    def add(self, boxes_xyxy: Float64) -> None:
        """Start filters of new tracks at boxes [K, 4]."""
        mean, covariance = self._at_rest(boxes_xyxy)
        self.mean = np.concatenate([self.mean, mean])
        self.covariance = np.concatenate([self.covariance, covariance])

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        """Drop all filters but those marked True."""
        self.mean, self.covariance = self.mean[rows], self.covariance[rows]

    def restart(self, rows: npt.NDArray[np.int64], boxes_xyxy: Float64) -> None:
        """Let tracks [K] start again at boxes [K, 4]."""
        self.mean[rows], self.covariance[rows] = self._at_rest(boxes_xyxy)

    def copy(self, row: int, to: int) -> None:
        """Let one filter become equal to another one."""
        self.mean[to], self.covariance[to] = self.mean[row], self.covariance[row]

    def predict(self, seconds: float) -> None:
        """Let time pass."""
        step = np.array([[1.0, seconds], [0.0, 1.0]])
        noise = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        height = np.maximum(self.mean[:, 3, 0], 1)
        spread = (np.array(self._config.acceleration_deviation) * height[:, None]) ** 2
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
        """Slow down tracks that were not found: half a person behind a wall is no sign of a jump, nor of shrinking."""
        self.mean[rows, 0, 1] *= np.exp(-seconds / self._config.coast_seconds)
        self.mean[rows, 1:, 1] *= np.exp(-seconds / self._config.size_coast_seconds)

    def update(self, rows: npt.NDArray[np.int64], boxes_xyxy: Float64, noise: Float64) -> None:
        """Take in detections.

        Args:
            rows: [K] tracks that they show.
            boxes_xyxy: [K, 4].
            noise: [K] factor on the usual measurement noise: more for detections of a low score.
        """
        mean, covariance = self.mean[rows], self.covariance[rows]
        height = np.maximum(mean[:, 3:, 0], 1)
        variance = (self._config.measurement_deviation_heights * height * noise[:, None]) ** 2  # [K, 4]
        gain = covariance[..., 0] / (covariance[..., 0, 0] + variance)[..., None]  # [K, 4, 2]
        surprise = to_centres(boxes_xyxy) - mean[..., 0]
        self.mean[rows] = mean + gain * surprise[..., None]
        self.covariance[rows] = covariance - gain[..., :, None] * covariance[..., :1, :]
        self.mean[:, 2:, 0] = np.maximum(self.mean[:, 2:, 0], 1)

    def _at_rest(self, boxes_xyxy: Float64) -> tuple[Float64, Float64]:
        """Mean and covariance of tracks of which one detection is known."""
        centres = to_centres(boxes_xyxy)
        mean = np.zeros((len(centres), 4, 2))
        mean[:, :, 0] = centres
        height = np.maximum(centres[:, 3:], 1)
        covariance = np.zeros((len(centres), 4, 2, 2))
        covariance[:, :, 0, 0] = (self._config.measurement_deviation_heights * height) ** 2
        covariance[:, :, 1, 1] = (np.array(self._config.start_speed_deviation) * height) ** 2
        return mean, covariance


def to_centres(boxes_xyxy: Float64) -> Float64:
    """Boxes [N, 4] as centre x, centre y, width, height."""
    size = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.concatenate([boxes_xyxy[:, :2] + size / 2, size], axis=1, dtype=np.float64)


def from_centres(centres: Float64) -> Float64:
    """The inverse of `to_centres`."""
    half = centres[:, 2:] / 2
    return np.concatenate([centres[:, :2] - half, centres[:, :2] + half], axis=1)
