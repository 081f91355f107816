"""Hair, beards and hats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anonymize.bodies.look import Look, choice
from anonymize.bodies.wardrobe import CLOTHES, HAIR, Wardrobe, blob

HAIR_LONG = ("bob01", "ponytail01", "long01", "bob02", "braid01", "bun", "short03", "afro01")
HAIR_SHORT = ("crop", "short02", "short04", "crop", "short01", "crop", "afro01", "bald")


def put_on_hat(w: Wardrobe, look: Look, cloth: Callable[[str], int]) -> bool:
    """A cap, beanie, hood or headscarf, of one in eight."""
    share = look.share("hat")
    if 0.05 < share < 0.93:
        return False
    row = cloth("hat_colour")
    scalp, face_z, depth = w.region("scalp"), w.region("face_z"), w.region("depth")
    head = w.region("head").astype(bool)
    x, _, z = w.base.vertices.numpy().T
    if share < 0.03 and look.female:  # headscarf
        eye = w.model.eyes.mean(0)
        oval = ((x / 0.068) ** 2 + ((z - eye[2] + 0.015) / 0.1) ** 2) ** 0.5 - 1
        around = np.where(depth < 0.07, 0.08 * oval, 0.05)
        neck = np.where(w.region("arm") > -1, -0.02, z - 1.44 - 0.6 * (np.abs(x)))
        field = np.where(head, around, np.minimum(neck, 0.05))
        loose = 0.012 + 0.03 * np.clip(1.68 - z, 0, 0.15) / 0.15 + 0.02 * np.clip(depth - 0.1, 0, 0.1) / 0.1
        w.cloth(w.laid({}, loose), field, row)
    elif share < 0.05:
        w.cloth(w.laid({}, 0.026), np.where(head, np.maximum(scalp + 0.03, depth - 0.075), -0.01), row)
    else:
        cap = share > 0.955
        thick = 0.012 if cap else 0.017
        w.cloth(
            w.laid({}, thick + (0 if cap else 0.02) * np.clip(scalp / 0.1, 0, 1)), np.minimum(scalp, face_z - 0.03), row
        )
        if cap:
            eye = w.model.eyes.mean(0)
            points, faces = blob((0, float(eye[1]) - 0.045, float(eye[2]) + 0.062), (0.15, 0.16, 0.012), 0.8)
            top = int(w.model.surface.vertices[:, 2].argmax())
            w.attached(points, faces, "head", row, CLOTHES, anchor=top, surface=True)
    return True


def grow_hair(w: Wardrobe, look: Look, row: int, hat: bool) -> None:
    """Hair, and the beard of some men."""
    if hat and look.female and look.share("hat") < 0.03:
        return
    name = hair_style(look)
    scalp, depth = w.region("scalp"), w.region("depth")
    volume = look.share("hair_volume")
    x, _, z = w.base.vertices.numpy().T
    if name == "bald":  # a wreath is left
        wreath = np.minimum(scalp, np.minimum(depth - 0.08, 0.05 - w.region("face_z")))
        w.cloth(w.laid({}, 0.004), wreath, row, HAIR, cover=False)
    else:
        rough = 0.3 * np.sin(70 * x + 9 * volume) * np.sin(60 * z)
        thick = 0.006 + 0.02 * volume * (1 + rough) * np.clip(scalp / 0.05, 0, 1) if name == "crop" else 0.007
        w.cloth(w.laid({}, thick), scalp, row, HAIR, cover=False)
        if name == "bun":
            tie_bun(w, volume, row)
        elif name != "crop" and not (hat and name in ("afro01", "short01", "short02")):
            w.baked(f"hair.{name}", row, HAIR, puff=0.002 + 0.004 * volume)
    if not look.female and look.share("beard") > 0.68:
        grow_beard(w, volume, row)


def hair_style(look: Look) -> str:
    """Name of the hair; the young are not bald."""
    names = HAIR_LONG if look.female else HAIR_SHORT
    name = str(choice(look.share("hair_kind"), [(n, 1 / len(names)) for n in names]))
    return "crop" if name == "bald" and look.share("age") < 0.5 else name


def tie_bun(w: Wardrobe, volume: float, row: int) -> None:
    """A bun at the back of the head."""
    eye = w.model.eyes.mean(0)
    size = 0.07 + 0.03 * volume
    points, faces = blob((0, float(eye[1]) + 0.2, float(eye[2]) + 0.05), (size, size, size), 1.0)
    top = int(w.model.surface.vertices[:, 2].argmax())
    w.attached(points, faces, "head", row, HAIR, anchor=top, surface=True)


def grow_beard(w: Wardrobe, volume: float, row: int) -> None:
    """A beard, thicker with the volume of the hair, in [0, 1]."""
    depth, face_z = w.region("depth"), w.region("face_z")
    beard = np.minimum(np.minimum(-0.075 - face_z, face_z + 0.15), 0.08 - depth)
    beard = np.where(w.region("head") > 0, beard, -0.01)
    w.cloth(w.laid({}, 0.002 + 0.008 * volume), beard, row, HAIR, cover=False)
