"""The patch discriminator and DiffAug, as the base code has them (Section 3.6)."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm with the statistics of the batch over all processes, so that splitting a batch changes nothing.

    Only batch statistics are ever used; running ones would change even in a step that is skipped. (PyTorch's
    `SyncBatchNorm` needs GPUs.)
    """

    def __init__(self, channels: int):
        super().__init__(channels, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(B, C, H, W)`, each channel with mean 0 and variance 1 over the whole batch, scaled and shifted."""
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(x)
        full = x.to(torch.promote_types(x.dtype, torch.float32))
        count = all_reduce(torch.tensor(x.numel() / x.shape[1], device=x.device))
        mean = all_reduce(full.sum(dim=(0, 2, 3))) / count
        centred = full - mean[:, None, None]
        variance = all_reduce(centred.square().sum(dim=(0, 2, 3))) / count
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class PatchDiscriminator(nn.Module):
    """Classify overlapping patches as real or generated, by 4×4 convolutions, BatchNorm and LeakyReLU 0.2.

    In the base code, width is 64 and layers is 3.

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
            path += [nn.Conv2d(channels, out, 4, stride=stride, padding=1, bias=False), BatchNorm(out)]
            path.append(nn.LeakyReLU(0.2))
            channels = out
        self.path = nn.Sequential(*path, nn.Conv2d(channels, 1, 4, padding=1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Return one logit per patch `(B, 1, h, w)`, high for real, of images `(B, 3, H, W)` in [0, 1]."""
        return self.path(2 * images - 1)


def diff_augment(images: Tensor, rows: slice = slice(None), batch: int | None = None) -> Tensor:
    """Change colours and shift images `(B, 3, H, W)` at random, differentiably: DiffAug, policy colour + translation.

    Each image gets its own brightness (±0.25 of the [0, 1] range, which is ±0.5 of [−1, 1] as the authors have it; the
    base code has twice as much), saturation (×0…2), contrast (×0.5…1.5) and shift (up to an eighth of the side, filled
    with zeros). The discriminator sees real and generated images only after it, so a small data set is harder to
    memorise.

    Args:
        images: `(B, 3, H, W)`.
        rows: which images of the whole batch these are, if several processes share it. Random numbers are drawn for
            the whole batch, so that an image gets the same ones in any process.
        batch: size of the whole batch; B when None.
    """
    batch, (height, width) = batch or len(images), images.shape[2:]

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(batch, 1, 1, 1, device=images.device, dtype=images.dtype).uniform_(low, high)[rows]

    images = images + uniform(-0.25, 0.25)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * uniform(0, 2) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * uniform(0.5, 1.5) + mean

    # A shift of rows or columns is a product with a shifted unit matrix; it fills with zeros.
    def shifted(size: int) -> Tensor:
        reach = size // 8
        shift = torch.randint(-reach, reach + 1, (batch, 1, 1), device=images.device)[rows]
        places = torch.arange(size, device=images.device)
        return (places[:, None] + shift == places).to(images.dtype)[:, None]

    return shifted(height) @ images @ shifted(width).transpose(2, 3)
