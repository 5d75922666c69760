"""A variational autoencoder (Kingma and Welling, arXiv:1312.6114) and a β-VAE (Higgins et al., ICLR 2017).

An image is a vector of numbers z with a normal posterior N(μ, σ²) and the prior N(0, 1). With a Laplace likelihood of
scale b for each of the 3HW pixel values, the negative ELBO, times b / 3HW, is

    L1(x̂, x) + β · b · KL(N(μ, σ²) ‖ N(0, 1)) / 3HW,   β = 1 for a VAE.

The perceptual and the adversarial term are added as for the other models, so the sum is no likelihood.
"""

import math
from dataclasses import replace

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pivq.config import Config, ModelConfig
from pivq.model import Reconstruction
from pivq.quantizers import Quantized
from pivq.rivals.convolutions import GridDecoder, GridEncoder
from pivq.rivals.rival import Rival

LATENTS = 128  # numbers in z; source: assumption, as many as a code vector of the paper has at 64 × 64
CHANNELS = 16  # of the grid that is mapped to z; source: assumption: with d of them the map is larger than the rest
SCALE = 0.05  # b; source: assumption, about the L1 of reconstructions, which is the most likely b
BETA = 4.0  # of the β-VAE; source: Higgins et al., their value for small images


class VAE(Rival, nn.Module):
    """A VAE with the product's convolutions and a linear map between grid and z.

    `beta` is a setting of its training (`vae_settings`), not of the network.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        sizes = replace(config, dim=CHANNELS)
        self.encoder, self.decoder = GridEncoder(sizes), GridDecoder(sizes)
        self.shape = (CHANNELS, config.grid_size, config.grid_size)
        self.to_latents = nn.Linear(math.prod(self.shape), 2 * LATENTS)
        self.from_latents = nn.Linear(LATENTS, math.prod(self.shape))

    @property
    def networks(self) -> list[nn.Module]:
        """The decoder alone."""
        return [self.decoder]

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return μ and log σ² `(B, Z)` of images."""
        return self.to_latents(self.encoder(images).flatten(1)).chunk(2, dim=1)

    def forward(self, images: Tensor, quantize: bool = True, tokens: Tensor | None = None) -> Reconstruction:
        """Return what `pivq.trainer.Trainer` trains: z is drawn in training, and μ in evaluation.

        The KL divergence in nats per pixel value stands where a quantizer's commitment loss would; `quantize` and
        `tokens` are not used.
        """
        mean, log_variance = self.posterior(images)
        latents = mean + torch.randn_like(mean) * (log_variance / 2).exp() if self.training else mean
        divergence = kl_divergence(mean, log_variance).mean() / images[0].numel()
        terms = Quantized(latents, latents, divergence.new_zeros(()), divergence)
        return Reconstruction(self._images(latents), latents[:, None], terms)

    def _images(self, latents: Tensor) -> Tensor:
        return self.decoder(self.from_latents(latents).unflatten(1, self.shape))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return μ `(B, Z)` float32."""
        return self.posterior(images.to(self.from_latents.weight))[0]

    @torch.no_grad()
    def decode(self, stored: Tensor) -> Tensor:
        """Return the images of z `(B, Z)`."""
        return self._images(stored.to(self.from_latents.weight)).clamp(0, 1)

    def draw(self, count: int, seed: int) -> Tensor:
        """Return z `(count, Z)` from the prior."""
        return torch.randn(count, LATENTS, generator=torch.Generator().manual_seed(seed))

    def path(self, stored_a: Tensor, stored_b: Tensor, shares: Tensor, seed: int) -> Tensor:
        """Return the straight way from z to z."""
        return torch.lerp(stored_a, stored_b, shares[:, None].to(stored_a))

    def features(self, stored: Tensor) -> NDArray:
        """Return μ."""
        return stored.numpy()


def vae_settings(config: Config, beta: float = 1.0) -> Config:
    """Return a profile's settings for a VAE: its schedule and losses, without a quantizer and its start.

    Raises:
        ValueError: a β below 0.
    """
    if not beta >= 0:
        raise ValueError(f"beta must be a number from 0 on, got {beta!r}")
    own = {"muon_learning_rate": 0.0, "quantize_from_step": 0, "codebook_initialisations": 0,
           "codebook_weight": 0.0, "commitment_weight": beta * SCALE}  # fmt: skip
    return replace(config, train=replace(config.train, **own))


def beta_vae_settings(config: Config) -> Config:
    """Return a profile's settings for a β-VAE, β = `BETA`."""
    return vae_settings(config, BETA)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(μ, σ²) ‖ N(0, 1)) `(B,)` in nats, summed over the numbers of z.

    Args:
        mean, log_variance: μ and log σ², `(B, Z)`.

    Example:
        >>> kl_divergence(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)).tolist()
        [0.5]
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1)
