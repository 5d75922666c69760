"""PI-VQ's trainer with a recipe: another quantizer, re-seeded codes, a decoder that is trained on recombined codes."""

import copy
from typing import Any

import torch
from torch import Tensor

from pivq.config import Config
from pivq.losses import PerceptualLoss, generator_hinge
from pivq.model import Reconstruction
from pivq.optimizers import Optimizers
from pivq.precision import channels_last
from pivq.rivals.recipe.model import RecipePIVQ
from pivq.rivals.recipe.settings import Recipe, described
from pivq.sampling import interpolate
from pivq.trainer import Trainer


class RecipeTrainer(Trainer):
    """`pivq.trainer.Trainer` of matching codes with a recipe; without changes it is that trainer, bit for bit.

    All weights that both models have start from the same values.

    Args:
        config: the settings, which `Recipe.settings` changes.
        recipe: the changes.
        images, perceptual, device: see `Trainer`.

    Attributes:
        reseeded: codes that were set anew because no latent took them, so far.

    Raises:
        ValueError: several processes share the batch, or the recipe does not fit the settings; see also `Trainer`.
    """

    def __init__(
        self, config: Config, recipe: Recipe, images: Tensor, perceptual: PerceptualLoss,
        device: str | torch.device = "cpu",
    ):  # fmt: skip
        super().__init__(recipe.settings(config), "matching", images, perceptual, device)
        if self.processes.count > 1:
            raise ValueError(f"a recipe is trained in one process, got {self.processes.count}")
        self.recipe, self.reseeded = recipe, 0
        if recipe.inside:
            with torch.random.fork_rng(devices=[]):  # the draws of the training stay what they are
                model = RecipePIVQ(self.config, recipe)
            own, shared = model.state_dict(), self.model.state_dict()
            fitting = {name: value for name, value in shared.items() if value.shape == own[name].shape}
            model.load_state_dict(own | fitting)
            self.model = channels_last(model.to(self.device), self.device)
            self.ema = copy.deepcopy(self.model).requires_grad_(False)
            self.optimizers = Optimizers(self.model, self.config.train)

    def train_step(self, images: Tensor, while_distinct: bool = False) -> dict[str, Tensor] | None:
        """Do a step as `Trainer` does, then set codes anew that no latent has taken for long."""
        losses = super().train_step(images, while_distinct)
        if self.recipe.reseed_windows and self.step >= self.config.train.quantize_from_step:
            self._reseed()
        return losses

    def initialise_codebook(self) -> None:
        """Fit the codebook as `Trainer` does; from here on its codes are new."""
        super().initialise_codebook()
        if getattr(self.model.quantizer, "memory", 0):
            self.model.quantizer.unused.zero_()

    def _backward(self, output: Reconstruction, images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """Leave the gradients of `Trainer`, and those of recombined codes in the decoder.

        The logits that the discriminator's loss gets are then of both, as many of each: its two halves, real and fake,
        keep their weights.
        """
        terms, logits = super()._backward(output, images)
        if not (self.recipe.recombined_weight and output.quantization and "adversarial" in terms):
            return terms, logits
        with self.precision.autocast():
            mixed = self.model.images_of(self._recombined(output.quantization.codes))
        fakes = mixed.detach().float().requires_grad_()
        mixed_logits = self._logits(fakes)
        terms["recombined"] = generator_hinge(mixed_logits)
        (gradient,) = torch.autograd.grad(self.precision.scale(terms["recombined"]), fakes, retain_graph=True)
        weight = self.recipe.recombined_weight * terms["adaptive_weight"]
        mixed.backward((weight * gradient).to(mixed.dtype))
        return terms, torch.cat([logits, mixed_logits])

    def _recombined(self, codes: Tensor) -> Tensor:
        """Return samples `(B, L)` of Algorithm 1: in random order, each image of the batch with the one before it."""
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        order = torch.randperm(len(codes), generator=generator).to(codes.device)
        return interpolate(codes[order], codes[order.roll(1)], generator)

    @torch.no_grad()
    def _reseed(self) -> None:
        """Set each code that was not taken for `reseed_windows` windows of W steps to a recent latent of its own."""
        quantizer, codebook = self.model.quantizer, self.model.quantizer.codebook
        latents = quantizer.remembered()
        idle = (quantizer.unused >= self.recipe.reseed_windows * self.config.train.history_steps).nonzero()[:, 0]
        idle = idle[: len(latents)]
        if not len(idle):
            return
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        rows = latents[torch.randperm(len(latents), generator=generator)[: len(idle)].to(latents.device)]
        codebook[idle] = rows
        self.ema.quantizer.codebook[idle] = rows
        for moments in self.optimizers.adam.state.get(codebook, {}).values():
            if moments.shape == codebook.shape:
                moments[idle] = 0  # they are of the codes before
        quantizer.unused[idle] = 0
        self.reseeded += len(idle)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, and the recipe."""
        return super().state_dict() | {"recipe": described(self.recipe), "reseeded": self.reseeded}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from `state_dict`.

        Raises:
            ValueError: it is of another recipe; see also `Trainer.load_state_dict`.
        """
        if state.get("recipe") != described(self.recipe):
            raise ValueError(f"the checkpoint is of the recipe {state.get('recipe')}, not {described(self.recipe)}")
        super().load_state_dict(state)
        self.reseeded = state["reseeded"]
