"""The training of the rivals: autoencoders by PI-VQ's own trainer, priors on the codes that those make."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pivq.config import Config, ModelConfig
from pivq.losses import PerceptualLoss
from pivq.optimizers import Optimizers, learning_rate_factor
from pivq.precision import channels_last
from pivq.rivals.priors import Prior
from pivq.trainer import Trainer, epoch_order

PRIOR_SHARE = 0.4  # steps of a prior, as a share of the autoencoder's; source: assumption
PRIOR_RATE = 1e-3  # peak learning rate of AdamW, whose other settings are the profile's; source: assumption


class AutoencoderTrainer(Trainer):
    """`pivq.trainer.Trainer` with a rival in the place of PI-VQ: its losses, discriminator, schedule, EMA and start.

    Args:
        config: the settings as the rival needs them, such as of `pivq.rivals.vae.vae_settings`.
        build: makes the rival.
        images, perceptual, device: see `Trainer`.
    """

    def __init__(
        self, config: Config, build: Callable[[ModelConfig], nn.Module], images: Tensor, perceptual: PerceptualLoss,
        device: str | torch.device = "cpu",
    ):  # fmt: skip
        super().__init__(config, "nearest", images, perceptual, device)
        self.model = channels_last(build(config.model).to(self.device), self.device)
        self.ema = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimizers = Optimizers(self.model, config.train)

    def _tokens(self) -> None:
        """Only TokenSet has tokens, and it takes its own."""


class PriorTrainer:
    """Train a prior on the codes of the training images: AdamW, the profile's warm-up, decay, clipping and EMA.

    Args:
        config: gives the schedule (`prior_settings`) and the seed.
        build: maps K and L to the prior.
        codes: of the training images, `(N, L)` int64.
        device: where the prior lives.

    Attributes:
        step: updates done.
        ema: the averaged prior, which draws.
    """

    def __init__(
        self, config: Config, build: Callable[[int, int], Prior], codes: Tensor, device: str | torch.device = "cpu"
    ):
        torch.manual_seed(config.seed)
        self.config, self.codes, self.device, self.step = config, codes, torch.device(device), 0
        self.model = build(config.model.codebook_size, codes.shape[1]).to(self.device)
        self.ema = copy.deepcopy(self.model).requires_grad_(False).eval()
        train = config.train
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=train.learning_rate, betas=train.adam_betas, weight_decay=train.weight_decay
        )

    def fit(self, until: int | None = None, callbacks: Iterable[Callable] = ()) -> None:
        """Train up to step `until`; each callback is called as `callback(trainer, losses)` after each step."""
        train, batch = self.config.train, min(self.model.batch_size, len(self.codes))
        for step in range(self.step, train.steps if until is None else until):
            epoch, position = divmod(step, len(self.codes) // batch)
            order = epoch_order(len(self.codes), self.config.seed, epoch)[position * batch : (position + 1) * batch]
            generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
            loss = self.model.loss(self.codes[order].to(self.device), generator)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if train.gradient_clip:
                nn.utils.clip_grad_norm_(self.model.parameters(), train.gradient_clip)
            for group in self.optimizer.param_groups:
                group["lr"] = train.learning_rate * learning_rate_factor(step, self.config)
            self.optimizer.step()
            with torch.no_grad():
                average = get_ema_multi_avg_fn(train.ema_decay)
                average(list(self.ema.parameters()), list(self.model.parameters()), None)
            self.step = step + 1
            for callback in callbacks:
                callback(self, {"loss": loss.detach()})

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        parts = {"model": self.model, "ema": self.ema, "optimizer": self.optimizer}
        return {"step": self.step} | {name: part.state_dict() for name, part in parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from `state_dict`: the next step is the one that would have followed."""
        self.step = state["step"]
        for name in ("model", "ema", "optimizer"):
            getattr(self, name).load_state_dict(state[name])


def prior_settings(config: Config) -> Config:
    """Return the settings of a prior's training, from those of its autoencoder's."""
    steps = max(1, round(PRIOR_SHARE * config.train.steps))
    own = {"steps": steps, "learning_rate": PRIOR_RATE, "quantize_from_step": 0, "codebook_initialisations": 0,
           "warmup_steps": min(steps, config.train.warmup_steps)}  # fmt: skip
    return replace(config, train=replace(config.train, **own))
