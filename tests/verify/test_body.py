from dataclasses import replace

import numpy as np
import torch

from anonymize.core.body_surface import PART_NAMES, load_surface
from anonymize.core.types import Detections, RegionMask
from anonymize.verify.body import SURFACE_SIZE, BodyParts


def person(has_cse: bool) -> tuple[Detections, torch.Tensor]:
    """Somebody whose upper half is face and whose lower half is feet, and the landmarks that say so."""
    generator = torch.Generator().manual_seed(0)
    surface = load_surface()
    landmarks = torch.randn(len(surface.landmarks), 16, generator=generator)
    face, foot = (
        int(np.flatnonzero(surface.landmark_parts == PART_NAMES.index(n))[0]) for n in ("left_face", "left_foot")
    )
    size = 2 * SURFACE_SIZE
    embeddings = torch.empty(1, 16, size, size)
    embeddings[:, :, : size // 2] = landmarks[face].view(1, 16, 1, 1)
    embeddings[:, :, size // 2 :] = landmarks[foot].view(1, 16, 1, 1)
    found = Detections(
        (100, 80),
        np.array([[20, 10, 60, 90]], np.float32),
        np.ones(1, np.float32),
        (RegionMask(20, 10, np.ones((80, 40), np.bool_)),),
        np.array([has_cse]),
        embeddings,
        torch.ones(1, size, size),
    )
    return found, landmarks


def test_parts_are_read_from_the_surface() -> None:
    found, landmarks = person(has_cse=True)
    mask = found.masks[0].to_full(found.size_hw)
    parts = BodyParts(landmarks).divide(found, 0, mask, (0, 0))
    assert set(parts) == {"head", "legs"}
    assert parts["head"][11:49, 21:59].all()
    assert not parts["head"][51:].any()
    assert parts["legs"][51:89, 21:59].all()


def test_parts_follow_the_corner_of_the_view() -> None:
    found, landmarks = person(has_cse=True)
    parts = BodyParts(landmarks).divide(found, 0, found.masks[0].mask, (20, 10))
    assert parts["head"][:39].all()
    assert parts["legs"][41:].all()


def test_people_without_surface_are_divided_by_a_grid() -> None:
    found, landmarks = person(has_cse=False)
    mask = found.masks[0].to_full(found.size_hw)
    for parts in (BodyParts(landmarks), BodyParts()):
        cells = parts.divide(found, 0, mask, (0, 0))
        assert len(cells) == 9
        assert sum(cell.sum() for cell in cells.values()) == mask.sum()
        assert cells["top left"][10:36, 20:33].all()


def test_another_surface_is_not_read() -> None:
    found, landmarks = person(has_cse=True)
    found = replace(found, surface="smpl_27554")
    assert "top left" in BodyParts(landmarks).divide(found, 0, found.masks[0].to_full(found.size_hw), (0, 0))


def test_detectors_of_unknown_kind_have_no_landmarks() -> None:
    class Somebody:
        def detect(self, images: object) -> list[Detections]:
            return []

    found, _ = person(has_cse=True)
    mask = found.masks[0].to_full(found.size_hw)
    assert "middle centre" in BodyParts.of(Somebody()).divide(found, 0, mask, (0, 0))
