"""The training loop of Sections 3.6 and 3.7: one step of both networks, EMA, codebook initialisation, callbacks."""

import copy
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pivq.codebook_init import LatentHistory, TooFewLatents, fit_codebook, initialisation_steps
from pivq.config import Config
from pivq.discriminator import PatchDiscriminator, diff_augment
from pivq.losses import PerceptualLoss, adaptive_weight, discriminator_hinge, generator_hinge, training_loss
from pivq.model import PIVQ, Reconstruction, check_finite
from pivq.optimizers import Optimizers, learning_rate_factor
from pivq.precision import Precision, channels_last
from pivq.processes import Processes


class TrainingDiverged(RuntimeError):
    """Too many steps in a row gave gradients that are not finite."""


def epoch_order(images: int, seed: int, epoch: int) -> Tensor:
    """Return the order of an epoch, a permutation `(images,)` that depends on the seed and epoch alone."""
    return torch.randperm(images, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))


class Trainer:
    """Train PI-VQ and its discriminator, in one process or, started by `accelerate launch` or `torchrun`, in several.

    Several processes share each batch and do together what one would do alone: every mean, the adaptive weight and
    BatchNorm's statistics are those of the whole batch, and networks, EMA and codebook are the same everywhere. The
    number format is chosen by `pivq.precision`.

    Args:
        config: the settings.
        quantizer: "matching" or "nearest".
        images: the training set, `(N, 3, H, W)` uint8.
        perceptual: distance `(B,)` of images to targets, in [0, 1]; weighted by `config.train.perceptual_weight`.
        device: where the networks live.

    Attributes:
        processes: this process among those that share each batch.
        precision: the number format of the steps.
        accelerator: knows the processes.
        step: generator updates done.
        ema: the averaged model, which validation, samples and checkpoints' readers use.
        skipped: steps without a finite gradient, which changed nothing.
        overflows: steps that changed nothing but float16's loss scale, which was too large and was halved.
        pending: losses of the steps since the last row of a log, which a log keeps here for the checkpoints.
        callbacks: called as `callback(trainer, losses)` after each step, with a dict of scalar tensors.

    Raises:
        ValueError: fewer images than a batch, more processes than images in one, or a precision that the device lacks.
    """

    def __init__(
        self,
        config: Config,
        quantizer: str,
        images: Tensor,
        perceptual: PerceptualLoss,
        device: str | torch.device = "cpu",
        callbacks: Iterable[Callable[["Trainer", dict[str, Tensor]], None]] = (),
    ):
        train = config.train
        if len(images) < train.batch_size:
            raise ValueError(f"{len(images)} training images are fewer than one batch of {train.batch_size}")
        torch.manual_seed(config.seed)
        self.config, self.quantizer, self.images, self.perceptual = config, quantizer, images, perceptual
        self.processes = Processes(device, train.batch_size)
        self.accelerator, self.device = self.processes.accelerator, self.processes.device
        self.precision = Precision(self.device)
        self.callbacks = list(callbacks)
        self.model = channels_last(PIVQ(config.model, quantizer).to(self.device), self.device)
        discriminator = PatchDiscriminator(train.discriminator_width, train.discriminator_layers)
        self.discriminator = channels_last(discriminator.to(self.device), self.device)
        self.ema = copy.deepcopy(self.model).requires_grad_(False)
        self.history = LatentHistory(train)
        self.optimizers = Optimizers(self.model, train)
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=train.discriminator_learning_rate, betas=train.discriminator_betas
        )
        self.step = self.skipped = self.overflows = self._skipped_in_a_row = 0
        self.pending: list[dict[str, Tensor]] = []

    @property
    def quantizing(self) -> bool:
        """Whether the last step quantized, so that the codebook means something."""
        return self.step > self.config.train.quantize_from_step

    def fit(self, until: int | None = None, while_distinct: bool = False) -> None:
        """Train up to step `until` (default: the configuration's last).

        With `while_distinct` (nearest quantizer), end before the first step in which two latents of an image have the
        same nearest code. Up to there both quantizers train the same model: where the nearest codes of an image are
        distinct they are a matching, and no matching costs less.
        """
        if while_distinct and self.quantizer != "nearest":
            raise ValueError("a matching's codes are always distinct: while_distinct asks the nearest quantizer")
        until = self.config.train.steps if until is None else until
        while self.step < until:
            if self.step in initialisation_steps(self.config.train):
                self.initialise_codebook()
            losses = self.train_step(self.batch(self.step), while_distinct)
            if losses is None:
                break
            self.step += 1
            for callback in self.callbacks:
                callback(self, losses)

    def batch(self, step: int) -> Tensor:
        """Return this process's images of a step, `(B, 3, H, W)` float32 in [0, 1]: a function of step and seed."""
        size = self.config.train.batch_size
        epoch, position = divmod(step, len(self.images) // size)
        order = epoch_order(len(self.images), self.config.seed, epoch)[position * size : (position + 1) * size]
        images = self.images[order[self.processes.rows]].to(self.device).float() / 255
        return images.contiguous(memory_format=torch.channels_last) if self.device.type == "cuda" else images

    def train_step(self, images: Tensor, while_distinct: bool = False) -> dict[str, Tensor] | None:
        """Update the model and, once it has started, the discriminator; return the terms of the losses by name.

        With `while_distinct`, do nothing and return None when an image's codes repeat.
        """
        train, step = self.config.train, self.step
        discriminating = step >= train.discriminator_from_step
        with self.precision.autocast():
            output = self.model(images, step >= train.quantize_from_step, self._tokens())
        if while_distinct and output.quantization:
            if not self.processes.everywhere(_all_distinct(output.quantization.codes)):
                return None
        terms, fake_logits = self._backward(output, images)
        if discriminating:
            terms |= self._backward_discriminator(images, fake_logits)
        self.precision.unscale_all([*self.optimizers, *([self.discriminator_optimizer] if discriminating else [])])
        norms = [nn.utils.clip_grad_norm_(self.model.parameters(), train.gradient_clip or math.inf)]
        if discriminating:
            norms.append(nn.utils.get_total_norm([p.grad for p in self.discriminator.parameters()]))
        if self._accept(norms, terms):
            self.optimizers.step(learning_rate_factor(step, self.config))
            if discriminating:
                self.discriminator_optimizer.step()
            self._update_ema()
            self.history.record(step, lambda: self.processes.gather(output.latents.detach()))
        return self.processes.mean_of_each(terms)

    def _tokens(self) -> Tensor:
        """Return this process's tokens of the step `(B, L, d)`; what is drawn is a function of step and seed."""
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        return self.model.encoder.draw_tokens(self.config.train.batch_size, generator)[self.processes.rows]

    def _backward(self, output: Reconstruction, images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """Leave the gradient of the model's loss, `pivq.losses.training_loss`, in its parameters.

        The terms that judge the reconstruction x̂ are differentiated as far as x̂; from there one backward pass, which
        takes in the quantizer's terms, goes through decoder and encoder. So each network is run backward once, and the
        adaptive weight costs no more than two gradients of the last layer.

        Returns:
            The terms by name, and the discriminator's logits of x̂, which its own loss needs too; None before it starts.
        """
        train, share = self.config.train, self.processes.share_of_mean
        fakes = _full_precision(output.images.detach()).requires_grad_()
        terms = {"l1": F.l1_loss(fakes, images)}
        if train.perceptual_weight:
            terms["perceptual"] = self.perceptual(fakes, images).mean()
        terms = share(terms)
        (gradient,) = torch.autograd.grad(training_loss(terms, train), fakes)
        fake_logits = self._logits(fakes) if self.step >= train.discriminator_from_step else None
        if self.step >= train.adversarial_from_step:
            terms |= share({"adversarial": generator_hinge(fake_logits)})
            scaled = self.precision.scale(terms["adversarial"])
            (adversarial_gradient,) = map(self.precision.unscale, torch.autograd.grad(scaled, fakes, retain_graph=True))
            last_layer_gradients = self._last_layer_gradients(output.images, gradient, adversarial_gradient)
            terms["adaptive_weight"] = adaptive_weight(*last_layer_gradients, limit=train.adversarial_limit)
            gradient = gradient + terms["adaptive_weight"] * adversarial_gradient
        roots, gradients = [output.images], [self.precision.scale(gradient).to(output.images.dtype)]
        if quantization := output.quantization:
            of_codes = share({"codebook": quantization.codebook_loss, "commitment": quantization.commitment_loss})
            roots.append(self.precision.scale(training_loss(of_codes, train)))
            gradients.append(None)  # a scalar starts with 1
            terms |= of_codes
        self.optimizers.zero_grad()
        torch.autograd.backward(roots, gradients)
        self.processes.mean_gradients(self.model)
        return terms, fake_logits

    def _last_layer_gradients(self, fakes: Tensor, *gradients: Tensor) -> list[Tensor]:
        """Carry gradients at the reconstruction on to the decoder's last convolution; return their process means."""
        last_layer = self.model.decoder.conv_out.weight
        carried = [
            torch.autograd.grad(fakes, last_layer, self.precision.scale(gradient).to(fakes.dtype), retain_graph=True)[0]
            for gradient in gradients
        ]
        return [self.precision.unscale(self.processes.mean(gradient)) for gradient in carried]

    def _backward_discriminator(self, images: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """Leave the gradient of the discriminator's loss in its parameters; return the loss as a term."""
        term = self.processes.share_of_mean({"discriminator": discriminator_hinge(self._logits(images), fake_logits)})
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        self.precision.scale(term["discriminator"]).backward(inputs=list(self.discriminator.parameters()))
        self.processes.mean_gradients(self.discriminator)
        return term

    def _logits(self, images: Tensor) -> Tensor:
        """Augment images and return the discriminator's logits, float32 under any autocast."""
        if self.config.train.discriminator_augmentation:
            images = diff_augment(images, self.processes.rows, self.config.train.batch_size)
        with self.precision.autocast():
            return _full_precision(self.discriminator(images))

    def _accept(self, norms: list[Tensor], terms: dict[str, Tensor]) -> bool:
        """Say whether all gradient norms are finite; count those steps where they are not.

        Where the losses are finite and float16's scale can still be halved, only the scale was too large.
        """
        scaled_down = self.precision.update()
        if all(torch.isfinite(norm) for norm in norms):
            self._skipped_in_a_row = 0
            return True
        if scaled_down and self.processes.everywhere(all(torch.isfinite(term) for term in terms.values())):
            self.overflows += 1
            return False
        self.skipped += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= self.config.train.nonfinite_limit:
            raise TrainingDiverged(
                f"{self._skipped_in_a_row} steps in a row up to step {self.step} gave gradients that are not finite; "
                "lower the learning rate or take another seed"
            )
        return False

    @torch.no_grad()
    def _update_ema(self) -> None:
        if (self.step + 1) % self.config.train.ema_every == 0:
            average = get_ema_multi_avg_fn(self.config.train.ema_decay)
            average(list(self.ema.parameters()), list(self.model.parameters()), None)
            for mean, buffer in zip(self.ema.buffers(), self.model.buffers(), strict=True):
                mean.copy_(buffer)

    @torch.no_grad()
    def initialise_codebook(self) -> None:
        """Fit the codebook to the latent history; reset its EMA copy and Adam's moments, which are of the old one."""
        codebook = self.model.quantizer.codebook
        fitted = torch.empty_like(codebook, dtype=torch.float32)
        if self.accelerator.is_main_process:
            fitted = self._fit_codebook()
        fitted = self.processes.from_main(fitted)
        codebook.copy_(fitted)
        self.ema.quantizer.codebook.copy_(fitted)
        self.optimizers.forget(codebook)

    def _fit_codebook(self) -> Tensor:
        model, train = self.config.model, self.config.train
        try:
            return fit_codebook(self.history.gather(), model.codebook_size, seed=self.config.seed + self.step)
        except TooFewLatents as error:
            enough = math.ceil(train.history_steps * model.codebook_size / error.distinct)
            raise ValueError(
                f"step {self.step}: W = {train.history_steps} steps of {train.batch_size} images with L = "
                f"{model.num_codes} latents gave {error}; at this rate history_steps (W) must be at least {enough}"
            ) from error

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, as plain types and tensors."""
        return {
            "config": self.config.as_dict(),
            "quantizer": self.quantizer,
            "processes": self.accelerator.num_processes,
            "precision": self.precision.name,
            "threads": torch.get_num_threads(),
            "scaler": self.precision.scaler.state_dict(),
            "step": self.step,
            "skipped": self.skipped,
            "skipped_in_a_row": self._skipped_in_a_row,
            "overflows": self.overflows,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizers.adam.state_dict(),
            "muon": self.optimizers.muon.state_dict() if self.optimizers.muon else None,
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "history": list(self.history.latents),
            "pending": list(self.pending),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from `state_dict`: the next step is bit for bit the one that would have followed.

        Raises:
            ValueError: weights, moments or latents that are not finite; names the first.

        Warns:
            UserWarning: for each setting that the state was made with another value of.
        """
        parts = {f"checkpoint's {name}": state[name] for name in ("model", "ema", "discriminator")}
        optimizers = {"optimizer": self.optimizers.adam, "discriminator_optimizer": self.discriminator_optimizer}
        if self.optimizers.muon:
            optimizers["muon"] = self.optimizers.muon
        for name in optimizers:
            parts |= {f"checkpoint's {name} of weight {i}": moments for i, moments in state[name]["state"].items()}
        parts["checkpoint's latent history"] = {f"step {i}": latents for i, latents in enumerate(state["history"])}
        for name, tensors in parts.items():
            check_finite(tensors, f"the {name}")
        for part in ("model", "train"):
            for name, value in self.config.as_dict()[part].items():
                before = state["config"][part].get(name, value)  # earlier versions had fewer settings
                if value != before:
                    warnings.warn(f"{part}.{name} is {value}, the checkpoint was made with {before}", stacklevel=2)
        now = {"processes": self.accelerator.num_processes, "precision": self.precision.name}
        if self.device.type == "cpu":  # its sums are added up in another order
            now["threads"] = torch.get_num_threads()
        for name, value in now.items():
            before = "fp32" if state.get(name) == "no" else state.get(name)  # as earlier versions say it
            if before not in (None, value):  # they had fewer of these
                warnings.warn(f"{name}: {value}, the checkpoint was made with {before}", stacklevel=2)
        if state.get("scaler") and self.precision.scaler.is_enabled():
            self.precision.scaler.load_state_dict(state["scaler"])
        self.step, self.skipped, self.overflows = state["step"], state["skipped"], state.get("overflows", 0)
        self._skipped_in_a_row = state["skipped_in_a_row"]
        networks = {"model": self.model, "ema": self.ema, "discriminator": self.discriminator}
        for name, part in (networks | optimizers).items():
            part.load_state_dict(state[name])
        self.history.latents.clear()
        self.history.latents.extend(latents.to(self.device) for latents in state["history"])
        pending = state.get("pending", [])  # earlier versions had none
        self.pending = [{name: loss.to(self.device) for name, loss in losses.items()} for losses in pending]
        torch.set_rng_state(state["rng"].cpu())
        if state["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.device)


def _full_precision(x: Tensor) -> Tensor:
    """Return bfloat16 or half numbers as float32, others as they are."""
    return x if x.dtype.itemsize >= 4 else x.float()


def _all_distinct(codes: Tensor) -> bool:
    return bool((codes.sort(dim=1).values.diff(dim=1) != 0).all())
