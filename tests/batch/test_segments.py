"""Films cut at key frames, without a cluster."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from anonymize import anonymize_video
from anonymize.batch.segments import CutFilm, Seen, detect_shared
from anonymize.core.errors import MediaError
from anonymize.core.types import Detections, Frame
from anonymize.detect.predictor import Detector
from anonymize.media import open_film

FRAMES = 40


@pytest.fixture
def film(tmp_path: Path, film_with_keys: Callable[..., Path]) -> Path:
    """Four seconds with a key frame each second."""
    return film_with_keys(tmp_path / "film.mp4", frames=FRAMES, keys=10, rate=10)


class Others:
    """Helpers that look at once; they have what `have` says."""

    def __init__(self, film: CutFilm, detector: Detector, have: Sequence[int]) -> None:
        self._film, self._detector, self._have = film, detector, have
        self.asked: list[int] = []

    def ask(self, number: int) -> bool:
        self.asked.append(number)
        return True

    def take(self, number: int) -> list[Seen] | None:
        return self._film.look(number, self._detector) if number in self._have else None


class Counting:
    """Counts what a detector sees."""

    def __init__(self, detector: Detector) -> None:
        self._detector, self.seen, self.surface = detector, 0, detector.surface

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        self.seen += len(images)
        return self._detector.detect(images)


def begins(cut: CutFilm, film: Path) -> list[Fraction]:
    with open_film(film) as reader:
        return [segment.begin * reader.info.time_base for segment in cut.segments]


def test_where_it_is_cut(film: Path) -> None:
    assert begins(CutFilm.cut(film, seconds=1), film) == [0, 1, 2, 3]
    assert begins(CutFilm.cut(film, seconds=1.5), film) == [0, 2]
    assert begins(CutFilm.cut(film, seconds=9), film) == [0]
    assert begins(CutFilm.cut(film, start=0.45, end=2.5, seconds=1), film) == [Fraction(1, 2), 2]
    assert CutFilm.cut(film, start=0.45, end=2.5, seconds=1).segments[-1].end == 2.5


@pytest.mark.parametrize("have", [(), (1, 2, 3), (0, 2), (3,)])
@pytest.mark.parametrize("part", [(None, None), (0.45, None), (0.3, 3.2)])
def test_the_same_whoever_looks(
    film: Path, doubles: ModuleType, have: tuple[int, ...], part: tuple[float | None, float | None]
) -> None:
    cut = CutFilm.cut(film, start=part[0], end=part[1], seconds=1)
    own = Counting(doubles.BandDetector())
    others = Others(cut, doubles.BandDetector(), have)
    with open_film(film, start=part[0], end=part[1]) as reader:
        found = list(detect_shared(reader, own, cut, others))
    with open_film(film, start=part[0], end=part[1]) as reader:
        expected = [(frame, doubles.BandDetector().detect([frame.image])[0]) for frame in reader]
    assert [frame.pts for frame, _ in found] == [frame.pts for frame, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        assert np.array_equal(one.boxes_xyxy, other.boxes_xyxy)
    assert others.asked == list(range(1, len(cut.segments)))
    looked = sum(len(cut.look(number, doubles.BandDetector())) for number in have if number < len(cut.segments))
    assert own.seen == len(expected) - looked, "who has found something does not look again"


def test_what_belongs_to_another_picture_is_not_taken(film: Path, doubles: ModuleType) -> None:
    cut = CutFilm.cut(film, seconds=1)

    class Wrong(Others):
        def take(self, number: int) -> list[Seen] | None:
            seen = super().take(number) or []
            return [Seen(each.pts, each.checksum ^ (k == 0), each.found) for k, each in enumerate(seen[:-1])]

    own = Counting(doubles.BandDetector())
    with open_film(film) as reader:
        frames: list[tuple[Frame, Detections]] = list(
            detect_shared(reader, own, cut, Wrong(cut, doubles.BandDetector(), range(4)))
        )
    assert len(frames) == FRAMES
    assert own.seen == 8, "of each segment the first, whose picture is another, and the last, which is not there"


def test_a_cut_film_has_the_tracks_of_the_uncut_one(film: Path, tmp_path: Path, doubles: ModuleType) -> None:
    cut = CutFilm.cut(film, seconds=1)
    people: dict[str, list[list[int]]] = {"cut": [], "uncut": []}
    for name, tracks in people.items():
        find = None
        if name == "cut":
            others = Others(cut, doubles.BandDetector(), (1, 3))
            find = lambda frames, detector: detect_shared(frames, detector, cut, others)  # noqa: B023, E731
        anonymize_video(
            film,
            tmp_path / f"{name}.mp4",
            detector=doubles.BandDetector(),
            find=find,
            overlay=True,
            observe=lambda _, found: tracks.append(found.ids.tolist()),  # noqa: B023
        )
    assert len(people["cut"]) == FRAMES
    assert people["cut"] == people["uncut"]
    assert (tmp_path / "cut.mp4").read_bytes() == (tmp_path / "uncut.mp4").read_bytes()


def test_no_film(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no film")
    with pytest.raises(MediaError, match="not a film"):
        CutFilm.cut(tmp_path / "a.mp4", seconds=1)
