"""A VQ-VAE (van den Oord et al., arXiv:1711.00937): each cell of the grid has a code, and the code has that place.

Images are drawn by a prior over the codes: `pivq.rivals.autoregressive` or `pivq.rivals.absorbing`, the two priors of
the paper's Table 1.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from pivq.capacity import positional_bits
from pivq.config import Config, ModelConfig
from pivq.model import Reconstruction
from pivq.quantizers import NearestQuantizer, as_codes
from pivq.rivals.convolutions import GridDecoder, GridEncoder
from pivq.rivals.rival import Rival, exchange_places
from pivq.usage import presence


class VQVAE(Rival, nn.Module):
    """A VQ-VAE with the product's convolutions and its nearest quantizer, started by k-means as in Section 3.7.

    Args:
        config: with as many codes an image as the grid has cells (`vqvae_settings`).

    Attributes:
        prior: draws codes; None until there is one.

    Raises:
        ValueError: another number of codes.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        if config.num_codes != (cells := config.grid_size**2):
            raise ValueError(f"num_codes must be {cells}, one per cell of the grid, got {config.num_codes}")
        self.config, self.prior = config, None
        self.encoder, self.decoder = GridEncoder(config), GridDecoder(config)
        self.quantizer = NearestQuantizer(config.codebook_size, config.dim, cells)

    @property
    def bits(self) -> float:
        """L log2 K."""
        return positional_bits(self.config.codebook_size, self.config.num_codes)

    @property
    def networks(self) -> list[nn.Module]:
        """The prior, if there is one, and the decoder."""
        return [*([self.prior] if self.prior is not None else []), self.decoder]

    def forward(self, images: Tensor, quantize: bool = True, tokens: Tensor | None = None) -> Reconstruction:
        """Return what `pivq.trainer.Trainer` trains; `tokens` is not used."""
        latents = self.encoder(images).flatten(2).transpose(1, 2)  # (B, h w, d)
        quantization = self.quantizer(latents) if quantize else None
        return Reconstruction(self._images(quantization.quantized if quantize else latents), latents, quantization)

    def _images(self, rows: Tensor) -> Tensor:
        size = self.config.grid_size
        return self.decoder(rows.transpose(1, 2).unflatten(2, (size, size)))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return the codes `(B, h w)` int64, row by row of the grid."""
        return self.quantizer.codes(self.encoder(images.to(self.quantizer.codebook)).flatten(2).transpose(1, 2))

    @torch.no_grad()
    def decode(self, stored: Tensor) -> Tensor:
        """Return the images of codes `(B, h w)`."""
        codebook = self.quantizer.codebook
        codes = as_codes(stored, self.config.codebook_size)
        return self._images(F.embedding(codes.to(codebook.device), codebook)).clamp(0, 1)

    def draw(self, count: int, seed: int) -> Tensor:
        """Return codes `(count, h w)` from the prior.

        Raises:
            RuntimeError: there is none.
        """
        if self.prior is None:
            raise RuntimeError("a VQ-VAE draws no images without a prior: train one")
        return self.prior.draw(count, seed)

    def path(self, stored_a: Tensor, stored_b: Tensor, shares: Tensor, seed: int) -> Tensor:
        """Return a way on which cells change from a's code to b's, one by one: what Section 3.5 does, with places."""
        return exchange_places(stored_a, stored_b, shares, seed)

    def features(self, stored: Tensor) -> csr_matrix:
        """Return which code each cell has, `(N, h w K)`."""
        size, cells = self.config.codebook_size, stored.shape[1]
        return presence(stored + size * torch.arange(cells), size * cells)


def vqvae_settings(config: Config) -> Config:
    """Return a profile's settings for a VQ-VAE: a code per cell, and no transformer for Muon to train."""
    model = replace(config.model, num_codes=config.model.grid_size**2)
    return replace(config, model=model, train=replace(config.train, muon_learning_rate=0.0))
