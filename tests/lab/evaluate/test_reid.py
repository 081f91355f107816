import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from anonymize.compose import CoverComposer
from anonymize.core.errors import OptionError, WeightsError
from anonymize.core.types import Detections, Frame, RegionMask, Tracks, UInt8Array
from anonymize.lab.evaluate import anonymizers
from anonymize.lab.evaluate.anonymizers import OTHERS, Anonymizer, Studio
from anonymize.lab.evaluate.reid import CHANCE, ORIGINAL, figures, measure, table
from anonymize.lab.evaluate.reid_network import EmbeddingNetwork, TrackerAppearance, load_reidentifier
from anonymize.lab.market1501 import GALLERY, QUERY, ReidFolder, picture_name
from anonymize.media import write_image
from anonymize.options import DrawOptions

PEOPLE, CAMERAS = 6, 2
SIZE = (64, 32)
BODY = (slice(8, 60), slice(6, 26))


class Finder:
    """Finds the one person of a picture, unless it is told to find none."""

    surface = None

    def __init__(self, blind: bool = False) -> None:
        self.blind = blind

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        mask = np.zeros(SIZE, np.bool_)
        mask[BODY] = True
        region = RegionMask.from_full(mask)
        box = np.array([region.box_xyxy], np.float32)
        one = Detections(SIZE, box, np.array([0.9], np.float32), (region,), np.zeros(1, np.bool_))
        return [Detections.empty(SIZE) if self.blind else one for _ in images]


