"""Matching quantization with other gradients and other care for the codebook; the codes are chosen as in Eq. (3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pivq.quantizers import MatchingQuantizer, Quantized
from pivq.settings import check_dense, refusal

SMALLEST = 1e-6  # of norms that are divided by
EXPLAINED = 0.99  # share of the variance that the effective dimension explains; source: arXiv:2605.06870


def rotate(latents: Tensor, codes: Tensor) -> Tensor:
    """Return codes, with gradients that reach the latents by the rotation trick (arXiv:2410.06424).

    With ê and q̂ the directions of a latent e and its code q, and r that of ê + q̂, the map λ R,

        R = I − 2 r rᵀ + 2 q̂ êᵀ,   λ = ‖q‖ / ‖e‖,

    turns e, in the plane of both, into q. It is held constant, so that a gradient g at the code is λ Rᵀ g at the
    latent: its angle to the latent is that of g to the code. Straight through, g would be taken over as it is. If e and
    q are equal, so are both ways.

    Args:
        latents, codes: floats `(…, d)`; what is returned has the values of `codes`.

    Raises:
        TypeError: for anything but tensors.
        ValueError: for unequal shapes, other numbers, or numbers that are not finite.

    Example:
        >>> latents = torch.tensor([1.0, 0.0], requires_grad=True)
        >>> rotate(latents, torch.tensor([0.0, 2.0])).backward(torch.tensor([0.0, 1.0]))
        >>> latents.grad
        tensor([2., 0.])
    """
    for name, value in (("latents", latents), ("codes", codes)):
        _check_rows(name, value, "(…, d)", 1)
    if latents.shape != codes.shape:
        raise ValueError(f"codes {tuple(codes.shape)} must have the shape of latents {tuple(latents.shape)}")
    codes = codes.detach()
    lengths = [rows.detach().norm(dim=-1, keepdim=True) for rows in (latents, codes)]
    e, q = latents.detach() / lengths[0].clamp_min(SMALLEST), codes / lengths[1].clamp_min(SMALLEST)
    r = F.normalize(e + q, dim=-1)  # 0 where they are opposite: R still takes e to q
    turned = latents - 2 * r * (r * latents).sum(dim=-1, keepdim=True) + 2 * q * (e * latents).sum(dim=-1, keepdim=True)
    carried = turned * (lengths[1] / lengths[0].clamp_min(SMALLEST))
    return carried + (codes - carried).detach()  # the codes themselves, without rounding


def gaussian_distance(latents: Tensor, codebook: Tensor) -> Tensor:
    """Return the 2-Wasserstein distance between the Gaussians with the moments of latents and of a codebook.

        √( ‖m − n‖² + tr(A + B − 2 (A^½ B A^½)^½) )

    with means m, n and covariances A, B, of which both sets are first divided by the largest standard deviation of the
    latents: the loss of arXiv:2506.15078 in its code's form. The gradient moves the codebook alone.

    Args:
        latents: floats `(N, d)`, N ≥ 2.
        codebook: floats `(K, d)`, K ≥ 2.

    Raises:
        TypeError: for anything but tensors.
        ValueError: for other shapes, other numbers, or numbers that are not finite.
    """
    for name, value in (("latents", latents), ("codebook", codebook)):
        _check_rows(name, value, "(N, d)", 2)
        if len(value) < 2:
            raise ValueError(f"{name} must have at least 2 rows, got {tuple(value.shape)}")
    if latents.shape[1] != codebook.shape[1]:
        raise ValueError(f"codebook {tuple(codebook.shape)} must have the d of latents {tuple(latents.shape)}")
    with torch.autocast(latents.device.type, enabled=False):
        rows, codes = latents.detach().double(), codebook.double()
        scale = rows.std(dim=0).max().clamp_min(1e-8)
        rows, codes = rows / scale, codes / scale
        spread = rows.T.cov(correction=1).reshape(rows.shape[1], rows.shape[1])  # of d = 1, a number
        values, vectors = torch.linalg.eigh(spread)
        root = vectors * values.clamp_min(0).sqrt() @ vectors.T
        centred = (codes - codes.mean(dim=0)) / (len(codes) - 1) ** 0.5  # B = centredᵀ centred
        shared = torch.linalg.svdvals(centred @ root).sum()  # the trace of (A^½ B A^½)^½
        squared = (rows.mean(dim=0) - codes.mean(dim=0)).square().sum()
        squared = squared + values.clamp_min(0).sum() + centred.square().sum() - 2 * shared
        return squared.clamp_min(1e-10).sqrt().to(codebook.dtype)


def effective_dimension(rows: Tensor, share: float = EXPLAINED) -> int:
    """Return how many principal components explain at least a share of the variance of rows (arXiv:2605.06870).

    Args:
        rows: floats `(N, d)`, such as a codebook.
        share: above 0, at most 1.

    Returns:
        1 … d; 0 where there is no variance.

    Raises:
        TypeError: for anything but a tensor.
        ValueError: for another shape or type, numbers that are not finite, or another share.

    Example:
        >>> effective_dimension(torch.tensor([[1.0, 0.0, 5.0], [-1.0, 0.0, 5.0], [0.0, 1.0, 5.0], [0.0, -1.0, 5.0]]))
        2
    """
    _check_rows("rows", rows, "(N, d)", 2)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ValueError(f"share must be a number above 0 to 1, got {share!r:.80}")
    variances = torch.linalg.svdvals(rows.detach().double() - rows.detach().double().mean(dim=0)).square()
    total = variances.sum()
    return int((variances.cumsum(dim=0) < share * total * (1 - 1e-12)).sum()) + 1 if total > 0 else 0


def _check_rows(name: str, value: Tensor, shape: str, dimensions: int) -> None:
    """Check a tensor of finite floats with rows; "(…, d)" may have more dimensions."""
    fits = isinstance(value, Tensor) and value.is_floating_point()
    if not fits or (value.ndim < 1 if dimensions == 1 else value.ndim != dimensions):
        raise refusal(name, f"a tensor of floats {shape}", value)
    check_dense(name, value)
    if not value.isfinite().all():
        raise ValueError(f"{name} hold numbers that are not finite")


class RecipeQuantizer(MatchingQuantizer):
    """Matching quantization with the rotation trick, a memory of latents and codes, and a loss of the distribution.

    What it remembers is of training steps: calls in training mode with gradients.

    Args:
        codebook_size, dim, num_codes: see `MatchingQuantizer`.
        rotation: carry gradients by `rotate`.
        distribution_weight: of `gaussian_distance`, as a factor within the codebook loss; it acts once the memory is
            full.
        memory: how many latents are remembered; 0 is none.

    Attributes:
        recent: the last `memory` latents `(memory, d)`, the newest last; in front of them zeros, as long as there are
            fewer.
        seen: latents so far.
        unused: steps since each code was last taken, `(K,)` int64.
    """

    def __init__(
        self, codebook_size: int, dim: int, num_codes: int | None = None, rotation: bool = False,
        distribution_weight: float = 0.0, memory: int = 0,
    ):  # fmt: skip
        super().__init__(codebook_size, dim, num_codes)
        self.rotation, self.distribution_weight, self.memory = rotation, distribution_weight, memory
        if memory:
            self.register_buffer("recent", torch.zeros(memory, dim))
            self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
            self.register_buffer("unused", torch.zeros(codebook_size, dtype=torch.int64))

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents `(B, L, d)`; see `MatchingQuantizer`."""
        found = super().forward(latents)
        latents = latents.to(self.codebook.dtype)
        if self.memory and self.training and torch.is_grad_enabled():
            self._remember(latents.detach(), found.codes)
        if self.rotation:
            found = found._replace(quantized=rotate(latents, F.embedding(found.codes, self.codebook)))
        if self.distribution_weight and int(self.seen) >= self.memory:
            distance = gaussian_distance(self.recent, self.codebook)
            found = found._replace(codebook_loss=found.codebook_loss + self.distribution_weight * distance)
        return found

    @torch.no_grad()
    def _remember(self, latents: Tensor, codes: Tensor) -> None:
        rows = latents.flatten(0, 1)
        self.recent.copy_(torch.cat([self.recent, rows])[-self.memory :])
        self.seen += len(rows)
        self.unused += 1
        self.unused[codes.flatten()] = 0

    def remembered(self) -> Tensor:
        """Return the latents in memory, `(N, d)`, the newest last."""
        return self.recent[-min(self.memory, int(self.seen)) :] if int(self.seen) else self.recent[:0]
