"""The two vector quantizers: nearest neighbour, Eq. (1), and matching, Eq. (3)."""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pivq.matching import match
from pivq.settings import check_dense, check_whole


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


NEAR = 0.01  # share of a latent's norm below which a distance by dot products could lose too much to cancellation
TIE = 1 + 1e-9  # distances to the nearest code that differ by less than this factor may be equal
BLOCK_ELEMENTS = 1 << 21  # differences held at once: 16 MiB
MOST_CODES = 1 << 40  # codes below this, times L, stay far from the end of int64


def as_codes(codes: Any, codebook_size: int = MOST_CODES, name: str = "codes", dimensions: int = 2) -> Tensor:
    """Return codes as an int64 tensor, checked.

    Args:
        codes: whole numbers of any integer type, `(B, L)` or, with `dimensions=1`, `(L,)`; L >= 1. A tensor, an array
            or nested lists.
        codebook_size: K; `MOST_CODES` where it is not known.
        name: of the argument, for messages.
        dimensions: 1 or 2.

    Raises:
        TypeError: for what is no array of numbers.
        ValueError: for another type or shape, a code outside 0 … K − 1, or a codebook size that is no whole number.
    """
    codebook_size = check_whole("codebook_size", codebook_size)
    expected = f"whole numbers {'(B, L)' if dimensions == 2 else '(L,)'} with L >= 1"
    check_dense(name, codes)
    try:
        values = codes if isinstance(codes, Tensor) else torch.from_numpy(np.array(codes))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be {expected}, got {type(codes).__name__}: {error}") from error
    whole = not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
    if not whole or values.ndim != dimensions or values.shape[-1] == 0:
        raise ValueError(f"{name} must be {expected}, got {values.dtype} {tuple(values.shape)}")
    values = values.long()  # numbers from 2^63 on become negative
    low, high = (int(bound) for bound in values.aminmax()) if values.numel() else (0, 0)
    if low < 0 or high >= codebook_size:
        raise ValueError(f"{name} must lie in 0 … {codebook_size - 1}, got {low} … {high}")
    return values


class _Quantizer(nn.Module):
    """A learned codebook with straight-through gradients; a subclass says which code each latent gets.

    Args:
        codebook_size: K, number of codes.
        dim: d, length of a code vector.
        num_codes: L, codes per image, when known; `L > K` is refused here rather than in the first step.

    Raises:
        ValueError: for sizes that are no whole numbers from 1 on.
    """

    def __init__(self, codebook_size: int, dim: int, num_codes: int | None = None):
        super().__init__()
        for name, value in (("codebook_size", codebook_size), ("dim", dim), ("num_codes", num_codes)):
            if value is not None or name != "num_codes":
                check_whole(name, value)
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

        They come from dot products in float64 about the codebook's mean. Differences take several times as long, so
        they give only the distances that are small (`NEAR`) and those that may tie for the nearest code (`TIE`): all
        keep their relative precision, and equal codes are equally far, in any batch.

        Raises:
            TypeError: for anything but a tensor.
            ValueError: if type or shape do not fit the codebook, or a latent (names the image) or a code is NaN or
                infinite.
        """
        codebook = self.codebook
        if not isinstance(latents, Tensor):
            raise TypeError(f"latents must be a tensor of floats (B, L, {codebook.shape[1]}), got {type(latents)}")
        check_dense("latents", latents)
        if not latents.is_floating_point():
            raise ValueError(f"latents must be floats, got {latents.dtype}")
        if latents.ndim != 3 or latents.shape[2] != codebook.shape[1] or self.num_codes not in (None, latents.shape[1]):
            expected = f"(B, {self.num_codes or 'L'}, {codebook.shape[1]})"
            raise ValueError(f"latents must be {expected}, got {tuple(latents.shape)}")
        finite = torch.isfinite(latents.float()).all(dim=2).all(dim=1)
        if not finite.all():
            raise ValueError(
                f"latents of image {int(finite.int().argmin())} of the batch are not finite: training has diverged "
                "(lower the learning rate, or resume from an earlier checkpoint)"
            )
        if not all(bound.isfinite() for bound in codebook.aminmax()):
            code = int(torch.isfinite(codebook).all(dim=1).int().argmin())
            raise ValueError(f"code {code} of the codebook is not finite: the model is damaged")
        with torch.autocast(latents.device.type, enabled=False):
            # One table of all rows: with a batch of them cdist would copy the codebook.
            table = _distances(latents.flatten(0, 1).double(), codebook.double())  # (B L, K)
            return table.unflatten(0, latents.shape[:2])  # (B, L, K)

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents `(B, L, d)`; see `Quantized`.

        Raises:
            ValueError: see `distances`.
        """
        codes = self.codes(latents)  # (B, L)
        latents = latents.to(self.codebook.dtype)  # float32 under any autocast
        quantized = F.embedding(codes, self.codebook)  # (B, L, d)
        return Quantized(
            quantized=latents + (quantized - latents).detach(),
            codes=codes,
            codebook_loss=F.mse_loss(quantized, latents.detach()),
            commitment_loss=F.mse_loss(latents, quantized.detach()),
        )


def _distances(rows: Tensor, columns: Tensor) -> Tensor:
    """Return Euclidean distances `(N, K)` of rows `(N, d)` to columns `(K, d)`; see `_Quantizer.distances`."""
    centre = columns.mean(dim=0)
    centred = rows - centre
    table = torch.cdist(centred, columns - centre, compute_mode="use_mm_for_euclid_dist")  # (N, K)
    if not table.numel():
        return table
    reach = torch.maximum(NEAR * centred.norm(dim=1), TIE * table.amin(dim=1))  # (N,)
    near = table <= reach[:, None]
    if table.device.type == "cpu":  # numpy takes a tenth of the time of torch's nonzero
        near = torch.from_numpy(np.flatnonzero(near))
    else:
        near = near.flatten().nonzero()[:, 0]
    for places in near.split(max(1, BLOCK_ELEMENTS // rows.shape[1])):
        row, column = places // len(columns), places % len(columns)
        table[row, column] = (rows[row] - columns[column]).square().sum(dim=1).sqrt()
    return table


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
        super().__init__(codebook_size, dim, num_codes)
        if num_codes is not None and num_codes > codebook_size:
            raise ValueError(
                f"matching quantization needs L <= K, got num_codes {num_codes} > codebook_size {codebook_size}"
            )

    def choose(self, distances: Tensor) -> Tensor:
        """Return the minimum-cost one-to-one codes, Eq. (3)."""
        return match(distances)


QUANTIZERS = {"matching": MatchingQuantizer, "nearest": NearestQuantizer}
