"""The page in a browser: what is clicked and typed is found in the saved tracks file and in the rendered film."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from anonymize.core.types import RegionMask
from anonymize.review.server import ReviewServer
from anonymize.review.session import Review
from anonymize.tracksfile import rle
from anonymize.tracksfile.header import hash_of
from tests.review.browser import CHROMIUM, Browser
from tests.review.conftest import SIZE_HW, Program, make_film, make_tracks, mark, place

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.timeout(240),
]
MAGENTA = (255, 0, 255)
Serve = Callable[[Review], ReviewServer]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as page:
        yield page


def read(path: Path) -> np.ndarray:
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def painted(image: np.ndarray, left: float, top: float, width: int, height: int) -> float:
    """Share of a rectangle, less two pixels at its rim, that is in the cover's colour."""
    part = image[round(top) + 2 : round(top) + height - 2, round(left) + 2 : round(left) + width - 2]
    return float((np.abs(part.astype(int) - MAGENTA).max(axis=2) < 60).mean())


def on_film(browser: Browser, x: float, y: float) -> list[float]:
    """Where a pixel of the film is in the page."""
    left, top, wide, high = browser.evaluate(
        "(({x, y, width, height}) => [x, y, width, height])(document.getElementById('film').getBoundingClientRect())"
    )
    scale = min(wide / SIZE_HW[1], high / SIZE_HW[0])
    return [left + (wide - SIZE_HW[1] * scale) / 2 + x * scale, top + (high - SIZE_HW[0] * scale) / 2 + y * scale]


def pick(browser: Browser, track: int) -> None:
    browser.click(f"#row-track-{track} .name")
    browser.wait(f"document.getElementById('name').textContent === 'Track {track}'")


def go(browser: Browser, frame: int) -> None:
    browser.key("Home")
    for _ in range(frame):
        browser.key("ArrowRight")
    browser.wait(f"document.getElementById('number').value === '{frame}'")


def save(browser: Browser) -> None:
    browser.key("Control+s")
    browser.wait("document.getElementById('status').textContent.endsWith('is saved')")


def wait_actions(browser: Browser, *actions: str) -> None:
    """Until the timeline shows these actions of tracks 1, 2 and so on; it is drawn with the next picture."""
    for track, action in enumerate(actions, 1):
        browser.wait(f"document.getElementById('row-track-{track}')?.dataset.action === '{action}'")


def wait_rows(browser: Browser, count: int) -> None:
    browser.wait(f"document.querySelectorAll('.row').length === {count}")


def draw_box(browser: Browser, box: tuple[float, float, float, float]) -> None:
    browser.key("r")
    browser.drag(on_film(browser, *box[:2]), on_film(browser, *box[2:]))


def test_from_the_film_to_the_result(street: tuple[Path, Path], serve: Serve, browser: Browser) -> None:
    film, tracks = street
    server = serve(Review(film=film, tracks=tracks))
    browser.open(server.address)
    pick(browser, 1)
    browser.click('[data-action="drop"]')
    pick(browser, 2)
    browser.key("k")
    pick(browser, 3)
    browser.key("b")
    wait_actions(browser, "drop", "keep", "blur", "solid", "solid")

    go(browser, 5)
    left, top = mark(5)
    draw_box(browser, (left, top, left + 40, top + 40))
    browser.wait("document.getElementById('name').textContent === 'Box 1'")
    browser.key("f")  # its span is two seconds: frames 5 to 25
    browser.wait("document.getElementById('hint').textContent === ''")
    assert browser.evaluate("document.getElementById('banner').hidden"), "it was not lost"
    wait_rows(browser, 6)
    draw_box(browser, (250, 180, 300, 230))  # moves the box, which is undone
    browser.key("Control+z")
    browser.key("Escape")
    draw_box(browser, (250, 180, 300, 230))  # another box, which is undone
    wait_rows(browser, 7)
    browser.key("Control+z")
    wait_rows(browser, 6)
    pick(browser, 4)
    browser.key("k")
    browser.key("Control+z")
    wait_actions(browser, "drop", "keep", "blur", "solid", "solid")
    save(browser)
    content = json.loads(tracks.read_text())
    assert [each["action"] for each in content["tracks"]] == ["drop", "keep", "blur", "solid", "solid"]
    assert content["boxes"][0]["first"] == 5
    assert content["boxes"][-1]["last"] == 25
    assert all(box["action"] == "solid" for box in content["boxes"])

    browser.key("Control+Enter")
    browser.click("#start")
    browser.wait("/(^|[^f]) 30 frames/.test(document.getElementById('told').textContent)")
    original, result = read(film), read(film.with_name("street-anonymized.mp4"))
    assert result.shape == original.shape
    for number, image in enumerate(result):
        for track in (1, 2):
            x, y = place(track, number)
            same = image[y : y + 60, x : x + 24].astype(int) - original[number][y : y + 60, x : x + 24]
            assert np.abs(same).mean() < 6, (number, track)
        blurred = place(3, number)
        assert painted(image, *blurred, 24, 60) == 0
        for track in (4, 5):
            if track == 4 and 10 <= number < 15:
                continue
            assert painted(image, *place(track, number), 24, 60) > 0.95, (number, track)
        covered = painted(image, *mark(number), 40, 40)
        assert covered > 0.9 if 5 <= number <= 25 else covered == 0, number
        assert painted(image, 250, 180, 50, 50) == 0, number
    assert browser.complaints == []
    assert all(each.startswith((server.address, "data:")) for each in browser.requests)


