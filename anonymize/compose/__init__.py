"""Drawing into the frame: people covered beyond recovery, and what was found marked for checking."""

from anonymize.compose.chosen import ChosenComposer, ChosenGenerator
from anonymize.compose.composer import BatchComposer, Composer, CoverPainter
from anonymize.compose.cover import CoverComposer
from anonymize.compose.generated import GeneratedComposer, PersonGenerator
from anonymize.compose.margin import covers_of
from anonymize.compose.overlay import OverlayComposer
from anonymize.compose.plate import Covered, with_backgrounds

__all__ = [
    "BatchComposer",
    "ChosenComposer",
    "ChosenGenerator",
    "Composer",
    "CoverComposer",
    "CoverPainter",
    "Covered",
    "GeneratedComposer",
    "OverlayComposer",
    "PersonGenerator",
    "covers_of",
    "with_backgrounds",
]
