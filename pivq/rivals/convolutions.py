"""The product's own convolutional encoder and decoder, without its transformers: images to a grid, and back."""

import torch.nn.functional as F
from torch import Tensor, nn

from pivq.config import ModelConfig
from pivq.model import Decoder, Encoder


class GridEncoder(nn.Module):
    """Images `(B, 3, H, W)` in [0, 1] to a grid `(B, d, h, w)`: the down path of `pivq.model.Encoder`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.patch_size, self.down = config.patch_size, Encoder(config).down

    def forward(self, images: Tensor) -> Tensor:
        """Return the grid `(B, d, h, w)`."""
        return self.down(F.pixel_unshuffle(2 * images - 1, self.patch_size))


class GridDecoder(nn.Module):
    """A grid `(B, d, h, w)` to images `(B, 3, H, W)`, about [0, 1]: the up path of `pivq.model.Decoder`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        whole = Decoder(config)
        self.patch_size, self.up, self.conv_out = config.patch_size, whole.up, whole.conv_out

    def forward(self, grid: Tensor) -> Tensor:
        """Return the images, not clamped."""
        return (F.pixel_shuffle(self.conv_out(self.up(grid)), self.patch_size) + 1) / 2
