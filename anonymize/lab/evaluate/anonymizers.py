"""Ways to anonymize single pictures, to be held against each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from anonymize.build import build_composer, make_generator
from anonymize.compose import Composer, CoverComposer, GeneratedComposer, covers_of
from anonymize.core.errors import OptionError
from anonymize.core.types import Frame, IntArray, PersonRequest, RegionMask, Replacement, Tracks, UInt8Array
from anonymize.detect.predictor import DEFAULT_SCORE, Detector
from anonymize.generate.base import TrackGenerator
from anonymize.generate.build import check_pairing
from anonymize.options import DrawOptions
from anonymize.track import PeopleTracker, TrackerConfig

OTHERS = 1_000_000
"""Tracks from here on are bystanders, and people whose looks are not to be kept."""
PER_PICTURE = "new z each"
Mode = Literal["solid", "pixelate", "blur", "generate"]
"""Those that need no frames before."""


@dataclass(frozen=True, eq=False)
class Anonymizer:
    """A way to anonymize pictures.

    Attributes:
        composer: Draws.
        one_look: Whether all pictures of a person are given the same look.
    """

    composer: Composer
    one_look: bool = True


class StillPictures:
    """A generator of films, for pictures that do not follow each other: a person's rectangle has no past."""

    def __init__(self, generator: TrackGenerator) -> None:
        self._generator, self._next = generator, 1

    def expect(self, tracks: Tracks, covers: Sequence[RegionMask]) -> None:
        """See `PersonGenerator`."""
        self._generator.expect(tracks, covers)

    def accept(self, tracks: Tracks, covers: Sequence[RegionMask]) -> Tracks:
        """See `PersonGenerator`."""
        return self._generator.accept(tracks, covers)

    def place(self, tracks: Tracks, covers: Sequence[RegionMask]) -> IntArray:
        """See `PersonGenerator`."""
        fresh = np.arange(self._next, self._next + len(tracks))
        self._next += len(tracks)
        return self._generator.place(Tracks(tracks.detections, fresh, tracks.filled), covers)

    def generate(self, requests: Sequence[PersonRequest]) -> list[Replacement]:
        """See `PersonGenerator`."""
        return self._generator.generate(requests)


def modes_of(names: Iterable[str]) -> list[Mode]:
    """Modes by name; all if there are none.

    Raises:
        OptionError: A name is none of a mode.
    """
    modes = {str(mode): mode for mode in get_args(Mode)}
    wanted = list(names) or list(modes)
    if unknown := [name for name in wanted if name not in modes]:
        raise OptionError(f"mode {unknown[0]!r} is not one of {', '.join(modes)}")
    return [modes[name] for name in wanted]


def build_anonymizers(
    modes: Sequence[Mode], detector: Detector, device: torch.device, weights: str, baseline: Path | None = None
) -> dict[str, Anonymizer]:
    """Anonymizers by name.

    Args:
        modes: As of the product. "generate" comes twice: one look for each person, and a new one in each picture, which
            tells how much of the consistency is the place's and the pose's.
        detector: Finds the people.
        device: Where generators compute.
        weights: Of "generate".
        baseline: Weights of another generator, to be held against it.

    Raises:
        WeightsError: Weights cannot be read.
        OptionError: Detector and generator do not fit.
    """
    built: dict[str, Anonymizer] = {}
    for mode in modes:
        options = DrawOptions(mode=mode)
        if mode == "generate":
            composer = _generated(weights, detector, device)
            built |= {mode: Anonymizer(composer), PER_PICTURE: Anonymizer(composer, one_look=False)}
        else:
            built[mode] = Anonymizer(build_composer(options, detector, device)[0])
    if baseline is not None:
        built["baseline"] = Anonymizer(_generated(str(baseline), detector, device))
    return built


def _generated(weights: str, detector: Detector, device: torch.device) -> GeneratedComposer:
    generator = make_generator(DrawOptions(mode="generate", weights=weights), device, lambda: detector)
    check_pairing(detector.surface, generator.surface)
    return GeneratedComposer(StillPictures(generator), CoverComposer("blur"))


class Studio:
    """Anonymizes pictures of one person each.

    Args:
        detector: Finds the people.
        anonymizers: By name.

    Attributes:
        pictures: How many it has seen.
        without_person: ... and in how many of them the detector found none.
    """

    def __init__(self, detector: Detector, anonymizers: dict[str, Anonymizer]) -> None:
        self._detector, self._anonymizers = detector, anonymizers
        self.pictures = self.without_person = 0
        self._bystander = OTHERS

    def anonymize(self, pictures: Sequence[UInt8Array], people: Sequence[int]) -> dict[str, list[UInt8Array]]:
        """Anonymized pictures by name of the anonymizer, in order.

        A picture in which no person is found stays as it is, as the product would leave it.

        Args:
            pictures: [H, W, 3] uint8 RGB each.
            people: Number of the person that each shows, whose largest figure takes the look of this number; a number
                below 1 is a person of whom nothing is known.
        """
        made: dict[str, list[UInt8Array]] = {name: [] for name in self._anonymizers}
        detected = self._detector.detect(pictures)
        for image, person, found in zip(pictures, people, detected, strict=True):
            tracker = PeopleTracker(TrackerConfig(min_sure_score=DEFAULT_SCORE, lookahead_seconds=0))
            [(frame, tracks)] = tracker.track([(Frame(image, 0, 0, Fraction(1)), found)])
            covers = covers_of(tracks)
            areas = [cover.area for cover in covers]
            self.pictures += 1
            self.without_person += not any(areas)
            for name, anonymizer in self._anonymizers.items():
                ids = np.arange(self._bystander, self._bystander + len(tracks))
                self._bystander += len(tracks)
                if any(areas) and anonymizer.one_look and person > 0:
                    ids[int(np.argmax(areas))] = person
                named = Tracks(tracks.detections, ids, tracks.filled)
                made[name].append(anonymizer.composer.compose(frame, named, covers).image)
        return made
