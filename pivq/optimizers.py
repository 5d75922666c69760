"""The optimizers of the autoencoder and their learning rate."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pivq.config import Config, TrainConfig
from pivq.model import PIVQ

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan's coefficients
MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """Muon (Jordan, 2024): SGD with Nesterov momentum, whose update of each matrix is made orthogonal first.

    The same as `torch.optim.Muon(adjust_lr_fn="match_rms_adamw")`, with the iteration in float32: torch does it in
    bfloat16, which takes ten times as long on a CPU without bfloat16 instructions, a third of a step of `quick`.

    Args:
        matrices: weights of two dimensions.
        lr: the peak learning rate, on the scale of AdamW's.
        weight_decay: as AdamW's.
    """

    def __init__(self, matrices: list[nn.Parameter], lr: float, weight_decay: float):
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """Apply the gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                momentum = state["momentum_buffer"].lerp_(weight.grad, 1 - MOMENTUM)
                update = orthogonal(weight.grad.lerp(momentum, MOMENTUM))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update, alpha=-0.2 * math.sqrt(max(weight.shape)) * group["lr"])


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return about U Vᵀ of a matrix U S Vᵀ, by Newton–Schulz iteration: all singular values become about 1.

    The coefficients are made for few steps: the values end between 0.7 and 1.2, not at 1.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = x / x.norm().clamp_min(1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


class Optimizers:
    """AdamW on all weights of the autoencoder or, with `muon_learning_rate`, Muon on the transformers' matrices.

    The paper's base code has Adam, which is AdamW without weight decay.

    Attributes:
        adam: `torch.optim.AdamW`.
        muon: `Muon`, or None.
    """

    def __init__(self, model: PIVQ, config: TrainConfig):
        matrices = _transformer_matrices(model) if config.muon_learning_rate else []
        groups = _decay_groups(model, config.weight_decay, matrices)
        self.adam = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.adam_betas, fused=True)
        self.muon, self._peaks = None, [(self.adam, config.learning_rate)]
        if matrices:
            self.muon = Muon(matrices, config.muon_learning_rate, config.weight_decay)
            self._peaks.append((self.muon, config.muon_learning_rate))

    def step(self, factor: float) -> None:
        """Apply the gradients, with `factor` of each peak learning rate."""
        for optimizer, peak in self._peaks:
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
            optimizer.step()

    def __iter__(self) -> Iterator[torch.optim.Optimizer]:
        """Iterate over the optimizers."""
        return (optimizer for optimizer, _ in self._peaks)

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for optimizer, _ in self._peaks:
            optimizer.zero_grad(set_to_none=True)

    def forget(self, weight: nn.Parameter) -> None:
        """Drop Adam's moments of a weight that was set anew."""
        self.adam.state.pop(weight, None)


def learning_rate_factor(step: int, config: Config) -> float:
    """Return the factor on the peak learning rate: linear warm-up, a plateau, then a cosine down to 0."""
    train = config.train
    warmup = min(1.0, (step + 1) / max(1, train.warmup_steps))
    start = train.decay_from * train.steps
    if step < start:
        return warmup
    return warmup * 0.5 * (1 + math.cos(math.pi * (step - start) / max(1.0, train.steps - start)))


def _transformer_matrices(model: PIVQ) -> list[nn.Parameter]:
    transformers = (model.encoder.transformer, model.decoder.transformer)
    return [weight for transformer in transformers for weight in transformer.parameters() if weight.ndim == 2]


def _decay_groups(model: PIVQ, weight_decay: float, matrices: list[nn.Parameter]) -> list[dict[str, Any]]:
    """Decay the weight matrices of layers; neither embeddings, the codebook, norms nor biases. Leave out `matrices`."""
    others = {id(weight) for weight in matrices}
    left = [(name, weight) for name, weight in model.named_parameters() if id(weight) not in others]
    free = {"encoder.positions", "encoder.tokens", "decoder.outputs", "quantizer.codebook"}
    decayed = [weight for name, weight in left if weight.ndim > 1 and name not in free]
    undecayed = [weight for name, weight in left if weight.ndim <= 1 or name in free]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": undecayed, "weight_decay": 0.0}]
