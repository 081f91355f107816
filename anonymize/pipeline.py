"""The way of a film through the stages:

read ──► detect ──► track ──► compose ──► write

Reading, finding people, drawing and writing overlap in time. All that waits between them is bounded, so a film of any
length needs the same memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch

from anonymize.build import build_composer, own_looks
from anonymize.compose import BatchComposer, Composer, Covered, OverlayComposer, covers_of, with_backgrounds
from anonymize.core.body_surface import load_surface
from anonymize.core.device import resolve_device
from anonymize.core.errors import AnonymizeError
from anonymize.core.prefetch import Prefetch
from anonymize.core.types import Detections, Frame, Tracks
from anonymize.detect.build import build_detector
from anonymize.detect.paired import surface_network
from anonymize.detect.plates import SURE_PLATE
from anonymize.detect.predictor import DEFAULT_SCORE, Detector
from anonymize.media import (
    FilmReader,
    FilmWriter,
    SequenceReader,
    SequenceWriter,
    check_image_output,
    check_size,
    open_film,
    open_output,
    read_image,
    write_image,
)
from anonymize.options import Options, RenderOptions, StoredOptions
from anonymize.selection.regions import Region, apply_regions, read_regions
from anonymize.track import (
    LOOKAHEAD_SECONDS,
    UNSURE_SCORE,
    PartTable,
    PeopleTracker,
    PlateTracker,
    SkippedFrames,
    Tracker,
    TrackerConfig,
)
from anonymize.tracksfile.names import check_tracks_path
from anonymize.tracksfile.quantize import quantize
from anonymize.tracksfile.record import record

BATCH = 4
"""Frames that the detector sees at once, and whose people the generator makes at once."""
FRAMES_AHEAD = BATCH
"""Frames that wait between two stages; the next batch is decoded while one is looked at."""


Find = Callable[[Iterable[Frame], Detector], Iterator[tuple[Frame, Detections]]]
"""The stage that finds the people of each frame; all frames, in order."""
Progress = Callable[[int, int | None], None]
"""Called with the frames written and the expected number of frames, None where that is unknown."""
Observe = Callable[[Frame, Tracks], None]
"""Called with each frame as it is written and the people in it."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done to a film or a picture.

    Attributes:
        output: The file that was written.
        frames: Frames written.
        frames_with_people: Those of them with at least one person.
        people: Different people, by track ID.
        corrupt_frames: Frames that could not be decoded and were dropped.
        seconds: Time that it took, start to end.
        warnings: What differs from the input against its wish, one line each.
        stripped: Metadata that was left out because it may identify a person, one line each.
        plates: Different number plates, by track ID.
    """

    output: Path
    frames: int
    frames_with_people: int
    people: int
    corrupt_frames: int
    seconds: float
    warnings: tuple[str, ...]
    stripped: tuple[str, ...]
    plates: int = 0


def process_film(
    source: Path | str,
    output: Path | str,
    options: Options,
    *,
    tracks: Path | str | None = None,
    overwrite: bool = False,
    detector: Detector | None = None,
    tracker: Tracker | None = None,
    composer: Composer | None = None,
    find: Find | None = None,
    progress: Progress | None = None,
    observe: Observe | None = None,
) -> Summary:
    """Replace or cover every person of a film.

    The output appears under its name only when it is complete; an error or an interrupt leaves no file.

    Args:
        source: The film; of a sequence the folder, of which the pictures right in it are done.
        output: The result; its suffix chooses the container. Of a sequence the folder of the results.
        options: How.
        tracks: Write who was found where into this file: .json or .json.gz to edit and render, .txt for MOTChallenge,
            .coco.json for COCO.
        overwrite: Replace an existing output.
        detector: Finds the people; None for the one that the options name.
        tracker: Follows them; None for the default.
        composer: Draws them; None for what the options say.
        find: The stage around the detector; None for `detect`.
        progress: Called with the frames written and the expected number of frames, None where that is unknown.
        observe: Called with each frame as it is written and the people in it.

    Raises:
        AnonymizeError: With one line for the user.
    """
    began = time.monotonic()
    where = resolve_device(options.device)
    always, never = read_region_options(options.render)
    if tracks is not None:
        check_tracks_path(tracks, source, output, overwrite=overwrite)
    tally = Tally()
    with (
        open_film(source, **asdict(options.read)) as film,
        open_output(output, film, **asdict(options.encode), overwrite=overwrite) as writer,
        Prefetch() as prefetch,
    ):
        frames = prefetch(tally.incoming(film), FRAMES_AHEAD, "read")  # decodes while the networks load
        score = options.detect.score
        plates = options.detect.plates
        detector = detector or build_detector(
            weights=options.detector, score=score, unsure=UNSURE_SCORE, device=where, plates=plates
        )
        tracker = tracker or build_tracker(detector, score=score, lookahead=options.track.lookahead)
        composers, warnings = _composers(options, detector, where, composer)
        found = follow(frames, detector, tracker, options, find=find or detect)
        # rounded as a tracks file would round, so that `detect` and `render` draw the same film
        tracked = quantize(found, with_surface=options.draw.replaces or composer is not None)
        if tracks is not None:
            settings = StoredOptions.of(options).to_json(Path(tracks).parent)
            tracked = record(tracks, tracked, film=source, settings=settings, overwrite=overwrite)
        people = prefetch(tracked, FRAMES_AHEAD, "detect and track")
        offset = float(film.info.shift)
        drawn = prefetch(compose(apply_regions(people, always, never, offset), composers), FRAMES_AHEAD, "compose")
        write(drawn, writer, tally, film.info.frames, progress, observe)
    own = own_looks(options.draw, source) if options.read.sequence and composer is None else []
    warnings = [*own, *film.warnings, *warnings, *writer.warnings]
    return tally.summary(output, began, film.corrupt_frames, warnings, writer.stripped)


def process_image(
    source: Path | str,
    output: Path | str,
    options: Options,
    *,
    overwrite: bool = False,
    detector: Detector | None = None,
    tracker: Tracker | None = None,
    composer: Composer | None = None,
    observe: Observe | None = None,
) -> Summary:
    """Replace or cover every person of a picture; the arguments are those of `process_film`.

    Raises:
        AnonymizeError: With one line for the user.
    """
    began = time.monotonic()
    where = resolve_device(options.device)
    always, never = read_region_options(options.render)
    check_image_output(output, source, overwrite=overwrite)
    picture = read_image(source)
    score = options.detect.score
    detector = detector or build_detector(
        weights=options.detector, score=score, device=where, plates=options.detect.plates
    )
    tracker = tracker or build_tracker(detector, score=score)
    own = own_looks(options.draw, source) if composer is None else []
    composers, warnings = _composers(options, detector, where, composer)
    people = quantize(follow([picture], detector, tracker, options), with_surface=True)
    [(frame, tracks)] = compose(apply_regions(people, always, never), composers)
    notes = write_image(output, frame, keep_metadata=options.encode.keep_metadata, overwrite=overwrite)
    tally = Tally()
    shown = tally.outgoing(tracks)
    if observe:
        observe(frame, shown)
    return tally.summary(output, began, warnings=[*own, *warnings, *notes])


def build_tracker(
    detector: Detector, *, score: float | None = None, lookahead: float = LOOKAHEAD_SECONDS
) -> PeopleTracker:
    """The tracker that goes with a detector: it knows the detector's body surface.

    Args:
        detector: Finds the people.
        score: Lowest score of a sure detection, in [0, 1]; None for the default of the weights.
        lookahead: How long frames wait, in seconds.

    Raises:
        OptionError: The look-ahead is negative.
    """
    sure = DEFAULT_SCORE if score is None else score
    config = TrackerConfig(min_sure_score=sure, lookahead_seconds=lookahead)
    return PeopleTracker(config, parts=part_table(detector))


def part_table(detector: Detector) -> PartTable | None:
    """Which part of the body an embedding of this detector belongs to; None if its surface is not the package's."""
    network = surface_network(detector)
    if network is None:
        return None
    surface, embedding = load_surface(), network.vertex_embedding.detach().float().cpu().numpy()
    if len(embedding) != len(surface.landmarks) or network.config.surface != surface.name:
        return None
    return PartTable(embedding, surface.landmark_parts, surface.name)


