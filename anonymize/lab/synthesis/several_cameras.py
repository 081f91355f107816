"""Rendered people seen by several cameras, in the layout of Market-1501."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from tqdm import tqdm

from anonymize.bodies.camera import Camera
from anonymize.bodies.people import Person, random_person
from anonymize.bodies.poses import standing, walking
from anonymize.core.errors import MediaError, OptionError
from anonymize.core.types import Frame, UInt8Array
from anonymize.lab.market1501 import GALLERY, QUERY, picture_name
from anonymize.lab.synthesis import places
from anonymize.lab.synthesis.places import Place, random_place
from anonymize.lab.synthesis.scene import Actor, Backdrop, Optics, compose, draw_backdrop, random_optics
from anonymize.media import write_image

PICTURE_HW = (256, 128)
VIEW_HW = (384, 512)
HEIGHT_PX = (130, 190)
"""Of people in a camera's view."""
MARGIN = 0.08
"""Of a person's height, beside them in the picture, as of boxes of a detector."""
WAYS = [[(0, 1), (0, 9)]] + [[(-x, x), (x, x)] for x in (2.5, 3.5, 4.5, 5.5, 6.5, 7.5)]
"""Before a camera, metres: no car, post or tree stands on them, so that people are seen wherever they stand."""
KINDS = (places.STREET, places.SQUARE, places.CAR_PARK)
LEAST_SEEN = 0.6
"""Of the least height; of who shows less, most is hidden."""
TRIES = 20


@dataclass(frozen=True, eq=False)
class Station:
    """A camera that stands still: its place, light, height and optics."""

    place: Place
    camera: Camera
    optics: Optics
    backdrop: Backdrop


def random_station(rng: Generator, number: int) -> Station:
    """A camera as they hang before a shop; each looks at another place."""
    place = random_place(rng, kind=KINDS[number % len(KINDS)], ways=np.array(WAYS))
    height = float(rng.uniform(1.6, 3.2))
    camera = Camera.looking_at((0.0, 0.0, height), (float(rng.normal(0, 1)), 8.0, 0.8), VIEW_HW[1] * 0.9, VIEW_HW)
    optics = replace(random_optics(rng, film=True), quality=100)
    return Station(place, camera, replace(optics, noise=min(optics.noise, 2.5)), draw_backdrop(place, camera))


def picture_of(rng: Generator, station: Station, person: Person) -> UInt8Array:
    """A picture [256, 128, 3] uint8 RGB of a person who stands or walks before a camera.

    Raises:
        OptionError: Nothing of the person is to be seen, again and again.
    """
    camera = station.camera
    for tried in range(TRIES):
        # ever farther away: a child near enough to be tall is below what a high camera sees
        distance = (1 + tried / TRIES) * camera.focal_px * person.height_m / float(rng.uniform(*HEIGHT_PX))
        aside = float(rng.uniform(-0.3, 0.3)) * distance * VIEW_HW[1] / camera.focal_px
        pose = walking(rng, run=False) if rng.random() < 0.75 else standing(rng)
        actor = Actor(person, pose, (aside, distance), float(rng.uniform(-180, 180)))
        optics = replace(station.optics, seed=int(rng.integers(1 << 31)))
        scene = compose([actor], station.place, camera, optics, backdrop=station.backdrop)
        if len(scene):
            left, top, right, bottom = scene.boxes_xyxy[0].tolist()
            whole = min(left, top) > 0 and right < VIEW_HW[1] and bottom < VIEW_HW[0]
            if whole and bottom - top > LEAST_SEEN * HEIGHT_PX[0]:
                return _cut(scene.image, ((left + right) / 2, (top + bottom) / 2), bottom - top, right - left)
    raise OptionError("a rendered person is hidden wherever they stand; take another --seed")


def _cut(image: UInt8Array, middle_xy: tuple[float, float], height: float, width: float) -> UInt8Array:
    """A rectangle of the picture's shape round a person; beyond the view its border is repeated."""
    tall = max(height * (1 + 2 * MARGIN), width * (1 + 2 * MARGIN) * PICTURE_HW[0] / PICTURE_HW[1])
    scale = PICTURE_HW[0] / tall
    x, y = PICTURE_HW[1] / 2 - scale * middle_xy[0], PICTURE_HW[0] / 2 - scale * middle_xy[1]
    matrix = np.array([[scale, 0, x], [0, scale, y]])
    cut = cv2.warpAffine(image, matrix, PICTURE_HW[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, np.uint8)


def write_market1501(folder: Path, *, people: int, views: int, cameras: int, seed: int = 0) -> int:
    """Render people before several cameras: half of the pictures of each are queries, the others the gallery.

    Args:
        folder: Must not hold such folders yet.
        people: How many.
        views: Pictures of each, by the cameras in turn.
        cameras: How many.
        seed: Same seed, same people and cameras.

    Returns:
        Number of pictures written.

    Raises:
        OptionError: Nothing could be found across cameras, or the folder is taken.
        MediaError: The folder cannot be written to.
    """
    if cameras < 2 or views < 2:
        raise OptionError("a person must be seen by another camera too: at least 2 views and 2 cameras")
    folders = [folder / part for part in (QUERY, GALLERY)]
    for path in folders:
        if path.exists():
            raise OptionError(f"{path} exists")
    count = people * views
    try:
        for path in folders:
            path.mkdir(parents=True)
        stations = [random_station(np.random.default_rng([seed, 0, k]), k) for k in range(cameras)]
        for name, image in tqdm(_pictures(stations, people, views, seed), total=count, unit="picture", disable=None):
            write_image(folder / name, Frame(image, 0, 0, Fraction(1)))
    except BaseException as error:
        for path in folders:
            shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, MediaError):
            raise MediaError(f"cannot write {folder}: {error.strerror}") from error
        raise
    return count


def _pictures(stations: list[Station], people: int, views: int, seed: int) -> Iterator[tuple[str, UInt8Array]]:
    for number in range(1, people + 1):
        rng = np.random.default_rng([seed, 1, number])
        person = random_person(rng)
        for view in range(views):
            camera = view % len(stations)
            part = QUERY if view < views // 2 else GALLERY
            yield picture_name(part, number, camera + 1, view), picture_of(rng, stations[camera], person)
