import dataclasses
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from anonymize.core.body_surface import load_surface
from anonymize.core.errors import OptionError
from anonymize.core.types import Detections, RegionMask
from anonymize.detect.network import DetectorConfig, DetectorNetwork
from anonymize.detect.predictor import EmbeddedDetector
from anonymize.lab.train.dataset import (
    NO_VERTEX,
    SIZE,
    PersonCrop,
    ShardWriter,
    SurfaceTable,
    build_dataset,
    build_rendered,
    rendered_crop,
    table_of,
    vertices_per_part,
)
from anonymize.lab.train.dataset_reader import (
    People,
    PeopleBatches,
    blurred_surface,
    flip,
    grow_mask,
    head_box,
    mirror_embedding,
)

SURFACE = load_surface()


def table() -> SurfaceTable:
    return SurfaceTable.of(torch.randn(1024, 16, generator=torch.Generator().manual_seed(0)), SURFACE)


class OnePerson(EmbeddedDetector):
    """Finds one person in the middle; their surface is that of the left half of the body."""

    def detect(self, images: list[np.ndarray]) -> list[Detections]:  # type: ignore[override]
        return [self._one(image) for image in images]

    def _one(self, image: np.ndarray) -> Detections:
        height, width = image.shape[:2]
        region = RegionMask(width // 4, height // 4, np.ones((height // 2, width // 2), np.bool_))
        embedding = self.network.vertex_embedding.detach()[:196].T.reshape(1, 16, 14, 14)
        return Detections(
            (height, width),
            np.array([region.box_xyxy], np.float32),
            np.array([0.9], np.float32),
            (region,),
            np.ones(1, np.bool_),
            embedding,
            torch.ones(1, 14, 14),
        )


@pytest.fixture
def detector() -> OnePerson:
    config = DetectorConfig(channels=8, merged=8, wide=8)
    torch.manual_seed(0)
    return OnePerson(DetectorNetwork(config))


def drawn(view: int = 0, places: Sequence[np.ndarray] = ()) -> PersonCrop:
    """A made-up rendered person."""
    rng = np.random.default_rng(view)
    alpha = np.zeros((120, 60), np.uint8)
    alpha[10:110, 20:40] = 255
    vertex = np.where(alpha > 0, SURFACE.landmarks[np.arange(120)[:, None] * 4 + np.arange(60)], -1)
    image = rng.integers(0, 256, (120, 60, 3), dtype=np.uint8)
    return rendered_crop(rng, image, alpha, vertex, places, table(), SURFACE, "a", view)


def test_pictures_become_crops_that_come_back(tmp_path: Path, detector: OnePerson) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        picture = np.random.default_rng(i).integers(0, 256, (150, 100, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "in" / f"{i}.png"), picture[..., ::-1])
    count = build_dataset(tmp_path / "in", tmp_path / "out", detector, SURFACE, min_vertices_per_part=1)
    assert count == 3
    with tarfile.open(tmp_path / "out" / "people-00000.tar") as tar:
        names = tar.getnames()
        assert len(names) == 9
        assert {name.split(".")[1] for name in names} == {"png", "npz", "json"}
        note = json.load(tar.extractfile("000000000.json"))  # type: ignore[arg-type]
    assert note["source"] == "0"
    kept = People(tmp_path / "out")
    out = kept[0]
    assert out.image.shape == (*SIZE, 3)
    assert out.embedding.dtype == np.float16
    assert (out.vertices[out.body] < NO_VERTEX).all()
    assert (out.vertices[~out.body] == NO_VERTEX).all()
    assert out.person.mean() < 0.75
    assert not (out.body & ~out.person).any()


def test_the_filter_leaves_out_people_with_few_vertices(tmp_path: Path, detector: OnePerson) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((150, 100, 3), np.uint8))
    assert build_dataset(tmp_path / "a.png", tmp_path / "out", detector, SURFACE, min_vertices_per_part=500) == 0
    assert vertices_per_part(np.array([0, 0, 1, 2]), np.array([5, 5, 6])) == 1.5
    assert vertices_per_part(np.zeros(0, np.int64), np.array([5, 5, 6])) == 0


def test_films_give_pairs(tmp_path: Path, detector: OnePerson, make_film: object) -> None:
    film = make_film(tmp_path / "film.mp4", frames=6, size_hw=(192, 128), sound=False)  # type: ignore[operator]
    assert build_dataset(film, tmp_path / "out", detector, SURFACE, min_vertices_per_part=1, every=2) == 3
    kept = People(tmp_path / "out", held_out=is_held_out(tmp_path / "out"))
    assert list(kept.groups.values()) == [[0, 1, 2]]
    batch = kept.batch(np.random.default_rng(0), 2)
    assert batch.paired.all()


