"""The way of a film in two passes, between which its tracks can be edited:

read ──► detect ──► track ──► tracks file            read ──► tracks file ──► choices ──► compose ──► write

Without an edit the result is that of `anonymize_video`, bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from anonymize.build import DrawingOptions, Mode, make_generator, read_identities
from anonymize.compose import (
    ChosenComposer,
    ChosenGenerator,
    Composer,
    CoverComposer,
    CoverPainter,
    GeneratedComposer,
    OverlayComposer,
    PersonGenerator,
)
from anonymize.core.device import DeviceName, resolve_device
from anonymize.core.errors import AnonymizeError, OptionError
from anonymize.core.prefetch import Prefetch
from anonymize.core.types import REPLACING
from anonymize.detect.build import build_detector
from anonymize.detect.predictor import Detector
from anonymize.generate.build import check_pairing
from anonymize.media import FilmWriter, open_film
from anonymize.pipeline import FRAMES_AHEAD, Summary, Tally, build_tracker, compose, detect, write
from anonymize.selection.edits import apply_choices, box_ids
from anonymize.selection.regions import apply_regions, read_regions
from anonymize.track import LOOKAHEAD_SECONDS, UNSURE_SCORE, Tracker
from anonymize.tracksfile.file import TracksFile, write_tracks
from anonymize.tracksfile.header import AddedBox, TrackEntry
from anonymize.tracksfile.quantize import quantize
from anonymize.tracksfile.record import check_tracks_path

COVERS = ("blur", "pixelate", "solid")


def detect_film(
    source: Path | str,
    output: Path | str,
    *,
    mode: Mode | None = None,
    color: str | None = None,
    truncation: float | None = None,
    multi_modal: bool = False,
    identity: Sequence[Path | str] = (),
    seed: int | None = None,
    weights: str | Path = "embedded",
    detector_weights: str | Path = "embedded",
    score: float | None = None,
    lookahead: float = LOOKAHEAD_SECONDS,
    device: DeviceName = "auto",
    start: float | None = None,
    end: float | None = None,
    overwrite: bool = False,
    tolerate_corrupt: bool = False,
    detector: Detector | None = None,
    tracker: Tracker | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Summary:
    """Find and follow the people of a film, and write a tracks file; the arguments are those of `anonymize_video`.

    Args:
        output: The tracks file, .json or .json.gz. How people are to be drawn is noted in it.

    Raises:
        AnonymizeError: With one line for the user.
    """
    began = time.monotonic()
    options = DrawingOptions.of(mode, color, truncation, identity, seed, weights, multi_modal)
    where = resolve_device(device)
    output = Path(output)
    if not output.name.endswith((".json", ".json.gz")) or output.name.endswith(".coco.json"):
        raise OptionError(f"a tracks file to render ends in .json or .json.gz; {output.name} does not")
    check_tracks_path(output, source, overwrite=overwrite)
    tally = Tally()
    with open_film(source, start=start, end=end, tolerate_corrupt=tolerate_corrupt) as film, Prefetch() as prefetch:
        detector = detector or build_detector(weights=detector_weights, score=score, unsure=UNSURE_SCORE, device=where)
        tracker = tracker or build_tracker(detector, score=score, lookahead=lookahead)
        settings = options.told(
            output.parent,
            detector_weights=str(detector_weights),
            score=score,
            start=start,
            end=end,
            tolerate_corrupt=tolerate_corrupt,
        )
        frames = prefetch(tally.incoming(film), FRAMES_AHEAD, "read")
        people = quantize(tracker.track(detect(frames, detector)), with_surface=options.replaces)
        tracked = prefetch(people, FRAMES_AHEAD, "detect and track")
        for _, tracks in write_tracks(output, tracked, film=Path(source), settings=settings, overwrite=overwrite):
            tally.outgoing(tracks)
            if progress:
                progress(tally.frames, film.info.frames)
        tally.check()
    return tally.summary(output, began, film.corrupt_frames, film.warnings)


def render_film(
    source: Path | str,
    tracks: Path | str,
    output: Path | str,
    *,
    always_cover: Path | str | None = None,
    never_cover: Path | str | None = None,
    overlay: bool = False,
    device: DeviceName = "auto",
    codec: str = "libx264",
    crf: int = 18,
    preset: str | None = None,
    audio: str = "copy",
    keep_metadata: bool = False,
    overwrite: bool = False,
    detector: Detector | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Summary:
    """Draw a film from its tracks file; the arguments are those of `anonymize_video`.

    Args:
        tracks: The tracks file.
        detector: Finds the people in pictures of identities; None for the one that the file names.

    Raises:
        AnonymizeError: With one line for the user. The file makes no sense, is of another film, or the film fails.
    """
    began = time.monotonic()
    where = resolve_device(device)
    always = () if always_cover is None else read_regions(always_cover)
    never = () if never_cover is None else read_regions(never_cover)
    tally = Tally()
    with TracksFile(tracks) as stored:
        stored.check_film(source)
        found = _Settings.of(stored)
        with (
            open_film(source, start=found.start, end=found.end, tolerate_corrupt=found.tolerate_corrupt) as film,
            FilmWriter(
                output,
                film,
                codec=codec,
                crf=crf,
                preset=preset,
                audio=audio,
                keep_metadata=keep_metadata,
                overwrite=overwrite,
            ) as writer,
            Prefetch() as prefetch,
        ):
            composer, warnings = _composer(stored, found, where, detector)
            composers = [composer, OverlayComposer()] if overlay else [composer]
            frames = prefetch(tally.incoming(film), FRAMES_AHEAD, "read")
            tracked = prefetch(apply_choices(stored.join(frames), stored.header), FRAMES_AHEAD, "tracks")
            people = apply_regions(tracked, always, never, float(film.info.shift))
            drawn = prefetch(compose(people, composers), FRAMES_AHEAD, "compose")
            write(drawn, writer, tally, film.info.frames, progress)
    warnings = [*film.warnings, *warnings, *writer.warnings]
    return tally.summary(output, began, film.corrupt_frames, warnings, writer.stripped)


@dataclass(frozen=True, slots=True)
class _Settings:
    """The settings of a tracks file."""

    drawing: DrawingOptions
    detector_weights: str
    score: float | None
    start: float | None
    end: float | None
    tolerate_corrupt: bool

    @classmethod
    def of(cls, stored: TracksFile) -> _Settings:
        settings = dict(stored.header.settings)
        try:
            drawing = DrawingOptions(
                settings.pop("mode"),
                settings.pop("color"),
                settings.pop("truncation"),
                tuple(stored.path.parent / path for path in settings.pop("identity")),
                settings.pop("seed"),
                settings.pop("weights"),
                settings.pop("multi_modal", False),
            )
            return cls(drawing, **settings)
        except KeyError as error:
            raise AnonymizeError(f"{stored.path}, settings: {error} is missing") from error
        except TypeError as error:
            raise AnonymizeError(f"{stored.path}, settings: {error}") from error


def _composer(
    stored: TracksFile, settings: _Settings, where: torch.device, detector: Detector | None
) -> tuple[Composer, list[str]]:
    """Who draws as the file says, and warnings."""
    header, options = stored.header, settings.drawing
    covers = {mode: CoverComposer(mode, color=options.color) for mode in COVERS}  # type: ignore[arg-type]
    chosen: dict[int, TrackEntry | AddedBox] = {**header.tracks, **box_ids(header)}
    other = {k: covers[entry.action] for k, entry in chosen.items() if entry.action in COVERS}
    usual = covers[options.cover]
    cover: CoverPainter = usual
    if any(each is not usual for each in other.values()):
        cover = ChosenComposer(usual, other)
    made = [track for track in header.tracks.values() if track.action in REPLACING]
    if not made:
        return cover, []
    if not header.channels and not options.replaces:
        raise OptionError(
            f"{stored.path} has no body surfaces to generate people from; detect them with --mode generate"
        )

    def find() -> Detector:
        nonlocal detector
        detector = detector or build_detector(
            weights=settings.detector_weights, score=settings.score, unsure=UNSURE_SCORE, device=where
        )
        return detector

    own: dict[tuple[str, int | None, str | None], PersonGenerator] = {}
    warnings: list[str] = []
    for track in made:
        key = (track.action, track.seed, track.identity)
        if key in own:
            continue
        drawing = replace(options, mode=track.action, color=None)  # type: ignore[arg-type]
        generator = make_generator(drawing, where, find, seed=track.seed)
        check_pairing(header.surface if header.channels else None, generator.surface)
        if track.identity is not None:
            warnings += read_identities([stored.path.parent / track.identity], generator, find)
        elif track.seed is None:
            warnings += read_identities(options.identities, generator, find)
        own[key] = generator
    makers = {track.id: own[track.action, track.seed, track.identity] for track in made}
    if len(own) == 1:
        return GeneratedComposer(next(iter(own.values())), cover), warnings
    return GeneratedComposer(ChosenGenerator(makers), cover), warnings
