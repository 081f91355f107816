"""Holds what anonymizers made of films and pictures against the originals, and against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from anonymize.compose import covers_of
from anonymize.core.boxes import box_iou
from anonymize.core.errors import MediaError, OptionError
from anonymize.core.types import BoolArray, Detections, Frame, RegionMask, Tracks, UInt8Array
from anonymize.detect.predictor import DEFAULT_SCORE, Detector
from anonymize.lab.evaluate.compared import ORIGINAL, Comparison, Version
from anonymize.lab.evaluate.people import FindPeople, ReadPose, count
from anonymize.lab.evaluate.reid_network import Reidentifier
from anonymize.lab.evaluate.retrieval import search
from anonymize.lab.evaluate.steadiness import Motion, structural_similarity
from anonymize.lab.evaluate.track_crops import CropCollector, TrackCrops
from anonymize.media import is_film, is_image
from anonymize.pipeline import build_tracker
from anonymize.verify.body import BodyParts
from anonymize.verify.pairs import pair_frames
from anonymize.verify.person import check_person
from anonymize.verify.similarity import fit_colours

SURE = 0.5
"""Score from which a person counts whom the other detector finds."""
SAME_PERSON = 0.5
"""Overlap (IoU) of a person's boxes in the original and in the output."""
BACKGROUND_MARGIN = 0.05
"""Of the longer side of the frame: pixels nearer to a person are not background, as soft rims reach there."""


def files_of(original: Path, outputs: Sequence[Path]) -> list[tuple[Path, list[Path]]]:
    """The files that belong together: those of a folder by their path in it, whatever suffix an output has.

    Raises:
        MediaError: A path is not there.
        OptionError: A folder is held against a file, is empty, or lacks an output.
    """
    for path in (original, *outputs):
        if not path.exists():
            raise MediaError(f"cannot read {path}: No such file or directory")
        if path.is_dir() != original.is_dir():
            raise OptionError(f"{original} and {path}: one is a folder, the other is not")
    if not original.is_dir():
        return [(original, list(outputs))]
    sources = sorted(path for path in original.rglob("*") if is_image(path) or is_film(path))
    if not sources:
        raise OptionError(f"{original} holds no films or pictures")
    return [(source, [_counterpart(source.relative_to(original), output) for output in outputs]) for source in sources]


def names_of(outputs: Sequence[Path], given: Sequence[str]) -> list[str]:
    """What outputs are called: as given, or by their paths, as far as needed to tell them apart.

    Raises:
        OptionError: There are too few or too many names, or two are the same.
    """
    if given and len(given) != len(outputs):
        raise OptionError(f"{len(outputs)} outputs but {len(given)} names")
    names = list(given) or [path.name for path in outputs]
    if len(set(names)) < len(names) and not given:
        names = [str(path) for path in outputs]
    if len({*names, ORIGINAL}) <= len(names):
        raise OptionError(f"two versions have the same name; --name tells them apart: {', '.join(names)}")
    return names


def _counterpart(name: Path, output: Path) -> Path:
    if (output / name).is_file():
        return output / name
    others = [path for path in (output / name.parent).glob("*") if path.stem in (name.stem, name.name)]
    if len(others) != 1:
        raise OptionError(f"{output} lacks {name}" if not others else f"{output} holds {name} more than once")
    return others[0]


def compare(
    files: Sequence[tuple[Path, Sequence[Path]]],
    names: Sequence[str],
    detector: Detector,
    network: Reidentifier,
    *,
    every: int = 1,
    seconds: Sequence[float] = (),
    find: FindPeople | None = None,
    pose: ReadPose | None = None,
) -> Comparison:
    """Look at originals and outputs side by side.

    Args:
        files: Each original with its outputs, in the order of `names`.
        names: Of the outputs.
        detector: Finds people; with a low score, to find those who were overlooked.
        network: Tells people apart, along the tracks.
        every: Look at each so many-th frame.
        seconds: How long each output took to make, where known.
        find: Another detector, which had no part in making the outputs.
        pose: Reads poses of the people that it finds.

    Raises:
        MismatchError: An output cannot be one of its original: frames missing, another size, other times.
        MediaError: A file cannot be read.
    """
    versions = [Version(name) for name in (ORIGINAL, *names)]
    tracks: list[TrackCrops] = []
    frames = 0
    for source, outputs in tqdm(files, unit="file", disable=None if len(files) > 1 else True):
        film = _Film(source, outputs, versions, detector, every)
        for images in film.look():
            if find is not None:
                for version, image in zip(versions, images, strict=True):
                    count(version.independent, images[0], image, find, pose, SURE)
        frames += film.frames
        tracks += film.crops.tracks.values()
    for version, taken in zip(versions[1:], seconds, strict=False):
        version.frames_per_second = frames * every / taken if taken > 0 else None
    _tell_apart(versions, tracks, network)
    return Comparison(versions, tracks, frames, network.name)


