"""What every prior over codes has: sizes, a way to be trained, and a way to draw."""

import torch
from torch import Tensor, nn

WIDTH, FEEDFORWARD = 128, 512  # of the transformers; source: paper, of PI-VQ's at 64 × 64
HEADS, LAYERS = 4, 2  # source: assumption; `quick` has 4 heads, and one layer in each of two networks
DRAWN = 100  # images that are drawn at a time, which decides which images a seed gives


class Prior(nn.Module):
    """A distribution over the codes of an image.

    Args:
        codebook_size: K.
        num_codes: L.

    Attributes:
        batch_size: images in a step of training.
    """

    batch_size = 32  # source: assumption

    def __init__(self, codebook_size: int, num_codes: int):
        super().__init__()
        self.codebook_size, self.num_codes = codebook_size, num_codes

    def loss(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Return what training lowers, a scalar, for codes `(B, L)`; `generator`, on the CPU, draws what is drawn."""
        raise NotImplementedError

    def draw_batch(self, count: int, generator: torch.Generator) -> Tensor:
        """Return codes `(count, L)` on the CPU."""
        raise NotImplementedError

    def bits(self, codes: Tensor, generator: torch.Generator) -> float | None:
        """Return the mean bits of an image, or an upper bound of them, for codes `(N, L)`; None if neither is known."""
        return None

    @torch.no_grad()
    def draw(self, count: int, seed: int) -> Tensor:
        """Return codes `(count, L)` int64 on the CPU; the same seed gives the same ones."""
        generator = torch.Generator().manual_seed(seed)
        sizes = [min(DRAWN, count - start) for start in range(0, count, DRAWN)]
        return torch.cat([self.draw_batch(size, generator) for size in sizes])

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device


def transformer(layers: int = LAYERS) -> nn.TransformerEncoder:
    """Return torch's pre-norm transformer, without dropout."""
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, FEEDFORWARD, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(WIDTH), enable_nested_tensor=False)


def draw_codes(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Return one code for each row of logits `(…, K)`, drawn on the CPU, `(…)` int64."""
    ends = logits.cpu().double().softmax(dim=-1).cumsum(dim=-1)  # of each code's part of [0, 1)
    place = torch.rand(ends.shape[:-1], generator=generator)[..., None] * ends[..., -1:]
    return (ends <= place).sum(dim=-1)
