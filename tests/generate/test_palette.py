import pytest
import torch

from anonymize.generate.palette import Prior, SurfaceParts, around, depth, soften, surroundings


def test_parts_share_the_body() -> None:
    parts = SurfaceParts(4, 5)
    body = torch.zeros(2, 1, 6, 4)
    body[:, :, 1:4] = 1
    shares = parts(torch.randn(2, 4, 6, 4), body)
    torch.testing.assert_close(shares.sum(1, keepdim=True), body)
    assert shares.min() >= 0


def test_parts_are_spread_over_the_surface() -> None:
    """Points in four clusters: each becomes a part of its own."""
    torch.manual_seed(0)
    corners = torch.eye(4)
    points = torch.nn.functional.normalize(corners.repeat_interleave(25, 0) + 0.05 * torch.randn(100, 4), dim=1)
    parts = SurfaceParts(4, 4)
    parts.spread(points)
    shares = parts(2 * points.T[None, :, None], torch.ones(1, 1, 1, 100))[0, :, 0]
    owners = shares.argmax(0).view(4, 25)
    assert (owners == owners[:, :1]).all()
    assert len(owners[:, 0].unique()) == 4


def test_mean_colours() -> None:
    parts = SurfaceParts(2, 2)
    parts.anchors.data = 50 * torch.eye(2)[:, :, None, None]
    embedding = torch.zeros(1, 2, 8, 4)
    embedding[:, 0, :, :2], embedding[:, 1, :, 2:] = 1, 1
    colours = torch.full((1, 3, 8, 4), 0.5)
    colours[..., 2:] = -0.25
    seen = torch.ones(1, 1, 8, 4)
    both = parts.mean_colours(colours, embedding, seen)[0]
    torch.testing.assert_close(both[:, 0], torch.tensor([0.5, -0.25]), rtol=1e-3, atol=1e-3)
    assert both[:, 3].min() > 0.99
    seen[..., 2:] = 0
    assert parts.mean_colours(colours, embedding, seen)[0, 1].abs().max() < 1e-3, "hidden: no colour, not seen"


@pytest.mark.parametrize("size", [(36, 20), (7, 5), (1, 1)])
def test_surroundings_keep_what_is_known_and_fill_the_rest_from_it(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    colours = torch.rand(2, 3, *size)
    known = (torch.rand(2, 1, *size) < 0.5).float()
    known[:, :, 0, 0] = 1
    filled = surroundings(colours * known, known)
    torch.testing.assert_close(filled * known, colours * known)
    assert filled.min() >= 0
    assert filled.max() <= 1 + 1e-5
    left = torch.zeros(1, 1, 8, 16)
    left[..., :4], left[..., 12:] = 1, 1
    ramp = surroundings(torch.where(torch.arange(16) < 8, 0.0, 1.0) * left, left)[0, 0, 4]
    assert ramp[5] < 0.5 < ramp[10]


def test_depth_grows_from_the_border_of_what_is_hidden() -> None:
    hidden = torch.zeros(1, 1, 48, 40)
    hidden[:, :, :, 10:] = 1
    row = depth(hidden)[0, 0, 24]
    assert (row[:10] == 0).all()
    assert (row[10:].diff() >= 0).all(), "the border of the picture is none of the hidden part"
    assert row[10] < 0.2
    assert row[-1] == 1


def test_around_the_body_what_is_made_fades() -> None:
    body = torch.zeros(1, 1, 288, 60)
    body[:, :, :, 20:40] = 1
    row = around(body)[0, 0, 144]
    assert row[30] == 1
    assert 0 < row[19] < row[20] < 1
    assert row[:18].max() == 0
    assert (row[20:30].diff() >= 0).all()


def test_softened_colours_are_those_of_the_body_times_its_opacity() -> None:
    body = torch.zeros(1, 1, 9, 9)
    body[:, :, 3:6, 3:6] = 1
    opacity, colours = soften(body), soften(0.6 * body)
    assert opacity[0, 0, 4].tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0, 0])
    torch.testing.assert_close(colours, 0.6 * opacity)


def test_nothing_known_is_no_error() -> None:
    assert surroundings(torch.zeros(1, 3, 8, 4), torch.zeros(1, 1, 8, 4)).abs().max() == 0


def test_the_prior_draws_near_the_people_it_was_fitted_to() -> None:
    torch.manual_seed(0)
    prior = Prior(3, 400)
    groups = torch.tensor([[5.0, 0, -1], [-5, 3, 0]]).repeat_interleave(200, 0)
    people = groups + torch.randn(400, 3) * torch.tensor([0.5, 0.1, 0.2])
    prior.fit(people)
    drawn = prior(torch.randn(20000, 3))
    torch.testing.assert_close(drawn.mean(0), people.mean(0), rtol=0, atol=0.1)
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(people.T), rtol=0.05, atol=0.1)
    assert torch.cdist(drawn, people).amin(1).median() < 1, "not between the two groups, 10 apart"
    again = torch.randn(5, 3)
    assert torch.equal(prior(again), prior(again))
    extreme = prior(torch.tensor([[-40.0, 0, 0], [40, 0, 0]]))
    assert torch.isfinite(extreme).all()