class Tailor:
    """Paints each person in a colour of their track; keeps the tracks."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def compose(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> Frame:
        image = frame.image.copy()
        for number, cover in zip(tracks.ids.tolist(), covers, strict=True):
            self.ids.append(number)
            image[cover.slices][cover.mask] = np.random.default_rng(number).integers(0, 256, 3)
        return frame.with_edit(image, np.ones(frame.size_hw, np.bool_))


def mean_colour(pictures: np.ndarray) -> np.ndarray:
    """Reads the colour of the middle, BGR in [0, 255], less the mean grey."""
    return pictures[:, :, 100:200, 40:80].mean((2, 3)) - 128


@pytest.fixture
def network() -> EmbeddingNetwork:
    return EmbeddingNetwork("colour", mean_colour, imagenet=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """People of one colour each, seen by two cameras."""
    for part in (QUERY, GALLERY):
        (tmp_path / part).mkdir()
        for person in range(1, PEOPLE + 1):
            for camera in range(1, CAMERAS + 1):
                picture = np.full((*SIZE, 3), 90 + 20 * camera, np.uint8)
                picture[BODY] = np.random.default_rng([7, person]).integers(0, 256, 3)
                write_image(tmp_path / picture_name(part, person, camera, 1), Frame(picture, 0, 0, Fraction(1)))
    return tmp_path


def test_one_look_is_consistent_and_the_attack_fails(folder: Path, network: EmbeddingNetwork) -> None:
    tailor = Tailor()
    studio = Studio(Finder(), {"one": Anonymizer(tailor), "solid": Anonymizer(CoverComposer("solid"))})
    rows = measure(ReidFolder.read(folder), network, studio)["rows"]
    assert rows[ORIGINAL].consistency.mean_average_precision == 1 and rows[ORIGINAL].attack is None
    assert rows["one"].consistency.mean_average_precision == 1
    assert rows["one"].attack.mean_average_precision < 0.8
    assert rows["solid"].attack.mean_average_precision < 0.8
    assert rows[CHANCE].consistency.rank(1) == pytest.approx(1 / PEOPLE, abs=0.1)
    assert set(tailor.ids) == set(range(1, PEOPLE + 1))


def test_a_look_for_each_picture_is_not_consistent(folder: Path, network: EmbeddingNetwork) -> None:
    tailor = Tailor()
    studio = Studio(Finder(), {"new": Anonymizer(tailor, one_look=False)})
    rows = measure(ReidFolder.read(folder), network, studio)["rows"]
    assert rows["new"].consistency.mean_average_precision < 0.8
    assert len(set(tailor.ids)) == 2 * PEOPLE * CAMERAS and min(tailor.ids) >= OTHERS


def test_a_copy_is_recognized(folder: Path, network: EmbeddingNetwork, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for part in (QUERY, GALLERY):
        shutil.copytree(folder / part, copy / part)
    rows = measure(ReidFolder.read(folder), network, Studio(Finder(), {}), {"copy": copy})["rows"]
    assert rows["copy"].attack.rank(1) == 1


def test_who_is_not_found_stays_and_is_told(folder: Path, network: EmbeddingNetwork) -> None:
    studio = Studio(Finder(blind=True), {"solid": Anonymizer(CoverComposer("solid"))})
    found = measure(ReidFolder.read(folder), network, studio)
    assert found["rows"]["solid"].attack.rank(1) == 1
    assert found["without_person"] == 1
    assert "no person found in 100.0%" in table(found)


def test_what_is_made_can_be_kept_and_measured_again(folder: Path, network: EmbeddingNetwork, tmp_path: Path) -> None:
    studio = Studio(Finder(), {"solid": Anonymizer(CoverComposer("solid"))})
    read = ReidFolder.read(folder)
    made = measure(read, network, studio, keep=tmp_path / "out")["rows"]["solid"]
    again = measure(read, network, Studio(Finder(), {}), {"solid": tmp_path / "out" / "solid"})["rows"]["solid"]
    assert again.attack.mean_average_precision == pytest.approx(made.attack.mean_average_precision, abs=0.1)
    picture = cv2.imread(str(tmp_path / "out" / "solid" / read.query.names[0]))
    assert picture is not None and picture[BODY].max() < 30


def test_a_folder_that_lacks_pictures_is_refused(folder: Path, network: EmbeddingNetwork, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionError, match=r"lacks query/0001_c1s1_000001_01\.jpg and 23 more"):
        measure(ReidFolder.read(folder), network, Studio(Finder(), {}), {"empty": tmp_path / "empty"})


def test_figures_and_table_say_the_same(folder: Path, network: EmbeddingNetwork) -> None:
    found = measure(ReidFolder.read(folder), network, Studio(Finder(), {}))
    assert figures(found)["rows"][ORIGINAL]["consistency"]["mAP"] == 1
    assert figures(found)["rows"][ORIGINAL]["attack"] is None
    assert "| original | 100.0 | 100.0 | 100.0 | 100.0 | - | - | - | - |" in table(found)


def test_the_trackers_appearance_tells_colours_apart() -> None:
    pictures = []
    for colour in ((200, 30, 30), (30, 30, 200), (195, 40, 30)):
        picture = np.full((*SIZE, 3), 120, np.uint8)
        picture[BODY] = colour
        pictures.append(picture)
    for blind in (False, True):
        appearance = TrackerAppearance(Finder(blind))
        seen = appearance.describe(pictures)
        distances = appearance.distances(seen, seen)
        assert distances[0, 2] < distances[0, 1] / 3


def export(path: Path, module: torch.nn.Module) -> Path:
    torch.onnx.export(module, (torch.zeros(1, 3, 32, 16),), str(path), dynamo=False)
    return path


@pytest.mark.filterwarnings("ignore")
def test_onnx_and_openvino_see_what_they_were_trained_on(tmp_path: Path) -> None:
    """The mean of each channel: RGB normalised for ONNX, BGR in [0, 255] for OpenVINO."""
    pytest.importorskip("onnxruntime")
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    path = export(tmp_path / "mean.onnx", torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()))
    picture = np.full((64, 32, 3), (255, 0, 0), np.uint8)
    expected = (np.array([1, 0, 0]) - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    found = load_reidentifier(path).describe([picture, picture])
    np.testing.assert_allclose(found, np.tile(expected / np.linalg.norm(expected), (2, 1)), atol=1e-3)
    openvino.save_model(openvino.convert_model(str(path)), str(tmp_path / "mean.xml"))
    found = load_reidentifier(tmp_path / "mean.xml").describe([picture, picture])
    np.testing.assert_allclose(found, np.tile([0, 0, 1], (2, 1)), atol=1e-3)


@pytest.mark.parametrize("name", ["x.onnx", "x.xml", "x.pth", "x.zip", "missing.onnx"])
def test_a_broken_network_is_one_clear_line(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    if name != "missing.onnx":
        (tmp_path / name).write_bytes(b"<net>nothing</net>")
    with pytest.raises(WeightsError) as caught:
        load_reidentifier(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_generate_is_the_generator_and_no_avatar(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def make(options: DrawOptions, *_: object) -> SimpleNamespace:
        asked.append(options.mode)
        return SimpleNamespace(surface=None)

    monkeypatch.setattr(anonymizers, "make_generator", make)
    built = anonymizers.build_anonymizers(["generate", "blur"], Finder(), torch.device("cpu"), "embedded")  # type: ignore[arg-type]
    assert asked == ["generate"] and list(built) == ["generate", "new z each", "blur"]
    assert not built["new z each"].one_look
