"""How unsteady the replacement of a person is who stands still while the picture has film noise."""

import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from anonymize.bodies.poses import standing
from anonymize.build import build_composer
from anonymize.core.types import Frame
from anonymize.detect.predictor import Detector
from anonymize.generate.build import save_weights
from anonymize.generate.network import GeneratorConfig, GeneratorNetwork
from anonymize.lab.synthesis import places
from anonymize.lab.synthesis.film import film_walkers
from anonymize.lab.synthesis.places import random_place
from anonymize.lab.synthesis.scene import Actor, draw_backdrop, random_optics, sensor_noise
from anonymize.lab.synthesis.scene import compose as draw
from anonymize.options import DrawOptions
from anonymize.pipeline import build_tracker, compose, detect
from anonymize.tracksfile.quantize import quantize

SIZE_HW, FPS, FRAMES, PEOPLE = (288, 512), 10, 24, 6
NOISES = (0.8, 2.5, 6.0)  # deviation, of 255: a good camera by day, a usual one, dim light
DISTANCE = (3.5, 7.0)  # metres


def stand(seed: int, noise: float) -> tuple[list[Frame], np.ndarray]:
    """A film of a person who does not move at all, and their pixels [H, W]."""
    rng, camera, [walker] = film_walkers(900 + seed, SIZE_HW, 1)
    xy = (float(rng.uniform(-0.8, 0.8)), float(rng.uniform(*DISTANCE)))
    place = random_place(rng, kind=places.STREET, ways=np.array([[xy, (xy[0] + 0.1, xy[1])]]))
    actor = Actor(walker.person, standing(rng), xy, float(rng.uniform(-180, 180)))
    optics = replace(random_optics(rng, film=True), quality=100, noise=0.0)
    backdrop = draw_backdrop(place, camera)
    scene = draw([actor], place, camera, optics, backdrop=backdrop)
    frames = []
    for k in range(FRAMES):
        added = sensor_noise(scene.image.shape, replace(optics, noise=noise, seed=k))
        frames.append(Frame(np.clip(scene.image + added, 0, 255).astype(np.uint8), k, k, Fraction(1, FPS)))
    return frames, scene.instances == 1


def unrest(pictures: list[np.ndarray], regions: list[np.ndarray]) -> float:
    """Mean change of the pixels [H, W] of two frames' regions from one to the next, of 255."""
    changes = []
    for a, b, at, to in zip(pictures, pictures[1:], regions, regions[1:], strict=False):
        changes.append(np.abs(a.astype(np.int16) - b)[at | to].mean())
    return float(np.mean(changes))


def flicker(detector: Detector, weights: str | None) -> None:
    """Print by how much the replacement changes from frame to frame, against the original.

    Args:
        detector: Finds the people.
        weights: Of the generator: a file, "embedded", or "untrained" for random ones; None blurs.
    """
    with tempfile.TemporaryDirectory() as folder:
        if weights == "untrained":
            torch.manual_seed(0)
            weights = str(Path(folder) / "untrained.safetensors")
            save_weights(Path(weights), GeneratorNetwork(GeneratorConfig()), {})
        options = DrawOptions(mode="blur") if weights is None else DrawOptions(weights=weights)
        print("| noise | person | original | replacement | ratio |\n|---|---|---|---|---|")
        for noise in NOISES:
            figures = []
            for person in range(PEOPLE):
                frames, own = stand(person, noise)
                # a composer knows the IDs of one film
                composer, _ = build_composer(options, detector, torch.device("cpu"))
                found = build_tracker(detector).track(detect(frames, detector))
                tracked = quantize(found, with_surface=weights is not None)
                drawn = [frame for frame, _ in compose(tracked, [composer])]
                edited = [np.zeros(SIZE_HW, np.bool_) if f.edited is None else f.edited for f in drawn]
                if not any(picture.any() for picture in edited):
                    print(f"| {noise} | {person} | not found |")
                    continue
                before = unrest([f.image for f in frames], [own] * FRAMES)
                after = unrest([f.image for f in drawn], edited)
                figures.append((before, after))
                print(f"| {noise} | {person} | {before:.2f} | {after:.2f} | {after / before:.2f} |")
            before, after = np.mean(figures, 0)
            print(f"| {noise} | mean | {before:.2f} | {after:.2f} | {after / before:.2f} |")
