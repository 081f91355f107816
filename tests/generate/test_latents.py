import torch

from anonymize.generate.latents import cluster, draw_latent, draw_noise, truncate


def test_a_latent_depends_on_seed_and_track_alone() -> None:
    torch.testing.assert_close(draw_latent(3, 7, 512), draw_latent(3, 7, 512), rtol=0, atol=0)
    assert not torch.equal(draw_latent(3, 7, 512), draw_latent(3, 8, 512))
    assert not torch.equal(draw_latent(3, 7, 512), draw_latent(4, 7, 512))
    assert abs(float(draw_latent(0, 1, 10000).std()) - 1) < 0.05


def test_noise_of_a_track_is_fixed_and_is_not_its_latent() -> None:
    first, second = draw_noise(0, 1, [(2, 3), (4, 6)]), draw_noise(0, 1, [(2, 3), (4, 6)])
    assert [n.shape for n in first] == [(1, 2, 3), (1, 4, 6)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0].flatten(), draw_latent(0, 1, 6))


def test_truncation_goes_from_the_centre_to_the_latent() -> None:
    w = torch.tensor([[4.0, 1.0], [-3.0, 0.0]])
    centers = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    torch.testing.assert_close(truncate(w, centers, 1.0), w)
    torch.testing.assert_close(truncate(w, centers, 0.0), centers)
    torch.testing.assert_close(truncate(w, centers, 0.5), torch.tensor([[3.0, 0.5], [-2.5, 0.0]]))
    torch.testing.assert_close(truncate(w, centers[:1], 0.0), centers[:1].expand(2, 2))


def test_clusters_are_found() -> None:
    torch.manual_seed(0)
    truth = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    w = truth.repeat_interleave(50, 0) + 0.1 * torch.randn(150, 2)
    found = cluster(w, 3)
    assert torch.cdist(truth, found).min(1).values.max() < 0.1
    assert cluster(w[:2], 3).shape == (3, 2), "fewer points than centres"
