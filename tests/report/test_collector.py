import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymize.core.errors import MediaError, WeightsError
from anonymize.core.types import PLATES_AFTER
from anonymize.pipeline import Summary
from anonymize.report import FilmReport, write_page
from anonymize.report.history import THUMBNAIL_PX

from .conftest import COVERED, ORIGINAL, frame, tracks

Make = Callable[..., Summary]


def test_tracks_are_followed() -> None:
    report = FilmReport(low_score=0.7, most_tracks=10)
    for number in range(10):
        report.add(frame(number), tracks((1, 0.9, False), (2, 0.5 if number < 3 else 0.8, number == 5)))
    report.add(frame(10), tracks())
    first, second = report.tracks[1], report.tracks[2]
    assert list(first.seen) == [(0, pytest.approx(1.0))]
    assert first.mean_score == pytest.approx(0.9)
    assert not len(first.unsure)
    assert not len(first.filled)
    assert list(second.unsure) == [(0, pytest.approx(0.3))]
    assert list(second.filled) == [(pytest.approx(0.5), pytest.approx(0.6))]
    assert second.lowest == pytest.approx(0.5)


def test_the_thumbnail_is_of_the_result() -> None:
    report = FilmReport()
    report.add(frame(0), tracks((1, 0.9, False)))
    thumbnail = report.tracks[1].thumbnail
    assert thumbnail is not None
    image = cv2.imdecode(np.frombuffer(thumbnail.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert image.shape == (thumbnail.height, thumbnail.width, 3)
    assert max(image.shape) <= THUMBNAIL_PX
    centre = image[image.shape[0] // 2, image.shape[1] // 2].astype(int)
    assert np.abs(centre - COVERED).max() < 12
    assert np.abs(image.astype(int) - ORIGINAL).max(axis=2).min() > 60


def test_few_thumbnails_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    encode = cv2.imencode
    monkeypatch.setattr(cv2, "imencode", lambda *a: calls.append(1) or encode(*a))
    report = FilmReport()
    for number in range(200):
        report.add(frame(number), tracks((1, 0.8 + 0.1 * np.sin(number), False)))
    assert len(calls) == 1


def test_a_person_outside_of_the_frame_has_no_thumbnail() -> None:
    report, people = FilmReport(), tracks((1, 0.9, True))
    people.detections.boxes_xyxy[0] = (-50, 10, -5, 60)
    report.add(frame(0), people)
    assert report.tracks[1].thumbnail is None


def test_a_long_film_needs_no_more_memory(tmp_path: Path, summary: Make) -> None:
    report = FilmReport(most_tracks=20)
    for number in range(2000):
        report.add(frame(number), tracks((1, 0.9, False), (2 + number // 5, 0.5, False)))
    assert len(report.tracks) <= 22
    assert 1 in report.tracks  # The longest is kept.
    assert report.others.tracks + len(report.tracks) == 401
    page = tmp_path / "page.html"
    write_page(page, report, summary(), {})
    assert page.stat().st_size < 200_000
    assert f"{report.others.tracks} more" in page.read_text()


def test_times_begin_with_the_film() -> None:
    report = FilmReport()
    for number in (50, 51, 52):
        report.add(frame(number), tracks((1, 0.9, False)))
    report.add(frame(53), tracks())
    assert list(report.tracks[1].seen) == [(0, pytest.approx(0.3))]


def test_the_page_names_the_weights(tmp_path: Path, summary: Make) -> None:
    weights = tmp_path / "detector.safetensors"
    weights.write_bytes(b"abc")
    write_page(tmp_path / "page.html", FilmReport(), summary(), {}, [weights])
    page = (tmp_path / "page.html").read_text()
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" in page
    with pytest.raises(WeightsError, match="No such file"):
        write_page(tmp_path / "other.html", FilmReport(), summary(), {}, [tmp_path / "none"])
    assert not (tmp_path / "other.html").exists()


def test_the_last_frame_counts(tmp_path: Path, summary: Make) -> None:
    report = FilmReport()
    for number in range(3):
        report.add(frame(number), tracks((1, 0.9, False)))
    write_page(tmp_path / "page.html", report, summary(), {})
    assert report.tracks[1].seen.frames == 3
    assert report.end == pytest.approx(0.3)


def test_people_of_an_unknown_track_are_to_be_reviewed(tmp_path: Path, summary: Make) -> None:
    report = FilmReport()
    for number in range(3):
        report.add(frame(number), tracks((1, 0.9, False), (0, 0.9, True)))
    write_page(tmp_path / "page.html", report, summary(), {})
    assert "Unknown track</a></td><td>filled in by the tracker" in (tmp_path / "page.html").read_text()


def test_frames_that_were_not_looked_at_are_told_but_are_no_gap(tmp_path: Path, summary: Make) -> None:
    report = FilmReport(low_score=0.7)
    for number in range(10):
        looked_at = number % 3 == 0
        report.add(frame(number), replace(tracks((1, 0.9, not looked_at)), looked_at=looked_at))
    report.close()
    assert report.unseen_frames == 6
    track = report.tracks[1]
    assert (track.seen.frames, track.scored, track.filled.frames) == (10, 4, 0)
    write_page(tmp_path / "page.html", report, summary(frames=10), {})
    page = (tmp_path / "page.html").read_text()
    assert "the detector did not look at 6 frames" in page
    assert "filled in by the tracker</td>" not in page


def test_pages_that_cannot_be_written(tmp_path: Path, summary: Make) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(MediaError, match="exists"):
        write_page(page, FilmReport(), summary(), {})
    assert page.read_text() == "mine"
    write_page(page, FilmReport(), summary(), {}, overwrite=True)
    assert page.read_text().startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_thumbnails_are_in_the_page(tmp_path: Path, summary: Make) -> None:
    report = FilmReport()
    report.add(frame(0), tracks((1, 0.9, False)))
    thumbnail = report.tracks[1].thumbnail
    assert thumbnail is not None
    write_page(tmp_path / "page.html", report, summary(), {})
    assert base64.b64encode(thumbnail.jpeg).decode() in (tmp_path / "page.html").read_text()


def test_a_number_plate_is_called_one() -> None:
    report = FilmReport()
    report.add(frame(0), tracks((1, 0.9, False), (PLATES_AFTER + 3, 0.8, False)))
    assert [track.name for track in report.tracks.values()] == ["Track 1", "Plate 3"]
