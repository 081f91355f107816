import inspect
import json
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from anonymize import api
from anonymize.core.errors import AnonymizeError, OptionError
from anonymize.media import open_film, open_output
from anonymize.options import (
    DetectOptions,
    DrawOptions,
    EncodeOptions,
    FolderOptions,
    Options,
    ReadOptions,
    RenderOptions,
    ReviewOptions,
    StoredOptions,
    TrackOptions,
    options_of,
)
from anonymize.track import TrackerConfig

GROUPS = (DrawOptions, DetectOptions, TrackOptions, EncodeOptions, ReadOptions, RenderOptions)


def defaults(function: Any) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


def test_every_field_has_a_flag_and_no_name_stands_twice() -> None:
    names = [option.name for group in (*GROUPS, FolderOptions, ReviewOptions) for option in options_of(group)]
    assert names == [field.name for group in (*GROUPS, FolderOptions, ReviewOptions) for field in fields(group)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("group", GROUPS)
def test_the_public_function_takes_every_option_with_its_default(group: type) -> None:
    taken = defaults(api.anonymize_video)
    for option in options_of(group):
        default = None if option.name == "mode" else option.default  # None stands for "generate".
        assert taken[option.name] == default, option.name


@pytest.mark.parametrize("function", [api.anonymize_image, api.detect_film, api.render_film])
def test_the_public_functions_agree_on_their_defaults(function: Any) -> None:
    everything = defaults(api.anonymize_video)
    for name, default in defaults(function).items():
        assert name == "tracks" or default == everything[name], name


def test_the_stages_take_the_options_with_the_same_defaults() -> None:
    for group, stage in ((EncodeOptions, open_output), (ReadOptions, open_film)):
        for option in options_of(group):
            assert defaults(stage)[option.name] == option.default, option.name
    assert TrackerConfig().lookahead_seconds == TrackOptions.lookahead


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: DrawOptions(mode="gauss"), "mode 'gauss' is not one of generate, "),  # type: ignore[arg-type]
        (lambda: DrawOptions(truncation=1.5), "truncation must be in [0, 1], got 1.5"),
        (lambda: DrawOptions(truncation=float("nan")), "truncation must be in [0, 1], got nan"),
        (lambda: DrawOptions(seed=-1), "seed must not be negative, got -1"),
        (lambda: DetectOptions(score=2), "score must be in [0, 1], got 2"),
        (lambda: DetectOptions(detect_every=0), "detect_every must be at least 1, got 0"),
        (lambda: ReadOptions(start=2, end=1), "--end 1 is not after --start 2"),
        (lambda: TrackOptions(lookahead=-1), "lookahead must not be negative, got -1"),
        (lambda: EncodeOptions(audio="loud"), "audio 'loud' is not one of copy, drop, disguise"),  # type: ignore[arg-type]
        (lambda: TrackOptions(lookahead=float("nan")), "lookahead must be a number, got nan"),
        (lambda: TrackOptions(lookahead=float("inf")), "lookahead must be a number, got inf"),
        (lambda: ReadOptions(end=-0.5), "end must not be negative, got -0.5"),
        (lambda: FolderOptions(workers=0), "workers must be at least 1, got 0"),
        (lambda: Options(detect=DetectOptions(detector_weights="zoo:moon")), "zoo:moon is no detector"),
    ],
)
def test_values_that_are_not_supported(make: Any, told: str) -> None:
    with pytest.raises(OptionError) as error:
        make()
    assert told in str(error.value)


def test_the_detector_is_the_one_of_the_weights_unless_named() -> None:
    assert Options().detector == "embedded"
    assert Options(draw=DrawOptions(weights="zoo")).detector == "zoo"
    assert Options(detect=DetectOptions(detector_weights="detectron2")).detector == "detectron2"
    with pytest.raises(OptionError, match="cannot read the embedded body surface"):
        Options(draw=DrawOptions(weights="zoo"), detect=DetectOptions(detector_weights="embedded"))


def test_options_travel_to_other_processes_with_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw = DrawOptions(identity=(Path("a.png"),), weights="g.safetensors")
    options = Options(draw=draw, render=RenderOptions(never_cover=Path("r.json"))).absolute()
    assert options.draw.identity == (tmp_path / "a.png",)
    assert options.draw.weights_file == tmp_path / "g.safetensors"
    assert options.render == RenderOptions(never_cover=tmp_path / "r.json")
    assert pickle.loads(pickle.dumps(options)) == options


def test_a_tracks_file_gives_back_the_options(tmp_path: Path) -> None:
    options = Options(
        draw=DrawOptions(identity=(tmp_path / "people" / "a.png",), seed=4, weights="zoo"),
        detect=DetectOptions(score=0.3),
        read=ReadOptions(start=1.5, tolerate_corrupt=True),
    )
    stored = StoredOptions.of(options)
    settings = json.loads(json.dumps(stored.to_json(tmp_path / "tracks")))
    assert settings["identity"] == ["../people/a.png"]
    assert settings["detector_weights"] == "zoo"
    again = StoredOptions.from_json(settings, tmp_path / "tracks" / "t.json")
    assert again.draw.identity[0].resolve() == options.draw.identity[0].resolve()
    assert (again.detect, again.read, again.draw.seed) == (stored.detect, stored.read, 4)
    del settings["multi_modal"], settings["detect_every"], settings["plates"]  # as older files
    assert StoredOptions.from_json(settings, tmp_path / "tracks" / "t.json") == again
    for change, told in (({"speed": 1}, "speed"), ({"score": "high"}, "settings")):
        with pytest.raises(AnonymizeError, match=told):
            StoredOptions.from_json(settings | change, tmp_path / "tracks" / "t.json")
    for name in settings:
        with pytest.raises(AnonymizeError, match=f"'{name}' is missing"):
            StoredOptions.from_json({k: v for k, v in settings.items() if k != name}, tmp_path / "t.json")
