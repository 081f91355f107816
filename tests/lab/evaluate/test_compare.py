import json
import re
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from anonymize.core.errors import MediaError, OptionError
from anonymize.core.types import Detections, RegionMask, UInt8Array
from anonymize.lab.evaluate.compare import compare, files_of, names_of
from anonymize.lab.evaluate.compare_page import write_page
from anonymize.lab.evaluate.compared import COLUMNS, Comparison, table
from anonymize.lab.evaluate.reid_network import EmbeddingNetwork
from anonymize.lab.train.box_teachers import ScoredBoxes
from anonymize.verify import MismatchError

SIZE, FRAMES, RATE = (128, 192), 12, 4
RED, GREEN, BLUE, YELLOW = (200, 60, 60), (50, 190, 70), (60, 60, 210), (200, 190, 40)


def clouds(seed: int, shape: tuple[int, int]) -> np.ndarray:
    values = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=shape).astype(np.float32), (0, 0), 2)
    return 25 * values / values.std()


def draw(number: int, colours: Sequence[tuple[int, int, int] | None], wall: int = 120) -> UInt8Array:
    """Two people in coloured cloth who walk down before a grey wall; None leaves one out."""
    image = np.repeat((wall + clouds(0, SIZE))[..., None], 3, axis=2)
    for person, colour in enumerate(colours):
        if colour is not None:
            y, x = 20 + 3 * number, 40 + 90 * person
            texture = clouds(sum(colour), (64, 28))[..., None] if max(colour) else 0
            image[y : y + 64, x : x + 28] = np.array(colour) + texture
    return np.clip(image, 0, 255).astype(np.uint8)


class Finder:
    """Finds what is coloured, on the left and on the right."""

    surface = None

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        return [self._detect(image) for image in images]

    def _detect(self, image: UInt8Array) -> Detections:
        coloured = np.ptp(image.astype(int), axis=2) > 50
        masks = []
        for half in (slice(0, 96), slice(96, None)):
            mask = np.zeros(SIZE, np.bool_)
            mask[:, half] = coloured[:, half]
            if np.count_nonzero(mask) > 500:
                masks.append(RegionMask.from_full(mask))
        count = len(masks)
        boxes = np.array([mask.box_xyxy for mask in masks], np.float32).reshape(count, 4)
        return Detections(SIZE, boxes, np.full(count, 0.9, np.float32), tuple(masks), np.zeros(count, np.bool_))


