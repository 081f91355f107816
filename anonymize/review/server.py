"""The page's server: HTTP on this machine only, for those who know the token in the address."""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from anonymize import __version__
from anonymize.core.errors import AnonymizeError, MediaError
from anonymize.review.jobs import BusyError
from anonymize.review.session import ConflictError, Session, edits_from_json

HOST = "127.0.0.1"
MOST_BODY_BYTES = 16 << 20
"""Of a request; the edits of thousands of tracks are smaller."""
IDLE_SECONDS = 60
TOKEN_BYTES = 24
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
PAGES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    **{name: (name, "text/javascript; charset=utf-8") for name in ("page.js", "edits.js", "film.js", "timeline.js")},
}
"""The page's own files, by the end of their address; nothing else is read from the disk by its name."""

log = logging.getLogger(__name__)


class RequestError(AnonymizeError):
    """A request that is refused."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class ReviewServer(ThreadingHTTPServer):
    """Serves a session on 127.0.0.1.

    Attributes:
        address: What to open in a browser; it holds the token.

    Args:
        session: What is reviewed.
        port: 0 for a free one.
        token: None for a new one.

    Raises:
        MediaError: The port is taken, or may not be used.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, session: Session, port: int = 0, token: str | None = None) -> None:
        self.session = session
        self.token = token or secrets.token_urlsafe(TOKEN_BYTES)
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise MediaError(f"cannot listen on port {port}: {error.strerror}") from error
        self.hosts = {f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"}

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks off is no news."""
        log.debug("a connection ended", exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """Answers one request after the other of a connection."""

    server: ReviewServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = f"anonymize/{__version__}", ""
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        self._answer(lambda path: self._get(path))

    def do_POST(self) -> None:
        self._answer(lambda path: self._post(path))

    def log_message(self, *_: Any) -> None:
        """Addresses hold the token, so they go into no log."""

    def _answer(self, act: Callable[[str], tuple[str, bytes]]) -> None:
        try:
            kind, body = act(self._checked_path())
            status = HTTPStatus.OK
        except Exception as error:
            if not isinstance(error, AnonymizeError):
                log.debug("", exc_info=True)
            status, message = _refusal(error)
            kind, body = "application/json", json.dumps({"error": message}).encode()
            self.close_connection = True  # what is left of the request's body is not read
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _checked_path(self) -> str:
        """The address after the token.

        Raises:
            RequestError: Another host was meant, or the token is wrong.
        """
        server = self.server
        if self.headers.get_all("Host", []) not in [[host] for host in server.hosts]:
            raise RequestError(HTTPStatus.FORBIDDEN, "this page is served under the address that was printed only")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in server.hosts}:
            raise RequestError(HTTPStatus.FORBIDDEN, "another page may not ask for this")
        token, slash, path = self.path.removeprefix("/").partition("/")
        if not slash or not secrets.compare_digest(token.encode(), server.token.encode()):
            raise RequestError(
                HTTPStatus.FORBIDDEN, "the token is wrong or missing; use the address that was printed last"
            )
        return urlsplit(path).path if path else ""

    def _get(self, path: str) -> tuple[str, bytes]:
        session = self.server.session
        if path in PAGES:
            name, kind = PAGES[path]
            return kind, files("anonymize.review").joinpath("page", name).read_bytes()
        if path == "review.json":
            return _json(session.describe())
        if path == "times":
            return "application/octet-stream", session.times()
        if path == "job.json":
            return _json(None if session.job is None else session.job.to_json())
        if match := re.fullmatch(r"frame/(\d{1,9})", path, re.ASCII):
            return "image/jpeg", session.pictures.jpeg(int(match[1]))
        if match := re.fullmatch(r"people/(\d{1,9})-(\d{1,9})", path, re.ASCII):
            return _json(session.people(int(match[1]), int(match[2])))
        if match := re.fullmatch(r"thumbnail/(\d{1,9})/(\d{1,9})", path, re.ASCII):
            return "image/jpeg", session.thumbnail(int(match[1]), int(match[2]))
        raise RequestError(HTTPStatus.NOT_FOUND, "there is no such page")

    def _post(self, path: str) -> tuple[str, bytes]:
        session, asked = self.server.session, self._body()
        try:
            if path == "save":
                return _json({"revision": session.save(asked["revision"], edits_from_json(asked["edits"]))})
            if path == "copy":
                return _json({"file": session.save_copy(edits_from_json(asked["edits"]))})
            if path == "follow":
                session.start_follow(asked["box"], asked["at"], asked["to"])
                return _json(None)
            if path == "render":
                session.start_render(asked["revision"], overwrite=asked["overwrite"] is True)
                return _json(None)
            if path == "cancel":
                session.cancel()
                return _json(None)
        except (KeyError, TypeError) as error:
            log.debug("", exc_info=True)
            raise RequestError(HTTPStatus.BAD_REQUEST, "the request has another form") from error
        raise RequestError(HTTPStatus.NOT_FOUND, "there is no such page")

    def _body(self) -> dict[str, Any]:
        """The JSON object of a request."""
        if self.headers.get_content_type() != "application/json" or "Transfer-Encoding" in self.headers:
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a request's body must be JSON of a known length")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"\d{1,9}", length, re.ASCII):
            raise RequestError(HTTPStatus.LENGTH_REQUIRED, "a request's body must have a length")
        if int(length) > MOST_BODY_BYTES:
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large")
        try:
            asked = json.loads(self.rfile.read(int(length)))
        except ValueError as error:
            raise RequestError(HTTPStatus.BAD_REQUEST, "the request is no JSON") from error
        if not isinstance(asked, dict):
            raise RequestError(HTTPStatus.BAD_REQUEST, "the request is no JSON object")
        return asked


def _refusal(error: Exception) -> tuple[HTTPStatus, str]:
    """Status and line for the page."""
    message = " ".join(str(error).split())
    if isinstance(error, RequestError):
        return error.status, message
    if isinstance(error, ConflictError | BusyError):
        return HTTPStatus.CONFLICT, message
    if isinstance(error, AnonymizeError):
        return HTTPStatus.UNPROCESSABLE_ENTITY, message
    return HTTPStatus.INTERNAL_SERVER_ERROR, f"internal error: {type(error).__name__}: {message}"


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
