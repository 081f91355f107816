from pathlib import Path

import numpy as np
import pytest
import torch

from anonymize.compose import CoverComposer, covers_of
from anonymize.compose.background import fill_places
from anonymize.compose.generated import GeneratedComposer, left_to_cover
from anonymize.core.errors import OptionError, WeightsError
from anonymize.core.types import Frame, PersonRequest, Replacement, Tracks
from anonymize.generate.build import build_generator, load_network, save_weights
from anonymize.generate.network import GeneratorNetwork
from anonymize.generate.predictor import EmbeddedGenerator

from .conftest import SIZE, TINY, assert_drawn, negative, people

CROWD = [(20, 20, 50, 100), (45, 30, 75, 110), (110, 10, 130, 60)]


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def compose(generator: EmbeddedGenerator, image: np.ndarray, tracks: Tracks) -> Frame:
    return GeneratedComposer(generator, CoverComposer()).compose(Frame(image), tracks, covers_of(tracks))


def test_no_pixel_of_anybody_reaches_the_result(generator: EmbeddedGenerator) -> None:
    """The own pixels and the neighbours': all people of the crowd get other pixels, the result stays."""
    tracks = people(CROWD)
    first = second = picture()
    for region in covers_of(tracks):
        second = negative(second, region)
    a, b = compose(generator, first, tracks), compose(generator, second, tracks)
    np.testing.assert_array_equal(a.image, b.image)
    assert_drawn(a, tracks)
    assert a.edited is not None
    np.testing.assert_array_equal(a.image[~a.edited], first[~a.edited])


def test_same_seed_same_output_and_another_seed_another(
    network: GeneratorNetwork, generator: EmbeddedGenerator
) -> None:
    tracks = people(CROWD)
    once, again = compose(generator, picture(), tracks), compose(generator, picture(), tracks)
    np.testing.assert_array_equal(once.image, again.image)
    other = GeneratorNetwork(TINY)
    other.load_state_dict(network.state_dict())
    different = compose(EmbeddedGenerator(other, seed=1), picture(), tracks)
    assert (different.image != once.image).any()


def test_a_batch_is_its_people_one_by_one(generator: EmbeddedGenerator) -> None:
    tracks = people(CROWD)
    hidden = np.zeros(SIZE, np.bool_)
    covers = covers_of(tracks)
    for region in covers:
        hidden[region.slices] |= region.mask
    boxes = generator.place(tracks, covers)
    requests = [PersonRequest(picture(), hidden, boxes[row], tracks, row, covers[row]) for row in range(3)]
    together = generator.generate(requests)
    for request, made in zip(requests, together, strict=True):
        [alone] = generator.generate([request])
        assert np.abs(alone.image.astype(int) - made.image).max() <= 2  # sums in another order, in low precision


def test_frames_share_batches_and_keep_their_order(generator: EmbeddedGenerator) -> None:
    tracks = [people(CROWD), people([]), people(CROWD[1:2])]
    frames = [Frame(picture(i), index=i) for i in range(3)]
    calls: list[int] = []

    class Counting:
        accept, place = staticmethod(generator.accept), staticmethod(generator.place)

        @staticmethod
        def generate(requests: list[PersonRequest]) -> list[Replacement]:
            calls.append(len(requests))
            return generator.generate(requests)

    done = GeneratedComposer(Counting(), CoverComposer()).compose_batch(frames, tracks, [covers_of(t) for t in tracks])
    assert [frame.index for frame in done] == [0, 1, 2]
    assert done[1] is frames[1], "nobody there: the frame itself"
    assert calls == [4], "nobody sees an original, so all go together, across frames"


def test_people_without_a_surface_are_covered(generator: EmbeddedGenerator) -> None:
    tracks = people(CROWD[:2], has_cse=[False, True])
    first, second = picture(), picture()
    region, made = covers_of(tracks)
    covered = compose(generator, first, tracks)
    alone, [left] = left_to_cover(tracks, (region, made))
    np.testing.assert_array_equal(left.to_full(SIZE), region.to_full(SIZE) & ~made.to_full(SIZE))
    behind = fill_places(second, [region, made])
    only = CoverComposer().compose(Frame(second, background=behind), alone, [left])
    far = region.to_full(SIZE)
    far[:, 40:] = False
    np.testing.assert_array_equal(covered.image[far], only.image[far])


