import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from anonymize.core.types import UInt8Array
from anonymize.pipeline import Summary
from anonymize.report import FilmReport, write_page
from anonymize.report.text import clock, printable

from .conftest import frame, tracks

VOID = {"meta", "link", "img", "br"}


class Checker(HTMLParser):
    """Elements closed in order, IDs that are unique, and all that a browser would follow."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.references: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        values = dict(attrs)
        assert len(values) == len(attrs), f"an attribute of {tag} is there twice"
        if "id" in values:
            self.ids.append(values["id"] or "")
        self.addresses += [values[name] or "" for name in ("src", "href", "srcset", "action", "data") if name in values]
        self.references += (values.get("aria-labelledby") or "").split()
        if tag == "img":
            assert values.get("alt")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @classmethod
    def check(cls, page: str) -> "Checker":
        checker = cls()
        checker.feed(page)
        checker.close()
        assert not checker.open
        assert len(set(checker.ids)) == len(checker.ids)
        assert set(checker.references) <= set(checker.ids)
        for address in checker.addresses:
            assert address.startswith(("data:image/jpeg;base64,", "#")) or address == "data:,", address
            assert not address.startswith("#") or address[1:] in checker.ids
        return checker


@pytest.fixture
def write(tmp_path: Path, summary: Callable[..., Summary]) -> Callable[..., Path]:
    def make(output: Path = Path("out.mp4"), frames: int = 20, **changes: object) -> Path:
        report = FilmReport()
        for number in range(frames):
            report.add(frame(number), tracks((1, 0.9, False), (7, 0.65, number % 3 == 0)))
        settings = {"input": Path("a<b>.mp4"), "mode": "blur", "score": None, "identities": [], "keep metadata": False}
        write_page(
            tmp_path / "page.html", report, summary(output, **{"frames": frames, **changes}), settings, overwrite=True
        )
        return tmp_path / "page.html"

    return make


def test_the_page_is_whole_and_sends_no_request(write: Callable[..., Path]) -> None:
    page = write().read_text()
    checker = Checker.check(page)
    assert "script" not in checker.seen
    assert "iframe" not in checker.seen
    assert not re.search(r"https?:|//[a-z]|@import|url\(|\son\w+=", page, re.IGNORECASE)
    assert "default-src 'none'" in page
    for element in ("main", "header", "footer", "h1", "h2", "dl", "table", "figure", "title", "desc"):
        assert element in checker.seen, element
    assert checker.seen.count("h1") == 1
    assert checker.seen.count("img") == 2
    text = " ".join(checker.text)
    for words in ("Track 7", "score below 0.7", "filled in by the tracker", "5.0", "default", "Summary", "Timeline"):
        assert words in text, words


def test_without_people(tmp_path: Path, summary: Callable[..., Summary]) -> None:
    report = FilmReport()
    report.add(frame(0), tracks())
    write_page(tmp_path / "page.html", report, summary(people=0, frames_with_people=0), {})
    checker = Checker.check((tmp_path / "page.html").read_text())
    assert "No person was found" in " ".join(checker.text)
    assert "figure" not in checker.seen


def test_a_picture_has_no_timeline(write: Callable[..., Path]) -> None:
    checker = Checker.check(write(frames=1).read_text())
    assert "timeline" not in checker.ids
    assert "tracks" in checker.ids


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>.mp4",
        '"><img src=x onerror=y>.mp4',
        "two\nlines.mp4",
        "\udcff\u202egnp.mp4",
        "a & 'b'.mp4",
    ],
)
def test_file_names_are_text_whatever_they_are(write: Callable[..., Path], name: str) -> None:
    page = write(Path(name), warnings=(f"cannot keep {name}",), stripped=(name,)).read_text(encoding="utf-8")
    checker = Checker.check(page)
    assert "script" not in checker.seen
    assert checker.seen.count("img") == 2
    assert not set(page) & {"\u202e", "\udcff"}
    assert "onerror" not in re.sub(r"&lt;.*?&gt;", "", page)


def test_printable_and_clock() -> None:
    assert printable(Path("a\udcff")) == "a\N{REPLACEMENT CHARACTER}"
    assert [clock(s) for s in (0, 7.254, 59.999, 65.25, 3599.99, 36125)] == [
        "0.00 s",
        "7.25 s",
        "1:00.0",
        "1:05.2",
        "1:00:00",
        "10:02:05",
    ]


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance of #rrggbb."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_contrast(scheme: int) -> None:
    style = files("anonymize.report").joinpath("templates", "page.css").read_text()
    block = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))

    def contrast(a: str, b: str) -> float:
        high, low = sorted((luminance(colours[a]), luminance(colours[b])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for ground in ("ground", "raised", "band"):
        for text in ("text", "quiet"):
            assert contrast(text, ground) >= 4.5, (text, ground)
    for ground in ("ground", "band"):
        for mark in ("seen", "unsure", "filled"):
            assert contrast(mark, ground) >= 3, (mark, ground)  # WCAG 1.4.11, graphics.


@pytest.mark.chromium
@pytest.mark.timeout(90)
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1440])
def test_a_browser_shows_it_without_complaint(
    write: Callable[..., Path], screenshot: Callable[..., tuple[str, UInt8Array]], width: int, dark: bool
) -> None:
    errors, image = screenshot(write(), width, dark=dark)
    assert ":CONSOLE" not in errors  # The page's policy makes a complaint of every request, too.
    assert image.shape[1] == width
    assert image.std() > 5
    assert (image[:4].mean() < 60) == dark
