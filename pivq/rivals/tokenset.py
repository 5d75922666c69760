"""TokenSet (Geng et al., "Tokenize Image as a Set", arXiv:2503.16425), reduced to this scale: our reduction.

Kept: learned tokens read the image and are quantized to their nearest codes; the decoder is trained on shuffled tokens,
so that order says nothing; an image is a vector of K counts that sum to L, bijective with the multiset; a fixed-sum
discrete diffusion moves random counts to those of an image and never leaves the sum, by greedy adjustment.

Reduced: the encoder and decoder are the product's at its sizes, not a ViT-B with the decoder of a VQ-GAN; one stage of
training with the product's losses, not a distillation and a fine-tuning; the denoiser is a residual network on the
vector of counts, not a DiT on its K numbers; every guess is adjusted to the sum, not the later ones alone, and the
spread of the rounding has no schedule.
"""

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from pivq.capacity import multiset_bits
from pivq.config import Config, ModelConfig
from pivq.model import PIVQ, Reconstruction
from pivq.rivals.priors import Prior, draw_codes
from pivq.rivals.rival import Rival, rows_at
from pivq.sampling import smooth_path
from pivq.usage import presence

STEPS = 50  # of the diffusion; source: assumption
TOP = 0.8  # share of the probability from which guesses are drawn; source: TokenSet's code
HIDDEN, BLOCKS = 256, 3  # of the denoiser; source: assumption; more weights than the transformers, on fewer numbers
MOST = 8  # uses of a code in an image that are told apart; source: assumption: with learned tokens hardly any has two
RANK = 16  # numbers from which a code's logits are made; source: assumption


class TokenSet(PIVQ, Rival):
    """The tokenizer: PI-VQ's networks, nearest codes, and places that shuffled training makes meaningless.

    Attributes:
        prior: draws multisets of codes; None until there is one.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(config, "nearest")
        self.prior = None
        self.places = nn.Parameter(0.02 * torch.randn(config.num_codes, config.dim))

    @property
    def bits(self) -> float:
        """All multisets of L of K codes."""
        return multiset_bits(self.config.codebook_size, self.config.num_codes)

    @property
    def networks(self) -> list[nn.Module]:
        """The prior, if there is one, and the decoder."""
        return [*([self.prior] if self.prior is not None else []), self.decoder]

    def forward(self, images: Tensor, quantize: bool = True, tokens: Tensor | None = None) -> Reconstruction:
        """Return what `pivq.trainer.Trainer` trains: the tokens of each image in another random order."""
        latents = self.encoder(images, tokens)  # (B, L, d)
        quantization = self.quantizer(latents) if quantize else None
        rows = quantization.quantized if quantize else latents
        order = torch.rand(rows.shape[:2]).argsort(dim=1).to(rows.device)
        shuffled = rows.gather(1, order[:, :, None].expand_as(rows))
        return Reconstruction(self.decoder(shuffled + self.places), latents, quantization)

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the codes `(B, L)` int64, smallest first: what their counts say."""
        return super().encode(images, generator).sort(dim=1).values

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Return the images of latents `(B, L, d)`, in the order given."""
        return super().decode_latents(latents + self.places.to(latents))

    def draw(self, count: int, seed: int) -> Tensor:
        """Return codes `(count, L)` from the prior, smallest first.

        Raises:
            RuntimeError: there is none.
        """
        if self.prior is None:
            raise RuntimeError("TokenSet draws no images without a prior: train one")
        return self.prior.draw(count, seed)

    def path(self, stored_a: Tensor, stored_b: Tensor, shares: Tensor, seed: int) -> Tensor:
        """Return a way on which codes are exchanged one by one, as elements of multisets (Section 3.5)."""
        generator = torch.Generator().manual_seed(seed)
        path = smooth_path(stored_b, stored_a, generator, multiset=True)
        return rows_at(path, shares).sort(dim=1).values

    def features(self, stored: Tensor) -> csr_matrix:
        """Return which codes an image has, `(N, K)`."""
        return presence(stored, self.config.codebook_size)


def tokenset_settings(config: Config) -> Config:
    """Return a profile's settings for TokenSet: as they are."""
    return config