def test_spans_split_merge_and_keys_only(street: tuple[Path, Path], serve: Serve, browser: Browser) -> None:
    film, tracks = street
    server = serve(Review(film=film, tracks=tracks))
    browser.open(server.address)
    browser.key("o")  # by time: tracks 1 to 5
    browser.key("ArrowDown")
    go(browser, 10)
    browser.key("[")
    for _ in range(4):
        browser.key("ArrowRight")
    browser.key("]")
    browser.key("k")  # frames 10 to 14 of track 1
    browser.key("Escape")
    assert browser.text("name") == "Track 6"
    pick(browser, 2)
    browser.key("x")  # from frame 14 on it is track 7
    assert browser.text("name") == "Track 7"
    browser.key("d")
    pick(browser, 3)
    browser.key("m")
    browser.click("#row-track-4 .name")
    browser.wait("!document.getElementById('banner').hidden")
    assert "both there in frames 0 to 9" in browser.text("banner")
    pick(browser, 6)
    browser.key("m")
    browser.key("ArrowDown")  # the first of the others: track 1
    browser.key("Enter")
    browser.key("b")
    browser.key("r")
    browser.key("ArrowDown")
    browser.key("Shift+ArrowRight")
    browser.key("Enter")
    browser.wait("document.getElementById('name').textContent === 'Box 1'")
    save(browser)
    content = json.loads(tracks.read_text())
    assert [(each["id"], each["action"], each["first"], each["last"]) for each in content["tracks"]] == [
        (2, "solid", 0, 13),
        (3, "solid", 0, 29),
        (4, "solid", 0, 29),
        (5, "solid", 0, 29),
        (6, "blur", 0, 29),
        (7, "drop", 14, 29),
    ]
    [box] = content["boxes"]
    assert box["box"] == [128, 76, 196, 172]
    assert browser.complaints == []


def test_a_second_tab_is_told_and_loses_nothing(
    street: tuple[Path, Path], serve: Serve, browser: Browser, tmp_path: Path
) -> None:
    film, tracks = street
    server = serve(Review(film=film, tracks=tracks))
    browser.open(server.address)
    with Browser(tmp_path / "second") as second:
        second.open(server.address)
        pick(browser, 1)
        browser.key("k")
        save(browser)
        saved = tracks.read_bytes()
        pick(second, 2)
        second.key("d")
        second.key("Control+s")
        second.wait("!document.getElementById('banner').hidden")
        assert "saved from another tab" in second.text("banner")
        assert tracks.read_bytes() == saved
        wait_actions(second, "solid", "drop")  # its edits are still there
        second.click("#banner button")
        second.wait("/tracks-copy1.json/.test(document.getElementById('banner').textContent)")
        copy = json.loads((tmp_path / "tracks-copy1.json").read_text())
        assert [each["action"] for each in copy["tracks"]] == ["solid", "drop", "solid", "solid", "solid"]
        second.open(server.address)
        wait_actions(second, "keep", "solid")  # what the first tab has saved


def test_a_film_that_is_gone(street: tuple[Path, Path], serve: Serve, browser: Browser) -> None:
    film, tracks = street
    server = serve(Review(film=film, tracks=tracks))
    browser.open(server.address)
    pick(browser, 5)
    browser.key("k")
    film.rename(film.with_name("elsewhere.mp4"))
    browser.key("End")
    browser.wait("!document.getElementById('banner').hidden")
    assert "cannot read" in browser.text("banner")
    save(browser)
    assert json.loads(tracks.read_text())["tracks"][4]["action"] == "keep"
    browser.key("Control+Enter")
    browser.click("#start")
    browser.wait("/cannot read/.test(document.getElementById('told').textContent)")
    browser.click("#render [data-does=close]")
    film.with_name("elsewhere.mp4").rename(film)
    browser.key("Home")
    browser.wait("document.getElementById('banner').hidden")


