"""Networks for the perceptual loss (Section 3.6), ready for `pivq.losses.FeatureDistance`."""

from pathlib import Path

import torch
from torch import Tensor, nn

from pivq.config import suggestion
from pivq.losses import FeatureDistance, PerceptualLoss
from pivq.pretrained.efficientnet import LITE_MEAN, LITE_STD, efficientnet_lite0, fold_batch_norms
from pivq.pretrained.weights import VGG16

# The last blocks at 1/2, 1/4 and 1/8 of the image size; deeper ones see 4 × 4 cells of a 64 × 64 image and cost more.
LITE_STAGES = (0, 2, 4)


class EfficientNetStages(nn.Module):
    """Feature maps of EfficientNet-Lite0 (ImageNet weights, Apache-2.0) after the blocks `LITE_STAGES`."""

    def __init__(self):
        super().__init__()
        # The argument only fixes the padding of strided convolutions, which is the same for every multiple of 32.
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


class LpipsVgg(nn.Module):
    """LPIPS [54] on VGG16, with the learned channel weights that come with the package `lpips`.

    Args:
        weights_file: torchvision's VGG16 for ImageNet; see `pivq.pretrained.weights.VGG16`.
    """

    def __init__(self, weights_file: Path):
        import lpips

        super().__init__()
        self.lpips = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)  # random weights: no download
        state = torch.load(weights_file, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for part in self.lpips.net.children():  # slices of VGG16, whose layers keep their numbers
                for name, parameter in part.named_parameters():
                    parameter.copy_(state[f"features.{name}"])
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "LpipsVgg":
        """Stay in evaluation mode: the network is never trained."""
        return super().train(False)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the distance `(B,)` of images to targets, both `(B, 3, H, W)` in [0, 1].

        LPIPS expects [-1, 1]; the base code passed [0, 1].
        """
        return self.lpips(2 * images - 1, 2 * targets - 1).flatten()


PERCEPTUAL_NETWORKS = {
    "efficientnet_lite0": lambda: FeatureDistance(EfficientNetStages()),
    "lpips_vgg": lambda: LpipsVgg(VGG16.find()),
}


def load_perceptual(name: str) -> PerceptualLoss:
    """Return the perceptual distance of a network by name, a module; nothing is downloaded.

    Raises:
        ValueError: an unknown name, or a weights file with another checksum.
        FileNotFoundError: the weights are missing; the message says where they belong.
        ImportError: a package with the network is missing.
    """
    if not isinstance(name, str) or name not in PERCEPTUAL_NETWORKS:
        raise ValueError(f"unknown perceptual network {name!r}{suggestion(name, list(PERCEPTUAL_NETWORKS))}")
    return PERCEPTUAL_NETWORKS[name]()
