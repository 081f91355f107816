"""The measures, on generators whose answers are known: they paint a person in one colour."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from anonymize.generate.build import save_weights
from anonymize.generate.network import GeneratorConfig, GeneratorNetwork
from anonymize.lab.evaluate import generator as evaluation
from anonymize.lab.evaluate.generator import Studio, diversity, identity, independence, realism, steadiness
from anonymize.lab.evaluate.looks import Observer

from .doubles import Eyes

SIZE = (48, 32)
LOOKS_PER_PERSON = 2


class Crowd:
    """Stands in for the dataset: 60 pictures of 30 people, each dressed in one colour.

    The appearance of a picture is its colour, and so is the condition, so that a generator that peeps can be made.
    """

    table = SimpleNamespace(vertex_parts=np.arange(1, 25))

    def __init__(self) -> None:
        self.colours = np.random.default_rng(0).uniform(-0.8, 0.8, (30, 3)).astype(np.float32)
        self.notes = [SimpleNamespace(rendered=True, identity=str(i // LOOKS_PER_PERSON)) for i in range(60)]
        self.groups = {str(i): [LOOKS_PER_PERSON * i, LOOKS_PER_PERSON * i + 1] for i in range(30)}

    def __len__(self) -> int:
        return len(self.notes)

    def __getitem__(self, row: int) -> SimpleNamespace:
        vertices = np.full(SIZE, evaluation.NO_VERTEX)
        top = 4 + 4 * (row % LOOKS_PER_PERSON)
        for part in (0, 4, 12):  # head, trunk, leg
            vertices[top + part : top + part + 10, 8:24] = part
        colour = self.colours[row // LOOKS_PER_PERSON]
        image = np.broadcast_to(((colour + 1) * 127.5).astype(np.uint8), (*SIZE, 3)).copy()
        return SimpleNamespace(vertices=vertices, row=row, image=image)

    def sample(self, rng: object, crop: SimpleNamespace, other: SimpleNamespace) -> tuple[Tensor, Tensor, Tensor]:
        def dressed(row: int) -> Tensor:
            return torch.from_numpy(self.colours[row // LOOKS_PER_PERSON])[:, None, None].expand(3, *SIZE)

        return dressed(crop.row), dressed(crop.row), dressed(other.row)

    def layered_sample(
        self, rng: object, crop: SimpleNamespace, other: SimpleNamespace, *, paired: bool
    ) -> tuple[Tensor, ...]:
        """The person is where a part of the body is, before a black wall."""
        picture, _, appearance = self.sample(rng, crop, other)
        alpha = torch.from_numpy((crop.vertices != evaluation.NO_VERTEX).astype(np.float32))[None]
        wall, nothing = torch.full((3, *SIZE), -1.0), torch.zeros(1, *SIZE)
        picture = alpha * picture + (1 - alpha) * wall
        surface = torch.zeros(6, *SIZE)
        placed = torch.tensor(True)
        return (picture, alpha, wall, placed, 1 - nothing, nothing, surface, appearance, ~placed, torch.zeros(4))


class Painter(nn.Module):
    """Paints everything in the colour that z or (if it peeps) the condition names."""

    def __init__(self, *, peeps: bool = False, forgets: bool = False, alpha: bool = False) -> None:
        super().__init__()
        self.config = SimpleNamespace(latent=3, noise_sizes=[(1, 1)], alpha=alpha, appearance_mapper=True)
        self.w_mean = torch.zeros(3)
        self.peeps, self.forgets = peeps, forgets

    def prior(self, noise: Tensor) -> Tensor:
        return (noise / 3).clamp(-1, 1)

    def mapping(self, z: Tensor) -> Tensor:
        return z

    def read(self, appearance: Tensor) -> tuple[Tensor, Tensor]:
        return appearance[:, :, 0, 0], torch.zeros(1, 3)

    def forward(self, condition: Tensor, w: Tensor, noise: list[Tensor] | None = None) -> Tensor:
        if self.peeps:
            return condition
        if self.config.alpha:
            return torch.cat([w, torch.ones(len(w), 1)], 1)[:, :, None, None].expand(-1, -1, *SIZE)
        if self.forgets:  # another colour in each picture
            w = w.roll(1, 0) + 0.5 * torch.randn(w.shape, generator=torch.Generator().manual_seed(int(w.sum() * 1e6)))
        return w[:, :, None, None].expand(len(w), 3, *SIZE)


def studio(**habits: bool) -> Studio:
    torch.manual_seed(0)
    people, eyes = Crowd(), Observer(Eyes())
    discriminant = evaluation.learn_discriminant(people, eyes)  # type: ignore[arg-type]
    return Studio(Painter(**habits), people, eyes, discriminant)  # type: ignore[arg-type]


def test_a_generator_that_sees_z_alone_is_independent_of_who_was_there() -> None:
    figures = independence(studio())
    assert figures["pictures"] == 60
    assert figures["mean_absolute_correlation"] < 0.35  # of 60 people: 0.13 is one standard deviation


def test_a_generator_that_peeps_is_found_out() -> None:
    figures = independence(studio(peeps=True))
    assert figures["clothes_L"] == pytest.approx(1)
    assert figures["mean_correlation"] == pytest.approx(1)
    assert figures["clothes_L_elsewhere"] == pytest.approx(1), "the same clothes in every place"


def test_one_z_in_one_colour_is_steady() -> None:
    figures = steadiness(studio(), latents=15)
    assert figures["latents"] == 15
    assert figures["colour_ratio"] == pytest.approx(0, abs=1e-3)
    assert figures["colour_other"] > 10
    assert figures["real_colour_ratio"] == pytest.approx(0, abs=1e-3)


def test_a_generator_that_forgets_z_is_not_steady() -> None:
    assert steadiness(studio(forgets=True), latents=15)["colour_ratio"] > 0.5


def test_a_generator_in_the_colours_that_were_read_is_recognised() -> None:
    figures = identity(studio())
    assert figures == {"trials": 30, "right": 1.0, "chance": pytest.approx(0.1)}


def test_a_generator_that_forgets_is_recognised_by_chance_alone() -> None:
    assert identity(studio(forgets=True))["right"] < 0.5


def test_diversity_grows_with_truncation_from_nothing() -> None:
    figures = diversity(studio())
    for name in ("perceptual", "appearance"):
        assert figures[f"{name}_t_0"] == pytest.approx(0, abs=1e-6)
        assert 0 < figures[f"{name}_t_0.5"] < figures[f"{name}_t_1"]


def test_what_is_read_and_made_is_rebuilt() -> None:
    figures = realism(studio())
    assert figures["rebuilt_colour"] == pytest.approx(0, abs=1e-3)
    assert figures["random_colour"] > 10
    assert realism(studio(peeps=True))["frechet"] == pytest.approx(0, abs=1e-6)


def test_layers_are_measured_over_their_place() -> None:
    figures = realism(studio(alpha=True))
    assert figures["rebuilt_colour"] == pytest.approx(0, abs=1e-3)
    assert figures["random_colour"] > 10
    assert identity(studio(alpha=True))["right"] == 1


def test_few_people_are_spread_over_the_dataset() -> None:
    all_of_them = studio()
    few = Studio(Painter(), Crowd(), all_of_them.observer, all_of_them.discriminant, limit=7)  # type: ignore[arg-type]
    assert few.rows[0] == 0
    assert few.rows[-1] == 59
    assert len(few.rows) == 7


def test_leaks_are_counted_beside_chance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(evaluation, "FILM_FRAMES", 4)
    torch.manual_seed(0)
    config = GeneratorConfig(size_hw=(16, 8), channels=(4, 6), judge_channels=(4, 6), latent=12, embedding=16)
    save_weights(tmp_path / "tiny.safetensors", GeneratorNetwork(config), {})
    detector = evaluation.load_detector(evaluation.weights_path("detector-embedded.safetensors"))
    figures = evaluation.leaks(evaluation.load_network(tmp_path / "tiny.safetensors"), detector, films=1)
    assert figures["person_frames"] > 0
    assert 0 <= figures["equal"] <= figures["by_chance"] + 0.02
    assert 0 <= figures["equal_in_masks"] <= figures["equal"] + 0.001


def test_pixels_within_two_levels_count_as_equal() -> None:
    before = np.array([[10, 10, 10], [200, 200, 200]], np.uint8)
    assert evaluation._equal(before, before + np.uint8(2)) == 2
    assert evaluation._equal(before, np.array([[13, 10, 10], [198, 202, 200]], np.uint8)) == 1


def test_the_table_has_a_row_a_figure_and_the_manifest_tells_of_the_training(tmp_path: Path) -> None:
    figures = {"file": "x", "identity": {"right": 0.75, "trials": 40}}
    evaluation.write_manifest(figures, {"compute": "2 CPU cores"}, tmp_path)
    assert "| identity | right | 0.75 |" in (tmp_path / "generator-embedded.md").read_text()
    assert "2 CPU cores" in (tmp_path / "generator-embedded.json").read_text()
