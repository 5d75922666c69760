"""The loss terms against formulas and by hand."""

import math

import pytest
import torch
from torch import nn

from pivq.losses import FeatureDistance, adaptive_weight, discriminator_hinge, generator_hinge, psnr


class Stages(nn.Module):
    """Two feature maps from small random convolutions, the second half as large."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU())

    def forward(self, images):
        first = self.one(images)
        return [first, self.two(first)]


def test_feature_distance_by_hand():
    distance = FeatureDistance(nn.Module())
    distance.stages.forward = lambda images: [images, images[:, :, :1, :1]]
    images, targets = torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 1, 2)
    images[0, :, 0, 0], targets[0, :, 0, 0] = torch.tensor([3.0, 4.0, 0.0]), torch.tensor([0.0, 0.0, 5.0])
    images[0, :, 0, 1], targets[0, :, 0, 1] = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([7.0, 0.0, 0.0])
    # Unit vectors (.6, .8, 0) and (0, 0, 1): 2; equal directions: 0. Stage one has mean 1, stage two 2.
    torch.testing.assert_close(distance(images, targets), torch.tensor([1.5]))


def test_feature_distance_is_zero_for_equal_images_and_grows():
    distance = FeatureDistance(Stages())
    images = torch.rand(3, 3, 8, 8)
    assert distance(images, images).tolist() == [0.0, 0.0, 0.0]
    slightly, much = images + 0.01 * torch.randn_like(images), torch.rand_like(images)
    assert torch.all(distance(slightly, images) > 0)
    assert torch.all(distance(much, images) > distance(slightly, images))
    assert distance(images, images).shape == (3,)


@pytest.mark.parametrize("fill", [None, 0.0, -100.0])  # random; a flat image; features that are zero throughout
def test_gradient_at_equal_images_is_finite(fill):
    distance = FeatureDistance(Stages())
    images = torch.rand(2, 3, 8, 8) if fill is None else torch.full((2, 3, 8, 8), fill)
    made = images.clone().requires_grad_()
    distance(made, images).mean().backward()
    assert torch.equal(made.grad, torch.zeros_like(images))


def test_gradient_elsewhere_is_that_of_the_distance():
    distance = FeatureDistance(Stages()).double()
    targets = torch.rand(2, 3, 6, 6, dtype=torch.float64)
    images = torch.rand(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: distance(x, targets), images, fast_mode=True)


def test_the_ruler_stays_as_it_is():
    distance = FeatureDistance(Stages())
    distance.train()
    assert not any(module.training for module in distance.modules())
    images, targets = torch.rand(2, 3, 8, 8, requires_grad=True), torch.rand(2, 3, 8, 8, requires_grad=True)
    before = {name: value.clone() for name, value in distance.state_dict().items()}
    distance(images, targets).sum().backward()
    assert all(parameter.grad is None for parameter in distance.parameters())
    assert targets.grad is None and images.grad.any()
    assert all(torch.equal(before[name], value) for name, value in distance.state_dict().items())


def test_hinge_losses_by_hand():
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0, 1.0])
    assert float(discriminator_hinge(real, fake)) == pytest.approx(0.5 * ((0 + 0.5 + 2) / 3 + (0 + 1 + 2) / 3))
    assert float(generator_hinge(fake)) == pytest.approx(2 / 3)


def test_adaptive_weight_by_hand():
    nll, adversarial = torch.tensor([3.0, 4.0]), torch.tensor([[0.0, 20.0]])
    assert float(adaptive_weight(nll, adversarial, limit=1.0)) == pytest.approx(5 / (20 + 1e-4))
    assert float(adaptive_weight(nll, adversarial, limit=0.1)) == pytest.approx(0.1)
    assert float(adaptive_weight(nll, 1e-4 * adversarial, limit=1e9)) == pytest.approx(5 / (20e-4 + 1e-4))


def test_adaptive_weight_of_vanishing_gradients():
    nothing, something = torch.zeros(5), torch.ones(5)
    assert float(adaptive_weight(something, nothing, limit=0.7)) == pytest.approx(0.7)
    assert float(adaptive_weight(nothing, nothing, limit=0.7)) == 0.0
    assert float(adaptive_weight(nothing, something, limit=0.7)) == 0.0


def test_adaptive_weight_is_a_number_not_a_path_for_gradients():
    nll, adversarial = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    assert not adaptive_weight(nll, adversarial, limit=1.0).requires_grad
    halves = torch.full((10000,), 300.0, dtype=torch.float16)  # their norm is beyond the square root of float16's range
    assert float(adaptive_weight(halves, 4 * halves, limit=1.0)) == pytest.approx(0.25, rel=1e-5)


def test_psnr_by_hand():
    targets = torch.full((3, 3, 4, 4), 0.5)
    images = targets + torch.tensor([0.1, 0.01, 0.0]).reshape(3, 1, 1, 1)
    torch.testing.assert_close(psnr(images, targets), torch.tensor([20.0, 40.0, 100.0]))
    half = targets.clone()
    half[:, :, :2] += 0.2  # mean square 0.02
    assert float(psnr(half, targets)[0]) == pytest.approx(-10 * math.log10(0.02), rel=1e-5)


def test_psnr_of_half_precision_is_not_computed_in_it():
    targets = torch.zeros(2, 3, 4, 4)
    images = targets + torch.tensor([2.0**-13, 0.0]).reshape(2, 1, 1, 1)  # its square would be 0 in float16
    expected = torch.tensor([260 * math.log10(2), 100.0])
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        found = psnr(images.to(kind), targets.to(kind))
        torch.testing.assert_close(found.float(), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(psnr(images.half(), targets), expected, rtol=1e-6, atol=0)


def test_psnr_refuses_what_are_no_images_of_one_range_and_shape():
    images = torch.rand(2, 3, 4, 4)
    for made, targets, error, message in (
        (images, images[:1], ValueError, r"images must be floats \(B, 3, H, W\), as targets \(1, 3, 4, 4\), got"),
        (images[:, :1], images, ValueError, r"got torch.float32 \(2, 1, 4, 4\)"),
        ((images * 255).byte(), (images * 255).byte(), ValueError, "got torch.uint8"),
        (images * 255, images, ValueError, r"images must lie in \[0, 1\], got"),
        (images, images * 255, ValueError, r"targets must lie in \[0, 1\], got"),
        (images * float("nan"), images, ValueError, "images must lie in .* nan"),
        (images[0], images[0], ValueError, r"got torch.float32 \(3, 4, 4\)"),
        (images.numpy(), images, TypeError, "images must be a tensor, got ndarray"),
        (images, None, TypeError, "targets must be a tensor, got NoneType"),
    ):
        with pytest.raises(error, match=message):
            psnr(made, targets)
    assert psnr(images[:0], images[:0]).shape == (0,)


def test_adaptive_weight_is_a_weight_whatever_the_gradients():
    for nll, adversarial, expected in ((math.nan, 1.0, 0.0), (math.inf, math.inf, 0.0), (math.inf, 1.0, 0.5),
                                       (1.0, math.nan, 0.0), (1.0, 0.0, 0.5), (0.0, 0.0, 0.0)):  # fmt: skip
        assert float(adaptive_weight(torch.tensor([nll]), torch.tensor([adversarial]), 0.5)) == expected
