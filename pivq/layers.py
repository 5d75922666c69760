"""Building blocks: the base code's convolutional blocks and a plain pre-norm transformer."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def group_norm(channels: int) -> nn.GroupNorm:
    """Return the base code's GroupNorm (32 groups, eps 1e-6), with fewer groups where 32 do not divide the width."""
    return nn.GroupNorm(math.gcd(32, channels), channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """GroupNorm, swish, 3×3 convolution, twice, with a skip (1×1 where the widths differ): base code.

    Maps `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.norm1, self.conv1 = group_norm(in_channels), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2, self.conv2 = group_norm(out_channels), nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, `(B, out_channels, H, W)`."""
        y = self.conv1(F.silu(self.norm1(x)))  # (B, out_channels, H, W)
        y = self.conv2(F.silu(self.norm2(y)))
        return self.skip(x) + y


class AttentionBlock(nn.Module):
    """Single-head self-attention over the cells of a feature map `(B, C, H, W)`, with a skip: base code."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = group_norm(channels)
        self.qkv, self.out = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, the shape of `x`."""
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)  # each (B, H W, C)
        y = F.scaled_dot_product_attention(q, k, v)  # (B, H W, C)
        return x + self.out(y.transpose(1, 2).unflatten(2, x.shape[2:]))  # (B, C, H, W)


class Downsample(nn.Module):
    """3×3 convolution of stride 2 after the base code's asymmetric zero padding: halves H and W."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(B, C, H / 2, W / 2)`."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest-neighbour doubling of H and W, then a 3×3 convolution: base code."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(B, C, 2H, 2W)`."""
        return self.conv(F.interpolate(x, scale_factor=2.0))


class TransformerLayer(nn.Module):
    """Self-attention and a GELU feed-forward network, each after a LayerNorm and with a skip.

    Args:
        dim: d, width of a token.
        heads: attention heads; divides `dim`.
        feedforward: hidden width of the feed-forward network.
        query_key_gain: factor on the initial query and key weights. At 1 attention starts almost uniform, every
            learned token sees the same average and training sits on a plateau for thousands of steps.
    """

    def __init__(self, dim: int, heads: int, feedforward: int, query_key_gain: float):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key_value = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.feedforward = nn.Sequential(nn.Linear(dim, feedforward), nn.GELU(), nn.Linear(feedforward, dim))
        with torch.no_grad():
            self.query.weight.mul_(query_key_gain)
            self.key_value.weight[:dim].mul_(query_key_gain)

    def forward(self, tokens: Tensor, keep: slice = slice(None)) -> Tensor:
        """Return the outputs `(B, T', d)` of the tokens in `keep`, which attend to all `tokens` `(B, T, d)`."""
        normed, kept = self.norm1(tokens), tokens[:, keep]  # (B, T, d), (B, T', d)
        q = self._split_heads(self.query(normed[:, keep]))  # (B, heads, T', d / heads)
        k, v = (self._split_heads(x) for x in self.key_value(normed).chunk(2, dim=2))  # (B, heads, T, d / heads)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B, T', d)
        kept = kept + self.out(attended)
        return kept + self.feedforward(self.norm2(kept))  # (B, T', d)

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Transformer(nn.Module):
    """A transformer encoder: no masks, no positions of its own, so it commutes with permutations of its tokens.

    Args: see `TransformerLayer`; `layers` of them, then a LayerNorm.
    """

    def __init__(self, layers: int, dim: int, heads: int, feedforward: int, query_key_gain: float):
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(dim, heads, feedforward, query_key_gain) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, keep: slice) -> Tensor:
        """Return the outputs at the positions in `keep`; the last layer computes no others."""
        *first, last = self.layers
        for layer in first:
            tokens = layer(tokens)
        return self.norm(last(tokens, keep))
