"""The perceptual network that needs no download."""

import pytest
import torch

from pivq.features import LITE_MEAN, LITE_STD, efficientnet_lite0
from pivq.perceptual import LITE_STAGES, EfficientNetStages, load_perceptual


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
