"""What detectors are called, as `--detector` takes it: the one place that knows the rule. Needs no torch.

| name | boxes and masks | body surface |
|---|---|---|
| embedded | embedded | embedded |
| zoo | the strongest pair of the zoo, which `--weights zoo` goes with | the zoo's |
| zoo:MASKS, zoo:MASKS+embedded | a Mask R-CNN of the zoo | embedded |
| zoo:MASKS+CSE | a Mask R-CNN of the zoo | a CSE of the zoo |
| detectron2[:CONFIG[+embedded]] | a configuration of Detectron2 | embedded |
| detectron2:CONFIG+CSE | a configuration of Detectron2 | a configuration of DensePose's CSE |

All else is the path of a file that `anonymize train detector` wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anonymize.core.errors import OptionError
from anonymize.downloads.catalog import CATALOG, ZOO

EMBEDDED = "embedded"
MASKS = tuple(name for name in CATALOG if name.startswith("mask-rcnn-"))
SURFACES = tuple(name for name in CATALOG if name.startswith("cse-"))


@dataclass(frozen=True, slots=True)
class DetectorName:
    """A name, read.

    Attributes:
        family: Where boxes and masks come from.
        masks: Of the zoo: a name of the catalogue. Of Detectron2: a configuration, or nothing for its default. Of a
            file: its path.
        surface: "embedded", a name of the catalogue, or a configuration of DensePose.
    """

    family: Literal["embedded", "file", "zoo", "detectron2"]
    masks: str = ""
    surface: str = EMBEDDED

    @property
    def uses_embedded(self) -> bool:
        """Whether the embedded network has a part in it."""
        return self.family != "file" and self.surface == EMBEDDED

    @classmethod
    def read(cls, name: str | Path) -> DetectorName:
        """Read a name.

        Raises:
            OptionError: The zoo has no such networks, or nothing follows a "+".
        """
        if name == EMBEDDED:
            return cls("embedded")
        family, _, networks = name.partition(":") if isinstance(name, str) else ("", "", "")
        masks, plus, surface = networks.partition("+")
        surface = surface if plus else EMBEDDED
        if family == "zoo":
            if not networks:
                return cls("zoo", *ZOO[:2])
            if masks not in MASKS or surface not in (EMBEDDED, *SURFACES):
                raise OptionError(
                    f"{name} is no detector; write zoo:MASKS or zoo:MASKS+SURFACE; MASKS is one of {', '.join(MASKS)}; "
                    f"SURFACE one of {EMBEDDED} (as without it), {', '.join(SURFACES)}"
                )
            return cls("zoo", masks, surface)
        if family == "detectron2":
            if not surface:
                raise OptionError(f"{name} names no body surface; write {name}{EMBEDDED} or {name}CONFIG of a CSE")
            return cls("detectron2", masks, surface)
        return cls("file", str(name))


def detector_for(weights: str, detector: str | None, *, generates: bool) -> str:
    """The name of the detector that goes with `--weights` and `--detector`.

    Args:
        weights: "embedded", "zoo" or the path of a generator's file.
        detector: A name, or None for the one of the weights.
        generates: Whether people are to be generated.

    Raises:
        OptionError: There is no such detector, or the zoo's generator cannot read its surface. Other pairs are told
            apart when the files are read, see `check_pairing`.
    """
    name = detector or ("zoo" if weights == "zoo" else EMBEDDED)
    if DetectorName.read(name).uses_embedded and weights == "zoo" and generates:
        raise OptionError(
            f"the generator of --weights zoo cannot read the embedded body surface of --detector {name}; give it the "
            "zoo's (--detector zoo, zoo:MASKS+CSE or detectron2:CONFIG+CSE), or leave out --weights zoo"
        )
    return name