def is_held_out(folder: Path) -> bool:
    with tarfile.open(folder / "people-00000.tar") as tar:
        return bool(json.load(tar.extractfile("000000000.json"))["held_out"])  # type: ignore[arg-type]


def test_nothing_to_read_is_a_clear_error(tmp_path: Path, detector: OnePerson) -> None:
    with pytest.raises(OptionError, match="no pictures or films"):
        build_dataset(tmp_path, tmp_path / "out", detector, SURFACE)
    with pytest.raises(OptionError, match="no dataset"):
        People(tmp_path)
    with ShardWriter(tmp_path / "empty", table()):
        pass
    with pytest.raises(OptionError, match="no people"):
        People(tmp_path / "empty")


def test_embeddings_of_two_detectors_do_not_mix(tmp_path: Path, detector: OnePerson) -> None:
    with ShardWriter(tmp_path, table()):
        pass
    with pytest.raises(OptionError, match="another detector"), ShardWriter(tmp_path, table_of(detector, SURFACE)):
        pass


def test_rendered_people_come_in_views(tmp_path: Path) -> None:
    assert build_rendered(tmp_path, table(), SURFACE, [], people=1, views=2, seed=1) == 2
    kept = People(tmp_path, held_out=is_held_out(tmp_path))
    assert [len(rows) for rows in kept.groups.values()] == [2]
    first, second = kept[0], kept[1]
    assert first.body.mean() > 0.03
    assert (first.body & ~first.person).mean() < 0.01
    assert not np.array_equal(first.vertices, second.vertices)


def test_a_batch_depends_on_seed_and_step_alone(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, table()) as writer:
        for view in range(3):
            writer.write(drawn(view))
    people = People(tmp_path, held_out=drawn().note.held_out)
    stream = iter(PeopleBatches(people, 2, seed=0))
    next(stream)
    second = next(stream)
    again = next(iter(PeopleBatches(people, 2, seed=0, first=1)))
    for name in ("pictures", "condition", "appearance", "paired"):
        assert torch.equal(getattr(second, name), getattr(again, name)), name


def test_the_condition_hides_the_person(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, table()) as writer:
        writer.write(drawn())
    batch = People(tmp_path, held_out=drawn().note.held_out).batch(np.random.default_rng(0), 4)
    hidden = batch.condition[:, 3:4] > 0
    assert (batch.condition[:, :3][hidden.expand(-1, 3, -1, -1)] == 0).all()
    seen = ~hidden.expand(-1, 3, -1, -1)
    torch.testing.assert_close(batch.condition[:, :3][seen], batch.pictures[seen])
    body = batch.condition[:, -2:-1] > 0
    assert (hidden | ~body | (batch.condition[:, -1:] > 0)).float().mean() > 0.99
    assert not batch.paired.any()
    own = batch.appearance[:, 3:4]
    assert (batch.appearance[:, :3] * (1 - own) == 0).all()
    scale = batch.condition[:, 4:20].square().mean(1, keepdim=True)
    torch.testing.assert_close(scale[body], torch.ones_like(scale[body]), rtol=1e-2, atol=1e-2)


def test_a_mirror_swaps_left_and_right() -> None:
    crop = drawn()
    once = flip(crop, table())
    np.testing.assert_array_equal(once.image, crop.image[:, ::-1])
    body = once.body
    parts = SURFACE.parts[once.vertices[body].astype(int)]
    original = SURFACE.parts[crop.vertices[:, ::-1][body].astype(int)]
    sided = np.isin(original, (3, 4, 7, 8, 11, 15, 16, 19, 20, 23))  # the left arm and leg
    assert sided.any()
    right = np.isin(parts, (5, 6, 9, 10, 12, 17, 18, 21, 22, 24))
    assert right[sided].mean() > 0.95
    mirrored = table().embedding[table().mirrored].T[:, None] * 4
    made = mirror_embedding((table().embedding.T * 4)[:, None], table())
    angle = (mirrored * made).sum(0) / 16
    assert angle.mean() > 0.9


def test_the_mask_only_grows() -> None:
    crop = drawn()
    areas = []
    for seed in range(20):
        grown = grow_mask(np.random.default_rng(seed), crop, table())
        assert grown[crop.person].all()
        areas.append(grown.mean() / crop.person.mean())
    assert max(areas) > 1.3
    assert min(areas) < 1.05