class _Film:
    """One original and its outputs."""

    def __init__(
        self, source: Path, outputs: Sequence[Path], versions: list[Version], detector: Detector, every: int
    ) -> None:
        self._source, self._outputs, self._versions = source, outputs, versions
        self._detector, self._every = detector, every
        self._parts = BodyParts.of(detector)
        self.crops = CropCollector(source.name)
        self.frames = 0
        self._shown: dict[int, list[UInt8Array]] = {}

    def look(self) -> Iterator[list[UInt8Array]]:
        """Look at the film; hands on the versions of each frame that is looked at."""
        for version in self._versions:
            version.likeness.append([])
        for frame, tracks in build_tracker(self._detector).track(self._found()):
            versions = self._shown.pop(frame.index)
            self.crops.add(frame.pts_seconds, tracks, versions)
            yield versions

    def _found(self) -> Iterator[tuple[Frame, Detections]]:
        """Frames that are looked at, with the people of the original."""
        readers = [pair_frames(self._source, output) for output in self._outputs]
        before: tuple[int, list[UInt8Array]] | None = None
        for pairs in tqdm(zip(*readers, strict=True), unit=" frames", disable=None, delay=2, leave=False):
            frame, images = pairs[0][1], [pairs[0][1].image, *(pair[2].image for pair in pairs)]
            if frame.index % self._every == 0:
                [found] = self._detector.detect([images[0]])
                self.frames += 1
                people = RegionMask.union(_covers(found)).to_full(frame.size_hw)
                self._look_up(pairs[0][0], images, found)
                self._background(images, people)
                if before is not None and people.any():
                    self._steadiness(before[1], images, people)
                self._shown[frame.index] = images
                yield frame, found
            before = frame.index, images

    def _look_up(self, seconds: float, images: Sequence[UInt8Array], found: Detections) -> None:
        """Whether people can be seen, and are still seen as people."""
        rows = [row for row, mask in enumerate(found.masks) if mask.area]
        sure = found[found.scores >= DEFAULT_SCORE]
        again = self._detector.detect(images[1:]) if len(sure) else []
        for number, version in enumerate(self._versions):
            image = images[number]
            checks = []
            if rows:
                fit = fit_colours(images[0], image)
                checks = [check_person(images[0], image, fit, found, row, self._parts) for row in rows]
            version.people += len(checks)
            version.visible += sum(check.visible for check in checks)
            version.partly += sum(check.partly and not check.visible for check in checks)
            version.likeness[-1].append((seconds, max((check.overall for check in checks), default=0.0)))
            version.sure += len(sure)
            if len(sure):
                seen = again[number - 1] if number else sure
                seen = seen[seen.scores >= DEFAULT_SCORE]
                overlap = box_iou(sure.boxes_xyxy, seen.boxes_xyxy)
                version.seen_as_people += int((overlap >= SAME_PERSON).any(1).sum()) if overlap.size else 0

    def _background(self, images: Sequence[UInt8Array], people: BoolArray) -> None:
        radius = max(2, round(BACKGROUND_MARGIN * max(people.shape)))
        kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
        outside = cv2.dilate(people.astype(np.uint8), kernel) == 0
        if not outside.any():
            return
        for version, image in zip(self._versions[1:], images[1:], strict=True):
            difference = (image[outside].astype(np.float32) - images[0][outside]) / 255
            version.squared_error.add(float(np.square(difference).sum()), difference.size)
            similarity = structural_similarity(images[0], image)[outside]
            version.similarity.add(float(similarity.sum()), similarity.size)

    def _steadiness(self, before: Sequence[UInt8Array], images: Sequence[UInt8Array], people: BoolArray) -> None:
        motion = Motion.between(before[0], images[0])
        for version, earlier, image in zip(self._versions, before, images, strict=True):
            version.warping.add(*motion.warping_error(earlier, image, people))


def _covers(found: Detections) -> list[RegionMask]:
    count = len(found)
    return list(covers_of(Tracks(found, np.arange(1, count + 1), np.zeros(count, np.bool_))))


def _tell_apart(versions: Sequence[Version], tracks: Sequence[TrackCrops], network: Reidentifier) -> None:
    """Search crops of tracks among those of all tracks; the crop of the same moment does not count."""
    moments = [(number, moment) for number, track in enumerate(tracks) for moment in range(len(track.crops))]
    if len({number for number, _ in moments}) < 2 or not any(moment for _, moment in moments):
        return
    who, when = np.array(moments, np.int64).T
    described = [
        network.describe([tracks[number].crops[moment][version] for number, moment in moments])
        for version in range(len(versions))
    ]
    for version, queries in zip(versions, described, strict=True):
        version.consistency = search(network.distances(queries, queries), who, who, when, when)
        version.attack = search(network.distances(queries, described[0]), who, who, when, when)
