"""Films of people who walk past each other, with the exact truth of every frame.

python -m anonymize.lab.synthesis.film OUT.mp4 --truth OUT.npz --seed 3 --frames 90 --people 5
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator

from anonymize.bodies.body import JOINT, load_body
from anonymize.bodies.camera import Camera
from anonymize.bodies.people import Person, random_person
from anonymize.bodies.poses import gait, stride
from anonymize.core.types import FloatArray, UInt8Array
from anonymize.lab.synthesis import places
from anonymize.lab.synthesis.places import random_place
from anonymize.lab.synthesis.scene import Actor, Backdrop, Scene, compose, draw_backdrop, random_optics

Motion = Literal["still", "hand", "pan", "drive"]
SOUND_RATE = 44_100
PLACES = {"street": places.STREET, "car-park": places.CAR_PARK, "square": places.SQUARE}


@dataclass(frozen=True, eq=False)
class Walker:
    """A person on a way back and forth.

    Attributes:
        person: Who.
        start, end: Turning points on the ground, metres.
        speed: Metres per second.
        delay: Metres already walked at the first frame.
        run: Runs rather than walks.
        vigour, arms, elbow, lean: Manner of walking, see `poses.gait`.
        track_id: From 1.
    """

    person: Person
    start: tuple[float, float]
    end: tuple[float, float]
    speed: float
    delay: float
    run: bool
    vigour: float
    arms: float
    elbow: float
    lean: float
    track_id: int

    @property
    def stride_m(self) -> float:
        """Metres per cycle of the gait."""
        joints = load_body().joints
        mean_leg = float((joints[JOINT["hip.L"]] - joints[JOINT["ankle.L"]]).norm())
        return stride(self.run, self.vigour) * self.person.leg_m / mean_leg

    def at(self, seconds: float) -> Actor:
        """Where and how the person is at a time."""
        a, b = np.array(self.start), np.array(self.end)
        length = float(np.linalg.norm(b - a))
        walked = self.delay + self.speed * seconds
        back = walked % (2 * length) > length
        share = walked % length / length
        xy = b + (a - b) * share if back else a + (b - a) * share
        ahead = (a - b if back else b - a) / length
        # heading 0 looks along -y
        heading = float(np.degrees(np.arctan2(ahead[0], -ahead[1])))
        phase = walked / self.stride_m
        pose = gait(phase, run=self.run, vigour=self.vigour, arms=self.arms, elbow=self.elbow, lean=self.lean)
        return Actor(self.person, pose, (float(xy[0]), float(xy[1])), heading, self.track_id)


def random_walkers(rng: Generator, count: int, camera: Camera) -> list[Walker]:
    """People who cross the view from side to side or walk along it, some leaving it and coming back."""
    walkers = []
    for k in range(count):
        distance = float(rng.uniform(3.2, 11))
        half = distance * camera.size_hw[1] / camera.focal_px / 2 + float(rng.uniform(0.3, 1.5))
        side = 1 if k % 2 else -1
        slant = float(rng.normal(0, 0.8))
        ends = (-half * side, distance - slant), (half * side, distance + slant)
        if rng.random() < 0.25:
            x = float(rng.uniform(-0.5, 0.5)) * half
            ends = (x, distance + 7), (x * 0.8, max(2.5, distance - 3))
        run = bool(rng.random() < 0.1)
        vigour = float(rng.uniform(0.75, 1.05))
        walkers.append(
            Walker(
                person=random_person(rng),
                start=ends[0],
                end=ends[1],
                speed=float(rng.uniform(2.4, 3.2)) if run else 1.45 * vigour * float(rng.uniform(0.85, 1.1)),
                delay=float(rng.uniform(0.1, 0.75)) * 2 * half,
                run=run,
                vigour=vigour,
                arms=float(rng.uniform(0.4, 1.2)),
                elbow=float(rng.uniform(10, 30)),
                lean=float(rng.normal(2, 2)),
                track_id=k + 1,
            )
        )
    return walkers


def moved_camera(camera: Camera, motion: Motion, seconds: float) -> Camera:
    """The camera at a time: shaken by a hand, turning, or driving ahead."""
    if motion == "still":
        return camera
    x, y, z = camera.position
    forward = np.array(camera.rotation[2])
    yaw = pitch = ahead = 0.0
    if motion == "hand":
        yaw = 0.012 * np.sin(1.9 * seconds) + 0.004 * np.sin(7.3 * seconds + 1)
        pitch = 0.008 * np.sin(2.7 * seconds + 2) + 0.003 * np.sin(9.1 * seconds)
        x += 0.03 * float(np.sin(1.3 * seconds))
    elif motion == "pan":
        yaw = 0.22 * np.sin(0.5 * seconds)
    else:
        ahead = 0.35 * seconds
    c, s = np.cos(yaw), np.sin(yaw)
    turned = np.array([forward[0] * c - forward[1] * s, forward[0] * s + forward[1] * c, forward[2] + pitch])
    position = (x, y + ahead, z)
    target = (position[0] + float(turned[0]), position[1] + float(turned[1]), position[2] + float(turned[2]))
    return Camera.looking_at(position, target, camera.focal_px, camera.size_hw)


def film_walkers(seed: int, size_hw: tuple[int, int], n_people: int) -> tuple[Generator, Camera, list[Walker]]:
    """The camera and the people of a film."""
    rng = np.random.default_rng(seed)
    height = float(rng.uniform(1.5, 2.6))
    focal = size_hw[1] * float(rng.uniform(0.75, 1.0))
    camera = Camera.looking_at((0.0, 0.0, height), (0.0, 7.0, 0.85), focal, size_hw)
    return rng, camera, random_walkers(rng, n_people, camera)


def render_film(
    seed: int,
    n_frames: int,
    size_hw: tuple[int, int] = (384, 640),
    *,
    fps: float = 10.0,
    n_people: int = 5,
    motion: Motion = "still",
    kind: int | None = None,
    device: str = "cpu",
) -> Iterator[Scene]:
    """Frames of people walking, crossing, leaving and coming back.

    Args:
        seed: Same seed and options, same film.
        n_frames: How many frames.
        size_hw: Height and width.
        fps: Frames per second.
        n_people: How many people; `Scene.track_ids` are 1 to n_people.
        motion: What the camera does.
        kind: Kind of place (`places.STREET` ...); a street, car park or square by default.
        device: Where to draw.
    """
    rng, camera, walkers = film_walkers(seed, size_hw, n_people)
    walkers = [replace(w, person=w.person.to(device)) for w in walkers]
    chosen = int(rng.choice([places.STREET, places.CAR_PARK, places.SQUARE])) if kind is None else kind
    place = random_place(rng, kind=chosen, ways=np.array([[w.start, w.end] for w in walkers]).reshape(-1, 2, 2))
    optics = replace(random_optics(rng, film=True), quality=100)
    optics = replace(optics, noise=min(optics.noise, 2.5))
    backdrop: Backdrop | None = None
    for index in range(n_frames):
        seconds = index / fps
        view = moved_camera(camera, motion, seconds)
        if backdrop is None or motion != "still":
            backdrop = draw_backdrop(place, view, device=device)
        actors = [w.at(seconds) for w in walkers]
        yield compose(actors, place, view, replace(optics, seed=index), backdrop=backdrop, device=device)


def footsteps(seed: int, seconds: float, size_hw: tuple[int, int], n_people: int) -> FloatArray:
    """Sound of a film's steps over a murmur of traffic, [N] float32 in [-1, 1] at 44,100 Hz."""
    _, _, walkers = film_walkers(seed, size_hw, n_people)
    rng = np.random.default_rng(seed + 1)
    count = int(seconds * SOUND_RATE)
    rumble = np.cumsum(rng.normal(0, 1, count))
    rumble -= np.convolve(rumble, np.ones(2001) / 2001, "same")
    sound = 0.03 * rumble / np.abs(rumble).max() + rng.normal(0, 0.002, count)
    time = np.arange(int(0.09 * SOUND_RATE)) / SOUND_RATE
    for walker in walkers:
        step = walker.stride_m / 2
        first = int(np.ceil(walker.delay / step))
        for k in range(first, first + int(walker.speed * seconds / step) + 1):
            at = int((k * step - walker.delay) / walker.speed * SOUND_RATE)
            if not 0 <= at < count - len(time):
                continue
            thump = np.sin(2 * np.pi * (90 - 300 * time) * time) + 0.5 * rng.normal(0, 1, len(time))
            distance = float(np.hypot(*walker.at(at / SOUND_RATE).xy))
            sound[at : at + len(time)] += 0.6 / distance * np.exp(-time * 55) * thump
    result: FloatArray = np.clip(sound, -0.95, 0.95).astype(np.float32)
    return result