def test_rendered_people_have_their_place_behind_them() -> None:
    """The picture is the person over the place, by alpha; where they are cut by the frame or hidden too."""
    places = [np.random.default_rng(7).integers(0, 256, (200, 200, 3), dtype=np.uint8)]
    hidden = []
    for view in range(12):
        crop = drawn(view, places)
        assert crop.place is not None
        alone = crop.alpha == 0
        assert np.abs(crop.image[alone].astype(int) - crop.place[alone]).max() <= 2
        assert (np.abs(crop.image.astype(int) - crop.place).max(2)[crop.alpha == 255] > 2).mean() > 0.8
        assert not (crop.body & (crop.alpha == 0)).any()
        hidden.append(crop.alpha.mean())
    assert min(hidden) < 0.8 * max(hidden), "some are cut off"


def test_alpha_and_place_follow_the_picture(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, table()) as writer:
        writer.write(drawn())
    whole = People(tmp_path, held_out=drawn().note.held_out)
    small = People(tmp_path, held_out=drawn().note.held_out, halvings=1)
    for people in (whole, small):
        crop, other = people.crop(0), people.crop(0, mirrored=True)
        assert crop.place is not None
        assert other.place is not None
        assert crop.alpha.shape == crop.image.shape[:2]
        np.testing.assert_array_equal(crop.alpha[:, ::-1], other.alpha)
        np.testing.assert_array_equal(crop.place[:, ::-1], other.place)
    assert small[0].alpha.mean() == pytest.approx(whole[0].alpha.mean(), rel=0.05)


def test_a_batch_for_layers_knows_the_person_and_the_place(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, table()) as writer:
        for view in range(3):
            writer.write(drawn(view))
    people = People(tmp_path, held_out=drawn().note.held_out, halvings=1)
    batch = people.layered_batch(np.random.default_rng(0), 6)
    again = people.layered_batch(np.random.default_rng(0), 6)
    assert len(batch) == 6
    assert batch.placed.all()
    assert batch.paired.all()
    assert (batch.cover[batch.alpha > 0.1] == 1).all(), "the cover holds the person"
    shown = batch.alpha * batch.pictures + (1 - batch.alpha) * batch.places
    padding = batch.surface[:, -1:]
    assert ((shown - batch.pictures).abs() * (1 - padding))[(batch.alpha < 0.02).expand(-1, 3, -1, -1)].max() < 0.1
    np.testing.assert_array_equal(batch.pictures.numpy(), again.pictures.numpy())
    seen = batch.appearance[:, :3][(batch.appearance[:, 3:4] == 0).expand(-1, 3, -1, -1)]
    assert seen.abs().mean() < 0.05, "the mapper sees the person alone"


def test_a_coarse_surface_stays_a_surface() -> None:
    embedding, body = torch.randn(4, 144, 80), torch.zeros(1, 144, 80)
    body[:, 30:110, 20:60] = 1
    embedding = embedding * body
    changed = 0
    for seed in range(8):
        coarse, seen = blurred_surface(np.random.default_rng(seed), embedding, body)
        assert coarse.shape == embedding.shape
        assert set(seen.unique().tolist()) <= {0.0, 1.0}
        assert (coarse * (1 - seen) == 0).all()
        assert (seen != body).float().mean() < 0.05
        changed += not torch.equal(coarse, embedding)
    assert changed > 3


def test_heads_are_found_by_the_surface() -> None:
    crop = drawn()
    vertices = np.full(crop.body.shape, NO_VERTEX, np.uint16)
    head = int(np.flatnonzero(SURFACE.parts == 1)[0])
    vertices[40:70, 60:80] = head
    alpha = np.full(crop.body.shape, 255, np.uint8)
    box = head_box(dataclasses.replace(crop, vertices=vertices, alpha=alpha), table())
    pixels = (box + 1) / 2 * torch.tensor([160.0, 288, 160, 288])
    center = (pixels[:2] + pixels[2:]) / 2
    torch.testing.assert_close(center, torch.tensor([70.0, 55.0]), rtol=0, atol=1)
    size = pixels[2:] - pixels[:2]
    torch.testing.assert_close(size[0], size[1])
    assert size[0] > 30
    nothing = np.full(crop.body.shape, NO_VERTEX, np.uint16)
    assert not head_box(dataclasses.replace(crop, vertices=nothing), table()).any()
