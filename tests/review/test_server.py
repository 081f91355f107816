"""What the server answers, and what it refuses."""

import json
import signal
import socket
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from anonymize import cli
from anonymize.core.errors import AnonymizeError
from anonymize.review.server import POLICY, ReviewServer
from anonymize.review.session import Review, Session
from tests.review.conftest import COLOURS, Program, draw, make_film, make_tracks, place

Serve = Callable[[Review], ReviewServer]


class Client:
    """Asks a server as the page does, unless told otherwise."""

    def __init__(self, server: ReviewServer) -> None:
        self.server = server

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        connection.putrequest(method, path, skip_host=True)
        host = {"Host": f"127.0.0.1:{self.server.server_port}"}
        for name, value in (host | (headers or {})).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def get(self, path: str) -> tuple[int, bytes]:
        answer, content = self.raw("GET", f"/{self.server.token}/{path}")
        return answer.status, content

    def json(self, path: str) -> Any:
        status, content = self.get(path)
        assert status == 200, content
        return json.loads(content)

    def post(self, path: str, body: object) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        answer, content = self.raw("POST", f"/{self.server.token}/{path}", json.dumps(body).encode(), headers)
        return answer.status, json.loads(content)

    def edits(self, **changes: Any) -> dict[str, Any]:
        """The page's edits, as they are at its beginning."""
        review = self.json("review.json")
        return {name: review[name] for name in ("tracks", "boxes", "pieces")} | changes

    def wait(self) -> Any:
        while (job := self.json("job.json"))["state"] == "running":
            time.sleep(0.05)
        return job


@pytest.fixture
def client(street: tuple[Path, Path], serve: Serve) -> Client:
    return Client(serve(Review(film=street[0], tracks=street[1])))


def image_of(jpeg: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image)[..., ::-1].astype(int)


