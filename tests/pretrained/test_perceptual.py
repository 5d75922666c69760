"""Perceptual networks: the one that needs no download, and LPIPS on a stand-in for VGG16's weights."""

import lpips
import pytest
import torch
import torchvision

from pivq.pretrained.efficientnet import LITE_MEAN, LITE_STD, efficientnet_lite0
from pivq.pretrained.perceptual import LITE_STAGES, EfficientNetStages, LpipsVgg, load_perceptual


def test_stages_are_those_of_the_network_itself():
    network, _ = efficientnet_lite0(64)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        x = network._swish(network._bn0(network._conv_stem((images - LITE_MEAN) / LITE_STD)))
        expected = []
        for index, block in enumerate(network._blocks):
            x = block(x)
            if index in LITE_STAGES:
                expected.append(x)
        maps = EfficientNetStages()(images)
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 32, 32), (24, 16, 16), (40, 8, 8)]
    for got, wanted in zip(maps, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3)


def test_blur_is_further_away_than_an_equally_large_shift_of_brightness():
    """What the perceptual loss is for: L1 alone cannot tell the two apart."""
    sharp = (torch.arange(64) // 8 % 2).float().expand(1, 3, 64, 64) * 0.6 + 0.2
    blurred = torch.nn.functional.avg_pool2d(sharp, 9, stride=1, padding=4, count_include_pad=False)
    shifted = sharp + (blurred - sharp).abs().mean()
    distance = load_perceptual("efficientnet_lite0")
    assert distance(blurred, sharp) > 1.5 * distance(shifted, sharp) > 0
    assert distance(sharp, sharp) == 0


def test_network_is_frozen_and_images_get_gradients():
    distance = load_perceptual("efficientnet_lite0")
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    distance(images, torch.rand(1, 3, 64, 64)).sum().backward()
    assert images.grad.abs().max() > 0
    assert not any(p.requires_grad for p in distance.parameters())


def test_unknown_network_is_refused_with_a_suggestion():
    with pytest.raises(ValueError, match="did you mean efficientnet_lite0"):
        load_perceptual("efficientnet_lite")


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """Return a file like torchvision's, with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(torchvision.models.vgg16().state_dict(), path)
    return path


def test_lpips_has_the_weights_of_the_file_and_wants_images_from_0_to_1(vgg_file):
    distance = LpipsVgg(vgg_file)
    images, targets = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    reference = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    vgg = torchvision.models.vgg16()
    vgg.load_state_dict(torch.load(vgg_file))
    for part in reference.net.children():  # the same slices, filled by position instead of by name
        for position, _ in list(part.named_children()):
            setattr(part, position, vgg.features[int(position)])
    with torch.no_grad():
        expected = reference(images, targets, normalize=True).flatten()
        assert torch.allclose(distance(images, targets), expected, rtol=1e-5)
    assert expected.shape == (2,) and (expected > 0).all()


def test_lpips_is_frozen_and_finite_at_equal_images(vgg_file):
    distance = LpipsVgg(vgg_file).train()
    images = torch.rand(1, 3, 64, 64)
    leaf = images.clone().requires_grad_()
    value = distance(leaf, images).sum()
    value.backward()
    assert value == 0 and torch.isfinite(leaf.grad).all()
    assert not any(p.requires_grad for p in distance.parameters())
    assert not any(module.training for module in distance.modules())


def test_lpips_without_its_weights_says_what_to_put_where(monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_VGG16", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="LPIPS .* are missing: no vgg16-397923af.pth .*download.pytorch.org"):
        load_perceptual("lpips_vgg")
