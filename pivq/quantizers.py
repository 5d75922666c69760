"""The two vector quantizers: nearest neighbour, Eq. (1), and matching, Eq. (3)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pivq.matching import match


class Quantized(NamedTuple):
    """What a quantizer makes of latents `z_e`; both losses are unweighted means over all elements.

    Attributes:
        quantized: `(B, L, d)`, the codebook vectors `z_c`, with gradients passed straight through to the latents.
        codes: `(B, L)` int64, `C_x` in latent order.
        codebook_loss: scalar `mean ‖sg[z_e] − z_c‖²`, moves the codes to the latents.
        commitment_loss: scalar `mean ‖z_e − sg[z_c]‖²`, holds the latents to their codes.
    """

    quantized: Tensor
    codes: Tensor
    codebook_loss: Tensor
    commitment_loss: Tensor


class _Quantizer(nn.Module):
    """A learned codebook with straight-through gradients; a subclass says which code each latent gets.

    Args:
        codebook_size: K, number of codes.
        dim: d, length of a code vector.
        num_codes: L, codes per image, when known; `L > K` is refused here rather than in the first step.

    Raises:
        ValueError: for sizes below one.
    """

    def __init__(self, codebook_size: int, dim: int, num_codes: int | None = None):
        super().__init__()
        for name, value in (("codebook_size", codebook_size), ("dim", dim), ("num_codes", num_codes)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.num_codes = num_codes
        # The scale does not matter where training follows Section 3.7: k-means sets the codebook at T_q.
        self.codebook = nn.Parameter(torch.randn(codebook_size, dim))

    def choose(self, distances: Tensor) -> Tensor:
        """Return `(B, L)` int64 codes for Euclidean `distances` `(B, L, K)`."""
        raise NotImplementedError

    def codes(self, latents: Tensor) -> Tensor:
        """Return the codes `(B, L)` int64, in latent order, of latents `(B, L, d)`.

        Raises:
            ValueError: see `distances`.
        """
        return self.choose(self.distances(latents))

    @torch.no_grad()
    def distances(self, latents: Tensor) -> Tensor:
        """Return Euclidean distances `(B, L, K)` of latents `(B, L, d)` to the codes, float64 under any autocast.

        Dot products in float32 would lose small distances to cancellation; differences take several times as long.

        Raises:
            ValueError: if the shape does not fit the codebook, or a latent is NaN or infinite; names the image.
        """
        codebook = self.codebook
        if latents.ndim != 3 or latents.shape[2] != codebook.shape[1] or self.num_codes not in (None, latents.shape[1]):
            expected = f"(B, {self.num_codes or 'L'}, {codebook.shape[1]})"
            raise ValueError(f"latents must be {expected}, got {tuple(latents.shape)}")
        finite = torch.isfinite(latents).all(dim=2).all(dim=1)
        if not finite.all():
            raise ValueError(
                f"latents of image {int(finite.int().argmin())} of the batch are not finite: training has diverged "
                "(lower the learning rate, or resume from an earlier checkpoint)"
            )
        with torch.autocast(latents.device.type, enabled=False):
            # One table of all rows: with a batch of them cdist would copy the codebook.
            rows, columns = latents.flatten(0, 1).double(), codebook.double()  # (B L, d), (K, d)
            table = torch.cdist(rows, columns, compute_mode="use_mm_for_euclid_dist")  # (B L, K)
            return table.unflatten(0, latents.shape[:2])  # (B, L, K)

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents `(B, L, d)`; see `Quantized`.

        Raises:
            ValueError: see `distances`.
        """
        latents = latents.to(self.codebook.dtype)  # float32 under any autocast
        codes = self.codes(latents)  # (B, L)
        quantized = F.embedding(codes, self.codebook)  # (B, L, d)
        return Quantized(
            quantized=latents + (quantized - latents).detach(),
            codes=codes,
            codebook_loss=F.mse_loss(quantized, latents.detach()),
            commitment_loss=F.mse_loss(latents, quantized.detach()),
        )


class NearestQuantizer(_Quantizer):
    """Map each latent to its nearest code, Eq. (1): codes may repeat within an image.

    Example:
        >>> quantizer = NearestQuantizer(codebook_size=3, dim=1)
        >>> quantizer.codebook.data = torch.tensor([[0.0], [1.0], [10.0]])
        >>> quantizer(torch.tensor([[[0.1], [0.2]]])).codes
        tensor([[0, 0]])
    """

    def choose(self, distances: Tensor) -> Tensor:
        """Return the nearest code of each latent, Eq. (1); the lowest index where several tie."""
        return distances.argmin(dim=2)


class MatchingQuantizer(_Quantizer):
    """Match the latents of an image one to one to codes at the least total distance, Eq. (3): no code repeats.

    Raises:
        ValueError: when built with more codes per image than codes in the codebook, `num_codes > codebook_size`.

    Example:
        >>> quantizer = MatchingQuantizer(codebook_size=3, dim=1)
        >>> quantizer.codebook.data = torch.tensor([[0.0], [1.0], [10.0]])
        >>> quantizer(torch.tensor([[[0.1], [0.2]]])).codes
        tensor([[0, 1]])
    """

    def __init__(self, codebook_size: int, dim: int, num_codes: int | None = None):
        if num_codes is not None and num_codes > codebook_size:
            raise ValueError(
                f"matching quantization needs L <= K, got num_codes {num_codes} > codebook_size {codebook_size}"
            )
        super().__init__(codebook_size, dim, num_codes)

    def choose(self, distances: Tensor) -> Tensor:
        """Return the minimum-cost one-to-one codes, Eq. (3)."""
        return match(distances)


QUANTIZERS = {"matching": MatchingQuantizer, "nearest": NearestQuantizer}