class TestRefused:
    @pytest.mark.parametrize("path", ["/", "/review.json", "/wrong/", "/wrong/review.json", "//", "/%00/"])
    def test_without_the_token(self, path: str, client: Client) -> None:
        answer, content = client.raw("GET", path)
        assert answer.status == 403
        assert "token" in json.loads(content)["error"]
        assert client.server.token.encode() not in content

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "evil.example:{port}", "127.0.0.1:1", ""])
    def test_another_host(self, host: str, client: Client) -> None:
        named = {"Host": host.format(port=client.server.server_port)}
        answer, _ = client.raw("GET", f"/{client.server.token}/review.json", headers=named)
        assert answer.status == 403

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1"])
    def test_another_page(self, origin: str, client: Client) -> None:
        headers = {"Origin": origin, "Content-Type": "application/json"}
        answer, _ = client.raw("POST", f"/{client.server.token}/cancel", b"{}", headers)
        assert answer.status == 403

    @pytest.mark.parametrize(
        "path",
        [
            "../review.json",
            "page/../../session.py",
            "..%2f..%2fserver.py",
            "%2e%2e/server.py",
            "frame/../review.json",
            "frame/-1",
            "frame/1e3",
            "frame/\N{ARABIC-INDIC DIGIT ONE}",
            "people/0-1/..",
            "/etc/passwd",
            "session.py",
            "page/page.js",
            "tracks.json",
        ],
    )
    def test_tricks_with_the_path(self, path: str, client: Client) -> None:
        sent = path.encode().decode("latin-1")
        with socket.create_connection(("127.0.0.1", client.server.server_port), timeout=20) as line:
            host = f"127.0.0.1:{client.server.server_port}"
            line.sendall(f"GET /{client.server.token}/{sent} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode("latin-1"))
            answer = b""
            while part := line.recv(65536):
                answer += part
        assert answer.split()[1] == b"404", answer[:200]
        assert b"root:" not in answer

    @pytest.mark.parametrize(
        ("headers", "body", "status"),
        [
            ({}, b"{}", 415),
            ({"Content-Type": "text/plain"}, b"{}", 415),
            ({"Content-Type": "application/json"}, b"[]", 400),
            ({"Content-Type": "application/json"}, b"{", 400),
            ({"Content-Type": "application/json"}, b"{}", 400),
            ({"Content-Type": "application/json"}, None, 411),
        ],
    )
    def test_another_body(self, headers: dict[str, str], body: bytes | None, status: int, client: Client) -> None:
        answer, content = client.raw("POST", f"/{client.server.token}/save", body, headers)
        assert answer.status == status
        assert json.loads(content)["error"]

    def test_a_body_that_is_too_large(self, client: Client) -> None:
        headers = {"Content-Type": "application/json", "Content-Length": "999999999"}
        answer, _ = client.raw("POST", f"/{client.server.token}/save", headers=headers)
        assert answer.status == 413

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD"])
    def test_other_methods(self, method: str, client: Client) -> None:
        assert client.raw(method, f"/{client.server.token}/review.json")[0].status == 501

    def test_frames_that_are_not_there(self, client: Client) -> None:
        for path in ("frame/30", "people/0-30", "people/5-4", "people/0-999999", "thumbnail/30/1", "thumbnail/0/9"):
            status, content = client.get(path)
            assert status == 422, path
            assert json.loads(content)["error"]


def test_only_this_machine_can_ask(client: Client) -> None:
    assert client.server.server_address[0] == "127.0.0.1"
    answer, page = client.raw("GET", f"/{client.server.token}/")
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert b"http" not in page.replace(b"http-equiv", b"")
    for name in ("page.js", "edits.js", "film.js", "timeline.js", "page.css"):
        assert b"://" not in client.get(name)[1], "no other machine is asked"


def test_frames_in_any_order(client: Client) -> None:
    for number in (29, 0, 17, 3, 16, 4, 28):
        status, jpeg = client.get(f"frame/{number}")
        assert status == 200
        assert np.abs(image_of(jpeg) - draw(number)).mean() < 12, number
    assert len(client.get("times")[1]) == 30 * 8
    assert np.allclose(np.frombuffer(client.get("times")[1], "<f8"), np.arange(30) / 10)


def test_frames_of_a_part_of_a_film(tmp_path: Path, serve: Serve) -> None:
    """The tracks file was made with --start."""
    film = make_film(tmp_path / "f.mp4", 30)
    tracks = make_tracks(tmp_path / "t.json", film, 20)
    content = json.loads(tracks.read_text())
    content["settings"]["start"] = 1.0
    tracks.write_text(json.dumps(content))
    client = Client(serve(Review(film=film, tracks=tracks)))
    for number in (12, 0, 19):
        assert np.abs(image_of(client.get(f"frame/{number}")[1]) - draw(number + 10)).mean() < 12, number


def test_people_and_thumbnails(client: Client) -> None:
    [before, gap] = client.json("people/9-10")
    assert [person["source"] for person in before] == [1, 2, 3, 4, 5]
    assert [person["source"] for person in gap] == [1, 2, 3, 5]
    assert before[2]["filled"]
    left, top = place(1, 9)
    [outline] = before[0]["outlines"]
    corners = np.array(outline).reshape(-1, 2)
    assert corners.min(axis=0).tolist() == [left, top]
    assert corners.max(axis=0).tolist() == [left + 23, top + 59]
    for track, colour in enumerate(COLOURS[:5], 1):
        image = image_of(client.get(f"thumbnail/3/{track}")[1])
        middle = image[image.shape[0] // 2, image.shape[1] // 2]
        assert np.abs(middle - colour).max() < 30, track


class TestSave:
    def test_without_an_edit_the_file_stays_as_it_was(self, client: Client, street: tuple[Path, Path]) -> None:
        before = street[1].read_bytes()
        assert client.post("save", {"revision": 0, "edits": client.edits()}) == (200, {"revision": 1})
        assert street[1].read_bytes() == before
        assert sorted(path.name for path in street[1].parent.iterdir()) == ["street.mp4", "tracks.json"]

    def test_an_old_revision(self, client: Client, street: tuple[Path, Path]) -> None:
        edits = client.edits()
        edits["tracks"][0]["action"] = "keep"
        client.post("save", {"revision": 0, "edits": edits})
        saved = street[1].read_bytes()
        status, answer = client.post("save", {"revision": 0, "edits": client.edits(boxes=[])})
        assert status == 409
        assert "another tab" in answer["error"]
        assert client.post("render", {"revision": 0, "overwrite": False})[0] == 409
        assert street[1].read_bytes() == saved

    def test_another_program_has_written_the_file(self, client: Client, street: tuple[Path, Path]) -> None:
        edits = client.edits()
        street[1].write_text(street[1].read_text().replace('"solid"', '"blur"', 1))
        theirs = street[1].read_bytes()
        status, answer = client.post("save", {"revision": 0, "edits": edits})
        assert status == 409
        assert "another program" in answer["error"]
        assert street[1].read_bytes() == theirs
        assert client.post("copy", {"edits": edits}) == (200, {"file": "tracks-copy1.json"})
        assert client.post("copy", {"edits": edits}) == (200, {"file": "tracks-copy2.json"})

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("tracks", [{"id": 1, "action": "solid"}], "no entry"),
            ("tracks", [{"id": k, "action": "nothing"} for k in range(1, 6)], "action"),
            ("tracks", [{"id": k, "action": "avatar"} for k in range(1, 6)], "no body surfaces"),
            ("tracks", [{"id": k, "action": "solid", "identity": "../../x.png"} for k in range(1, 6)], "no picture"),
            ("tracks", [{"id": k, "action": "solid", "name": "Ada"} for k in range(1, 6)], "'name'"),
            ("tracks", [1], "must have"),
            ("boxes", [{"first": 3, "last": 30, "box": [0, 0, 9, 9]}], "the last one is 29"),
            ("boxes", [{"first": 3, "last": 4, "box": [9, 0, 0, 9]}], "left, top"),
            ("pieces", [], "each once|once"),
            ("pieces", [{"source": 9, "first": 0, "last": 29, "id": 1}], "no track 9"),
            ("pieces", [{"source": k, "first": 0, "last": 29, "id": 1} for k in range(1, 6)], "both there in frame 0"),
            ("pieces", [{"source": k, "first": 0, "last": 28, "id": k} for k in range(1, 6)], "once"),
            ("pieces", [{"source": "1"}], "must have"),
        ],
    )
    def test_edits_that_make_no_sense(
        self, name: str, value: object, message: str, client: Client, street: tuple[Path, Path]
    ) -> None:
        before = street[1].read_bytes()
        status, answer = client.post("save", {"revision": 0, "edits": client.edits(**{name: value})})
        assert status == 422
        assert any(part in answer["error"] for part in message.split("|")), answer
        assert street[1].read_bytes() == before
        assert sorted(path.name for path in street[1].parent.iterdir()) == ["street.mp4", "tracks.json"]


