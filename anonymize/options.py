"""The options: type, default, range and help of each one stand here, once.

The command line makes its options of the fields of these classes (`cli/spread.py`), the functions of `anonymize.api`
take them as keywords, and everything behind takes the classes, which have no slots, so that `EncodeOptions.crf` is the
default. Needs no torch.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from anonymize.core.device import DeviceName
from anonymize.core.errors import AnonymizeError, OptionError
from anonymize.core.formats import cut_of
from anonymize.core.modes import COVERING, REPLACING, CoverMode, Mode, parse_color
from anonymize.detect.names import EMBEDDED, detector_for

Audio = Literal["copy", "drop", "disguise"]
EngineName = Literal["local", "ray"]

Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class Flag:
    """How an option looks on the command line, and the range of its values.

    Attributes:
        help: One line for the plain command.
        names: Such as "-t", "--truncation"; empty for the name of the field.
        brief: A shorter line for `anonymize detect` and `anonymize render`; None where `help` fits.
        metavar: Stands for the value; None for the type.
        least: Lowest value; None for any.
        most: Highest value, only with `least`; None for any.
    """

    help: str
    names: tuple[str, ...] = ()
    brief: str | None = None
    metavar: str | None = None
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """A field of an option class.

    Attributes:
        name: Of the field.
        type: Without the flag.
        default: Value without the option.
        flag: Its place on the command line.
    """

    name: str
    type: Any
    default: Any
    flag: Flag

    def check(self, value: Any) -> None:
        """Refuse a value that is not one of the choices or out of range.

        Raises:
            OptionError: With the values that are supported.
        """
        if value is None:
            return
        kinds = [self.type, *get_args(self.type)]  # An option that may be None has its type inside.
        choices = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), None)
        if choices is not None and value not in choices:
            raise OptionError(f"{self.name} {value!r} is not one of {', '.join(choices)}")
        least, most = self.flag.least, self.flag.most
        if least is not None and most is not None and not least <= value <= most:
            raise OptionError(f"{self.name} must be in [{least}, {most}], got {value:g}")
        if isinstance(value, float) and not isfinite(value):
            raise OptionError(f"{self.name} must be a number, got {value:g}")
        if least is not None and value < least:
            limit = "not be negative" if least == 0 else f"be at least {least}"
            raise OptionError(f"{self.name} must {limit}, got {value:g}")


def options_of(group: type) -> tuple[Option, ...]:
    """The options of a class, in order; fields without a flag are none."""
    hints = get_type_hints(group, include_extras=True)
    found = []
    for each in fields(group):
        if get_origin(hints[each.name]) is Annotated:
            kind, flag = get_args(hints[each.name])
            found.append(Option(each.name, kind, each.default, flag))
    return tuple(found)


def _check(group: Any) -> None:
    for option in options_of(type(group)):
        option.check(getattr(group, option.name))


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """How people are drawn. Where an option is None, its default holds; one that does not fit the mode is refused.

    Attributes:
        mode: "avatar" replaces people by rendered ones, "generate" by generated ones; "blur", "pixelate" and "solid"
            cover them. None becomes "generate" where the weights are a generator's, else "avatar".
        color: RRGGBB, of "solid".
        truncation: In [0, 1], of "generate" and "avatar": 1 for the most diverse people, 0 for one look.
        multi_modal: Of both: the truncation pulls toward the nearest of some typical looks, not toward one.
        identity: Pictures, of both without truncation: people take the looks of their most prominent persons in
            turn.
        seed: Of the looks of both.
        weights: "embedded", "zoo" or the path of the generator's weights file.

    Raises:
        OptionError: Options contradict each other or have a value that is not supported.
    """

    mode: Annotated[
        Mode | None,
        Flag(
            "A rendered person for each (the default), a generated one, or a cover; none can be undone.",
            brief="How all are to be drawn, as of the plain command.",
        ),
    ] = None
    color: Annotated[
        str | None,
        Flag(
            "Colour of --mode solid; black without it.",
            brief="Colour of --mode solid.",
            metavar="RRGGBB",
        ),
    ] = None
    truncation: Annotated[
        float | None,
        Flag(
            "Of --mode generate and avatar, without --identity: 1 diverse people, 0 all alike.",
            names=("-t", "--truncation"),
            brief="Of --mode generate, without --identity: diversity.",
            least=0,
            most=1,
        ),
    ] = None
    multi_modal: Annotated[
        bool,
        Flag(
            "Of --truncation, without --identity: pull toward typical looks, not toward one for all.",
            brief="Of --truncation, without --identity: toward typical looks.",
        ),
    ] = False
    identity: Annotated[
        tuple[Path, ...],
        Flag(
            "Of --mode generate and avatar, without -t, --multi-modal: people look like its person, or theirs.",
            brief="Of --mode generate, without -t, --multi-modal: looks.",
            metavar="PICTURE",
        ),
    ] = ()
    seed: Annotated[
        int | None,
        Flag(
            "Of --mode generate and avatar: same seed, same looks; else 0. Of an --identity only fine noise.",
            brief="Of --mode generate: same seed, same looks; of --identity fine noise only.",
            least=0,
        ),
    ] = None
    weights: Annotated[
        str,
        Flag(
            "Networks; a PATH is the generator's weights.",
            brief="Networks.",
            metavar="embedded|zoo|PATH",
        ),
    ] = EMBEDDED

    def __post_init__(self) -> None:
        _check(self)
        if self.mode is None:
            object.__setattr__(self, "mode", "avatar" if self.weights == EMBEDDED else "generate")
        if self.color is not None:
            parse_color(self.color)
            if self.mode != "solid":
                raise OptionError(f"a colour is for mode solid, not {self.mode}")
        if self.mode == "avatar" and self.weights_file is not None:
            raise OptionError("a generator's weights file is for mode generate, not avatar")
        if not self.replaces:
            for given, name in (
                (self.truncation is not None, "a truncation"),
                (bool(self.identity), "an identity"),
                (self.seed is not None, "a seed"),
                (self.multi_modal, "multi-modal truncation"),
                (self.weights_file is not None, "a generator's weights file"),
            ):
                if given:
                    raise OptionError(f"{name} is for mode generate, not {self.mode}")

    @property
    def cover(self) -> CoverMode:
        """How those are covered who cannot be generated."""
        return next((mode for mode in COVERING if mode == self.mode), "blur")

    @property
    def replaces(self) -> bool:
        """Whether people get others in their place."""
        return self.mode in REPLACING

    @property
    def weights_file(self) -> Path | None:
        """The generator's weights file; None for a name."""
        return None if self.weights in (EMBEDDED, "zoo") else Path(self.weights)


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """How people are found.

    Attributes:
        detector_weights: Name or path of the detector, see `detect/names.py`; None for the one of the weights.
        score: Lowest score of a detection, in [0, 1]; None for the default of the weights.
        detect_every: Of so many frames the detector looks at one, and people are carried over to the others; frames
            more than a quarter of a second after the last look are looked at in any case.
        plates: Cover number plates too.
    """

    detector_weights: Annotated[
        str | None,
        Flag(
            "Detector, if it is not that of --weights: embedded, zoo, zoo:MASKS[+CSE] (zoo:mask-rcnn-x101), "
            "detectron2[:CONFIG[+CSE]] or a file; without +CSE the body surface is the embedded one.",
            names=("--detector",),
            brief="Detector, if it is not that of --weights; as of the plain command.",
            metavar="NAME|PATH",
        ),
    ] = None
    score: Annotated[
        float | None,
        Flag(
            "Lowest score of a detection. Lower finds more people and more false alarms.",
            brief="Lowest score of a detection.",
            least=0,
            most=1,
        ),
    ] = None
    detect_every: Annotated[
        int,
        Flag(
            "Look for people in each N-th frame only, and carry them over to those between: faster, less exact.",
            brief="Look for people in each N-th frame only.",
            metavar="N",
            least=1,
        ),
    ] = 1
    plates: Annotated[
        bool,
        Flag(
            "Cover number plates too, each in one colour: of what is around, or that of --mode solid.",
            brief="Find number plates too.",
            names=("--plates",),
        ),
    ] = False

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class TrackOptions:
    """How people are followed.

    Attributes:
        lookahead: How long frames wait for what comes after them, in seconds, so that gaps are filled; 0 fills none.
    """

    lookahead: Annotated[
        float,
        Flag(
            "How long frames wait, so that gaps in a track are filled.",
            brief="How long frames wait.",
            metavar="SECONDS",
            least=0,
        ),
    ] = 1.0

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """How the result is written. Whether encoder, quality and preset go together is checked by the writer.

    Attributes:
        codec: Video encoder.
        crf: Constant quality of the encoder, lower is better.
        preset: Speed preset of the encoder; None for its default.
        audio: "copy" keeps the packets of the sound, "drop" leaves them out, "disguise" changes the voices by amounts
            that are drawn anew each time.
        keep_metadata: Keep metadata that may identify (place, device, time).
    """

    codec: Annotated[
        str, Flag("Video encoder: libx264, libx265, libsvtav1, libvpx-vp9, h264_nvenc.", brief="Video encoder.")
    ] = "libx264"
    crf: Annotated[int, Flag("Constant quality of the encoder, lower is better.", least=0, most=63)] = 18
    preset: Annotated[str | None, Flag("Speed preset of the encoder.")] = None
    audio: Annotated[Audio, Flag("Sound: the same packets, none, or with other voices.")] = "copy"
    keep_metadata: Annotated[bool, Flag("Keep place, device and time in the file.")] = False

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Which frames of a film are read.

    Attributes:
        start: Where to begin, in seconds; None for its beginning.
        end: Where to stop, in seconds; None for its end.
        tolerate_corrupt: Drop frames that cannot be decoded instead of failing.
        sequence: The input is a folder whose pictures are the frames of a film; each folder in it is another one.
        fps: Pictures per second of a sequence; None for 10.
    """

    start: Annotated[float | None, Flag("Begin here.", metavar="SECONDS", least=0)] = None
    end: Annotated[float | None, Flag("Stop here.", metavar="SECONDS", least=0)] = None
    tolerate_corrupt: Annotated[
        bool,
        Flag(
            "Drop frames that cannot be decoded instead of failing.",
            brief="Drop frames that cannot be decoded.",
        ),
    ] = False
    sequence: Annotated[
        bool,
        Flag(
            "The numbered pictures of a folder are one film, those of each folder in it another.",
            brief="The film is a folder of numbered pictures.",
        ),
    ] = False
    fps: Annotated[float | None, Flag("Of --sequence: pictures per second; else 10.", metavar="RATE", least=0)] = None

    def __post_init__(self) -> None:
        _check(self)
        cut_of(self.start, self.end)
        if self.fps is not None and not self.sequence:
            raise OptionError("a rate (--fps) is for pictures as a film (--sequence)")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise OptionError(f"fps must be above 0, got {self.fps:g}")


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """What is drawn beside the tracks, and what is left out. A tracks file does not hold it.

    Attributes:
        always_cover: File of regions that are covered whatever is there, see docs/tracks-file.md.
        never_cover: File of regions such as posters: detections that lie wholly inside are ignored.
        overlay: Draw boxes, outlines, IDs and scores over the result, for checking.
    """

    always_cover: Annotated[
        Path | None,
        Flag(
            "Cover these regions in any case (JSON).",
            brief="Cover these regions in any case.",
            metavar="REGIONS",
        ),
    ] = None
    never_cover: Annotated[
        Path | None,
        Flag(
            "Ignore detections that lie wholly inside these regions (a poster).",
            brief="Ignore detections that lie wholly inside these regions.",
            metavar="REGIONS",
        ),
    ] = None
    overlay: Annotated[
        bool,
        Flag(
            "Draw boxes, outlines, IDs and scores over the result.",
            brief="Draw boxes, outlines, IDs and scores on top.",
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class ReviewOptions:
    """How the page of `anonymize review` is served.

    Attributes:
        port: Of 127.0.0.1; 0 for a free one.
        no_browser: Print the address only.
    """

    port: Annotated[int, Flag("Port on this machine; 0 for a free one.", least=0, most=65535)] = 0
    no_browser: Annotated[bool, Flag("Print the address, and open no browser.")] = False

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """How the files of a folder are shared out.

    Attributes:
        workers: Processes at once; for Ray, files at once at most, where 1 means as many as the cluster has room for.
        engine: "local" or "ray".
        ray_address: Of a running cluster; None starts one on this machine.
        gpus_per_worker: GPUs that Ray keeps for each file.
        copy_others: Copy files that are neither film nor picture.
    """

    workers: Annotated[int, Flag("Of a folder: files at once, each in a process of its own.", metavar="N", least=1)] = 1
    engine: Annotated[EngineName, Flag("Of a folder: who works, this machine or a Ray cluster.")] = "local"
    ray_address: Annotated[
        str | None, Flag("Of a running Ray cluster; one is started without it.", metavar="ADDRESS")
    ] = None
    gpus_per_worker: Annotated[
        float, Flag("GPUs, or a part of one, that Ray keeps for each file.", metavar="GPUS", least=0)
    ] = 0
    copy_others: Annotated[bool, Flag("Of a folder: copy what is neither film nor picture.")] = False

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All that a result depends on beside the input, and the device that computes it.

    Attributes:
        draw, detect, track, encode, read, render: The groups.
        device: "auto", "cpu", "cuda" or "mps".
        detector: Name or path of the detector: the one asked for, or the one that goes with the generator's weights.

    Raises:
        OptionError: Options of different groups contradict each other, or there is no such detector.
    """

    draw: DrawOptions = field(default_factory=DrawOptions)
    detect: DetectOptions = field(default_factory=DetectOptions)
    track: TrackOptions = field(default_factory=TrackOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    render: RenderOptions = field(default_factory=RenderOptions)
    device: DeviceName = "auto"
    detector: str = field(init=False)

    def __post_init__(self) -> None:
        # Not a rule of DrawOptions: older tracks files may hold both, and are read.
        if self.draw.identity and (self.draw.truncation is not None or self.draw.multi_modal):
            raise OptionError("an identity stays as it is: it cannot go with a truncation or --multi-modal")
        generates = self.draw.mode == "generate"
        detector = detector_for(self.draw.weights, self.detect.detector_weights, generates=generates)
        object.__setattr__(self, "detector", detector)

    def values(self) -> dict[str, Any]:
        """Name and value of every option but the device, by the names of `anonymize.api`; files are paths."""
        groups = (self.draw, self.detect, self.track, self.encode, self.read, self.render)
        found = {option.name: getattr(group, option.name) for group in groups for option in options_of(type(group))}
        return found | {
            "detector_weights": self.detector,
            "weights": self.draw.weights_file or self.draw.weights,
        }

    def absolute(self) -> Options:
        """The same with paths that other processes and machines can follow."""

        def whole(path: Path | None) -> Path | None:
            return None if path is None else path.absolute()

        file = self.draw.weights_file
        weights = self.draw.weights if file is None else str(file.absolute())
        identity = tuple(path.absolute() for path in self.draw.identity)
        always, never = whole(self.render.always_cover), whole(self.render.never_cover)
        return replace(
            self,
            draw=replace(self.draw, weights=weights, identity=identity),
            render=replace(self.render, always_cover=always, never_cover=never),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOptions:
    """The options that a tracks file holds, so that `anonymize render` goes on where `anonymize detect` ended."""

    draw: DrawOptions
    detect: DetectOptions
    read: ReadOptions

    @classmethod
    def of(cls, options: Options) -> StoredOptions:
        """What is stored of the options; the detector by its name."""
        detect = replace(options.detect, detector_weights=options.detector)
        return cls(draw=options.draw, detect=detect, read=options.read)

    @property
    def detector(self) -> str:
        """Name or path of the detector."""
        return self.detect.detector_weights or EMBEDDED

    def to_json(self, folder: Path) -> dict[str, Any]:
        """The options as JSON values, pictures as seen from the folder of the tracks file."""
        return {
            "mode": self.draw.mode,
            "color": self.draw.color,
            "truncation": self.draw.truncation,
            "identity": [os.path.relpath(path, folder) for path in self.draw.identity],
            "seed": self.draw.seed,
            "weights": self.draw.weights,
            "multi_modal": self.draw.multi_modal,
            "detector_weights": self.detect.detector_weights,
            "score": self.detect.score,
            "detect_every": self.detect.detect_every,
            "plates": self.detect.plates,
            "start": self.read.start,
            "end": self.read.end,
            "tolerate_corrupt": self.read.tolerate_corrupt,
            **({"sequence": True, "fps": self.read.fps} if self.read.sequence else {}),
        }

    @classmethod
    def from_json(cls, settings: Mapping[str, Any], file: Path) -> StoredOptions:
        """The options of a tracks file; `multi_modal`, `detect_every` and `plates` are missing in older ones, and what
        is of sequences in films'.

        Raises:
            AnonymizeError: One is missing, unknown or of another type.
            OptionError: Options contradict each other or have a value that is not supported.
        """
        later = {"multi_modal": False, "detect_every": 1, "plates": False, "sequence": False, "fps": None}
        left = later | dict(settings)

        def take(group: type[Group]) -> Group:
            return group(**{option.name: left.pop(option.name) for option in options_of(group)})

        try:
            left["identity"] = tuple(file.parent / path for path in left["identity"])
            stored = cls(draw=take(DrawOptions), detect=take(DetectOptions), read=take(ReadOptions))
        except KeyError as error:
            raise AnonymizeError(f"{file}, settings: {error} is missing") from error
        except TypeError as error:
            raise AnonymizeError(f"{file}, settings: {error}") from error
        if left:
            raise AnonymizeError(f"{file}, settings: there is no option {', '.join(left)}")
        return stored