def detect(frames: Iterable[Frame], detector: Detector) -> Iterator[tuple[Frame, Detections]]:
    """Find the people of each frame, a batch of frames at a time."""
    waiting = iter(frames)
    while batch := list(islice(waiting, BATCH)):
        yield from zip(batch, detector.detect([frame.image for frame in batch]), strict=True)


def follow(
    frames: Iterable[Frame], detector: Detector, tracker: Tracker, options: Options, *, find: Find = detect
) -> Iterator[tuple[Frame, Tracks]]:
    """Find the people of each frame, or of each n-th, and follow them through all; number plates too if asked for."""
    every = options.detect.detect_every
    skipped = SkippedFrames(every) if every > 1 else None
    found = find(frames if skipped is None else skipped.thin(frames), detector)
    if options.detect.plates:
        plates = PlateTracker(SURE_PLATE, lookahead_seconds=options.track.lookahead)
        tracked = plates.join(tracker.track(plates.watch(found)))
    else:
        tracked = tracker.track(found)
    return tracked if skipped is None else skipped.fill(tracked)


def compose(tracked: Iterable[tuple[Frame, Tracks]], composers: Sequence[Composer]) -> Iterator[tuple[Frame, Tracks]]:
    """Draw the frames, one composer after the other; several frames at once where a composer likes that.

    What must be covered is made here, once, and is the same for all composers; and what stands behind it.
    """
    covered = ((frame, tracks, covers_of(tracks)) for frame, tracks in tracked)
    batchers = [composer for composer in composers if isinstance(composer, BatchComposer)]
    in_batches = len(batchers) > 0
    waiting = with_backgrounds(expected(covered, batchers)) if in_batches else covered
    while batch := list(islice(waiting, BATCH if in_batches else 1)):
        frames, tracks, covers = (list(column) for column in zip(*batch, strict=True))
        for composer in composers:
            if isinstance(composer, BatchComposer):
                frames = composer.compose_batch(frames, tracks, covers)
            else:
                frames = [composer.compose(*each) for each in zip(frames, tracks, covers, strict=True)]
        yield from zip(frames, tracks, strict=True)


