"""An autoregressive prior: each code is drawn given those before it, row by row of the grid (as VQ-GAN's, "TT")."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pivq.rivals.priors import WIDTH, Prior, draw_codes, transformer


class AutoregressivePrior(Prior):
    """A causal transformer: p(c) = ∏ p(c_i | c_1 … c_{i−1}). One pass for each code, no cache of keys."""

    def __init__(self, codebook_size: int, num_codes: int):
        super().__init__(codebook_size, num_codes)
        self.codes = nn.Embedding(codebook_size + 1, WIDTH)  # the last one begins every sequence
        self.places = nn.Parameter(0.02 * torch.randn(num_codes, WIDTH))
        self.transformer, self.out = transformer(), nn.Linear(WIDTH, codebook_size)

    def forward(self, codes: Tensor) -> Tensor:
        """Return the logits `(B, T + 1, K)` of the first T + 1 codes, each given those before it, of T codes."""
        begin = codes.new_full((len(codes), 1), self.codebook_size)
        tokens = self.codes(torch.cat([begin, codes], dim=1)) + self.places[: codes.shape[1] + 1]
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], device=tokens.device)
        return self.out(self.transformer(tokens, mask=mask, is_causal=True))

    def nats(self, codes: Tensor) -> Tensor:
        """Return −log p(c) `(B,)` of codes `(B, L)`."""
        logits = self(codes[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view_as(codes).sum(dim=1)

    def loss(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean nats per code."""
        return self.nats(codes).mean() / self.num_codes

    @torch.no_grad()
    def bits(self, codes: Tensor, generator: torch.Generator) -> float:
        """Return the mean bits of an image: exact."""
        rows = [self.nats(batch.to(self.device)).cpu() for batch in codes.split(100)]
        return float(torch.cat(rows).double().mean()) / math.log(2)

    def draw_batch(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes one after the other."""
        codes = torch.empty(count, 0, dtype=torch.int64)
        for _ in range(self.num_codes):
            drawn = draw_codes(self(codes.to(self.device))[:, -1], generator)
            codes = torch.cat([codes, drawn[:, None]], dim=1)
        return codes
