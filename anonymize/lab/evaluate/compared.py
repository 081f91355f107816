"""What a comparison of anonymizers found: figures, and their table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anonymize.lab.evaluate.people import People
from anonymize.lab.evaluate.retrieval import Retrieval
from anonymize.lab.evaluate.steadiness import Mean
from anonymize.lab.evaluate.track_crops import TrackCrops

ORIGINAL = "original"


@dataclass(slots=True)
class Version:
    """Figures of one version of the films: the original, or an anonymizer's output.

    Attributes:
        name: What it is called.
        people: People of the original who were looked up; `visible` and `partly` are those of them who can be seen.
        sure: People of the original found with a sure score; `seen_as_people` those whom the detector finds here too.
        squared_error: Of the background, values in [0, 1].
        similarity: SSIM of the background.
        warping: Squared warping error in the people.
        likeness: For each film, seconds and the highest similarity of a person in each frame.
        attack: Crops of this version searched in those of the original; None without tracks.
        consistency: ... and in those of this version.
        independent: What networks see that had no part in making it; without any, nothing is counted.
        frames_per_second: Speed, where it was told.
    """

    name: str
    people: int = 0
    visible: int = 0
    partly: int = 0
    sure: int = 0
    seen_as_people: int = 0
    squared_error: Mean = field(default_factory=Mean)
    similarity: Mean = field(default_factory=Mean)
    warping: Mean = field(default_factory=Mean)
    likeness: list[list[tuple[float, float]]] = field(default_factory=list)
    attack: Retrieval | None = None
    consistency: Retrieval | None = None
    independent: People = field(default_factory=People)
    frames_per_second: float | None = None

    def figures(self) -> dict[str, float | int | None]:
        """As JSON values: shares in [0, 1], PSNR in dB, None where nothing can be said."""
        error, warping = self.squared_error.value, self.warping.value
        independent = self.independent.figures()
        return {
            "people": self.people,
            "visible": _share(self.visible, self.people),
            "visible_in_part": _share(self.partly, self.people),
            "attack_rank_1": self.attack.rank(1) if self.attack else None,
            "attack_mAP": self.attack.mean_average_precision if self.attack else None,
            "seen_as_people": _share(self.seen_as_people, self.sure),
            "seen_by_others": independent["seen"],
            "pose_kept": independent["landmarks_kept"],
            "consistency_mAP": self.consistency.mean_average_precision if self.consistency else None,
            "background_psnr": None if not error else -10 * float(np.log10(error)),
            "background_ssim": self.similarity.value,
            "warping_error": None if warping is None else float(np.sqrt(warping)),
            "frames_per_second": self.frames_per_second,
        }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was found.

    Attributes:
        versions: The original, then the outputs.
        tracks: Crops of each track, in the order of the versions.
        frames: How many were looked at.
        network: What told people apart.
    """

    versions: list[Version]
    tracks: list[TrackCrops]
    frames: int
    network: str

    def figures(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "format": "anonymize-compare-1",
            "frames": self.frames,
            "tracks": len(self.tracks),
            "reidentification": self.network,
            "versions": {version.name: version.figures() for version in self.versions},
        }


COLUMNS: Mapping[str, tuple[str, str, str]] = {
    "visible": ("visible", "%", "people of the original who look as before, less is better"),
    "visible_in_part": ("in part", "%", "people of whom a patch looks as before, or background beside them"),
    "attack_rank_1": ("attack rank 1", "%", "a crop's nearest original is of the same track, less is better"),
    "attack_mAP": ("attack mAP", "%", "the same over all crops of the track, less is better"),
    "seen_as_people": ("still people", "%", "people whom the detector finds in the output too, more is better"),
    "seen_by_others": ("seen by another", "%", "people found by YOLOX-nano, found in the output too, more is better"),
    "pose_kept": ("pose kept", "%", "BlazePose's sure landmarks that stay within 10 % of the torso, more is better"),
    "consistency_mAP": ("consistency mAP", "%", "crops of a track find each other in the output, more is better"),
    "background_psnr": ("background PSNR", "dB", "of all that is far from people, more is better"),
    "background_ssim": ("background SSIM", "", "the same as structural similarity, at most 1"),
    "warping_error": (
        "warping error",
        "",
        "in people: root mean square, after following the motion; of 1",
    ),
    "frames_per_second": ("speed", "frames/s", "as told by --seconds"),
}
"""Title, unit and meaning of each figure."""


def shown(key: str, value: float | int | None) -> str:
    """A figure as text."""
    if value is None:
        return "-"
    unit = COLUMNS[key][1]
    return f"{100 * value:.1f}" if unit == "%" else f"{value:.1f}" if unit else f"{value:.4f}"


def table(found: Comparison) -> str:
    """The figures as Markdown."""
    names = [f"{title} ({unit})" if unit else title for title, unit, _ in COLUMNS.values()]
    lines = [
        f"{found.frames} frames, {len(found.tracks)} tracks; told apart by {found.network}",
        "",
        f"| | {' | '.join(names)} |",
        "|---|" + "---|" * len(names),
    ]
    for version in found.versions:
        values = version.figures()
        lines.append(f"| {version.name} | {' | '.join(shown(key, values[key]) for key in COLUMNS)} |")
    return "\n".join(lines)
