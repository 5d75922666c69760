"""The patch discriminator and DiffAug."""

import pytest
import torch
from torch import nn

from pivq.discriminator import PatchDiscriminator, diff_augment


def convolutions(discriminator: PatchDiscriminator) -> list[nn.Conv2d]:
    return [module for module in discriminator.path if isinstance(module, nn.Conv2d)]


def test_base_codes_architecture():
    discriminator = PatchDiscriminator(width=64, layers=3)
    convs = convolutions(discriminator)
    assert [conv.out_channels for conv in convs] == [64, 128, 256, 512, 1]
    assert [conv.stride[0] for conv in convs] == [2, 2, 2, 1, 1]
    assert {conv.kernel_size for conv in convs} == {(4, 4)}
    assert [conv.bias is not None for conv in convs] == [True, False, False, False, True]
    assert sum(isinstance(module, nn.BatchNorm2d) for module in discriminator.path) == 3
    slopes = [module.negative_slope for module in discriminator.path if isinstance(module, nn.LeakyReLU)]
    assert slopes == [0.2] * 4
    side, jump = 1, 1
    for conv in convs:
        side, jump = side + 3 * jump, jump * conv.stride[0]
    assert side == 70, "the patch of pix2pix"


def test_width_stops_growing_at_eight_times():
    assert [conv.out_channels for conv in convolutions(PatchDiscriminator(4, 5))] == [4, 8, 16, 32, 32, 32, 1]


def test_one_logit_a_patch():
    assert PatchDiscriminator(4, 3)(torch.rand(2, 3, 64, 64)).shape == (2, 1, 6, 6)
    assert PatchDiscriminator(4, 2)(torch.rand(2, 3, 16, 16)).shape == (2, 1, 2, 2)


def test_sees_images_centred_on_zero():
    discriminator = PatchDiscriminator(4, 2)
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(discriminator(images), discriminator.path(2 * images - 1))


def test_initial_weights():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(64, 3)
    assert float(convolutions(discriminator)[2].weight.detach().std()) == pytest.approx(0.02, rel=0.02)
    norms = torch.cat([m.weight.detach() for m in discriminator.path if isinstance(m, nn.BatchNorm2d)])
    assert float(norms.mean()) == pytest.approx(1.0, abs=0.005)
    assert float(norms.std()) == pytest.approx(0.02, rel=0.1)


def test_looking_at_images_changes_nothing():
    discriminator = PatchDiscriminator(4, 2)
    assert list(discriminator.buffers()) == []
    images = torch.rand(4, 3, 16, 16)
    before = discriminator(images)
    discriminator(images + 5)
    assert torch.equal(discriminator(images), before)
    assert torch.equal(discriminator.eval()(images), before)


class Draws:
    """Stands in for torch's random numbers in DiffAug: given values, with the ranges they were asked from."""

    def __init__(self, monkeypatch, brightness=0.0, saturation=1.0, contrast=1.0, rows=0, columns=0):
        self.values, self.ranges = iter([brightness, saturation, contrast]), []
        self.shifts, self.shift_ranges = iter([rows, columns]), []
        draws = self

        def uniform_(tensor, low, high):
            draws.ranges.append((low, high))
            assert tensor.numel() == len(tensor), "one number an image"
            return tensor.fill_(next(draws.values))

        def randint(low, high, size, device=None):
            draws.shift_ranges.append((low, high - 1))
            return torch.full(size, next(draws.shifts), device=device)

        monkeypatch.setattr(torch.Tensor, "uniform_", uniform_)
        monkeypatch.setattr(torch, "randint", randint)


def test_augmentation_draws_from_the_documented_ranges(monkeypatch):
    draws = Draws(monkeypatch)
    images = torch.rand(2, 3, 64, 24)
    torch.testing.assert_close(diff_augment(images), images)
    assert draws.ranges == [(-0.25, 0.25), (0, 2), (0.5, 1.5)]
    assert draws.shift_ranges == [(-8, 8), (-3, 3)]


def test_brightness_is_added(monkeypatch):
    Draws(monkeypatch, brightness=0.2)
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(diff_augment(images), images + 0.2)


def test_saturation_scales_the_distance_to_grey(monkeypatch):
    Draws(monkeypatch, saturation=2.0)
    images = torch.tensor([0.1, 0.2, 0.6]).reshape(1, 3, 1, 1).expand(1, 3, 8, 8)
    expected = torch.tensor([-0.1, 0.1, 0.9]).reshape(1, 3, 1, 1).expand(1, 3, 8, 8)  # grey 0.3, distances doubled
    torch.testing.assert_close(diff_augment(images), expected)


def test_contrast_scales_the_distance_to_the_images_mean(monkeypatch):
    Draws(monkeypatch, contrast=0.5)
    images = torch.zeros(2, 3, 8, 8)
    images[0, :, :4] = 1.0  # mean 0.5: 1 becomes 0.75, 0 becomes 0.25
    images[1] = 0.4  # each image has a mean of its own
    expected = torch.full((2, 3, 8, 8), 0.4)
    expected[0, :, :4], expected[0, :, 4:] = 0.75, 0.25
    torch.testing.assert_close(diff_augment(images), expected)


@pytest.mark.parametrize("rows, columns", [(0, 0), (2, -1), (-2, 2), (1, 0), (0, -2)])
def test_shift_moves_zeros_in(monkeypatch, rows, columns):
    Draws(monkeypatch, rows=rows, columns=columns)
    images = 1 + torch.rand(1, 3, 16, 16)
    expected = torch.zeros_like(images)
    for y in range(16):
        for x in range(16):
            if 0 <= y + rows < 16 and 0 <= x + columns < 16:
                expected[:, :, y, x] = images[:, :, y + rows, x + columns]
    torch.testing.assert_close(diff_augment(images), expected)


def test_shifts_reach_an_eighth_of_the_side_and_no_further():
    torch.manual_seed(0)
    empty_rows = (diff_augment(torch.ones(400, 3, 32, 32)).abs().amax(dim=(1, 3)) == 0).sum(dim=1)
    assert set(empty_rows.tolist()) == {0, 1, 2, 3, 4}


def test_colours_keep_the_mean_but_for_brightness():
    torch.manual_seed(0)
    images = torch.rand(1, 3, 4, 4).expand(500, 3, 4, 4)  # sides below eight are not shifted
    change = diff_augment(images).mean(dim=(1, 2, 3)) - images.mean(dim=(1, 2, 3))
    assert -0.25 <= float(change.min()) < -0.24 and 0.24 < float(change.max()) <= 0.25


def test_each_image_is_augmented_its_own_way_and_a_seed_repeats_it():
    images = torch.rand(1, 3, 16, 16).expand(6, 3, 16, 16)
    torch.manual_seed(1)
    augmented = diff_augment(images)
    torch.manual_seed(1)
    assert torch.equal(diff_augment(images), augmented)
    assert all(not torch.equal(augmented[i], augmented[j]) for i in range(6) for j in range(i))


def test_augmentation_is_differentiable():
    def augment(images):
        torch.manual_seed(3)
        return diff_augment(images)

    images = torch.rand(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(augment, images, fast_mode=True)
