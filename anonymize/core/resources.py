"""Files that come with the package."""

from __future__ import annotations

from pathlib import Path

from anonymize.core.errors import WeightsError

DETECTOR = "detector-embedded.safetensors"
GENERATOR = "generator-embedded.safetensors"
PLATES = "plates-embedded.safetensors"
_PACKAGE = Path(__file__).resolve().parents[1]


def weights_path(name: str) -> Path:
    """Path of an embedded weights file, in an installed package as in a bare checkout.

    Args:
        name: File name, such as `DETECTOR`.

    Raises:
        WeightsError: There is no such file.
    """
    places = [_PACKAGE / "weights", _PACKAGE.parent / "weights"]  # Installed; checkout, where it lies at the top.
    for place in places:
        if (place / name).is_file():
            return place / name
    raise WeightsError(f"the embedded weights {name} are missing; install the package again")
