"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from anonymize.core.errors import AnonymizeError, MediaError


@contextmanager
def whole_file(path: Path | str, *, source: Path | None = None, overwrite: bool = False) -> Iterator[Path]:
    """Write a file whole or not at all: gives its name when the `with` ends well, and leaves nothing when it does not.

    Args:
        path: The final place.
        source: The input, which must not be overwritten.
        overwrite: Replace a file that is there already.

    Yields:
        Where to write meanwhile.

    Raises:
        MediaError: The file cannot be written; see `PartialFile`.
    """
    file = PartialFile(path, source=source, overwrite=overwrite)
    try:
        yield file.partial
        file.commit()
    except OSError as error:
        if isinstance(error, AnonymizeError):
            raise
        raise MediaError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        file.discard()


class PartialFile:
    """A file beside its final place until `commit` gives it its name.

    Attributes:
        path: The final place.
        partial: Where to write until then; exists from the start, so that a folder without permission is found early.
    """

    def __init__(self, path: Path | str, *, source: Path | None = None, overwrite: bool = False) -> None:
        """Check that the file may be written and create the partial one.

        Args:
            path: The final place.
            source: The input, which must not be overwritten.
            overwrite: Replace a file that is there already.

        Raises:
            MediaError: The folder is missing or not writable, the output is the input, or it exists.
        """
        self.path = Path(path)
        self._overwrite = overwrite
        if not self.path.parent.is_dir():
            raise MediaError(f"cannot write {self.path}: there is no folder {self.path.parent}")
        if source is not None and self.path.exists() and source.exists() and self.path.samefile(source):
            raise MediaError(f"cannot write {self.path}: it is the input")
        self._refuse_what_is_there()
        # Written under the final suffix, because the suffix decides the format.
        self.partial = self.path.with_name(f".{self.path.stem[:64]}.{secrets.token_hex(4)}.partial{self.path.suffix}")
        try:
            self.partial.open("xb").close()
        except OSError as error:
            raise MediaError(f"cannot write {self.path}: {error.strerror}") from error

    def commit(self) -> None:
        """Give the finished file its name, in one step.

        Raises:
            MediaError: The disk is full, or another file has appeared under the name meanwhile.
        """
        try:
            with self.partial.open("rb+") as file:
                os.fsync(file.fileno())
            self._refuse_what_is_there()
            self.partial.replace(self.path)
        except MediaError:
            raise
        except OSError as error:
            raise MediaError(f"cannot write {self.path}: {error.strerror}") from error

    def discard(self) -> None:
        """Remove the partial file."""
        self.partial.unlink(missing_ok=True)

    def _refuse_what_is_there(self) -> None:
        if not os.path.lexists(self.path):
            return
        if self.path.is_dir():
            raise MediaError(f"cannot write {self.path}: it is a folder")
        if self.path.exists() and not self.path.is_file():
            raise MediaError(f"cannot write {self.path}: it is not a regular file")
        if not self._overwrite:
            raise MediaError(f"{self.path} exists; --overwrite replaces it")


def check_input(path: Path) -> None:
    """Find out early whether a film or a picture may be read.

    Raises:
        MediaError: There is no such file, it is a folder, it is empty, or it may not be read.
    """
    try:
        if path.is_dir():
            raise MediaError(f"cannot read {path}: it is a folder")
        if path.stat().st_size == 0:
            raise MediaError(f"cannot read {path}: it is empty")
        path.open("rb").close()
    except MediaError:
        raise
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error


def check_output(path: Path | str, *, source: Path | None = None, overwrite: bool = False) -> None:
    """Find out before the work whether a file can be written after it; the arguments are those of `PartialFile`.

    Raises:
        MediaError: The folder is missing or not writable, the output is the input, or it exists.
    """
    PartialFile(path, source=source, overwrite=overwrite).discard()


class PartialFolder:
    """Files that get their names in a folder together, when all of them are complete.

    Attributes:
        path: The folder; it may hold other files.
        partial: The folder in it where the files lie until `commit`.
    """

    def __init__(
        self, path: Path | str, names: Sequence[str], *, source: Path | None = None, overwrite: bool = False
    ) -> None:
        """Check that the files may be written and create the partial folder.

        Args:
            path: The folder; made if missing.
            names: What the files will be called.
            source: The folder of the input, which must not be overwritten.
            overwrite: Replace files that are there already.

        Raises:
            MediaError: The folder cannot be made or written, is the input's, or one of the files exists.
        """
        self.path = Path(path)
        self._overwrite = overwrite
        if self.path.exists() and not self.path.is_dir():
            raise MediaError(f"cannot write {self.path}: it is not a folder")
        if not self.path.absolute().parent.is_dir():
            raise MediaError(f"cannot write {self.path}: there is no folder {self.path.parent}")
        if source is not None and self.path.resolve() == source.resolve():
            raise MediaError(f"cannot write {self.path}: it is the input")
        self._refuse_what_is_there(names)
        self._made = not self.path.exists()
        self.partial = self.path / f".{secrets.token_hex(4)}.partial"
        try:
            self.partial.mkdir(parents=True)
        except OSError as error:
            raise MediaError(f"cannot write {self.path}: {error.strerror}") from error

    def commit(self) -> None:
        """Give the finished files their names, one right after the other.

        Raises:
            MediaError: One of them cannot get its name, or another file has appeared under it meanwhile.
        """
        try:
            names = sorted(path.name for path in self.partial.iterdir())
            self._refuse_what_is_there(names)
            for name in names:
                (self.partial / name).replace(self.path / name)
        except MediaError:
            raise
        except OSError as error:
            raise MediaError(f"cannot write {self.path}: {error.strerror}") from error

    def discard(self) -> None:
        """Remove the partial folder, and the folder itself where it was made in vain."""
        shutil.rmtree(self.partial, ignore_errors=True)
        if self._made:
            with suppress(OSError):  # It holds the results.
                self.path.rmdir()

    def _refuse_what_is_there(self, names: Sequence[str]) -> None:
        for name in names:
            path = self.path / name
            if path.is_dir():
                raise MediaError(f"cannot write {path}: it is a folder")
            if os.path.lexists(path) and not self._overwrite:
                raise MediaError(f"{path} exists; --overwrite replaces it")


def remove_partials(path: Path) -> None:
    """Remove what a killed process left of an output: see `PartialFile`, and `PartialFolder` of an output folder."""
    if path.is_dir():
        for left in path.glob(".*.partial"):
            if re.fullmatch(r"\.[0-9a-f]{8}\.partial", left.name) and left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
    pattern = re.compile(
        rf"\.{re.escape(path.stem[:64])}\.[0-9a-f]{{8}}\.partial{re.escape(path.suffix)}", flags=re.DOTALL
    )
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 - names, not paths
    except OSError:
        return
    for name in names:
        if pattern.fullmatch(name):
            (path.parent / name).unlink(missing_ok=True)
