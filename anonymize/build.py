"""What the options ask for: the composer, its generator and their weights."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from anonymize.compose import Composer, CoverComposer, GeneratedComposer, covers_of
from anonymize.core.errors import OptionError
from anonymize.core.resources import DETECTOR, GENERATOR, PLATES, weights_path
from anonymize.core.types import Tracks
from anonymize.detect.build import load_vertex_embedding
from anonymize.detect.names import EMBEDDED, DetectorName
from anonymize.detect.paired import surface_network, without_plates
from anonymize.detect.predictor import DEFAULT_SCORE, Detector
from anonymize.detect.zoo.nearest import VertexIndex
from anonymize.generate.avatar import AvatarGenerator
from anonymize.generate.base import DEFAULT_TRUNCATION, TrackGenerator
from anonymize.generate.build import build_generator, check_pairing
from anonymize.generate.zoo.predictor import ZooGenerator
from anonymize.media import pictures_in, read_image
from anonymize.options import DrawOptions, Options
from anonymize.track import PeopleTracker, TrackerConfig


def weights_files(options: Options) -> list[Path]:
    """The weights that a work with these options depends on, as far as they are files.

    Raises:
        WeightsError: Embedded weights are missing.
    """
    detector, generator = options.detector, options.draw.weights
    found = [weights_path(DETECTOR) if DetectorName.read(detector).uses_embedded else Path(detector)]
    if options.draw.mode == "generate":
        found.append(weights_path(GENERATOR) if generator == EMBEDDED else Path(generator))
    if options.detect.plates:
        found += [weights_path(DETECTOR), weights_path(PLATES)]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def own_looks(options: DrawOptions, source: Path | str) -> list[str]:
    """A warning for each picture of an identity that is the input itself, in it as a sequence, or a copy of it."""
    source = Path(source)
    inputs = [source / name for name in pictures_in(source)] if source.is_dir() else [source]
    return [
        f"{path} is the input itself: a person will look like its most prominent one, who may be recognised"
        for path in options.identity
        if path.is_file() and any(filecmp.cmp(path, each, shallow=False) for each in inputs)
    ]


def build_composer(options: DrawOptions, detector: Detector, device: torch.device) -> tuple[Composer, list[str]]:
    """The composer that draws as the options say.

    Args:
        options: How to draw.
        detector: Finds the people in the pictures of identities.
        device: Where the generator computes.

    Returns:
        The composer, and warnings, one line each.

    Raises:
        AnonymizeError: Weights or pictures cannot be read, a picture shows no person, or detector and generator do not
            fit.
    """
    cover = CoverComposer(options.cover, color=options.color)
    if not options.replaces:
        return cover, []
    generator = make_generator(options, device, lambda: detector)
    check_pairing(detector.surface, generator.surface)
    warnings = read_identities(options.identity, generator, lambda: detector)
    if detector.surface is None:
        warnings.append("the detector predicts no body surface: people are blurred, not replaced")
    return GeneratedComposer(generator, cover), warnings


def make_generator(
    options: DrawOptions, device: torch.device, detector: Callable[[], Detector], *, seed: int | None = None
) -> TrackGenerator:
    """The generator of the options' weights, truncation and seed, without identities.

    Args:
        options: How to draw.
        device: Where to compute.
        detector: Gives who finds the people; called for avatars and for a generator that was trained on exact vertices.
        seed: Replaces that of the options.

    Raises:
        WeightsError: The weights cannot be read.
    """
    own = seed if seed is not None else options.seed or 0
    truncation = DEFAULT_TRUNCATION if options.truncation is None else options.truncation
    if options.mode == "avatar":
        network = surface_network(detector())
        table = load_vertex_embedding(weights_path(DETECTOR)) if network is None else network.vertex_embedding
        return AvatarGenerator(table.detach(), seed=own, truncation=truncation, multi_modal=options.multi_modal)
    generator = build_generator(
        options.weights, seed=own, truncation=truncation, multi_modal=options.multi_modal, device=device
    )
    if isinstance(generator, ZooGenerator) and generator.surface is not None:
        from anonymize.detect.detectron2 import Detectron2Detector
        from anonymize.detect.zoo.predictor import ZooDetector  # torchvision takes seconds

        finder = without_plates(detector())
        check_pairing(finder.surface, generator.surface)
        vertices = finder.vertices() if isinstance(finder, ZooDetector | Detectron2Detector) else None
        if vertices is not None:
            index = VertexIndex(vertices)
            generator.to_vertices = lambda pixels: vertices[index(pixels)]
    return generator


def read_identities(pictures: Sequence[Path], generator: TrackGenerator, detector: Callable[[], Detector]) -> list[str]:
    """Give a generator the looks of pictures' persons, which its tracks take in turn.

    Args:
        pictures: Who to look like.
        generator: Gets them as `identities`.
        detector: Gives who finds the people in the pictures; called only if there are any.

    Returns:
        Warnings, one line each.

    Raises:
        AnonymizeError: See `read_identity`.
    """
    warnings: list[str] = []
    for path in pictures:
        z, notes = read_identity(path, generator, detector())
        generator.identities.append(z)
        warnings += notes
    return warnings


def read_identity(path: Path, generator: TrackGenerator, detector: Detector) -> tuple[torch.Tensor, list[str]]:
    """z of the most prominent person of a picture.

    Returns:
        z [latent] float32, and a warning if several people could have been meant.

    Raises:
        AnonymizeError: The picture cannot be read or shows no person whose surface is known.
    """
    picture = read_image(path)
    [found] = detector.detect([picture.image])
    found = found[found.scores >= DEFAULT_SCORE]
    # as people of a picture are told apart everywhere: two who were found as one too are no third person
    [(_, tracks)] = PeopleTracker(TrackerConfig(min_sure_score=DEFAULT_SCORE)).track([(picture, found)])
    height, width = found.size_hw
    corners = found.boxes_xyxy.clip(0, (width, height, width, height))
    found = found[[int(abs(corners - box).max(1).argmin()) for box in tracks.detections.boxes_xyxy]]
    # the mapper was trained on covers; what they hold outside of the box is not what the person looks like
    all_people = Tracks(found, np.arange(1, len(found) + 1), np.zeros(len(found), np.bool_))
    covers = zip(covers_of(all_people), found.boxes_xyxy, strict=True)
    found = replace(found, masks=tuple(cover.within(box) for cover, box in covers))
    try:
        z, row = generator.read_identity(picture.image, found)
    except OptionError as error:
        raise OptionError(f"cannot take an identity from {path}: {error}") from error
    if len(found) == 1:
        return z, []
    left, top, right, bottom = found.masks[row].box_xyxy
    taken = f"the largest one is taken, x {left} to {right}, y {top} to {bottom}"
    return z, [f"{path} shows {len(found)} people; {taken}"]
