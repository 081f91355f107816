"""Downloads against a server of this machine: interrupted, wrong, concurrent, impossible."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from anonymize.core.errors import OptionError, WeightsError
from anonymize.downloads import cache
from anonymize.downloads.catalog import CATALOG, WeightsFile, find
from anonymize.downloads.transfer import CHUNK

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ENTRY = WeightsFile("test", "test.pkl", "http://127.0.0.1:1/test.pkl", "CC0", 1, f"sha256:{SHA256}")


class Server(ThreadingHTTPServer):
    """Serves CONTENT under any path, with ranges; hangs up after `hang_up_after` bytes so many times as told."""

    hang_ups = 0
    hang_up_after = 2 * CHUNK
    tag = '"one"'

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        if self.path.endswith("nothing"):
            self.send_error(404)
            return
        start = 0
        if wanted and self.headers.get("If-Range") == self.server.tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.send_header("ETag", self.server.tag)
        self.end_headers()
        if self.server.hang_ups:
            self.server.hang_ups -= 1
            self.wfile.write(CONTENT[start : start + self.server.hang_up_after])
            self.close_connection = True
            return
        self.wfile.write(CONTENT[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(cache.MIRROR_VARIABLE, raising=False)
    return tmp_path / "anonymize"


def pull(entry: WeightsFile, **options: object) -> Path:
    return cache.pull(entry, pause_seconds=0, **options)  # type: ignore[arg-type]


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_a_file_is_fetched_once(server: Server, folder: Path) -> None:
    entry = replace(ENTRY, url=f"{server.url}/test.pkl")
    assert cache.check(entry) == "missing"
    path = pull(entry)
    assert path == folder / "test.pkl"
    assert path.read_bytes() == CONTENT
    assert cache.check(entry) == "good"
    pull(entry)
    assert len(server.requests) == 1
    assert left(folder) == {"test.pkl", "test.pkl.sha256"}


def test_an_interrupted_download_goes_on_where_it_was(server: Server) -> None:
    server.hang_ups = 2
    assert pull(replace(ENTRY, url=f"{server.url}/a")).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, "bytes=131072-", "bytes=262144-"]


def test_another_run_goes_on_where_the_last_gave_up(server: Server, folder: Path) -> None:
    entry = replace(ENTRY, url=f"{server.url}/a")
    server.hang_ups, server.hang_up_after = 5, CHUNK
    with pytest.raises(WeightsError, match="the next `pull` goes on there"):
        pull(entry)
    assert not (folder / "test.pkl").exists()
    assert pull(entry).read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=327680-"


def test_a_file_that_changed_on_the_server_is_fetched_anew(server: Server) -> None:
    entry = replace(ENTRY, url=f"{server.url}/a")
    server.hang_ups, server.hang_up_after = 5, CHUNK
    with pytest.raises(WeightsError):
        pull(entry)
    server.tag = '"two"'
    assert pull(entry).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_removed(server: Server, folder: Path) -> None:
    with pytest.raises(WeightsError, match="its checksum is another; it was not kept"):
        pull(replace(ENTRY, url=f"{server.url}/a", checksum="sha256:" + "0" * 64))
    assert left(folder) == set()


def test_md5_is_checked_where_that_is_published(server: Server) -> None:
    right = hashlib.md5(CONTENT).hexdigest()
    assert cache.check(replace(ENTRY, checksum=f"md5:{right}")) == "missing"
    assert pull(replace(ENTRY, url=f"{server.url}/a", checksum=f"md5:{right}")).exists()


def test_the_first_digits_of_a_checksum_are_enough(server: Server, folder: Path) -> None:
    entry = replace(ENTRY, url=f"{server.url}/a", checksum=f"sha256:{SHA256[:8]}")
    path = pull(entry)
    assert cache.check(entry) == "good"
    path.write_bytes(CONTENT[:-1])
    assert cache.check(entry) == "changed"
    path.unlink()
    with pytest.raises(WeightsError, match="its checksum is another; it was not kept"):
        pull(replace(entry, checksum="sha256:" + SHA256[1:9]))
    assert not path.exists()


def test_without_a_published_checksum_a_later_change_is_seen(server: Server) -> None:
    entry = replace(ENTRY, url=f"{server.url}/a", checksum=None)
    path = pull(entry)
    assert cache.check(entry) == "good"
    path.write_bytes(CONTENT[:-1])
    assert cache.check(entry) == "changed"
    assert pull(entry).read_bytes() == CONTENT


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_mirror(server: Server, monkeypatch: pytest.MonkeyPatch, by_variable: bool) -> None:
    mirror = f"{server.url}/copies/"
    if by_variable:
        monkeypatch.setenv(cache.MIRROR_VARIABLE, mirror)
    pull(ENTRY, mirror=None if by_variable else mirror)
    assert server.requests == [("/copies/test.pkl", None)]


def test_no_network_and_no_file() -> None:
    with pytest.raises(WeightsError, match=r"cannot download http://127.0.0.1:1/test.pkl: .*refused"):
        pull(ENTRY)


def test_a_missing_file_is_not_asked_for_again(server: Server) -> None:
    with pytest.raises(WeightsError, match="404 Not Found"):
        pull(replace(ENTRY, url=f"{server.url}/nothing"))
    assert len(server.requests) == 1


def test_a_file_of_this_machine(tmp_path: Path, folder: Path) -> None:
    source = tmp_path / "brought.pkl"
    source.write_bytes(CONTENT)
    assert pull(ENTRY, source=source).read_bytes() == CONTENT
    (folder / "test.pkl").unlink()
    source.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="is not test"):
        pull(ENTRY, source=source)
    assert not (folder / "test.pkl").exists()
    assert source.exists()


def test_a_full_disk(server: Server, folder: Path, tmp_path: Path) -> None:
    entry = replace(ENTRY, url=f"{server.url}/a")
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=pull_with_little_room, args=(entry, results))
    process.start()
    message = results.get(timeout=60)
    process.join()
    assert message.startswith("cannot store test in ")
    assert "File too large" in message
    assert not (folder / "test.pkl").exists()


def pull_with_little_room(entry: WeightsFile, results: multiprocessing.Queue[str]) -> None:
    """Files beyond 100 kB fail as on a full disk."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        results.put(str(pull(entry)))
    except WeightsError as error:
        results.put(str(error))


def test_two_processes_at_once(server: Server) -> None:
    entry = replace(ENTRY, url=f"{server.url}/a")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=pull, args=(entry,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(server.requests) == 1
    assert cache.check(entry) == "good"


def test_what_is_not_here_says_how_to_get_it() -> None:
    with pytest.raises(WeightsError, match="anonymize weights pull cse-r50"):
        cache.locate("cse-r50")


def test_names() -> None:
    assert [entry.name for entry in find(["zoo"])] == ["mask-rcnn-x101", "cse-r101-dl", "deep-privacy2"]
    assert len(find([])) == len(CATALOG)
    with pytest.raises(OptionError, match="no weights are called nobody"):
        find(["nobody"])


def test_files_have_their_own_names() -> None:
    assert len({entry.file for entry in CATALOG.values()}) == len(CATALOG)
