"""One file over HTTP into another, going on where an earlier attempt stopped."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from anonymize.core.errors import WeightsError

ATTEMPTS = 5
TIMEOUT_SECONDS = 30.0
CHUNK = 1 << 16


class ResumingDownload:
    """A downloader for pooch.

    What has arrived is kept beside the target as `.part`, with the server's version tag, so that the next attempt, also
    of another run, asks for the rest only, and starts anew if the server's file has changed.

    Args:
        part: Where to keep what has arrived.
        pause_seconds: Before the second attempt; doubles with each.
    """

    def __init__(self, part: Path, *, pause_seconds: float = 1.0) -> None:
        self._part, self._pause_seconds = part, pause_seconds
        self._tag = part.with_name(part.name + ".tag")

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        """Fetch `url` into `output_file`.

        Raises:
            WeightsError: The server cannot be reached, does not have the file, or hangs up again and again.
            OSError: The disk is full.
        """
        for attempt in range(ATTEMPTS):
            try:
                self._fetch_rest(url)
                break
            except (requests.RequestException, EOFError) as error:
                if attempt + 1 == ATTEMPTS:
                    raise WeightsError(
                        f"cannot download {url}: {_reason(error)}; what arrived is kept, the next `pull` goes on there"
                    ) from error
                time.sleep(self._pause_seconds * 2**attempt)
        self._part.replace(output_file)
        self._tag.unlink(missing_ok=True)

    def _fetch_rest(self, url: str) -> None:
        arrived = self._part.stat().st_size if self._part.exists() and self._tag.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if arrived:
            headers |= {"Range": f"bytes={arrived}-", "If-Range": self._tag.read_text()}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:  # nothing is left to send
                self._tag.unlink(missing_ok=True)
                raise EOFError("the server's file has another length")
            if not answer.ok:
                raise WeightsError(f"cannot download {url}: {answer.status_code} {answer.reason}")
            if answer.status_code != requests.codes.partial_content:
                arrived = 0
            self._remember(answer)
            left = answer.headers.get("Content-Length")
            total = arrived + int(left) if left else None
            with (
                self._part.open("ab" if arrived else "wb") as file,
                tqdm(
                    desc=self._part.stem, initial=arrived, total=total, unit="B", unit_scale=True, disable=None
                ) as progress,
            ):
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    progress.update(len(chunk))
        if total is not None and self._part.stat().st_size != total:
            raise EOFError("the connection broke off")

    def _remember(self, answer: requests.Response) -> None:
        """Keep a strong version tag; without one a later attempt cannot know that it goes on in the same file."""
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if tag and not tag.startswith("W/"):
            self._tag.write_text(tag)
        else:
            self._tag.unlink(missing_ok=True)


class LocalCopy:
    """A downloader for pooch that takes a file of this machine instead of the address.

    Args:
        source: The file.
        part: Where to copy it first.
    """

    def __init__(self, source: Path, part: Path) -> None:
        self._source, self._part = source, part

    def __call__(self, _url: str, output_file: str, _pooch: Any) -> None:
        """Copy the file into `output_file`."""
        import shutil

        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._part.unlink, missing_ok=True)
            shutil.copyfile(self._source, self._part)
            self._part.replace(output_file)


def _reason(error: BaseException) -> str:
    """The innermost cause of a network error, on one line."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return " ".join(str(error).split()) or type(error).__name__
