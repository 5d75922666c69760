"""EfficientNet-Lite0: the right normalisation, and batch norms folded without a change of what it computes."""

import pytest
import torch

from pivq.pretrained.efficientnet import LITE_MEAN, LITE_STD, efficientnet_lite0, fold_batch_norms

IMAGENET_MEAN = (0.485, 0.456, 0.406)


def test_normalisation_is_that_of_the_training():
    """The first batch norm remembers the pixels of the training: their mean and spread must be those of photographs."""
    network, _ = efficientnet_lite0(224)
    norm, gain = network._bn0, network._conv_stem.weight.detach().sum(dim=(2, 3))  # a filter's gain for flat colours
    mean = torch.linalg.lstsq(gain, norm.running_mean[:, None]).solution[:, 0]
    assert (gain @ mean).tolist() == pytest.approx(norm.running_mean.tolist(), abs=0.01)  # 3 numbers explain 32
    assert (mean * LITE_STD + LITE_MEAN).tolist() == pytest.approx(IMAGENET_MEAN, abs=0.035)
    smooth = gain[2]  # the filter closest to a blur: 0.95 of its weight has one sign
    spread = (norm.running_var[2] / smooth.sum() ** 2).sqrt() * LITE_STD
    assert 0.2 < spread < 0.3  # ImageNet's pixels have 0.225


def test_folded_batch_norms_leave_the_function_as_it_was():
    network, folded = efficientnet_lite0(64)[0], fold_batch_norms(efficientnet_lite0(64)[0])
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network.extract_features(images)
        torch.testing.assert_close(folded.extract_features(images), expected, rtol=1e-3, atol=1e-4)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())


@pytest.mark.parametrize("image_size", [0, -32, 100])
def test_image_size_must_suit_the_strides(image_size):
    with pytest.raises(ValueError, match=f"multiple of 32, got {image_size}"):
        efficientnet_lite0(image_size)
