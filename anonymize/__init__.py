"""Replace the people in films and pictures."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anonymize.api import Summary, anonymize_image, anonymize_video

__all__ = ["Summary", "__version__", "anonymize_image", "anonymize_video"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Loading torch takes seconds, which `anonymize --help` does not need.
    if name in __all__:
        return getattr(import_module("anonymize.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
