"""The terms of the training loss (Section 3.6): perceptual, adversarial, and the adaptive weight between them."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pivq.config import TrainConfig
from pivq.settings import check_dense

FAR = 10.0  # images not yet clamped may leave [0, 1], by less than this

PerceptualLoss = Callable[[Tensor, Tensor], Tensor]


def training_loss(terms: Mapping[str, Tensor], weights: TrainConfig) -> Tensor:
    """Return the loss that the autoencoder is trained to minimise (Section 3.6):

        L = w_r ‖x̂ − x‖₁ + w_p LPIPS(x̂, x) + λ G(x̂) + w_c ‖sg[z_e] − z_c‖² + w_e ‖z_e − sg[z_c]‖²

    with the generator's loss G = −mean D(x̂) and its adaptive weight λ (see `adaptive_weight`).

    Args:
        terms: scalars by name: `l1`, `perceptual`, `adversarial` with its `adaptive_weight`, `codebook`, `commitment`.
            A step has no adversarial term before the discriminator has trained, no codebook and commitment term before
            T_q; what is missing is left out.
        weights: the settings `reconstruction_weight`, `perceptual_weight`, `codebook_weight`, `commitment_weight`.
    """
    weight = {
        "l1": weights.reconstruction_weight,
        "perceptual": weights.perceptual_weight,
        "adversarial": terms.get("adaptive_weight"),
        "codebook": weights.codebook_weight,
        "commitment": weights.commitment_weight,
    }
    return sum(weight[name] * terms[name] for name in weight if name in terms)


class FeatureDistance(nn.Module):
    """LPIPS's distance [54] without its learned channel weights: mean squared difference of unit feature vectors.

    Args:
        stages: maps images `(B, 3, H, W)` in [0, 1] to a list of feature maps; its parameters get no gradients.
    """

    def __init__(self, stages: nn.Module):
        super().__init__()
        self.stages = stages.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "FeatureDistance":
        """Stay in evaluation mode: the network is never trained."""
        return super().train(False)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the distance `(B,)` of images to targets, both `(B, 3, H, W)` in [0, 1]: 0 for equal images.

        At `images == targets` the gradient is zero, not NaN.
        """
        with torch.no_grad():
            expected = [_unit(stage) for stage in self.stages(targets)]
        pairs = zip(self.stages(images), expected, strict=True)
        return sum((_unit(stage) - e).square().sum(dim=1).mean(dim=(1, 2)) for stage, e in pairs) / len(expected)


def _unit(stage: Tensor) -> Tensor:
    # eps inside the root: the norm's gradient stays finite where a feature vector is zero.
    return stage * (stage.square().sum(dim=1, keepdim=True) + 1e-10).rsqrt()


def generator_hinge(fake_logits: Tensor) -> Tensor:
    """Return the generator's adversarial loss, −mean D(x̂)."""
    return -fake_logits.mean()


def discriminator_hinge(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return the discriminator's hinge loss × 0.5 (base code)."""
    return 0.5 * (F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean())


def adaptive_weight(nll_gradient: Tensor, adversarial_gradient: Tensor, limit: float) -> Tensor:
    """Return ‖∇nll‖ / (‖∇g‖ + 1e-4), clamped to [0, limit]: the weight of the adversarial loss (base code; limit 1).

    Args:
        nll_gradient: gradient of L1 + perceptual loss at the decoder's last convolution, any shape.
        adversarial_gradient: gradient of the generator's adversarial loss there, the same shape.
        limit: greatest weight, also where the adversarial gradient vanishes. Gradients that are not finite can give 0;
            they are still there, and the step is skipped.
    """
    weight = nll_gradient.float().norm() / (adversarial_gradient.float().norm() + 1e-4)
    return weight.nan_to_num(0, limit, 0).clamp(0, limit).detach()


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB `(B,)` of images to targets, floats in [0, 1]; we report its mean.

    Raises:
        TypeError: for anything but tensors.
        ValueError: for other or unequal shapes, another type, or values far outside [0, 1] or not finite.
    """
    given = {"images": images, "targets": targets}
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
        check_dense(name, value)
    for name, value in given.items():
        if value.ndim != 4 or value.shape != targets.shape or not value.is_floating_point():
            expected = f"floats (B, 3, H, W), as targets {tuple(targets.shape)}"
            raise ValueError(f"{name} must be {expected}, got {value.dtype} {tuple(value.shape)}")
        if not (value.abs() <= FAR).all():  # false for NaN
            low, high = (bound.item() for bound in value.aminmax())
            raise ValueError(f"{name} must lie in [0, 1], got {low:g} to {high:g}")
    wide = torch.promote_types(torch.promote_types(images.dtype, targets.dtype), torch.float32)  # not half: 1e-10 is 0
    return -10 * (images.to(wide) - targets.to(wide)).square().mean(dim=(1, 2, 3)).clamp_min(1e-10).log10()
