import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from anonymize.api import detect_film, render_film
from anonymize.core.errors import AnonymizeError
from anonymize.tracksfile.editable import EditableTracks, Edits, Piece


@pytest.fixture(params=["tracks.json", "tracks.json.gz"])
def tracks(request: pytest.FixtureRequest, film: Path, walkers: Any) -> Path:
    path = film.with_name(request.param)
    detect_film(film, path, mode="solid", color="ff00ff", detector=walkers(), device="cpu")
    return path


def whole(frames: int = 11) -> list[Piece]:
    return [Piece(track, 0, frames - 1, track) for track in (1, 2)]


def content_of(path: Path) -> Any:
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def test_without_an_edit_it_is_the_same_file(tracks: Path) -> None:
    before = tracks.read_bytes()
    with EditableTracks(tracks) as file:
        assert len(file.pts) == 11
        assert [person["id"] for person in file.people(3)] == [1, 2]
        file.write(tracks, Edits(file.tracks, file.boxes, whole()), overwrite=True)
    assert tracks.read_bytes() == before


def test_frames_go_to_other_tracks(tracks: Path, film: Path) -> None:
    out = tracks.with_name("out-" + tracks.name)
    with EditableTracks(tracks) as file:
        pieces = [Piece(1, 0, 3, 1), Piece(1, 4, 6, 3), Piece(1, 7, 10, 1), Piece(2, 0, 10, 2)]
        new = [*file.tracks, {"id": 3, "action": "keep", "note": "a statue"}]
        file.write(out, Edits(new, [{"first": 0, "last": 4, "box": [0, 0, 9, 9]}], pieces))
    before, after = content_of(tracks), content_of(out)
    for number, (old, now) in enumerate(zip(before["frames"], after["frames"], strict=True)):
        assert [person["id"] for person in now["people"]] == [3 if 4 <= number <= 6 else 1, 2]
        assert [{**person, "id": 0} for person in now["people"]] == [{**person, "id": 0} for person in old["people"]]
    assert [(t["id"], t["first"], t["last"], t["frames"]) for t in after["tracks"]] == [
        (1, 0, 10, 8),
        (2, 0, 10, 11),
        (3, 4, 6, 3),
    ]
    assert after["tracks"][2]["note"] == "a statue"
    assert {name: after[name] for name in ("film", "surface", "settings")} == {
        name: before[name] for name in ("film", "surface", "settings")
    }
    assert render_film(film, out, film.with_name("o.mp4"), device="cpu").frames == 11


def test_tracks_that_share_a_frame_are_not_merged(tracks: Path) -> None:
    with EditableTracks(tracks) as file, pytest.raises(AnonymizeError, match="both there in frame 0"):
        pieces = [Piece(1, 0, 10, 1), Piece(2, 0, 10, 1)]
        file.write(tracks, Edits(file.tracks[:1], [], pieces), overwrite=True)


@pytest.mark.parametrize(
    "pieces",
    [
        [Piece(1, 0, 10, 1)],
        [Piece(1, 0, 10, 1), Piece(2, 0, 9, 2)],
        [Piece(1, 0, 10, 1), Piece(2, 0, 5, 2), Piece(2, 5, 10, 2)],
        [Piece(1, 0, 10, 1), Piece(2, 1, 10, 2)],
        [Piece(1, 0, 10, 1), Piece(2, 0, 10, 7)],
        [*whole(), Piece(3, 0, 10, 1)],
    ],
)
def test_each_frame_goes_to_one_track(pieces: list[Piece], tracks: Path) -> None:
    before = tracks.read_bytes()
    with EditableTracks(tracks) as file, pytest.raises(AnonymizeError):
        file.write(tracks, Edits(file.tracks, [], pieces), overwrite=True)
    assert tracks.read_bytes() == before
    assert len(list(tracks.parent.iterdir())) == 2