def expected(covered: Iterable[Covered], composers: Sequence[BatchComposer]) -> Iterator[Covered]:
    """Tell composers of frames that are about to wait."""
    for each in covered:
        for composer in composers:
            composer.expect(*each[1:])
        yield each


def write(
    drawn: Iterable[tuple[Frame, Tracks]],
    writer: FilmWriter | SequenceWriter,
    tally: Tally,
    expected: int | None,
    progress: Progress | None = None,
    observe: Observe | None = None,
) -> None:
    """Write the frames, counting them, and tell of each."""
    for frame, tracks in drawn:
        writer.write(frame)
        shown = tally.outgoing(tracks)
        if observe:
            observe(frame, shown)
        if progress:
            progress(tally.frames, expected)
    tally.check()


def read_region_options(options: RenderOptions) -> tuple[tuple[Region, ...], tuple[Region, ...]]:
    """The regions that are always covered, and those that are never covered.

    Raises:
        AnonymizeError: A file makes no sense.
    """
    always, never = options.always_cover, options.never_cover
    return (() if always is None else read_regions(always)), (() if never is None else read_regions(never))


def _composers(
    options: Options, detector: Detector, device: torch.device, own: Composer | None
) -> tuple[list[Composer], list[str]]:
    """Who draws, in order, and warnings."""
    composer, warnings = (own, []) if own else build_composer(options.draw, detector, device)
    return ([composer, OverlayComposer()] if options.render.overlay else [composer]), warnings


class Tally:
    """Counts what comes in and goes out."""

    def __init__(self) -> None:
        self.frames = 0
        self._read = 0
        self._with_people = 0
        self._ids: set[int] = set()
        self._plates: set[int] = set()

    def incoming(self, film: FilmReader | SequenceReader) -> Iterator[Frame]:
        """The frames of a film, which have one size: stages compare frames."""
        for frame in film:
            check_size(frame, film.info.size_hw)
            self._read += 1
            yield frame

    def outgoing(self, tracks: Tracks) -> Tracks:
        """Count a frame; returns its people and plates, without regions that are covered in any case."""
        shown = tracks if (tracks.ids >= 0).all() else tracks[tracks.ids >= 0]
        self.frames += 1
        self._with_people += not shown.plates.all()
        self._ids.update(shown.ids[(shown.ids > 0) & ~shown.plates].tolist())
        self._plates.update(shown.ids[shown.plates].tolist())
        return shown

    def check(self) -> None:
        """No stage may lose a frame, whatever the reason."""
        if self.frames != self._read:
            raise AnonymizeError(f"{self._read} frames were read but {self.frames} came out")

    def summary(
        self,
        output: Path | str,
        began: float,
        corrupt_frames: int = 0,
        warnings: Sequence[str] = (),
        stripped: Sequence[str] = (),
    ) -> Summary:
        return Summary(
            output=Path(output),
            frames=self.frames,
            frames_with_people=self._with_people,
            people=len(self._ids),
            corrupt_frames=corrupt_frames,
            seconds=time.monotonic() - began,
            warnings=tuple(warnings),
            stripped=tuple(stripped),
            plates=len(self._plates),
        )