def test_a_cover_has_no_colours_of_who_is_made(generator: EmbeddedGenerator) -> None:
    """Somebody found twice, once without a surface and a little larger: no glow of their clothes round them."""
    tracks = people([(15, 15, 55, 105), CROWD[0]], has_cse=[False, True])
    first = picture()
    second = negative(first, covers_of(tracks)[1])
    a, b = compose(generator, first, tracks), compose(generator, second, tracks)
    np.testing.assert_array_equal(a.image, b.image)
    assert_drawn(a, tracks)


def test_nothing_is_left_to_cover_under_who_is_made(generator: EmbeddedGenerator) -> None:
    tracks = people([CROWD[0], CROWD[0]], has_cse=[False, True])
    assert left_to_cover(tracks, covers_of(tracks))[1][0].area == 0
    assert (compose(generator, picture(), tracks).image != picture()).any()


def test_rectangles_are_steady_and_hold_the_cover(generator: EmbeddedGenerator) -> None:
    heights = []
    for number in range(12):
        wobble = 6 * (number % 2)
        tracks = people([(40, 20, 70, 100 + wobble)])
        [cover] = covers_of(tracks)
        [box] = generator.place(tracks, [cover])
        inner = cover.box_xyxy
        assert (box[:2] <= inner[:2]).all()
        assert (box[2:] >= inner[2:]).all()
        heights.append(box[3] - box[1])
    assert np.abs(np.diff(heights[4:])).max() < 6 * 1.1


def test_no_truncation_gives_more_than_one_look(network: GeneratorNetwork) -> None:
    def looks(truncation: float) -> list[torch.Tensor]:
        fresh = GeneratorNetwork(TINY)
        fresh.load_state_dict(network.state_dict())
        fresh.w_centers.copy_(fresh.w_centers[:1].clone().expand_as(fresh.w_centers))
        generator = EmbeddedGenerator(fresh, truncation=truncation)
        return [generator._person(track)[0] for track in (1, 2)]

    alike, diverse = looks(0.0), looks(1.0)
    torch.testing.assert_close(alike[0], alike[1])
    assert not torch.allclose(diverse[0], diverse[1])


def test_identities_come_from_the_largest_person_and_go_round(network: GeneratorNetwork) -> None:
    fresh = GeneratorNetwork(TINY)
    fresh.load_state_dict(network.state_dict())
    generator = EmbeddedGenerator(fresh)
    detections = people(CROWD).detections
    image = picture()
    z, row = generator.read_identity(image, detections)
    assert row == 0 or detections.masks[row].area == max(m.area for m in detections.masks)
    elsewhere = image.copy()
    region = detections.masks[row]
    elsewhere[~region.to_full(SIZE)] = 0
    torch.testing.assert_close(generator.read_identity(elsewhere, detections)[0], z, rtol=0, atol=0)
    with pytest.raises(OptionError, match="no person"):
        generator.read_identity(image, people([]).detections)
    generator.identities = [z, -z]
    torch.testing.assert_close(generator._person(1)[0], generator._person(3)[0])
    assert not torch.allclose(generator._person(1)[0], generator._person(2)[0])


def test_truncation_out_of_range(network: GeneratorNetwork) -> None:
    with pytest.raises(OptionError, match="truncation"):
        EmbeddedGenerator(network, truncation=1.5)


def test_weights_come_back(network: GeneratorNetwork, tmp_path: Path) -> None:
    save_weights(tmp_path / "g.safetensors", network, {"steps": "1"})
    back = load_network(tmp_path / "g.safetensors")
    assert back.config == TINY
    torch.testing.assert_close(back.w_centers, network.w_centers, rtol=1e-3, atol=1e-3)
    assert build_generator(tmp_path / "g.safetensors").config == TINY
    (tmp_path / "no.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="cannot read"):
        load_network(tmp_path / "no.safetensors")
