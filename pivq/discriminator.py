"""The patch discriminator and DiffAug, as the base code has them (Section 3.6)."""

import torch
from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """Judge overlapping patches: 4×4 convolutions, BatchNorm, LeakyReLU 0.2 (base code: width 64, 3 layers).

    Args:
        width: channels of the first layer; doubles with each further one, up to eight times.
        layers: convolutions of stride 2.
    """

    def __init__(self, width: int, layers: int):
        super().__init__()
        path: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels = width
        for layer in range(1, layers + 1):
            out = width * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            # Only batch statistics are ever used; running ones would change even in a step that is skipped.
            norm = nn.BatchNorm2d(out, track_running_stats=False)
            path += [nn.Conv2d(channels, out, 4, stride=stride, padding=1, bias=False), norm, nn.LeakyReLU(0.2)]
            channels = out
        self.path = nn.Sequential(*path, nn.Conv2d(channels, 1, 4, padding=1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Return one logit a patch `(B, 1, h, w)`, high for real, of images `(B, 3, H, W)` in [0, 1]."""
        return self.path(2 * images - 1)


def diff_augment(images: Tensor) -> Tensor:
    """Change colours and shift images `(B, 3, H, W)` at random, differentiably: DiffAug, policy colour + translation.

    Each image gets its own brightness (±0.25 of the [0, 1] range), saturation (×0…2), contrast (×0.5…1.5) and shift
    (up to an eighth of the side, zeros moving in). The discriminator judges real and generated images after it, so a
    small data set is harder to learn by heart.
    """
    batch, _, height, width = images.shape

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(batch, 1, 1, 1, device=images.device, dtype=images.dtype).uniform_(low, high)

    images = images + uniform(-0.25, 0.25)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * uniform(0, 2) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * uniform(0.5, 1.5) + mean

    # A shift of rows or columns is a product with a shifted unit matrix; what comes from outside is zero.
    def shifted(size: int) -> Tensor:
        reach = size // 8
        shift = torch.randint(-reach, reach + 1, (batch, 1, 1), device=images.device)
        places = torch.arange(size, device=images.device)
        return (places[:, None] + shift == places).to(images.dtype)[:, None]

    return shifted(height) @ images @ shifted(width).transpose(2, 3)