def save(path: Path, colours: Sequence[tuple[int, int, int] | None], frames: int = FRAMES, wall: int = 120) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv444p"
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(draw(number, colours, wall), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.fixture
def network() -> EmbeddingNetwork:
    """Reads the colour of the middle."""
    return EmbeddingNetwork("colour", lambda p: p[:, :, 80:180, 40:90].mean((2, 3)) - 128, imagenet=False)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    save(folder / "in.mp4", (RED, GREEN))
    shutil.copy(folder / "in.mp4", folder / "copy.mp4")
    save(folder / "others.mp4", (BLUE, YELLOW), wall=125)
    save(folder / "solid.mp4", ((0, 0, 0), (0, 0, 0)))
    return folder


@pytest.fixture(scope="module")
def found(films: Path) -> Comparison:
    network = EmbeddingNetwork("colour", lambda p: p[:, :, 80:180, 40:90].mean((2, 3)) - 128, imagenet=False)
    outputs = [films / f"{name}.mp4" for name in ("copy", "others", "solid")]
    return compare([(films / "in.mp4", outputs)], ["copy", "others", "solid"], Finder(), network, seconds=[2, 3, 4])


def test_a_copy_is_not_anonymized(found: Comparison) -> None:
    original, copy = (version.figures() for version in found.versions[:2])
    assert copy["visible"] == copy["attack_rank_1"] == copy["seen_as_people"] == 1
    assert copy["warping_error"] == original["warping_error"]
    assert copy["background_psnr"] is None, "no error at all"
    assert copy["background_ssim"] == pytest.approx(1, abs=1e-4)


def test_other_people_are_people_and_consistent_but_not_recognized(found: Comparison) -> None:
    others = found.versions[2].figures()
    assert others["visible"] == 0 and others["seen_as_people"] == 1 and others["consistency_mAP"] == 1
    assert others["attack_rank_1"] is not None and others["attack_rank_1"] <= 0.5
    assert others["background_psnr"] == pytest.approx(20 * np.log10(255 / 5), abs=0.5), (
        "the wall is 5 grey levels lighter"
    )


def test_paint_hides_and_is_no_person(found: Comparison) -> None:
    solid = found.versions[3].figures()
    assert solid["visible"] == solid["seen_as_people"] == 0
    assert solid["attack_rank_1"] is not None and solid["attack_rank_1"] <= 0.5
    assert solid["frames_per_second"] == FRAMES / 4


def test_everything_that_was_looked_at_is_counted(found: Comparison) -> None:
    assert found.frames == FRAMES and len(found.tracks) == 2
    assert [version.people for version in found.versions] == [2 * FRAMES] * 4
    assert json.loads(json.dumps(found.figures()))["versions"]["solid"]["people"] == 2 * FRAMES
    assert len(table(found).splitlines()) == 8


def test_the_page_asks_for_nothing_and_hides_the_original(found: Comparison, tmp_path: Path) -> None:
    pages = []
    for originals in (False, True):
        write_page(tmp_path / "page.html", found, Path("a<b>.mp4"), show_originals=originals)
        pages.append((tmp_path / "page.html").read_text())
    for page in pages:
        assert "a&lt;b&gt;.mp4" in page and "<script" not in page
        assert not re.search(r"(src|href)=\"(?!data:|#)", page) and "url(" not in page
        missing = [key for key, (title, _, _) in COLUMNS.items() if f"<h3>{title}" not in page]
        assert missing == ["seen_by_others", "pose_kept"], "nothing is known of these here"
    assert pages[0].count("<img") == 2 * 4 * 3 and pages[1].count("<img") == 2 * 4 * 4
    assert "none from the original" in pages[0] and "none from the original" not in pages[1]


@pytest.mark.chromium
@pytest.mark.timeout(90)
@pytest.mark.parametrize("width", [390, 1440])
def test_a_browser_shows_the_page_without_a_request(
    found: Comparison, screenshot: Callable[..., tuple[str, UInt8Array]], tmp_path: Path, width: int
) -> None:
    write_page(tmp_path / "page.html", found, Path("in.mp4"), show_originals=False)
    errors, image = screenshot(tmp_path / "page.html", width)
    assert ":CONSOLE" not in errors  # the page's policy makes a complaint of every request, too
    assert image.shape[1] == width and image.std() > 5


def test_every_other_frame(films: Path, network: EmbeddingNetwork) -> None:
    found = compare([(films / "in.mp4", [films / "solid.mp4"])], ["solid"], Finder(), network, every=2)
    assert found.frames == FRAMES // 2
    assert found.versions[1].figures()["seen_by_others"] is None, "no other detector was given"
    assert found.versions[0].warping.value is not None, "the frame before is looked at for it"


def test_another_detector_may_look_too(films: Path, network: EmbeddingNetwork) -> None:
    def find(image: UInt8Array) -> ScoredBoxes:
        [found] = Finder().detect([image])
        return ScoredBoxes(found.boxes_xyxy, found.scores)

    files = [(films / "in.mp4", [films / "others.mp4", films / "solid.mp4"])]
    versions = compare(files, ["others", "solid"], Finder(), network, every=4, find=find).versions
    assert [version.figures()["seen_by_others"] for version in versions] == [1, 1, 0]


def test_pictures_of_a_folder(tmp_path: Path, network: EmbeddingNetwork) -> None:
    for name, colours in (("in", (RED, GREEN)), ("out", (None, None))):
        (tmp_path / name / "deep").mkdir(parents=True)
        for number in range(2):
            suffix = "png" if name == "in" else "bmp"
            cv2.imwrite(str(tmp_path / name / "deep" / f"{number}.{suffix}"), draw(number, colours)[..., ::-1])
    files = files_of(tmp_path / "in", [tmp_path / "out"])
    assert [source.name for source, _ in files] == ["0.png", "1.png"]
    figures = compare(files, ["out"], Finder(), network).versions[1].figures()
    assert figures["people"] == 4 and figures["visible"] == 0 and figures["attack_rank_1"] is None


def lacking(folder: Path) -> None:
    (folder / "in").mkdir()
    cv2.imwrite(str(folder / "in" / "a.png"), draw(0, (RED, GREEN)))
    (folder / "out").mkdir()


def mixed(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "out").touch()


def empty(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "out").mkdir()


@pytest.mark.parametrize(
    ("prepare", "words"),
    [(lacking, r"lacks a\.png"), (mixed, "one is a folder"), (empty, "holds no films or pictures")],
)
def test_folders_that_do_not_fit(tmp_path: Path, prepare: Callable[[Path], None], words: str) -> None:
    prepare(tmp_path)
    with pytest.raises(OptionError, match=words):
        files_of(tmp_path / "in", [tmp_path / "out"])


def test_a_missing_output(films: Path) -> None:
    with pytest.raises(MediaError, match="No such file"):
        files_of(films / "in.mp4", [films / "nothing.mp4"])


def test_a_missing_frame_is_told(films: Path, tmp_path: Path, network: EmbeddingNetwork) -> None:
    short = save(tmp_path / "short.mp4", (None, None), FRAMES - 1)
    with pytest.raises(MismatchError, match="frame is missing"):
        compare([(films / "in.mp4", [films / "solid.mp4", short])], ["a", "b"], Finder(), network)


def test_names_tell_outputs_apart() -> None:
    assert names_of([Path("a/x.mp4"), Path("b/x.mp4")], ()) == ["a/x.mp4", "b/x.mp4"]
    assert names_of([Path("a/x.mp4")], ["ours"]) == ["ours"]
    for outputs, names in (
        ([Path("a"), Path("b")], ["one"]),
        ([Path("a"), Path("b")], ["x", "x"]),
        ([Path("original")], []),
    ):
        with pytest.raises(OptionError):
            names_of(outputs, names)
