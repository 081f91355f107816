"""The public functions: keywords in, option classes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anonymize.compose import Composer
from anonymize.core.device import DeviceName
from anonymize.core.modes import Mode
from anonymize.detect.predictor import Detector
from anonymize.options import (
    Audio,
    DetectOptions,
    DrawOptions,
    EncodeOptions,
    Options,
    ReadOptions,
    RenderOptions,
    TrackOptions,
)
from anonymize.pipeline import Find, Observe, Progress, Summary, process_film, process_image
from anonymize.track import Tracker
from anonymize.two_pass import detect_pass, render_pass

__all__ = ["Summary", "anonymize_image", "anonymize_video", "detect_film", "render_film"]


def anonymize_video(
    source: Path | str,
    output: Path | str,
    *,
    mode: Mode | None = None,
    color: str | None = None,
    truncation: float | None = None,
    multi_modal: bool = False,
    identity: Sequence[Path | str] = (),
    seed: int | None = None,
    weights: str | Path = DrawOptions.weights,
    detector_weights: str | Path | None = None,
    score: float | None = None,
    detect_every: int = DetectOptions.detect_every,
    plates: bool = False,
    lookahead: float = TrackOptions.lookahead,
    device: DeviceName = "auto",
    codec: str = EncodeOptions.codec,
    crf: int = EncodeOptions.crf,
    preset: str | None = None,
    audio: Audio = EncodeOptions.audio,
    keep_metadata: bool = False,
    start: float | None = None,
    end: float | None = None,
    tolerate_corrupt: bool = False,
    sequence: bool = False,
    fps: float | None = None,
    always_cover: Path | str | None = None,
    never_cover: Path | str | None = None,
    overlay: bool = False,
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
        source: The film.
        output: The result; its suffix chooses the container.
        mode: "avatar" puts a rendered person in each one's place, "generate" a generated one; "blur", "pixelate" and
            "solid" cover. None for "avatar", or for "generate" where `weights` are a generator's.
        color: Colour of "solid", RRGGBB; None for black.
        truncation: Of "generate" and "avatar", in [0, 1]: 1 for the most diverse people, 0 for one look; None for the
            default.
        multi_modal: Of both: the truncation pulls toward the nearest of some typical looks, not toward one.
        identity: Of both, pictures: people take the looks of their most prominent persons in turn, in order of
            appearance.
        seed: Of both: same seed, same looks; None for 0.
        weights: Of "generate": "embedded", "zoo" or the path of the generator's weights.
        detector_weights: "embedded" or another name or path that `build_detector` knows; None for what goes with
            `weights`.
        always_cover: File of regions that are covered whatever is there, see docs/tracks-file.md.
        never_cover: File of regions such as posters: detections that lie wholly inside are ignored.
        overlay: Draw boxes, outlines, IDs and scores over the result, for checking.
        score: Lowest score of a detection, in [0, 1]; None for the default of the weights.
        detect_every: Of so many frames the detector looks at one, and people are carried over to the others.
        plates: Cover number plates too, each in one colour.
        lookahead: How long frames wait for what comes after them, in seconds, so that gaps are filled; 0 fills none.
        device: "auto", "cpu", "cuda" or "mps".
        codec: Video encoder, such as "libx264".
        crf: Constant quality of the encoder, lower is better.
        preset: Speed preset of the encoder; None for its default.
        audio: "copy" or "drop"; "disguise" changes the voices by amounts that are drawn anew each time.
        keep_metadata: Keep metadata that may identify (place, device, time).
        start: Where to begin, in seconds.
        end: Where to stop, in seconds.
        overwrite: Replace an existing output.
        tolerate_corrupt: Drop frames that cannot be decoded instead of failing.
        sequence: `source` is a folder, and the pictures right in it are the frames; `output` is the folder of theirs.
        fps: Of a sequence, pictures per second; None for 10.
        tracks: Write who was found where into this file: .json or .json.gz to edit and render, .txt for MOTChallenge,
            .coco.json for COCO.
        detector: Finds the people; None for that of `detector_weights`.
        tracker: Follows them; None for the default.
        composer: Draws them; None for what `mode` and the options after it say.
        find: The stage around the detector; None for `detect`.
        progress: Called with the frames written and the expected number of frames, None where that is unknown.
        observe: Called with each frame as it is written and the people in it.

    Raises:
        AnonymizeError: With one line for the user.
    """
    options = Options(
        draw=DrawOptions(
            mode=mode,
            color=color,
            truncation=truncation,
            multi_modal=multi_modal,
            identity=tuple(map(Path, identity)),
            seed=seed,
            weights=str(weights),
        ),
        detect=DetectOptions(
            detector_weights=_text(detector_weights), score=score, detect_every=detect_every, plates=plates
        ),
        track=TrackOptions(lookahead=lookahead),
        encode=EncodeOptions(codec=codec, crf=crf, preset=preset, audio=audio, keep_metadata=keep_metadata),
        read=ReadOptions(start=start, end=end, tolerate_corrupt=tolerate_corrupt, sequence=sequence, fps=fps),
        render=RenderOptions(always_cover=_path(always_cover), never_cover=_path(never_cover), overlay=overlay),
        device=device,
    )
    return process_film(
        source,
        output,
        options,
        tracks=tracks,
        overwrite=overwrite,
        detector=detector,
        tracker=tracker,
        composer=composer,
        find=find,
        progress=progress,
        observe=observe,
    )


