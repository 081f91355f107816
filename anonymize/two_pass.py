"""The way of a film in two passes, between which its tracks can be edited:

read ──► detect ──► track ──► tracks file            read ──► tracks file ──► choices ──► compose ──► write

Without an edit the result is that of `pipeline.process_film`, bit for bit.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from anonymize.build import make_generator, read_identities
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
from anonymize.core.errors import OptionError
from anonymize.core.modes import COVERING, REPLACING
from anonymize.core.prefetch import Prefetch
from anonymize.detect.build import build_detector
from anonymize.detect.names import EMBEDDED
from anonymize.detect.predictor import Detector
from anonymize.generate.build import check_pairing
from anonymize.media import open_film, open_output
from anonymize.options import DrawOptions, EncodeOptions, Options, RenderOptions, StoredOptions
from anonymize.pipeline import (
    FRAMES_AHEAD,
    Progress,
    Summary,
    Tally,
    build_tracker,
    compose,
    follow,
    read_region_options,
    write,
)
from anonymize.selection.edits import apply_choices, box_ids
from anonymize.selection.regions import apply_regions
from anonymize.track import UNSURE_SCORE, Tracker
from anonymize.tracksfile.file import TracksFile, write_tracks
from anonymize.tracksfile.header import AddedBox, Header, TrackEntry
from anonymize.tracksfile.names import check_tracks_path
from anonymize.tracksfile.quantize import quantize


def detect_pass(
    source: Path | str,
    output: Path | str,
    options: Options,
    *,
    overwrite: bool = False,
    detector: Detector | None = None,
    tracker: Tracker | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Find and follow the people of a film, and write a tracks file; the arguments are those of `process_film`.

    Args:
        output: The tracks file, .json or .json.gz. How people are to be drawn is noted in it.

    Raises:
        AnonymizeError: With one line for the user.
    """
    began = time.monotonic()
    where = resolve_device(options.device)
    output = Path(output)
    check_tracks_path(output, source, overwrite=overwrite, to_render=True)
    tally = Tally()
    with open_film(source, **asdict(options.read)) as film, Prefetch() as prefetch:
        frames = prefetch(tally.incoming(film), FRAMES_AHEAD, "read")  # decodes while the networks load
        score = options.detect.score
        plates = options.detect.plates
        detector = detector or build_detector(
            weights=options.detector, score=score, unsure=UNSURE_SCORE, device=where, plates=plates
        )
        tracker = tracker or build_tracker(detector, score=score, lookahead=options.track.lookahead)
        settings = StoredOptions.of(options).to_json(output.parent)
        found = follow(frames, detector, tracker, options)
        people = quantize(found, with_surface=options.draw.replaces)
        tracked = prefetch(people, FRAMES_AHEAD, "detect and track")
        for _, tracks in write_tracks(output, tracked, film=Path(source), settings=settings, overwrite=overwrite):
            tally.outgoing(tracks)
            if progress:
                progress(tally.frames, film.info.frames)
        tally.check()
    return tally.summary(output, began, film.corrupt_frames, film.warnings)


def render_pass(
    source: Path | str,
    tracks: Path | str,
    output: Path | str,
    *,
    render: RenderOptions,
    encode: EncodeOptions,
    device: DeviceName = "auto",
    overwrite: bool = False,
    detector: Detector | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Draw a film from its tracks file; the arguments are those of `process_film`.

    Args:
        tracks: The tracks file.
        render: What is drawn beside the tracks.
        encode: How the result is written.
        device: Where the generator computes.
        detector: Finds the people in pictures of identities; None for the one that the file names.

    Raises:
        AnonymizeError: With one line for the user. The file makes no sense, is of another film, or the film fails.
    """
    began = time.monotonic()
    where = resolve_device(device)
    always, never = read_region_options(render)
    tally = Tally()
    with TracksFile(tracks) as stored:
        stored.check_film(source)
        options = StoredOptions.from_json(stored.header.settings, stored.path)
        with (
            open_film(source, **asdict(options.read)) as film,
            open_output(output, film, **asdict(encode), overwrite=overwrite) as writer,
            Prefetch() as prefetch,
        ):
            frames = prefetch(tally.incoming(film), FRAMES_AHEAD, "read")  # decodes while the networks load
            composer, warnings = _composer(stored, options, where, detector)
            composers = [composer, OverlayComposer()] if render.overlay else [composer]
            tracked = prefetch(apply_choices(stored.join(frames), stored.header), FRAMES_AHEAD, "tracks")
            people = apply_regions(tracked, always, never, float(film.info.shift))
            drawn = prefetch(compose(people, composers), FRAMES_AHEAD, "compose")
            write(drawn, writer, tally, film.info.frames, progress)
    warnings = [*film.warnings, *warnings, *writer.warnings]
    return tally.summary(output, began, film.corrupt_frames, warnings, writer.stripped)


def _composer(
    stored: TracksFile, settings: StoredOptions, where: torch.device, detector: Detector | None
) -> tuple[Composer, list[str]]:
    """Who draws as the file says, and warnings."""
    header, options = stored.header, settings.draw
    cover = _cover(header, options)
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
            weights=settings.detector, score=settings.detect.score, unsure=UNSURE_SCORE, device=where
        )
        return detector

    own: dict[tuple[str, int | None, str | None], PersonGenerator] = {}
    warnings: list[str] = []
    for track in made:
        key = (track.action, track.seed, track.identity)
        if key in own:
            continue
        weights = EMBEDDED if track.action == "avatar" else options.weights  # a file is a generator's, not an avatar's
        drawing = replace(options, mode=track.action, color=None, weights=weights)  # type: ignore[arg-type]
        generator = make_generator(drawing, where, find, seed=track.seed)
        check_pairing(header.surface if header.channels else None, generator.surface)
        if track.identity is not None:
            warnings += read_identities([stored.path.parent / track.identity], generator, find)
        elif track.seed is None:
            warnings += read_identities(options.identity, generator, find)
        own[key] = generator
    makers = {track.id: own[track.action, track.seed, track.identity] for track in made}
    if len(own) == 1:
        return GeneratedComposer(next(iter(own.values())), cover), warnings
    return GeneratedComposer(ChosenGenerator(makers), cover), warnings


def _cover(header: Header, options: DrawOptions) -> CoverPainter:
    """What covers people: as the options say, but for tracks and boxes of which the file says otherwise."""
    covers: dict[str, CoverComposer] = {mode: CoverComposer(mode, color=options.color) for mode in COVERING}
    chosen: dict[int, TrackEntry | AddedBox] = {**header.tracks, **box_ids(header)}
    other = {number: covers[entry.action] for number, entry in chosen.items() if entry.action in COVERING}
    usual = covers[options.cover]
    return ChosenComposer(usual, other) if any(each is not usual for each in other.values()) else usual
