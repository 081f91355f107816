"""What `--detector` may say."""

from pathlib import Path

import pytest

from anonymize.core.errors import OptionError
from anonymize.detect.names import DetectorName, detector_for


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("embedded", DetectorName("embedded")),
        ("zoo", DetectorName("zoo", "mask-rcnn-x101", "cse-r101-dl")),
        ("zoo:mask-rcnn-x101", DetectorName("zoo", "mask-rcnn-x101", "embedded")),
        ("zoo:mask-rcnn-r50+embedded", DetectorName("zoo", "mask-rcnn-r50", "embedded")),
        ("zoo:mask-rcnn-r50+cse-r50", DetectorName("zoo", "mask-rcnn-r50", "cse-r50")),
        ("detectron2", DetectorName("detectron2", "", "embedded")),
        ("detectron2:a.yaml=b.pkl", DetectorName("detectron2", "a.yaml=b.pkl", "embedded")),
        ("detectron2:+embedded", DetectorName("detectron2", "", "embedded")),
        ("detectron2:a.yaml+c.yaml", DetectorName("detectron2", "a.yaml", "c.yaml")),
        ("my/own.safetensors", DetectorName("file", "my/own.safetensors")),
        (Path("zoo"), DetectorName("file", "zoo")),
    ],
)
def test_names(name: str | Path, expected: DetectorName) -> None:
    assert DetectorName.read(name) == expected
    assert expected.uses_embedded == (expected.family != "file" and expected.surface == "embedded")


@pytest.mark.parametrize(
    "name",
    [
        "zoo:cse-r50",
        "zoo:deep-privacy2",
        "zoo:mask-rcnn-r50+",
        "zoo:mask-rcnn-r50+nobody",
        "zoo:+cse-r50",
        "detectron2:a+",
    ],
)
def test_wrong_names_are_one_line_that_tells_the_right_ones(name: str) -> None:
    with pytest.raises(OptionError, match="embedded") as caught:
        DetectorName.read(name)
    text = str(caught.value)
    assert "\n" not in text and name in text
    if name.startswith("zoo"):
        assert "mask-rcnn-x101" in text and "cse-r101-dl" in text


def test_the_weights_have_a_detector_of_their_own() -> None:
    assert detector_for("embedded", None, generates=True) == "embedded"
    assert detector_for("x.safetensors", None, generates=True) == "embedded"
    assert detector_for("zoo", None, generates=True) == "zoo"
    assert detector_for("embedded", "zoo:mask-rcnn-x101", generates=True) == "zoo:mask-rcnn-x101"
    assert detector_for("zoo", "zoo:mask-rcnn-r50+cse-r50", generates=True) == "zoo:mask-rcnn-r50+cse-r50"


@pytest.mark.parametrize("name", ["embedded", "zoo:mask-rcnn-x101", "detectron2"])
def test_the_zoo_generator_needs_the_zoo_surface(name: str) -> None:
    with pytest.raises(OptionError, match=r"zoo:MASKS\+CSE"):
        detector_for("zoo", name, generates=True)
    assert detector_for("zoo", name, generates=False) == name
