import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from anonymize import Summary, anonymize_image, anonymize_video, pipeline
from anonymize.compose import CoverComposer
from anonymize.compose.margin import with_margin
from anonymize.core.errors import AnonymizeError, OptionError
from anonymize.core.types import Detections, Frame, RegionMask, Tracks
from anonymize.media import open_film

MAGENTA = (255, 0, 255)


class BoomError(RuntimeError):
    """The error that tests throw into a stage."""


class Numbering:
    """A tracker that gives the first person of each frame the ID 1, and so on."""

    def track(self, frames: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Tracks]]:
        for frame, found in frames:
            yield frame, Tracks(found, np.arange(1, len(found) + 1), np.zeros(len(found), np.bool_))


def read(path: Path) -> list[np.ndarray]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def fraction_painted(image: np.ndarray) -> float:
    return float((np.abs(image.astype(int) - MAGENTA).max(axis=2) < 60).mean())


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def film(tmp_path: Path, make_film: Callable[..., Path]) -> Path:
    return make_film(tmp_path / "in.mp4", frames=30)


class TestFilm:
    def test_everybody_found_is_covered_in_every_frame(
        self, film: Path, tmp_path: Path, walking_detector: Callable[..., Any]
    ) -> None:
        detector, tracker = walking_detector(nobody_from=20), Numbering()
        out = tmp_path / "out.mp4"
        summary = anonymize_video(film, out, mode="solid", color="ff00ff", detector=detector, tracker=tracker)
        frames = read(out)
        assert len(frames) == 30
        for number, image in enumerate(frames):
            if number < 20:
                region = detector.mask(number, image.shape[:2])
                assert fraction_painted(image[region.slices]) > 0.9, number
            else:
                assert fraction_painted(image) == 0, number
        assert summary == Summary(out, 30, 20, 1, 0, summary.seconds, (), ())
        assert max(detector.batches) > 1, "the detector sees one frame at a time"

    @pytest.mark.parametrize(("lookahead", "covered"), [(0.0, 28), (1.0, 30)])
    def test_a_gap_is_filled_by_the_look_ahead(
        self, film: Path, tmp_path: Path, walking_detector: Callable[..., Any], lookahead: float, covered: int
    ) -> None:
        class Missing(walking_detector):  # type: ignore[misc, valid-type]
            def _detect(self, image: np.ndarray) -> Detections:
                found = super()._detect(image)
                return Detections.empty(found.size_hw) if self.seen in (15, 16) else found

        summary = anonymize_video(
            film, tmp_path / "out.mp4", mode="solid", color="ff00ff", lookahead=lookahead, detector=Missing()
        )
        assert summary.frames_with_people == covered

    def test_progress_counts_to_the_end(self, film: Path, tmp_path: Path, walking_detector: Callable[..., Any]) -> None:
        calls: list[tuple[int, int | None]] = []
        anonymize_video(
            film,
            tmp_path / "out.mp4",
            detector=walking_detector(),
            progress=lambda done, total: calls.append((done, total)),
        )
        assert [done for done, _ in calls] == list(range(1, 31))
        assert calls[-1][1] in (30, None)

    def test_overlay_comes_on_top(self, film: Path, tmp_path: Path, walking_detector: Callable[..., Any]) -> None:
        for name, overlay in (("plain.mp4", False), ("marked.mp4", True)):
            anonymize_video(film, tmp_path / name, mode="solid", overlay=overlay, detector=walking_detector())
        plain, marked = read(tmp_path / "plain.mp4"), read(tmp_path / "marked.mp4")
        assert np.abs(plain[5].astype(int) - marked[5]).max() > 100

    def test_a_wrong_option_is_told_before_anything_is_read(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="RRGGBB"):
            anonymize_video(tmp_path / "missing.mp4", tmp_path / "out.mp4", color="pink")

    def test_stages_overlap(self, film: Path, tmp_path: Path, walking_detector: Callable[..., Any]) -> None:
        """Each stage waits for the one before it to be further along: without overlap nobody would ever go on."""
        later_batch, later_frame = threading.Event(), threading.Event()
        waited: list[bool] = []

        class Watched(walking_detector):  # type: ignore[misc, valid-type]
            calls_so_far = 0

            def detect(self, images: Any) -> list[Detections]:
                self.calls_so_far += 1
                if self.calls_so_far > 1:
                    later_batch.set()
                found: list[Detections] = super().detect(images)
                return found

        class Waiting(CoverComposer):
            def compose(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> Frame:
                if frame.index == 0:
                    waited.append(later_batch.wait(timeout=60))
                else:
                    later_frame.set()
                return super().compose(frame, tracks, covers)

        def written(done: int, total: int | None) -> None:
            if done == 1:
                waited.append(later_frame.wait(timeout=60))

        anonymize_video(film, tmp_path / "out.mp4", detector=Watched(), composer=Waiting(), progress=written)
        assert waited == [True, True]

    def test_what_waits_is_bounded(
        self, tmp_path: Path, make_film: Callable[..., Path], walking_detector: Callable[..., Any]
    ) -> None:
        """While the writer stands still, the stages before it soon stand still too."""
        film = make_film(tmp_path / "long.mp4", frames=120)
        detector = walking_detector()
        seen_at_first_write: list[int] = []

        def stand_still(done: int, total: int | None) -> None:
            if done == 1:
                time.sleep(1.0)
                seen_at_first_write.append(detector.seen)

        anonymize_video(film, tmp_path / "out.mp4", detector=detector, progress=stand_still)
        assert detector.seen == 120
        assert seen_at_first_write[0] < 60


class TestErrors:
    """An error in any stage ends all of them promptly, and leaves no file."""

    @pytest.fixture(autouse=True)
    def nothing_is_left(self, film: Path, tmp_path: Path) -> Iterator[None]:
        began = time.monotonic()
        yield
        assert time.monotonic() - began < 10
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]

    def test_in_reading(self, film: Path, tmp_path: Path, walking_detector: Any, monkeypatch: Any) -> None:
        def breaking(self: Any, frames: Iterable[Frame]) -> Iterator[Frame]:
            for number, frame in enumerate(frames):
                if number == 11:
                    raise BoomError
                yield frame

        monkeypatch.setattr(pipeline.Tally, "incoming", breaking)
        with pytest.raises(BoomError):
            anonymize_video(film, tmp_path / "out.mp4", detector=walking_detector())

    @pytest.mark.parametrize("at", [0, 20, 29])
    def test_in_detection(self, at: int, film: Path, tmp_path: Path, walking_detector: Any) -> None:
        class Breaking(walking_detector):  # type: ignore[misc, valid-type]
            def detect(self, images: Any) -> list[Detections]:
                found: list[Detections] = super().detect(images)
                if self.seen > at:
                    raise BoomError
                return found

        with pytest.raises(BoomError):
            anonymize_video(film, tmp_path / "out.mp4", detector=Breaking())

    def test_in_detection_by_a_result_too_few(self, film: Path, tmp_path: Path, walking_detector: Any) -> None:
        class Forgetful(walking_detector):  # type: ignore[misc, valid-type]
            def detect(self, images: Any) -> list[Detections]:
                found: list[Detections] = super().detect(images)
                return found[:-1]

        with pytest.raises(ValueError, match="zip"):
            anonymize_video(film, tmp_path / "out.mp4", detector=Forgetful())

    def test_in_building_the_detector(self, film: Path, tmp_path: Path, monkeypatch: Any) -> None:
        def broken(*args: Any, **kwargs: Any) -> None:
            raise BoomError

        monkeypatch.setattr(pipeline, "build_detector", broken)
        with pytest.raises(BoomError):
            anonymize_video(film, tmp_path / "out.mp4")

    @pytest.mark.parametrize("at", [0, 15, 29])
    def test_in_composing(self, at: int, film: Path, tmp_path: Path, walking_detector: Any) -> None:
        class Breaking(CoverComposer):
            def compose(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> Frame:
                if frame.index == at:
                    raise BoomError
                return super().compose(frame, tracks, covers)

        with pytest.raises(BoomError):
            anonymize_video(film, tmp_path / "out.mp4", detector=walking_detector(), composer=Breaking())

    @pytest.mark.parametrize("error", [BoomError, KeyboardInterrupt])
    def test_in_writing(self, error: type, film: Path, tmp_path: Path, walking_detector: Any, monkeypatch: Any) -> None:
        write = pipeline.FilmWriter.write

        def breaking(self: Any, frame: Frame) -> None:
            if frame.index == 7:
                raise error
            write(self, frame)

        monkeypatch.setattr(pipeline.FilmWriter, "write", breaking)
        with pytest.raises(error):
            anonymize_video(film, tmp_path / "out.mp4", detector=walking_detector())

    def test_in_tracking(self, film: Path, tmp_path: Path, walking_detector: Any) -> None:
        class Breaking(pipeline.PeopleTracker):
            def track(self, frames: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Tracks]]:
                for number, item in enumerate(super().track(frames)):
                    if number == 9:
                        raise BoomError
                    yield item

        with pytest.raises(BoomError):
            anonymize_video(film, tmp_path / "out.mp4", detector=walking_detector(), tracker=Breaking())

    def test_a_lost_frame_is_no_success(self, film: Path, tmp_path: Path, walking_detector: Any) -> None:
        class Losing(pipeline.PeopleTracker):
            def track(self, frames: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Tracks]]:
                for number, item in enumerate(super().track(frames)):
                    if number != 9:
                        yield item

        with pytest.raises(AnonymizeError, match="30 frames were read but 29 came out"):
            anonymize_video(film, tmp_path / "out.mp4", detector=walking_detector(), tracker=Losing())


