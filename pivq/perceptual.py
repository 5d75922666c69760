"""Networks for the perceptual loss (Section 3.6), ready for `pivq.losses.FeatureDistance`."""

import torch
from torch import Tensor, nn

from pivq.config import suggestion
from pivq.features import LITE_MEAN, LITE_STD, efficientnet_lite0, fold_batch_norms
from pivq.losses import FeatureDistance

# The last blocks at 1/2, 1/4 and 1/8 of the image size; deeper ones see 4 × 4 cells of a 64 × 64 image and cost more.
LITE_STAGES = (0, 2, 4)


class EfficientNetStages(nn.Module):
    """Feature maps of EfficientNet-Lite0 (ImageNet weights, Apache-2.0) after the blocks `LITE_STAGES`."""

    def __init__(self):
        super().__init__()
        # The argument fixes the padding of strided convolutions only, the same for every multiple of 32.
        network = fold_batch_norms(efficientnet_lite0(64)[0]).to(memory_format=torch.channels_last)
        self.stem, self.activation = network._conv_stem, network._swish
        self.blocks = network._blocks[: LITE_STAGES[-1] + 1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps `(B, C, h, w)`, largest first, of images `(B, 3, H, W)` in [0, 1]."""
        x = ((images - LITE_MEAN) / LITE_STD).contiguous(memory_format=torch.channels_last)
        x, maps = self.activation(self.stem(x)), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in LITE_STAGES:
                maps.append(x)
        return maps


PERCEPTUAL_NETWORKS = {"efficientnet_lite0": EfficientNetStages}


def load_perceptual(name: str) -> FeatureDistance:
    """Return the perceptual distance of a network by name; nothing is downloaded.

    Raises:
        ValueError: for an unknown name.
        ImportError: when the packages that bring the network are missing.
    """
    if name not in PERCEPTUAL_NETWORKS:
        raise ValueError(f"unknown perceptual network {name!r}{suggestion(name, list(PERCEPTUAL_NETWORKS))}")
    return FeatureDistance(PERCEPTUAL_NETWORKS[name]())
