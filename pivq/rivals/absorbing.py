"""An absorbing-diffusion prior: codes at random places are hidden and predicted (Unleashing Transformers, "UT").

With k of L codes hidden, k uniform in 1 … L and places at random, an image costs at most

    −log p(c) ≤ L · E_k E_places [ mean over the hidden places of −log p(c_i | codes that are seen) ],

the bound of absorbing diffusion (Austin et al., arXiv:2107.03006) with as many steps as codes, in the form of
Hoogeboom et al. (arXiv:2110.02037). A sample shows all codes in a few passes, several codes in each.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pivq.rivals.priors import WIDTH, Prior, draw_codes, transformer

PASSES = 16  # of the network in a sample; source: assumption, a quarter of the codes of `quick`'s grid
DRAWS = 8  # of hidden places for each image, in `bits`; source: assumption


class AbsorbingPrior(Prior):
    """A transformer that sees all codes that are not hidden, with their places."""

    def __init__(self, codebook_size: int, num_codes: int):
        super().__init__(codebook_size, num_codes)
        self.codes = nn.Embedding(codebook_size + 1, WIDTH)  # the last one hides a code
        self.places = nn.Parameter(0.02 * torch.randn(num_codes, WIDTH))
        self.transformer, self.out = transformer(), nn.Linear(WIDTH, codebook_size)

    def forward(self, codes: Tensor) -> Tensor:
        """Return the logits `(B, L, K)` of each code, of codes `(B, L)` in which K hides one."""
        return self.out(self.transformer(self.codes(codes) + self.places))

    def nats(self, codes: Tensor, hidden: Tensor) -> Tensor:
        """Return the bound of −log p(c), `(B,)`, from one choice of hidden places `(B, L)`, at least one an image."""
        logits = self(codes.masked_fill(hidden, self.codebook_size))
        each = F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view_as(codes)
        return codes.shape[1] * (each * hidden).sum(dim=1) / hidden.sum(dim=1)

    def loss(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean nats per code of the bound."""
        return self.nats(codes, hide(*codes.shape, generator).to(codes.device)).mean() / self.num_codes

    @torch.no_grad()
    def bits(self, codes: Tensor, generator: torch.Generator) -> float:
        """Return the bound of the mean bits of an image, from `DRAWS` choices of hidden places for each."""
        total = 0.0
        for batch in codes.split(100):
            for _ in range(DRAWS):
                hidden = hide(*batch.shape, generator).to(self.device)
                total += float(self.nats(batch.to(self.device), hidden).double().sum())
        return total / (DRAWS * len(codes)) / math.log(2)

    def draw_batch(self, count: int, generator: torch.Generator) -> Tensor:
        """Show codes in a random order, in `PASSES` passes of about as many codes each."""
        order = torch.rand(count, self.num_codes, generator=generator).argsort(dim=1)
        codes = torch.full((count, self.num_codes), self.codebook_size)
        for places in order.tensor_split(min(PASSES, self.num_codes), dim=1):
            logits = self(codes.to(self.device)).cpu()
            rows = logits.gather(1, places[:, :, None].expand(-1, -1, self.codebook_size))
            codes.scatter_(1, places, draw_codes(rows, generator))
        return codes


def hide(images: int, num_codes: int, generator: torch.Generator) -> Tensor:
    """Return which codes are hidden, bool `(B, L)`: for each image k of them, k uniform in 1 … L, at random places."""
    count = torch.randint(1, num_codes + 1, (images, 1), generator=generator)
    return torch.rand(images, num_codes, generator=generator).argsort(dim=1).argsort(dim=1) < count