def test_places_of_whoever_it_may_be_are_told_of_but_are_no_person() -> None:
    masks = tuple(RegionMask(x, 0, np.ones((9, 9), np.bool_)) for x in (0, 10, 20))
    found = Detections(
        (20, 40),
        np.array([m.box_xyxy for m in masks], np.float32),
        np.ones(3, np.float32),
        masks,
        np.zeros(3, np.bool_),
    )
    tally = pipeline.Tally()
    told = tally.outgoing(Tracks(found, np.array([0, 5, -1]), np.zeros(3, np.bool_)))
    assert told.ids.tolist() == [0, 5]
    done = tally.summary("out.mp4", 0.0)
    assert (done.frames_with_people, done.people) == (1, 1)


class TestPicture:
    def test_a_person_is_covered(self, tmp_path: Path, walking_detector: Callable[..., Any]) -> None:
        source, out = tmp_path / "in.png", tmp_path / "out.png"
        image = np.random.default_rng(0).integers(0, 200, (96, 128, 3), np.uint8)
        save(source, image)
        summary = anonymize_image(source, out, mode="solid", color="ff00ff", detector=walking_detector())
        cover = with_margin(walking_detector.mask(0, (96, 128)), (96, 128))  # type: ignore[attr-defined]
        [done] = read(out)
        assert (done[cover.slices][cover.mask] == MAGENTA).all()
        outside = ~cover.to_full((96, 128))
        np.testing.assert_array_equal(done[outside], image[outside])
        assert (summary.frames, summary.people) == (1, 1)

    def test_people_of_one_frame_are_told_apart(self, tmp_path: Path) -> None:
        # five people: two are found as one too, one is half hidden behind another
        with open_film(Path(__file__).parents[1] / "examples" / "street.mp4") as film:
            image = next(frame.image for frame in film if frame.index == 67)
        save(tmp_path / "in.png", image)
        assert anonymize_image(tmp_path / "in.png", tmp_path / "out.png", mode="blur", device="cpu").people in (4, 5)

    @pytest.mark.parametrize("name", ["in.png", "out.gif", "missing/out.png"])
    def test_where_it_cannot_be_written_nothing_is_loaded(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save(tmp_path / "in.png", np.zeros((96, 128, 3), np.uint8))
        monkeypatch.setattr(pipeline, "build_detector", None)  # would be a TypeError
        with pytest.raises(AnonymizeError, match="cannot write"):
            anonymize_image(tmp_path / "in.png", tmp_path / name)
        assert [path.name for path in tmp_path.iterdir()] == ["in.png"]

    def test_an_error_leaves_no_file(self, tmp_path: Path, walking_detector: Callable[..., Any]) -> None:
        save(tmp_path / "in.png", np.zeros((96, 128, 3), np.uint8))

        class Breaking(CoverComposer):
            def compose(self, frame: Frame, tracks: Tracks, covers: Sequence[RegionMask]) -> Frame:
                raise BoomError

        with pytest.raises(BoomError):
            anonymize_image(tmp_path / "in.png", tmp_path / "out.png", detector=walking_detector(), composer=Breaking())
        assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def save(path: Path, image: np.ndarray) -> None:
    import cv2

    cv2.imwrite(str(path), image[..., ::-1])
