"""Drawing into the frame: people covered beyond recovery, and what was found marked for checking."""

from anonymize.compose.composer import Composer
from anonymize.compose.cover import CoverComposer, CoverMode
from anonymize.compose.overlay import OverlayComposer

__all__ = ["Composer", "CoverComposer", "CoverMode", "OverlayComposer"]
