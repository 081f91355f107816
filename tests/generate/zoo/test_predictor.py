from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from anonymize.compose import CoverComposer, covers_of
from anonymize.compose.generated import GeneratedComposer
from anonymize.core.errors import OptionError, WeightsError
from anonymize.core.types import Frame, PersonRequest, Tracks, UInt8Array
from anonymize.generate.build import build_generator, check_pairing
from anonymize.generate.crops import Crop
from anonymize.generate.network import GeneratorConfig, GeneratorNetwork
from anonymize.generate.predictor import EmbeddedGenerator
from anonymize.generate.zoo.network import SURFACE
from anonymize.generate.zoo.predictor import ZooGenerator, build_condition

from .conftest import SIZE, TINY, checkpoint, crowd, network

CROWD = [(20, 20, 50, 100), (45, 30, 75, 110), (110, 10, 130, 60)]
WITHOUT = replace(TINY, embedding=0)


def picture(seed: int = 0) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def compose(generator: ZooGenerator, image: UInt8Array, tracks: Tracks) -> Frame:
    return GeneratedComposer(generator, CoverComposer()).compose(Frame(image), tracks, covers_of(tracks))


def requests_of(generator: ZooGenerator, tracks: Tracks) -> list[PersonRequest]:
    hidden = np.zeros(SIZE, np.bool_)
    covers = covers_of(tracks)
    for region in covers:
        hidden[region.slices] |= region.mask
    boxes = generator.place(tracks, covers)
    return [PersonRequest(picture(), hidden, boxes[row], tracks, row, covers[row]) for row in range(len(tracks))]


@pytest.mark.parametrize("config", [TINY, WITHOUT])
def test_no_pixel_of_anybody_reaches_the_result(config: object) -> None:
    tracks, generator = crowd(CROWD), ZooGenerator(network(config))
    first, second = picture(), picture()
    for region in covers_of(tracks):
        second[region.slices][region.mask] = 255 - second[region.slices][region.mask]
    a, b = compose(generator, first, tracks), compose(generator, second, tracks)
    np.testing.assert_array_equal(a.image, b.image)
    assert a.edited is not None
    for region in covers_of(tracks):
        assert a.edited[region.slices][region.mask].all()
    np.testing.assert_array_equal(a.image[~a.edited], first[~a.edited])


def test_same_seed_same_output_and_another_seed_another() -> None:
    tracks = crowd(CROWD)
    once, again, other = (compose(ZooGenerator(network(), seed=s), picture(), tracks) for s in (0, 0, 1))
    np.testing.assert_array_equal(once.image, again.image)
    assert (other.image != once.image).any()


def test_a_batch_is_its_people_one_by_one() -> None:
    generator = ZooGenerator(network())
    requests = requests_of(generator, crowd(CROWD))
    together = generator.generate(requests)
    for request, made in zip(requests, together, strict=True):
        assert made.image.shape == (*TINY.size_hw, 3)
        [alone] = generator.generate([request])
        assert np.abs(alone.image.astype(int) - made.image).max() <= 3  # sums in another order, in low precision
    assert generator.generate([]) == []


def test_the_embedding_steers_the_result() -> None:
    generator, tracks = ZooGenerator(network()), crowd(CROWD[:1])
    assert tracks.detections.embeddings is not None
    other = replace(tracks, detections=replace(tracks.detections, embeddings=-tracks.detections.embeddings))
    scaled = replace(tracks, detections=replace(tracks.detections, embeddings=4 * tracks.detections.embeddings))
    a, b, c = (generator.generate(requests_of(generator, t)[:1])[0].image for t in (tracks, other, scaled))
    assert (a != b).any()
    assert np.abs(a.astype(int) - c).max() <= 1, "only the direction has a meaning"


def test_embeddings_are_those_of_vertices() -> None:
    """As in training: of length 1, or what the nearest vertex has; zero where there is no body."""
    generator, tracks = ZooGenerator(network()), crowd(CROWD)
    requests = requests_of(generator, tracks)
    surface, body = generator._surface(requests)
    on = body[:, 0] > 0
    assert on.any() and not on.all()
    lengths = surface.norm(dim=1)
    torch.testing.assert_close(lengths[on], torch.ones_like(lengths[on]))
    assert (lengths[~on] == 0).all()

    vertices = torch.nn.functional.normalize(torch.randn(50, 4))
    snapping = ZooGenerator(network(), to_vertices=lambda e: vertices[torch.cdist(e, vertices).argmin(1)])
    snapped, _ = snapping._surface(requests)
    assert (snapped.permute(0, 2, 3, 1)[~on] == 0).all()
    pixels, exact = (x.permute(0, 2, 3, 1)[on] for x in (surface, snapped))
    torch.testing.assert_close(exact, vertices[torch.cdist(pixels, vertices).argmin(1)])


