from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymize.bodies.people import random_person
from anonymize.bodies.poses import cycling, sitting
from anonymize.core.body_surface import load_surface
from anonymize.core.errors import MediaError
from anonymize.lab.synthesis import render_scene
from anonymize.lab.synthesis.cutouts import NO_VERTEX, write_cutouts
from anonymize.lab.synthesis.film import render_film, write_rendered_film
from anonymize.lab.synthesis.places import SQUARE, Builder, bicycle, car, furnished, post, random_place

SMALL = (96, 160)


def test_a_place_without_people() -> None:
    scene = render_scene(np.random.default_rng(0), SMALL, people=0)
    assert len(scene) == 0 and not scene.instances.any() and (scene.vertices == -1).all()
    assert (scene.image == scene.background).all()


def test_truth_agrees_with_itself_and_with_the_picture() -> None:
    seen = 0
    for seed in range(4):
        scene = render_scene(np.random.default_rng(seed), SMALL, people=4)
        seen += len(scene)
        assert set(np.unique(scene.instances)) - {0} == set(range(1, len(scene) + 1))
        assert scene.vertices.max() < len(load_surface().vertices)
        assert (scene.vertices[scene.instances == 0] == -1).all()
        for k, box in enumerate(scene.boxes_xyxy, 1):
            rows, columns = np.nonzero(scene.instances == k)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        people = scene.instances > 0
        if people.sum() > 50:
            change = np.abs(scene.image.astype(int) - scene.background).sum(2)
            assert change[people].mean() > 2 * change[~people].mean()
    assert seen >= 4


def test_same_seed_same_scene() -> None:
    first, second = (render_scene(np.random.default_rng(3), SMALL, people=2) for _ in range(2))
    assert (first.image == second.image).all() and (first.instances == second.instances).all()


def test_pictures_as_backgrounds(tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        for seed in range(20):
            render_scene(np.random.default_rng(seed), SMALL, people=0, backgrounds=tmp_path)
    cv2.imwrite(str(tmp_path / "green.png"), np.full((200, 200, 3), (0, 255, 0), np.uint8))
    scenes = [render_scene(np.random.default_rng(s), SMALL, people=0, backgrounds=tmp_path) for s in range(6)]
    assert any(s.image[..., 1].mean() > 2 * s.image[..., 0].mean() for s in scenes)


def test_film_keeps_identities_and_moves() -> None:
    frames = list(render_film(1, 3, SMALL, fps=5, n_people=3))
    again = list(render_film(1, 3, SMALL, fps=5, n_people=3))
    assert all((a.image == b.image).all() for a, b in zip(frames, again, strict=True))
    assert all(set(f.track_ids.tolist()) <= {1, 2, 3} for f in frames)
    common = set(frames[0].track_ids.tolist()) & set(frames[2].track_ids.tolist())
    assert common
    for track in common:
        first, last = (f.boxes_xyxy[f.track_ids == track][0] for f in (frames[0], frames[2]))
        assert (first != last).any()


def test_written_film_has_sound_and_truth(tmp_path: Path) -> None:
    import av

    film, truth = tmp_path / "film.mp4", tmp_path / "truth.npz"
    write_rendered_film(film, truth=truth, n_frames=4, size_hw=SMALL, fps=5, n_people=2)
    with av.open(str(film)) as container:
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 4
    with np.load(truth) as arrays:
        assert arrays["tracks"].shape == (4, *SMALL)
        for row in arrays["boxes"]:
            frame, track, left, top = (int(v) for v in row[:4])
            assert (arrays["tracks"][frame, top:, left:] == track).any()


def test_cutouts(tmp_path: Path) -> None:
    write_cutouts(tmp_path, count=2, height=40, processes=1)
    (path,) = tmp_path.iterdir()
    with np.load(path) as arrays:
        assert arrays["sizes"].shape == (2, 2) and (arrays["sizes"][:, 0] == 40).all()
        assert len(arrays["alpha"]) == arrays["sizes"].prod(1).sum() == len(arrays["vertex"])
        assert (arrays["vertex"][arrays["alpha"] == 0] == NO_VERTEX).all()


def test_cars_keep_clear_of_ways() -> None:
    build = Builder(np.array([[[-5.0, 5.0], [5.0, 5.0]]]))
    rng = np.random.default_rng(0)
    car(build, rng, 0.0, 6.0, 0.0)
    post(build, rng, 4.0, 5.2)
    assert not build.points
    car(build, rng, 0.0, 8.0, 0.0)
    assert build.points


def test_sitters_and_cyclists_have_something_below_them() -> None:
    rng = np.random.default_rng(1)
    place, person = random_place(rng, kind=SQUARE), random_person(rng)
    assert furnished(place, Builder()) is place
    for pose, build in ((sitting(rng), Builder()), (cycling(rng), Builder())):
        height = person.seat_m(pose)
        vertices, _ = person.posed(pose, coarse=True)
        under = vertices[:, :2].norm(dim=1) < 0.12
        assert float(vertices[under, 2].min()) == pytest.approx(height, abs=0.12)
        bicycle(build, rng, 0.0, 0.0, 0.0)
        full = furnished(place, build)
        assert len(full.faces) > len(place.faces) and int(full.material.max()) < len(full.table)
        assert int(full.faces.max()) == len(full.vertices) - 1