class FixedSumDiffusion(Prior):
    """The fixed-sum discrete diffusion over counts: each state z_t is a vector of whole counts with the sum L.

    On the straight way from noise, a random set of L codes, to the counts of an image, a state is rounded at random
    (`rounded`) and adjusted to the sum (`adjust`). The network guesses the counts of an image from a state.
    """

    batch_size = 128  # images; source: assumption: a step then takes about as long as a transformer's

    def __init__(self, codebook_size: int, num_codes: int):
        super().__init__(codebook_size, num_codes)
        self.into, self.time = nn.Linear(codebook_size, HIDDEN), nn.Linear(1, HIDDEN)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN))
            for _ in range(BLOCKS)
        )
        self.out = nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, codebook_size * RANK))
        self.own = nn.Sequential(nn.Linear(2, RANK), nn.GELU(), nn.Linear(RANK, RANK))
        self.most = min(num_codes, MOST)
        into_counts = nn.Linear(RANK, self.most + 1)
        self.counts = nn.Sequential(nn.LayerNorm(RANK), nn.Linear(RANK, RANK), nn.GELU(), into_counts)

    def forward(self, mixed: Tensor, t: Tensor) -> Tensor:
        """Return the logits `(B, K, C)` of each code's count, of z_t `(B, K)` and t `(B, 1)` in [0, 1]."""
        x = self.into(mixed) + self.time(2 * t - 1)
        for block in self.blocks:
            x = x + block(x)
        of_all = self.out(x).unflatten(1, (self.codebook_size, RANK))  # what all codes say on each
        own = self.own(torch.stack([mixed, t.expand_as(mixed)], dim=2))  # (B, K, RANK), what each says itself
        return self.counts(of_all + own)

    def _noise(self, images: int, generator: torch.Generator) -> Tensor:
        """Return the counts of random sets of L codes, `(B, K)` float."""
        order = torch.rand(images, self.codebook_size, generator=generator).argsort(dim=1)
        return counts_of(order[:, : self.num_codes], self.codebook_size).float()

    def loss(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean nats per code of an image, at a random t for each.

        Raises:
            ValueError: an image has a code more than `MOST` times.
        """
        counts, noise = counts_of(codes.cpu(), self.codebook_size), self._noise(len(codes), generator)  # (B, K)
        if counts.max() > self.most:
            raise ValueError(f"an image has a code {int(counts.max())} times, more than MOST, {self.most}")
        t = torch.rand(len(codes), 1, generator=generator)
        state = self._rounded((1 - t) * noise + t * counts, noise - counts, generator)
        logits = self(state.to(codes.device), t.to(codes.device))
        each = F.cross_entropy(logits.flatten(0, 1), counts.flatten().to(codes.device), reduction="sum")
        return each / codes.numel()

    def draw_batch(self, count: int, generator: torch.Generator) -> Tensor:
        """Go from noise to an image's counts in `STEPS` steps."""
        state = self._noise(count, generator)
        for step in range(STEPS):
            t, later = step / STEPS, (step + 1) / STEPS
            logits = self(state.to(self.device), state.new_full((count, 1), t).to(self.device)).cpu()
            guess = adjust(draw_codes(likeliest(logits), generator), logits.log_softmax(dim=2), self.num_codes)
            noise = (state - t * guess) / (1 - t)  # from which the straight way to the guess would have led here
            state = self._rounded((1 - later) * noise + later * guess, noise - guess, generator)
        return codes_of(guess)

    def _rounded(self, mean: Tensor, apart: Tensor, generator: torch.Generator) -> Tensor:
        return rounded(mean, apart, self.num_codes, self.most, generator)


def likeliest(logits: Tensor) -> Tensor:
    """Return logits `(…, C)` with −∞ for all but the likeliest classes, those that make up `TOP` of the probability."""
    shares, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, order, shares.cumsum(dim=-1) - shares < TOP)
    return logits.masked_fill(~kept, -torch.inf)


def rounded(mean: Tensor, apart: Tensor, total: int, most: int, generator: torch.Generator) -> Tensor:
    """Return whole counts near `mean` that sum to `total`, `(B, K)` float.

    Each is drawn with the density of N(mean, (apart / 4)²) at 0 … `most`; where both ends agree, it is theirs.

    Args:
        mean: a place on the way from noise to an image, `(B, K)`.
        apart: noise less image, `(B, K)`.
        total: L.
        most: the largest count.
        generator: on the CPU, as all of this is.
    """
    deviation = apart.abs()[:, :, None] / 4 + 1e-6
    density = -0.5 * ((torch.arange(most + 1) - mean[:, :, None]) / deviation).square()
    return adjust(draw_codes(density, generator), density, total).float()


def counts_of(codes: Tensor, codebook_size: int) -> Tensor:
    """Return how often an image has each code, `(B, K)` int64, of codes `(B, L)`.

    Example:
        >>> counts_of(torch.tensor([[2, 0, 2]]), codebook_size=3).tolist()
        [[1, 0, 2]]
    """
    counts = torch.zeros(len(codes), codebook_size, dtype=torch.int64, device=codes.device)
    return counts.scatter_add_(1, codes, torch.ones_like(codes))


def codes_of(counts: Tensor) -> Tensor:
    """Return the codes `(B, L)`, smallest first, of counts `(B, K)` that all have the sum L: undoes `counts_of`."""
    codes = torch.arange(counts.shape[1]).repeat(len(counts)).repeat_interleave(counts.flatten())
    return codes.reshape(len(counts), -1)


def adjust(counts: Tensor, log_shares: Tensor, total: int) -> Tensor:
    """Return counts that sum to `total`: codes gain or lose one, those first that cost least log-likelihood.

    A quarter of what is left is changed at a time, and the last few one after the other.

    Args:
        counts: int64 `(B, K)` in 0 … C − 1.
        log_shares: of each count of each code, `(B, K, C)`.
        total: L, at most K (C − 1).
    """
    counts, most = counts.clone(), log_shares.shape[2] - 1
    while (excess := counts.sum(dim=1) - total).any():
        change = -excess.sign()[:, None]  # +1, 0 or −1 for each image
        changed = (counts + change).clamp(0, most)
        gain = log_shares.gather(2, changed[:, :, None]) - log_shares.gather(2, counts[:, :, None])
        gain = gain[:, :, 0].masked_fill(changed == counts, -torch.inf)
        rank = gain.argsort(dim=1, descending=True).argsort(dim=1)
        counts = torch.where(rank < (excess.abs()[:, None] / 4).ceil(), changed, counts)
    return counts