class TestRender:
    def test_an_existing_result_is_replaced_only_when_asked(self, client: Client, tmp_path: Path) -> None:
        result = tmp_path / "street-anonymized.mp4"
        result.write_text("precious")
        status, answer = client.post("render", {"revision": 0, "overwrite": False})
        assert status == 422
        assert "exists" in answer["error"]
        assert result.read_text() == "precious"
        assert client.post("render", {"revision": 0, "overwrite": True})[0] == 200
        job = client.wait()
        assert job["state"] == "done"
        assert job["result"]["frames"] == 30
        assert result.stat().st_size > 1000

    def test_cancelled_it_leaves_no_file(self, tmp_path: Path, serve: Serve) -> None:
        film = make_film(tmp_path / "f.mp4", 150)
        tracks = make_tracks(tmp_path / "t.json", film, 150)
        client = Client(serve(Review(film=film, tracks=tracks, output=tmp_path / "o.mp4")))
        client.post("render", {"revision": 0, "overwrite": False})
        while not client.json("job.json")["done"]:
            time.sleep(0.002)
        busy, answer = client.post("follow", {"box": [0, 0, 30, 30], "at": 0, "to": 5})
        assert client.post("cancel", {})[0] == 200
        assert client.json("job.json")["state"] == "cancelled"
        assert busy == 409, answer
        assert sorted(path.name for path in tmp_path.iterdir()) == ["f.mp4", "t.json"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"box": [0, 0, 2, 2], "at": 0, "to": 5}, 422),
        ({"box": [0, 0, 20], "at": 0, "to": 5}, 422),
        ({"box": [900, 0, 950, 20], "at": 0, "to": 5}, 422),
        ({"box": [0, 0, 20, 20], "at": 0, "to": 30}, 422),
        ({"box": [0, 0, 20, 20], "at": "0", "to": 5}, 400),
        ({"box": "0123", "at": 0, "to": 5}, 422),
    ],
)
def test_a_box_that_cannot_be_followed(body: dict[str, Any], status: int, client: Client) -> None:
    assert client.post("follow", body)[0] == status


class TestCommand:
    def test_it_prints_the_address_and_ends_at_once(self, street: tuple[Path, Path], program: Program) -> None:
        run, address = program(*street)
        assert address.startswith("http://127.0.0.1:")
        assert len(address.split("/")[3]) >= 32, "the token"
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda film, tracks: film.unlink(), "cannot read"),
            (lambda film, tracks: tracks.unlink(), "cannot read"),
            (lambda film, tracks: film.write_bytes(film.read_bytes() + b" "), "another film"),
            (lambda film, tracks: tracks.write_text("{}"), "tracks.json"),
            (lambda film, tracks: tracks.write_text(tracks.read_text()[:-40]), "frame 29"),
            (lambda film, tracks: tracks.write_text(tracks.read_text().replace('"box":[', '"box":["a",', 1)), "box"),
        ],
    )
    def test_what_cannot_be_reviewed(
        self, change: Callable[[Path, Path], object], message: str, street: tuple[Path, Path]
    ) -> None:
        change(*street)
        with pytest.raises(AnonymizeError, match=message):
            Session(Review(film=street[0], tracks=street[1]))
        result = CliRunner().invoke(cli.app, ["review", "--no-browser", *map(str, street)])
        assert result.exit_code == 1
        assert len(result.stderr.splitlines()) == 1
        assert message in result.stderr

    def test_a_port_that_is_taken(self, street: tuple[Path, Path], client: Client) -> None:
        port = str(client.server.server_port)
        result = CliRunner().invoke(cli.app, ["review", "--no-browser", "--port", port, *map(str, street)])
        assert result.exit_code == 1
        assert f"port {port}" in result.stderr