@dataclass
class TruthRecorder:
    """Gathers the truth of a film for one .npz file."""

    instances: list[np.ndarray]
    boxes: list[np.ndarray]

    def add(self, scene: Scene) -> None:
        """Note a frame."""
        lookup = np.concatenate([[0], scene.track_ids]).astype(np.uint8)
        self.instances.append(lookup[scene.instances])
        frame = np.full((len(scene), 1), len(self.instances) - 1)
        self.boxes.append(
            np.concatenate([frame, scene.track_ids[:, None], scene.boxes_xyxy, scene.heights_px[:, None]], 1)
        )

    def save(self, path: Path) -> None:
        """Write `tracks` [T, H, W] uint8 (track ID of each pixel, 0 background) and `boxes` [K, 7] float32.

        A row of `boxes` is frame (from 0), track ID, left, top, right, bottom, full height in pixels.
        """
        boxes = np.concatenate(self.boxes).astype(np.float32)
        np.savez_compressed(path, tracks=np.stack(self.instances), boxes=boxes)


def write_rendered_film(
    path: Path,
    *,
    truth: Path | None = None,
    seed: int = 0,
    n_frames: int = 90,
    size_hw: tuple[int, int] = (384, 640),
    fps: int = 10,
    n_people: int = 5,
    motion: Motion = "still",
    kind: int | None = None,
    crf: int = 23,
    sound: bool = True,
    overwrite: bool = False,
) -> None:
    """Render a film into a file, with the sound of steps.

    Args:
        path: Output; its suffix chooses the container.
        truth: Where to save the truth (`TruthRecorder.save`), if wanted.
        seed, n_frames, size_hw, fps, n_people, motion, kind: See `render_film`.
        crf: Quality of the film, lower is better.
        sound: Add a sound track.
        overwrite: Replace an existing file.

    Raises:
        MediaError: The file cannot be written.
        OptionError: The suffix is not supported, or the file exists.
    """
    from anonymize.media import write_film

    recorder = TruthRecorder([], [])

    def frames() -> Iterator[UInt8Array]:
        for scene in render_film(seed, n_frames, size_hw, fps=fps, n_people=n_people, motion=motion, kind=kind):
            recorder.add(scene)
            yield scene.image

    audio = footsteps(seed, n_frames / fps, size_hw, n_people) if sound else None
    write_film(path, frames(), Fraction(fps), audio=audio, sample_rate=SOUND_RATE, crf=crf, overwrite=overwrite)
    if truth is not None:
        recorder.save(truth)


def main() -> None:
    """Render from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--size", type=int, nargs=2, default=(384, 640), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--motion", choices=("still", "hand", "pan", "drive"), default="still")
    parser.add_argument("--place", choices=sorted(PLACES))
    parser.add_argument("--crf", type=int, default=23)
    parser.add_argument("--overwrite", action="store_true")
    a = parser.parse_args()
    write_rendered_film(
        a.output,
        truth=a.truth,
        seed=a.seed,
        n_frames=a.frames,
        size_hw=(a.size[0], a.size[1]),
        fps=a.fps,
        n_people=a.people,
        motion=a.motion,
        kind=PLACES.get(a.place),
        crf=a.crf,
        overwrite=a.overwrite,
    )


if __name__ == "__main__":
    main()