def test_the_program_has_ended(street: tuple[Path, Path], program: Program, browser: Browser) -> None:
    run, address = program(*street)
    browser.open(address)
    pick(browser, 5)
    browser.key("k")
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 0
    browser.key("Control+s")
    browser.wait("!document.getElementById('banner').hidden")
    assert "has ended" in browser.text("banner")
    wait_actions(browser, "solid", "solid", "solid", "solid", "keep")


@pytest.mark.parametrize("width", [390, 1440])
def test_300_tracks_and_20000_frames_scroll(
    width: int, big: tuple[Path, Path], serve: Serve, browser: Browser, tmp_path: Path
) -> None:
    film, tracks = big
    server = serve(Review(film=film, tracks=tracks))
    browser.resize(width, 900)
    browser.open(server.address)
    assert 5 < browser.evaluate("document.querySelectorAll('.row').length") < 60, "only rows in sight are in the page"
    assert browser.evaluate("document.getElementById('list').scrollHeight") == 300 * 44
    for top in range(0, 12_000, 1_500):
        browser.evaluate(f"document.getElementById('list').scrollTop = {top}")
        browser.wait(f"document.querySelector('[aria-posinset=\"{top // 44 + 3}\"]')")
        assert browser.evaluate("document.querySelectorAll('.row').length") < 60
    browser.evaluate("document.getElementById('list').scrollTop = 1e6")
    browser.wait("document.getElementById('row-track-300')")
    browser.wait("document.querySelector('#row-track-300 img')?.naturalWidth > 0")
    browser.key("End")
    browser.wait("document.getElementById('number').value === '19999'")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    shot = cv2.imread(str(browser.screenshot(tmp_path / "shot.png")))
    assert shot is not None
    assert shot.shape[1] == width
    assert shot.std() > 5
    assert browser.complaints == []


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A film of 20,000 frames with 300 tracks, a few of them at once."""
    folder = tmp_path_factory.mktemp("big")
    film = folder / "long.mp4"
    with av.open(film, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        base = np.add.outer(np.arange(48) * 3, np.arange(64) * 2).astype(np.uint8)
        for number in range(20_000):
            picture = np.repeat(np.roll(base, number // 40, axis=1)[..., None], 3, axis=2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return film, _many_tracks(folder / "long.json", film)


def _many_tracks(path: Path, film: Path) -> Path:
    one = make_tracks(path.with_name("one.json"), make_film(path.with_name("one.mp4"), 1), 1)
    content = json.loads(one.read_text())
    with av.open(film) as container:
        stream = container.streams.video[0]
        times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
    mask = {"size": [48, 64], "counts": rle.encode(RegionMask(20, 10, np.ones((30, 12), np.bool_)), (48, 64))}

    def entry(number: int) -> dict[str, Any]:
        here = range(max(0, (number - 180) // 66), min(299, number // 66) + 1)
        rows = [
            {
                "id": k + 1,
                "box": [20, 10, 32, 40],
                "score": 0.5 if number % 97 < 9 and k % 3 == 0 else 0.9,
                "mask": mask,
            }
            for k in here
        ]
        return {"pts": times[number], "people": rows}

    content["film"] = {"sha256": hash_of(film), "frames": 20_000, "size_hw": [48, 64]}
    content["tracks"] = [{"id": k, "action": "solid"} for k in range(1, 301)]
    content["frames"] = [entry(number) for number in range(20_000)]
    path.write_text(json.dumps(content))
    return path


def test_it_plays(street: tuple[Path, Path], serve: Serve, browser: Browser) -> None:
    browser.open(serve(Review(film=street[0], tracks=street[1])).address)
    browser.key(" ")
    browser.wait("document.getElementById('play').textContent === 'Pause'")
    browser.wait("Number(document.getElementById('number').value) > 5")
    browser.wait("document.getElementById('number').value === '29'")  # its end
    browser.wait("document.getElementById('play').textContent === 'Play'")
    assert browser.complaints == []


def test_every_key_is_told(street: tuple[Path, Path], serve: Serve, browser: Browser) -> None:
    film, tracks = street
    browser.open(serve(Review(film=film, tracks=tracks)).address)
    browser.key("?")
    browser.wait("document.getElementById('help').open")
    told = browser.text("keys")
    assert all(re.search(word, told) for word in ("undo", "redo", "save", "render", "merge", "split", "follow", "seed"))
