"""PI-VQ as a recipe has it: another quantizer and, with projected codes, a linear map before it and one after it."""

import math
import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pivq.config import Config
from pivq.model import PIVQ, Reconstruction
from pivq.rivals.recipe.quantizers import RecipeQuantizer
from pivq.rivals.recipe.settings import Recipe

MEMORY_STEPS = 8  # whose latents the quantizer remembers: 2,048 with the profile quick; source: assumption


class RecipePIVQ(PIVQ):
    """PI-VQ with matching codes of d' = d / `projection` numbers.

    Args:
        config: of the training.
        recipe: what is changed.

    Attributes:
        reduce: takes the encoder's outputs from d to d'; the identity without projection.
        expand: takes codes from d' to d, in front of the decoder.
    """

    def __init__(self, config: Config, recipe: Recipe):
        sizes, train = config.model, config.train
        super().__init__(sizes, "matching")
        small = sizes.dim // recipe.projection
        self.reduce, self.expand = nn.Identity(), nn.Identity()
        if recipe.projection > 1:
            self.reduce, self.expand = nn.Linear(sizes.dim, small), nn.Linear(small, sizes.dim)
            # The encoder's outputs are normalised; so are what is quantized and what is decoded, at first.
            for layer, gain in ((self.reduce, 1.0), (self.expand, math.sqrt(recipe.projection))):
                nn.init.orthogonal_(layer.weight, gain)
                nn.init.zeros_(layer.bias)
        remembers = recipe.distribution_weight or recipe.reseed_windows
        memory = MEMORY_STEPS * train.batch_size * sizes.num_codes if remembers else 0
        within = recipe.distribution_weight / train.codebook_weight if recipe.distribution_weight else 0.0
        self.quantizer = RecipeQuantizer(
            sizes.codebook_size, small, sizes.num_codes, recipe.rotation, distribution_weight=within, memory=memory
        )

    def forward(self, images: Tensor, quantize: bool = True, tokens: Tensor | None = None) -> Reconstruction:
        """Encode, quantize and decode, as `PIVQ.forward`; the latents are `(B, L, d')`."""
        latents = self.reduce(self.encoder(images, tokens))  # (B, L, d')
        quantization = self.quantizer(latents) if quantize else None
        decoded = self.decoder(self.expand(quantization.quantized if quantize else latents))
        return Reconstruction(decoded, latents, quantization)

    def images_of(self, codes: Tensor) -> Tensor:
        """Return the images `(B, 3, H, W)`, not clamped, of codes `(B, L)`; gradients reach the decoder alone.

        The decoder is all that comes after the codebook, `expand` included.
        """
        return self.decoder(self.expand(F.embedding(codes, self.quantizer.codebook.detach())))

    @torch.no_grad()
    def encode_latents(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the latents `(B, L, d')`; see `PIVQ.encode_latents`."""
        return self.reduce(super().encode_latents(images, generator))

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> Tensor:
        """Return images of latents `(B, L, d')`; see `PIVQ.decode_latents`."""
        return super().decode_latents(self.expand(latents))

    def plain(self) -> PIVQ:
        """Return the same model as a `PIVQ`, which can be saved and shared.

        Raises:
            ValueError: its codes are projected: a `PIVQ` has no such maps.
        """
        if not isinstance(self.reduce, nn.Identity):
            raise ValueError("a model with projected codes is no plain PIVQ: train a recipe without projection")
        with torch.random.fork_rng(devices=[]):
            model = PIVQ(self.config, "matching")
        weights = self.state_dict()
        model.load_state_dict({name: weights[name] for name in model.state_dict()})
        model.facts = dict(self.facts)
        return model.to(self.quantizer.codebook.device).train(self.training).requires_grad_(False)

    def save_pretrained(self, path: str | os.PathLike) -> None:
        """Write the model as a folder to share, which `PIVQ.from_pretrained` reads; see there and `plain`."""
        self.plain().save_pretrained(path)
