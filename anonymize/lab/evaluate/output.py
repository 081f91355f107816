"""Results as files that are there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anonymize.core.errors import MediaError
from anonymize.core.files import PartialFile


def check_output(path: Path) -> None:
    """Find out before a long work whether its result can be written.

    Raises:
        MediaError: It cannot.
    """
    PartialFile(path, overwrite=True).discard()


def write_text(path: Path, text: str) -> None:
    """Write a file, in place of one that is there.

    Raises:
        MediaError: It cannot be written.
    """
    file = PartialFile(path, overwrite=True)
    try:
        file.partial.write_text(text, encoding="utf-8", newline="\n")
        file.commit()
    except OSError as error:
        raise (
            error if isinstance(error, MediaError) else MediaError(f"cannot write {path}: {error.strerror}")
        ) from error
    finally:
        file.discard()


def write_json(path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON, see `write_text`."""
    write_text(path, json.dumps(figures, indent=2) + "\n")
