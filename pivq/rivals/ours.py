"""PI-VQ itself, measured as the rivals are; its samples are recombined codes of training images, or of a prior."""

from collections.abc import Callable

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from pivq.capacity import matching_bits
from pivq.model import PIVQ
from pivq.rivals.rival import Rival, rows_at
from pivq.sampling import smooth_path
from pivq.usage import presence


class Ours(Rival):
    """A trained PI-VQ with matching codes, and a way to draw sets of codes.

    Args:
        model: with matching quantization.
        draw: maps a count and a seed to codes `(count, L)`.
        prior: the network that `draw` runs, with `bits` as `pivq.rivals.priors.Prior` has them; None if there is none.

    Raises:
        ValueError: a model with another quantizer.
    """

    def __init__(self, model: PIVQ, draw: Callable[[int, int], Tensor], prior: nn.Module | None = None):
        if model.quantizer_name != "matching":
            raise ValueError(f"model must quantize by matching, got {model.quantizer_name}")
        self.model, self.draw, self.prior = model, draw, prior
        self.bits = matching_bits(model.config.codebook_size, model.config.num_codes)
        self.networks: list[nn.Module] = [*([prior] if prior is not None else []), model.decoder]

    def encode(self, images: Tensor) -> Tensor:
        """Return the codes `(B, L)` int64."""
        return self.model.encode(images)

    def decode(self, stored: Tensor) -> Tensor:
        """Return the images of codes `(B, L)`, in any order."""
        return self.model.decode(stored)

    def path(self, stored_a: Tensor, stored_b: Tensor, shares: Tensor, seed: int) -> Tensor:
        """Return the smooth path of Section 3.5 from a to b."""
        return rows_at(smooth_path(stored_b, stored_a, torch.Generator().manual_seed(seed)), shares)

    def features(self, stored: Tensor) -> csr_matrix:
        """Return which codes an image has, `(N, K)` (Section 3.8)."""
        return presence(stored, self.model.config.codebook_size)
