"""Results as files that are there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anonymize.core.files import PartialFile, whole_file


def check_output(path: Path) -> None:
    """Find out before a long work whether its result can be written.

    Raises:
        MediaError: It cannot.
    """
    PartialFile(path, overwrite=True).discard()


def write_json(path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON, in place of a file that is there.

    Raises:
        MediaError: It cannot be written.
    """
    with whole_file(path, overwrite=True) as partial:
        partial.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8", newline="\n")