def test_the_condition_is_laid_out_as_in_training() -> None:
    image = np.full((2, 2, 3), 255, np.uint8)
    image[0, 0] = image[1, 1] = 0
    hidden = np.array([[True, False], [False, False]])
    padding = np.array([[False, False], [False, True]])
    embedding, body = torch.rand(1, 4, 2, 2), torch.ones(1, 1, 2, 2)
    made = build_condition([Crop(image, hidden, padding)], embedding, body, device=torch.device("cpu"))
    assert made.shape == (1, TINY.condition_channels, 2, 2)
    for channel in range(3):
        assert made[0, channel].tolist() == [[0, 1], [1, -1]]
    assert made[0, 3].tolist() == [[0, 1], [1, 1]]
    assert torch.equal(made[:, 4:8], embedding) and torch.equal(made[:, 8:], body)


def test_truncation_pulls_toward_the_mean_or_the_nearest_centre() -> None:
    mean = network().style_net.w_avg
    for track in (1, 2):
        torch.testing.assert_close(ZooGenerator(network(), truncation=0.0)._style(track), mean)
    free = ZooGenerator(network(), truncation=1.0)
    centers = torch.stack([free._style(1) + 0.1, free._style(2) - 0.1, free._style(1) + 9])

    def style(track: int, truncation: float) -> torch.Tensor:
        several = network()
        several.style_net.w_centers = centers.clone()
        return ZooGenerator(several, truncation=truncation, multi_modal=True)._style(track)

    for track in (1, 2):
        torch.testing.assert_close(style(track, 0.0), centers[track - 1])
        torch.testing.assert_close(style(track, 0.5), (centers[track - 1] + free._style(track)) / 2)
        torch.testing.assert_close(style(track, 1.0), free._style(track))


def test_identities_go_round_and_are_not_truncated() -> None:
    z = list(torch.randn(2, TINY.latent))
    generator = ZooGenerator(network(), identities=z, truncation=0.3)
    torch.testing.assert_close(generator._style(3), network().style_net(z[0][None])[0])
    torch.testing.assert_close(generator._style(1), generator._style(3))
    assert not torch.allclose(generator._style(1), generator._style(2))
    with pytest.raises(OptionError, match="no appearance mapper"):
        generator.read_identity(picture(), crowd(CROWD).detections)


def test_another_surface_is_refused() -> None:
    generator = ZooGenerator(network())
    requests = requests_of(generator, crowd(CROWD, surface="anny"))
    with pytest.raises(OptionError, match="'smpl_27554', got 'anny'"):
        generator.generate(requests)
    ZooGenerator(network(WITHOUT)).generate(requests)


def test_truncation_out_of_range() -> None:
    with pytest.raises(OptionError, match="truncation"):
        ZooGenerator(network(), truncation=-0.1)


def test_build_by_name_and_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="anonymize weights pull zoo"):
        build_generator("zoo")
    (tmp_path / "anonymize").mkdir()
    file = checkpoint(tmp_path / "anonymize" / "fdh_styleganL.ckpt", network().state_dict())
    for generator in (build_generator("zoo", seed=3), build_generator(file, seed=3)):
        assert isinstance(generator, ZooGenerator)
        assert (generator.surface, generator.seed, generator.latent) == (SURFACE, 3, TINY.latent)


def test_the_embedded_generator_is_for_our_surface() -> None:
    config = GeneratorConfig(size_hw=(8, 4), channels=(4, 6), judge_channels=(4, 6), latent=12, mapping_layers=2)
    assert EmbeddedGenerator(GeneratorNetwork(config)).surface == "anny"


@pytest.mark.parametrize(("detector", "generator"), [("anny", SURFACE), (SURFACE, "anny")])
def test_a_wrong_pairing_is_refused(detector: str | None, generator: str) -> None:
    with pytest.raises(OptionError, match=f"trained for '{generator}'") as caught:
        check_pairing(detector, generator)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("detector", "generator"), [("anny", "anny"), (SURFACE, SURFACE), ("anny", None), (None, None), (None, "anny")]
)
def test_a_right_pairing_passes(detector: str | None, generator: str | None) -> None:
    check_pairing(detector, generator)