def anonymize_image(
    source: Path | str,
    output: Path | str,
    *,
    mode: Mode | None = None,
    color: str | None = None,
    truncation: float | None = None,
    multi_modal: bool = False,
    identity: Sequence[Path | str] = (),
    seed: int | None = None,
    weights: str | Path = DrawOptions.weights,
    detector_weights: str | Path | None = None,
    score: float | None = None,
    plates: bool = False,
    device: DeviceName = "auto",
    keep_metadata: bool = False,
    always_cover: Path | str | None = None,
    never_cover: Path | str | None = None,
    overlay: bool = False,
    overwrite: bool = False,
    detector: Detector | None = None,
    tracker: Tracker | None = None,
    composer: Composer | None = None,
    observe: Observe | None = None,
) -> Summary:
    """Replace or cover every person of a picture; the arguments are those of `anonymize_video`.

    Raises:
        AnonymizeError: With one line for the user.
    """
    options = Options(
        draw=DrawOptions(
            mode=mode,
            color=color,
            truncation=truncation,
            multi_modal=multi_modal,
            identity=tuple(map(Path, identity)),
            seed=seed,
            weights=str(weights),
        ),
        detect=DetectOptions(detector_weights=_text(detector_weights), score=score, plates=plates),
        encode=EncodeOptions(keep_metadata=keep_metadata),
        render=RenderOptions(always_cover=_path(always_cover), never_cover=_path(never_cover), overlay=overlay),
        device=device,
    )
    return process_image(
        source,
        output,
        options,
        overwrite=overwrite,
        detector=detector,
        tracker=tracker,
        composer=composer,
        observe=observe,
    )


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
    weights: str | Path = DrawOptions.weights,
    detector_weights: str | Path | None = None,
    score: float | None = None,
    detect_every: int = DetectOptions.detect_every,
    plates: bool = False,
    lookahead: float = TrackOptions.lookahead,
    device: DeviceName = "auto",
    start: float | None = None,
    end: float | None = None,
    tolerate_corrupt: bool = False,
    sequence: bool = False,
    fps: float | None = None,
    overwrite: bool = False,
    detector: Detector | None = None,
    tracker: Tracker | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Find and follow the people of a film, and write a tracks file; the arguments are those of `anonymize_video`.

    Args:
        output: The tracks file, .json or .json.gz. How people are to be drawn is noted in it.

    Raises:
        AnonymizeError: With one line for the user.
    """
    options = Options(
        draw=DrawOptions(
            mode=mode,
            color=color,
            truncation=truncation,
            multi_modal=multi_modal,
            identity=tuple(map(Path, identity)),
            seed=seed,
            weights=str(weights),
        ),
        detect=DetectOptions(
            detector_weights=_text(detector_weights), score=score, detect_every=detect_every, plates=plates
        ),
        track=TrackOptions(lookahead=lookahead),
        read=ReadOptions(start=start, end=end, tolerate_corrupt=tolerate_corrupt, sequence=sequence, fps=fps),
        device=device,
    )
    return detect_pass(
        source, output, options, overwrite=overwrite, detector=detector, tracker=tracker, progress=progress
    )


def render_film(
    source: Path | str,
    tracks: Path | str,
    output: Path | str,
    *,
    always_cover: Path | str | None = None,
    never_cover: Path | str | None = None,
    overlay: bool = False,
    device: DeviceName = "auto",
    codec: str = EncodeOptions.codec,
    crf: int = EncodeOptions.crf,
    preset: str | None = None,
    audio: Audio = EncodeOptions.audio,
    keep_metadata: bool = False,
    overwrite: bool = False,
    detector: Detector | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Draw a film from its tracks file; the arguments are those of `anonymize_video`.

    Args:
        tracks: The tracks file.
        detector: Finds the people in pictures of identities; None for the one that the file names.

    Raises:
        AnonymizeError: With one line for the user. The file makes no sense, is of another film, or the film fails.
    """
    render = RenderOptions(always_cover=_path(always_cover), never_cover=_path(never_cover), overlay=overlay)
    encode = EncodeOptions(codec=codec, crf=crf, preset=preset, audio=audio, keep_metadata=keep_metadata)
    return render_pass(
        source,
        tracks,
        output,
        render=render,
        encode=encode,
        device=device,
        overwrite=overwrite,
        detector=detector,
        progress=progress,
    )


def _path(path: Path | str | None) -> Path | None:
    return None if path is None else Path(path)


def _text(path: Path | str | None) -> str | None:
    return None if path is None else str(path)
